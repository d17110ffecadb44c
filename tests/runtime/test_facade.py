"""The runtime as its host holds it: sessions come into being once, are looked at in any state, and are counted."""

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ChatId,
    Limits,
    Message,
    Runtime,
    Seed,
    SeedPart,
    StoreError,
    UnknownChatError,
    agent,
)
from actors.runtime.directory import SeedLike
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Ask,
    Call,
    Delays,
    Fails,
    FaultyJournal,
    Hang,
    Raise,
    Say,
    ScriptedAgent,
    Wait,
    checked_runtime,
    settle,
)

CHAT = ChatId("live:a")

BAD_SEEDS: list[SeedLike] = [
    ("king", "hello"),
    ("user", "\ud800"),
    ("user", "x" * 2000),
    ("user", 7),  # type: ignore[list-item]  # on purpose
    Seed("", "user", (SeedPart("text", "hello"),)),
    Seed("x" * 129, "user", (SeedPart("text", "hello"),)),
    Seed("\ud800", "user", (SeedPart("text", "hello"),)),
    Seed("m", "user", (SeedPart("song", "la"),)),  # type: ignore[arg-type]  # on purpose
    Seed("m", "user", (SeedPart("text", "hello", name="\ud800"),)),
    Seed("m", "user", (SeedPart("text", "hello", call_id="\ud800"),)),
]
"""Messages that no history can begin with, some of which no disk could hold."""


@pytest.mark.rule("I1", "pitfall_26")
async def test_looking_at_a_session_is_immediate_while_its_turn_hangs(autojump_clock: MockClock) -> None:
    """The last committed state and the facts of the running turn; nothing is waited for and nothing changes."""
    script = ScriptedAgent([Say("half"), Call("tool", result=None), Ask("may I?")])
    async with checked_runtime(script, open_turns=True) as runtime:
        await runtime.create(CHAT)
        for number in range(3):
            await runtime.send(CHAT, f"message {number}")
        await wait_all_tasks_blocked()
        before_s = trio.current_time()
        inspection, statistics = runtime.inspect(CHAT), runtime.statistics()
        assert trio.current_time() == before_s
        assert (inspection.phase, inspection.status, inspection.running_turn) == ("active", "waiting", 1)
        assert (inspection.queued_turns, inspection.open_calls, inspection.open_prompts) == (2, 1, 1)
        assert (inspection.turns, inspection.running_attempt, inspection.cancelling) == (3, 1, False)
        assert (statistics.turns_open, statistics.sessions_live, statistics.tool_calls) == (3, 1, 1)
        await trio.sleep(1000.0)
        later = runtime.inspect(CHAT)
        assert later.turn_age_s == pytest.approx(1000.0, abs=1.0)
        assert attrs.evolve(later, turn_age_s=inspection.turn_age_s) == inspection, "a look never ends a turn"


async def test_looking_at_a_session_that_is_not_live_does_not_bring_it_up(autojump_clock: MockClock) -> None:
    """Nor does reading its history, or listing it."""
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        assert runtime.inspect(CHAT).phase == "absent"
        assert len((await runtime.history(CHAT)).messages) == 2
        assert await runtime.sessions() == (CHAT,)
        statistics = runtime.statistics()
        assert (statistics.sessions_known, statistics.sessions_live, statistics.phases) == (1, 0, {})


async def test_sessions_are_listed_in_pages_in_order(autojump_clock: MockClock) -> None:
    """Every id once, whatever the size of a page."""
    async with checked_runtime(limits=Limits(page_rows_max=7)) as runtime:
        expected = sorted([await runtime.create(f"live:{number:03}") for number in range(40)])
        listed: list[str] = []
        while page := await runtime.sessions(after=listed[-1] if listed else ""):
            assert len(page) <= 7
            listed += page
        assert listed == expected


async def test_history_is_read_in_whole_turns_from_the_last_one_backwards(autojump_clock: MockClock) -> None:
    """Together the pages hold every message once, in order."""
    async with checked_runtime(limits=Limits(page_rows_max=5)) as runtime:
        await runtime.create(CHAT, history=[("system", "be short")])
        for number in range(10):
            await (await runtime.send(CHAT, f"message {number}")).result()
        messages: list[Message] = []
        before: int | None = None
        while True:
            page = await runtime.history(CHAT, before_turn=before)
            messages[:0] = page.messages
            before = page.before_turn
            if before is None:
                break
    assert [m.text for m in messages if m.role == "user"] == [f"message {number}" for number in range(10)]
    assert messages[0].role == "system"
    assert len(messages) == 21


