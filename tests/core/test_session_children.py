"""A session that a turn spawned: it knows its parent, and ends with it."""

import pytest

from actors.core.commands import (
    Accept,
    Ask,
    Begin,
    CloseChild,
    Command,
    Create,
    Finish,
    OnInterrupted,
    Parent,
    Recover,
    Retry,
    SetReminder,
)
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal
from actors.core.events import (
    AttemptInterrupted,
    EventBody,
    ParentEnded,
    PromptClosed,
    ReminderSet,
    SessionCreated,
    TurnEnded,
)
from actors.core.ids import ChatId, DropReason
from actors.core.lifecycle import TurnStatus
from actors.core.limits import Limits
from actors.core.session import decide
from actors.core.state import SessionState, fold
from tests.core.play import CHAT

POLICY = Policy(Limits())
PARENT = Parent(ChatId("live:1"), 3, 2, "scout")
NOW_S = 1000.0


def bodies_of(state: SessionState, command: Command) -> tuple[EventBody, ...]:
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


def test_what_comes_back_into_a_closed_child_is_ended_too() -> None:
    """A turn that ran when its process died, and that another policy would have begun again."""
    state = fold(child(), bodies_of(child(), Accept("m1", "hello")))
    again = fold(state, (ParentEnded(), AttemptInterrupted(1, 1)))
    assert [queued.turn for queued in again.queue] == [1]
    bodies = bodies_of(again, CloseChild())
    assert bodies == (TurnEnded(1, 0, TurnStatus.CANCELLED, "parent_ended"),)
    assert bodies_of(fold(again, bodies), CloseChild()) == ()


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


def test_a_closed_child_is_reminded_of_nothing_and_tries_nothing_again() -> None:
    """Its reminders go when it is closed, no other is set, and no turn of it is answered once more."""
    state = fold(child(), (ReminderSet("tea", "Drink.", NOW_S, 60.0),))
    closed = fold(state, bodies_of(state, CloseChild()))
    assert closed.standing.reminders == ()
    for command in (SetReminder("tea", "Drink.", NOW_S, 60.0, "one"), Retry(1, (Accept("m1", "hello"),))):
        refusal = decide(closed, command, POLICY, NOW_S)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is DropReason.PARENT_ENDED


def closed_while_running(*commands: Command) -> SessionState:
    """Make a child in whose turn something was done, and whose parent ended before its own turn had."""
    state = child()
    for command in (Accept("m1", "hello"), *commands, CloseChild()):
        state = fold(state, bodies_of(state, command))
    return state


@pytest.mark.parametrize("policy", ["mark", "ask", "retry", "continue"])
def test_a_child_that_outlived_its_parent_by_a_crash_never_runs_again(policy: OnInterrupted) -> None:
    """Whatever its agent's policy is: the turn was about to be cancelled, and nobody is asked about it."""
    state = closed_while_running(Ask(1, 1, "text", "why?", (), ()))
    bodies = bodies_of(state, Recover(policy, 5))
    assert bodies == (PromptClosed(1, 0), TurnEnded(1, 1, TurnStatus.INTERRUPTED, "process_ended"))
    after = fold(state, bodies)
    assert after.status == "idle"
    assert after.open_prompts == ()
    assert bodies_of(after, Begin()) == ()


def test_a_failed_turn_of_a_child_whose_parent_has_ended_is_not_tried_again() -> None:
    """Its failure is its end, though its agent may have tried once more."""
    bodies = bodies_of(closed_while_running(), Finish(1, 1, TurnStatus.FAILED, error="OSError", again=True))
    assert bodies == (TurnEnded(1, 1, TurnStatus.FAILED, error="OSError"),)
