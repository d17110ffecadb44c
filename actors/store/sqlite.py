"""The journal on one SQLite file: one writer with group commit, read-only readers.

WAL with ``synchronous=FULL``: an acknowledged write survives a power cut. Every transaction checks the owner's epoch,
and every entry the number it follows, so that a runtime which was taken over can write nothing.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import apsw
import trio
from typing_extensions import override

from actors.core.dead_letter import DeadLetter
from actors.core.events import Event
from actors.core.ids import ChatId
from actors.core.lifecycle import PromptStatus
from actors.core.state import SessionState
from actors.errors import StoreCorruptError, StoreError, StoreFencedError, StoreSchemaError, StoreUnavailableError
from actors.ports import (
    Bury,
    Entry,
    Found,
    Journal,
    Offload,
    Opened,
    Outcome,
    Page,
    Recorded,
)
from actors.store import letters, queries
from actors.store.group import Group
from actors.store.ownership import Ownership
from actors.store.schema import MIGRATIONS, migrate, schema_version

T = TypeVar("T")

READERS: Final = 2
BUSY_TIMEOUT_MS: Final = 1000
READER_WAIT_S: Final = 30.0
CLOSE_WAIT_S: Final = 2.0
KEYS_MAX: Final = 200_000
"""Chat keys kept in memory; beyond it they are looked up again."""
WAL_PAGES: Final = 4000
"""Pages in the write-ahead log before SQLite copies them into the file: 16 MiB, where its own default is 4 MiB."""

_SETTINGS: Final[tuple[tuple[str, str | int, str | int, str], ...]] = (
    ("journal_mode", "wal", "wal", "put the store on a local disk"),
    ("synchronous", "full", 2, "use an SQLite library that was built with it"),
    ("foreign_keys", "on", 1, "use an SQLite library that was built with them"),
    ("wal_autocheckpoint", WAL_PAGES, WAL_PAGES, "use an SQLite library that was built with it"),
)
"""What the writer sets, what reading it back must answer, and what to do if it does not.

