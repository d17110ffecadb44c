"""Looking at a store from outside: what it lists, and every kind of contradiction that is found in it."""

import os
from contextlib import closing
from pathlib import Path

import apsw
import pytest
import trio

from actors.core.commands import Seed
from actors.core.events import SeedPart
from actors.core.ids import ChatId
from actors.errors import StoreSchemaError, StoreUnavailableError
from actors.host import open_runtime
from actors.runtime.turn import Turn
from actors.store import checks
from actors.store.checks import NAMED_MAX, check_store, holds_sessions, list_sessions, list_turns, owner_of

CHATS = (ChatId("live:a"), ChatId("live:b"))


async def assistant(turn: Turn) -> None:
    """Agent: think, say something, use a tool, say more, remember."""
    await turn.think("hm")
    await turn.write("let me see")
    call = await turn.call("look", {"at": turn.text})
    await call.end("seen")
    await turn.write("that is it")
    turn.state = turn.number


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """Make a store with two sessions of two turns each."""
    path = tmp_path / "s.db"
    async with open_runtime(path, agent=assistant) as runtime:
        for chat_id in CHATS:
            await runtime.create(chat_id, history=[("system", "be brief"), ("assistant", "hello")])
            for text in ("one", "two"):
                await (await runtime.send(chat_id, text, message_id=text)).result()
                if text == "one":
                    await runtime.remind(chat_id, "tea", "Drink.", at_s=4e9, every_s=60.0)
    return path


def change(path: Path, *statements: str) -> None:
    """Change a store behind its back."""
    with closing(apsw.Connection(str(path))) as db:
        for statement in statements:
            db.execute(statement)


def faults(path: Path) -> dict[str, str]:
    """Check a store and return the details of what is bad."""
    return {finding.name: finding.detail for finding in check_store(path) if not finding.ok}


async def test_a_sound_store_has_no_faults(store: Path) -> None:
    """Every projection of every kind of event is what its events come to."""
    assert faults(store) == {}
    assert [finding.name for finding in check_store(store)] == [
        "schema",
        "integrity",
        "foreign keys",
        "aliases",
        "numbering",
        "projections",
        "owner",
    ]


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        ("UPDATE session SET turns=9 WHERE chat=1", "the row says event"),
        ("UPDATE session SET state='7' WHERE chat=1", "the row says event"),
        ("UPDATE turn SET status='failed' WHERE chat=1 AND turn=2", "turn 2 is not what its events come to"),
        ("UPDATE turn SET ended_seq=NULL WHERE chat=1 AND turn=1", "turn 1 is not what its events come to"),
        ("DELETE FROM turn WHERE chat=1 AND turn=2", "turn 2 is not what its events come to"),
        ("UPDATE tool_call SET status='running' WHERE chat=1 AND turn=1", "what is open"),
        ("UPDATE message SET role='user' WHERE chat=1 AND message_id='1/1/0'", "message 1/1/0 is not what"),
        ("DELETE FROM message WHERE chat=1 AND message_id='2/1/1'", "message 2/1/1 is not what"),
        ("UPDATE part SET characters=1 WHERE chat=1 AND turn=1 AND position=0 AND part=1", "message 1/1/0 is not what"),
        ("DELETE FROM part WHERE chat=1 AND turn=0", "message seed/0 is not what"),
        ("UPDATE reminder SET due_s=1.0 WHERE chat=1", "a reminder is not what"),
        ("UPDATE reminder SET tick=7 WHERE chat=1", "a reminder is not what"),
        ("DELETE FROM reminder WHERE chat=1", "a reminder is not what"),
        ("UPDATE session SET parent=2 WHERE chat=1", "whether it has a parent"),
        ("UPDATE session SET closed=1 WHERE chat=1", "whether it has a parent"),
        ("UPDATE event SET body='{}' WHERE chat=1 AND seq=5", "no fold of its events goes beyond 4"),
        ("UPDATE session SET overlap='latest' WHERE chat=1", "what stands beside the turns"),
        ("UPDATE session SET paused=1 WHERE chat=1", "what stands beside the turns"),
        ("UPDATE turn SET place=1 WHERE chat=1 AND turn=2", "turn 2 is not what its events come to"),
        ("UPDATE turn SET hidden=1 WHERE chat=1 AND turn=2", "turn 2 is not what its events come to"),
        ("UPDATE message SET taken=-1 WHERE chat=1 AND message_id='two'", "what is open is not what"),
        (
            "UPDATE event SET body=replace(body, '\"turn\":1', '\"turn\":8') WHERE chat=1 AND seq=5",
            "no fold of its events goes beyond 4",
        ),
    ],
)
async def test_rows_that_are_not_what_the_events_come_to_are_named(statement: str, detail: str, store: Path) -> None:
    """The session is named and what differs first; the other session is not blamed."""
    change(store, "PRAGMA foreign_keys=on", statement)
    found = faults(store)
    assert set(found) == {"projections"}
    assert found["projections"].startswith("live:a: ")
    assert detail in found["projections"]
    assert "live:b" not in found["projections"]


