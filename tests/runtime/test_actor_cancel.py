"""Stop stops one turn, at once, wherever it stands; what was said is kept, and the session goes on."""

from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import Limits, Receipt, RefusedError, Runtime, TextAppended, Turn, TurnEnded, TurnOverError, agent
from actors.core.ids import ChatId
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Ask,
    Call,
    Do,
    FaultyJournal,
    Hang,
    Hangs,
    IgnoreCancel,
    LateWrite,
    Raise,
    Return,
    Say,
    Script,
    ScriptedAgent,
    ScriptKey,
    Shield,
    VirtualClock,
    Wait,
    checked_runtime,
    settle,
)

CHAT = ChatId("live:a")


@pytest.mark.rule("promise_7", "T4", "promise_path_25")
async def test_a_running_turn_is_cancelled_at_once_and_what_it_said_is_kept(autojump_clock: MockClock) -> None:
    """The session takes the next message."""
    script = ScriptedAgent(scripts={(CHAT, 1): [Say("half"), Hang()]})
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(1.0)
        result = await receipt.cancel()
        assert trio.current_time() == 1.0
        assert (result.status, result.reason, result.text) == ("cancelled", "", "half")
        assert (await (await runtime.send(CHAT, "again")).result()).text == "ok"
        page = await runtime.history(CHAT)
    assert [(message.role, message.text, message.status) for message in page.messages] == [
        ("user", "hello", "cancelled"),
        ("assistant", "half", "cancelled"),
        ("user", "again", "completed"),
        ("assistant", "ok", "completed"),
    ]
    assert page.messages[1].parts[0].status == "cut"


async def test_a_queued_turn_is_cancelled_without_ever_running(autojump_clock: MockClock) -> None:
    """The one before it and the one after it are not touched."""
    script = ScriptedAgent([Wait(1.0), Say("ok")])
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, f"message {number}") for number in range(3)]
        assert (await receipts[1].cancel()).status == "cancelled"
        assert trio.current_time() == 0.0
        assert [(await receipt.result()).status for receipt in receipts] == ["completed", "cancelled", "completed"]
    assert [turn for _, turn, _ in script.runs] == [1, 3]


async def test_cancelling_a_turn_that_has_ended_changes_nothing(autojump_clock: MockClock) -> None:
    """However it ended, and in whichever life of the session."""
    script = ScriptedAgent(scripts={(CHAT, 2): [Raise(ValueError)]})
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, f"message {number}") for number in range(2)]
        results = [await receipt.result() for receipt in receipts]
        assert [await receipt.cancel() for receipt in receipts] == results
        await settle(runtime)
        await runtime.stop(CHAT)
        assert [await receipt.cancel() for receipt in receipts] == results
        assert runtime.statistics().turns == {"completed": 1, "failed": 1}


async def test_a_turn_cancelled_twice_ends_once(autojump_clock: MockClock) -> None:
    """Both who cancelled it hear the same."""
    journal = MemoryJournal()
    async with checked_runtime(ScriptedAgent([Say("half"), Shield(1.0)]), store=journal) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        results = []

        async def cancel() -> None:
            results.append(await receipt.cancel())

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(cancel)
                await trio.sleep(0.1)
        assert [result.status for result in results] == ["cancelled"] * 3
        bodies = [event.body for event in await journal.events(CHAT, 0, 100)]
    assert sum(isinstance(body, TurnEnded) for body in bodies) == 1


@pytest.mark.parametrize("waits_for", ["a tool", "a person", "room"])
async def test_a_turn_that_waits_is_cancelled_wherever_it_waits(waits_for: str, autojump_clock: MockClock) -> None:
    """For a tool, for a person, for the disk."""
    journal = FaultyJournal(MemoryJournal())
    scripts: dict[str, Script] = {
        "a tool": [Call("slow", seconds=1e6)],
        "a person": [Ask("may I?")],
        "room": [Say("x" * 2000, pieces=2000), Hang()],
    }
    limits = Limits(unsaved_bytes_max=1000)
    async with checked_runtime(ScriptedAgent(scripts[waits_for]), store=journal, limits=limits) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        if waits_for == "room":
            journal.plan("commit", Hangs())
        await trio.sleep(1.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receipt.cancel)
            await wait_all_tasks_blocked()
            assert runtime.inspect(CHAT).cancelling == (waits_for == "room"), "the others have ended already"
            journal.heal()
        assert (await receipt.result()).status == "cancelled"


