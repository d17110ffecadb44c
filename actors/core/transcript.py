"""Events folded into messages, in the order in which a model reads them.

Order is by the places of turns, then by position inside the turn; a message that was accepted while another turn ran
stands after that turn's answer. What an interrupted attempt said stays in the journal and leaves the transcript when
its turn is retried; so does everything of a turn that is hidden.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

import attrs
from typing_extensions import override

from actors.core.events import (
    AttemptInterrupted,
    AttemptSetAside,
    Event,
    HistoryTruncated,
    MessageAccepted,
    MessageAdded,
    MessageSteered,
    QueuedEdited,
    QueueReordered,
    Role,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
    TurnStarted,
)
from actors.core.lifecycle import PartStatus, TurnStatus

MESSAGE_BYTES: Final = 600
PART_BYTES: Final = 250
"""What a message holds beside its text, with its first part, and what each further part holds: measured, in round."""


@attrs.frozen
class Part:
    """A piece of a message; for a tool call ``text`` is its arguments as JSON text, for a result its content."""

    kind: str
    text: str
    name: str = ""
    call_id: str = ""
    status: str = "complete"


@attrs.frozen
class Message:
    """One message of a transcript; seeds have turn 0, and ``seq`` is the event that began it.

    ``place`` is where its turn stands if the queue was reordered, and 0 if it stands where its number says.
    """

    message_id: str
    role: Role
    parts: tuple[Part, ...]
    turn: int
    attempt: int
    seq: int
    status: str = "completed"
    place: int = 0

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join(part.text for part in self.parts if part.kind == "text")


def turn_place(message: Message) -> int:
    """Say where the turn of a message stands."""
    return message.place or message.turn


def made_message_id(turn: int, attempt: int, message: int) -> str:
    """Name a message that a turn made; no sender's key can be equal to it, since keys hold no slash."""
    return f"{turn}/{attempt}/{message}"


class History(Sequence[Message]):
    """The messages before and of one turn: a view of fixed length over a list that grows behind it."""

    __slots__ = ("_length", "_messages", "_own")

    def __init__(self, messages: list[Message], length: int, own: tuple[Message, ...] = ()) -> None:
        """View the first ``length`` of ``messages``, followed by ``own``."""
        self._messages = messages
        self._length = length
        self._own = own

    @override
    def __len__(self) -> int:
        """Count the messages."""
        return self._length + len(self._own)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Message, ...]: ...
    @override
    def __getitem__(self, index: int | slice) -> Message | tuple[Message, ...]:
        """Return one message, or a copy of several."""
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        index = index + len(self) if index < 0 else index
        if not 0 <= index < len(self):
            message = f"message {index} of {len(self)}"
            raise IndexError(message)
        return self._messages[index] if index < self._length else self._own[index - self._length]

    @override
    def __iter__(self) -> Iterator[Message]:
        """Go through the messages in order."""
        for index in range(self._length):
            yield self._messages[index]
        yield from self._own


@attrs.define
class _Growing:
    """A message whose turn has not ended."""

    message_id: str
    role: Role
    turn: int
    attempt: int
    seq: int
    order: tuple[int, int, int]
    """Its position; for a tool's result the position of the call, and its number, so that it stands right behind."""
    parts: list[Part] = attrs.Factory(list)
    chunks: list[str] = attrs.Factory(list)
    """Text of the last part that has not been joined to it yet."""

    def freeze(self, status: str, place: int) -> Message:
        """Make the message a value."""
        self.join()
        return Message(self.message_id, self.role, tuple(self.parts), self.turn, self.attempt, self.seq, status, place)

    def begin(self, part: Part) -> None:
        """Begin another part."""
        self.join()
        self.parts.append(part)

    def join(self) -> None:
        """Put the pieces of the last part together, once."""
        if self.chunks:
            last = self.parts[-1]
            self.parts[-1] = attrs.evolve(last, text=last.text + "".join(self.chunks))
            self.chunks.clear()


@attrs.define
class _OpenTurn:
    """A turn that has not ended: its messages by position, its calls by ordinal.

    The user's messages stand at -1, -2 and so on; ``waiting`` are those that the attempt has not taken yet.
    """

    turn: int
    status: TurnStatus = TurnStatus.QUEUED
    messages: dict[int, _Growing] = attrs.Factory(dict)
    calls: dict[int, ToolCalled] = attrs.Factory(dict)
    waiting: dict[str, _Growing] = attrs.Factory(dict)
    moved_to: int = 0

    @property
    def place(self) -> int:
        """Where the turn stands."""
        return self.moved_to or self.turn

    def freeze(self) -> list[Message]:
        """Make the messages values, in their order."""
        status = str(self.status)
        return [message.freeze(status, self.moved_to) for message in self.in_order()]

    def join(self, message: _Growing) -> None:
        """Let one more message stand behind those that opened the turn."""
        number = sum(1 for position in self.messages if position < 0)
        message.order = (-1, number, 0)
        self.messages[-1 - number] = message

    def wait_no_more(self) -> None:
        """Let what the attempt has not taken open the next one."""
        waiting, self.waiting = self.waiting, {}
        for message in waiting.values():
            self.join(message)

    def set_aside(self) -> None:
        """Forget what attempts have said; all that the user has said opens the turn, in the order of acceptance."""
        said = [message for message in self.messages.values() if message.role == "user"]
        said += self.waiting.values()
        self.waiting, self.messages = {}, {}
        for message in sorted(said, key=lambda message: message.seq):
            self.join(message)
        self.calls.clear()

    def in_order(self) -> list[_Growing]:
        """Return the messages as a model may read them: results right behind their calls, whatever was said between."""
        return sorted(self.messages.values(), key=lambda message: message.order)


