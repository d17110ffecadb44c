"""The journal in one SQLite file passes the contract of its port, and keeps what the file alone can promise."""

import random
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
import hypothesis
import hypothesis.strategies as st
import pytest
import trio
from typing_extensions import override

from actors.core.events import EventBody, MessageAccepted, SessionCreated, ToolCalled
from actors.core.ids import ChatId
from actors.errors import StoreCorruptError, StoreInUseError, StoreUnavailableError
from actors.ports import Append, Conflict, Entry, Erase, Journal, Offload
from actors.store import queries, sqlite
from actors.store.sqlite import READERS, SQLiteJournal
from tests.store.dead_letter_contract import DeadLetterContract
from tests.store.faulty_disk import FaultyDisk
from tests.store.histories import CHAT, OTHER, Story, append, created, entries_of, events_of, keys_of, text
from tests.store.journal_contract import JournalContract, accepted, completed
from tests.store.places import ROWS, FilePlace, MemoryPlace, Place, fill, numbers, opened
from tests.store.rename_contract import RenameContract
from tests.store.standing_contract import StandingContract

T = TypeVar("T")
Read = Callable[[Journal], Awaitable[object]]


class TestSQLiteJournal(JournalContract, RenameContract, DeadLetterContract):
    """All of the contract."""

    @override
    def place_in(self, folder: Path) -> Place:
        return FilePlace(folder)


class TestSQLiteStanding(StandingContract):
    """And of what stands in a session."""

    @override
    def place_in(self, folder: Path) -> Place:
        return FilePlace(folder)


class InLine(Offload):
    """Does blocking work where it is called, and counts how much was under way at once."""

    def __init__(self) -> None:
        """Begin with none."""
        self.running = 0
        self.running_max = 0

    @override
    async def run(self, work: Callable[[], T]) -> T:
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        await trio.lowlevel.checkpoint()
        self.running -= 1
        return work()


