"""Facts become alarms at their limits, and alarms end when their facts have come to rest."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.alarms import NONE, AlarmKind, Changes, Current, Fact, sound

KIND = AlarmKind.QUEUE_LENGTH


def play(values: list[float | None], *, rest_s: float = 3.0) -> list[Changes]:
    """Hold one fact against a limit of 10, a value each second; None is a fact that was not measured."""
    current: Current = NONE
    seen: list[Changes] = []
    for now_s, value in enumerate(values):
        facts = [] if value is None else [Fact(KIND, "live:a", value, 10.0)]
        seen.append(sound(current, facts, float(now_s), rest_s))
        current = seen[-1].current
    return seen


@pytest.mark.parametrize(("value", "raised"), [(0.0, False), (9.9, False), (10.0, True), (1000.0, True)])
def test_i3_an_alarm_is_raised_at_its_limit(value: float, *, raised: bool) -> None:
    """At exactly the limit, and beyond it."""
    (changes,) = play([value])
    assert bool(changes.raised) is raised
    assert len(changes.current) == raised


def test_i3_an_alarm_is_raised_once_and_keeps_when_it_began() -> None:
    """Its value is the latest one."""
    changes = play([10.0, 50.0, 20.0])
    assert [len(each.raised) for each in changes] == [1, 0, 0]
    (alarm,) = changes[-1].current.values()
    assert (alarm.since_s, alarm.value) == (0.0, 20.0)


@pytest.mark.parametrize("low", [0.0, 4.9, None])
def test_i3_an_alarm_is_cleared_when_its_fact_has_rested(low: float | None) -> None:
    """Below half of the limit for the whole time; not being measured is rest."""
    changes = play([10.0, low, low, low, low])
    assert [len(each.cleared) for each in changes] == [0, 0, 0, 0, 1]
    assert not changes[-1].current


def test_i3_a_fact_between_its_limit_and_half_of_it_keeps_its_alarm() -> None:
    """However long: there is no rest there."""
    assert all(each.current for each in play([10.0, *[5.0] * 100]))


def test_i3_an_alarm_does_not_flap() -> None:
    """A fact that goes up and down each second makes one alarm, not fifty."""
    changes = play([10.0, 0.0] * 50)
    assert sum(len(each.raised) for each in changes) == 1
    assert not any(each.cleared for each in changes)


def test_i3_alarms_of_sessions_and_kinds_are_their_own() -> None:
    """One ends while the others go on."""
    facts = [Fact(kind, chat, 1.0, 1.0) for kind in AlarmKind for chat in ("", "live:a", "live:b")]
    first = sound(NONE, facts, 0.0, 3.0)
    assert len(first.current) == len(first.raised) == len(AlarmKind) * 3
    second = sound(first.current, facts[1:], 1.0, 0.0)
    assert [(alarm.kind, alarm.chat_id) for alarm in second.cleared] == [(facts[0].kind, facts[0].chat_id)]


def test_i3_two_facts_of_one_kind_and_session_are_one_alarm() -> None:
    """The worse of them speaks."""
    changes = sound(NONE, [Fact(KIND, "live:a", value, 10.0) for value in (11.0, 30.0, 20.0)], 0.0, 3.0)
    assert [alarm.value for alarm in changes.raised] == [30.0]
    assert len(changes.current) == 1


def test_i3_a_place_that_is_known_is_kept() -> None:
    """Also when a later look does not name it."""
    first = sound(NONE, [Fact(KIND, "live:a", 10.0, 10.0, "file.py:1 f")], 0.0, 3.0)
    second = sound(first.current, [Fact(KIND, "live:a", 11.0, 10.0)], 1.0, 3.0)
    assert [alarm.place for alarm in second.current.values()] == ["file.py:1 f"]


@given(st.lists(st.one_of(st.none(), st.floats(0.0, 20.0)), max_size=60), st.floats(0.0, 5.0))
def test_i3_raised_and_cleared_alternate_whatever_the_facts(values: list[float | None], rest_s: float) -> None:
    """Each alarm that is cleared was raised, and what is on is what was raised and not cleared."""
    changes = play(values, rest_s=rest_s)
    raised = list(itertools.accumulate(len(each.raised) for each in changes))
    cleared = list(itertools.accumulate(len(each.cleared) for each in changes))
    for up, down, each in zip(raised, cleared, changes, strict=True):
        assert up - down == len(each.current)
        assert up - down in {0, 1}
