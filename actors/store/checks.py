"""Looking at a store from outside, whoever owns it: what it lists, and whether what it says agrees with itself.

Everything here only reads. The journal is the truth: a projection is held against the same ``evolve`` and the same
``Transcript`` that the runtime folds events with.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw
import attrs

from actors.core.codec import decode_body
from actors.core.events import (
    AttemptInterrupted,
    AttemptSetAside,
    Event,
    HistoryTruncated,
    MessageAccepted,
    QueueReordered,
    SessionMigrated,
    TurnEnded,
    TurnStarted,
)
from actors.core.ids import ChatId
from actors.core.lifecycle import TurnStatus
from actors.core.spending import Usage
from actors.core.state import SessionState, evolve
from actors.core.transcript import Message, Transcript
from actors.errors import ActorsError, StoreError
from actors.ports import Alias
from actors.store import queries
from actors.store.schema import MIGRATIONS, schema_version
from actors.store.sqlite import BUSY_TIMEOUT_MS, connect_reader, snapshot, translated

NAMED_MAX: Final = 5
"""Faults of one kind that are told one by one; the rest is a number."""

_SESSIONS: Final = """
    SELECT chat_id, seq, turns,
        (SELECT count(*) FROM turn WHERE turn.chat = session.chat AND ended_seq IS NULL),
        (SELECT count(*) FROM turn WHERE turn.chat = session.chat AND ended_seq IS NULL AND status = 'running'),
        EXISTS (SELECT 1 FROM turn JOIN tool_call USING (chat, turn, attempt)
            WHERE turn.chat = session.chat AND turn.ended_seq IS NULL AND tool_call.status = 'running')
        OR EXISTS (SELECT 1 FROM turn JOIN prompt USING (chat, turn)
            WHERE turn.chat = session.chat AND turn.status = 'running' AND prompt.status = 'open'),
        coalesce((SELECT at_s FROM event WHERE event.chat = session.chat AND event.seq = session.seq), 0.0)
    FROM session ORDER BY chat_id
"""
_TURNS: Final = """
    SELECT turn, status, attempt, accepted_seq, ended_seq, reason, error, first_attempt, coalesce(place, turn), hidden
    FROM turn WHERE chat=? ORDER BY turn
"""
_SESSION: Final = """
    SELECT chat, parent IS NOT NULL, closed, tokens, cost_millionths, turns_before, seq, turns, state, overlap, paused
    FROM session WHERE chat_id=?
"""
_MESSAGES: Final = """
    SELECT message.turn, message.attempt, message.seq, role, message_id, kind, status, characters
    FROM message LEFT JOIN part USING (chat, turn, attempt, position)
    WHERE message.chat=? AND (taken IS NULL OR taken >= 0) ORDER BY message.turn, message.attempt, position, part
"""
_USED_TWICE: Final = """
    SELECT chat_id FROM (
        SELECT chat_id FROM session UNION ALL SELECT chat_id FROM alias UNION ALL SELECT chat_id FROM tombstone
    ) GROUP BY chat_id HAVING count(*) > 1
"""
_MOVED: Final = """
    SELECT chat, chat_id FROM session WHERE chat IN (SELECT chat FROM alias)
    OR chat IN (SELECT chat FROM event WHERE body LIKE '{"kind":"session.migrated"%') ORDER BY chat_id
"""
_MIGRATIONS: Final = """
    SELECT body FROM event WHERE chat=? AND body LIKE '{"kind":"session.migrated"%' ORDER BY seq
