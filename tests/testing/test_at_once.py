"""What is rare happens when a test says so."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import Limits, RefusedError, StoreFencedError, agent, open_runtime
from actors.store.memory import MemoryJournal
from actors.testing import (
    FaultyJournal,
    Hang,
    Say,
    ScriptedAgent,
    checked_runtime,
    crash_now,
    fence_now,
    passivate_and_wait,
)


async def hang(session: object, payload: object) -> None:
    """Never return."""
    await trio.sleep_forever()


@pytest.mark.rule("V6")
async def test_v6_a_session_crashes_where_it_stands_and_comes_back(autojump_clock: MockClock) -> None:
    """Idle, in a turn and in a handler; the supervisor judges it as it judges every crash."""
    script = ScriptedAgent([Say("ok")], {("live:a", 2): [Say("half"), Hang()]})
    async with checked_runtime(agent(script, receive=hang)) as runtime:
        await runtime.create("live:a")
        assert not crash_now(runtime, "live:a")
        await (await runtime.send("live:a", "hello")).result()
        assert crash_now(runtime, "live:a")
        running = await runtime.send("live:a", "again")
        await wait_all_tasks_blocked()
        await trio.sleep(1.0)
        assert runtime.inspect("live:a").running_turn == 2
        assert crash_now(runtime, "live:a")
        result = await running.result()
        assert (result.status, result.text) == ("interrupted", "half")
        await runtime.tell("live:a", "hang")
        await trio.sleep(1.0)
        assert crash_now(runtime, "live:a")
        assert (await (await runtime.send("live:a", "once more")).result()).text == "ok"
        assert runtime.statistics().crashes == runtime.statistics().restarts == 3
        assert runtime.inspect("live:a").last_error == "TimeoutError"


@pytest.mark.rule("V6", "P3")
async def test_v6_a_session_leaves_memory_as_soon_as_it_is_at_rest(autojump_clock: MockClock) -> None:
    """After its turn, with what waits behind it; it comes up again with its next message, and goes on."""
    script = ScriptedAgent([Say("ok", every_s=0.5)])
    async with checked_runtime(script) as runtime:
        await runtime.create("live:a")
        receipts = [await runtime.send("live:a", f"message {number}") for number in range(3)]
        await passivate_and_wait(runtime, "live:a")
        assert runtime.statistics().sessions_live == 0
        assert [(await receipt.result()).text for receipt in receipts] == ["ok"] * 3
        await passivate_and_wait(runtime, "live:a")
        assert (await (await runtime.send("live:a", "again")).result()).turn == 4


async def test_a_session_that_does_not_come_to_rest_is_told_with_what_keeps_it(autojump_clock: MockClock) -> None:
    """A turn that hangs keeps it in memory."""
    async with checked_runtime(ScriptedAgent([Hang()]), open_turns=True) as runtime:
        await runtime.create("live:a")
        await runtime.send("live:a", "hello")
        with pytest.raises(AssertionError, match=r"did not come to rest within 60\.0 s: .*running_turn=1"):
            await passivate_and_wait(runtime, "live:a")


async def test_crashes_cost_the_budget_of_their_session(autojump_clock: MockClock) -> None:
    """Enough of them, and it is quarantined."""
    async with checked_runtime(limits=Limits(restarts_max=1)) as runtime:
        await runtime.create("live:a")
        for _ in range(2):
            await (await runtime.send("live:a", "hello")).result()
            assert crash_now(runtime, "live:a")
            await wait_all_tasks_blocked()
        assert runtime.inspect("live:a").phase == "quarantined"
        assert not crash_now(runtime, "live:a")


@pytest.mark.rule("V6")
@pytest.mark.parametrize("faulty", [False, True])
async def test_a_store_in_memory_is_taken_over_at_once(faulty: bool, autojump_clock: MockClock) -> None:  # noqa: FBT001 - a case
    """The runtime on it finds out at its next write."""
    memory = MemoryJournal()
    journal = FaultyJournal(memory) if faulty else memory
    async with checked_runtime(store=journal, open_turns=True) as runtime:
        await runtime.create("live:a")
        assert await fence_now(journal) == runtime.epoch + 1
        with pytest.raises((StoreFencedError, RefusedError)):
            await runtime.send("live:a", "hello")
        with pytest.raises(RefusedError, match="fenced"):
            await runtime.send("live:a", "hello")


async def test_a_file_is_taken_over_at_once(tmp_path: Path) -> None:
    """By its path, as another process would."""
    async with open_runtime(tmp_path / "chats.db", agent=ScriptedAgent()) as runtime:
        await runtime.create("live:a")
        assert await fence_now(tmp_path / "chats.db") == runtime.epoch + 1
        with pytest.raises((StoreFencedError, RefusedError)):
            await runtime.send("live:a", "hello")


async def test_a_journal_of_another_kind_cannot_be_taken_over(autojump_clock: MockClock) -> None:
    """It says so instead of doing nothing."""
    with pytest.raises(TypeError, match="object cannot be taken over"):
        await fence_now(object())  # type: ignore[arg-type]  # what no host should give
