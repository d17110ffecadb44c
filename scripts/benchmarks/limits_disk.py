"""Limits on the disk: what durable accepts, turns, reads and syncs cost before anything is promised.

The rows are those of a plain table of events. To hold ours against a limit with *the same rows*,
make a ``Workload`` of them and call ``register_durable("same-rows", workload)``.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

import apsw
import attrs
import trio

from scripts.benchmarks.group_commit import (
    Entry,
    GroupCommit,
    Row,
    Rows,
    Workload,
    open_database,
    prepare,
)
from scripts.benchmarks.harness import Figures, Settings, limit, percentile, run_bounded
from scripts.benchmarks.machine import append_ms

CLIENTS = 1_000
ACCEPTS_EACH = 60
TURNS_EACH = 40
TURNS_ALONE = 500

SESSIONS = 10_000
HISTORY_CHATS = 10_000
HISTORY_ROWS = 100
HISTORY_READ_ROWS = 60
READS = 2_000
LISTS = 20

BODY = '{"text":"' + "x" * 89 + '"}'
"""About a hundred bytes, as a short message with its braces."""

EVENT_TABLE = (
    """CREATE TABLE event (id INTEGER PRIMARY KEY, chat INTEGER NOT NULL, seq INTEGER NOT NULL,
    type TEXT NOT NULL, body TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX event_by_seq ON event (chat, seq)",
)
"""A rowid table with an index: clustering it by (chat, seq) halves what a batch writes."""

INSERT_EVENT = "INSERT INTO event (chat, seq, type, body) SELECT value->>0, value->>1, value->>2, value->>3 FROM {rows}"


def _accepted(chat: int, turn: int) -> list[Row]:
    return [(chat, 2 * turn, "accepted", BODY)]


def _completed(chat: int, turn: int) -> list[Row]:
    return [(chat, 2 * turn + 1, "completed", BODY)]


def _both(chat: int, turn: int) -> list[Row]:
    return _accepted(chat, turn) + _completed(chat, turn)


TWO_ROWS = Workload(EVENT_TABLE, ((Rows(INSERT_EVENT, _both),),))
"""One commit of two rows."""

TWO_COMMITS = Workload(EVENT_TABLE, ((Rows(INSERT_EVENT, _accepted),), (Rows(INSERT_EVENT, _completed),)))
"""A turn: it is accepted, then it is completed, one row and one commit each."""


@attrs.frozen
class Durable:
    """What a run of durable turns measured."""

    turns_per_s: float
    commits_per_s: float
    rows_per_s: float
    batch: float
    p50_ms: float
    p99_ms: float
    bytes_per_turn: float

    def more(self) -> dict[str, float]:
        """Give what stands beside the rate."""
        return {
            "rows/s": self.rows_per_s,
            "entries a commit": self.batch,
            "p50 ms": self.p50_ms,
            "p99 ms": self.p99_ms,
            "bytes a turn": self.bytes_per_turn,
        }


def register_durable(label: str, turn: Workload, accept: Workload | None = None) -> None:
    """Register the limits of these rows: ``accept-…``, ``turns-…`` and ``turn-alone-…``.

    ``accept`` is what ``accept-…`` writes; without it, the first commit of a turn.
    """
    first = accept or Workload(turn.schema, turn.commits[:1])

    @limit(
        f"accept-{label}",
        f"group commit, {CLIENTS:,} tasks, each waits for its own",
        "commits/s",
        higher_is_better=True,
    )
    def run_accept(settings: Settings) -> Figures:
        durable = _run(first, settings, CLIENTS, settings.scaled(ACCEPTS_EACH))
        return Figures(durable.commits_per_s, durable.more())

    @limit(
        f"turns-{label}",
        f"group commit, {CLIENTS:,} tasks, {len(turn.commits)} commits a turn",
        "turns/s",
        higher_is_better=True,
    )
    def run_turns(settings: Settings) -> Figures:
        durable = _run(turn, settings, CLIENTS, settings.scaled(TURNS_EACH))
        return Figures(durable.turns_per_s, durable.more())

    @limit(
        f"turn-alone-{label}",
        f"one turn after the other, {len(turn.commits)} commits each",
        "ms",
        higher_is_better=False,
    )
    def run_alone(settings: Settings) -> Figures:
        durable = _run(turn, settings, 1, settings.scaled(TURNS_ALONE))
        return Figures(durable.p50_ms, {"p99 ms": durable.p99_ms, "turns/s": durable.turns_per_s})


register_durable("group", TWO_COMMITS, TWO_ROWS)


@limit(
    "turn-alone-inline",
    "the same, committing on the loop: no thread, everybody else waits",
    "ms",
    higher_is_better=False,
)
def turn_alone_inline(settings: Settings) -> Figures:
    """Commit on the thread that asks: what a sync costs when nothing has to be handed over."""
    took_ms = []
    with _database(settings, EVENT_TABLE) as (connection, _path):
        write = prepare(connection, TWO_COMMITS.statements())
        accept, complete = TWO_COMMITS.makers()
        for turn in range(settings.scaled(TURNS_ALONE)):
            started_s = perf_counter()
            write([accept(0, turn)])
            write([complete(0, turn)])
            took_ms.append((perf_counter() - started_s) * 1e3)
    return Figures(percentile(took_ms, 50), {"p99 ms": percentile(took_ms, 99)})


