"""Bounded fan-out of one session's events and signals to its subscribers.

Publishing never waits. A subscriber that falls behind its buffer is cut and told where to resume; the others notice
nothing. Text that has not been read yet is joined to the text before it, so a slow reader costs bytes, not items.
"""

from collections import deque
from typing import Final, Literal

import trio

from actors.core.events import Event
from actors.core.ids import ChatId
from actors.core.stream import Item, ProgressSignal, TextSignal

_EVENT_BYTES: Final = 200
"""What an event is counted as beside its text; the text is on disk and can be read again."""

TextKey = tuple[int, int, int, int]
"""Turn, attempt, message and part: what a piece of text belongs to."""


class _Text:
    """Text of one part that its reader has not fetched yet."""

    __slots__ = ("key", "kind", "next_offset", "offset", "pieces")

    def __init__(self, key: TextKey, kind: Literal["text", "thinking"], offset: int, text: str) -> None:
        """Begin with one piece."""
        self.key = key
        self.kind: Literal["text", "thinking"] = kind
        self.offset = offset
        self.pieces = [text]
        self.next_offset = offset + len(text)


class Outbox:
    """What one subscriber has not read yet."""

    __slots__ = ("_bytes", "_bytes_max", "_chat_id", "_items", "_items_max", "_task", "closed", "cut", "last_seq")

    def __init__(self, chat_id: ChatId, last_seq: int, items_max: int, bytes_max: int) -> None:
        """Begin after ``last_seq``."""
        self._chat_id = chat_id
        self._items: deque[Item | _Text] = deque()
        self._bytes = 0
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._task: trio.lowlevel.Task | None = None
        self.last_seq = last_seq
        self.cut = False
        self.closed = False

    def put(self, item: Event | ProgressSignal, size: int) -> bool:
        """Add an item; False if the reader is cut by it."""
        self._items.append(item)
        return self._grow(size)

    def put_text(self, key: TextKey, kind: Literal["text", "thinking"], offset: int, text: str) -> bool:
        """Add live text, joined to the piece before if that is unread; False if the reader is cut by it."""
        items = self._items
        if items:
            last = items[-1]
            if type(last) is _Text and last.key == key and last.next_offset == offset:
                last.pieces.append(text)
                last.next_offset = offset + len(text)
                self._bytes += len(text)
                return self._bytes <= self._bytes_max or self._cut()
        items.append(_Text(key, kind, offset, text))
        return self._grow(len(text))

    def take(self) -> Item | None:
        """Take the oldest item, or None if there is none."""
        if not self._items:
            return None
        item = self._items.popleft()
        if type(item) is _Text:
            text = "".join(item.pieces)
            self._bytes -= len(text)
            turn, attempt, message, part = item.key
            return TextSignal(self._chat_id, turn, attempt, message, part, item.kind, item.offset, text)
        assert not isinstance(item, _Text), "texts are handled above"
        if type(item) is Event:
            self._bytes -= _EVENT_BYTES
            self.last_seq = item.seq
        return item

    async def wait(self) -> None:
        """Wait until there is an item, or the box was cut or closed; one waiter at a time."""
        if self._items or self.cut or self.closed:
            await trio.lowlevel.checkpoint_if_cancelled()
            return
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def close(self) -> None:
        """Let the reader read what is left and end."""
        self.closed = True
        self._wake()

    def _grow(self, size: int) -> bool:
        """Count an item, and cut the reader if it is one too many."""
        self._bytes += size
        if self._bytes > self._bytes_max or len(self._items) > self._items_max:
            return self._cut()
        self._wake()
        return True

    def _cut(self) -> bool:
        """Drop what is unread; the reader resumes after the last event it read."""
        self._items.clear()
        self._bytes = 0
        self.cut = True
        self._wake()
        return False

    def _wake(self) -> None:
        """Wake the reader."""
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        """Stop waiting."""
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class Broadcast:
    """The subscribers of one session."""

    __slots__ = ("_outboxes", "lagged")

    def __init__(self) -> None:
        """Start with nobody."""
        self._outboxes: list[Outbox] = []
        self.lagged = 0

    def __len__(self) -> int:
        """Count the subscribers."""
        return len(self._outboxes)

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._outboxes)

    def attach(self, outbox: Outbox) -> None:
        """Let a subscriber get everything from now on."""
        self._outboxes.append(outbox)

    def detach(self, outbox: Outbox) -> None:
        """Forget a subscriber; one that is not there is left alone."""
        if outbox in self._outboxes:
            self._outboxes.remove(outbox)

    def events(self, events: tuple[Event, ...]) -> list[Outbox]:
        """Publish events that are on disk; return the subscribers that were cut by them."""
        cut = [box for box in self._outboxes if not all(box.put(event, _EVENT_BYTES) for event in events)]
        return self._forget(cut)

    def text(self, key: TextKey, kind: Literal["text", "thinking"], offset: int, text: str) -> list[Outbox]:
        """Publish live text; return the subscribers that were cut by it."""
        cut = [box for box in self._outboxes if not box.put_text(key, kind, offset, text)]
        return self._forget(cut) if cut else cut

    def progress(self, signal: ProgressSignal) -> list[Outbox]:
        """Publish another signal; return the subscribers that were cut by it."""
        size = len(signal.value)
        return self._forget([box for box in self._outboxes if not box.put(signal, size)])

    def close(self) -> None:
        """Let every subscriber read what is left and end."""
        for box in self._outboxes:
            box.close()
        self._outboxes = []

    def _forget(self, cut: list[Outbox]) -> list[Outbox]:
        """Take out the subscribers that were cut."""
        if cut:
            self._outboxes = [box for box in self._outboxes if box not in cut]
            self.lagged += len(cut)
        return cut
