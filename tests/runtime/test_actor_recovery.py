"""What an earlier life left running is settled once, before anything else; what it left queued goes on."""

from collections.abc import Sequence
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    AttemptInterrupted,
    Event,
    InvalidEnvelopeError,
    Limits,
    StoreCorruptError,
    TextAppended,
    Turn,
    TurnEnded,
    TurnStarted,
    UnavailableError,
    agent,
)
from actors.core.ids import ChatId
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Call,
    Do,
    Fails,
    Fault,
    FaultyJournal,
    Hang,
    Hangs,
    Raise,
    SaveState,
    Say,
    Script,
    ScriptedAgent,
    ScriptKey,
    Wait,
    canonical,
    checked_runtime,
    records_of,
    settle,
)

CHAT = ChatId("live:a")


class Killed(BaseException):
    """Stands for the end of a process: raised out of a block, it leaves the runtime no time to drain."""


async def kill(store: MemoryStore, script: ScriptedAgent, chats: Sequence[str] = (CHAT,), messages: int = 3) -> None:
    """Live one life that ends like a process: sessions with one turn running and the others queued."""
    inner = MemoryJournal(store)
    journal = FaultyJournal(inner)
    with pytest.raises(Killed):
        async with checked_runtime(script, store=journal) as runtime:
            for chat_id in chats:
                await runtime.create(chat_id)
                for number in range(messages):
                    await runtime.send(chat_id, f"message {number}", message_id=f"key.{number}")
            await trio.sleep(10.0)
            journal.plan("commit", Hangs())  # from here on nothing reaches the disk, as if it were not there
            raise Killed
    assert store.owner is None


async def events_in(store: MemoryStore, chat_id: str = CHAT) -> tuple[Event, ...]:
    """Read a store that nobody owns, without leaving a trace in it."""
    chat = store.chats[chat_id]
    return tuple(chat.events)


def ends_in(events: Sequence[Event]) -> list[tuple[int, int, str, str]]:
    """List how turns ended: number, attempt, status, reason."""
    bodies = [event.body for event in events]
    return [(b.turn, b.attempt, str(b.status), b.reason) for b in bodies if isinstance(b, TurnEnded)]


@pytest.mark.rule("promise_4", "promise_path_18", "M4")
async def test_a_turn_that_was_running_is_marked_and_what_was_queued_goes_on(autojump_clock: MockClock) -> None:
    """Its partial text is kept, its calls are sealed, and nobody runs it again."""
    store = MemoryStore()
    half: Script = [Say("half"), Call("tool", result=None), Hang()]
    await kill(store, ScriptedAgent(scripts={(CHAT, 1): half}))
    script = ScriptedAgent()
    async with checked_runtime(script, store=MemoryJournal(store)) as runtime:
        assert runtime.statistics().interrupted == 1, "settled before anything is taken"
        assert runtime.inspect(CHAT).running_turn != 1
        await settle(runtime)
        messages = (await runtime.history(CHAT)).messages
    assert ends_in(await events_in(store)) == [
        (1, 1, "interrupted", "process_ended"),
        (2, 1, "completed", ""),
        (3, 1, "completed", ""),
    ]
    assert [turn for _, turn, _ in script.runs] == [2, 3]
    assert [(m.role, m.text, m.status) for m in messages[:2]] == [
        ("user", "message 0", "interrupted"),
        ("assistant", "half", "interrupted"),
    ]


async def test_opening_again_changes_nothing_once_everything_is_settled(autojump_clock: MockClock) -> None:
    """Hydrating twice changes no byte."""
    store = MemoryStore()
    await kill(store, ScriptedAgent(scripts={(CHAT, 1): [Say("half"), Hang()]}))
    stored = []
    for _ in range(3):
        journal = MemoryJournal(store)
        async with checked_runtime(store=journal) as runtime:
            await settle(runtime)
            stored.append(await canonical(journal, CHAT))
    assert stored[0] == stored[1] == stored[2]


