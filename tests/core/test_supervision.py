"""What becomes of a session that crashed: the budget, its window, and the delays."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.limits import Limits
from actors.core.supervision import DOUBLINGS_MAX, FORGIVEN_S, GiveUp, Restart, judge

LIMITS = Limits()
NOW_S = 10_000.0

Times = tuple[float, ...]


def crash(times: Times, limits: Limits = LIMITS, dice: float = 1.0) -> tuple[Restart | GiveUp, ...]:
    """Judge crashes at these times, each with the failures that the verdict before it kept."""
    verdicts: list[Restart | GiveUp] = []
    failures: Times = ()
    for at_s in times:
        verdict = judge(failures, at_s, dice, limits)
        verdicts.append(verdict)
        failures = verdict.failures if isinstance(verdict, Restart) else ()
    return tuple(verdicts)


def delays(times: Times, limits: Limits = LIMITS, dice: float = 1.0) -> list[float]:
    """List the delays of crashes that are all followed by a restart."""
    verdicts = crash(times, limits, dice)
    found = [verdict.delay_s for verdict in verdicts if isinstance(verdict, Restart)]
    assert len(found) == len(verdicts)
    return found


@pytest.mark.parametrize(
    ("restarts_max", "recent", "old"),
    [(most, recent, old) for most in (0, 1, 2, 5) for recent in range(7) for old in (0, 1, 9)],
)
def test_a_session_is_given_up_when_its_window_holds_more_than_its_budget(
    restarts_max: int, recent: int, old: int
) -> None:
    """Earlier failures inside the window and this one are counted; those outside are not, however many they were."""
    limits = Limits(restarts_max=restarts_max)
    window_s = limits.restart_window_s
    failures = (*(NOW_S - window_s - n for n in range(old, 0, -1)), *(NOW_S - n for n in range(recent, 0, -1)))
    verdict = judge(failures, NOW_S, 0.5, limits)
    assert isinstance(verdict, GiveUp if recent + 1 > restarts_max else Restart)


def test_giving_up_lasts_for_the_cool_down() -> None:
    """A verdict says until when; nothing else of the budget is left in it."""
    assert judge((), 7.0, 1.0, Limits(restarts_max=0, quarantine_s=600.0)) == GiveUp(607.0)


@pytest.mark.parametrize(("age_s", "counts"), [(0.0, True), (29.999, True), (30.0, False), (31.0, False)])
def test_a_failure_counts_for_less_than_the_window(age_s: float, *, counts: bool) -> None:
    """At exactly the window's length it has slid out."""
    verdict = judge((NOW_S - age_s,), NOW_S, 1.0, Limits(restarts_max=1, restart_window_s=30.0))
    assert isinstance(verdict, GiveUp) is counts


def test_the_window_slides_with_every_failure() -> None:
    """Five restarts in thirty seconds are the budget: at one crash in seven seconds for ever, at one in five never."""
    slow = tuple(NOW_S + 7.0 * n for n in range(50))
    fast = tuple(NOW_S + 5.0 * n for n in range(6))
    assert all(isinstance(verdict, Restart) for verdict in crash(slow))
    assert [isinstance(verdict, GiveUp) for verdict in crash(fast)] == [False] * 5 + [True]


def test_delays_double_from_the_first_to_the_last() -> None:
    """The ceiling of each is twice the one before it, and never above the last."""
    limits = Limits(restarts_max=1000)
    times = tuple(NOW_S + n for n in range(12))
    assert delays(times, limits) == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0, 30.0]


def test_delays_go_on_doubling_beyond_the_window() -> None:
    """A session that crashes once in forty seconds stays within its budget and is slowed down all the same."""
    times = tuple(NOW_S + 40.0 * n for n in range(9))
    assert delays(times) == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]


@pytest.mark.parametrize(("gap_s", "second_s"), [(59.999, 0.4), (60.0, 0.2), (1000.0, 0.2)])
def test_delays_start_again_after_a_stable_time(gap_s: float, second_s: float) -> None:
    """A minute without a failure makes a session stable again."""
    assert delays((NOW_S, NOW_S + gap_s)) == [0.2, second_s]
    assert delays((NOW_S - 1, NOW_S, NOW_S + gap_s, NOW_S + gap_s + 1))[2:] == (
        [0.8, 1.6] if gap_s < 60 else [0.2, 0.4]
    )


