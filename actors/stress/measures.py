"""What is measured of a load: how long things took, and whether memory grows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final

import attrs

MIB: Final = 1024 * 1024

_FIRST_S: Final = 1e-5
_GROWTH: Final = 1.1
"""Each bucket is a tenth wider than the one before: percentiles are right to a tenth."""

SAMPLES_MIN: Final = 12
"""Memory of a life with fewer looks at it is not judged."""
WARM_UP: Final = 0.34
"""The part of a life in which memory may grow: histories, keys and caches fill up to their bounds."""
GROWTH_BYTES: Final = 16 * MIB
GROWTH_SHARE: Final = 0.10
"""What an allocator keeps; beyond either, memory is not flat."""


@attrs.define
class Latencies:
    """A histogram of seconds; two of them can be added, whoever measured them."""

    buckets: dict[int, int] = attrs.Factory(dict)
    count: int = 0
    longest_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Take one measurement."""
        bucket = max(0, math.ceil(math.log(max(seconds, _FIRST_S) / _FIRST_S, _GROWTH)))
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count += 1
        self.longest_s = max(self.longest_s, seconds)

    def merge(self, buckets: Mapping[int, int], longest_s: float) -> None:
        """Take all measurements of another histogram."""
        for bucket, count in buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
            self.count += count
        self.longest_s = max(self.longest_s, longest_s)

    def percentile(self, share: float) -> float:
        """Return the seconds within which so many of a hundredth part were; 0 if nothing was measured."""
        left = share * self.count
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return min(_FIRST_S * _GROWTH**bucket, self.longest_s)
        return self.longest_s


@attrs.frozen
class Growth:
    """How memory went in one life: bytes after its warm-up, bytes at its end, and what was allowed."""

    early_bytes: int
    late_bytes: int
    allowed_bytes: int

    @property
    def flat(self) -> bool:
        """Whether memory stayed within what was allowed."""
        return self.late_bytes - self.early_bytes <= self.allowed_bytes


def growth_of(samples: Sequence[int]) -> Growth | None:
    """Judge the memory of one life from equally spaced looks at it; None if they are too few."""
    if len(samples) < SAMPLES_MIN:
        return None
    warm = samples[int(len(samples) * WARM_UP) :]
    third = len(warm) // 3
    early, late = int(median(warm[:third])), int(median(warm[-third:]))
    return Growth(early, late, int(GROWTH_BYTES + GROWTH_SHARE * early))


def worst(growths: Iterable[Growth | None]) -> Growth | None:
    """Return the life whose memory grew the most."""
    judged = [growth for growth in growths if growth is not None]
    return max(judged, key=lambda growth: growth.late_bytes - growth.early_bytes, default=None)
