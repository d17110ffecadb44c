"""Volatile messages are handled once, in order, one at a time; whoever asked is answered, whatever happens."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import AskError, HandlerError, Limits, Reject, Session
from actors.core.commands import Accept
from actors.core.envelope import Envelope, Origin
from actors.core.ids import DropReason
from actors.runtime.accounting import Counts
from actors.runtime.control import Stop
from actors.runtime.mailbox import Letter, Reply, Request
from actors.runtime.volatile import Handler
from tests.runtime.by_hand import CHAT, Bench, bench

UNHURRIED = Limits(quantum_s=1.0)


class Receiver:
    """A handler of messages: notes them, raises those that are exceptions, and calls what can be called."""

    def __init__(self, letters: Sequence[object] = (), limits: Limits = UNHURRIED) -> None:
        """Put letters into the box of a session; what is neither a letter nor a request is sent as one."""
        self.handled: list[object] = []
        self.sessions: list[Session] = []
        self.origins: list[Origin | None] = []
        self.bench: Bench = bench(limits, receive=self.receive)
        self.handler = Handler(self.bench.ref, self.bench.services)
        for each in letters:
            letter: Letter = each if isinstance(each, Envelope | Request) else Envelope(CHAT, each, 10)
            assert self.bench.ref.mailbox.put_nowait(letter) is None

    async def receive(self, session: Session, payload: object) -> object:
        """Handle a message."""
        self.handled.append(payload)
        self.sessions.append(session)
        self.origins.append(session.origin)
        if isinstance(payload, BaseException):
            raise payload
        if callable(payload):
            payload()
        return f"reply to {payload}"

    @property
    def left(self) -> list[object]:
        """What is still in the box."""
        return [letter.payload for letter in self.bench.ref.mailbox.messages]

    @property
    def counts(self) -> Counts:
        """The runtime's totals."""
        return self.bench.services.accounts.counts

    def check_sums(self) -> None:
        """Check that every letter is accounted for."""
        ref = self.bench.ref
        assert ref.mailbox.admitted == ref.executed + ref.dead + len(ref.mailbox.messages)
        assert ref.mailbox.bytes_held == sum(letter.size_bytes for letter in ref.mailbox.messages)
        assert ref.mailbox.bytes_taken == 0


async def test_messages_are_handled_in_order_by_one_session(autojump_clock: MockClock) -> None:
    """What the handler keeps in memory is there for the next message."""
    made = Receiver(range(20))
    assert await made.handler.handle() is None
    assert made.handled == list(range(20))
    assert all(session is made.sessions[0] for session in made.sessions)
    assert (made.sessions[0].chat_id, made.bench.ref.executed) == (CHAT, 20)
    made.check_sums()


async def test_a_handler_knows_where_its_message_comes_from(autojump_clock: MockClock) -> None:
    """The origin is that of the message, not of the one before."""
    origin = Origin("somebody", "conversation")
    letters = [
        Envelope(CHAT, 1, 10, origin=origin),
        Envelope(CHAT, 2, 10),
        Request(Envelope(CHAT, 3, 10, origin=origin), Reply()),
    ]
    made = Receiver(letters)
    await made.handler.handle()
    assert made.origins == [origin, None, origin]


async def test_a_message_that_is_to_be_stored_is_left_for_the_journal(autojump_clock: MockClock) -> None:
    """Those before it are handled, those after it wait their turn."""
    accept = Accept("key", "hello")
    made = Receiver([1, Request(Envelope(CHAT, accept, 10), Reply()), 2])
    assert await made.handler.handle() is None
    assert (made.handled, made.left) == ([1], [accept, 2])
    made.check_sums()


@pytest.mark.parametrize("lane", ["control", "inner"])
async def test_whatever_else_waits_is_heard_before_the_next_message(lane: str, autojump_clock: MockClock) -> None:
    """A stop, or the words of a turn, need not wait for a full box."""
    made = Receiver()
    box = made.bench.ref.mailbox
    post = (lambda: box.post_control("stop", Stop("stopping"))) if lane == "control" else (lambda: box.post_inner(1))
    for payload in (1, post, 2):
        assert box.put_nowait(Envelope(CHAT, payload, 10)) is None
    assert await made.handler.handle() is None
    assert (made.handled, made.left) == ([1, post], [2])
    made.bench.ref.writing = True
    assert await made.handler.handle() is None
    assert made.left == [], "what waits needs the write that is under way, so messages go on"
    made.check_sums()


async def test_a_handler_that_rejects_has_handled_its_message(autojump_clock: MockClock) -> None:
    """It is no failure; the next messages are handled next time."""
    made = Receiver([1, Reject("no"), 2])
    assert await made.handler.handle() is None
    assert (made.bench.ref.executed, made.left) == (2, [2])
    assert await made.handler.handle() is None
    assert (made.bench.ref.executed, made.left) == (3, [])
    made.check_sums()


async def test_what_a_handler_raises_is_given_to_the_supervisor(autojump_clock: MockClock) -> None:
    """The message is gone, the others stay in the box for the next incarnation."""
    error = ValueError("private")
    made = Receiver([1, error, 2])
    assert await made.handler.handle() is error
    assert (made.bench.ref.executed, made.left) == (2, [2])
    made.check_sums()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_is_no_exception_passes_with_the_sums_right(
    kind: type[BaseException], autojump_clock: MockClock
) -> None:
    """The barrier around the session takes it."""
    made = Receiver([1, kind(), 2])
    with pytest.raises(kind):
        await made.handler.handle()
    assert (made.bench.ref.executed, made.left) == (2, [2])
    made.check_sums()


