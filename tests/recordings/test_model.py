"""What the values of a recording promise."""

import attrs
import pytest

from actors.errors import RecordingError
from actors.recordings.model import (
    Conversation,
    Place,
    RecordedMessage,
    RecordedTurn,
    is_conversation_name,
)

PROMPT = RecordedMessage("system", "Be brief.")
GREETING = RecordedMessage("assistant", "Hello.")
QUESTION = RecordedMessage("user", "Is it open?")
ANSWER = RecordedMessage("assistant", "Until six.")
FAREWELL = RecordedMessage("user", "Thanks.")


def test_every_user_message_starts_a_turn() -> None:
    """The steps of a turn are what follows its user message, and may be none."""
    conversation = Conversation.from_messages("0", [QUESTION, ANSWER, FAREWELL])
    assert conversation.turns == (RecordedTurn(QUESTION, (ANSWER,)), RecordedTurn(FAREWELL, ()))


def test_what_comes_before_the_first_user_message_is_the_opening() -> None:
    """A system prompt and a greeting belong to no turn."""
    conversation = Conversation.from_messages("0", [PROMPT, GREETING, QUESTION])
    assert conversation.opening == (PROMPT, GREETING)
    assert len(conversation.turns) == 1


def test_a_conversation_in_which_no_user_speaks_is_all_opening() -> None:
    """Without a user message there is no turn."""
    conversation = Conversation.from_messages("0", [PROMPT, GREETING])
    assert conversation.turns == ()
    assert list(conversation.messages) == [PROMPT, GREETING]


def test_cutting_into_turns_keeps_every_message_in_its_place() -> None:
    """Taken together again, the messages are those that were given."""
    messages = [PROMPT, GREETING, QUESTION, FAREWELL, ANSWER]
    assert list(Conversation.from_messages("0", messages).messages) == messages


def test_a_recording_cannot_be_changed() -> None:
    """The values are frozen, so two readers of one recording cannot disturb each other."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        QUESTION.text = "Is it shut?"  # type: ignore[misc]  # the fault is what is tested


@pytest.mark.parametrize("name", ["0", "a", "_", "a-b.c_D", "x" * 200, "b2edae74-ba1e-49d6-a5e4-192fc17c0718"])
def test_a_name_of_plain_characters_can_be_part_of_a_chat_id(name: str) -> None:
    """Letters, digits and inner separators are taken, up to 200 characters."""
    assert is_conversation_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a/b",
        "a:b",
        ".a",
        "a.",
        "-a",
        "a-",
        "a..b",
        "a\n",
        "é",
        "٣",
        "x" * 201,
        "side-channel",
    ],
)
def test_a_name_that_the_runtime_would_refuse_is_no_name(name: str) -> None:
    """What is no chat id is found when reading, not when sending."""
    assert not is_conversation_name(name)


def test_a_place_names_all_that_is_known_of_it() -> None:
    """File, conversation, message and field stand before the problem, and the remedy after it."""
    place = Place("a.json", "7").at_message(3).at_field("role")
    error = place.error(problem="it is wrong", hint="mend it")
    assert isinstance(error, RecordingError)
    assert str(error) == ("a.json, conversation 7, message 3 (counted from 0), field role: it is wrong; mend it")


def test_a_place_leaves_out_what_is_not_known() -> None:
    """A fault of the whole file names the file alone."""
    assert str(Place("a.json").error(problem="it is wrong", hint="")) == "a.json: it is wrong"
