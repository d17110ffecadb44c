"""The tools for tests are tools that can be trusted: they do what the script says, and they object."""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ChatId, Limits, Reject, Runtime, Turn, agent
from actors.store.memory import MemoryJournal
from actors.testing import (
    Ask,
    Call,
    Do,
    FaultyJournal,
    Flood,
    Hang,
    Hangs,
    IgnoreCancel,
    LateWrite,
    Raise,
    RaiseStray,
    Return,
    SaveState,
    Say,
    Script,
    ScriptedAgent,
    ScriptKey,
    Shield,
    Think,
    VirtualClock,
    Wait,
    actors_runtime,
    canonical,
    checked_runtime,
    records_of,
    settle,
    unsettled,
)

assert callable(actors_runtime), "a fixture that is imported is found by pytest"

CHAT = ChatId("live:a")


async def one_turn(*script: object, agent_of: ScriptedAgent | None = None) -> tuple[str, str, float]:
    """Run a script as one turn; return how it ended, what was said, and how long it took."""
    scripted = agent_of or ScriptedAgent(script)  # type: ignore[arg-type]  # steps
    async with checked_runtime(scripted) as runtime:
        await runtime.create(CHAT)
        began_s = trio.current_time()
        result = await (await runtime.send(CHAT, "hello")).result()
        return result.status, result.text, round(trio.current_time() - began_s, 3)


@pytest.mark.parametrize(
    ("script", "status", "text", "seconds"),
    [
        ([Say("abc")], "completed", "abc", 0.0),
        ([Say("abcdefg", pieces=3, every_s=0.5)], "completed", "abcdefg", 1.5),
        ([Say("ab", pieces=5)], "completed", "ab", 0.0),
        ([Think("hm"), Say("abc")], "completed", "abc", 0.0),
        ([Call("tool", seconds=2.0), Say("abc")], "completed", "abc", 2.0),
        ([Wait(3.0)], "completed", "", 3.0),
        ([Shield(3.0)], "completed", "", 3.0),
        ([Flood(1000, "ab")], "completed", "ab" * 1000, 0.0),
        ([SaveState({"n": 1}), Return("abc"), Say("never")], "completed", "abc", 0.0),
        ([Say("abc"), Raise(ValueError)], "failed", "abc", 0.0),
        ([Raise(ValueError("text"))], "failed", "", 0.0),
        ([Raise(Reject("no"))], "failed", "", 0.0),
        ([RaiseStray()], "failed", "", 0.0),
        ([RaiseStray(beside=(ValueError(),))], "failed", "", 0.0),
        ([RaiseStray(grouped=True)], "failed", "", 0.0),
        ([Hang()], "failed", "", 3600.0),
        ([], "completed", "", 0.0),
    ],
    ids=str,
)
async def test_a_step_does_what_it_says(
    script: Script, status: str, text: str, seconds: float, autojump_clock: MockClock
) -> None:
    """One step, or a few, as one turn."""
    assert await one_turn(*script) == (status, text, seconds)


async def test_the_script_of_an_attempt_wins_over_its_turn_its_chat_and_the_default(autojump_clock: MockClock) -> None:
    """The closest one that was given is followed, and every run is noted."""
    scripts: dict[ScriptKey, Script] = {CHAT: [Say("chat")], (CHAT, 2): [Say("turn")], (CHAT, 3, 1): [Say("attempt")]}
    script = ScriptedAgent([Say("default")], scripts)
    async with checked_runtime(script) as runtime:
        said = []
        for chat_id in (CHAT, "live:b"):
            await runtime.create(chat_id)
            for _ in range(3):
                said.append((await (await runtime.send(chat_id, "hello")).result()).text)
    assert said == ["chat", "turn", "attempt", "default", "default", "default"]
    assert script.runs == [(chat_id, turn, 1) for chat_id in (CHAT, "live:b") for turn in (1, 2, 3)]


