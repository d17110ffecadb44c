"""Time, ids, dice and threads: the one place where the runtime touches the world outside trio."""

import os
import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

import attrs
import trio
from typing_extensions import override

from actors.ports import Clock, Offload

T = TypeVar("T")

_VERSION_7: Final = 0x7 << 76
_VARIANT: Final = 0x2 << 62


@attrs.frozen
class MachineTimes:
    """One moment of the machine: monotonic seconds, seconds of the processor that this process has used, wall time."""

    now_s: float
    busy_s: float
    wall_s: float


def machine_times() -> MachineTimes:
    """Read the machine's clocks, for a thread that has no loop and so no clock of a runtime."""
    return MachineTimes(time.monotonic(), time.process_time(), time.time())


class SystemClock(Clock):
    """Trio's clock for deadlines (so a virtual clock drives it), the system's for people."""

    def __init__(self, seed: int | None = None) -> None:
        """Seed the dice; without a seed they come from the operating system."""
        self._random = random.Random(os.urandom(16) if seed is None else seed)  # noqa: S311 - dice, not secrets

    @override
    def now_s(self) -> float:
        return trio.current_time()

    @override
    def wall_s(self) -> float:
        return time.time()

    busy_s = staticmethod(time.perf_counter)  # as it is: it is read for every message

    @override
    def dice(self) -> float:
        return self._random.random()

    @override
    def mint_id(self) -> str:
        """Return a UUIDv7 (RFC 9562): milliseconds since 1970, then 74 random bits."""
        milliseconds = int(self.wall_s() * 1000) & 0xFFFFFFFFFFFF
        bits = self._random.getrandbits(74)
        value = milliseconds << 80 | _VERSION_7 | bits >> 62 << 64 | _VARIANT | bits & 0x3FFFFFFFFFFFFFFF
        digits = f"{value:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Threads(Offload):
    """Blocking work in trio's worker threads, at most ``threads_max`` at once."""

    def __init__(self, threads_max: int = 4) -> None:
        """Bound the threads; work beyond the bound waits."""
        self._limiter = trio.CapacityLimiter(threads_max)

    @override
    async def run(self, work: Callable[[], T]) -> T:
        # Abandoned on cancellation: a disk that hangs must not keep the program from ending.
        return await trio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)
