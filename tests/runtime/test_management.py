"""What a person asks of a queue, decided by hand: what is read for it, and what begins with it."""

from collections.abc import Sequence

import pytest
from trio.testing import MockClock

from actors.core.commands import Pause, Resume, Skip
from actors.core.decision import Policy
from actors.core.effects import Refusal, StartTurn
from actors.core.events import Event, EventBody, MessageAccepted, SessionCreated, TurnEnded, TurnStarted
from actors.core.lifecycle import TurnStatus
from actors.core.limits import Limits
from actors.core.state import SessionState, fold
from actors.errors import StoreUnavailableError
from actors.ports import Append
from actors.runtime.control import CancelTurn, ControlQueue, RetryTurn
from actors.runtime.group import Group
from actors.runtime.mailbox import Reply
from actors.runtime.management import manage, settle
from actors.runtime.ref import Accepted
from actors.store.faulty import Fails, FaultyJournal
from actors.store.memory import MemoryJournal
from tests.runtime.by_hand import CHAT, Bench, bench

FAILED: Sequence[EventBody] = (
    SessionCreated(),
    MessageAccepted("m1", 1, "hello", "ann"),
    TurnStarted(1, 1),
    TurnEnded(1, 1, TurnStatus.FAILED, "crashed"),
)
WAITING: Sequence[EventBody] = (SessionCreated(), MessageAccepted("m1", 1, "hello"), MessageAccepted("m2", 2, "and?"))


async def stored(bodies: Sequence[EventBody]) -> tuple[Bench, FaultyJournal]:
    """Make a session that has come so far, in a store that can be made to fail."""
    made = bench()
    journal = FaultyJournal(MemoryJournal())
    await journal.open(takeover=False)
    events = tuple(Event(CHAT, seq, 1, 0.0, body) for seq, body in enumerate(bodies, 1))
    await journal.commit([Append(CHAT, 0, events)])
    made.services.journal = journal
    made.ref.state = fold(SessionState(CHAT), tuple(bodies))
    made.ref.seq = made.ref.state.seq
    return made, journal


async def test_what_may_begin_begins_in_the_same_group(autojump_clock: MockClock) -> None:
    """And its history is read before, so that the start of a turn that cannot run is not written."""
    made, _ = await stored(WAITING)
    group = await manage(made.ref, made.services, ControlQueue(Skip(), Reply()), begins=True)
    assert [type(body) for body in group.bodies] == [TurnEnded, TurnStarted]
    assert group.effects == (StartTurn(2, 1),)
    assert made.ref.transcript is not None


async def test_a_session_that_is_leaving_begins_nothing(autojump_clock: MockClock) -> None:
    """What was asked is done all the same."""
    made, journal = await stored(WAITING)
    group = await manage(made.ref, made.services, CancelTurn(1, Reply()), begins=False)
    assert [type(body) for body in group.bodies] == [TurnEnded]
    assert [answer for _, answer in group.answers] == [True]
    assert journal.calls["messages"] == 0, "nothing is read for a turn that will not begin"
    made, _ = await stored(FAILED)
    group = await manage(made.ref, made.services, RetryTurn(1, Reply()), begins=False)
    assert [type(body) for body in group.bodies] == [MessageAccepted], "as where its turn has just crashed"


async def test_a_retry_is_looked_up_and_its_messages_are_read(autojump_clock: MockClock) -> None:
    """The receipt names the event that accepts the first of them; text and sender are those of the old turn."""
    made, _ = await stored(FAILED)
    group = await manage(made.ref, made.services, RetryTurn(1, Reply()), begins=True)
    assert group.bodies == [MessageAccepted("retry/1", 2, "hello", "ann"), TurnStarted(2, 1)]
    assert [answer for _, answer in group.answers] == [Accepted("retry/1", 2, 5, made.services.epoch)]


@pytest.mark.parametrize(
    ("bodies", "turn", "reason"),
    [(FAILED, 2, "not_running"), (WAITING, 1, "not_running"), ((*WAITING, TurnStarted(1, 1)), 1, "turn_running")],
)
async def test_what_cannot_be_retried_is_refused_and_nothing_is_decided(
    bodies: Sequence[EventBody], turn: int, reason: str, autojump_clock: MockClock
) -> None:
    """Not there, not begun, or not ended."""
    made, _ = await stored(bodies)
    group = await manage(made.ref, made.services, RetryTurn(turn, Reply()), begins=False)
    (answer,) = [answer for _, answer in group.answers]
    assert isinstance(answer, Refusal)
    assert (answer.reason, group.bodies) == (reason, [])


async def test_a_store_that_cannot_be_read_leaves_the_signal_for_the_next_incarnation(
    autojump_clock: MockClock,
) -> None:
    """Nothing is answered and nothing decided on what is not known."""
    made, journal = await stored(FAILED)
    journal.plan("turn", Fails())
    signal = RetryTurn(1, Reply())
    with pytest.raises(StoreUnavailableError):
        await manage(made.ref, made.services, signal, begins=True)
    assert not signal.reply.done


def test_a_signal_is_settled_on_what_the_ones_before_it_come_to() -> None:
    """Pause and resume in one group: the second finds what the first has decided."""
    group = Group(fold(SessionState(CHAT), tuple(WAITING)))
    for command in (Pause(), Resume(), Resume()):
        settle(group, ControlQueue(command, Reply()), Policy(Limits()), 0.0)
    assert len(group.bodies) == 2
    assert [answer for _, answer in group.answers] == [None] * 3