async def test_a_gap_in_the_numbers_of_a_session_is_found(store: Path) -> None:
    """Both by counting and by folding."""
    change(store, "DELETE FROM event WHERE chat=2 AND seq=7")
    found = faults(store)
    assert set(found) == {"numbering", "projections"}
    assert found["numbering"].startswith("live:b is at event ")
    assert found["projections"] == "live:b: event 7 is missing"


async def test_a_session_that_is_ahead_of_its_journal_is_found(store: Path) -> None:
    """The number of a session is that of its last event."""
    change(store, "UPDATE session SET seq=seq+1 WHERE chat=1")
    assert set(faults(store)) == {"numbering", "projections"}


async def test_a_row_without_its_parent_is_found(store: Path) -> None:
    """Foreign keys are checked also where they were switched off when it happened."""
    change(store, "PRAGMA foreign_keys=off", "DELETE FROM session WHERE chat=2")
    assert set(faults(store)) == {"foreign keys"}


async def test_a_damaged_page_is_found(store: Path) -> None:
    """SQLite's own check sees what no row says."""
    change(store, "PRAGMA journal_mode=delete")
    file = trio.Path(store)
    data = bytearray(await file.read_bytes())
    data[3 * 4096 + 8 : 3 * 4096 + 400] = b"\xff" * 392
    await file.write_bytes(bytes(data))
    assert "integrity" in faults(store)


