"""The moments of a reminder, and which of them are due: no clock loses a tick, doubles it or changes the order."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.events import Missed, ReminderDropped, ReminderFired, ReminderSet, ReminderSkipped
from actors.core.reminder import Due, Reminder, due, evolve_reminders, first_due_s

FIRST_S = 1_750_000_000.0
HOURLY = Reminder("tea", "Drink.", FIRST_S, 3600.0)
ONCE = Reminder("pills", "Take them.", FIRST_S)
LATE_S = 60.0

PERIODS = st.floats(0.001, 1e6)
LATENESS = st.floats(-1e6, 1e6)
POLICIES: st.SearchStrategy[Missed] = st.sampled_from(["skip", "one", "all"])


def due_at(reminder: Reminder, in_s: float, missed: Missed = "one") -> Due:
    """Say what is due so many seconds after the first moment."""
    return due(attrs.evolve(reminder, missed=missed), FIRST_S + in_s, late_s=LATE_S, missed_max=5)


@pytest.mark.parametrize(
    ("in_s", "skip", "one", "every"),
    [
        (-0.1, Due(), Due(), Due()),
        (0.0, Due(0, 1), Due(0, 1), Due(0, 1)),
        (60.0, Due(0, 1), Due(0, 1), Due(0, 1)),
        (60.1, Due(1, 0), Due(0, 1), Due(0, 1)),
        (3599.9, Due(1, 0), Due(0, 1), Due(0, 1)),
        (3600.0, Due(1, 1), Due(1, 1), Due(0, 2)),
        (4 * 3600.0 + 61.0, Due(5, 0), Due(4, 1), Due(0, 5)),
        (5 * 3600.0, Due(5, 1), Due(5, 1), Due(1, 5)),
        (86_400.0, Due(24, 1), Due(24, 1), Due(20, 5)),
    ],
)
def test_r2_missed_ticks_follow_the_policy_of_their_reminder(in_s: float, skip: Due, one: Due, every: Due) -> None:
    """``skip`` fires a tick that is hardly late, ``one`` the newest, ``all`` each of them, up to the limit."""
    assert due_at(HOURLY, in_s, "skip") == skip
    assert due_at(HOURLY, in_s, "one") == one
    assert due_at(HOURLY, in_s, "all") == every


@pytest.mark.parametrize(
    ("in_s", "missed", "expected"),
    [
        (-1.0, "one", Due()),
        (0.0, "skip", Due(0, 1)),
        (60.1, "skip", Due(1, 0)),
        (1e9, "one", Due(0, 1)),
        (1e9, "all", Due(0, 1)),
    ],
)
def test_a_reminder_that_comes_once_is_due_once(in_s: float, missed: Missed, expected: Due) -> None:
    """However late, unless it says that a late tick is left out."""
    assert due_at(ONCE, in_s, missed) == expected


@given(period=PERIODS, ticks=st.integers(0, 10**6), missed=POLICIES)
def test_a_tick_is_due_at_its_moment_and_not_before(period: float, ticks: int, missed: Missed) -> None:
    """To the last bit: a moment that came to be by rounding is the moment."""
    reminder = Reminder("tea", "Drink.", FIRST_S, period, missed, ticks)
    late = {"late_s": LATE_S, "missed_max": 10**9}
    before = due(reminder, reminder.due_s - 1e-3, **late)  # type: ignore[arg-type]  # two limits by name
    assert before == Due()
    at = due(reminder, reminder.due_s, **late)  # type: ignore[arg-type]  # as above
    assert at.skipped + at.fired >= 1


@given(period=PERIODS, late_s=LATENESS, missed=POLICIES, ticks=st.integers(0, 1000))
def test_what_is_due_is_every_moment_that_has_come(period: float, late_s: float, missed: Missed, ticks: int) -> None:
    """The last tick that is left out or fired has come; the one behind it has not."""
    reminder = Reminder("tea", "Drink.", FIRST_S, period, missed, ticks)
    now_s = reminder.due_s + late_s
    plan = due(reminder, now_s, late_s=LATE_S, missed_max=10**9)
    count = plan.skipped + plan.fired
    assert reminder.moment_s(ticks + count) > now_s
    assert not count or reminder.moment_s(ticks + count - 1) <= now_s


@given(st.lists(st.floats(-1e5, 1e5), max_size=30), POLICIES, st.sampled_from([None, 7.5, 3600.0]))
def test_r2_no_clock_doubles_a_tick_or_changes_the_order(
    jumps: list[float], missed: Missed, every_s: float | None
) -> None:
    """Wherever wall time jumps, ticks are numbered upwards, each once, and none comes before its moment."""
    reminders: tuple[Reminder, ...] = (Reminder("tea", "Drink.", FIRST_S, every_s, missed),)
    now_s, seen = FIRST_S - 100.0, list[int]()
    for jump in jumps:
        now_s += jump
        for reminder in reminders:
            plan = due(reminder, now_s, late_s=LATE_S, missed_max=10**9)
            first = reminder.tick + plan.skipped
            if plan.skipped:
                skipped = ReminderSkipped("tea", first - 1, plan.skipped, reminder.after(first - 1))
                reminders = evolve_reminders(reminders, skipped, 1)
            for tick in range(first, first + min(plan.fired, 50)):
                assert reminder.moment_s(tick) <= now_s
                seen.append(tick)
                fired = ReminderFired("tea", tick, reminder.moment_s(tick), reminder.after(tick))
                reminders = evolve_reminders(reminders, fired, 1)
    assert seen == sorted(set(seen))


def test_r2_a_tick_is_named_by_its_reminder_and_its_moment() -> None:
    """No sender's key can be equal, since keys hold no slash; two ticks never share a name."""
    assert HOURLY.message_id(2) == "tea/1750007200.0"
    assert ONCE.message_id(0) == "pills/1750000000.0"


def test_events_set_move_and_end_reminders() -> None:
    """One that is set again stands last and begins anew; one that has no next tick is over."""
    first = evolve_reminders((), ReminderSet("tea", "Drink.", FIRST_S, 60.0), 2)
    both = evolve_reminders(first, ReminderSet("pills", "Take.", FIRST_S, None, "skip"), 3)
    assert [(each.key, each.seq, each.tick) for each in both] == [("tea", 2, 0), ("pills", 3, 0)]
    moved = evolve_reminders(both, ReminderFired("tea", 0, FIRST_S, FIRST_S + 60.0), 4)
    assert [(each.key, each.seq, each.tick) for each in moved] == [("tea", 2, 1), ("pills", 3, 0)]
    again = evolve_reminders(moved, ReminderSet("tea", "Drink.", FIRST_S, 60.0), 5)
    assert [(each.key, each.seq, each.tick) for each in again] == [("pills", 3, 0), ("tea", 5, 0)]
    over = evolve_reminders(again, ReminderFired("pills", 0, FIRST_S, None), 6)
    assert [each.key for each in over] == ["tea"]
    assert evolve_reminders(over, ReminderSkipped("tea", 9, 10, None), 7) == ()
    assert evolve_reminders(over, ReminderDropped("tea"), 7) == ()
    assert evolve_reminders(over, ReminderDropped("other"), 7) == over


def test_the_first_that_is_due_is_the_one_to_wait_for() -> None:
    """Of several; of none there is none."""
    assert first_due_s(()) is None
    assert first_due_s((HOURLY, attrs.evolve(ONCE, first_s=FIRST_S - 5.0))) == FIRST_S - 5.0
