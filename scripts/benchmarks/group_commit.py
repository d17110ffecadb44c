"""The fastest sound group commit we know how to write for trio and SQLite: the bar for ours.

A thread of its own takes what is pending and writes it as **one statement that is its own
transaction**. Each step of SQLite lets go of the interpreter lock, and while the loop computes it
takes up to a switch interval (5 ms) to get it back; so a transaction of many steps stands still as
soon as the loop has work, and one of a single step does not. The rows travel as JSON text. Where
there are several statements, an ``INSTEAD OF`` trigger on a temporary view runs them in that step.

It is sound: an entry is answered after the commit that holds it, a failed commit is raised to
everybody in it, and a batch is in the file whole or not at all. What it leaves out is what ours
adds: retries, degraded operation, fencing, numbering, accounts.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import apsw
import attrs
import msgspec
import outcome
import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

Row = tuple[object, ...]
Entry = Sequence[Sequence[Row]]
"""What one commit asks for: for each statement of the workload, its rows (often none)."""

Columns = Callable[[int, int], Sequence[Row]]
"""The rows that the n-th turn of a chat gives a statement: ``columns(chat, n)``."""

ENTRIES_MAX = 256
"""At most so many in a transaction: 128 and 512 were slower, and each made the loop's turn longer."""

ENTRIES_MIN = 32
"""Fewer are not split in two: a second sync would cost more than the halves gain by overlapping."""

CACHE_KIB = 65_536
"""Room for the pages a run touches, so that what is measured is writing and not reading."""

CHECKPOINT_PAGES = 4_000
"""The log is moved into the file every 16 MB: a tenth faster than SQLite's 1,000 pages, and no
slower at the 99th percentile than 16,000."""


@attrs.frozen
class Rows:
    """A statement over a set of rows, and the rows that the n-th turn of a chat gives it.

    ``sql`` names the set ``{rows}`` and a column ``value->>0``, ``value->>1``, …; for instance
    ``INSERT INTO note (chat, text) SELECT value->>0, value->>1 FROM {rows}``. The columns are
    text, numbers or None; bytes do not fit into JSON (``CAST(value->>0 AS BLOB)`` for text as BLOB).
    """

    sql: str
    columns: Columns


@attrs.frozen
class Workload:
    """The tables, and the commits of one turn in their order, each with what it writes."""

    schema: tuple[str, ...]
    commits: tuple[tuple[Rows, ...], ...]

    def statements(self) -> tuple[str, ...]:
        """Give each different statement once, in the order in which it is first needed."""
        return tuple(dict.fromkeys(rows.sql for commit in self.commits for rows in commit))

    def makers(self) -> list[Callable[[int, int], Entry]]:
        """Make, for each commit of a turn, the function that gives what it asks for."""
        statements = self.statements()
        return [partial(_entry, _columns(commit, statements)) for commit in self.commits]


def open_database(path: Path, schema: Sequence[str]) -> apsw.Connection:
    """Open a file with a write-ahead log and full syncs, and make its tables."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    for sql in schema:
        connection.execute(sql)
    return connection


def prepare(connection: apsw.Connection, statements: Sequence[str]) -> Callable[[list[Entry]], None]:
    """Make the function that writes a batch in one step; it is called by one thread only."""
    encode = msgspec.json.Encoder().encode
    cursor = connection.cursor()
    if len(statements) == 1:
        sql = statements[0].format(rows="jsonb_each(?)")
    else:
        names = [f"set_{number}" for number in range(len(statements))]
        nothing = ", ".join("NULL" for _ in names)
        body = "; ".join(
            sql.format(rows=f"jsonb_each(new.{name})") for sql, name in zip(statements, names, strict=True)
        )
        connection.execute(f"CREATE TEMP VIEW batch ({', '.join(names)}) AS SELECT {nothing}")
        connection.execute(f"CREATE TEMP TRIGGER write_batch INSTEAD OF INSERT ON batch BEGIN {body}; END")
        sql = f"INSERT INTO batch VALUES ({', '.join('?' for _ in names)})"  # noqa: S608  # ours

    def write(batch: list[Entry]) -> None:
        sets = zip(*batch, strict=True)
        cursor.execute(sql, tuple(encode(list(chain.from_iterable(rows))).decode() for rows in sets))

    return write


class GroupCommit:
    """Commits of many tasks, written together by one thread. Made and closed inside trio.

    ``pending`` is a deque because two threads share it: taking entries from its left is atomic,
    where putting an empty list in the place of a full one would lose what is being appended.
    """

    def __init__(self, write: Callable[[list[Entry]], None]) -> None:
        self.batches: list[int] = []
        self._write = write
        self._pending: deque[tuple[Entry, Task]] = deque()
        self._idle = True  # touched by the loop alone
        self._closing = False
        self._wake = threading.Lock()
        self._wake.acquire()
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    async def commit(self, entry: Entry) -> None:
        """Return once this entry is in the file; it cannot be withdrawn.

        Raises:
            apsw.Error: the transaction that held this entry failed as a whole.
        """
        self._pending.append((entry, current_task()))
        if self._idle:
            self._idle = False
            self._wake.release()
        await wait_task_rescheduled(_wait_on)

    def close(self) -> None:
        """End the thread; nobody may be waiting for a commit any more."""
        assert not self._pending, "closed while entries are pending"
        self._closing = True
        self._wake.release()
        self._thread.join()

    def _run(self) -> None:
        """Write until there is nothing left, then sleep until woken."""
        while True:
            self._wake.acquire()
            just_written = 0
            while waiting := len(self._pending):
                size = min(waiting, ENTRIES_MAX, share(just_written, waiting))
                batch = [self._pending.popleft() for _ in range(size)]
                result = outcome.capture(self._write, [entry for entry, _task in batch])
                self._token.run_sync_soon(_answer, batch, result)
                self.batches.append(size)
                just_written = size
            if self._closing:
                return
            self._token.run_sync_soon(self._fall_asleep)

    def _fall_asleep(self) -> None:
        """Note on the loop that the thread sleeps, unless something came in the meantime."""
        if self._pending:
            self._wake.release()
        else:
            self._idle = True


def _columns(commit: tuple[Rows, ...], statements: tuple[str, ...]) -> list[Columns | None]:
    """Find the columns that a commit has for each statement, or that it has none."""
    given = {rows.sql: rows.columns for rows in commit}
    return [given.get(sql) for sql in statements]


def _entry(columns: list[Columns | None], chat: int, turn: int) -> Entry:
    """Make what one commit of one turn asks for."""
    return [make(chat, turn) if make else () for make in columns]


def share(just_written: int, waiting: int) -> int:
    """Take about half of everybody: one half computes while the other half is written."""
    return max(ENTRIES_MIN, (just_written + waiting + 1) // 2)


def _answer(batch: list[tuple[Entry, Task]], result: "outcome.Value[None] | outcome.Error") -> None:
    """Wake, on the loop, everybody whose entry was in a batch."""
    for _entry, task in batch:
        if isinstance(result, outcome.Error):
            reschedule(task, outcome.Error(result.error))
        else:
            reschedule(task)


def _wait_on(_raise_cancel: object) -> Abort:
    """Let a task wait for its commit, which is sure to be answered."""
    return Abort.FAILED