@limit("history-60", "select 60 rows by (chat, seq)", "ms", higher_is_better=False)
def history_60(settings: Settings) -> Figures:
    """Read the last rows of one chat after another from a table of a million rows."""
    connection = apsw.Connection(str(_history(settings)), flags=apsw.SQLITE_OPEN_READONLY)
    chats = settings.scaled(HISTORY_CHATS)
    first = HISTORY_ROWS - HISTORY_READ_ROWS
    took_ms = []
    for number in range(settings.scaled(READS)):
        chat = number * 7919 % chats  # a prime: chats far apart, each in turn
        started_s = perf_counter()
        rows = connection.execute(
            "SELECT seq, type, body FROM event WHERE chat = ? AND seq >= ? ORDER BY seq LIMIT ?",
            (chat, first, HISTORY_READ_ROWS),
        ).fetchall()
        took_ms.append((perf_counter() - started_s) * 1e3)
        assert len(rows) == HISTORY_READ_ROWS
    connection.close()
    return Figures(percentile(took_ms, 50), {"p99 ms": percentile(took_ms, 99)})


@limit("list-10k", "select all of 10,000 sessions", "ms", higher_is_better=False)
def list_10k(settings: Settings) -> float:
    """List every session with its title, state and time, as a start page needs them."""
    connection = apsw.Connection(str(_history(settings)), flags=apsw.SQLITE_OPEN_READONLY)
    took_ms = []
    for _ in range(settings.scaled(LISTS)):
        started_s = perf_counter()
        rows = connection.execute("SELECT chat_id, title, state, updated FROM session").fetchall()
        took_ms.append((perf_counter() - started_s) * 1e3)
        assert len(rows) == SESSIONS
    connection.close()
    return percentile(took_ms, 50)


@limit("fsync", "append 4 KiB and sync", "ms", higher_is_better=False)
def fsync(settings: Settings) -> Figures:
    """Sync small appends to a growing file; a log that is written over again syncs faster."""
    took_ms = append_ms(settings.directory)
    return Figures(percentile(took_ms, 50), {"p99 ms": percentile(took_ms, 99)})


def _run(workload: Workload, settings: Settings, clients: int, turns_each: int) -> Durable:
    """Let clients take their turns against a file of their own; check that each row is in it."""
    with _database(settings, workload.schema) as (connection, path):
        write = prepare(connection, workload.statements())
        before = _file_bytes(path)
        changes = connection.total_changes()
        took_ms: list[float] = []
        run = partial(_take_turns, write, workload, clients, turns_each, took_ms)
        took_s, batches = run_bounded(run)
        rows = _rows_asked_for(workload) * clients * turns_each
        assert connection.total_changes() - changes >= rows, "a row is missing"
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Durable(
            turns_per_s=clients * turns_each / took_s,
            commits_per_s=sum(batches) / took_s,
            rows_per_s=rows / took_s,
            batch=sum(batches) / len(batches),
            p50_ms=percentile(took_ms, 50),
            p99_ms=percentile(took_ms, 99),
            bytes_per_turn=(_file_bytes(path) - before) / (clients * turns_each),
        )


async def _take_turns(
    write: Callable[[list[Entry]], None],
    workload: Workload,
    clients: int,
    turns_each: int,
    took_ms: list[float],
) -> tuple[float, list[int]]:
    """Run the clients at once, each waiting for every commit; give the seconds and the batches."""
    group = GroupCommit(write)
    makers = workload.makers()

    async def client(chat: int) -> None:
        for turn in range(turns_each):
            started_s = perf_counter()
            for make in makers:
                await group.commit(make(chat, turn))
            took_ms.append((perf_counter() - started_s) * 1e3)

    started_s = perf_counter()
    try:
        async with trio.open_nursery() as nursery:
            for chat in range(clients):
                nursery.start_soon(client, chat)
        return perf_counter() - started_s, group.batches
    finally:
        group.close()


@contextmanager
def _database(settings: Settings, schema: tuple[str, ...]) -> Iterator[tuple[apsw.Connection, Path]]:
    """Open an empty database in a folder of its own, and remove both."""
    with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
        path = Path(folder) / "limit.db"
        connection = open_database(path, schema)
        try:
            yield connection, path
        finally:
            connection.close()


def _history(settings: Settings) -> Path:
    """Give a database of long histories, whose chats took turns; made once in a folder."""
    chats = settings.scaled(HISTORY_CHATS)
    path = settings.directory / f"history-{chats}.db"
    if path.exists():
        return path
    session = "CREATE TABLE session (chat_id TEXT PRIMARY KEY, title TEXT, state TEXT, updated REAL)"
    unfinished = path.with_suffix(".part")
    connection = open_database(unfinished, (*EVENT_TABLE, session))
    numbers = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)"
    with connection:
        connection.execute(
            f"{numbers} INSERT INTO event (chat, seq, type, body)"  # noqa: S608  # no one's words
            " SELECT i % ?, i / ?, 'message', ? FROM n",
            (chats * HISTORY_ROWS, chats, chats, BODY),
        )
        connection.execute(
            f"{numbers} INSERT INTO session"  # noqa: S608  # no one's words
            " SELECT printf('live:%032d', i), 'title of ' || i, 'idle', i * 1.5 FROM n",
            (SESSIONS,),
        )
    connection.close()
    return unfinished.rename(path)


def _rows_asked_for(workload: Workload) -> int:
    """Count the rows of a turn."""
    return sum(len(rows.columns(0, 0)) for commit in workload.commits for rows in commit)


def _file_bytes(path: Path) -> int:
    """Measure the file of a database without its log."""
    return path.stat().st_size