"""


@attrs.frozen
class SessionRow:
    """One session of a store; ``at_s`` is the wall time of its last event, in seconds since 1970."""

    chat_id: ChatId
    seq: int
    turns: int
    open_turns: int
    status: str
    at_s: float


@attrs.frozen
class TurnRow:
    """One turn of a session; ``ended_seq`` is None while it is open.

    What its attempts said from ``first_attempt`` on is kept; None if only the last one counts.
    ``place`` is where it stands in the order of execution; a turn that is ``hidden`` has left the transcript.
    """

    turn: int
    status: str
    attempt: int
    accepted_seq: int
    ended_seq: int | None = None
    reason: str = ""
    error: str = ""
    first_attempt: int | None = None
    place: int = attrs.Factory(lambda row: row.turn, takes_self=True)
    hidden: bool = attrs.field(default=False, converter=bool)


@attrs.frozen
class Finding:
    """What one check came to, and what to do if it is bad."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def sqlite_version() -> str:
    """Name the version of SQLite that the store is read and written with."""
    return apsw.sqlite_lib_version()


def holds_sessions(path: Path) -> bool:
    """Say whether a file can hold sessions: False if there is none, or nobody has made a table in it yet.

    Raises StoreSchemaError for what is neither a store nor a new file.
    """
    if not path.is_file() or not path.stat().st_size:
        return False
    with translated("read"), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        db.set_busy_timeout(BUSY_TIMEOUT_MS)  # after a crash the first to read brings the log into order
        return schema_version(db) > 0


def list_sessions(path: Path) -> tuple[SessionRow, ...]:
    """List the sessions of a store in the order of their ids. Raises StoreError if it cannot be read."""
    with _reading(path) as db:
        return tuple(
            SessionRow(ChatId(chat_id), seq, turns, opened, _status(opened, running, waits), at_s)
            for chat_id, seq, turns, opened, running, waits, at_s in db.execute(_SESSIONS)
        )


def list_turns(path: Path, chat_id: ChatId) -> tuple[TurnRow, ...]:
    """List the turns of a session in their order; none for a session that is not there.

    Raises StoreError if the store cannot be read.
    """
    with _reading(path) as db:
        chat = db.execute("SELECT chat FROM session WHERE chat_id=?", (chat_id,)).get
        return tuple(TurnRow(*row) for row in db.execute(_TURNS, (chat,)))


def list_aliases(path: Path) -> tuple[Alias, ...]:
    """List the ids that sessions had before, in order, with those they have now.

    Raises StoreError if the store cannot be read.
    """
    with _reading(path) as db:
        return queries.aliases(db)


def owner_of(path: Path) -> str:
    """Name the process that owns a store, as its lock file does; empty if none on this machine does."""
    lock = path.with_name(path.name + ".lock")  # as actors.store.ownership names it
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    owner = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip()
    try:
        # A process that is gone is told by its number: to try the lock could be in the way of one that is starting.
        if _is_alive(owner.removeprefix("process ")):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return owner
    finally:
        os.close(descriptor)
    return ""


def check_store(path: Path) -> tuple[Finding, ...]:
    """Check a store from end to end; whatever is wrong with it becomes a finding."""
    try:
        with _reading(path):
            found = [Finding("schema", ok=True, detail=f"version {len(MIGRATIONS)}")]
    except StoreError as error:
        return (_failed("schema", error), _ownership(path))
    checks: tuple[tuple[str, str, Callable[[apsw.Connection], Iterator[str]]], ...] = (
        ("integrity", "restore the file from a copy", _integrity),
        ("foreign keys", "restore the file from a copy", _foreign_keys),
        ("aliases", "restore the file from a copy, or delete the sessions that are named", _aliases),
        ("numbering", "restore the file from a copy, or delete the sessions that are named", _numbering),
        ("projections", "restore the file from a copy, or delete the sessions that are named", _projections),
    )
    for name, remedy, check in checks:
        try:
            with _reading(path) as db:
                found.append(_finding(name, remedy, list(check(db))))
        except StoreError as error:
            found.append(_failed(name, error, remedy))
    return (*found, _ownership(path))


@contextmanager
def _reading(path: Path) -> Iterator[apsw.Connection]:
    """Read a store from outside, with errors of ours."""
    with closing(connect_reader(path)) as db, translated("read"):
        yield db