async def test_a_turn_is_told_to_stop_while_the_disk_hangs(autojump_clock: MockClock) -> None:
    """The agent stops at once; that it has is written when the disk is back."""
    journal = FaultyJournal(MemoryJournal())
    stopped_at_s = list[float]()

    async def answer(turn: object) -> None:
        try:
            await turn.write("half")  # type: ignore[attr-defined]  # a turn
            await trio.sleep_forever()
        finally:
            stopped_at_s.append(trio.current_time())

    async with checked_runtime(answer, store=journal) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await wait_all_tasks_blocked()
        journal.plan("commit", Hangs())
        await trio.sleep(1.0)
        assert journal.hung == 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receipt.cancel)
            await trio.sleep(1.0)
            assert stopped_at_s == [1.0]
            journal.heal()
        assert (await receipt.result()).text == "half"


@pytest.mark.rule("pitfall_17", "pack_2")
async def test_an_agent_that_does_not_let_go_is_given_up_and_its_late_words_reach_nobody(
    autojump_clock: MockClock,
) -> None:
    """The next turn begins after the grace; what the old one still writes goes nowhere and is counted."""
    journal = MemoryJournal()
    scripts: dict[ScriptKey, Script] = {
        (CHAT, 1): [Say("half"), IgnoreCancel(20.0, "late")],
        (CHAT, 2): [Wait(60.0), Say("two")],
    }
    script = ScriptedAgent(scripts=scripts)
    limits = Limits(cancel_grace_s=5.0)
    async with checked_runtime(script, store=journal, limits=limits) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        following = await runtime.send(CHAT, "again")
        await trio.sleep(1.0)
        assert (await receipt.cancel()).text == "half"
        assert trio.current_time() == pytest.approx(6.0)
        assert (await following.result()).text == "two"
        statistics = runtime.statistics()
        assert (statistics.abandoned, statistics.late_output, statistics.crashes) == (1, 1, 0)
        texts = [
            event.body.text
            for event in await journal.events(CHAT, 0, 100)
            if isinstance(event.body, TextAppended) and event.body.text
        ]
    assert texts == ["half", "two"]
    assert len(script.errors) == 1


async def test_what_is_written_to_a_turn_after_its_end_reaches_nobody(autojump_clock: MockClock) -> None:
    """Neither the journal nor a viewer nor another session, however often it is tried."""
    journal = MemoryJournal()
    script = ScriptedAgent([Say("ok"), LateWrite("tardy")], {("live:b", 2): [Wait(1.0)]})
    async with checked_runtime(script, store=journal) as runtime:
        for chat_id in (CHAT, "live:b"):
            await runtime.create(chat_id)
            await (await runtime.send(chat_id, "hello")).result()
        seen = list[object]()
        running = await runtime.send("live:b", "again")
        async with runtime.subscribe("live:b", until=running) as stream:
            assert len(await script.write_late()) == 2
            async for item in stream:
                seen.append(item)
        assert runtime.statistics().late_output == 2
        assert "tardy" not in str(seen)
        for chat_id in (CHAT, "live:b"):
            assert "tardy" not in str((await runtime.history(chat_id)).messages)


async def test_an_agent_that_swallows_its_cancellation_and_returns_is_cancelled_all_the_same(
    autojump_clock: MockClock,
) -> None:
    """What it returns after it was told to stop is kept as far as it came in time."""
    script = ScriptedAgent([Say("half"), IgnoreCancel(1.0, " more"), Return(" last")])
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(1.0)
        result = await receipt.cancel()
        assert result.status == "cancelled"
        assert result.text.startswith("half")
        assert (await (await runtime.send(CHAT, "again")).cancel()).status == "cancelled"