async def test_a_script_can_wait_for_its_test_and_ask_it(autojump_clock: MockClock) -> None:
    """An event that the test sets, a question that it answers, a function of its own."""
    go, seen = trio.Event(), list[str]()

    async def look(turn: Turn) -> None:
        seen.append(turn.text)

    script = ScriptedAgent([Wait(go), Do(look), Ask("which?", "choice", ("a", "b"))])
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(5.0)
        assert seen == []
        go.set()
        await wait_all_tasks_blocked()
        await runtime.answer(CHAT, 1, 0, "b")
        assert (await receipt.result()).ok
    assert (seen, script.answers) == (["hello"], ["b"])


async def test_an_agent_can_ignore_its_cancellation_and_keep_its_turn(autojump_clock: MockClock) -> None:
    """What it was told is kept for the test to look at."""
    script = ScriptedAgent([LateWrite("late"), Call("tool", times=2), IgnoreCancel(10.0, "more")])
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(1.0)
        assert (await receipt.cancel()).status == "cancelled"
        await trio.sleep(10.0)
        assert [type(error).__name__ for error in await script.write_late()] == ["TurnOverError"]
        assert await script.write_late() == []
    assert [type(error).__name__ for error in script.errors] == ["TurnOverError", "TurnOverError"]


async def test_the_clock_is_held_by_the_test(autojump_clock: MockClock) -> None:
    """Wall time follows trio's clock and jumps when told to; dice, ids and busy time repeat."""
    clock = VirtualClock(7, wall_s=1000.0, rolls=[0.25, 0.5])
    await trio.sleep(5.0)
    assert (clock.now_s(), clock.wall_s()) == (5.0, 1005.0)
    clock.jump(-86_400.0)
    assert (clock.now_s(), clock.wall_s()) == (5.0, 1005.0 - 86_400.0)
    assert [clock.dice(), clock.dice()] == [0.25, 0.5]
    again, other = VirtualClock(7, wall_s=1000.0 - 86_400.0), VirtualClock(8)
    assert [clock.dice() for _ in range(5)] == [again.dice() for _ in range(5)]
    assert clock.mint_id() == again.mint_id()
    assert other.mint_id() != VirtualClock(9).mint_id()
    assert [again.busy_s() for _ in range(3)] == pytest.approx([1e-6, 2e-6, 3e-6])


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0, -1e9])
async def test_a_wall_clock_that_jumps_changes_no_order_and_no_number(jump_s: float, autojump_clock: MockClock) -> None:
    """Time of day is for people; nothing is ordered by it."""
    clock, journal = VirtualClock(), MemoryJournal()
    async with checked_runtime(ScriptedAgent([Say("a b", pieces=3, every_s=0.2)]), clock=clock, store=journal) as (
        runtime
    ):
        await runtime.create(CHAT)
        for _ in range(4):
            receipt = await runtime.send(CHAT, "hello")
            await trio.sleep(0.3)
            clock.jump(jump_s)
            assert (await receipt.result()).text == "a b"
        events = await journal.events(CHAT, 0, 1000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def leave_an_open_turn(runtime: Runtime) -> None:
    """Leave a turn that does not end in time."""
    await runtime.send(CHAT, "hello")


async def leave_a_subscriber(runtime: Runtime) -> None:
    """Leave a subscription that nobody closes."""
    await runtime.subscribe(CHAT).__aenter__()


async def leave_a_task(runtime: Runtime) -> None:
    """Leave a task among those of the sessions."""
    runtime._services.spawn(trio.sleep_forever)  # noqa: SLF001 - as a bug would


async def leave_a_letter(runtime: Runtime) -> None:
    """Leave a message behind a handler that hangs."""
    for _ in range(2):
        await runtime.tell(CHAT, "hello")


async def leave_a_wrong_sum(runtime: Runtime) -> None:
    """Lose count of an envelope."""
    runtime._router.sent += 1  # noqa: SLF001 - as a bug would


async def hang(session: object, payload: object) -> None:
    """Never return."""
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("leave", "sentence"),
    [
        (leave_an_open_turn, "live:a has 1 turns open"),
        (leave_a_subscriber, "live:a has 1 subscribers"),
        (leave_a_task, "tasks run for"),
        (leave_a_letter, "live:a has 1 messages in its mailbox"),
        (leave_a_letter, "live:a has 1 handlers that run"),
        (leave_a_wrong_sum, "the sums are wrong"),
    ],
)
async def test_what_a_test_leaves_behind_fails_it(
    leave: Callable[[Runtime], Awaitable[None]], sentence: str, autojump_clock: MockClock
) -> None:
    """By name, so that it can be found; and the runtime is closed all the same."""
    with pytest.raises(AssertionError, match=sentence):
        limits = Limits(handler_s=86_400.0)
        async with checked_runtime(agent(ScriptedAgent([Hang()]), receive=hang), limits=limits) as runtime:
            await runtime.create(CHAT)
            await leave(runtime)
    assert runtime.statistics().stopping
    assert runtime.statistics().sessions_live == 0


