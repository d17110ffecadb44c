"""Which sessions are put away: the triggers in full, their order, and what holds for any crowd of sessions."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.ids import ChatId
from actors.core.limits import MIB, Limits
from actors.core.passivation import COUNT_SLACK_DIVISOR, Choice, Churn, Facts, choose

NOW_S = 10_000.0
LIMITS = Limits(idle_s=900, residency_s=30, sessions_live_max=2, sessions_bytes_max=100 * MIB)


def facts(name: str, idle_s: float, resident_s: float = 1000.0, *, size_mib: int = 1, held: bool = False) -> Facts:
    """Describe a session by how long it has been idle and in memory."""
    return Facts(ChatId(f"live:{name}"), NOW_S - idle_s, NOW_S - resident_s, size_mib * MIB, held)


def chosen(*sessions: Facts, limits: Limits = LIMITS) -> list[tuple[str, str]]:
    """Choose, and name what is put away with its trigger."""
    return [(away.chat_id.removeprefix("live:"), away.reason) for away in choose(sessions, NOW_S, limits).put_away]


CASES = list(itertools.product((10.0, 899.0, 900.0), (29.0, 30.0), *[(False, True)] * 3))
"""Idle and resident so long, held, crowded, heavy: every combination."""


@pytest.mark.parametrize("case", CASES)
def test_p1_each_trigger_puts_a_session_away_that_may_leave(case: tuple[float, float, bool, bool, bool]) -> None:
    """Idle time, number and memory, each alone and together; never one that is held or has just come."""
    idle_s, resident_s, held, crowded, heavy = case
    session = facts("a", idle_s, resident_s, size_mib=81 if heavy else 1, held=held)
    others = [facts(name, 1.0, held=True) for name in "bcd"[: 3 if crowded else 1]]
    found = chosen(session, *others)
    reason = "idle" if idle_s >= 900.0 else "count" if crowded else "memory" if heavy else ""
    may_leave = reason and not held and resident_s >= 30.0
    assert found == ([("a", reason)] if may_leave else [])


def test_p1_the_least_recently_used_leave_first_and_no_more_than_needed() -> None:
    """Two have room; of five the three that were used longest ago leave."""
    sessions = [facts("a", 10), facts("b", 50), facts("c", 20), facts("d", 40), facts("e", 30)]
    assert chosen(*sessions) == [("b", "count"), ("d", "count"), ("e", "count")]


def test_p1_a_large_bound_leaves_a_little_room_for_the_next() -> None:
    """So that a stream of newcomers is not answered with a look for each."""
    limits = Limits(sessions_live_max=64)
    sessions = [facts(f"s{number}", 100 + number) for number in range(65)]
    assert len(chosen(*sessions, limits=limits)) == 1 + 64 // COUNT_SLACK_DIVISOR
    assert chosen(*sessions[:64], limits=limits) == []


def test_p1_memory_falls_from_the_high_mark_to_the_low_one() -> None:
    """Above 80 of 100 MiB sessions leave until 75 or less are held, and not before."""
    limits = Limits(sessions_bytes_max=100 * MIB)
    sessions = [facts(f"s{number:02}", 100 - number, size_mib=4) for number in range(21)]
    assert chosen(*sessions[:20], limits=limits) == [], "80 MiB are the mark itself"
    assert chosen(*sessions, limits=limits) == [("s00", "memory"), ("s01", "memory"), ("s02", "memory")]


def test_p1_a_low_mark_above_the_high_one_is_taken_for_the_high_one() -> None:
    """The options of a host cannot make it put away what it has room for."""
    limits = Limits(sessions_bytes_max=100 * MIB, sessions_high_share=0.5, sessions_low_share=0.9)
    sessions = [facts(name, 100, size_mib=26) for name in "ab"]
    assert chosen(*sessions, limits=limits) == [("a", "memory")]


def test_p5_a_session_that_has_just_come_stays_however_crowded_it_is() -> None:
    """Its time comes when its residency is over, and the next look is set for that."""
    choice = choose([facts(name, 1, 12.0) for name in "abc"], NOW_S, LIMITS)
    assert choice.put_away == ()
    assert choice.next_s == NOW_S + 18.0


def test_the_next_look_is_when_the_first_can_be_idle_for_long_enough() -> None:
    """Neither before nor after."""
    choice = choose([facts("a", 100), facts("b", 300)], NOW_S, LIMITS)
    assert choice == Choice((), NOW_S + 600.0, 2 * MIB)
    assert choose([], NOW_S, LIMITS).next_s == NOW_S + 900.0


CROWDS = st.lists(
    st.builds(
        lambda idle_s, resident_s, size_mib, held: (min(idle_s, resident_s), resident_s, size_mib, held),
        st.sampled_from([0.0, 5.0, 29.0, 31.0, 500.0, 899.9, 900.0, 2000.0]),
        st.sampled_from([0.0, 10.0, 29.9, 30.0, 1000.0, 5000.0]),
        st.integers(0, 20),
        st.booleans(),
    ),
    max_size=40,
)


@given(CROWDS)
def test_p1_whatever_the_crowd_nobody_leaves_who_is_held_young_or_not_in_the_way(
    crowd: list[tuple[float, float, int, bool]],
) -> None:
    """Everybody who leaves may; nobody stays who was used before one that left for the same bound; bounds are met."""
    sessions = {
        f"live:{number}": facts(str(number), idle_s, resident_s, size_mib=size_mib, held=held)
        for number, (idle_s, resident_s, size_mib, held) in enumerate(crowd)
    }
    choice = choose(sessions.values(), NOW_S, LIMITS)
    gone = {away.chat_id for away in choice.put_away}
    assert len(gone) == len(choice.put_away), "each at most once"
    left = [one for one in sessions.values() if one.chat_id not in gone]
    may_leave = [one for one in left if not one.held and one.resident_since_s + 30 <= NOW_S]
    for chat_id in gone:
        assert not sessions[chat_id].held
        assert sessions[chat_id].resident_since_s + 30 <= NOW_S
    assert all(NOW_S - one.idle_since_s < 900 for one in may_leave)
    crowded = len(sessions) > 2
    heavy = sum(one.size_bytes for one in sessions.values()) > 80 * MIB
    assert not (crowded and may_leave and len(left) > 2)
    assert not (heavy and may_leave and sum(one.size_bytes for one in left) > 75 * MIB)
    needless = {away.chat_id for away in choice.put_away if away.reason != "idle"}
    assert not needless or crowded or heavy
    last_used_s = max((sessions[chat_id].idle_since_s for chat_id in needless), default=0.0)
    assert all(one.idle_since_s >= last_used_s for one in may_leave)
    assert choice.next_s <= NOW_S + 900


@given(CROWDS)
def test_p5_looking_again_before_the_next_look_finds_nothing(crowd: list[tuple[float, float, int, bool]]) -> None:
    """What nothing has changed needs no look."""
    sessions = [
        facts(str(number), idle_s, resident_s, size_mib=size_mib, held=held)
        for number, (idle_s, resident_s, size_mib, held) in enumerate(crowd)
    ]
    choice = choose(sessions, NOW_S, LIMITS)
    gone = {away.chat_id for away in choice.put_away}
    left = [one for one in sessions if one.chat_id not in gone]
    if choice.next_s > NOW_S:
        before_s = NOW_S + (choice.next_s - NOW_S) * 0.99
        assert choose(left, before_s, LIMITS).put_away == ()


def test_p5_churn_counts_who_came_back_within_the_last_minute() -> None:
    """What is older does not count any more, and nothing is kept of it."""
    churn = Churn()
    assert churn.per_minute(0.0) == 0
    for at_s in (0.0, 1.0, 15.0, 59.0):
        churn.note(at_s)
    assert churn.per_minute(59.0) == 4
    assert churn.per_minute(65.0) == 2
    assert churn.per_minute(200.0) == 0
    for at_s in range(1000, 2000):
        churn.note(float(at_s))
    assert churn.per_minute(1999.0) == 60