@pytest.mark.rule("promise_path_20", "promise_path_23", "pitfall_11")
async def test_a_turn_is_begun_again_under_the_policy_retry_and_counted_before_each_run(
    autojump_clock: MockClock,
) -> None:
    """What an interrupted attempt said is set aside; the attempts are bounded; then it is marked."""
    store = MemoryStore()
    for life in (1, 2, 3):
        script = ScriptedAgent([Say(f"attempt {life}"), Hang()])
        await kill_again(store, script, create=life == 1)
        assert script.runs[0] == (CHAT, 1, life)
    script = ScriptedAgent([Say("ok")])
    async with checked_runtime(agent(script, on_interrupted="retry", attempts_max=3), store=MemoryJournal(store)) as (
        runtime
    ):
        await settle(runtime)
        messages = (await runtime.history(CHAT)).messages
    assert ends_in(await events_in(store)) == [(1, 3, "interrupted", "attempts"), (2, 1, "completed", "")]
    assert [message.text for message in messages] == ["message 0", "attempt 3", "message 1", "ok"]
    assert script.runs == [(CHAT, 2, 1)]


async def kill_again(store: MemoryStore, script: ScriptedAgent, *, create: bool) -> None:
    """Live another life under the policy retry, and end it while the first turn runs."""
    journal = FaultyJournal(MemoryJournal(store))
    retrying = agent(script, on_interrupted="retry", attempts_max=3)
    with pytest.raises(Killed):
        async with checked_runtime(retrying, store=journal) as runtime:
            if create:
                await runtime.create(CHAT)
                for number in range(2):
                    await runtime.send(CHAT, f"message {number}")
            await trio.sleep(10.0)
            journal.plan("commit", Hangs())
            raise Killed


async def test_an_attempt_that_is_retried_and_succeeds_shows_nothing_of_the_one_before(
    autojump_clock: MockClock,
) -> None:
    """Its state, its text and its calls begin anew; the journal keeps both."""
    store = MemoryStore()
    first: Script = [SaveState({"n": 1}), Say("old words"), Call("tool"), Hang()]
    seen: list[object] = []

    async def look(turn: Turn) -> None:
        seen.append((turn.state, turn.attempt, [message.text for message in turn.history]))

    script = ScriptedAgent([Do(look), Say("new words")], {(CHAT, 1, 1): first})
    await kill_again(store, script, create=True)
    journal = MemoryJournal(store)
    async with checked_runtime(agent(script, on_interrupted="retry"), store=journal) as runtime:
        receipt = await runtime.send(CHAT, "message 0", message_id="other")
        await receipt.result()
        events = await journal.events(CHAT, 0, 1000)
        messages = [message for message in (await runtime.history(CHAT)).messages if message.turn == 1]
    assert seen[0] == (None, 2, ["message 0"])
    assert [message.text for message in messages] == ["message 0", "new words"]
    kinds = [type(event.body) for event in events]
    assert kinds.count(AttemptInterrupted) == 1
    texts = [event.body.text for event in events if isinstance(event.body, TextAppended)]
    assert "".join(texts).startswith("old words")


async def test_a_waiter_of_the_next_life_hears_the_end_of_what_was_interrupted(autojump_clock: MockClock) -> None:
    """The same key gives the first receipt, and its result is the interruption with the text that was kept."""
    store = MemoryStore()
    await kill(store, ScriptedAgent(scripts={(CHAT, 1): [Say("half"), Hang()]}))
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        receipt = await runtime.send(CHAT, "message 0", message_id="key.0")
        assert receipt.duplicate
        result = await receipt.result()
        assert (result.status, result.reason, result.text) == ("interrupted", "process_ended", "half")
        with pytest.raises(InvalidEnvelopeError):
            await runtime.answer(CHAT, f"{CHAT}/1/0", "too late")


