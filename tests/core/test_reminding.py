"""What becomes of reminders in a session: set, called off, and their due ticks fired, each once."""

import attrs
import pytest
from hypothesis import given

from actors.core.commands import Accept, DropReminder, Remind, SetReminder
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal, StartTurn
from actors.core.events import (
    EventBody,
    MessageAccepted,
    Missed,
    ReminderDropped,
    ReminderFired,
    ReminderSet,
    ReminderSkipped,
    TurnStarted,
)
from actors.core.ids import DropReason
from actors.core.limits import Limits
from actors.core.reminding import due_message_ids
from actors.core.session import decide
from actors.core.state import SessionState, fold
from tests.core.play import CHAT, Play, plays

NOW_S = 1000.0
LIMITS = Limits(queue_turns_max=2, reminders_max=2)
POLICY = Policy(LIMITS)
EMPTY = SessionState(CHAT, seq=1)


def with_reminders(*bodies: EventBody) -> SessionState:
    """Make a state from events."""
    return fold(EMPTY, bodies)


def decided(state: SessionState, command: SetReminder | DropReminder | Remind, policy: Policy = POLICY) -> Decision:
    """Decide a command that is not refused."""
    outcome = decide(state, command, policy, NOW_S)
    assert isinstance(outcome, Decision)
    return outcome


def refusal(state: SessionState, command: SetReminder | DropReminder | Remind) -> DropReason:
    """Decide a command that is refused, and say why."""
    outcome = decide(state, command, POLICY, NOW_S)
    assert isinstance(outcome, Refusal)
    assert outcome.detail
    return outcome.reason


TEA = SetReminder("tea", "Drink.", NOW_S + 5.0, 60.0, "one")


def test_a_reminder_is_set_with_its_moment_or_with_its_period_from_now() -> None:
    """Whichever is given; both is a first moment and a period."""
    assert decided(EMPTY, TEA).bodies == (ReminderSet("tea", "Drink.", NOW_S + 5.0, 60.0, "one"),)
    once = SetReminder("tea", "Drink.", NOW_S - 9.0, None, "all")
    assert decided(EMPTY, once).bodies == (ReminderSet("tea", "Drink.", NOW_S - 9.0, None, "all"),)
    periodic = SetReminder("tea", "Drink.", None, 60.0, "skip")
    assert decided(EMPTY, periodic).bodies == (ReminderSet("tea", "Drink.", NOW_S + 60.0, 60.0, "skip"),)


@pytest.mark.parametrize("at_s", [NOW_S + 5.0, None])
def test_the_same_reminder_again_changes_nothing(at_s: float | None) -> None:
    """A program that sets its reminders whenever it starts does not put them off by that."""
    state = with_reminders(ReminderSet("tea", "Drink.", NOW_S + 5.0, 60.0, "one"))
    assert decided(state, attrs.evolve(TEA, at_s=at_s)) == Decision(())


@pytest.mark.parametrize(
    "other", [{"text": "Coffee."}, {"at_s": NOW_S}, {"every_s": 61.0}, {"every_s": None}, {"missed": "all"}]
)
def test_another_reminder_of_the_same_key_replaces_the_first(other: dict[str, object]) -> None:
    """Whatever differs; the number of reminders does not grow by it."""
    state = with_reminders(
        ReminderSet("tea", "Drink.", NOW_S + 5.0, 60.0, "one"), ReminderSet("pills", "Take.", NOW_S + 5.0)
    )
    bodies = decided(state, attrs.evolve(TEA, **other)).bodies  # type: ignore[arg-type]  # one field of it
    assert [type(body) for body in bodies] == [ReminderSet]
    assert [each.key for each in fold(state, bodies).standing.reminders] == ["pills", "tea"]


def test_more_reminders_than_the_limit_are_refused() -> None:
    """Everything is bounded."""
    state = with_reminders(ReminderSet("a", "x", NOW_S), ReminderSet("b", "x", NOW_S))
    assert refusal(state, TEA) is DropReason.REMINDERS_FULL


def test_a_reminder_that_stands_is_called_off_and_another_is_not_found() -> None:
    """The answer tells them apart."""
    state = with_reminders(ReminderSet("tea", "Drink.", NOW_S))
    assert decided(state, DropReminder("tea")).bodies == (ReminderDropped("tea"),)
    assert refusal(state, DropReminder("pills")) is DropReason.NOT_RUNNING


