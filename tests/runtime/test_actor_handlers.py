"""Volatile messages: handled one at a time, in order, once; an ask ends in exactly one of its outcomes."""

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    AskError,
    AskTimeoutError,
    ConfigurationError,
    DeadlockError,
    HandlerError,
    Limits,
    OverloadedError,
    Reject,
    Runtime,
    Session,
    UnavailableError,
    agent,
)
from actors.runtime.agent import Agent
from actors.store.memory import MemoryJournal
from actors.testing import (
    Call,
    FaultyJournal,
    Hang,
    Hangs,
    Say,
    ScriptedAgent,
    Wait,
    checked_runtime,
    records_of,
    settle,
)

CHATS = ("live:a", "live:b", "live:c")

RAISED: list[BaseException] = [
    ValueError("private"),
    KeyboardInterrupt(),
    SystemExit(1),
    GeneratorExit(),
    StopAsyncIteration(),
    asyncio.CancelledError(),
    BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [KeyboardInterrupt(), ValueError()])]),
]


class Desk:
    """A handler that does what its messages say, and keeps what it was given."""

    def __init__(self) -> None:
        """Start without a runtime to ask back."""
        self.seen: list[tuple[str, object]] = []
        self.runtime: Runtime | None = None
        self.raises: BaseException = ValueError()

    def agent(self, answer: ScriptedAgent | None = None) -> Agent:
        """Make an agent whose handler this is."""
        return agent(answer or ScriptedAgent(), receive=self.receive)

    async def receive(self, session: Session, payload: object) -> object:
        """Do what a message says."""
        self.seen.append((session.chat_id, payload))
        match payload:
            case "raise":
                raise self.raises
            case "refuse":
                raise Reject("not today")
            case "hang":
                await trio.sleep_forever()
            case {"sleep": float() as seconds}:
                await trio.sleep(seconds)
            case {"ask": str() as chat_id, "with": question, "chained": bool() as chained}:
                assert self.runtime is not None, "a desk that asks has a runtime"
                return await self.runtime.ask(chat_id, question, session=session if chained else None)
            case _:
                pass
        return ["answer to", payload]


async def open_chats(runtime: Runtime) -> None:
    """Bring the sessions into being."""
    for chat_id in CHATS:
        await runtime.create(chat_id)


async def test_messages_are_handled_once_and_in_the_order_of_their_admission(autojump_clock: MockClock) -> None:
    """From many senders, while the box is full and empties again."""
    desk = Desk()
    limits = Limits(mailbox_messages_max=3)
    async with checked_runtime(desk.agent(), limits=limits) as runtime:
        await open_chats(runtime)
        for number in range(200):
            await runtime.tell("live:a", number)
        await settle(runtime)
    assert desk.seen == [("live:a", number) for number in range(200)]


@pytest.mark.rule("T1")
async def test_a_message_is_handled_while_a_turn_runs_and_the_turn_goes_on(autojump_clock: MockClock) -> None:
    """The agent's own writes are not held up by a stream of messages either."""
    desk = Desk()
    script = ScriptedAgent([Say("one", every_s=0.01), Call("tool"), Say("two", every_s=0.01), Wait(1.0)])
    async with checked_runtime(desk.agent(script)) as runtime:
        await open_chats(runtime)
        receipt = await runtime.send("live:a", "hello")
        done = trio.Event()

        async def stream() -> None:
            while not done.is_set():
                await runtime.tell("live:a", {"sleep": 0.001})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream)
            result = await receipt.result()
            done.set()
        assert result.text == "onetwo"
        assert trio.current_time() < 3.0
        assert len(desk.seen) > 100


