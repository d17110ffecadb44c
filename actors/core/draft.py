"""What the running attempt has said and done but not yet handed to the journal.

The draft gives every piece its place (message, part, offset) the moment it is said, so that a signal and the event that
follows it agree. Text and calls after a tool's result begin a new message.
"""

from typing import Literal

import attrs

from actors.core.events import EventBody, PartKind, TextAppended, ToolCalled, ToolEnded
from actors.core.lifecycle import PartStatus, ToolStatus
from actors.core.transcript import Message, Part, made_message_id

TextKey = tuple[int, int, int, int]
"""Turn, attempt, message and part: what a piece of text belongs to."""


class Draft:
    """The growing answer of one attempt of one turn."""

    __slots__ = ("_attempt", "_calls", "_key", "_kind", "_length", "_message", "_parts", "_pieces", "_saved", "_turn")

    def __init__(self, turn: int, attempt: int) -> None:
        """Begin with nothing said."""
        self._turn = turn
        self._attempt = attempt
        self._message = 0
        self._parts = 0
        self._calls = 0
        self._kind: PartKind | None = None
        self._key: TextKey = (turn, attempt, 0, 0)
        self._pieces: list[str] = []
        self._length = 0
        self._saved = 0

    @property
    def calls(self) -> int:
        """Count the tool calls made so far."""
        return self._calls

    def write(self, kind: Literal["text", "thinking"], text: str, bodies: list[EventBody]) -> tuple[TextKey, int]:
        """Say a piece of text; return what it belongs to and its offset there.

        A part of another kind that was growing is closed first, into ``bodies``.
        """
        if kind is not self._kind:
            self.close(PartStatus.COMPLETE, bodies)
            self._kind = kind
            self._key = (self._turn, self._attempt, self._message, self._parts)
            self._parts += 1
            self._length = self._saved = 0
        offset = self._length
        self._pieces.append(text)
        self._length = offset + len(text)
        return self._key, offset

    def checkpoint(self, bodies: list[EventBody]) -> None:
        """Hand over the text said since the last time; the part goes on growing."""
        if self._pieces:
            self._append(PartStatus.STREAMING, bodies)

    def close(self, status: PartStatus, bodies: list[EventBody]) -> None:
        """End the part that is growing, if one is."""
        if self._kind is not None:
            self._append(status, bodies)
            self._kind = None

    def call(self, call_id: str, name: str, arguments: str, bodies: list[EventBody]) -> int:
        """Call a tool; return the ordinal of the call."""
        self.close(PartStatus.COMPLETE, bodies)
        call = self._calls
        bodies.append(
            ToolCalled(
                self._turn, self._attempt, self._message, self._parts, call, call_id or f"call_{call}", name, arguments
            )
        )
        self._parts += 1
        self._calls = call + 1
        return call

    def result(self, call: int, status: ToolStatus, content: str, bodies: list[EventBody]) -> None:
        """Give a call its outcome, as a message of its own."""
        self.close(PartStatus.COMPLETE, bodies)
        if self._parts:
            self._message += 1
            self._parts = 0
        bodies.append(ToolEnded(self._turn, self._attempt, self._message, call, status, content))
        self._message += 1

    def with_unsaved(self, messages: tuple[Message, ...], seq: int) -> tuple[Message, ...]:
        """Show the turn's messages with the text that is not on disk yet; the draft stays as it is."""
        if not self._pieces or self._kind is None:
            return messages
        _, _, position, number = self._key
        text = "".join(self._pieces)
        made = made_message_id(self._turn, self._attempt, position)
        shown = list(messages)
        if not shown or shown[-1].message_id != made:
            shown.append(Message(made, "assistant", (), self._turn, self._attempt, seq, "running"))
        last = shown[-1]
        parts = list(last.parts)
        if number < len(parts):
            parts[number] = attrs.evolve(parts[number], text=parts[number].text + text)
        else:
            parts.append(Part(self._kind, text, status=str(PartStatus.STREAMING)))
        shown[-1] = attrs.evolve(last, parts=tuple(parts))
        return tuple(shown)

    def _append(self, status: PartStatus, bodies: list[EventBody]) -> None:
        """Hand over the text that waits."""
        assert self._kind is not None, "only a growing part has text that waits"
        _, _, message, part = self._key
        text = "".join(self._pieces)
        bodies.append(
            TextAppended(self._turn, self._attempt, message, part, self._kind, self._saved, text, status)
        )
        self._pieces.clear()
        self._saved = self._length