async def test_an_error_of_the_store_reaches_who_reads(autojump_clock: MockClock) -> None:
    """And nobody else."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        await runtime.create(CHAT)
        journal.plan("messages", Fails(), times=1)
        journal.plan("sessions", Fails(), times=1)
        with pytest.raises(StoreError):
            await runtime.history(CHAT)
        with pytest.raises(StoreError):
            await runtime.sessions()
        assert (await runtime.history(CHAT)).messages == ()


@pytest.mark.rule("promise_8")
async def test_the_statistics_show_every_bound_and_the_sums_close(autojump_clock: MockClock) -> None:
    """What was sent is what was refused, given up, executed, dead, withdrawn or queued."""
    limits = Limits(queue_turns_max=1, mailbox_messages_max=7)
    async with checked_runtime(ScriptedAgent([Wait(1.0)]), limits=limits) as runtime:
        await runtime.create(CHAT)
        for number in range(5):
            try:
                await runtime.send(CHAT, f"message {number}")
            except Exception:  # noqa: BLE001, S112 - refused, which is what is counted
                continue
        statistics = runtime.statistics()
        assert statistics.limits is limits
        assert (statistics.sent, statistics.letters.executed, statistics.dropped) == (5, 5, {"queue_full": 3})
        assert statistics.closed
        assert statistics.epoch == runtime.epoch == 1


async def test_a_result_is_told_to_everybody_who_waits_for_it(autojump_clock: MockClock) -> None:
    """Before the end, at the end, and long after; one who gives up takes nothing from the others."""
    async with checked_runtime(ScriptedAgent([Wait(1.0), Say("ok")])) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        results: list[str] = []

        async def wait(patience_s: float) -> None:
            with trio.move_on_after(patience_s):
                results.append((await receipt.result()).text)

        async with trio.open_nursery() as nursery:
            for patience_s in (0.5, 5.0, 5.0, 0.9, 5.0):
                nursery.start_soon(wait, patience_s)
        assert results == ["ok"] * 3
        await settle(runtime)
        assert (await receipt.result()).text == "ok"
        await runtime.stop(CHAT)
        assert (await receipt.result()).text == "ok"
        await runtime.delete(CHAT)
        with pytest.raises(UnknownChatError):
            await receipt.result()


async def test_a_receipt_waits_for_a_session_that_is_coming_up_again(autojump_clock: MockClock) -> None:
    """A receipt of an earlier life of the session is as good as one of this."""
    journal = FaultyJournal(MemoryJournal())
    script = ScriptedAgent([Say("ok")], {(CHAT, 1): [Hang()]})
    async with checked_runtime(script, store=journal) as runtime:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, f"message {number}") for number in range(2)]
        await runtime.stop(CHAT)
        journal.plan("load", Delays(5.0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.send, CHAT, "again")
            await trio.sleep(1.0)
            assert runtime.inspect(CHAT).phase == "activating"
            assert (await receipts[1].result()).text == "ok"


@pytest.mark.parametrize("script", [[Raise(ValueError)], [Hang()], [Say("ok")]])
async def test_stopping_a_session_twice_at_once_is_stopping_it_once(
    script: list[object], autojump_clock: MockClock
) -> None:
    """Both callers return when it is over."""
    async with checked_runtime(ScriptedAgent(script)) as runtime:  # type: ignore[arg-type]  # steps
        await runtime.create(CHAT)
        await runtime.send(CHAT, "hello")
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(runtime.stop, CHAT)
        assert runtime.inspect(CHAT).phase == "absent"
        await runtime.stop(CHAT)


async def test_volatile_messages_that_wait_are_handled_before_their_session_stops(autojump_clock: MockClock) -> None:
    """Stopping is not killing: what was queued runs, what comes now is refused."""
    handled: list[object] = []

    async def receive(session: object, payload: object) -> None:
        await trio.sleep(0.1)
        handled.append(payload)

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        await runtime.create(CHAT)
        for number in range(10):
            await runtime.tell(CHAT, number)
        await wait_all_tasks_blocked()
        await stop_and_see(runtime)
        assert handled == list(range(10))


async def stop_and_see(runtime: Runtime) -> None:
    """Stop the session and see it gone."""
    await runtime.stop(CHAT)
    assert runtime.statistics().sessions_live == 0


async def test_what_is_asked_of_a_session_after_the_end_of_the_runtime_does_nothing(autojump_clock: MockClock) -> None:
    """A session that was never up, one that was, one in quarantine: none is live, so there is nothing to stop."""
    scripted = ScriptedAgent([Say("ok")], {"live:c": [Raise(ValueError)]})
    chats = ["live:a", "live:b", "live:c"]
    async with checked_runtime(scripted, limits=Limits(restarts_max=0)) as runtime:
        for chat in chats:
            await runtime.create(chat)
        for chat in chats[1:]:
            await (await runtime.send(chat, "hello")).result()
        await trio.sleep(1.0)
    with trio.fail_after(1.0):
        for chat in chats:
            runtime.release(chat)
            await runtime.stop(chat)
            await runtime.passivate(chat)