def test_a_stable_time_shorter_than_the_window_leaves_the_budget_alone() -> None:
    """Delays start again after ten seconds, and the sixth failure in a minute is still one too many."""
    limits = Limits(restart_window_s=60.0, stable_s=10.0)
    times = tuple(NOW_S + 11.0 * n for n in range(6))
    *restarts, last = crash(times, limits)
    assert [verdict.delay_s for verdict in restarts if isinstance(verdict, Restart)] == [0.2] * 5
    assert isinstance(last, GiveUp)


def test_without_a_stable_time_every_delay_is_the_first() -> None:
    """A stable time of nothing has always passed."""
    assert delays(tuple(NOW_S + n for n in range(5)), Limits(stable_s=0.0)) == [0.2] * 5


@pytest.mark.parametrize("earlier", range(5))
def test_delays_are_spread_over_all_of_their_range(earlier: int) -> None:
    """Full jitter: evenly from nothing to the ceiling, so that sessions which failed together come back apart."""
    chance = random.Random(earlier)
    failures = tuple(NOW_S - n for n in range(earlier, 0, -1))
    ceiling_s = 0.2 * 2**earlier
    limits = Limits(restarts_max=10)
    tenths = [0] * 10
    for _ in range(2000):
        verdict = judge(failures, NOW_S, chance.random(), limits)
        assert isinstance(verdict, Restart)
        tenths[int(verdict.delay_s / ceiling_s * 10)] += 1
    assert min(tenths) > 140
    assert max(tenths) < 260


@pytest.mark.parametrize(("dice", "part"), list(itertools.product([0.0, 0.25, 0.5, 1.0], range(1, 4))))
def test_the_dice_choose_a_part_of_the_ceiling(dice: float, part: int) -> None:
    """The verdict depends on nothing but its arguments."""
    times = tuple(NOW_S + n for n in range(part))
    assert delays(times, dice=dice)[-1] == pytest.approx(0.2 * 2 ** (part - 1) * dice)


def test_a_verdict_keeps_the_failures_that_still_matter() -> None:
    """Those in the window and those of the streak, this one last; nothing older is carried along."""
    limits = Limits(restart_window_s=30.0, stable_s=60.0)
    verdict = judge((NOW_S - 200, NOW_S - 90, NOW_S - 45, NOW_S - 10), NOW_S, 1.0, limits)
    assert verdict == Restart(1.6, (NOW_S - 90, NOW_S - 45, NOW_S - 10, NOW_S))
    assert judge((NOW_S - 100,), NOW_S, 1.0, limits) == Restart(0.2, (NOW_S,))


def test_a_failure_that_was_forgiven_counts_for_nothing() -> None:
    """Neither against the budget nor for the delay; and it is forgotten with the next verdict."""
    forgiven = (FORGIVEN_S,) * 10
    assert judge(forgiven, NOW_S, 1.0, LIMITS) == Restart(0.2, (NOW_S,))
    assert judge((*forgiven, NOW_S - 1), NOW_S, 1.0, LIMITS) == Restart(0.4, (NOW_S - 1, NOW_S))


def test_a_crash_loop_that_never_ends_is_remembered_within_a_bound() -> None:
    """One crash in forty seconds for a week neither gathers failures nor breaks the arithmetic."""
    verdict = crash(tuple(40.0 * n for n in range(15_000)))[-1]
    assert isinstance(verdict, Restart)
    assert verdict.delay_s == LIMITS.backoff_last_s
    assert len(verdict.failures) == DOUBLINGS_MAX + 1


@given(
    st.lists(st.floats(0.0, 200.0), max_size=40).map(lambda gaps: tuple(itertools.accumulate(gaps))),
    st.floats(0.0, 1.0),
    st.integers(0, 8),
)
def test_no_window_ever_holds_more_restarts_than_the_budget(times: Times, dice: float, restarts_max: int) -> None:
    """Whatever the times, between two times of giving up no window has more restarts than it may."""
    limits = Limits(restarts_max=restarts_max)
    restarts: list[float] = []
    for at_s, verdict in zip(times, crash(times, limits, dice), strict=True):
        if isinstance(verdict, GiveUp):
            restarts.clear()
            continue
        restarts.append(at_s)
        assert 0.0 <= verdict.delay_s <= limits.backoff_last_s
        assert verdict.failures[-1] == at_s
        assert sum(at_s - earlier < limits.restart_window_s for earlier in restarts) <= restarts_max