async def test_a_queued_turn_is_cancelled_while_its_session_backs_off(autojump_clock: MockClock) -> None:
    """It is not run first and cancelled afterwards; nor is the caller left waiting."""
    go = trio.Event()
    script = ScriptedAgent([Say("ok")], {(CHAT, 1): [Wait(go), Raise(ValueError)], (CHAT, 2): [Wait(1000.0)]})
    limits = Limits(backoff_first_s=10.0)
    async with checked_runtime(script, limits=limits, clock=VirtualClock(rolls=[1.0])) as runtime:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, f"message {number}") for number in range(3)]
        go.set()
        await receipts[0].result()
        await trio.sleep(1.0)
        assert runtime.inspect(CHAT).phase == "restarting"
        assert (await receipts[1].cancel()).status == "cancelled"
        assert trio.current_time() < 20.0
        assert (await receipts[2].result()).text == "ok"


async def test_a_turn_is_cancelled_while_its_start_is_being_written(autojump_clock: MockClock) -> None:
    """Cancelled between its acceptance and its beginning, it ends as soon as it has begun."""
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        await runtime.create(CHAT)
    journal = FaultyJournal(MemoryJournal(store))
    async with checked_runtime(ScriptedAgent([Wait(50.0)]), store=journal) as runtime:
        first = await runtime.send(CHAT, "first")
        second = await runtime.send(CHAT, "second")
        journal.plan("commit", Hangs(), times=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.cancel)
            await wait_all_tasks_blocked()
            assert journal.hung == 1, "the end of the first and the start of the second are one write"
            nursery.start_soon(second.cancel)
            await wait_all_tasks_blocked()
            journal.heal()
        assert (await second.result()).status == "cancelled"
        assert trio.current_time() < 1.0


async def test_a_stop_that_comes_while_a_start_is_being_written_is_heard(autojump_clock: MockClock) -> None:
    """The turn is interrupted as soon as it has begun; nobody waits for its end."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(ScriptedAgent([Wait(50.0)]), store=journal) as runtime:
        await runtime.create(CHAT)
        journal.plan("commit", Hangs(), times=1)
        receipts = list[Receipt]()

        async def send() -> None:
            receipts.append(await runtime.send(CHAT, "hello"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            nursery.start_soon(runtime.stop, CHAT)
            await wait_all_tasks_blocked()
            journal.heal()
        assert trio.current_time() < 1.0
        result = await receipts[0].result()
        assert (result.status, result.reason) == ("interrupted", "stopped")


async def test_an_agent_that_shields_its_question_is_told_when_its_turn_is_over(autojump_clock: MockClock) -> None:
    """Given up after the grace, it does not wait for an answer that cannot come any more."""
    told = list[str]()

    async def ask(turn: Turn) -> None:
        with trio.CancelScope(shield=True):
            try:
                await turn.ask("anybody?")
            except TurnOverError:
                told.append("over")

    async with checked_runtime(ScriptedAgent([Do(ask)])) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(1.0)
        assert (await receipt.cancel()).status == "cancelled"
        await settle(runtime)
    assert told == ["over"]


async def test_an_agent_that_shields_a_write_is_told_when_its_session_is_killed(autojump_clock: MockClock) -> None:
    """Its words were waiting for a disk that hangs; nobody will write them, and it is not left waiting."""
    journal = FaultyJournal(MemoryJournal())
    told = list[str]()

    async def call(turn: Turn) -> None:
        await turn.write("said")
        await trio.sleep(1.0)
        with trio.CancelScope(shield=True):
            try:
                await turn.call("tool")
            except TurnOverError:
                told.append("over")

    async with checked_runtime(ScriptedAgent([Do(call)]), store=journal) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "hello")
        journal.plan("commit", Hangs())
        await trio.sleep(2.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.stop, CHAT)
            await trio.sleep(30.0)
            journal.heal()
    assert told == ["over"]


@pytest.mark.rule("M1", "pitfall_5")
async def test_cancelling_does_not_wait_behind_a_full_mailbox(autojump_clock: MockClock) -> None:
    """Control overtakes messages."""
    async with checked_runtime(agent(ScriptedAgent([Hang()], {(CHAT, 2): []})), limits=Limits(queue_turns_max=1)) as (
        runtime
    ):
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(send_quietly, runtime, number)
            await trio.lowlevel.checkpoint()
            assert (await receipt.cancel()).status == "cancelled"
        assert trio.current_time() == 0.0
        await runtime.stop(CHAT)


async def send_quietly(runtime: Runtime, number: int) -> None:
    """Send a message that may be refused."""
    with suppress(RefusedError):
        await runtime.send(CHAT, f"message {number}")