async def test_messages_that_arrive_while_a_commit_hangs_do_not_hold_the_loop(autojump_clock: MockClock) -> None:
    """Words of the turn and a queued cancellation wait for the writer; messages are handled, and the loop is free."""
    desk = Desk()
    journal = FaultyJournal(MemoryJournal())
    script = ScriptedAgent(scripts={("live:a", 1): [Say("words", every_s=1.0), Wait(0.5), Call("tool")]})
    async with checked_runtime(desk.agent(script), store=journal) as runtime:
        await open_chats(runtime)
        first = await runtime.send("live:a", "hello")
        second = await runtime.send("live:a", "to be cancelled")
        journal.plan("commit", Hangs())
        async with trio.open_nursery() as nursery:
            await trio.sleep(2.0)
            assert journal.hung == 1
            nursery.start_soon(second.cancel)
            with trio.fail_after(10.0):
                assert await runtime.ask("live:a", "heard?") == ["answer to", "heard?"]
                await trio.sleep(1.0)
            journal.heal()
        assert (await first.result()).text == "words"
        assert (await second.result()).status == "cancelled"


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
async def test_a_handler_that_raises_costs_its_session_a_restart_and_nothing_else(
    error: BaseException, autojump_clock: MockClock
) -> None:
    """Messages behind it are handled by the next incarnation, in order; the failing one is not run again."""
    desk = Desk()
    desk.raises = error
    async with checked_runtime(desk.agent()) as runtime:
        await open_chats(runtime)
        for payload in ("one", "raise", "two", "three"):
            await runtime.tell("live:a", payload)
        await runtime.tell("live:b", "other")
        await settle(runtime)
        statistics = runtime.statistics()
        assert (statistics.crashes, statistics.restarts, statistics.quarantines) == (1, 1, 0)
        assert runtime.inspect("live:a").incarnation == 2
        assert runtime.inspect("live:b").incarnation == 1
    assert [payload for chat_id, payload in desk.seen if chat_id == "live:a"] == ["one", "raise", "two", "three"]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
async def test_the_asker_of_a_handler_that_raises_is_told_at_once(
    error: BaseException, autojump_clock: MockClock
) -> None:
    """With the kind of the exception, and not its text."""
    desk = Desk()
    desk.raises = error
    async with checked_runtime(desk.agent()) as runtime:
        await open_chats(runtime)
        with pytest.raises(HandlerError) as caught:
            await runtime.ask("live:a", "raise")
        assert type(error).__name__ in str(caught.value)
        assert "private" not in str(caught.value)
        assert caught.value.outcome == "unknown"
        assert trio.current_time() == 0.0
        assert await runtime.ask("live:a", "again") == ["answer to", "again"]
        assert runtime.statistics().crashes == 1


@pytest.mark.rule("S8")
async def test_a_handler_that_refuses_is_not_a_failure(autojump_clock: MockClock) -> None:
    """The asker hears the words, nobody is restarted, and memory is kept."""
    desk = Desk()
    async with checked_runtime(desk.agent()) as runtime:
        await open_chats(runtime)
        with pytest.raises(HandlerError, match="not today"):
            await runtime.ask("live:a", "refuse")
        for payload in ("refuse", "one", "refuse", "two"):
            await runtime.tell("live:a", payload)
        await settle(runtime)
        assert runtime.statistics().crashes == 0
        assert runtime.inspect("live:a").incarnation == 1
    assert [payload for _, payload in desk.seen] == ["refuse", "refuse", "one", "refuse", "two"]


async def test_a_handler_that_fails_while_a_turn_runs_interrupts_that_turn_only(autojump_clock: MockClock) -> None:
    """The turn under way ends as interrupted, those that wait are answered by the next incarnation, each once."""
    desk = Desk()
    script = ScriptedAgent([Say("ok")], {("live:a", 1): [Say("half"), Hang()]})
    async with checked_runtime(desk.agent(script)) as runtime:
        await open_chats(runtime)
        receipts = [await runtime.send("live:a", f"message {number}") for number in range(4)]
        await runtime.tell("live:a", "raise")
        results = [await receipt.result() for receipt in receipts]
        assert [result.status for result in results] == ["interrupted", "completed", "completed", "completed"]
        assert (results[0].reason, results[0].text) == ("crashed", "half")
    assert [turn for _, turn, _ in script.runs] == [1, 2, 3, 4]


async def test_a_handler_that_fails_while_its_session_is_told_to_stop_does_not_bring_it_back(
    autojump_clock: MockClock,
) -> None:
    """Stop stops, whatever happens on the way."""
    desk = Desk()
    async with checked_runtime(desk.agent()) as runtime:
        await open_chats(runtime)
        await runtime.tell("live:a", {"sleep": 1.0})
        await runtime.tell("live:a", "raise")
        await wait_all_tasks_blocked()
        await runtime.stop("live:a")
        assert trio.current_time() < 2.0
        assert runtime.inspect("live:a").phase == "absent"


async def test_the_memory_of_a_session_lives_as_long_as_its_incarnation(autojump_clock: MockClock) -> None:
    """A crash clears it, and nobody else sees it."""

    async def count(session: Session, payload: object) -> object:
        if payload == "raise":
            raise ValueError
        number = session.memory.get("count", 0)
        assert isinstance(number, int)
        session.memory["count"] = number + 1
        return number

    async with checked_runtime(agent(ScriptedAgent(), receive=count)) as runtime:
        await open_chats(runtime)
        assert [await runtime.ask("live:a", "count") for _ in range(3)] == [0, 1, 2]
        assert await runtime.ask("live:b", "count") == 0
        with pytest.raises(HandlerError):
            await runtime.ask("live:a", "raise")
        assert await runtime.ask("live:a", "count") == 0