SQLite does not always fail where a setting fails: on an I/O error it stays in another journal mode and answers with it.
"""

_HINTS: Final[tuple[tuple[type[apsw.Error], str], ...]] = (
    (apsw.FullError, "free space on the disk; nothing that was acknowledged is lost"),
    (apsw.ReadOnlyError, "make the file and its folder writable"),
    (apsw.CantOpenError, "check that the folder exists and is writable"),
    (apsw.BusyError, "another program holds a lock on the file; end it"),
    (apsw.IOError, "check the disk"),
)


class SQLiteJournal(Journal):
    """A journal in one SQLite file."""

    def __init__(self, path: str | Path, offload: Offload) -> None:
        """Name the file; it is made when the journal is opened. ``offload`` runs what blocks."""
        self._path = Path(path)
        self._offload = offload
        self._ownership = Ownership(self._path)
        self._writer: apsw.Connection | None = None
        self._writing = threading.Lock()
        self._reading = trio.Semaphore(READERS)  # a crowd that reads must not take the writer's threads
        self._readers = _queue(None)
        self._epoch = 0
        self._keys: dict[str, int] = {}

    @override
    async def open(self, *, takeover: bool, forget_before_s: float = 0.0) -> Opened:
        try:
            return await self._offload.run(lambda: self._open(takeover, forget_before_s))
        except trio.Cancelled:  # the work goes on in its thread; whoever was cancelled will not close what it opens
            with trio.CancelScope(shield=True):
                await self.close()
            raise

    async def open_reader(self) -> None:
        """Open the store for reading only, whoever owns it: nothing is locked and nothing written.

        Raises what ``connect_reader`` raises; of the other methods only those that read, and ``close``, may follow.
        """
        await self._offload.run(self._open_readers)

    @override
    async def commit(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        return await self._offload.run(lambda: self._write(entries))

    @override
    async def load(self, chat_id: ChatId) -> SessionState | None:
        return await self._read(lambda db: queries.load(db, chat_id))

    @override
    async def find(self, chat_id: ChatId, message_id: str) -> Found | None:
        return await self._read(lambda db: queries.find(db, chat_id, message_id))

    @override
    async def find_prompt(self, chat_id: ChatId, turn: int, prompt: int) -> PromptStatus | None:
        return await self._read(lambda db: queries.find_prompt(db, chat_id, turn, prompt))

    @override
    async def turn(self, chat_id: ChatId, turn: int) -> Recorded | None:
        return await self._read(lambda db: queries.turn(db, chat_id, turn))

    @override
    async def events(self, chat_id: ChatId, after: int, rows_max: int) -> tuple[Event, ...]:
        return await self._read(lambda db: queries.events(db, chat_id, after, rows_max))

    @override
    async def messages(self, chat_id: ChatId, before_turn: int | None, rows_max: int) -> Page:
        return await self._read(lambda db: queries.messages(db, chat_id, before_turn, rows_max))

    @override
    async def sessions(self, after: str, rows_max: int) -> tuple[ChatId, ...]:
        return await self._read(lambda db: queries.sessions(db, after, rows_max))

    @override
    async def children(self, chat_id: ChatId, rows_max: int) -> tuple[ChatId, ...]:
        return await self._read(lambda db: queries.children(db, chat_id, rows_max))

    @override
    async def dead_letters(self, chat_id: str | None, after: int, rows_max: int) -> tuple[DeadLetter, ...]:
        return await self._read(lambda db: letters.read(db, chat_id, after, rows_max))

    @override
    async def close(self) -> None:
        await self._offload.run(self._close)

    async def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do one unit of reading on one of the readers, in one transaction."""

        def read() -> T:
            readers = self._readers
            try:
                reader = readers.get(timeout=READER_WAIT_S)
            except queue.Empty:
                message = "no reader of the store is free"
                raise StoreUnavailableError(message, hint="check the disk; it hangs") from None
            try:
                if reader is None:
                    raise _closed()
                with translated("read"), snapshot(reader):
                    return work(reader)
            finally:
                if reader is None or readers is self._readers:
                    readers.put(reader)
                else:  # the store was closed meanwhile
                    _close(reader)

        async with self._reading:
            return await self._offload.run(read)

    def _open(self, takeover: bool, forget_before_s: float) -> Opened:  # noqa: FBT001 - private, and passed on as it came
        """Open the file as its owner."""
        with self._writing:
            if takeover:
                self._give_up()  # what this journal itself may hold
            self._ownership.acquire(takeover=takeover)
            try:
                with translated("open"):
                    return self._begin_life(forget_before_s)
            except BaseException:
                self._give_up()
                raise

    def _begin_life(self, forget_before_s: float) -> Opened:
        """Connect, raise the epoch and read what the store holds."""
        writer = self._writer = _connect(self._path)
        self._keys.clear()  # another life may have erased sessions since
        self._open_readers()
        writer.execute("BEGIN IMMEDIATE")
        self._epoch = writer.execute("UPDATE owner SET epoch = epoch + 1 RETURNING epoch").get
        writer.execute("DELETE FROM tombstone WHERE deleted_at_s < ?", (forget_before_s,))
        opened = queries.opening(writer, self._epoch)
        writer.execute("COMMIT")
        return opened

    def _open_readers(self) -> None:
        """Open the readers."""
        self._readers = _queue(*(connect_reader(self._path) for _ in range(READERS)))

    def _close(self) -> None:
        """Close every connection; one that a hung write still uses is left to the end of the process."""
        if not self._writing.acquire(timeout=CLOSE_WAIT_S):
            return  # the lock stays ours, since that write may still reach the disk
        try:
            self._give_up()
        finally:
            self._writing.release()

    def _give_up(self) -> None:
        """Close what is open; who waits for a reader is told. What cannot be tidied up is left to the next opening."""
        readers, self._readers = self._readers, _queue(None)
        writer, self._writer = self._writer, None
        with suppress(queue.Empty):
            while True:
                _close(readers.get_nowait())
        readers.put(None)
        _close(writer)
        self._ownership.release()

    def _write(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        """Write one group: first as if nothing conflicts, and entry by entry only if something does."""
        chat_id = entries[0].chat_id if len(entries) == 1 and not isinstance(entries[0], Bury) else None
        with self._writing, translated("commit", chat_id):
            outcomes = self._transact(entries, Group.write_together)
            if outcomes is None:
                outcomes = self._transact(entries, Group.write_apart)
            assert outcomes is not None, "apart, each entry has its own outcome"
            return outcomes

    def _transact(self, entries: Sequence[Entry], write: "_Write") -> list[Outcome] | None:
        """Write in one transaction, as the owner; None, and nothing is written, if ``write`` says so."""
        writer = self._writer
        if writer is None:
            raise _closed()
        group = Group(writer, self._keys)
        writer.execute("BEGIN IMMEDIATE")
        try:
            epoch = writer.execute("SELECT epoch FROM owner").get
            if epoch != self._epoch:
                message = f"epoch {self._epoch} was taken over by epoch {epoch}"
                raise StoreFencedError(message, hint="open the store again, in one process only")
            outcomes = write(group, entries)
            if outcomes is not None:
                writer.execute("COMMIT")
                if len(self._keys) >= KEYS_MAX:
                    self._keys.clear()
                self._keys.update(group.found)
            return outcomes
        finally:
            if not writer.get_autocommit():
                writer.execute("ROLLBACK")


_Write = Callable[[Group, Sequence[Entry]], list[Outcome] | None]


@contextmanager
def translated(operation: str, chat_id: ChatId | None = None) -> Iterator[None]:
    """Turn what SQLite raises into errors of ours, with the operation and what to do."""
    try:
        yield
    except StoreError:
        raise
    except (apsw.CorruptError, apsw.NotADBError) as error:
        message = f"the store cannot {operation}: {error}"
        raise StoreSchemaError(message, hint="the file is no store or is damaged; restore a copy") from error
    except (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError) as error:
        message = f"the store cannot {operation}: {error}"
        raise StoreCorruptError(message, chat_id=chat_id, hint="run `actors doctor` on the store") from error
    except (UnicodeError, OverflowError) as error:
        message = f"the store cannot {operation}: {type(error).__name__}"
        raise StoreCorruptError(message, chat_id=chat_id, hint="give text that UTF-8 can hold") from error
    except apsw.Error as error:
        hint = next((hint for kind, hint in _HINTS if isinstance(error, kind)), "see the cause")
        message = f"the store cannot {operation}: {error}"
        raise StoreUnavailableError(message, chat_id=chat_id, hint=hint) from error


@contextmanager
def snapshot(reader: apsw.Connection) -> Iterator[None]:
    """Let several statements see one moment."""
    reader.execute("BEGIN")
    try:
        yield
    finally:
        if not reader.get_autocommit():
            reader.execute("ROLLBACK")


def connect_reader(path: Path) -> apsw.Connection:
    """Open a connection that can only read, to what must be a store already; it never moves the log into the file.

    Raises StoreUnavailableError if there is no file, StoreSchemaError if it is no store or one of another version.
    """
    if not path.is_file():
        message = f"there is no store at {path}"
        raise StoreUnavailableError(message, hint="check the path")
    with translated("open"), _closed_on_failure(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as reader:
        reader.set_busy_timeout(BUSY_TIMEOUT_MS)
        reader.pragma("wal_autocheckpoint", 0)
        version = schema_version(reader)
        if version != len(MIGRATIONS):
            message = f"the store has schema {version}, and {len(MIGRATIONS)} is read"
            raise StoreSchemaError(message, hint="open it once with a runtime of this version")
        return reader


def _connect(path: Path) -> apsw.Connection:
    """Open the writing connection and see that every setting took; what is not ours is left as it was."""
    with _closed_on_failure(apsw.Connection(str(path))) as writer:
        writer.set_busy_timeout(BUSY_TIMEOUT_MS)
        writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        schema_version(writer)
        writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        for name, value, expected, hint in _SETTINGS:
            writer.pragma(name, value)
            answer = writer.pragma(name)
            if answer != expected:
                message = f"the store cannot set {name} to {value}: it is {answer}"
                raise StoreUnavailableError(message, hint=hint)
        migrate(writer)
        return writer


@contextmanager
def _closed_on_failure(connection: apsw.Connection) -> Iterator[apsw.Connection]:
    """Close a connection that turns out to be of no use."""
    try:
        yield connection
    except BaseException:
        _close(connection)
        raise


def _close(connection: apsw.Connection | None) -> None:
    """Close a connection; an error on the way changes nothing of what was committed."""
    if connection is not None:
        with suppress(apsw.Error):
            connection.close()


def _queue(*readers: apsw.Connection | None) -> queue.SimpleQueue[apsw.Connection | None]:
    """Make the queue in which readers wait to be used; None in it says that the store is closed."""
    made: queue.SimpleQueue[apsw.Connection | None] = queue.SimpleQueue()
    for reader in readers:
        made.put(reader)
    return made


def _closed() -> StoreUnavailableError:
    """Say that the journal is not open."""
    message = "the store is closed"
    return StoreUnavailableError(message, hint="open it first")
