"""What is to be done once events are on disk, and what it means that nothing is."""

from typing import get_args

import attrs
import pytest

from actors.core.effects import Effect, Refusal, StartTurn, StopTurn, WakePrompt
from actors.core.ids import DropReason

VALUES = [
    StartTurn(1, 2),
    WakePrompt(1, 0, "yes"),
    StopTurn(1, "superseded"),
    Refusal(DropReason.BUSY, "a turn is running"),
]


def test_the_union_of_effects_is_closed() -> None:
    """An effect that is added must be given its place in the shell."""
    assert set(get_args(Effect)) == {StartTurn, WakePrompt, StopTurn}


@pytest.mark.parametrize("value", VALUES)
def test_effects_and_refusals_are_values(value: Effect | Refusal) -> None:
    """Equal by what they say, and never changed."""
    assert value == attrs.evolve(value)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(type(value))[0].name, None)


def test_a_refusal_says_why_in_a_word_and_in_a_sentence() -> None:
    """The word is for machines and comes from the closed set; the sentence is for people."""
    refusal = Refusal(DropReason.QUEUE_FULL, "3 accepted messages wait for their turn")
    assert (refusal.reason, refusal.detail) == ("queue_full", "3 accepted messages wait for their turn")