@pytest.mark.rule("A2", "pitfall_14")
async def test_an_ask_that_is_too_late_to_begin_says_that_nothing_has_happened(autojump_clock: MockClock) -> None:
    """It is withdrawn, so the handler never sees it."""
    desk = Desk()
    async with checked_runtime(desk.agent()) as runtime:
        await open_chats(runtime)
        await runtime.tell("live:a", {"sleep": 3.0})
        with pytest.raises(AskTimeoutError) as caught:
            await runtime.ask("live:a", "late", timeout_s=1.0)
        assert caught.value.outcome == "not_started"
        assert trio.current_time() == pytest.approx(1.0)
        await settle(runtime)
        assert runtime.statistics().letters.withdrawn == 1
    assert desk.seen == [("live:a", {"sleep": 3.0})]


@pytest.mark.rule("A2", "pitfall_14")
async def test_an_ask_that_runs_too_long_says_that_nobody_can_know(autojump_clock: MockClock) -> None:
    """Its late reply is dropped, counted and logged."""
    desk = Desk()
    log = BytesIO()
    async with checked_runtime(desk.agent(), log=log) as runtime:
        await open_chats(runtime)
        with pytest.raises(AskTimeoutError) as caught:
            await runtime.ask("live:a", {"sleep": 3.0}, timeout_s=1.0)
        assert caught.value.outcome == "unknown"
        await settle(runtime)
        assert runtime.statistics().late_replies == 1
    assert [record["event"] for record in records_of(log)].count("ask.late_reply") == 1


@pytest.mark.rule("A2")
async def test_an_ask_that_finds_no_room_in_time_was_never_enqueued(autojump_clock: MockClock) -> None:
    """The third outcome class of a timeout."""
    desk = Desk()
    async with checked_runtime(desk.agent(), limits=Limits(mailbox_messages_max=1)) as runtime:
        await open_chats(runtime)
        await runtime.tell("live:a", {"sleep": 3.0})
        await wait_all_tasks_blocked()
        await runtime.tell("live:a", "fills the box")
        with pytest.raises(AskTimeoutError) as caught:
            await runtime.ask("live:a", "no room", timeout_s=1.0)
        assert caught.value.outcome == "not_enqueued"
        assert runtime.statistics().given_up == 1
        with pytest.raises(OverloadedError):
            runtime.tell_nowait("live:a", "no room")
    assert ("live:a", "no room") not in desk.seen


async def test_an_ask_in_the_box_of_a_session_that_stops_is_answered_as_not_started(autojump_clock: MockClock) -> None:
    """And so is one whose session is given up."""
    desk = Desk()
    errors: list[AskError] = []
    async with checked_runtime(desk.agent(), limits=Limits(restarts_max=0)) as runtime:
        await open_chats(runtime)

        async def ask(chat_id: str) -> None:
            try:
                await runtime.ask(chat_id, "waits", timeout_s=100.0)
            except AskError as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            for chat_id, last in (("live:a", "hang"), ("live:b", "raise")):
                await runtime.tell(chat_id, {"sleep": 1.0})
                await wait_all_tasks_blocked()
                await runtime.tell(chat_id, last)
                nursery.start_soon(ask, chat_id)
                await wait_all_tasks_blocked()
            await trio.sleep(2.0)
            await runtime.stop("live:a")
    assert [error.outcome for error in errors] == ["not_started", "not_started"]


@pytest.mark.rule("A4")
async def test_an_ask_that_is_being_handled_when_its_session_ends_is_answered(autojump_clock: MockClock) -> None:
    """Nobody waits for a handler that is gone."""
    desk = Desk()
    async with checked_runtime(desk.agent()) as runtime:
        await open_chats(runtime)
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(HandlerError) as caught:
                    await runtime.ask("live:a", "hang", timeout_s=1000.0)
                assert caught.value.outcome == "unknown"

            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            await runtime.stop("live:a")
        assert trio.current_time() < 60.0


