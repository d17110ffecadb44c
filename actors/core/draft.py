"""What the running attempt has said and done but not yet handed to the journal.

The draft gives every piece its place (message, part, offset) the moment it is said, so that a signal and the event that
follows it agree. Text and calls after a tool's result begin a new message.
"""

from typing import Literal

import attrs

from actors.core.events import EventBody, MessageSteered, PartKind, TextAppended, ToolCalled, ToolEnded
from actors.core.lifecycle import PartStatus, ToolStatus
from actors.core.transcript import Message, Part, made_message_id

TextKey = tuple[int, int, int, int]
"""Turn, attempt, message and part: what a piece of text belongs to."""


class Segment:
    """Text of one part since its last checkpoint: written once, and read by every subscriber from where it stands.

    ``offset`` is where the segment begins in its part, ``length`` how many characters it holds so far.
    """

    __slots__ = ("key", "kind", "length", "offset", "pieces")

    def __init__(self, key: TextKey, kind: PartKind, offset: int) -> None:
        """Begin empty."""
        self.key = key
        self.kind: PartKind = kind
        self.offset = offset
        self.pieces: list[str] = []
        self.length = 0

    def append(self, text: str) -> None:
        """Add a piece."""
        self.pieces.append(text)
        self.length += len(text)


class Draft:
    """The growing answer of one attempt of one turn."""

    __slots__ = ("_attempt", "_calls", "_message", "_parts", "_turn", "segment")

    def __init__(self, turn: int, attempt: int, *, messages: int = 0, calls: int = 0) -> None:
        """Begin with nothing said, after what earlier attempts had said and called."""
        self._turn = turn
        self._attempt = attempt
        self._message = messages
        self._parts = 0
        self._calls = calls
        self.segment: Segment | None = None

    @property
    def calls(self) -> int:
        """Count the tool calls made so far."""
        return self._calls

    def write(self, kind: Literal["text", "thinking"], text: str, bodies: list[EventBody]) -> tuple[TextKey, int]:
        """Say a piece of text; return what it belongs to and its offset there.

        A part of another kind that was growing is closed first, into ``bodies``.
        """
        segment = self.segment
        if segment is None or segment.kind != kind:
            segment = self.begin(kind, bodies)
        offset = segment.offset + segment.length
        segment.append(text)
        return segment.key, offset

    def begin(self, kind: Literal["text", "thinking"], bodies: list[EventBody]) -> Segment:
        """Begin a part; one that was growing is closed first, into ``bodies``. Something must be said in it at once."""
        self.close(PartStatus.COMPLETE, bodies)
        segment = self.segment = Segment((self._turn, self._attempt, self._message, self._parts), kind, 0)
        self._parts += 1
        return segment

    def checkpoint(self, bodies: list[EventBody]) -> None:
        """Hand over the text said since the last time; the part goes on growing."""
        segment = self.segment
        if segment is not None and segment.length:
            self._append(segment, PartStatus.STREAMING, bodies)
            self.segment = Segment(segment.key, segment.kind, segment.offset + segment.length)

    def close(self, status: PartStatus, bodies: list[EventBody]) -> None:
        """End the part that is growing, if one is."""
        if self.segment is not None:
            self._append(self.segment, status, bodies)
            self.segment = None

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

    def steer(self, message_id: str, bodies: list[EventBody]) -> None:
        """Take a message of the user; what is said from here on is an answer to it, and a message of its own."""
        self.close(PartStatus.COMPLETE, bodies)
        if self._parts:
            self._message += 1
            self._parts = 0
        bodies.append(MessageSteered(self._turn, self._attempt, self._message, message_id))
        self._message += 1

    def with_unsaved(self, messages: tuple[Message, ...], seq: int) -> tuple[Message, ...]:
        """Show the turn's messages with the text that is not on disk yet; the draft stays as it is."""
        segment = self.segment
        if segment is None or not segment.length:
            return messages
        return with_text(messages, segment.key, segment.kind, "".join(segment.pieces), seq)

    @staticmethod
    def _append(segment: Segment, status: PartStatus, bodies: list[EventBody]) -> None:
        """Hand over the text of a segment."""
        turn, attempt, message, part = segment.key
        text = "".join(segment.pieces)
        bodies.append(TextAppended(turn, attempt, message, part, segment.kind, segment.offset, text, status))


def with_text(messages: tuple[Message, ...], key: TextKey, kind: PartKind, text: str, seq: int) -> tuple[Message, ...]:
    """Show a turn's messages with the text that comes next in one of its parts."""
    turn, attempt, position, number = key
    made = made_message_id(turn, attempt, position)
    shown = list(messages)
    place = next((n for n, message in enumerate(shown) if message.message_id == made), len(shown))
    if place == len(shown):
        shown.append(Message(made, "assistant", (), turn, attempt, seq, "running"))
    last = shown[place]
    parts = list(last.parts)
    if number < len(parts):
        parts[number] = attrs.evolve(parts[number], text=parts[number].text + text)
    else:
        parts.append(Part(kind, text, status=str(PartStatus.STREAMING)))
    shown[place] = attrs.evolve(last, parts=tuple(parts))
    return tuple(shown)
