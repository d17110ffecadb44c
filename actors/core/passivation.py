"""Which sessions are put away to make room, as a value: idle ones, those too many, those that hold too much memory.

Only sessions at rest that have been in memory for their minimum residency are put away, the least recently used first.
So an access pattern that needs one session more than there is room for costs at most one activation per residency and
session, and not one per message. Rules P1 and P5.
"""

import math
from collections import deque
from collections.abc import Iterable
from typing import Final, Literal

import attrs
import msgspec

from actors.core.ids import ChatId
from actors.core.limits import Limits

Reason = Literal["idle", "count", "memory", "asked"]
"""Why a session is put away."""

COUNT_SLACK_DIVISOR: Final = 16
"""How far below the bound on their number sessions are put away, so that the next few need no other look."""

CHURN_WINDOW_S: Final = 60.0
CHURN_STEPS: Final = 6


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What the decision may know of one session in memory; times are on one monotonic clock.

    ``idle_since_s`` is when it last did anything, ``resident_since_s`` when it came into memory, ``size_bytes`` what it
    is estimated to hold. ``held`` says that it must stay: it is not at rest, or it was asked to be kept.
    """

    chat_id: ChatId
    idle_since_s: float
    resident_since_s: float
    size_bytes: int = 0
    held: bool = False


@attrs.frozen
class PutAway:
    """One session to be put away, and the trigger."""

    chat_id: ChatId
    reason: Reason


@attrs.frozen
class Choice:
    """What to put away, in that order, and when to look again at the latest if nothing changes until then.

    ``size_bytes`` is what all sessions hold together, before any was put away.
    """

    put_away: tuple[PutAway, ...]
    next_s: float
    size_bytes: int


def choose(sessions: Iterable[Facts], now_s: float, limits: Limits) -> Choice:
    """Choose which of the sessions in memory to put away at ``now_s``.

    Every session counts against the bounds, also one that is held. A bound is exceeded for as long as everything above
    it is held or has just come: nothing that works is stopped for it.
    """
    every = list(sessions)
    size_bytes = total_bytes = sum(facts.size_bytes for facts in every)
    count = len(every)
    free = sorted((facts for facts in every if not facts.held), key=_by_last_use)
    count_until = count if count <= limits.sessions_live_max else _count_until(limits.sessions_live_max)
    bytes_until = math.inf
    if total_bytes > limits.sessions_high_share * limits.sessions_bytes_max:
        bytes_until = min(limits.sessions_low_share, limits.sessions_high_share) * limits.sessions_bytes_max
    chosen: list[PutAway] = []
    next_s = now_s + limits.idle_s
    for facts in free:
        crowded = count > count_until
        heavy = size_bytes > bytes_until
        old_s = facts.resident_since_s + limits.residency_s
        due_s = facts.idle_since_s + limits.idle_s
        if (due_s <= now_s or crowded or heavy) and old_s <= now_s:
            chosen.append(PutAway(facts.chat_id, "idle" if due_s <= now_s else "count" if crowded else "memory"))
            count -= 1
            size_bytes -= facts.size_bytes
        else:
            next_s = min(next_s, old_s if crowded or heavy else max(due_s, old_s))
    return Choice(tuple(chosen), next_s, total_bytes)


def _by_last_use(facts: Facts) -> tuple[float, float]:
    """Order the least recently used first; of those that never did anything, the first to come."""
    return facts.idle_since_s, facts.resident_since_s


def _count_until(count_max: int) -> int:
    """Say how many sessions are left once there were too many."""
    return count_max - count_max // COUNT_SLACK_DIVISOR


class Churn:
    """How many sessions that were put away came back within the last minute: the sign of a bound that is too low."""

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        """Start with none."""
        self._steps: deque[tuple[int, int]] = deque(maxlen=CHURN_STEPS + 1)

    def note(self, now_s: float) -> None:
        """Count one that came back."""
        step = _step(now_s)
        if self._steps and self._steps[-1][0] == step:
            self._steps.append((step, self._steps.pop()[1] + 1))
        else:
            self._steps.append((step, 1))

    def per_minute(self, now_s: float) -> int:
        """Say how many came back in the last minute, to the step of ten seconds."""
        first = _step(now_s) - CHURN_STEPS
        return sum(count for step, count in self._steps if step > first)


def _step(now_s: float) -> int:
    """Number the step of a moment."""
    return math.floor(now_s * CHURN_STEPS / CHURN_WINDOW_S)
