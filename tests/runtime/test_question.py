"""A question is checked before anybody is asked: its kind, its size, its time and its default."""

import attrs
import pytest

from actors.core.ids import ChatId
from actors.errors import ConfigurationError
from actors.runtime.question import Question, checked

CHAT = ChatId("live:a")

WRONG: dict[str, tuple[Question, str]] = {
    "kind": (Question("riddle", "what?"), "kind is 'riddle'"),
    "size": (Question("text", "x" * 101), "question has 101 characters"),
    "default size": (Question("text", "what?", expires_s=1.0, default="x" * 101), "default has 101 characters"),
    "no time": (Question("text", "what?", expires_s=0.0), "expires_s is 0.0"),
    "time back": (Question("text", "what?", expires_s=-1.0), "expires_s is -1.0"),
    "for ever": (Question("text", "what?", expires_s=float("inf")), "expires_s is inf"),
    "no number": (Question("text", "what?", expires_s=float("nan")), "expires_s is nan"),
    "a truth": (Question("text", "what?", expires_s=True), "expires_s is True"),
    "default without time": (Question("text", "what?", default="yes"), "default has no expires_s"),
    "no choice": (Question("choice", "what?", ("a",), 1.0, "b"), "default is none of the choices"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_question_that_cannot_be_asked_says_which_field_is_wrong(name: str) -> None:
    """And what to give instead."""
    question, message = WRONG[name]
    with pytest.raises(ConfigurationError, match=message) as caught:
        checked(question, CHAT, 100)
    assert caught.value.hint
    assert caught.value.chat_id == CHAT


def test_a_question_that_can_be_asked_is_cleaned_and_otherwise_as_it_was() -> None:
    """What no UTF-8 can hold becomes a question mark, in every text of it."""
    question = Question("choice", "w\ud800t?", ("a\udfff", "b"), 5, "a\udfff")
    clean = checked(question, CHAT, 100)
    assert clean == attrs.evolve(question, text="w?t?", choices=("a?", "b"), default="a?")
    plain = Question("text", "what?")
    assert checked(plain, CHAT, 100) == plain