async def test_whoever_asks_is_answered_with_what_the_handler_returns(autojump_clock: MockClock) -> None:
    """And the slot says that the handler has begun."""
    reply = Reply()
    made = Receiver([Request(Envelope(CHAT, "question", 10), reply), 2])
    assert await made.handler.handle() is None
    assert await reply.wait() == "reply to question"
    assert reply.started
    assert made.handled == ["question", 2]
    made.check_sums()


async def test_an_asker_is_told_the_name_of_what_the_handler_raised(autojump_clock: MockClock) -> None:
    """The supervisor judges it, and the asker gets it as a cause, since it may live in the same process."""
    error = ValueError("private")
    reply = Reply()
    made = Receiver([Request(Envelope(CHAT, error, 10), reply)])
    assert await made.handler.handle() is error
    with pytest.raises(HandlerError, match="the handler raised ValueError") as caught:
        await reply.wait()
    assert (caught.value.outcome, caught.value.__cause__) == ("unknown", error)
    assert "private" not in str(caught.value)
    made.check_sums()


async def test_an_asker_is_told_why_its_message_was_rejected(autojump_clock: MockClock) -> None:
    """A rejection is an answer, and messages go on."""
    reply = Reply()
    made = Receiver([Request(Envelope(CHAT, Reject("not today"), 10), reply), 2])
    assert await made.handler.handle() is None
    with pytest.raises(HandlerError, match="rejected: not today"):
        await reply.wait()
    assert made.handled[1:] == [2]
    made.check_sums()


async def test_an_asker_hears_of_a_handler_that_was_cancelled(autojump_clock: MockClock) -> None:
    """Nobody waits for an answer that cannot come."""
    reply = Reply()

    async def hang(session: Session, payload: object) -> None:
        await trio.sleep_forever()

    made = bench(receive=hang)
    made.ref.mailbox.put_nowait(Request(Envelope(CHAT, 1, 10), reply))
    with trio.move_on_after(1.0) as scope:
        await Handler(made.ref, made.services).handle()
    assert scope.cancelled_caught
    with pytest.raises(HandlerError, match="raised Cancelled"):
        await reply.wait()
    assert made.ref.executed == 1


@pytest.mark.rule("A3")
async def test_an_answer_that_nobody_waits_for_any_more_is_counted(autojump_clock: MockClock) -> None:
    """The asker's deadline passed while the handler ran."""
    reply = Reply()
    made = Receiver([Request(Envelope(CHAT, lambda: reply.fail(AskError("late", outcome="unknown")), 10), reply)])
    assert await made.handler.handle() is None
    assert made.counts.late_replies == 1
    assert made.bench.records() == ["ask.late_reply"]


@pytest.mark.rule("M6")
async def test_a_message_whose_deadline_has_passed_is_not_handled(autojump_clock: MockClock) -> None:
    """It becomes a dead letter; one that is in time is handled, also at the last moment."""
    letters = [Envelope(CHAT, number, 10, deadline_s=float(number)) for number in (1, 2, 3)]
    made = Receiver(letters)
    await trio.sleep(2.0)
    assert await made.handler.handle() is None
    assert made.handled == [3]
    assert (made.bench.ref.dead, made.counts.dead, made.bench.ref.executed) == (2, 2, 1)
    assert {letter.reason for letter in made.bench.services.accounts.dead_letters} == {DropReason.EXPIRED}
    made.check_sums()


@pytest.mark.rule("M6")
async def test_an_asker_whose_deadline_has_passed_knows_that_nothing_began(autojump_clock: MockClock) -> None:
    """So it can safely be asked again."""
    reply = Reply()
    made = Receiver([Request(Envelope(CHAT, 1, 10, deadline_s=0.0), reply)])
    assert await made.handler.handle() is None
    with pytest.raises(AskError, match="the deadline passed") as caught:
        await reply.wait()
    assert (caught.value.outcome, reply.started, made.handled) == ("not_started", False, [])


@pytest.mark.rule("T5")
async def test_a_full_box_gives_way_to_its_neighbours(autojump_clock: MockClock) -> None:
    """After its quantum, and what came meanwhile by another lane is heard first."""
    made = Receiver(range(60), Limits(quantum_s=10e-6))
    seen: list[int] = []
    async with trio.open_nursery() as nursery:

        async def neighbour() -> None:
            for _ in range(3):
                seen.append(len(made.handled))
                await trio.lowlevel.checkpoint()
            made.bench.ref.mailbox.post_control("stop", Stop("stopping"))

        nursery.start_soon(neighbour)
        await made.handler.handle()
    assert seen == sorted(seen)
    assert len(set(seen)) > 1, "the neighbour runs between messages"
    assert 0 < seen[-1] <= len(made.handled) < 60
    assert made.left == list(range(len(made.handled), 60))
    made.check_sums()


async def test_a_sender_that_waits_is_let_in_while_the_batch_goes_on(autojump_clock: MockClock) -> None:
    """And its message is part of the batch."""
    made = Receiver([1, 2], Limits(mailbox_messages_max=2, quantum_s=1.0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.bench.ref.mailbox.put, Envelope(CHAT, 3, 10))
        await wait_all_tasks_blocked()
        assert made.bench.ref.mailbox.waiting == 1
        await made.handler.handle()
    assert made.handled == [1, 2, 3]
    made.check_sums()
