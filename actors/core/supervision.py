"""What becomes of a session that ended, as a value: left alone, restarted after a delay, or given up.

The budget is one session's own: a crash loop spends it alone. Delays double from the first to the last and are drawn
in full below that (full jitter), so that sessions which failed together do not come back together.
"""

import enum

import attrs

from actors.core.limits import Limits


class ExitReason(enum.StrEnum):
    """How an incarnation of a session ended."""

    NORMAL = "normal"
    SHUTDOWN = "shutdown"
    CRASHED = "crashed"
    INIT_FAILED = "init_failed"
    KILLED = "killed"
    FENCED = "fenced"
    QUARANTINED = "quarantined"


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
    the window no longer count; the back-off starts again after ``stable_s`` without a failure.
    """
    recent = (*(at for at in failures if now_s - at < limits.restart_window_s), now_s)
    if len(recent) > limits.restarts_max:
        return GiveUp(now_s + limits.quarantine_s)
    stable = bool(failures) and now_s - failures[-1] >= limits.stable_s
    doublings = 0 if stable else min(len(recent) - 1, 60)
    ceiling = min(limits.backoff_first_s * 2.0**doublings, limits.backoff_last_s)
    return Restart(ceiling * dice, recent)
