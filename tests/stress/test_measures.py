"""What is measured is right to a tenth, and memory that grows is told from memory that fills up."""

import random

import pytest

from actors.stress.measures import MIB, Latencies, growth_of, worst


def test_percentiles_are_right_to_a_tenth() -> None:
    """Whatever the scale."""
    chance = random.Random(1)
    seconds = sorted(10 ** chance.uniform(-4, 2) for _ in range(5000))
    latencies = Latencies()
    for each in chance.sample(seconds, len(seconds)):
        latencies.add(each)
    for share in (0.5, 0.9, 0.99):
        assert latencies.percentile(share) == pytest.approx(seconds[int(share * len(seconds)) - 1], rel=0.11)
    assert latencies.percentile(1.0) == latencies.longest_s == seconds[-1]
    assert Latencies().percentile(0.99) == 0.0


def test_two_histograms_add_up_to_one() -> None:
    """Each life measures for itself."""
    one, other, both = Latencies(), Latencies(), Latencies()
    for number in range(1, 100):
        (one if number % 3 else other).add(number / 100)
        both.add(number / 100)
    one.merge(other.buckets, other.longest_s)
    assert one == both


@pytest.mark.parametrize(
    ("samples", "flat"),
    [
        ([50 * MIB] * 30, True),
        ([number * 5 * MIB for number in range(10)] + [50 * MIB] * 20, True),
        ([50 * MIB + number * MIB // 4 for number in range(30)], True),
        ([50 * MIB + number * 3 * MIB for number in range(30)], False),
        ([500 * MIB] * 20 + [600 * MIB] * 10, False),
    ],
)
def test_memory_may_fill_up_and_not_grow(samples: list[int], flat: bool) -> None:  # noqa: FBT001 - a case
    """What an allocator keeps is allowed, and what grows in the warm-up is not looked at."""
    growth = growth_of(samples)
    assert growth is not None
    assert growth.flat is flat


def test_a_life_that_was_looked_at_too_seldom_is_not_judged() -> None:
    """And the one that grew the most is the one that counts."""
    assert growth_of([1, 2, 3]) is None
    small, large = growth_of([MIB] * 30), growth_of([number * MIB for number in range(30)])
    assert worst([None, small, large]) is large
    assert worst([None]) is None
