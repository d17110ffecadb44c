"""What a subscriber sees: which items are durable, and what they carry."""

from typing import get_args

import msgspec
import pytest

from actors.core.events import Event, TurnStarted
from actors.core.stream import Gap, Item, ProgressSignal, RunningView, SessionReady, Signal, TextSignal
from actors.core.transcript import Message, Part
from tests.core.play import CHAT

MESSAGE = Message("m1", "user", (Part("text", "hello"),), 1, 0, 2)
ITEMS: tuple[Item, ...] = (
    SessionReady(CHAT, 1, 2, "running", (MESSAGE,), None, RunningView(1, 1, "running", ()), ()),
    Event(CHAT, 3, 1, 0.0, TurnStarted(1, 1)),
    TextSignal(CHAT, 1, 1, 0, 0, "text", 0, "Hi"),
    ProgressSignal(CHAT, 1, "typing", ""),
    Gap(CHAT, 3, 7),
)


def test_a_subscription_yields_a_closed_set_of_items() -> None:
    """A kind of item that is added must be shown to every reader."""
    assert {type(item) for item in ITEMS} == set(get_args(Item))
    assert set(get_args(Signal)) < set(get_args(Item))


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
def test_every_item_names_its_chat(item: Item) -> None:
    """Nothing is looked up from a current chat, so everything that is shown says whose it is."""
    assert item.chat_id == CHAT
    assert type(item).__struct_fields__[0] == "chat_id"


@pytest.mark.rule("promise_words_9")
@pytest.mark.parametrize("kind", get_args(Signal))
def test_a_signal_carries_no_number(kind: type[Signal]) -> None:
    """It is never stored, so it neither has a place in the order nor moves a cursor."""
    assert not {"seq", "epoch", "at_s", "after"} & set(kind.__struct_fields__)


def test_a_text_signal_names_the_place_that_its_event_will_name() -> None:
    """Turn, attempt, message, part and offset: the same words as in the event that follows."""
    assert TextSignal.__struct_fields__ == (
        "chat_id",
        "turn",
        "attempt",
        "message",
        "part",
        "type",
        "offset",
        "text",
    )


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: type(item).__name__)
def test_items_are_values_that_go_over_a_wire(item: Item) -> None:
    """They cannot be changed, and become JSON without anybody's help."""
    with pytest.raises(AttributeError):
        item.chat_id = CHAT  # type: ignore[misc]  # the point of the test
    assert msgspec.json.decode(msgspec.json.encode(item), type=dict)["chat_id"] == CHAT