def test_it_answers_what_the_journal_in_memory_answers() -> None:
    """Whatever is committed, late, early, again or erased: the same outcomes and the same reads."""

    @hypothesis.given(chance=st.randoms(use_true_random=False), steps=st.integers(0, 20))
    def holds(chance: random.Random, steps: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            trio.run(play, FilePlace(Path(folder)), chance, steps)

    holds()


async def play(place: FilePlace, chance: random.Random, steps: int) -> None:
    """Commit the same disorder to both journals."""
    histories = {chat_id: entries_of(chat_id, Story(chance, chat_id).tell(steps)) for chat_id in (CHAT, OTHER)}
    async with opened(place) as (file, _), opened(MemoryPlace()) as (memory, _):
        for _ in range(steps):
            group = disorder(histories, chance)
            assert list(await file.commit(group)) == list(await memory.commit(group))
        for chat_id, history in histories.items():
            for read in reads(chat_id, history, chance):
                assert await read(file) == await read(memory)


def disorder(histories: dict[ChatId, list[Append]], chance: random.Random) -> list[Entry]:
    """Take entries of the histories, mostly in order, some again, some too early, and now and then an erasure."""
    group: list[Entry] = []
    for _ in range(chance.randint(0, 5)):
        chat_id = chance.choice(list(histories))
        history = histories[chat_id]
        first = chance.choice((0, 0, 0, len(history) // 2))
        group += chance.choice((history[first : first + chance.randint(1, 4)], history[: len(history) // 2]))
        if chance.random() < 0.03:
            group.append(Erase(chat_id, 5.0))
    return group


def reads(chat_id: ChatId, history: list[Append], chance: random.Random) -> list[Read]:
    """Make questions about a session."""
    events = events_of(history)
    before = chance.choice((None, 0, 1, 2, 3, 50))
    after, rows_max = chance.randint(0, len(events)), chance.choice((0, 1, 2, 5, ROWS))
    return [
        lambda it: it.load(chat_id),
        lambda it: it.events(chat_id, after, rows_max),
        lambda it: it.messages(chat_id, before, rows_max),
        lambda it: it.sessions("", rows_max),
        *(finding(chat_id, body.message_id) for _, body in keys_of(events)),
    ]


def finding(chat_id: ChatId, key: str) -> Read:
    """Ask for a key."""
    return lambda it: it.find(chat_id, key)


POISON: dict[str, EventBody] = {
    "in a text": MessageAccepted("key-1", 1, "\ud800"),
    "in a key": MessageAccepted("\udfff", 1, "hello"),
    "in a name": ToolCalled(1, 1, 0, 0, 0, "id", "\ud800", "{}"),
    "a number that is too large": MessageAccepted("key-1", 1 << 70, "hello"),
}


@pytest.mark.parametrize("name", POISON)
async def test_what_cannot_be_stored_fails_its_own_session_only(name: str, tmp_path: Path) -> None:
    """It is an error of that session, not of the disk: to try it again for ever would stop all the others."""
    async with opened(FilePlace(tmp_path)) as (journal, _):
        await fill(journal, created())
        bad, good = append(CHAT, 1, POISON[name]), append(OTHER, 0, SessionCreated(), *completed(1))
        with pytest.raises(StoreCorruptError):
            await journal.commit([good, bad])
        assert await journal.load(OTHER) is None
        with pytest.raises(StoreCorruptError) as caught:
            await journal.commit([bad])
        assert caught.value.chat_id == CHAT
        await fill(journal, good, append(CHAT, 1, *completed(1)))


async def test_a_crowd_of_readers_leaves_threads_for_the_writer(tmp_path: Path) -> None:
    """Threads are few and shared: reads wait for one another before they take one."""
    offload = InLine()
    journal = SQLiteJournal(tmp_path / "chats.db", offload)
    await journal.open(takeover=False)
    await fill(journal, created())
    offload.running_max = 0
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(journal.load, CHAT)
    assert offload.running_max == READERS
    await journal.close()


async def test_reads_that_wait_while_the_store_is_closed_are_told(tmp_path: Path) -> None:
    """Nobody waits for a reader that will not come back."""
    ended: list[str] = []
    async with opened(FilePlace(tmp_path)) as (journal, _):
        await fill(journal, created())

        async def read() -> None:
            try:
                await journal.load(CHAT)
                ended.append("read")
            except StoreUnavailableError:
                ended.append("closed")

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(read)
                nursery.start_soon(journal.close)
    assert len(ended) == 20


@pytest.mark.rule("promise_storage_5")
async def test_a_disk_that_hangs_keeps_the_store_from_others_and_nothing_else(
    disk: FaultyDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that does not come back is left behind: the program can end, and the lock stays, for it may come yet."""
    monkeypatch.setattr(sqlite, "CLOSE_WAIT_S", 0.01)
    place = FilePlace(tmp_path)
    journal = place.journal()
    await journal.open(takeover=False)
    await fill(journal, created())
    disk.hangs = True
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.commit, [append(CHAT, 1, *completed(1))])
            await trio.to_thread.run_sync(disk.hung.wait)
            nursery.cancel_scope.cancel()
        assert await numbers(journal, CHAT) == [1]
        await journal.close()
        with pytest.raises(StoreInUseError):
            await place.journal().open(takeover=False)
        disk.goes_on.set()
        await fill(journal, append(CHAT, 1, *completed(1)))  # waits for the one before, and finds it written
        await journal.close()
    async with opened(place) as (later, _):
        assert await numbers(later, CHAT) == [1, 2, 3, 4]


async def test_an_opening_that_is_cancelled_leaves_the_store_free(disk: FaultyDisk, tmp_path: Path) -> None:
    """Its thread goes on and opens the store after all, for nobody: that is closed again before the caller goes on."""
    place = FilePlace(tmp_path)
    async with opened(place) as (journal, _):
        await fill(journal, created())
    disk.hangs = True
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(place.journal().open, takeover=False))
            await trio.to_thread.run_sync(disk.hung.wait)
            nursery.cancel_scope.cancel()
            disk.goes_on.set()
        async with opened(place) as (journal, said):
            assert said.epoch == 3
            assert await numbers(journal, CHAT) == [1]


@pytest.mark.rule("promise_storage_2")
async def test_a_reader_sees_the_store_of_a_living_owner_and_writes_nothing(tmp_path: Path) -> None:
    """Whoever looks from outside needs no lock, raises no epoch, and cannot commit."""
    place = FilePlace(tmp_path)
    with pytest.raises(StoreUnavailableError, match="there is no store"):
        await place.journal().open_reader()
    async with opened(place) as (journal, _):
        await fill(journal, created())
        reader = place.journal()
        await reader.open_reader()
        await fill(journal, append(CHAT, 1, *completed(1)))
        assert await reader.load(CHAT) == await journal.load(CHAT)
        with pytest.raises(StoreUnavailableError, match="the store is closed"):
            await reader.commit([created(OTHER)])
        await reader.close()
        await fill(journal, append(CHAT, 4, *completed(2)))
    async with opened(place) as (_, said):
        assert said.epoch == 2


async def test_keys_that_are_not_kept_in_memory_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory for keys is bounded; beyond it only speed is lost."""
    monkeypatch.setattr(sqlite, "KEYS_MAX", 3)
    chat_ids = [ChatId(f"live:{number}") for number in range(10)]
    async with opened(FilePlace(tmp_path)) as (journal, _):
        for chat_id in chat_ids:
            await fill(journal, created(chat_id))
        await fill(journal, *(append(chat_id, 1, *completed(1)) for chat_id in chat_ids))
        await fill(journal, *(append(chat_id, 4, accepted(2)) for chat_id in chat_ids), Erase(chat_ids[0], 5.0))
        assert [await numbers(journal, chat_id) for chat_id in chat_ids] == [[], *[[1, 2, 3, 4, 5]] * 9]


async def test_the_key_of_an_erased_session_is_given_to_no_other(tmp_path: Path) -> None:
    """A late entry of the one must not find the other in its place."""
    async with opened(FilePlace(tmp_path)) as (journal, _):
        await fill(journal, created(), Erase(CHAT, 5.0))
        await fill(journal, created(OTHER))
        assert list(await journal.commit([append(CHAT, 1, *completed(1))])) == [Conflict(0)]
        assert await numbers(journal, OTHER) == [1]


@pytest.mark.rule("promise_storage_4")
async def test_no_read_of_a_session_goes_through_a_whole_table(
    tmp_path: Path, connections: list[apsw.Connection]
) -> None:
    """What a turn costs does not grow with the history: every statement finds its few rows by an index."""
    asked: dict[str, apsw.Bindings | None] = {}
    async with opened(FilePlace(tmp_path)) as (journal, _):
        history: list[EventBody] = [SessionCreated(), *completed(1)[:2], text(1, 1, 0, "said"), accepted(2)]
        await fill(journal, append(CHAT, 0, *history), append(OTHER, 0, SessionCreated(), *completed(1)))

        def trace(_: apsw.Cursor, statement: str, values: "apsw.Bindings | None") -> bool:
            asked[statement] = values
            return True

        for connection in connections:
            connection.set_exec_trace(trace)
        await journal.load(CHAT)
        await journal.find(CHAT, "key-1")
        await journal.children(CHAT, ROWS)
        await journal.events(CHAT, 0, ROWS)
        await journal.messages(OTHER, None, ROWS)
        await fill(journal, append(CHAT, 5, accepted(3)))
        assert list(await journal.commit([append(CHAT, 5, accepted(4))])) != []
        for connection in connections:
            connection.set_exec_trace(None)
        plans = {
            statement: [row[3] for row in connections[0].execute(f"EXPLAIN QUERY PLAN {statement}", values)]
            for statement, values in asked.items()
            if statement.startswith(("SELECT", "UPDATE")) and "owner" not in statement
        }
    assert len(plans) > 10
    # The first or last row of a session, its open turns and questions, the reminders that stand in it.
    short = ("max(seq)", "LIMIT 1", "turn_unfinished", "FROM reminder", "prompt_open")
    slow = [
        (statement, step)
        for statement, plan in plans.items()
        for step in plan
        if "SCAN" in step or (step.endswith("(chat=?)") and not any(word in statement + step for word in short))
    ]
    assert not slow


async def test_what_is_unfinished_is_found_without_looking_at_what_has_ended(
    tmp_path: Path, connections: list[apsw.Connection]
) -> None:
    """A store of a million ended turns opens as fast as a new one: an index holds only those that are open."""
    async with opened(FilePlace(tmp_path)):
        db = connections[0]
        asked: list[str] = []

        def trace(_: apsw.Cursor, statement: str, __: object) -> bool:
            asked.append(statement)
            return True

        db.set_exec_trace(trace)
        queries.opening(db, 1)
        db.set_exec_trace(None)
        plans = [row[3] for statement in asked for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert [step for step in plans if "turn" in step] == ["SCAN turn USING INDEX turn_unfinished"]


async def test_the_log_is_moved_into_the_file_before_it_grows_large(tmp_path: Path) -> None:
    """Half a gigabyte of answers must not wait in a log that every reader has to look through."""
    place = FilePlace(tmp_path)
    async with opened(place) as (journal, _):
        await fill(journal, created())
        for turn in range(40):
            said = [accepted(turn + 1, "x" * 1_000_000)]
            await fill(journal, append(CHAT, 1 + turn, *said))
        log = place.path.with_name("chats.db-wal")
        assert log.stat().st_size < 20_000_000
    assert not log.exists()
