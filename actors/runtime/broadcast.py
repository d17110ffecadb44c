"""Bounded fan-out of one session's events and signals to its subscribers.

Publishing never waits. A subscriber that falls behind its buffer is cut and told where to resume; the others notice
nothing. Live text is written once, into a segment that all subscribers share: an outbox holds a mark where its reader
stands in it, so a piece of text costs the same for one reader and for a thousand that have not caught up.
"""

from collections import deque
from typing import Final

import trio

from actors.core.draft import Segment
from actors.core.events import Event
from actors.core.ids import ChatId
from actors.core.stream import Item, ProgressSignal, TextSignal

_EVENT_BYTES: Final = 200
"""What an event is counted as beside its text; the text is on disk and can be read again."""


class _Mark:
    """Where a reader stands in a segment: after so many pieces, at this offset of the part.

    The last mark of an outbox is open: it means everything up to the end of the segment, wherever that comes to be. One
    that something follows is closed where the segment ended then.
    """

    __slots__ = ("end", "offset", "pieces", "segment")

    def __init__(self, segment: Segment, pieces: int, offset: int) -> None:
        """Stand before the pieces that come next."""
        self.segment = segment
        self.pieces = pieces
        self.offset = offset
        self.end: int | None = None

    def close(self) -> int:
        """Mean no more than what has been said so far; return how many characters that is."""
        self.end = len(self.segment.pieces)
        return self.segment.offset + self.segment.length - self.offset


class Outbox:
    """What one subscriber has not read yet."""

    __slots__ = ("_bytes", "_bytes_max", "_items", "_items_max", "_task", "chat_id", "closed", "cut", "last_seq")

    def __init__(self, chat_id: ChatId, last_seq: int, items_max: int, bytes_max: int) -> None:
        """Begin after ``last_seq``."""
        self.chat_id = chat_id
        self._items: deque[Item | _Mark] = deque()
        self._bytes = 0
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._task: trio.lowlevel.Task | None = None
        self.last_seq = last_seq
        self.cut = False
        self.closed = False

    def put(self, item: Event | ProgressSignal, size: int) -> bool:
        """Add an item; False if the reader is cut by it."""
        items = self._items
        if items:
            last = items[-1]
            if type(last) is _Mark:
                self._bytes += last.close()
        items.append(item)
        self._bytes += size
        if self._bytes > self._bytes_max or len(items) > self._items_max:
            return self.drop()
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None
        return True

    def put_mark(self, segment: Segment, pieces: int, offset: int) -> bool:
        """Let the reader see the text of a segment from here on; False if it is cut by it."""
        items = self._items
        if items:
            last = items[-1]
            if type(last) is _Mark:
                if last.segment is segment:
                    return True
                self._bytes += last.close()
        items.append(_Mark(segment, pieces, offset))
        if self._bytes > self._bytes_max or len(items) > self._items_max:
            return self.drop()
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None
        return True

    def take(self, broadcast: "Broadcast") -> Item | None:
        """Take the oldest item, or None if there is none."""
        items = self._items
        if not items:
            return None
        item = items.popleft()
        if type(item) is Event:
            self._bytes -= _EVENT_BYTES
            self.last_seq = item.seq
            return item
        if type(item) is _Mark:
            return self._take_text(item, broadcast)
        assert isinstance(item, ProgressSignal), "an outbox holds events, signals and marks"
        self._bytes -= len(item.value)
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

    def _take_text(self, mark: _Mark, broadcast: "Broadcast") -> TextSignal:
        """Read a segment from a mark to where it has come; the next piece will leave a new mark."""
        segment = mark.segment
        text = "".join(segment.pieces[mark.pieces : mark.end])
        if mark.end is not None:
            self._bytes -= len(text)
        elif not self.closed:  # nothing follows it, so it was not counted, and the next piece must leave another
            broadcast.hungry.append(self)
        turn, attempt, message, part = segment.key
        return TextSignal(self.chat_id, turn, attempt, message, part, segment.kind, mark.offset, text)

    def drop(self) -> bool:
        """Drop what is unread, and return False; the reader resumes after the last event it read."""
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
    """The subscribers of one session. ``hungry`` are those whose last item is not a mark in the current segment."""

    __slots__ = ("_outboxes", "closed", "held", "hungry", "lagged", "segment")

    def __init__(self) -> None:
        """Start with nobody."""
        self._outboxes: list[Outbox] = []
        self.segment: Segment | None = None
        self.hungry: list[Outbox] = []
        self.lagged = 0
        self.held = 0
        """Subscriptions that are in use, also those that are still reading what they have missed."""
        self.closed = False

    def __len__(self) -> int:
        """Count the subscribers."""
        return len(self._outboxes)

    def attach(self, outbox: Outbox) -> None:
        """Let a subscriber get everything from now on; nothing comes any more if the session has ended meanwhile."""
        if self.closed:
            outbox.close()
            return
        self._outboxes.append(outbox)
        self.hungry.append(outbox)

    def detach(self, outbox: Outbox) -> None:
        """Forget a subscriber, for good; one that is not there is left alone."""
        outbox.closed = True
        if outbox in self._outboxes:
            self._outboxes.remove(outbox)
        self.hungry = [box for box in self.hungry if box is not outbox]

    def events(self, events: tuple[Event, ...]) -> list[Outbox]:
        """Publish events that are on disk; return the subscribers that were cut by them."""
        cut = []
        for box in self._outboxes:
            for event in events:
                if not box.put(event, _EVENT_BYTES):
                    cut.append(box)
                    break
        self.segment = None  # whatever is said next comes after these events
        return self._forget(cut) if cut else cut

    def said(self, segment: Segment, size: int) -> list[Outbox]:
        """Let everybody see the last piece of a segment, of ``size`` characters; return those cut by it.

        Whoever has a mark in the segment already sees it anyway; only the hungry ones get one.
        """
        if segment is self.segment:
            hungry = self.hungry
        else:
            self.segment = segment
            hungry = self._outboxes
        if not hungry:
            return []
        pieces, offset = len(segment.pieces) - 1, segment.offset + segment.length - size
        cut = [box for box in hungry if not box.put_mark(segment, pieces, offset)]
        self.hungry = []
        return self._forget(cut) if cut else cut

    def progress(self, signal: ProgressSignal) -> list[Outbox]:
        """Publish another signal; return the subscribers that were cut by it."""
        size = len(signal.value)
        cut = [box for box in self._outboxes if not box.put(signal, size)]
        self.segment = None
        return self._forget(cut) if cut else cut

    def rename(self, chat_id: ChatId) -> None:
        """Show what has not been read yet, and what comes, as that of another id."""
        for box in self._outboxes:
            box.chat_id = chat_id

    def cut(self) -> None:
        """Cut every subscriber: what comes next would not follow what it has; it resumes from the journal."""
        for box in self._outboxes:
            box.drop()
        self._forget(list(self._outboxes))

    def close(self) -> None:
        """Let every subscriber read what is left and end."""
        self.closed = True
        for box in self._outboxes:
            box.close()
        self._outboxes = []
        self.hungry = []

    def _forget(self, cut: list[Outbox]) -> list[Outbox]:
        """Take out the subscribers that were cut."""
        self._outboxes = [box for box in self._outboxes if box not in cut]
        self.hungry = [box for box in self.hungry if box not in cut]
        self.lagged += len(cut)
        return cut
