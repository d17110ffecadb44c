"""What becomes of a session or a service that ended, as a value: left alone, restarted after a delay, or given up.

The budget is one session's own: a crash loop spends it alone. Delays double from the first to the last and are drawn
in full below that (full jitter), so that sessions which failed together do not come back together. When much of the
fleet fails at once the cause is taken to be shared: restarts pause, and nobody's budget pays for it.
"""

import enum
import math
from collections.abc import Sequence
from typing import Final

import attrs

from actors.core.limits import Limits

FORGIVEN_S: Final = -math.inf
"""When a failure happened that counts for nothing, though it is one: before everything."""

DOUBLINGS_MAX: Final = 60
"""Failures that a back-off remembers: doubled so often, any first delay worth the name has passed any last one."""


class ExitReason(enum.StrEnum):
    """Why an incarnation ended; every end of one has exactly one of these."""

    NORMAL = "normal"
    PASSIVATED = "passivated"
    SHUTDOWN = "shutdown"
    CRASHED = "crashed"
    INIT_FAILED = "init_failed"
    KILLED = "killed"
    FENCED = "fenced"
    QUARANTINED = "quarantined"


class DownReason(enum.StrEnum):
    """What a monitor is told: how a session ended for good, or what else it asked to hear of."""

    STOPPED = "stopped"
    DELETED = "deleted"
    QUARANTINED = "quarantined"
    FENCED = "fenced"
    SHUTDOWN = "shutdown"
    ABSENT = "absent"
    RESTARTED = "restarted"
    PASSIVATED = "passivated"


class ChildKind(enum.StrEnum):
    """When a child is started again: a service always, a session after a failure, a turn never."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(enum.StrEnum):
    """Who is started again together with a child: nobody (sessions), or those that began after it (services)."""

    ONE_FOR_ONE = "one_for_one"
    REST_FOR_ONE = "rest_for_one"


FAILURES: Final = frozenset({ExitReason.CRASHED, ExitReason.INIT_FAILED})
"""The ends that nobody asked for."""

FINAL: Final = frozenset({ExitReason.SHUTDOWN, ExitReason.KILLED, ExitReason.FENCED, ExitReason.QUARANTINED})
"""The ends that somebody wanted to last: no child comes back from them by itself."""


def is_restarted(kind: ChildKind, reason: ExitReason) -> bool:
    """Say whether a child that ended so is started again by itself."""
    if kind is ChildKind.TEMPORARY or reason in FINAL:
        return False
    return kind is ChildKind.PERMANENT or reason in FAILURES


def restarted_with(strategy: Strategy, children: int, failed: int) -> range:
    """Return the places of the children that start again when the one at ``failed`` has ended, in their order."""
    return range(failed, failed + 1 if strategy is Strategy.ONE_FOR_ONE else children)


def exit_of(reason: str) -> ExitReason:
    """Say how an incarnation ended that was told to leave for ``reason``."""
    return _EXITS.get(reason, ExitReason.NORMAL)


_EXITS: Final = {
    "deleted": ExitReason.KILLED,
    "killed": ExitReason.KILLED,
    "shutdown": ExitReason.SHUTDOWN,
    "fenced": ExitReason.FENCED,
    "passivated": ExitReason.PASSIVATED,
}


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


@attrs.frozen
class Pause:
    """Restart nobody for ``delay_s``, until ``until_s``; ``number`` counts the pauses in a row, from 1."""

    until_s: float
    delay_s: float
    number: int


@attrs.frozen
class Spare:
    """A pause was over a moment ago: restart after at most ``delay_s``, and do not count the failure yet."""

    delay_s: float


@attrs.frozen
class Go:
    """Each session is judged by itself."""


def fleet(
    failed_s: Sequence[float], active: int, pause: Pause | None, now_s: float, limits: Limits
) -> Pause | Spare | Go:
    """Judge the failures of the whole runtime after one of them at ``now_s``.

    ``failed_s`` is the time of the last failure of each session that failed lately, this one's included; ``active``
    counts the sessions that have a task. Restarts pause when more than a share of them, and at least a number, failed
    within the window. Who fails during a pause joins it; after it the next one is twice as long. For a window after a
    pause failures are spared, or those who come back first would pay for what still goes on; then all begins anew.
    """
    if pause is not None and now_s < pause.until_s:
        return pause
    if pause is not None and now_s - pause.until_s >= limits.fleet_window_s:
        pause = None
    failing = sum(now_s - at_s < limits.fleet_window_s for at_s in failed_s)
    if failing < limits.fleet_sessions_min or 100 * failing <= active * limits.fleet_percent_max:
        return Go() if pause is None else Spare(min(pause.delay_s, limits.fleet_window_s / 2))
    number = 1 if pause is None else min(pause.number, DOUBLINGS_MAX) + 1
    delay_s = min(limits.backoff_first_s * 2.0 ** (number - 1), limits.backoff_last_s)
    return Pause(now_s + delay_s, delay_s, number)
