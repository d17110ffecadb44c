"""The seams a host may replace: the journal, the clock, and the way blocking work is done.

An adapter inherits its port by name and passes the contract suite of that port (``tests/store/journal_contract.py``).
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import attrs

from actors.core.dead_letter import DeadLetter
from actors.core.events import Event
from actors.core.ids import ChatId
from actors.core.lifecycle import PromptStatus
from actors.core.state import SessionState
from actors.core.transcript import Message

T = TypeVar("T")


@attrs.frozen
class Append:
    """Events of one session to be written together.

    ``expected_seq`` is the number of the session's last event; a session that does not exist has 0. The numbers of the
    events follow it without a gap.
    """

    chat_id: ChatId
    expected_seq: int
    events: tuple[Event, ...]


@attrs.frozen
class Erase:
    """Remove everything of one session, its dead letters too, and leave a tombstone.

    There is one for its id and for every id that led to it.
    """

    chat_id: ChatId
    at_s: float


@attrs.frozen
class Rename:
    """Give one session another id, together with the events that say so; the old id leads to it from then on.

    Nothing of the session moves or is copied: only its id changes. It follows ``expected_seq`` as an ``Append`` does,
    and conflicts too if the new id is that of a session, leads to one, or was erased. The events have the new id.
    """

    chat_id: ChatId
    new_chat_id: ChatId
    expected_seq: int
    events: tuple[Event, ...]


@attrs.frozen
class Bury:
    """Keep dead letters, and forget others: of these numbers, from before ``after_s``, and beyond the last so many.

    A letter whose number is kept already is left as it is.
    """

    letters: tuple[DeadLetter, ...]
    forget: tuple[int, ...]
    after_s: float
    rows_max: int


Entry = Append | Erase | Rename | Bury


@attrs.frozen
class Committed:
    """The entry is on disk."""


@attrs.frozen
class Conflict:
    """The entry was not written: the session's last event is ``seq``, not the one that was expected.

    If it is the one that was expected, the entry is a ``Rename`` and its new id is taken.
    """

    seq: int


Outcome = Committed | Conflict


@attrs.frozen
class Appointment:
    """A session in which something falls due, and the first moment at which it does, in seconds since 1970."""

    chat_id: ChatId
    due_s: float


@attrs.frozen
class Alias:
    """An id that a session had before, and the one it has now."""

    chat_id: ChatId
    leads_to: ChatId


@attrs.frozen
class Opened:
    """What a journal says when it is opened.

    ``epoch`` is this life; ``unfinished`` are the sessions that have a turn which has not ended, ``appointments`` those
    in which a reminder stands; ``aliases`` are ids that lead to one of ``chat_ids``, in their order. ``dead_letters``
    is the highest number that a dead letter ever had.
    """

    epoch: int
    chat_ids: frozenset[ChatId]
    tombstones: frozenset[ChatId]
    unfinished: tuple[ChatId, ...]
    appointments: tuple[Appointment, ...] = ()
    aliases: tuple[Alias, ...] = ()
    dead_letters: int = 0


@attrs.frozen
class Found:
    """The message that a key names: its turn, the number of its acceptance, and how the turn ended if it has."""

    turn: int
    seq: int
    status: str
    reason: str
    error: str


@attrs.frozen
class Recorded:
    """One turn as it stands on disk; a hidden one has left the transcript, and its messages are here all the same.

    ``found.seq`` is the number of the event that opened it.
    """

    found: Found
    hidden: bool
    messages: tuple[Message, ...]


@attrs.frozen
class Page:
    """Messages of whole turns, oldest first; ``before_turn`` asks for the page before, None if there is none.

    Turns are counted by their places here, which are their numbers unless the queue was reordered.
    """

    messages: tuple[Message, ...]
    before_turn: int | None


class Journal(Protocol):
    """The ordered events of every chat, and what is projected from them.

    What reads one session takes an id that it had before as well as the one it has now, and answers with the latter.

    All methods but ``close`` raise StoreUnavailableError when the disk does not do its part and StoreCorruptError when
    rows contradict each other.
    """

    async def open(self, *, takeover: bool, forget_before_s: float = 0.0) -> Opened:
        """Own the store for one life, and forget the tombstones from before a moment of wall time.

        Raises StoreInUseError if another process owns it and ``takeover`` is false, StoreSchemaError if it was written
        by a newer version.
        """
        ...

    async def commit(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        """Write the entries in order, in one transaction, and return what became of each.

        A conflict concerns its own entry only. Any error means that nothing is known to be written; committing the same
        entries again is safe, since what was written already is recognised. Raises StoreFencedError if another life
        owns the store. At most one call at a time.
        """
        ...

    async def load(self, chat_id: ChatId) -> SessionState | None:
        """Return what is open in a session, in work that does not depend on its history; None if there is none."""
        ...

    async def find(self, chat_id: ChatId, message_id: str) -> Found | None:
        """Return the user's message that an idempotency key names."""
        ...

    async def turn(self, chat_id: ChatId, turn: int) -> Recorded | None:
        """Return one turn, whether it has ended or not; None if there is none with this number."""
        ...

    async def find_prompt(self, chat_id: ChatId, turn: int, prompt: int) -> PromptStatus | None:
        """Return where a question of a session stands; None if there is no such question."""
        ...

    async def events(self, chat_id: ChatId, after: int, rows_max: int) -> tuple[Event, ...]:
        """Return the events after a number, at most ``rows_max``, in order."""
        ...

    async def messages(self, chat_id: ChatId, before_turn: int | None, rows_max: int) -> Page:
        """Return the last page of messages of ended turns before a place; at least one whole turn if there is one.

        Turns that are hidden are left out.
        """
        ...

    async def sessions(self, after: str, rows_max: int) -> tuple[ChatId, ...]:
        """Return the ids of sessions in order, after one of them."""
        ...

    async def children(self, chat_id: ChatId, rows_max: int) -> tuple[ChatId, ...]:
        """Return the ids of sessions that turns of a session spawned and that were not erased, oldest first."""
        ...

    async def dead_letters(self, chat_id: str | None, after: int, rows_max: int) -> tuple[DeadLetter, ...]:
        """Return the dead letters that are kept, of one address or of all, after a number, in order."""
        ...

    async def close(self) -> None:
        """Give the store up; what was committed stays. Safe to call twice, and after a failure."""
        ...


class Clock(Protocol):
    """Time, ids and dice: the only place they come from, so that a test can hold them.

    ``real`` says whether its seconds are those of the world. Where they are not, nothing that measures the world, such
    as the loop's watchdog, is started.
    """

    real: bool = True

    def now_s(self) -> float:
        """Return monotonic seconds, for deadlines and delays."""
        ...

    def wall_s(self) -> float:
        """Return seconds since 1970, for people; it may jump."""
        ...

    def busy_s(self) -> float:
        """Return seconds of real time, for measuring how long a task has held the loop."""
        ...

    def dice(self) -> float:
        """Return a number from 0 up to 1."""
        ...

    def mint_id(self) -> str:
        """Return an id that is unique in the store: a UUIDv7."""
        ...


class Offload(Protocol):
    """The way to do blocking work beside the loop."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread and return its result; it runs to its end even when the caller is cancelled."""
        ...