class Transcript:
    """The messages of a session, folded from its events when somebody looks.

    ``messages_max`` bounds how many messages of ended turns are kept; older ones are forgotten here (they stay in the
    journal) and ``first_turn`` says at which place what is kept begins. ``showing_hidden`` keeps turns that are hidden.
    """

    __slots__ = (
        "_ended",
        "_messages_max",
        "_open",
        "_showing_hidden",
        "_size",
        "_sized",
        "_unfolded",
        "first_turn",
    )

    def __init__(
        self,
        ended: Iterable[Message] = (),
        *,
        messages_max: int = 1 << 62,
        first_turn: int = 0,
        showing_hidden: bool = False,
    ) -> None:
        """Start from messages of turns that have ended."""
        self._showing_hidden = showing_hidden
        self._ended: list[Message] = list(ended)
        self._open: dict[int, _OpenTurn] = {}
        self._unfolded: list[Event] = []
        self._messages_max = messages_max
        self._sized = self._ended
        self._size = 0, 0
        self.first_turn = first_turn

    @property
    def size(self) -> int:
        """Estimate the bytes that are held, but for open turns: characters of text, and so much for each message.

        Messages that were counted are not counted again, and nothing is folded for it.
        """
        counted, size = self._size if self._sized is self._ended else (0, 0)
        ended = self._ended
        for index in range(counted, len(ended)):
            parts = ended[index].parts
            size += MESSAGE_BYTES + sum([len(part.text) for part in parts]) + (len(parts) - 1) * PART_BYTES
        self._sized, self._size = ended, (len(ended), size)
        waiting = sum([len(getattr(event.body, "text", "")) for event in self._unfolded])
        return size + waiting + MESSAGE_BYTES * len(self._unfolded)

    def add(self, event: Event) -> None:
        """Take one more event, in order; folding waits until somebody looks or 256 are waiting."""
        self._unfolded.append(event)
        if len(self._unfolded) >= 256:  # noqa: PLR2004 - bounds what waits to be folded
            self._fold()

    def ended(self) -> list[Message]:
        """Return the messages of turns that have ended, by turn; a list that is trimmed to its bound is another one."""
        self._fold()
        return self._ended

    def messages(self) -> tuple[Message, ...]:
        """Return all messages, those of open turns last."""
        self._fold()
        still_open = sorted(self._open.values(), key=lambda turn: turn.place)
        return (*self._ended, *(message for turn in still_open for message in turn.freeze()))

    def of_turn(self, turn: int) -> tuple[Message, ...]:
        """Return the messages of one open turn, as far as they are on disk."""
        self._fold()
        found = self._open.get(turn)
        return () if found is None else tuple(found.freeze())

    def before(self, turn: int) -> History:
        """View what a model reads when ``turn`` runs: every ended turn before it, then the turn's own messages."""
        ended = self.ended()
        found = self._open.get(turn)
        return History(ended, self._index(turn if found is None else found.place), self.of_turn(turn))

    def begin_earlier(self, messages: Iterable[Message], first_turn: int) -> None:
        """Put messages of turns that have ended before what is kept; it may be more than the bound until the next."""
        self._ended = [*messages, *self._ended]  # a new list, since views may still look at the old one
        self.first_turn = first_turn

    def _fold(self) -> None:
        """Apply the events that wait."""
        if not self._unfolded:
            return
        events, self._unfolded = self._unfolded, []
        for event in events:
            self._apply(event)
        if len(self._ended) > self._messages_max:
            oldest = self._ended[-(self._messages_max // 2 or 1)]
            first = self._index(turn_place(oldest))  # turns are kept whole, so that a page can end where they begin
            if first:
                # A new list, since views may still look at the old one.
                self._ended = self._ended[first:]
                self.first_turn = turn_place(oldest)

    def _insert(self, place: int, messages: list[Message]) -> None:
        """Put the messages of a turn that has ended among the others."""
        index = self._index(place)
        if index == len(self._ended):
            self._ended += messages
        else:
            # A turn behind this one was cancelled while it waited. A new list, since views may look at the old one.
            self._ended = [*self._ended[:index], *messages, *self._ended[index:]]

    def _index(self, place: int) -> int:
        """Say where the messages of a turn belong among those of the turns that have ended."""
        ended = self._ended
        if not ended or (ended[-1].place or ended[-1].turn) < place:
            return len(ended)
        return bisect_left(ended, place, key=turn_place)

    def _apply(self, event: Event) -> None:
        """Apply one event."""
        body = event.body
        match body:
            case MessageAdded():
                parts = tuple(Part(part.kind, part.text, part.name, part.call_id, part.status) for part in body.parts)
                self._ended.append(Message(body.message_id, body.role, parts, 0, 0, event.seq))
            case MessageAccepted():
                said = [Part("text", body.text)]
                message = _Growing(body.message_id, "user", body.turn, 0, event.seq, (-1, 0, 0), said)
                if body.joined:
                    self._joined(message, body)
                else:
                    self._open[body.turn] = _OpenTurn(body.turn, messages={-1: message})
            case TurnStarted():
                self._open[body.turn].status = TurnStatus.RUNNING
            case TextAppended():
                self._text(event.seq, body)
            case ToolCalled():
                turn = self._open[body.turn]
                turn.calls[body.call] = body
                message = self._message(turn, body.turn, body.attempt, body.message, event.seq, "assistant")
                message.begin(Part("tool_call", body.arguments, body.name, body.call_id))
            case ToolEnded():
                turn = self._open[body.turn]
                call = turn.calls[body.call]
                message = self._message(turn, body.turn, body.attempt, body.message, event.seq, "tool")
                message.order = (call.message, 1, body.call)
                message.begin(Part("tool_result", body.content, call.name, call.call_id, str(body.status)))
            case AttemptInterrupted():
                turn = self._open[body.turn]
                turn.wait_no_more() if body.keep else turn.set_aside()
                turn.status = TurnStatus.QUEUED
            case AttemptSetAside():
                self._open[body.turn].set_aside()
            case TurnEnded():
                turn = self._open.pop(body.turn)
                moved_to = turn.moved_to
                place = moved_to or body.turn
                if place >= self.first_turn and (not body.hidden or self._showing_hidden):
                    status = str(body.status)
                    self._insert(place, [message.freeze(status, moved_to) for message in turn.in_order()])
            case MessageSteered() | QueuedEdited() | QueueReordered():
                self._rearrange(body)
            case HistoryTruncated():
                self._cut(body.place)
            case _:
                pass

    def _joined(self, message: _Growing, body: MessageAccepted) -> None:
        """Let a message come into a turn that is open: to open it with the others, or to be taken by it."""
        turn = self._open[body.turn]
        if body.joined == "merge":
            turn.join(message)
        else:
            turn.waiting[body.message_id] = message

    def _cut(self, place: int) -> None:
        """End the history before a place; turns behind it that are open leave when they end."""
        if not self._showing_hidden:
            self._ended = self._ended[: self._index(place)]  # a new list, since views may still look at the old one
        for turn in self._open.values():
            if turn.place >= place:
                waiting, turn.waiting = turn.waiting, {}
                for message in waiting.values():
                    turn.join(message)

    def _rearrange(self, body: MessageSteered | QueuedEdited | QueueReordered) -> None:
        """Apply what was done to messages of the user, or to turns, that are there."""
        match body:
            case MessageSteered():
                turn = self._open[body.turn]
                message = turn.waiting.pop(body.message_id)
                message.order = (body.message, 0, 0)
                turn.messages[body.message] = message
            case QueuedEdited():
                for message in self._open[body.turn].messages.values():
                    if message.message_id == body.message_id:
                        message.parts = [Part("text", body.text)]
            case QueueReordered():
                for number, place in zip(body.turns, body.places, strict=True):
                    if number in self._open:
                        self._open[number].moved_to = 0 if place == number else place

    def _text(self, seq: int, body: TextAppended) -> None:
        """Let a part grow, or begin it."""
        message = self._message(self._open[body.turn], body.turn, body.attempt, body.message, seq, "assistant")
        if body.part == len(message.parts):
            message.begin(Part(body.type, "", status=str(PartStatus.STREAMING)))
        if body.text:
            message.chunks.append(body.text)
        if body.status is not PartStatus.STREAMING:
            message.join()
            message.parts[-1] = attrs.evolve(message.parts[-1], status=str(body.status))

    @staticmethod
    def _message(turn: _OpenTurn, number: int, attempt: int, position: int, seq: int, role: Role) -> _Growing:
        """Find a message of an open turn by its position, or begin it."""
        message = turn.messages.get(position)
        if message is None:
            message_id = made_message_id(number, attempt, position)
            message = turn.messages[position] = _Growing(message_id, role, number, attempt, seq, (position, 0, 0))
        return message
