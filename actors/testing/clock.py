"""Time, ids and dice that a test holds."""

from collections.abc import Sequence

from typing_extensions import override

from actors.runtime.clock import SystemClock


class VirtualClock(SystemClock):
    """Time, ids and dice held by a test: deadlines follow trio's clock, so use it with trio's ``MockClock``.

    Wall time starts at ``wall_s``, goes on with trio's clock, and jumps when told to. Busy time goes on by a tick each
    time it is read, so that whoever never waits gives way after a number of steps that is always the same. Dice and ids
    come from the seed; dice given in ``rolls`` come first.
    """

    real = False

    def __init__(self, seed: int = 0, *, wall_s: float = 1_750_000_000.0, rolls: Sequence[float] = ()) -> None:
        """Start at a moment."""
        super().__init__(seed)
        self._base_s = wall_s
        self._busy = 0.0
        self.tick_s = 1e-6
        self.rolls = list(rolls)

    @override
    def wall_s(self) -> float:
        return self._base_s + self.now_s()

    @override
    def busy_s(self) -> float:
        self._busy += self.tick_s
        return self._busy

    @override
    def dice(self) -> float:
        return self.rolls.pop(0) if self.rolls else super().dice()

    def jump(self, seconds: float) -> None:
        """Let wall time jump forwards or back; nothing that waits may notice."""
        self._base_s += seconds