@pytest.mark.rule("A6")
async def test_an_asker_that_is_cancelled_withdraws_what_has_not_begun(autojump_clock: MockClock) -> None:
    """What has begun goes on, and its reply is late."""
    desk = Desk()
    async with checked_runtime(desk.agent()) as runtime:
        await open_chats(runtime)
        with trio.move_on_after(0.5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(runtime.ask, "live:a", {"sleep": 2.0})
                await wait_all_tasks_blocked()
                nursery.start_soon(runtime.ask, "live:a", "never begun")
        await settle(runtime)
        statistics = runtime.statistics()
        assert (statistics.letters.withdrawn, statistics.late_replies) == (1, 1)
    assert desk.seen == [("live:a", {"sleep": 2.0})]


@pytest.mark.rule("A5", "pitfall_15")
@pytest.mark.parametrize("ring", [["live:a"], ["live:a", "live:b"], ["live:a", "live:b", "live:c"]])
async def test_a_circle_of_asks_is_refused_with_its_path(ring: list[str], autojump_clock: MockClock) -> None:
    """Asking oneself, asking back, and a ring of three: told at once, not when a deadline passes."""
    desk = Desk()
    question: object = "at the end"
    for chat_id in reversed([*ring[1:], ring[0]]):
        question = {"ask": chat_id, "with": question, "chained": True}
    async with checked_runtime(desk.agent()) as runtime:
        desk.runtime = runtime
        await open_chats(runtime)
        with pytest.raises(HandlerError) as caught:
            await runtime.ask(ring[0], question, timeout_s=60.0)
        cause: BaseException | None = caught.value
        while isinstance(cause, HandlerError):
            cause = cause.__cause__
        assert isinstance(cause, DeadlockError)
        assert cause.outcome == "not_enqueued"
        assert " -> ".join([*ring, ring[0]]) in str(cause)
        assert trio.current_time() < 60.0
        await settle(runtime)
        assert runtime.statistics().closed


async def test_asks_in_a_row_that_make_no_circle_are_answered(autojump_clock: MockClock) -> None:
    """A asks B, B asks C; and the reply comes back the same way."""
    desk = Desk()
    async with checked_runtime(desk.agent()) as runtime:
        desk.runtime = runtime
        await open_chats(runtime)
        inner = {"ask": "live:c", "with": "hello", "chained": True}
        question = {"ask": "live:b", "with": inner, "chained": True}
        assert await runtime.ask("live:a", question) == ["answer to", "hello"]


@pytest.mark.parametrize("timeout_s", [-1.0, float("nan"), float("inf")])
async def test_an_ask_needs_a_finite_time(timeout_s: float, autojump_clock: MockClock) -> None:
    """An ask without an end could wait for ever; the sums are right all the same."""
    desk = Desk()
    async with checked_runtime(desk.agent()) as runtime:
        await open_chats(runtime)
        with pytest.raises(ConfigurationError, match="timeout_s"):
            await runtime.ask("live:a", "hello", timeout_s=timeout_s)
        assert runtime.statistics().closed


async def test_a_handler_is_not_disturbed_by_a_turn_that_is_cancelled(autojump_clock: MockClock) -> None:
    """Stopping a turn is not stopping a session."""
    desk = Desk()
    async with checked_runtime(desk.agent(ScriptedAgent([Hang()]))) as runtime:
        await open_chats(runtime)
        receipt = await runtime.send("live:a", "hello")
        async with trio.open_nursery() as nursery:
            replies: list[object] = []

            async def ask() -> None:
                replies.append(await runtime.ask("live:a", {"sleep": 2.0}))

            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            assert (await receipt.cancel()).status == "cancelled"
        assert replies == [["answer to", {"sleep": 2.0}]]


async def test_a_tell_that_finds_no_room_by_its_deadline_is_dropped_as_expired(autojump_clock: MockClock) -> None:
    """Waiting for room, and waiting in the box."""
    desk = Desk()
    tell: Callable[..., Awaitable[None]]
    async with checked_runtime(desk.agent(), limits=Limits(mailbox_messages_max=1)) as runtime:
        tell = runtime.tell
        await open_chats(runtime)
        await tell("live:a", {"sleep": 3.0})
        await wait_all_tasks_blocked()
        await tell("live:a", "dies in the box", deadline_s=trio.current_time() + 1.0)
        with pytest.raises(UnavailableError) as caught:
            await tell("live:a", "dies outside", deadline_s=trio.current_time() + 1.0)
        assert caught.value.reason == "expired"
        await settle(runtime)
        assert runtime.statistics().dropped == {"expired": 1}
        assert [letter.reason for letter in runtime.dead_letters()] == ["expired", "expired"]
    assert desk.seen == [("live:a", {"sleep": 3.0})]
