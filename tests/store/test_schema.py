"""The tables come into being step by step, and what is not ours is left as it was."""

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from actors.core.dead_letter import DeadLetter
from actors.core.events import (
    MessageAccepted,
    PromptOpened,
    QueuePaused,
    ReminderSet,
    SessionCreated,
    ToolCalled,
    TurnStarted,
)
from actors.core.ids import DropReason
from actors.errors import StoreError, StoreSchemaError, StoreUnavailableError
from actors.ports import Bury, Erase, Found
from actors.store import schema
from actors.store.projections import ORDER, Rows
from actors.store.schema import APPLICATION_ID, MIGRATIONS, migrate, schema_version
from tests.store.histories import CHAT, OTHER, append, created, entries_of, state_of, text
from tests.store.journal_contract import accepted, completed
from tests.store.places import FilePlace, fill, opened

CHILDREN = {
    "event": "INSERT INTO event VALUES (99, 1, 1, 0.0, 1, '{}')",
    "turn": (
        "INSERT INTO turn (chat, turn, status, attempt, accepted_seq, reason, error)"
        " VALUES (99, 1, 'queued', 0, 1, '', '')"
    ),
    "message": (
        "INSERT INTO message (chat, turn, attempt, position, seq, role, message_id)"
        " VALUES (99, 1, 0, -1, 1, 'user', 'key')"
    ),
    "part": "INSERT INTO part VALUES (1, 1, 9, 9, 0, 'text', 'complete', 1, 1, 1)",
    "tool_call": "INSERT INTO tool_call VALUES (1, 99, 1, 0, 'id', 'name', 'running', 1, NULL)",
    "alias": "INSERT INTO alias VALUES ('draft:9', 99)",
    "prompt": "INSERT INTO prompt VALUES (1, 99, 1, 0, 'open', 1, NULL, NULL)",
    "reminder": "INSERT INTO reminder VALUES (99, 'tea', 1, 0, 0.0)",
}
"""For each table a row whose parent is not there."""


def make_other_program(path: Path) -> None:
    """Make the database of another program."""
    with closing(apsw.Connection(str(path))) as db:
        db.execute("CREATE TABLE notes (body); INSERT INTO notes VALUES ('theirs')")


def make_other_log(path: Path) -> None:
    """Make the database of another program that died with rows in its write-ahead log."""
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.execute("CREATE TABLE notes (body); INSERT INTO notes VALUES ('theirs')")
    db.close()


def make_other_mark(path: Path) -> None:
    """Make a database that has nothing in it but the mark of another program."""
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("application_id", 7)


def make_other_version(path: Path) -> None:
    """Make a database that has nothing in it but the number of another program's schema."""
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("user_version", 1)


