"""A turn that has not ended says of itself what waits, where it stands and how it is."""

import attrs

from actors.core.lifecycle import TurnStatus
from actors.core.turns import Background, OpenCall, OpenPrompt, QueuedTurn, RunningTurn, UserMessage

FIRST = QueuedTurn(3, "m1", "hello", "ann", 7.0, seq=4)


def test_the_messages_of_a_turn_begin_with_the_one_that_opened_it() -> None:
    """Those that came into it later follow in their order, each with its own sender and number."""
    more = (UserMessage("m2", "and", "bob", 7.0, 6), UserMessage("m3", "or", seq=8))
    assert attrs.evolve(FIRST, more=more).messages == (UserMessage("m1", "hello", "ann", 7.0, 4), *more)


def test_a_turn_stands_at_the_place_of_its_number_until_it_is_moved() -> None:
    """Only a place that is another one is worth saying."""
    assert (FIRST.place, FIRST.moved_to) == (3, 0)
    moved = attrs.evolve(FIRST, place=5)
    assert (moved.place, moved.moved_to) == (5, 5)
    assert attrs.evolve(moved, place=3).moved_to == 0


def test_a_turn_has_begun_once_an_attempt_was_under_way() -> None:
    """Its end names that attempt only if what it said is kept."""
    assert not FIRST.begun
    again = attrs.evolve(FIRST, attempts=2)
    assert (again.begun, again.ended_attempt) == (True, 0)
    assert attrs.evolve(again, background=Background(first_attempt=1)).ended_attempt == 2


def test_a_running_turn_waits_for_a_tool_or_a_person() -> None:
    """Messages that wait to be taken do not make it wait."""
    running = RunningTurn(FIRST, 1, steering=(UserMessage("m2", "and"),))
    assert (running.turn, running.status) == (3, TurnStatus.RUNNING)
    assert attrs.evolve(running, calls=(OpenCall(0, "a", "find"),)).status is TurnStatus.WAITING
    assert attrs.evolve(running, prompts=(OpenPrompt(3, 0, "text", "Why?", ()),)).status is TurnStatus.WAITING
