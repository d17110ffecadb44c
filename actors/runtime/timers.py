"""Volatile timers of one incarnation: each tick is a message in the user lane, and none overlaps the one before.

A timer belongs to the incarnation whose handler started it and ends with it. The next tick is counted from the end of
the one before, so a slow handler is never chased by its own timer.
"""

from functools import partial
from typing import Final

import attrs
from typing_extensions import override

from actors.core.envelope import Envelope, Origin, Rejection, freeze_payload
from actors.core.ids import DropReason, parse_message_id
from actors.errors import ConfigurationError
from actors.runtime.mailbox import Reply, Request
from actors.runtime.ref import Ref
from actors.runtime.services import Services

SENDER: Final = "timer"
"""Who sends the ticks."""
RETRY_S: Final = 0.05
"""So soon a tick is tried again that found the mailbox full."""
_SECONDS_MAX: Final = 1e9


@attrs.define(eq=False)
class _Timer:
    """One timer: what it says, how often, and the tick that is on its way."""

    key: str
    payload: object
    every_s: float | None
    tick: Request | None = None


class Timers:
    """The timers of one incarnation, by their keys."""

    __slots__ = ("_ref", "_services", "_timers")

    def __init__(self, ref: Ref, services: Services) -> None:
        """Begin with none."""
        self._ref = ref
        self._services = services
        self._timers: dict[str, _Timer] = {}

    def __len__(self) -> int:
        """Count the timers that go on."""
        return len(self._timers)

    def start(self, key: object, payload: object, every_s: object, after_s: object) -> None:
        """Start a timer; one of the same key is stopped. See ``Session.start_timer``."""
        limits, chat_id = self._services.limits, self._ref.chat_id
        name = parse_message_id(key)
        if isinstance(name, DropReason):
            message = f"key is {type(key).__name__}"
            raise ConfigurationError(message, chat_id=chat_id, hint="give 1 to 128 characters of [A-Za-z0-9_.:-]")
        if (every_s is None) is (after_s is None):
            message = "a timer needs one of every_s and after_s"
            raise ConfigurationError(message, chat_id=chat_id, hint="give the period, or the time until it comes once")
        first_s = _seconds(after_s if every_s is None else every_s)
        if first_s is None or first_s < limits.timer_period_s:
            message = f"{'after_s' if every_s is None else 'every_s'} is {(every_s or after_s)!r:.40}"
            hint = f"give seconds from {limits.timer_period_s}, the limit timer_period_s"
            raise ConfigurationError(message, chat_id=chat_id, hint=hint)
        frozen = freeze_payload(payload, limits.message_bytes_max)
        if isinstance(frozen, Rejection):
            message = f"{frozen.field} is {frozen.found}"
            raise ConfigurationError(message, chat_id=chat_id, hint=frozen.remedy)
        self.stop(name)
        if len(self._timers) >= limits.timers_max:
            message = f"the session has {len(self._timers)} timers"
            raise ConfigurationError(message, chat_id=chat_id, hint="stop one, or raise the limit timers_max")
        timer = self._timers[name] = _Timer(name, frozen[0], None if every_s is None else first_s)
        self._arm(timer, first_s)

    def stop(self, key: object) -> bool:
        """Stop a timer, and take back a tick that waits; False if there is none of this key."""
        timer = self._timers.pop(key, None) if isinstance(key, str) else None
        if timer is None:
            return False
        self._services.timers.forget((self, timer.key))
        if timer.tick is not None:
            self._ref.mailbox.withdraw(timer.tick)
        return True

    def close(self) -> None:
        """Stop all of them: the incarnation has ended."""
        for key in list(self._timers):
            self.stop(key)

    def _arm(self, timer: _Timer, after_s: float) -> None:
        """Wait for the next tick."""
        services = self._services
        services.timers.at((self, timer.key), services.clock.now_s() + after_s, partial(self._tick, timer))

    def _tick(self, timer: _Timer) -> None:
        """Put a tick into the mailbox; one that finds no room is tried again."""
        ref, services = self._ref, self._services
        frozen = freeze_payload(timer.payload, services.limits.message_bytes_max)
        assert not isinstance(frozen, Rejection), "it was taken when the timer was started"
        origin = Origin(SENDER, causation_id=timer.key)
        envelope = Envelope(ref.chat_id, frozen[0], frozen[1], None, ref.incarnation, origin)
        tick = Request(envelope, _Handled(self, timer))
        reason = ref.mailbox.put_nowait(tick)
        if reason is None:
            timer.tick = tick
            services.accounts.counts.timer_ticks += 1
        elif reason in {DropReason.MAILBOX_FULL, DropReason.MEMORY_FULL}:
            self._arm(timer, RETRY_S)

    def handled(self, timer: _Timer) -> None:
        """Count the time to the next tick from here, if there is one."""
        timer.tick = None
        if self._timers.get(timer.key) is timer:
            if timer.every_s is None:
                del self._timers[timer.key]
            else:
                self._arm(timer, timer.every_s)


class _Handled(Reply):
    """Hears that a tick was handled, however that ended."""

    __slots__ = ("_timer", "_timers")

    def __init__(self, timers: Timers, timer: _Timer) -> None:
        """Belong to one tick."""
        super().__init__()
        self._timers = timers
        self._timer = timer

    @override
    def set(self, value: object) -> bool:
        first = super().set(value)
        if first:
            self._timers.handled(self._timer)
        return first


def _seconds(value: object) -> float | None:
    """Read a number of seconds that can be waited for; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _SECONDS_MAX:
        return float(value)
    return None
