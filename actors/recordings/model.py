"""What a recording holds, as values that know neither a file format nor the runtime."""

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import attrs

from actors.errors import RecordingError

Role = Literal["system", "user", "assistant", "tool"]
"""Who speaks in a message."""

NAME_CHARACTERS_MAX: Final = 200
"""A chat id has 256 characters (``actors.core.ids``); this leaves room for its source and for a prefix."""

# The grammar of the session part of a chat id, without colons: no separator first or last, no ".." anywhere.
_NAME: Final = re.compile(
    r"(?!side-channel\Z)(?!.*\.\.)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?",
    re.ASCII,
)


@attrs.frozen
class RecordedToolCall:
    """A call that the assistant asked for.

    ``call_id`` is what the provider gave and may come again, even in the same turn; ``arguments`` is text,
    exactly as recorded where it was a string. That it is valid JSON is not guaranteed: models write it.
    """

    call_id: str
    name: str
    arguments: str


@attrs.frozen
class RecordedToolResult:
    """What a tool answered; ``content`` may be empty."""

    call_id: str
    name: str
    content: str


@attrs.frozen
class RecordedMessage:
    """One message.

    ``text`` is None where the recording had none, which is not the same as an empty text. ``result`` is set
    exactly on messages with role ``tool``, whose ``text`` is None. ``at_s`` is the time since the first timed
    message of the conversation, in seconds: at least 0, never less than that of an earlier message, None
    without times.
    """

    role: Role
    text: str | None
    thinking: str | None = None
    tool_calls: tuple[RecordedToolCall, ...] = ()
    result: RecordedToolResult | None = None
    at_s: float | None = None


@attrs.frozen
class RecordedTurn:
    """One user message and all of assistant and tools until the next one; ``steps`` may be empty."""

    user: RecordedMessage
    steps: tuple[RecordedMessage, ...]


@attrs.frozen
class Conversation:
    """One recorded conversation.

    ``name`` fits as the session part of a chat id (see ``is_conversation_name``). ``opening`` is everything
    before the first user message: a system prompt, a greeting.
    """

    name: str
    opening: tuple[RecordedMessage, ...]
    turns: tuple[RecordedTurn, ...]

    @classmethod
    def from_messages(cls, name: str, messages: Iterable[RecordedMessage]) -> "Conversation":
        """Cut messages into the opening and the turns; every user message starts a turn.

        Checks nothing: that is the work of the reader.
        """
        opening: list[RecordedMessage] = []
        turns: list[tuple[RecordedMessage, list[RecordedMessage]]] = []
        for message in messages:
            if message.role == "user":
                turns.append((message, []))
            else:
                (turns[-1][1] if turns else opening).append(message)
        return cls(
            name=name,
            opening=tuple(opening),
            turns=tuple(RecordedTurn(user=user, steps=tuple(steps)) for user, steps in turns),
        )

    @property
    def messages(self) -> Iterator[RecordedMessage]:
        """Yield all messages in the order of the recording."""
        yield from self.opening
        for turn in self.turns:
            yield turn.user
            yield from turn.steps


@attrs.frozen
class Place:
    """Where in a recording something stands, so that an error can name it.

    ``conversation`` is a name or, where there is no usable one, a position; ``message_index`` counts from 0.
    What is None or empty is left out of the text.
    """

    file: str
    conversation: str = ""
    message_index: int | None = None
    field: str = ""

    def at_message(self, index: int) -> "Place":
        """Go to one message of this conversation."""
        return attrs.evolve(self, message_index=index)

    def at_field(self, field: str) -> "Place":
        """Go to one field of this message."""
        return attrs.evolve(self, field=field)

    def error(self, *, problem: str, hint: str) -> RecordingError:
        """Build the error to raise; neither text may hold anything that a person wrote."""
        where = [self.file]
        if self.conversation:
            where.append(f"conversation {self.conversation}")
        if self.message_index is not None:
            where.append(f"message {self.message_index} (counted from 0)")
        if self.field:
            where.append(f"field {self.field}")
        return RecordingError(f"{', '.join(where)}: {problem}", hint=hint)


def is_conversation_name(text: str) -> bool:
    """Say whether a text can be the session part of a chat id.

    True for 1 to 200 characters of ``[A-Za-z0-9_.-]`` with no ``..``, neither ``.`` nor ``-`` first or last,
    and not ``side-channel``, which the runtime keeps for itself.
    """
    return len(text) <= NAME_CHARACTERS_MAX and _NAME.fullmatch(text) is not None