async def test_two_hundred_sessions_are_settled_before_the_runtime_opens(autojump_clock: MockClock) -> None:
    """Each once, not more than so many at a time, and each goes on with its own queue."""
    store = MemoryStore()
    chats = [ChatId(f"live:{number}") for number in range(200)]
    await kill(store, ScriptedAgent([Say("half"), Hang()]), chats, messages=2)
    script = ScriptedAgent([Wait(1.0), Say("ok")])
    log = BytesIO()
    async with checked_runtime(script, store=MemoryJournal(store), limits=Limits(activations_max=10), log=log) as (
        runtime
    ):
        statistics = runtime.statistics()
        assert statistics.interrupted == 200
        assert statistics.turns["interrupted"] == 200
        await settle(runtime)
        assert runtime.statistics().turns == {"interrupted": 200, "completed": 200}
    for chat_id in chats:
        ends = ends_in(await events_in(store, chat_id))
        assert ends == [(1, 1, "interrupted", "process_ended"), (2, 1, "completed", "")]
    assert [record["event"] for record in records_of(log)].count("turn.interrupted") == 200
    assert len(script.runs) == 200


async def test_a_session_that_cannot_be_read_is_kept_out_and_stops_no_other(autojump_clock: MockClock) -> None:
    """It is quarantined with a record that names it; the others are settled and answer."""
    store = MemoryStore()
    chats = [CHAT, ChatId("live:b"), ChatId("live:c")]
    await kill(store, ScriptedAgent([Say("half"), Hang()]), chats, messages=1)
    journal = FaultyJournal(MemoryJournal(store))
    journal.plan("load", Fails(StoreCorruptError("rows contradict each other")), chat_id="live:b")
    log = BytesIO()
    async with checked_runtime(store=journal, log=log) as runtime:
        assert runtime.inspect("live:b").phase == "quarantined"
        with pytest.raises(UnavailableError):
            await runtime.send("live:b", "hello")
        for chat_id in ("live:a", "live:c"):
            assert (await (await runtime.send(chat_id, "hello")).result()).ok
        journal.heal()
        runtime.release("live:b")
        assert (await (await runtime.send("live:b", "hello")).result()).ok
    corrupt = [record for record in records_of(log) if record["event"] == "session.corrupt"]
    assert [record["chat_id"] for record in corrupt] == ["live:b"]
    assert ends_in(await events_in(store, ChatId("live:b")))[0] == (1, 1, "interrupted", "process_ended")


@pytest.mark.parametrize("fault", [Hangs(), Fails()])
@pytest.mark.parametrize("operation", ["load", "messages", "commit"])
async def test_a_session_that_gets_no_further_does_not_keep_the_runtime_from_opening(
    operation: str, fault: Fault, autojump_clock: MockClock
) -> None:
    """The others are settled first; it takes nothing before it has recovered, and does so when the disk is back."""
    store = MemoryStore()
    await kill(store, ScriptedAgent([Say("half"), Hang()]), [CHAT, ChatId("live:b")], messages=2)
    journal = FaultyJournal(MemoryJournal(store))
    journal.plan(operation, fault, chat_id=CHAT)  # type: ignore[arg-type]  # one of the operations
    began_s = trio.current_time()
    async with checked_runtime(store=journal) as runtime:
        assert trio.current_time() - began_s < 30.0
        async with trio.open_nursery() as nursery:

            async def send(chat_id: str) -> None:
                assert (await (await runtime.send(chat_id, "hello")).result()).ok

            nursery.start_soon(send, CHAT)
            if operation != "commit":
                await send("live:b")
            assert runtime.inspect(CHAT).phase in {"activating", "restarting"}
            journal.heal()
        assert runtime.statistics().turns == {"interrupted": 2, "completed": 3 if operation == "commit" else 4}
    assert ends_in(await events_in(store))[0] == (1, 1, "interrupted", "process_ended")