async def test_a_test_that_fails_is_not_blamed_for_what_it_left(autojump_clock: MockClock) -> None:
    """Its own error is the one that is seen."""
    with pytest.raises(KeyError):
        async with checked_runtime(ScriptedAgent([Hang()])) as runtime:
            await runtime.create(CHAT)
            await runtime.send(CHAT, "hello")
            raise KeyError


async def test_open_turns_can_be_allowed(autojump_clock: MockClock) -> None:
    """For tests of what happens to them; everything else is still checked."""
    async with checked_runtime(ScriptedAgent([Hang()]), open_turns=True) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "hello")
        await settle(runtime, open_turns=True)
        assert unsettled(runtime, open_turns=True) == []
        assert unsettled(runtime) == ["live:a has 1 turns open"]
    with pytest.raises(AssertionError, match="subscribers"):
        async with checked_runtime(open_turns=True) as runtime:
            await runtime.create(CHAT)
            await leave_a_subscriber(runtime)


async def test_a_write_that_hangs_keeps_the_runtime_from_its_rest(autojump_clock: MockClock) -> None:
    """And is named."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        await runtime.create(CHAT)
        async with trio.open_nursery() as nursery:
            journal.plan("commit", Hangs())
            nursery.start_soon(runtime.send, CHAT, "hello")
            await wait_all_tasks_blocked()
            with pytest.raises(AssertionError, match="writes under way"):
                await settle(runtime, within_s=10.0)
            journal.heal()


async def test_equal_conversations_are_stored_as_equal_bytes(autojump_clock: MockClock) -> None:
    """At other times, in other lives; one word more is another conversation."""
    stored = []
    for number, word in enumerate(("same", "same", "other")):
        journal = MemoryJournal()
        async with checked_runtime(ScriptedAgent([Say(word)]), store=journal) as runtime:
            await trio.sleep(float(number))
            await runtime.create(CHAT)
            await (await runtime.send(CHAT, "hello", message_id="key")).result()
            stored.append(await canonical(journal, CHAT))
    assert stored[0] == stored[1] != stored[2]
    assert stored[0].startswith(b"1 {")


async def test_the_records_of_a_log_in_memory_can_be_read(autojump_clock: MockClock) -> None:
    """One dictionary for each line."""
    log = BytesIO()
    async with checked_runtime(log=log) as runtime:
        await runtime.create(CHAT)
    records = records_of(log)
    assert (records[0]["event"], records[-1]["event"]) == ("runtime.opened", "runtime.closed")


async def test_the_fixture_gives_checked_runtimes_on_a_clock_that_jumps(
    autojump_clock: MockClock,
    actors_runtime: Callable[..., Any],
) -> None:
    """As a host would use it."""
    async with actors_runtime(ScriptedAgent([Wait(1000.0), Say("ok")])) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "hello")).result()).text == "ok"


async def test_the_fixture_refuses_a_clock_that_does_not_jump(
    actors_runtime: Callable[..., Any],
) -> None:
    """A test that forgot to name the clock would wait for real time."""
    with pytest.raises(AssertionError, match="autojump_clock"):
        actors_runtime()


def test_a_program_that_uses_the_package_does_not_import_pytest() -> None:
    """The tools are for tests; a host that runs pays nothing for them."""
    program = (
        "import sys, actors, actors.host; assert 'pytest' not in sys.modules and 'actors.testing' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_tools_work_without_pytest() -> None:
    """A host may test with something else; only the fixture is missing then."""
    program = (
        "import sys; sys.modules['pytest'] = None; import actors.testing as t;"
        " assert not hasattr(t, 'actors_runtime') and t.checked_runtime"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