def _status(opened: int, running: int, waits: int) -> str:
    """Derive the status of a session from its turns."""
    if running:
        return "waiting" if waits else "running"
    return "queued" if opened else "idle"


def _is_alive(process: str) -> bool:
    """Say whether a process of this number lives on this machine; True if that cannot be known."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except (OSError, ValueError):
        return True
    return True


def _ownership(path: Path) -> Finding:
    """Say who owns the store, which is never a fault."""
    owner = owner_of(path)
    return Finding("owner", ok=True, detail=f"owned by {owner}" if owner else "owned by no process")


def _failed(name: str, error: StoreError, remedy: str = "") -> Finding:
    """Make a finding of an error, whose text ends with what to do about it."""
    detail = str(error).removesuffix(f"; {error.hint}") if error.hint else str(error)
    return Finding(name, ok=False, detail=detail, remedy=error.hint or remedy)


def _finding(name: str, remedy: str, faults: list[str]) -> Finding:
    """Sum up the faults of one kind."""
    if not faults:
        return Finding(name, ok=True, detail="ok")
    more = len(faults) - NAMED_MAX
    detail = "; ".join(faults[:NAMED_MAX]) + (f"; and {more} more" if more > 0 else "")
    return Finding(name, ok=False, detail=detail, remedy=remedy)


def _integrity(db: apsw.Connection) -> Iterator[str]:
    """Have SQLite check its pages and indexes."""
    for (answer,) in db.execute(f"PRAGMA integrity_check({NAMED_MAX})"):
        if answer != "ok":
            yield str(answer)


def _foreign_keys(db: apsw.Connection) -> Iterator[str]:
    """Have SQLite look for rows without their parent."""
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check"):
        yield f"row {row} of {table} has no {parent}"


def _aliases(db: apsw.Connection) -> Iterator[str]:
    """Look for ids that stand for more than one thing, and for sessions whose ids are not what their events say."""
    for (chat_id,) in db.execute(_USED_TWICE):
        yield f"{chat_id} stands for more than one session or tombstone"
    for chat, chat_id in list(db.execute(_MOVED)):
        bodies = [decode_body(body) for (body,) in db.execute(_MIGRATIONS, (chat,))]
        said = [body for body in bodies if isinstance(body, SessionMigrated)]
        before = sorted(str(old_id) for (old_id,) in db.execute("SELECT chat_id FROM alias WHERE chat=?", (chat,)))
        if before != sorted(body.old_id for body in said) or (said and said[-1].new_id != chat_id):
            yield f"{chat_id} has other ids than its events say"


def _numbering(db: apsw.Connection) -> Iterator[str]:
    """Look for sessions whose events are not numbered 1 to their last without a gap."""
    numbered = """
        SELECT chat_id, session.seq, count(event.seq), coalesce(min(event.seq), 0), coalesce(max(event.seq), 0)
        FROM session LEFT JOIN event USING (chat) GROUP BY session.chat ORDER BY chat_id
    """
    for chat_id, seq, count, first, last in db.execute(numbered):
        if (count, first, last) != (seq, 1, seq):
            yield f"{chat_id} is at event {seq} and has {count} events, {first} to {last}"


def _projections(db: apsw.Connection) -> Iterator[str]:
    """Look for sessions whose rows are not what their events come to."""
    chat_ids = [ChatId(str(row[0])) for row in db.execute("SELECT chat_id FROM session ORDER BY chat_id")]
    for chat_id in chat_ids:
        with snapshot(db):
            fault = _contradiction(db, chat_id)
        if fault:
            yield f"{chat_id}: {fault}"


def _contradiction(db: apsw.Connection, chat_id: ChatId) -> str:
    """Fold the events of one session and say where its rows differ first; empty if they do not."""
    row = db.execute(_SESSION, (chat_id,)).fetchone()
    if row is None:
        return ""  # it was deleted a moment ago
    chat, family, used, session = row[0], row[1:3], row[3:6], row[6:]
    state, transcript, turns = SessionState(chat_id), Transcript(), dict[int, TurnRow]()
    try:
        for event in _events(db, chat, chat_id):
            if event.seq != state.seq + 1:
                return f"event {state.seq + 1} is missing"
            _add_turn(turns, event)
            transcript.add(event)
            state = evolve(state, event.body)
        messages = _shown(transcript.messages())
    except (ActorsError, LookupError, StopIteration) as error:
        return f"no fold of its events goes beyond {state.seq} ({type(error).__name__})"
    if session[:3] != (state.seq, state.turns, state.saved):
        return f"the row says event {session[0]} of {session[1]} turns, the events {state.seq} of {state.turns}"
    if session[3:] != (state.standing.overlap, int(state.standing.paused)):
        return "what stands beside the turns is not what the events come to"
    stored_turns = {row[0]: TurnRow(*row) for row in db.execute(_TURNS, (chat,))}
    for turn in sorted(stored_turns.keys() | turns.keys()):
        if stored_turns.get(turn) != turns.get(turn):
            return f"turn {turn} is not what its events come to"
    if sorted(_open_work(db, chat)) != sorted(_open_work_of(state)):
        return "what is open is not what its events come to"
    if family != (state.standing.parent is not None, state.standing.closed):
        return "whether it has a parent, and whether that has ended, is not what its events come to"
    if Usage(*used) != state.standing.usage:
        return "what it has spent is not what its events come to"
    if _reminders(db, chat) != [(each.key, each.seq, each.tick, each.due_s) for each in state.standing.reminders]:
        return "a reminder is not what its events come to"
    stored = _stored_messages(db, chat, turns)
    differing = sorted(key for key in stored.keys() | messages.keys() if stored.get(key) != messages.get(key))
    return f"message {differing[0][0]} is not what its events come to" if differing else ""


def _events(db: apsw.Connection, chat: int, chat_id: ChatId) -> Iterator[Event]:
    """Read all events of a session, one at a time."""
    rows = db.execute("SELECT seq, epoch, at_s, version, body FROM event WHERE chat=? ORDER BY seq", (chat,))
    for seq, epoch, at_s, version, body in rows:
        yield Event(chat_id, seq, epoch, at_s, decode_body(body, version))


def _add_turn(turns: dict[int, TurnRow], event: Event) -> None:
    """Apply an event to the rows of turns."""
    body = event.body
    match body:
        case MessageAccepted() if not body.joined:
            turns[body.turn] = TurnRow(body.turn, TurnStatus.QUEUED.value, 0, event.seq)
        case TurnStarted():
            turns[body.turn] = attrs.evolve(turns[body.turn], status="running", attempt=body.attempt)
        case AttemptInterrupted():
            first = (turns[body.turn].first_attempt or body.attempt) if body.keep else None
            turns[body.turn] = attrs.evolve(
                turns[body.turn], status="queued", attempt=body.attempt, first_attempt=first
            )
        case AttemptSetAside():
            turns[body.turn] = attrs.evolve(turns[body.turn], first_attempt=None)
        case TurnEnded():
            turns[body.turn] = attrs.evolve(
                turns[body.turn],
                status=body.status.value,
                attempt=body.attempt,
                ended_seq=event.seq,
                reason=body.reason,
                error=body.error,
                hidden=body.hidden or turns[body.turn].hidden,
            )
        case HistoryTruncated():
            for row in list(turns.values()):
                if row.turn <= body.last and row.place >= body.place:
                    turns[row.turn] = attrs.evolve(row, hidden=True)
        case QueueReordered():
            for turn, place in zip(body.turns, body.places, strict=True):
                turns[turn] = attrs.evolve(turns[turn], place=place)
        case _:
            pass


def _open_work(db: apsw.Connection, chat: int) -> list[tuple[str, int, str, float]]:
    """Read which calls, prompts and messages to be taken the rows say are open, and how the running turn will end."""
    statement = """
        SELECT 'call', turn, call, -1 FROM tool_call WHERE chat=?1 AND status='running'
        UNION ALL SELECT 'prompt', turn, prompt, coalesce(expires_at_s, -1) FROM prompt WHERE chat=?1 AND status='open'
        UNION ALL SELECT 'steering', turn, message_id, -1 FROM message WHERE chat=?1 AND taken < 0
        UNION ALL SELECT 'ending', turn, ending, -1 FROM turn WHERE chat=?1 AND ended_seq IS NULL AND ending != ''
    """
    return [(str(kind), turn, str(what), float(due_s)) for kind, turn, what, due_s in db.execute(statement, (chat,))]


def _open_work_of(state: SessionState) -> list[tuple[str, int, str, float]]:
    """Say which calls, prompts and messages to be taken the events left open, and how the running turn will end."""
    running = state.running
    work: list[tuple[str, int, str, float]] = []
    if running is not None:
        work += [("call", running.turn, str(call.call), -1.0) for call in running.calls]
        work += [("steering", running.turn, message.message_id, -1.0) for message in running.steering]
        work += [("ending", running.turn, running.ending, -1.0)] if running.ending else []
    for prompt in state.open_prompts:
        due_s = -1.0 if prompt.expires_at_s is None else prompt.expires_at_s
        work.append(("prompt", prompt.turn, str(prompt.prompt), due_s))
    return work


def _reminders(db: apsw.Connection, chat: int) -> list[tuple[str, int, int, float]]:
    """Read what the rows say of the reminders that stand."""
    statement = "SELECT key, set_seq, tick, due_s FROM reminder WHERE chat=? ORDER BY set_seq"
    return [(str(key), int(seq), int(tick), float(due_s)) for key, seq, tick, due_s in db.execute(statement, (chat,))]


_Named = tuple[str, int]
"""The id of a message and the number of its first event: a message from before the first turn may have any id."""

_Shape = tuple[int, int, int, str, tuple[tuple[str, str, int], ...]]
"""Turn, attempt, number of the first event, role, and of every part its kind, status and length."""


def _shown(messages: tuple[Message, ...]) -> dict[_Named, _Shape]:
    """Take of messages what rows can say about them."""
    shapes: dict[_Named, _Shape] = {}
    for message in messages:
        parts = tuple(
            # The row of a result says that its text is complete; how the call ended is said by the row of the call.
            (part.kind, "complete" if part.kind == "tool_result" else part.status, len(part.text))
            for part in message.parts
        )
        shapes[message.message_id, message.seq] = (message.turn, message.attempt, message.seq, message.role, parts)
    return shapes


def _stored_messages(db: apsw.Connection, chat: int, turns: dict[int, TurnRow]) -> dict[_Named, _Shape]:
    """Read the messages that the rows say a transcript has, those of attempts that were set aside left out."""
    shapes: dict[_Named, _Shape] = {}
    for turn, attempt, seq, role, message_id, kind, status, characters in db.execute(_MESSAGES, (chat,)):
        row = turns.get(turn)
        if row is not None and row.hidden and row.ended_seq is not None:
            continue
        if attempt and not _is_kept(row, attempt):
            continue
        before = shapes.get((message_id, seq), (turn, attempt, seq, role, ()))
        parts = before[4] if kind is None else (*before[4], (kind, status, characters))
        shapes[message_id, seq] = (turn, attempt, seq, role, parts)
    return shapes


def _is_kept(row: TurnRow | None, attempt: int) -> bool:
    """Say whether what an attempt said is part of the transcript."""
    if row is None:
        return False
    if row.first_attempt is None:
        return row.status != TurnStatus.QUEUED.value and attempt == row.attempt
    return row.first_attempt <= attempt <= row.attempt
