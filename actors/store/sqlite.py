"""The journal on one SQLite file: one writer with group commit, read-only readers.

WAL with ``synchronous=FULL``: an acknowledged write survives a power cut. Every transaction checks the owner's epoch,
and every entry the number it follows, so that a runtime which was taken over can write nothing.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar
from typing_extensions import override

import apsw

from actors.core.codec import decode_body
from actors.core.events import Event, MessageAccepted, PromptOpened
from actors.core.ids import ChatId
from actors.core.lifecycle import TurnStatus
from actors.core.session import OpenCall, OpenPart, OpenPrompt, QueuedTurn, RunningTurn, SessionState
from actors.core.transcript import Transcript
from actors.errors import (
    StoreCorruptError,
    StoreError,
    StoreFencedError,
    StoreSchemaError,
    StoreUnavailableError,
)
from actors.ports import Append, Committed, Conflict, Entry, Erase, Found, Journal, Offload, Opened, Outcome, Page
from actors.store.ownership import Ownership
from actors.store.projections import ORDER, UPDATE_SESSION, Row, Rows
from actors.store.schema import migrate

T = TypeVar("T")

READERS: Final = 2
BUSY_TIMEOUT_MS: Final = 1000
READER_WAIT_S: Final = 30.0
CLOSE_WAIT_S: Final = 2.0
KEYS_MAX: Final = 200_000
"""Chat keys kept in memory; beyond it they are looked up again."""
WAL_PAGES: Final = 4000
"""Pages in the write-ahead log before SQLite copies them into the file: 16 MiB, where its own default is 4 MiB."""

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
        self._readers: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        self._epoch = 0
        self._keys: dict[str, int] = {}
        self.bytes_written = 0

    @override
    async def open(self, *, takeover: bool) -> Opened:
        return await self._offload.run(lambda: self._open(takeover))

    @override
    async def commit(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        return await self._offload.run(lambda: self._write(entries))

    @override
    async def load(self, chat_id: ChatId) -> SessionState | None:
        return await self._read(lambda db: _load(db, chat_id))

    @override
    async def find(self, chat_id: ChatId, message_id: str) -> Found | None:
        return await self._read(lambda db: _find(db, chat_id, message_id))

    @override
    async def events(self, chat_id: ChatId, after: int, rows_max: int) -> tuple[Event, ...]:
        return await self._read(lambda db: _events(db, chat_id, after, rows_max))

    @override
    async def messages(self, chat_id: ChatId, before_turn: int | None, rows_max: int) -> Page:
        return await self._read(lambda db: _messages(db, chat_id, before_turn, rows_max))

    @override
    async def sessions(self, after: str, rows_max: int) -> tuple[ChatId, ...]:
        statement = "SELECT chat_id FROM session WHERE chat_id > ? ORDER BY chat_id LIMIT ?"
        return await self._read(
            lambda db: tuple(ChatId(str(row[0])) for row in db.execute(statement, (after, rows_max)))
        )

    @override
    async def close(self) -> None:
        await self._offload.run(self._close)

    async def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do one unit of reading on one of the readers, in one transaction."""

        def read() -> T:
            try:
                reader = self._readers.get(timeout=READER_WAIT_S)
            except queue.Empty:
                message = "no reader of the store is free"
                raise StoreUnavailableError(message, hint="the store is closed, or the disk hangs") from None
            try:
                with _translated("read"), _snapshot(reader):
                    return work(reader)
            finally:
                self._readers.put(reader)

        return await self._offload.run(read)

    def _open(self, takeover: bool) -> Opened:  # noqa: FBT001 - private, and passed on as it came
        """Open the file as its owner."""
        self._ownership.acquire(takeover=takeover)
        try:
            with _translated("open"):
                writer = self._writer = _connect(self._path)
                writer.execute("BEGIN IMMEDIATE")
                epoch = _integer(writer.execute("UPDATE owner SET epoch = epoch + 1 RETURNING epoch").get)
                writer.execute("COMMIT")
                for _ in range(READERS):
                    self._readers.put(_connect_reader(self._path))
                self._epoch = epoch
                return _opened(writer, epoch)
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        """Close every connection; one that a hung write still uses is left to the end of the process."""
        if not self._writing.acquire(timeout=CLOSE_WAIT_S):
            return  # the lock stays ours, since that write may still reach the disk
        try:
            while True:
                try:
                    self._readers.get_nowait().close()
                except queue.Empty:
                    break
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._ownership.release()
        finally:
            self._writing.release()

    def _write(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        """Write one group: first as if nothing conflicts, and entry by entry only if something does."""
        with self._writing, _translated("commit"):
            if self._writer is None:
                message = "the store is closed"
                raise StoreUnavailableError(message)
            if self._transact(self._writer, entries):
                return [Committed()] * len(entries)
            outcomes = [self._check(self._writer, entry) for entry in entries]
            good = [entry for entry, outcome in zip(entries, outcomes, strict=True) if outcome is None]
            if good and not self._transact(self._writer, good):
                message = "sessions changed under the writer"
                raise StoreCorruptError(message, hint="another program writes to the store")
            return [Committed() if outcome is None else outcome for outcome in outcomes]

    def _transact(self, writer: apsw.Connection, entries: Sequence[Entry]) -> bool:
        """Write all entries in one transaction, or none of them; False if one does not follow its session."""
        made: list[str] = []
        done = False
        writer.execute("BEGIN IMMEDIATE")
        try:
            epoch = writer.execute("SELECT epoch FROM owner").get
            if epoch != self._epoch:
                message = f"epoch {self._epoch} was taken over by epoch {epoch}"
                raise StoreFencedError(message, hint="open the store again, in one process only")
            rows = Rows()
            for entry in entries:
                if isinstance(entry, Append):
                    chat = self._key(writer, entry.chat_id, made)
                    rows.add(chat, entry.expected_seq, entry.events)
                else:
                    self._erase(writer, entry)
            before = writer.total_changes()
            _execute(writer, UPDATE_SESSION, rows.sessions)
            done = writer.total_changes() - before == len(rows.sessions)
            if done:
                for statement in ORDER:
                    _execute(writer, statement, rows.by_statement[statement])
                writer.execute("COMMIT")
        finally:
            if not done or not writer.get_autocommit():
                for chat_id in made:
                    self._keys.pop(chat_id, None)
            if not writer.get_autocommit():
                writer.execute("ROLLBACK")
        return done

    def _key(self, writer: apsw.Connection, chat_id: ChatId, made: list[str]) -> int:
        """Find the key of a session, or make the session."""
        key = self._keys.get(chat_id)
        if key is None:
            found = writer.execute("SELECT chat FROM session WHERE chat_id=?", (chat_id,)).get
            if found is None:
                insert = "INSERT INTO session (chat_id, seq, turns) VALUES (?,0,0)"
                writer.execute(insert, (chat_id,))
                found = writer.last_insert_rowid()
                made.append(chat_id)
            if len(self._keys) >= KEYS_MAX:
                self._keys.clear()
            key = self._keys[chat_id] = _integer(found)
        return key

    def _erase(self, writer: apsw.Connection, entry: Erase) -> None:
        """Remove a session; its rows go with it by their foreign keys."""
        self._keys.pop(entry.chat_id, None)
        writer.execute("DELETE FROM session WHERE chat_id=?", (entry.chat_id,))
        writer.execute("INSERT OR REPLACE INTO tombstone VALUES (?,?)", (entry.chat_id, entry.at_s))

    def _check(self, writer: apsw.Connection, entry: Entry) -> Outcome | None:
        """Say why an entry cannot be written: it conflicts, or it was written already; None if it can."""
        if isinstance(entry, Erase):
            return None
        row = writer.execute("SELECT chat, seq FROM session WHERE chat_id=?", (entry.chat_id,)).fetchone()
        chat, seq = (0, 0) if row is None else (_integer(row[0]), _integer(row[1]))
        if seq == entry.expected_seq:
            return None
        stored = _stored(writer, chat, entry.expected_seq, len(entry.events), entry.chat_id)
        return Committed() if stored == entry.events else Conflict(seq)


@contextmanager
def _translated(operation: str) -> Iterator[None]:
    """Turn what SQLite raises into errors of ours, with the operation and what to do."""
    try:
        yield
    except StoreError:
        raise
    except (apsw.CorruptError, apsw.NotADBError) as error:
        message = f"the store cannot {operation}: {error}"
        raise StoreSchemaError(message, hint="the file is no store or is damaged; restore a copy") from error
    except (apsw.ConstraintError, apsw.MismatchError) as error:
        message = f"the store cannot {operation}: {error}"
        raise StoreCorruptError(message, hint="run `actors doctor` on the store") from error
    except apsw.Error as error:
        hint = next((hint for kind, hint in _HINTS if isinstance(error, kind)), "see the cause")
        message = f"the store cannot {operation}: {error}"
        raise StoreUnavailableError(message, hint=hint) from error


@contextmanager
def _snapshot(reader: apsw.Connection) -> Iterator[None]:
    """Let several statements see one moment."""
    reader.execute("BEGIN")
    try:
        yield
    finally:
        if not reader.get_autocommit():
            reader.execute("ROLLBACK")


def _connect(path: Path) -> apsw.Connection:
    """Open the writing connection and check that every setting took."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    answer = connection.pragma("journal_mode", "wal")
    if answer != "wal":  # on an I/O error SQLite stays in another mode and says so only here
        message = f"the store cannot use a write-ahead log (journal mode is {answer})"
        raise StoreUnavailableError(message, hint="put the store on a local disk")
    connection.pragma("synchronous", "full")
    connection.pragma("foreign_keys", "on")
    connection.pragma("wal_autocheckpoint", WAL_PAGES)
    migrate(connection)
    return connection


def _connect_reader(path: Path) -> apsw.Connection:
    """Open a connection that can only read, and never moves the log into the file."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.pragma("wal_autocheckpoint", 0)
    return connection


def _opened(db: apsw.Connection, epoch: int) -> Opened:
    """Read what a runtime must know of a store before it takes anything."""
    chats = frozenset(ChatId(str(row[0])) for row in db.execute("SELECT chat_id FROM session"))
    tombstones = frozenset(ChatId(str(row[0])) for row in db.execute("SELECT chat_id FROM tombstone"))
    unfinished = db.execute(
        "SELECT chat_id FROM session WHERE chat IN (SELECT DISTINCT chat FROM turn WHERE ended_seq IS NULL)"
    )
    return Opened(epoch, chats, tombstones, tuple(ChatId(str(row[0])) for row in unfinished))


def _execute(db: apsw.Connection, statement: str, rows: list[Row]) -> None:
    """Run one statement for many rows."""
    if rows:
        db.executemany(statement, rows)


def _integer(value: object) -> int:
    """Take a value that the schema says is an integer."""
    if not isinstance(value, int):
        message = f"a column holds {type(value).__name__} where an integer belongs"
        raise StoreCorruptError(message)
    return value


def _load(db: apsw.Connection, chat_id: ChatId) -> SessionState | None:
    """Read what is open in a session."""
    row = db.execute("SELECT chat, seq, turns, state FROM session WHERE chat_id=?", (chat_id,)).fetchone()
    if row is None:
        return None
    chat, seq = _integer(row[0]), _integer(row[1])
    last = db.execute("SELECT max(seq) FROM event WHERE chat=?", (chat,)).get or 0
    if last != seq:
        message = f"the session ends at {seq}, its journal at {last}"
        raise StoreCorruptError(message, chat_id=chat_id, hint="run `actors doctor` on the store")
    running: RunningTurn | None = None
    queued: list[QueuedTurn] = []
    unfinished = db.execute(
        "SELECT turn, status, attempt, accepted_seq FROM turn WHERE chat=? AND ended_seq IS NULL ORDER BY turn",
        (chat,),
    ).fetchall()
    for turn, status, attempt, accepted_seq in unfinished:
        body = _body_at(db, chat, _integer(accepted_seq), chat_id)
        if not isinstance(body, MessageAccepted) or body.turn != turn:
            message = f"turn {turn} points to an event that does not accept it"
            raise StoreCorruptError(message, chat_id=chat_id)
        begun = _integer(attempt)
        item = QueuedTurn(
            body.turn, body.message_id, body.text, body.sender, body.deadline_s, begun, _integer(accepted_seq)
        )
        if status == TurnStatus.QUEUED.value:
            queued.append(item)
        else:
            running = _running(db, chat, item, begun, chat_id)
    state = None if row[3] is None else str(row[3])
    return SessionState(chat_id, seq, _integer(row[2]), running, tuple(queued), state)


def _running(db: apsw.Connection, chat: int, queued: QueuedTurn, attempt: int, chat_id: ChatId) -> RunningTurn:
    """Read what the running attempt has on disk."""
    key = (chat, queued.turn, attempt)
    of_attempt = "WHERE chat=? AND turn=? AND attempt=?"
    part = db.execute(
        f"SELECT position, part, kind, characters FROM part {of_attempt} AND status='streaming'", key
    ).fetchone()
    calls = db.execute(
        f"SELECT call, call_id, name FROM tool_call {of_attempt} AND status='running' ORDER BY call", key
    ).fetchall()
    prompts = db.execute(f"SELECT opened_seq FROM prompt {of_attempt} AND status='open' ORDER BY prompt", key)
    opened = [_body_at(db, chat, _integer(row[0]), chat_id) for row in prompts.fetchall()]
    totals = [
        _integer(db.execute(f"SELECT coalesce(max({column}), -1) + 1 FROM {table} {of_attempt}", key).get)
        for table, column in (("message", "position"), ("tool_call", "call"), ("prompt", "prompt"))
    ]
    return RunningTurn(
        queued,
        attempt,
        totals[0],
        None if part is None else OpenPart(_integer(part[0]), _integer(part[1]), str(part[2]), _integer(part[3])),
        tuple(OpenCall(_integer(call[0]), str(call[1]), str(call[2])) for call in calls),
        totals[1],
        tuple(
            OpenPrompt(body.prompt, body.type, body.question, body.choices)
            for body in opened
            if isinstance(body, PromptOpened)
        ),
        totals[2],
    )


def _body_at(db: apsw.Connection, chat: int, seq: int, chat_id: ChatId) -> object:
    """Read one event body."""
    events = _stored(db, chat, seq - 1, 1, chat_id)
    if not events or events[0].seq != seq:
        message = f"event {seq} is missing"
        raise StoreCorruptError(message, chat_id=chat_id)
    return events[0].body


def _stored(db: apsw.Connection, chat: int, after: int, rows_max: int, chat_id: ChatId) -> tuple[Event, ...]:
    """Read events of one session by its key."""
    rows = db.execute(
        "SELECT seq, epoch, at_s, version, body FROM event WHERE chat=? AND seq>? ORDER BY seq LIMIT ?",
        (chat, after, rows_max),
    )
    try:
        return tuple(
            Event(chat_id, _integer(seq), _integer(epoch), float(at_s), decode_body(body, _integer(version)))
            for seq, epoch, at_s, version, body in rows
        )
    except StoreCorruptError as error:
        raise StoreCorruptError(str(error), chat_id=chat_id) from error


def _events(db: apsw.Connection, chat_id: ChatId, after: int, rows_max: int) -> tuple[Event, ...]:
    """Read events of one session by its id."""
    chat = db.execute("SELECT chat FROM session WHERE chat_id=?", (chat_id,)).get
    return () if chat is None else _stored(db, _integer(chat), after, rows_max, chat_id)


def _find(db: apsw.Connection, chat_id: ChatId, message_id: str) -> Found | None:
    """Read what became of the message with a key."""
    row = db.execute(
        "SELECT turn.turn, turn.accepted_seq, turn.status, turn.reason, turn.error"
        " FROM session JOIN message USING (chat) JOIN turn USING (chat, turn)"
        " WHERE chat_id=? AND message_id=? AND role='user'",
        (chat_id, message_id),
    ).fetchone()
    if row is None:
        return None
    return Found(_integer(row[0]), _integer(row[1]), str(row[2]), str(row[3]), str(row[4]))


def _messages(db: apsw.Connection, chat_id: ChatId, before_turn: int | None, rows_max: int) -> Page:
    """Read whole ended turns, newest first, until the page is full; fold their events into messages."""
    chat = db.execute("SELECT chat FROM session WHERE chat_id=?", (chat_id,)).get
    if chat is None:
        return Page((), None)
    before = (1 << 62) if before_turn is None else before_turn
    turns = db.execute(
        "SELECT turn, accepted_seq, ended_seq, attempt FROM turn"
        " WHERE chat=? AND turn<? AND ended_seq IS NOT NULL ORDER BY turn DESC LIMIT ?",
        (chat, before, rows_max),
    ).fetchall()
    count = "SELECT count(*) FROM message WHERE chat=? AND turn=? AND attempt IN (0, ?)"
    taken: list[tuple[int, int, int]] = []
    rows = 0
    for turn, accepted_seq, ended_seq, attempt in turns:
        rows += _integer(db.execute(count, (chat, turn, attempt)).get)
        if taken and rows > rows_max:
            break
        taken.append((_integer(turn), _integer(accepted_seq), _integer(ended_seq)))
    whole = len(taken) == len(turns) < rows_max
    transcript = Transcript()
    key = _integer(chat)
    if whole and before > 0:
        for event in _between(db, key, 0, _first_accepted(db, key), chat_id):
            transcript.add(event)
    wanted = {turn for turn, _, _ in taken}
    if taken:
        first, last = min(item[1] for item in taken), max(item[2] for item in taken)
        for event in _between(db, key, first - 1, last, chat_id):
            if getattr(event.body, "turn", None) in wanted:
                transcript.add(event)
    messages = tuple(sorted(transcript.messages(), key=lambda message: message.turn))
    return Page(messages, None if whole else min(wanted, default=0))


def _first_accepted(db: apsw.Connection, chat: int) -> int:
    """Say before which event the seeds of a session end."""
    found = db.execute("SELECT accepted_seq FROM turn WHERE chat=? ORDER BY turn LIMIT 1", (chat,)).get
    return (1 << 62) if found is None else _integer(found) - 1


def _between(db: apsw.Connection, chat: int, after: int, last: int, chat_id: ChatId) -> Iterator[Event]:
    """Read the events after one number up to another, in pages."""
    while True:
        page = _stored(db, chat, after, 1000, chat_id)
        for event in page:
            if event.seq > last:
                return
            yield event
        if len(page) < 1000:  # noqa: PLR2004 - the page size two lines above
            return
        after = page[-1].seq
