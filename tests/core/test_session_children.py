"""A session that a turn spawned: it knows its parent, and ends with it."""

from actors.core.commands import Accept, CloseChild, Create, Parent
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal
from actors.core.events import EventBody, ParentEnded, SessionCreated, TurnEnded
from actors.core.ids import ChatId, DropReason
from actors.core.lifecycle import TurnStatus
from actors.core.limits import Limits
from actors.core.session import decide
from actors.core.state import SessionState, fold
from tests.core.play import CHAT

POLICY = Policy(Limits())
PARENT = Parent(ChatId("live:1"), 3, 2, "scout")
NOW_S = 1000.0


def bodies_of(state: SessionState, command: Create | Accept | CloseChild) -> tuple[EventBody, ...]:
    """Decide what is not refused."""
    outcome = decide(state, command, POLICY, NOW_S)
    assert isinstance(outcome, Decision)
    return outcome.bodies


def child() -> SessionState:
    """Make a child that has just come into being."""
    return fold(SessionState(CHAT), bodies_of(SessionState(CHAT), Create((), PARENT)))


def test_a_child_is_created_with_its_parent() -> None:
    """And a session of its own without one; what is stored of that has not grown."""
    assert bodies_of(SessionState(CHAT), Create((), PARENT)) == (SessionCreated("live:1", 3, 2, "scout"),)
    assert child().standing.parent == PARENT
    assert bodies_of(SessionState(CHAT), Create()) == (SessionCreated(),)
    assert fold(SessionState(CHAT), (SessionCreated(),)).standing.parent is None


def test_what_waits_in_a_child_is_cancelled_when_its_parent_ends() -> None:
    """The turn that runs ends through its task; those behind it never begin."""
    state = child()
    for number in range(3):
        state = fold(state, bodies_of(state, Accept(f"m{number}", "hello")))
    bodies = bodies_of(state, CloseChild())
    cancelled = TurnStatus.CANCELLED
    assert bodies == (
        TurnEnded(2, 0, cancelled, "parent_ended"),
        TurnEnded(3, 0, cancelled, "parent_ended"),
        ParentEnded(),
    )
    closed = fold(state, bodies)
    assert closed.running is not None
    assert closed.queue == ()
    assert bodies_of(closed, CloseChild()) == ()


def test_a_child_whose_parent_has_ended_takes_no_message() -> None:
    """It says why; one of a parent that runs does."""
    assert bodies_of(child(), Accept("m1", "hello"))
    closed = fold(child(), (ParentEnded(),))
    refusal = decide(closed, Accept("m1", "hello"), POLICY, NOW_S)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DropReason.PARENT_ENDED


def test_a_session_of_its_own_cannot_lose_a_parent() -> None:
    """The signal means nothing to it."""
    state = fold(SessionState(CHAT), (SessionCreated(),))
    assert bodies_of(state, CloseChild()) == ()