@pytest.mark.parametrize("operation", ["load", "messages", "events", "find"])
async def test_work_that_was_accepted_waits_while_its_session_cannot_be_read(
    operation: str, autojump_clock: MockClock
) -> None:
    """A disk that does not answer costs no budget, interrupts no turn, and loses no message; it goes on by itself."""
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        await runtime.create(CHAT, history=[("system", "be short")])
        await (await runtime.send(CHAT, "before")).result()
    journal = FaultyJournal(MemoryJournal(store))
    script = ScriptedAgent()
    async with checked_runtime(script, store=journal) as runtime:
        journal.plan(operation, Fails(), times=5)  # type: ignore[arg-type]  # one of the operations
        results = []

        async def converse(number: int) -> None:
            receipt = await runtime.send(CHAT, f"message {number}", message_id=f"key.{number}")
            results.append(await receipt.result())

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(converse, number)
                await wait_all_tasks_blocked()
        statistics = runtime.statistics()
        assert [result.status for result in results] == ["completed"] * 3
        assert (statistics.quarantines, statistics.crashes, statistics.interrupted) == (0, 0, 0)
        assert runtime.inspect(CHAT).phase == "active"
    assert [turn for _, turn, _ in script.runs] == [2, 3, 4]


@pytest.mark.rule("pack_11")
@pytest.mark.parametrize("operation", ["load", "messages", "find"])
async def test_a_journal_that_raises_what_it_should_not_costs_one_session_and_answers_everybody(
    operation: str, autojump_clock: MockClock
) -> None:
    """A bug of an adapter is judged like a crash: the budget is spent, senders are refused, others go on."""
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        for chat_id in (CHAT, "live:b"):
            await runtime.create(chat_id)
    journal = FaultyJournal(MemoryJournal(store))
    async with checked_runtime(store=journal) as runtime:
        journal.plan(operation, Fails(ZeroDivisionError()), chat_id=CHAT)  # type: ignore[arg-type]  # an operation
        with pytest.raises(UnavailableError) as caught:
            await runtime.send(CHAT, "hello", message_id="key")
        assert caught.value.reason == "quarantined"
        assert (await (await runtime.send("live:b", "hello", message_id="key")).result()).ok
        assert runtime.statistics().quarantines == 1


async def test_a_session_is_active_as_soon_as_it_has_recovered(autojump_clock: MockClock) -> None:
    """Also after a crash with turns that wait, when nothing else wakes it."""
    script = ScriptedAgent([Hang()], {(CHAT, 1): [Wait(1.0), Raise(ValueError)]})
    async with checked_runtime(script, open_turns=True) as runtime:
        await runtime.create(CHAT)
        for number in range(2):
            await runtime.send(CHAT, f"message {number}")
        await trio.sleep(30.0)
        inspection = runtime.inspect(CHAT)
        assert (inspection.incarnation, inspection.running_turn, inspection.phase) == (2, 2, "active")


async def test_a_stopped_session_comes_up_with_its_next_message_and_goes_on_with_its_queue(
    autojump_clock: MockClock,
) -> None:
    """What was running when it was stopped is interrupted, and what was queued is still there."""
    script = ScriptedAgent([Say("ok")], {(CHAT, 1): [Say("half"), Hang()]})
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, f"message {number}") for number in range(3)]
        await runtime.stop(CHAT)
        assert (await receipts[0].result()).status == "interrupted"
        for receipt in receipts[1:]:
            with pytest.raises(UnavailableError):
                await receipt.result()
        last = await runtime.send(CHAT, "again")
        assert [(await receipt.result()).status for receipt in (*receipts[1:], last)] == ["completed"] * 3
    assert [turn for _, turn, _ in script.runs] == [1, 2, 3, 4]


@pytest.mark.rule("promise_path_22")
async def test_the_start_of_every_attempt_is_on_disk_before_its_agent_runs(autojump_clock: MockClock) -> None:
    """A crash of the process counts, whatever the agent did."""
    journal = MemoryJournal()
    started: list[bool] = []

    async def look(turn: Turn) -> None:
        bodies = [event.body for event in await journal.events(turn.chat_id, 0, 1000)]
        started.append(TurnStarted(turn.number, turn.attempt) in bodies)

    scripts: dict[ScriptKey, Script] = {CHAT: [Do(look)]}
    async with checked_runtime(ScriptedAgent(scripts=scripts), store=journal) as runtime:
        await runtime.create(CHAT)
        for number in range(5):
            await runtime.send(CHAT, f"message {number}")
    assert started == [True] * 5
