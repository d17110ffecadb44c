"""A question to a person as its agent gives it, checked before it is asked."""

import math

import attrs

from actors.core.envelope import clean_text
from actors.core.ids import ChatId
from actors.errors import ConfigurationError


@attrs.frozen
class Question:
    """What an agent asks a person; ``expires_s`` is how long to wait, in seconds, ``default`` the answer after it."""

    kind: str
    text: str
    choices: tuple[str, ...] = ()
    expires_s: float | None = None
    default: str | None = None


def checked(asked: Question, chat_id: ChatId, characters_max: int) -> Question:
    """Return a question with its texts cleaned. Raises ConfigurationError with the field and the remedy."""
    if asked.kind not in {"permission", "choice", "text"}:
        message = f"kind is {asked.kind!r}"
        raise ConfigurationError(message, chat_id=chat_id, hint="give permission, choice or text")
    for field, text in (("question", asked.text), ("default", asked.default or "")):
        if len(text) > characters_max:
            message = f"{field} has {len(text)} characters"
            hint = f"give at most {characters_max}, the limit message_bytes_max"
            raise ConfigurationError(message, chat_id=chat_id, hint=hint)
    if asked.expires_s is not None and not _is_time(asked.expires_s):
        message = f"expires_s is {asked.expires_s!r}"
        raise ConfigurationError(message, chat_id=chat_id, hint="give seconds, more than 0, or None")
    choices = tuple(clean_text(choice) for choice in asked.choices)
    default = None if asked.default is None else clean_text(asked.default)
    if default is not None and (asked.expires_s is None or (choices and default not in choices)):
        message = "default is none of the choices" if asked.expires_s is not None else "default has no expires_s"
        hint = "a default is the answer that counts when the question expires"
        raise ConfigurationError(message, chat_id=chat_id, hint=hint)
    return attrs.evolve(asked, text=clean_text(asked.text), choices=choices, default=default)


def _is_time(value: object) -> bool:
    """Say whether a value is a time to wait: a number of seconds, more than 0, and not without end."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
