"""Who is started again, with whom, and when all restarts wait: kinds, strategies and the fleet breaker."""

import pytest

from actors.core.limits import Limits
from actors.core.supervision import (
    ChildKind,
    ExitReason,
    Go,
    Pause,
    Spare,
    Strategy,
    exit_of,
    fleet,
    is_restarted,
    restarted_with,
)

NOW_S = 1000.0
LIMITS = Limits()
PERMANENT, TRANSIENT, TEMPORARY = ChildKind
RESTARTED = {
    PERMANENT: {ExitReason.NORMAL, ExitReason.PASSIVATED, ExitReason.CRASHED, ExitReason.INIT_FAILED},
    TRANSIENT: {ExitReason.CRASHED, ExitReason.INIT_FAILED},
    TEMPORARY: set[ExitReason](),
}


@pytest.mark.parametrize("kind", ChildKind)
@pytest.mark.parametrize("reason", ExitReason)
def test_s2_a_child_is_started_again_by_its_kind_and_the_reason_of_its_end(kind: ChildKind, reason: ExitReason) -> None:
    """The full matrix: a service always, a session after a failure, a turn never; nobody against an order."""
    assert is_restarted(kind, reason) is (reason in RESTARTED[kind])


@pytest.mark.parametrize("failed", range(4))
def test_s2_a_strategy_says_who_is_started_again_with_a_child(failed: int) -> None:
    """Sessions stand alone; a service takes along those that were started after it."""
    assert list(restarted_with(Strategy.ONE_FOR_ONE, 4, failed)) == [failed]
    assert list(restarted_with(Strategy.REST_FOR_ONE, 4, failed)) == list(range(failed, 4))


@pytest.mark.parametrize(
    ("told", "reason"),
    [("stopped", "normal"), ("deleted", "killed"), ("shutdown", "shutdown"), ("fenced", "fenced"), ("", "normal")],
)
def test_s1_what_a_session_was_told_becomes_the_reason_of_its_exit(told: str, reason: str) -> None:
    """One reason of the closed set for each way of being told to leave."""
    assert exit_of(told) == ExitReason(reason)


@pytest.mark.parametrize("active", [0, 1, 10, 49, 50, 51, 1000])
@pytest.mark.parametrize("failing", [0, 1, 9, 10, 11, 40, 201])
def test_s4_restarts_pause_for_a_share_and_a_number_of_the_fleet(failing: int, active: int) -> None:
    """More than the share, and at least the number; either alone is somebody's own affair."""
    verdict = fleet((NOW_S - 1.0,) * failing, active, None, NOW_S, LIMITS)
    assert isinstance(verdict, Pause) is (failing >= 10 and failing > active / 5)


def test_s4_failures_outside_the_window_are_not_of_this_trouble() -> None:
    """At exactly the window's length a failure has slid out."""
    window_s = LIMITS.fleet_window_s
    assert isinstance(fleet((NOW_S - window_s,) * 10, 10, None, NOW_S, LIMITS), Go)
    assert isinstance(fleet((NOW_S - window_s + 0.1,) * 10, 10, None, NOW_S, LIMITS), Pause)


def test_s4_whoever_fails_during_a_pause_joins_it() -> None:
    """It is neither made longer nor judged anew, however few fail."""
    pause = Pause(NOW_S + 1.0, 2.0, 3)
    assert fleet((NOW_S,), 1000, pause, NOW_S, LIMITS) is pause


def test_s4_pauses_in_a_row_double_up_to_a_bound_and_begin_anew_after_peace() -> None:
    """The delays are those of one session's back-off; a window without a pause ends the row."""
    failed, at_s = (1e9,) * 10, NOW_S
    pause: Pause | None = None
    delays: list[float] = []
    for _ in range(12):
        verdict = fleet(failed, 10, pause, at_s, LIMITS)
        assert isinstance(verdict, Pause)
        delays.append(verdict.delay_s)
        pause, at_s = verdict, verdict.until_s + 0.1
    assert delays[:4] == [0.2, 0.4, 0.8, 1.6]
    assert delays[-1] == LIMITS.backoff_last_s
    assert pause is not None
    again = fleet(failed, 10, pause, pause.until_s + LIMITS.fleet_window_s, LIMITS)
    assert isinstance(again, Pause)
    assert (again.delay_s, again.number) == (0.2, 1)


def test_s4_for_a_window_after_a_pause_failures_are_spared() -> None:
    """Those who come back first do not pay for what still goes on; a window later each is judged by itself."""
    pause = Pause(NOW_S, 2.0, 3)
    assert fleet((NOW_S,), 1000, pause, NOW_S, LIMITS) == Spare(2.0)
    assert fleet((NOW_S,), 1000, pause, NOW_S + LIMITS.fleet_window_s - 0.1, LIMITS) == Spare(2.0)
    assert fleet((NOW_S,), 1000, Pause(NOW_S, 30.0, 9), NOW_S, LIMITS) == Spare(LIMITS.fleet_window_s / 2)
    assert fleet((NOW_S,), 1000, pause, NOW_S + LIMITS.fleet_window_s, LIMITS) == Go()


def test_s4_a_row_that_never_ends_stays_within_the_arithmetic() -> None:
    """The number of pauses is remembered within a bound."""
    pause = Pause(NOW_S, 1.0, 10**6)
    verdict = fleet((1e9,) * 10, 10, pause, NOW_S, LIMITS)
    assert isinstance(verdict, Pause)
    assert verdict.delay_s == LIMITS.backoff_last_s
