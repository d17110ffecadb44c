"""Dead letters: the latest in memory, all of them to whoever watches, and on disk as many as can be written.

Nothing here waits, and nothing grows: the ring is bounded in letters and bytes, each watcher's buffer and what waits
for the disk in letters. What has no room there is counted.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

import trio
from typing_extensions import override

from actors.core.dead_letter import Carried, DeadLetter
from actors.core.envelope import check_text, freeze_payload
from actors.core.ids import DropReason
from actors.core.limits import Limits
from actors.errors import SubscriptionError
from actors.ports import Bury, Clock, Committed, Entry

Redact = Callable[[DeadLetter], object]
"""Returns what is to be kept of a letter's payload: the payload itself, another JSON value, or None."""

Submit = Callable[[Entry, int, Callable[[object], None]], None]
"""Has an entry written, and says what became of it."""

LETTERS_IN_ENTRY_MAX: Final = 1000
"""Dead letters written in one entry; each group of the writer has at most one such entry."""

_LETTER_BYTES: Final = 300
"""What a letter costs beside its payload."""


class DeadLetterFeed(AsyncIterator[DeadLetter]):
    """Every dead letter from now on; use it as ``async with runtime.watch_dead_letters() as feed: async for …``.

    Raises SubscriptionError to a reader that leaves more than ``subscriber_items_max`` letters unread; the letters
    themselves are kept all the same.
    """

    def __init__(self, feeds: "set[DeadLetterFeed]", items_max: int, feeds_max: int) -> None:
        """Made by ``Runtime.watch_dead_letters``."""
        self._feeds = feeds
        self._feeds_max = feeds_max
        self._send, self._receive = trio.open_memory_channel[DeadLetter](items_max)
        self._lagged = False

    async def __aenter__(self) -> Self:
        """Begin to watch; raises SubscriptionError beyond the limit ``subscribers_max``."""
        await trio.lowlevel.checkpoint()
        if len(self._feeds) >= self._feeds_max:
            message = f"dead letters have {len(self._feeds)} watchers"
            raise SubscriptionError(message, hint="raise the limit subscribers_max")
        self._feeds.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no more."""
        self._feeds.discard(self)
        self._send.close()
        self._receive.close()

    @override
    async def __anext__(self) -> DeadLetter:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            message = "the watcher of dead letters was too slow and was cut"
            raise SubscriptionError(message, hint="read faster, or look at dead_letters()") from None

    def show(self, letter: DeadLetter) -> bool:
        """Show a letter; False if the reader is too far behind, and gets only what it has."""
        try:
            self._send.send_nowait(letter)
        except trio.WouldBlock:
            self._send.close()
            return False
        except trio.BrokenResourceError:
            return False
        return True


class DeadLetters:
    """Where dead letters are kept."""

    def __init__(self, limits: Limits, clock: Clock, redact: Redact | None = None, *, keep: bool = False) -> None:
        """Keep the latest in memory, and all on disk if ``keep``; ``redact`` decides about every payload before."""
        self._limits = limits
        self._clock = clock
        self._redact = redact
        self._keep = keep
        self._submit: Submit | None = None
        self._ring: deque[DeadLetter] = deque()
        self._ring_bytes = 0
        self._feeds: set[DeadLetterFeed] = set()
        self._waiting: deque[DeadLetter] = deque()
        self._forget: list[int] = []
        self._writing = False
        self._number = 0
        self.stored = 0
        """Letters that are on disk."""
        self.lost = 0
        """Letters that are not on disk although they should be."""

    def __iter__(self) -> Iterator[DeadLetter]:
        """Go through the letters in memory, oldest first."""
        return iter(tuple(self._ring))

    def __len__(self) -> int:
        """Count the letters in memory."""
        return len(self._ring)

    @property
    def storing(self) -> bool:
        """Whether letters are written to disk."""
        return self._submit is not None

    def start(self, number: int, submit: Submit) -> None:
        """Go on counting after a number of an earlier life, and write letters from now on if they are to be kept."""
        self._number = number
        self._submit = submit if self._keep else None
        self._write(even_nothing=True)  # what is too old goes at once

    def add(self, shown: str, reason: DropReason, kind: str, size_bytes: int, carried: Carried | None) -> None:
        """Keep one more letter; the oldest go if there is no room."""
        self._number += 1
        letter = self._letter(shown, reason, kind, size_bytes, carried)
        ring = self._ring
        ring.append(letter)
        self._ring_bytes += _cost(letter)
        letters_max, bytes_max = self._limits.dead_letters_max, self._limits.dead_letters_bytes_max
        while ring and (len(ring) > letters_max or self._ring_bytes > bytes_max):
            self._ring_bytes -= _cost(ring.popleft())
        if self._feeds:
            self._feeds -= {feed for feed in self._feeds if not feed.show(letter)}
        if self._submit is not None:
            if len(self._waiting) < LETTERS_IN_ENTRY_MAX:
                self._waiting.append(letter)
                self._write()
            else:
                self.lost += 1

    def select(self, chat_id: str | None = None, reason: str | None = None) -> tuple[DeadLetter, ...]:
        """Show what is in memory, of one address and one reason or of all, oldest first."""
        return tuple(
            letter for letter in self._ring if chat_id in {None, letter.chat_id} and reason in {None, letter.reason}
        )

    def watch(self) -> DeadLetterFeed:
        """Make a feed of what is added from now on."""
        return DeadLetterFeed(self._feeds, self._limits.subscriber_items_max, self._limits.subscribers_max)

    def discard(self, numbers: Iterable[int]) -> None:
        """Forget letters by their numbers, in memory and on disk."""
        gone = set(numbers)
        self._ring = deque(letter for letter in self._ring if letter.number not in gone)
        self._ring_bytes = sum(map(_cost, self._ring))
        if gone and self._submit is not None:
            self._waiting = deque(letter for letter in self._waiting if letter.number not in gone)
            self._forget += sorted(gone)
            self._write()

    def erase(self, chat_ids: Sequence[str]) -> None:
        """Forget every letter of a session that was erased, by all the ids that it had."""
        self.discard([letter.number for letter in (*self._ring, *self._waiting) if letter.chat_id in chat_ids])

    def _letter(
        self, shown: str, reason: DropReason, kind: str, size_bytes: int, carried: Carried | None
    ) -> DeadLetter:
        """Make a letter of what an envelope carried; of a session that was deleted nothing is kept."""
        number, at_s = self._number, self._clock.wall_s()
        if carried is None or reason is DropReason.DELETED_CHAT:
            return DeadLetter(shown, reason, kind, size_bytes, at_s, number)
        frozen = freeze_payload(carried.payload, self._limits.message_bytes_max)
        whole = isinstance(frozen, tuple) and (kind != "accept" or (type(frozen[0]) is str and frozen[0] != ""))
        payload = frozen[0] if isinstance(frozen, tuple) else None
        named = [_text(value) for value in (carried.sender, carried.message_id, carried.message_kind, carried.key)]
        size_bytes = size_bytes or (frozen[1] if isinstance(frozen, tuple) else 0)
        letter = DeadLetter(shown, reason, kind, size_bytes, at_s, number, payload, whole, *named)
        return letter if self._redact is None else self._redacted(letter, self._redact)

    def _redacted(self, letter: DeadLetter, redact: Redact) -> DeadLetter:
        """Leave of a payload what the host wants to have kept; nothing if it cannot say."""
        try:
            kept = redact(letter)
        except Exception:  # noqa: BLE001 - the border to the host's code; the letter is kept without its payload
            kept = None
        if kept is letter.payload:
            return letter
        frozen = freeze_payload(kept, self._limits.message_bytes_max)
        return DeadLetter(
            letter.chat_id,
            letter.reason,
            letter.kind,
            letter.size_bytes,
            letter.at_s,
            letter.number,
            frozen[0] if isinstance(frozen, tuple) else None,
            whole=False,
            sender=letter.sender,
            message_id=letter.message_id,
            message_kind=letter.message_kind,
            key=letter.key,
        )

    def _write(self, *, even_nothing: bool = False) -> None:
        """Have what waits written, unless something is being written already."""
        if self._writing or self._submit is None or not (self._waiting or self._forget or even_nothing):
            return
        letters, forget = tuple(self._waiting), tuple(self._forget)
        self._waiting.clear()
        self._forget.clear()
        self._writing = True
        after_s = self._clock.wall_s() - self._limits.dead_letter_s
        entry = Bury(letters, forget, after_s, self._limits.dead_letters_stored_max)

        def done(result: object) -> None:
            self._writing = False
            if isinstance(result, Committed):
                self.stored += len(letters)
                self._write()
            else:  # the store is another's now, or refuses this; the next letter tries again
                self.lost += len(letters)

        self._submit(entry, sum(map(_cost, letters)), done)


def _cost(letter: DeadLetter) -> int:
    """Estimate the bytes of a letter; what its envelope was counted with bounds its payload."""
    return _LETTER_BYTES + (0 if letter.payload is None else letter.size_bytes)


def _text(value: object) -> str:
    """Keep of a field what is short text that can be stored."""
    return value if isinstance(value, str) and isinstance(check_text(value, _FIELD_BYTES_MAX), int) else ""


_FIELD_BYTES_MAX: Final = 1024