def test_r2_a_due_tick_and_its_message_are_one_commit() -> None:
    """The message says who sent it and which tick it is; the turn begins at once if nothing is before it."""
    state = with_reminders(ReminderSet("tea", "Drink.", NOW_S, 60.0))
    decision = decided(state, Remind(16))
    assert decision.bodies == (
        MessageAccepted("tea/1000.0", 1, "Drink.", "reminder"),
        TurnStarted(1, 1),
        ReminderFired("tea", 0, NOW_S, NOW_S + 60.0),
    )
    assert decision.effects == (StartTurn(1, 1),)
    after = fold(state, decision.bodies)
    assert decided(after, Remind(16)) == Decision(())


def test_r2_a_tick_whose_message_is_known_fires_without_another_one() -> None:
    """A reminder that was set anew after its tick had come does not bring that tick again."""
    state = with_reminders(ReminderSet("tea", "Drink.", NOW_S))
    assert due_message_ids(state, LIMITS, NOW_S, 16) == ("tea/1000.0",)
    decision = decided(state, Remind(16, frozenset({"tea/1000.0"})))
    assert decision == Decision((ReminderFired("tea", 0, NOW_S),))
    assert fold(state, decision.bodies).standing.reminders == ()


def test_ticks_of_several_reminders_come_in_the_order_of_their_moments() -> None:
    """Across all reminders, and no more than asked for."""
    limits = Limits(reminder_missed_max=10)
    state = with_reminders(
        ReminderSet("a", "x", NOW_S - 25.0, 10.0, "all"), ReminderSet("b", "y", NOW_S - 30.0, 10.0, "all")
    )
    fired = [body.due_s for body in decided(state, Remind(4), Policy(limits)).bodies if isinstance(body, ReminderFired)]
    assert fired == [NOW_S - 30.0, NOW_S - 25.0, NOW_S - 20.0, NOW_S - 15.0]


def test_ticks_that_are_left_out_are_on_record() -> None:
    """Missed is not the same as never due."""
    state = with_reminders(ReminderSet("tea", "Drink.", NOW_S - 605.0, 60.0, "one"))
    skipped, *_, fired = decided(state, Remind(16)).bodies
    assert skipped == ReminderSkipped("tea", 9, 10, NOW_S - 5.0)
    assert fired == ReminderFired("tea", 10, NOW_S - 5.0, NOW_S + 55.0)


@pytest.mark.parametrize("overlap", ["queue", "reject"])
def test_a_tick_is_queued_whatever_the_overlap_policy_is(overlap: str) -> None:
    """A reminder waits behind a turn that runs; it neither pushes it aside nor is turned away."""
    accepted = decide(EMPTY, Accept("m1", "hello"), POLICY, NOW_S)
    assert isinstance(accepted, Decision)
    state = fold(fold(EMPTY, accepted.bodies), (ReminderSet("tea", "Drink.", NOW_S),))
    decision = decided(state, Remind(16), attrs.evolve(POLICY, overlap=overlap))
    assert [type(body) for body in decision.bodies] == [MessageAccepted, ReminderFired]


@pytest.mark.parametrize(("missed", "fired"), [("all", 2), ("one", 1)])
def test_r2_what_does_not_fit_into_the_queue_stays_due(missed: Missed, fired: int) -> None:
    """A full queue puts ticks off, it does not lose them."""
    first = decide(EMPTY, Accept("m1", "hello"), POLICY, NOW_S)
    assert isinstance(first, Decision)
    state = fold(fold(EMPTY, first.bodies), (ReminderSet("tea", "Drink.", NOW_S - 40.0, 10.0, missed),))
    bodies = decided(state, Remind(16)).bodies
    assert sum(isinstance(body, ReminderFired) for body in bodies) == fired
    full = fold(state, bodies)
    if missed == "all":
        assert refusal(full, Remind(16)) is DropReason.QUEUE_FULL
        assert full.standing.reminders[0].due_s == NOW_S - 20.0


@given(plays())
def test_r2_a_tick_enters_once_and_in_order_in_every_play(play: Play) -> None:
    """Whatever else happens to a session, each tick has one message at most, and comes after the one before."""
    accepted = [body for body in play.bodies if isinstance(body, MessageAccepted) and not body.moved_from]
    assert len(accepted) == len({body.message_id for body in accepted})
    last: dict[str, int] = {}
    for body in play.bodies:
        if isinstance(body, ReminderSet):
            last[body.key] = -1
        elif isinstance(body, ReminderFired | ReminderSkipped):
            assert body.tick > last[body.key]
            last[body.key] = body.tick
    assert all(each.tick > last[each.key] for each in play.state.standing.reminders)
