"""The closed union of what has happened: what each body says of itself."""

from typing import get_type_hints

import pytest
from hypothesis import given

from actors.core.events import Body, Event, EventBody
from tests.core.bodies import BODIES, KINDS
from tests.core.play import CHAT

OF_A_TURN = {
    "MessageAccepted": ("turn",),
    "MessageSteered": ("turn", "attempt", "message"),
    "TurnStarted": ("turn", "attempt"),
    "TurnSuperseded": ("turn", "attempt"),
    "AttemptInterrupted": ("turn", "attempt"),
    "AttemptSetAside": ("turn", "attempt"),
    "TextAppended": ("turn", "attempt", "message", "part"),
    "ToolCalled": ("turn", "attempt", "message", "part", "call"),
    "ToolEnded": ("turn", "attempt", "message", "call"),
    "PromptOpened": ("turn", "attempt", "prompt"),
    "PromptAnswered": ("turn", "prompt"),
    "PromptExpired": ("turn", "prompt"),
    "PromptClosed": ("turn", "prompt"),
    "UsageAdded": ("turn",),
    "StateSaved": ("turn",),
    "TurnEnded": ("turn", "attempt"),
    "QueuedEdited": ("turn",),
}
"""By which numbers each event of a turn says what it is about; the others are about the session."""

PLACES = ("turn", "attempt", "message", "part", "call", "prompt")


def test_the_union_holds_every_body_there_is() -> None:
    """A class of body that the union lacks could be written and never be read."""
    assert set(KINDS) == set(Body.__subclasses__())


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_names_its_place_by_numbers(kind: type[EventBody]) -> None:
    """Whatever an event of a turn is about is found by ordinals, in one order, before anything else it says."""
    fields = [name for name in kind.__struct_fields__ if name in PLACES]
    assert tuple(fields) == OF_A_TURN.get(kind.__name__, ())
    assert fields == sorted(fields, key=PLACES.index)
    assert all(get_type_hints(kind)[name] is int for name in fields)


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_is_tagged_frozen_and_lean(kind: type[EventBody]) -> None:
    """It says its kind, cannot be changed, and leaves out what has its default."""
    config = kind.__struct_config__
    assert (config.tag_field, config.frozen, config.omit_defaults) == ("kind", True, True)


@given(BODIES)
def test_an_event_adds_only_where_and_when(body: EventBody) -> None:
    """Chat, number, life and time of day; two events that say the same are equal."""
    event = Event(CHAT, 1, 1, 0.0, body)
    assert event.__struct_fields__ == ("chat_id", "seq", "epoch", "at_s", "body")
    assert event == Event(CHAT, 1, 1, 0.0, body)
    assert event != Event(CHAT, 2, 1, 0.0, body)
