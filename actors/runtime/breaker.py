"""The fleet breaker's memory: which sessions failed lately, and the pause that restarts are in."""

import attrs

from actors.core.limits import Limits
from actors.core.supervision import Go, Pause, Spare, fleet
from actors.ports import Clock
from actors.runtime.recorder import Recorder


@attrs.frozen
class Joined:
    """A failure that is the fleet's: wait ``delay_s``; failures of these sessions since ``since_s`` do not count."""

    delay_s: float
    forgiven: tuple[str, ...]
    since_s: float


class Breaker:
    """Applies ``core.supervision.fleet`` to the failures of one runtime."""

    def __init__(self, limits: Limits, clock: Clock, recorder: Recorder) -> None:
        """Begin with no failure."""
        self._limits = limits
        self._clock = clock
        self._recorder = recorder
        self._failed: dict[str, float] = {}
        self._pause: Pause | None = None
        self.pauses = 0

    def failed(self, chat_id: str, active: int) -> Joined | None:
        """Note a failure; None if it is the session's own affair."""
        limits = self._limits
        now_s = self._clock.now_s()
        since_s = now_s - limits.fleet_window_s
        failed = self._failed
        failed.pop(chat_id, None)
        failed[chat_id] = now_s  # so the oldest is always the first
        while failed[first := next(iter(failed))] <= since_s:
            del failed[first]
        running = self._pause if self.paused else None
        verdict = running or fleet(tuple(failed.values()), active, self._pause, now_s, limits)
        if isinstance(verdict, Go):
            return None
        if isinstance(verdict, Spare):
            return Joined(verdict.delay_s * self._clock.dice(), (chat_id,), since_s)
        if verdict is not self._pause:
            self._pause = verdict
            self.pauses += 1
            delay_s = round(verdict.delay_s, 3)
            self._recorder.record("error", "fleet.paused", failures=len(failed), sessions=active, delay_s=delay_s)
        # Who failed together shall not come back together, but soon enough to be seen to fail together again.
        spread_s = min(verdict.delay_s, limits.fleet_window_s / 2) * self._clock.dice()
        # The others were forgiven when the pause began: to do it again for each would be their number squared.
        forgiven = tuple(failed) if running is None else (chat_id,)
        return Joined(verdict.until_s - now_s + spread_s, forgiven, since_s)

    def forget(self, chat_id: str) -> None:
        """Count a session no more: it was given up, so it is not of the active ones either."""
        self._failed.pop(chat_id, None)

    @property
    def paused(self) -> bool:
        """Whether restarts wait for the fleet now."""
        return self._pause is not None and self._clock.now_s() < self._pause.until_s
