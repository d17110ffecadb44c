"""What is out of order, as a value: measured facts held against their limits, and the alarms that follow.

An alarm is raised when a fact reaches its limit. It is cleared when the fact has stayed below half of it for a while,
so that one that goes up and down around its limit is one alarm and not a hundred.
"""

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

CLEAR_SHARE: Final = 0.5
"""Below this part of its limit a fact is at rest."""


class AlarmKind(enum.StrEnum):
    """What can be out of order."""

    QUEUE_LENGTH = "queue_length"
    MESSAGE_AGE = "message_age"
    TURN_AGE = "turn_age"
    LOOP_STALL = "loop_stall"
    RESTART_RATE = "restart_rate"
    QUARANTINE = "quarantine"
    FLEET_BREAKER = "fleet_breaker"
    ZOMBIE = "zombie"
    DRIFT = "drift"
    DEAD_LETTER_RATE = "dead_letter_rate"
    ACTIVATION_CHURN = "activation_churn"


@attrs.frozen
class Fact:
    """Something measured, of one session or (``chat_id`` empty) of the runtime; what is not measured is at rest."""

    kind: AlarmKind
    chat_id: str
    value: float
    limit: float
    place: str = ""


@attrs.frozen
class Alarm:
    """A fact that has reached its limit.

    ``since_s`` is when it was raised, on the runtime's clock; ``value`` what was measured last; ``place`` where it
    hangs, if that is known. ``rest_since_s`` is when it came to rest; None while it has not.
    """

    kind: AlarmKind
    chat_id: str
    since_s: float
    value: float
    limit: float
    place: str = ""
    rest_since_s: float | None = None


Current = Mapping[tuple[AlarmKind, str], Alarm]
NONE: Final[Current] = MappingProxyType({})


@attrs.frozen
class Changes:
    """The alarms that are on, and among them and beside them what has changed."""

    current: Current
    raised: tuple[Alarm, ...]
    cleared: tuple[Alarm, ...]


def sound(current: Current, facts: Iterable[Fact], now_s: float, rest_s: float) -> Changes:
    """Hold facts against their limits; an alarm at rest for ``rest_s`` seconds is cleared."""
    after: dict[tuple[AlarmKind, str], Alarm] = {}
    raised: list[Alarm] = []
    worst: dict[tuple[AlarmKind, str], Fact] = {}
    for fact in facts:  # a session may have two zombies: that is one alarm
        key = fact.kind, fact.chat_id
        if key not in worst or fact.value > worst[key].value:
            worst[key] = fact
    for key, fact in worst.items():
        before = current.get(key)
        if before is None:
            if fact.value >= fact.limit:
                after[key] = Alarm(fact.kind, fact.chat_id, now_s, fact.value, fact.limit, fact.place)
                raised.append(after[key])
        else:
            at_rest = fact.value < fact.limit * CLEAR_SHARE
            since_s = (before.rest_since_s if before.rest_since_s is not None else now_s) if at_rest else None
            place = fact.place or before.place
            after[key] = attrs.evolve(before, value=fact.value, place=place, rest_since_s=since_s)
    for key, before in current.items():
        if key not in after:
            since_s = before.rest_since_s if before.rest_since_s is not None else now_s
            after[key] = attrs.evolve(before, value=0.0, rest_since_s=since_s)
    over = {key: alarm for key, alarm in after.items() if _is_over(alarm, now_s, rest_s)}
    left = {key: alarm for key, alarm in after.items() if key not in over}
    return Changes(left, tuple(raised), tuple(over.values()))


def _is_over(alarm: Alarm, now_s: float, rest_s: float) -> bool:
    """Say whether an alarm has been at rest for long enough."""
    return alarm.rest_since_s is not None and now_s - alarm.rest_since_s >= rest_s