@pytest.mark.parametrize("make", [make_other_program, make_other_log, make_other_mark, make_other_version])
async def test_the_database_of_another_program_is_refused_and_untouched(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    """A wrong path must not cost anybody a byte, not even of a log that waits."""
    place = FilePlace(tmp_path)
    make(place.path)
    before = files_of(place)
    with pytest.raises(StoreSchemaError, match="not a store of this package"):
        await place.journal().open(takeover=False)
    assert files_of(place) == before


async def test_a_store_of_a_newer_version_is_refused_and_untouched(tmp_path: Path) -> None:
    """An older program would write rows that the newer one does not expect; its last log stays as well."""
    place = FilePlace(tmp_path)
    async with opened(place) as (journal, _):
        await fill(journal, created())
    with closing(apsw.Connection(str(place.path))) as db:
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.pragma("user_version", len(MIGRATIONS) + 1)
    before = files_of(place)
    assert before["chats.db-wal"]
    with pytest.raises(StoreSchemaError, match=f"schema {len(MIGRATIONS) + 1}, this package knows up to") as caught:
        await place.journal().open(takeover=False)
    assert "install the version of the package that wrote it" in caught.value.hint
    assert files_of(place) == before


@pytest.mark.parametrize(
    "content",
    [b"chats\n", bytes(4096), random.Random(1).randbytes(10_000), b"SQLite format 3\0" + b"\xff" * 4080],
    ids=["text", "zeros", "noise", "only the beginning is right"],
)
async def test_a_file_that_is_no_database_is_refused_and_untouched(content: bytes, tmp_path: Path) -> None:
    """Whatever stands at the path, it is somebody's."""
    place = FilePlace(tmp_path)
    place.path.write_bytes(content)
    with pytest.raises(StoreSchemaError, match="no store or is damaged"):
        await place.journal().open(takeover=False)
    assert files_of(place)["chats.db"] == content


async def test_a_store_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    """A copy that was not finished says so when it is opened, or when what is missing is read."""
    place = FilePlace(tmp_path)
    async with opened(place) as (journal, _):
        await fill(journal, *(append(CHAT, 0, SessionCreated(), accepted(1, "x" * 100_000)),))
    whole = place.path.read_bytes()
    for size in (100, 4096, 3 * 4096, len(whole) // 2):
        place.path.write_bytes(whole[:size])
        with pytest.raises(StoreError):
            async with opened(place) as (journal, _):
                await journal.events(CHAT, 0, 10)


async def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    """As a missing one does; a folder does not."""
    place = FilePlace(tmp_path)
    place.path.touch()
    async with opened(place) as (journal, _):
        await fill(journal, created())
    with closing(apsw.Connection(str(place.path))) as db:
        assert (db.pragma("application_id"), schema_version(db)) == (APPLICATION_ID, len(MIGRATIONS))
    folder = FilePlace(tmp_path / "other")
    folder.path.mkdir()
    with pytest.raises(StoreUnavailableError):
        await folder.journal().open(takeover=False)


def test_each_step_of_a_migration_is_whole_or_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails leaves the store where the step before had brought it, ready to be tried again."""
    steps = ("CREATE TABLE a (x)", "CREATE TABLE b (x); ALTER TABLE a ADD COLUMN y", "CREATE TABLE c (x); BROKEN")
    with closing(apsw.Connection(str(tmp_path / "chats.db"))) as db:
        monkeypatch.setattr(schema, "MIGRATIONS", ("CREATE TABLE a (x); BROKEN",))
        with pytest.raises(apsw.SQLError):
            migrate(db)
        assert tables_of(db) == []
        assert (schema_version(db), db.pragma("application_id")) == (0, 0)
        monkeypatch.setattr(schema, "MIGRATIONS", steps)
        for _ in range(2):
            with pytest.raises(apsw.SQLError):
                migrate(db)
            assert tables_of(db) == ["a", "b"]
            assert schema_version(db) == 2
        monkeypatch.setattr(schema, "MIGRATIONS", (*steps[:2], "CREATE TABLE c (x)"))
        migrate(db)
        migrate(db)
        assert tables_of(db) == ["a", "b", "c"]
        assert schema_version(db) == 3


async def test_a_store_of_the_first_version_is_brought_up_with_everything_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an older package wrote is read as it was, and goes on with what is new."""
    first = (SessionCreated(), *completed(1), accepted(2), TurnStarted(2, 1), accepted(3))
    place = FilePlace(tmp_path)
    with closing(apsw.Connection(str(place.path))) as db:
        monkeypatch.setattr(schema, "MIGRATIONS", MIGRATIONS[:1])
        migrate(db)
        monkeypatch.setattr(schema, "MIGRATIONS", MIGRATIONS)
        rows = Rows()
        rows.add(1, 0, append(CHAT, 0, *first).events)
        db.execute("INSERT INTO session (chat, chat_id, seq, turns) VALUES (1, ?, 7, 3)", (CHAT,))
        for statement in ORDER:
            db.executemany(statement, rows.by_statement[statement])
    events = list(append(CHAT, 0, *first).events)
    async with opened(place) as (journal, said):
        assert said.unfinished == (CHAT,)
        assert await journal.load(CHAT) == state_of(CHAT, events)
        later = append(CHAT, 7, MessageAccepted("key-4", 3, "and", joined="merge"), QueuePaused())
        await fill(journal, later)
        assert await journal.load(CHAT) == state_of(CHAT, [*events, *later.events])
        assert await journal.find(CHAT, "key-4") == Found(3, 8, "queued", "", "")
    place.check()


@pytest.mark.rule("promise_words_7")
@pytest.mark.parametrize("table", CHILDREN)
async def test_no_row_can_stand_without_its_parent(
    table: str, tmp_path: Path, connections: list[apsw.Connection]
) -> None:
    """No event, turn or message without its session, no part without its message, no call without its turn."""
    async with opened(FilePlace(tmp_path)) as (journal, _):
        await fill(journal, created(), append(CHAT, 1, *completed(1)))
        with pytest.raises(apsw.ConstraintError, match="FOREIGN KEY"):
            connections[0].execute(CHILDREN[table])


async def test_an_erased_session_leaves_a_row_in_no_table(tmp_path: Path, connections: list[apsw.Connection]) -> None:
    """Whatever a session has rows in, they go with it, and those of another stay."""
    bodies = (
        *completed(1)[:2],
        text(1, 1, 0, "hello"),
        ToolCalled(1, 1, 0, 1, 0, "id", "name", "{}"),
        PromptOpened(1, 1, 0, "text", "why?"),
        ReminderSet("tea", "Drink.", 50.0),
    )
    async with opened(FilePlace(tmp_path)) as (journal, _):
        for chat_id in (CHAT, OTHER):
            await fill(journal, *entries_of(chat_id, [(SessionCreated(),), bodies]))
            connections[0].execute(
                "INSERT INTO alias SELECT 'draft:' || chat_id, chat FROM session WHERE chat_id=?", (chat_id,)
            )
        letters = [DeadLetter(each, DropReason.BUSY, "tell", 1, 5.0, n) for n, each in enumerate((CHAT, OTHER), 1)]
        await fill(journal, Bury(tuple(letters), (), 0.0, 10))
        db = connections[0]
        tables = [table for table in tables_of(db) if table not in {"owner", "tombstone"}]
        assert set(tables) == {"session", "dead_letter", *CHILDREN}
        before = counts_of(db, tables)
        assert all(before)
        await fill(journal, Erase(CHAT, 5.0))
        assert [2 * count for count in counts_of(db, tables)] == before


def files_of(place: FilePlace) -> dict[str, bytes]:
    """Read the database and its log, not what only coordinates processes."""
    files = place.path.parent.glob("chats.db*")
    return {file.name: file.read_bytes() for file in files if file.suffix in {".db", ".db-wal"}}


def counts_of(db: apsw.Connection, tables: list[str]) -> list[int]:
    """Count the rows of tables."""
    return [db.execute(f"SELECT count(*) FROM {table}").get for table in tables]  # noqa: S608 - they are ours


def tables_of(db: apsw.Connection) -> list[str]:
    """List the tables, not those that SQLite keeps for itself."""
    named = "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    return [str(name) for (name,) in db.execute(named)]
