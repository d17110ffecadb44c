"""What becomes of a session that ended, as a value: left alone, restarted after a delay, or given up.

The budget is one session's own: a crash loop spends it alone. Delays double from the first to the last and are drawn
in full below that (full jitter), so that sessions which failed together do not come back together.
"""

from typing import Final

import attrs

from actors.core.limits import Limits

DOUBLINGS_MAX: Final = 60
"""Failures that a back-off remembers: doubled so often, any first delay worth the name has passed any last one."""


@attrs.frozen
class Restart:
    """Start a new incarnation after ``delay_s``; ``failures`` are those that still count, this one last."""

    delay_s: float
    failures: tuple[float, ...]


@attrs.frozen
class GiveUp:
    """Quarantine the session: it takes nothing until it is released or ``until_s`` has passed."""

    until_s: float


def judge(failures: tuple[float, ...], now_s: float, dice: float, limits: Limits) -> Restart | GiveUp:
    """Judge a crash at ``now_s``.

    ``failures`` are the times of the earlier ones on the same clock, ``dice`` a number from 0 to 1. Failures older than
    the window no longer count against the budget; the back-off doubles with each failure, however many windows ago the
    first was, and starts again after ``stable_s`` without one.
    """
    times = (*failures, now_s)
    recent = sum(now_s - at < limits.restart_window_s for at in times)
    if recent > limits.restarts_max:
        return GiveUp(now_s + limits.quarantine_s)
    streak = _streak(times, limits.stable_s)
    ceiling = min(limits.backoff_first_s * 2.0 ** (streak - 1), limits.backoff_last_s)
    return Restart(ceiling * dice, times[-max(recent, streak) :])


def _streak(times: tuple[float, ...], stable_s: float) -> int:
    """Count the last failures that came without a stable time between them."""
    count, most = 1, min(len(times), DOUBLINGS_MAX + 1)
    while count < most and times[-count] - times[-count - 1] < stable_s:
        count += 1
    return count