async def test_many_faults_are_a_few_examples_and_a_number(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line stays a line."""
    monkeypatch.setattr(checks, "NAMED_MAX", 1)
    assert NAMED_MAX > 1
    change(store, "UPDATE session SET turns=9")
    assert faults(store)["projections"].endswith("; and 1 more")


def test_what_is_no_store_is_one_fault_with_its_remedy(tmp_path: Path) -> None:
    """A missing file, a file of something else, a database of something else, a store of a later version."""
    missing, junk, other, later = (tmp_path / name for name in ("missing", "junk", "other", "later"))
    junk.write_bytes(b"nothing that a database begins with" * 100)
    change(other, "CREATE TABLE t (a)")
    change(later, "PRAGMA application_id=1633907826", "PRAGMA user_version=99", "CREATE TABLE t (a)")
    for path in (missing, junk, other, later):
        schema, owner = check_store(path)
        assert not schema.ok
        assert schema.remedy
        assert schema.remedy not in schema.detail
        assert owner.ok
    assert not missing.exists()


async def test_sessions_and_turns_are_listed_in_order(store: Path) -> None:
    """What is listed is what the rows say; a session that is not there has no turns."""
    sessions = list_sessions(store)
    assert [(session.chat_id, session.turns, session.open_turns, session.status) for session in sessions] == [
        ("live:a", 2, 0, "idle"),
        ("live:b", 2, 0, "idle"),
    ]
    assert all(session.at_s > 1_000_000_000 for session in sessions)
    turns = list_turns(store, CHATS[0])
    assert [(turn.turn, turn.status, turn.attempt) for turn in turns] == [(1, "completed", 1), (2, "completed", 1)]
    assert turns[-1].ended_seq == sessions[0].seq
    assert list_turns(store, ChatId("live:nobody")) == ()


@pytest.mark.rule("promise_words_6")
@pytest.mark.parametrize(
    ("statement", "status"),
    [
        ("UPDATE turn SET status='queued', ended_seq=NULL WHERE chat=1 AND turn=2", "queued"),
        ("UPDATE turn SET status='running', ended_seq=NULL WHERE chat=1 AND turn=2", "running"),
    ],
)
async def test_the_status_of_a_session_is_that_of_its_turns(statement: str, status: str, store: Path) -> None:
    """It is derived when it is asked for."""
    change(store, statement)
    assert [session.status for session in list_sessions(store)] == [status, "idle"]


async def test_a_turn_that_waits_is_told_from_one_that_runs(store: Path) -> None:
    """A call or a prompt without an outcome makes the difference, in the running attempt only."""
    running = "UPDATE turn SET status='running', ended_seq=NULL, attempt={} WHERE chat=1 AND turn=2"
    change(store, running.format(1), "UPDATE tool_call SET status='running' WHERE chat=1 AND turn=2")
    assert list_sessions(store)[0].status == "waiting"
    change(store, running.format(2))
    assert list_sessions(store)[0].status == "running"


async def test_a_file_that_holds_no_sessions_yet_is_told_from_one_that_does(store: Path, tmp_path: Path) -> None:
    """A new file may be used without a second thought; what is no store is an error here already."""
    empty, other = tmp_path / "empty", tmp_path / "other"
    assert holds_sessions(store)
    assert not holds_sessions(empty)
    empty.touch()
    assert not holds_sessions(empty)
    change(empty, "PRAGMA journal_mode=wal")
    assert not holds_sessions(empty)
    change(other, "CREATE TABLE t (a)")
    with pytest.raises(StoreSchemaError):
        holds_sessions(other)
    with pytest.raises(StoreSchemaError):
        list_sessions(other)
    with pytest.raises(StoreUnavailableError):
        list_sessions(tmp_path / "missing")


async def test_the_owner_of_a_store_is_named_while_it_lives(store: Path) -> None:
    """Looking takes no lock: the next owner is not in its way."""
    assert owner_of(store) == ""
    async with open_runtime(store, agent=assistant):
        assert owner_of(store) == f"process {os.getpid()}"
    assert owner_of(store) == ""
    async with open_runtime(store, agent=assistant):
        pass


@pytest.mark.parametrize("text", ["process 99999999999999999999\n", "process 4194305\n", "junk", ""])
async def test_a_lock_file_that_nobody_holds_names_no_owner(text: str, store: Path) -> None:
    """Whatever an earlier owner, or somebody else, left in it."""
    (store.parent / "s.db.lock").write_text(text)
    assert owner_of(store) == ""


async def test_doctor_holds_the_ids_of_a_session_against_its_events(store: Path) -> None:
    """An id leads to one session, and to the one whose events name it; what a migration leaves is sound."""
    async with open_runtime(store, agent=assistant) as runtime:
        await runtime.create("draft:a")
        await runtime.migrate("draft:a", "live:c")
    assert faults(store) == {}
    for statement, detail in (
        ("INSERT INTO tombstone VALUES ('draft:a', 0.0)", "draft:a stands for more than one"),
        ("DELETE FROM tombstone; INSERT INTO session (chat_id, seq, turns) VALUES ('draft:a', 0, 0)", "draft:a stands"),
        ("DELETE FROM session WHERE chat_id='draft:a'; DELETE FROM alias", "live:c has other ids"),
        ("INSERT INTO alias SELECT 'draft:a', chat FROM session WHERE chat_id='live:a'", "live:a has other ids"),
        (
            "DELETE FROM alias; INSERT INTO alias SELECT 'draft:b', chat FROM session WHERE chat_id='live:c'",
            "live:c has",
        ),
    ):
        change(store, statement)
        assert faults(store)["aliases"].startswith(detail), statement


async def test_a_message_from_before_the_first_turn_may_have_the_key_of_one_of_a_turn(tmp_path: Path) -> None:
    """They are two messages: a store with both is sound."""
    path = tmp_path / "s.db"
    async with open_runtime(path, agent=assistant) as runtime:
        seed = Seed("one", "user", (SeedPart("text", "said before"),))
        await runtime.create(CHATS[0], history=[seed])
        await (await runtime.send(CHATS[0], "hello", message_id="one")).result()
    assert faults(path) == {}
