"""The disk fails in every way it can, and the journal in the file keeps its promises.

What failed is not acknowledged and not seen, the error says what to do, and once the disk is well the same group is
written by being committed again, exactly once.
"""

import itertools
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import apsw
import pytest
import trio

from actors.errors import StoreUnavailableError
from actors.ports import Append, Journal
from actors.runtime.clock import Threads
from actors.store import sqlite
from tests.store.faulty_disk import Fault, FaultyDisk
from tests.store.histories import CHAT, OTHER, append, created
from tests.store.journal_contract import accepted, completed
from tests.store.places import ROWS, FilePlace, fill, numbers, opened

GROUP = [
    created(OTHER),
    append(CHAT, 1, *completed(1)),
    append(OTHER, 1, accepted(1, "x" * 10_000)),
    append(CHAT, 4, *completed(2)),
]

WRITE_FAULTS = {
    "I/O error": Fault("write", code=apsw.SQLITE_IOERR_WRITE),
    "disk full": Fault("write", code=apsw.SQLITE_FULL),
    "short write": Fault("write", code=apsw.SQLITE_FULL, short=True),
    "short write and error": Fault("write", code=apsw.SQLITE_IOERR_WRITE, short=True),
    "failed sync": Fault("sync", code=apsw.SQLITE_IOERR_FSYNC),
}

CHECK_DISK = "check the disk"
FREE_SPACE = "free space on the disk; nothing that was acknowledged is lost"


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("name", WRITE_FAULTS)
async def test_a_group_that_meets_a_fault_is_not_seen_and_written_later(
    name: str, *, sticky: bool, disk: FaultyDisk, tmp_path: Path
) -> None:
    """Whichever write or sync of the group it is that fails."""
    fault = WRITE_FAULTS[name]
    for nth in itertools.count(1):
        place = FilePlace(tmp_path / str(nth))
        async with opened(place) as (journal, _):
            await fill(journal, created())
            disk.arm(Fault(fault.kind, nth, fault.code, sticky, fault.short))
            error = await failure_of(journal)
            if disk.struck:
                assert error is not None
                assert error.hint == (FREE_SPACE if fault.code == apsw.SQLITE_FULL else CHECK_DISK)
                await check_nothing_of_the_group(journal)
            disk.heal()
            await settle(journal)
        place.check()
        if not disk.struck:
            break
    assert nth > (10 if fault.kind == "write" else 1)


async def test_a_fault_that_lasts_fails_every_attempt_until_it_is_gone(disk: FaultyDisk, tmp_path: Path) -> None:
    """A writer that tries again and again does no harm by it; reading goes on meanwhile."""
    place = FilePlace(tmp_path)
    async with opened(place) as (journal, _):
        await fill(journal, created())
        for name in ("disk full", "failed sync", "I/O error"):
            fault = WRITE_FAULTS[name]
            disk.arm(Fault(fault.kind, 1, fault.code, sticky=True))
            for _ in range(5):
                assert await failure_of(journal) is not None
                await check_nothing_of_the_group(journal)
        disk.heal()
        await settle(journal)
    place.check()


async def test_a_read_that_fails_says_so_and_succeeds_later(disk: FaultyDisk, tmp_path: Path) -> None:
    """Whichever read it is, of the readers or of the writer, once or from then on."""
    for nth, sticky in every_time():
        place = FilePlace(tmp_path / f"{nth} {sticky}")
        async with opened(place) as (journal, _):
            await fill(journal, created(), *GROUP)
        async with opened(place) as (journal, _):
            disk.arm(Fault("read", nth, apsw.SQLITE_IOERR_READ, sticky))
            for read in (
                partial(journal.load, CHAT),
                partial(journal.find, CHAT, "key-2"),
                partial(journal.messages, CHAT, None, ROWS),
                partial(journal.events, OTHER, 0, ROWS),
                partial(journal.commit, [append(CHAT, 7, *completed(3))]),
            ):
                before = disk.struck
                assert (await error_of(read) is not None) == (disk.struck > before)
            struck = disk.struck
            disk.heal()
            await fill(journal, append(CHAT, 7, *completed(3)))
            await settle(journal)
        place.check()
        if not struck:
            break
    assert nth > 5


@pytest.mark.parametrize("kind", ["open", "read", "write", "sync", "delete", "truncate"])
@pytest.mark.parametrize("new", [True, False], ids=["new file", "old file"])
async def test_an_opening_that_fails_leaves_the_store_to_the_next(
    kind: str, *, new: bool, disk: FaultyDisk, tmp_path: Path
) -> None:
    """Whatever fails on the way, nothing is half made and nothing stays locked."""
    code = apsw.SQLITE_CANTOPEN if kind == "open" else apsw.SQLITE_IOERR
    for nth, sticky in every_time():
        place = FilePlace(tmp_path / f"{nth} {sticky}")
        if not new:
            async with opened(place) as (journal, _):
                await fill(journal, created(), *GROUP)
        disk.arm(Fault(kind, nth, code, sticky))
        refused = place.journal()
        error = await error_of(partial(refused.open, takeover=False))
        assert (error is not None) == (disk.struck > 0)
        struck = disk.struck
        disk.heal()
        await refused.close()
        async with opened(place) as (journal, said):
            assert said.epoch <= (2 if new else 3)
            await fill(journal, created())
            await settle(journal)
        place.check()
        if not struck:
            break


async def test_a_close_that_fails_loses_nothing(disk: FaultyDisk, tmp_path: Path) -> None:
    """What the log could not give back to the file, the next opening finds in the log."""
    place = FilePlace(tmp_path)
    for fault in WRITE_FAULTS.values():
        async with opened(place) as (journal, _):
            await fill(journal, created(), *GROUP)
            disk.arm(Fault(fault.kind, 1, fault.code, sticky=True))
        assert disk.struck
        disk.heal()
    async with opened(place) as (journal, _):
        await settle(journal)
    place.check()


@pytest.mark.rule("pitfall_9")
async def test_an_unknown_outcome_is_settled_by_the_next_life(disk: FaultyDisk, tmp_path: Path) -> None:
    """The last sync fails and the process dies: the group is there or not, and is written once by a second attempt."""
    lived, died = FilePlace(tmp_path / "lived"), FilePlace(tmp_path / "died")
    async with opened(lived) as (journal, _):
        await fill(journal, created())
        disk.arm(Fault("sync", 1, apsw.SQLITE_IOERR_FSYNC))
        assert await failure_of(journal) is not None
        for file in lived.path.parent.glob("chats.db*"):
            shutil.copy(file, died.path.parent)
        disk.heal()
    async with opened(died) as (journal, _):
        assert (await numbers(journal, CHAT), await numbers(journal, OTHER)) in (
            [[1], []],
            ([1, 2, 3, 4, 5, 6, 7], [1, 2]),
        )
        await settle(journal)
    died.check()


async def test_an_error_after_the_commit_is_settled_by_asking_again(
    disk: FaultyDisk, tmp_path: Path, connections: list[apsw.Connection]
) -> None:
    """The group is on disk although the journal says it may not be: committing it again finds it there."""
    place = FilePlace(tmp_path)
    async with opened(place) as (journal, _):
        connections[0].wal_autocheckpoint(1)  # each commit moves the log into the file, after it has succeeded
        await fill(journal, created())
        disk.arm(Fault("write", 1, apsw.SQLITE_IOERR_WRITE, suffix="chats.db"))
        assert await failure_of(journal) is not None
        assert await numbers(journal, OTHER) == [1, 2]
        disk.heal()
        await settle(journal)
    place.check()


async def test_a_lock_of_another_program_is_waited_for_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that holds a transaction open stops the writer, not the readers, and is named as the cause."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 20)
    place = FilePlace(tmp_path)
    async with opened(place) as (journal, _):
        await fill(journal, created())
        with closing(apsw.Connection(str(place.path))) as other:
            other.execute("BEGIN IMMEDIATE")
            with trio.fail_after(5):
                error = await failure_of(journal)
            assert error is not None
            assert error.hint == "another program holds a lock on the file; end it"
            await check_nothing_of_the_group(journal)
            other.execute("ROLLBACK")
        await settle(journal)
    with closing(apsw.Connection(str(place.path))) as other:
        other.execute("BEGIN IMMEDIATE")
        with trio.fail_after(5), pytest.raises(StoreUnavailableError, match="another program holds a lock"):
            await place.journal().open(takeover=False)
        other.execute("ROLLBACK")
    async with opened(place) as (journal, _):
        await settle(journal)


async def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path, connections: list[apsw.Connection]) -> None:
    """SQLite's own bound on the size of the file ends in the same error as the disk's."""
    place = FilePlace(tmp_path)
    async with opened(place) as (journal, _):
        await fill(journal, created())
        writer = connections[0]
        room = writer.pragma("page_count")
        writer.pragma("max_page_count", room)
        error = await failure_of(journal)
        assert error is not None
        assert error.hint == FREE_SPACE
        await check_nothing_of_the_group(journal)
        writer.pragma("max_page_count", 1_000_000)
        await settle(journal)
    place.check()


@pytest.mark.parametrize("new", [True, False], ids=["new file", "old file"])
async def test_a_file_that_cannot_be_written_is_not_opened(disk: FaultyDisk, tmp_path: Path, *, new: bool) -> None:
    """A store that could only be read would take messages and lose them."""
    place = FilePlace(tmp_path)
    if not new:
        async with opened(place) as (journal, _):
            await fill(journal, created())
    else:
        place.path.touch()
    disk.read_only = True
    with pytest.raises(StoreUnavailableError, match="make the file and its folder writable"):
        await place.journal().open(takeover=False)
    disk.read_only = False
    async with opened(place) as (journal, _):
        await fill(journal, created())


async def test_a_file_without_a_write_ahead_log_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite answers with the mode it stays in, and an unread answer would be a lost turn at the next power cut."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreUnavailableError, match="cannot set journal_mode to wal: it is memory") as caught:
        await sqlite.SQLiteJournal(":memory:", Threads()).open(takeover=False)
    assert caught.value.hint == "put the store on a local disk"


@pytest.mark.rule("promise_storage_1")
async def test_every_commit_reaches_the_disk_before_it_is_acknowledged(
    disk: FaultyDisk, tmp_path: Path, connections: list[apsw.Connection]
) -> None:
    """The settings are in force: a full sync for every transaction, and rows that cannot lose their parents."""
    async with opened(FilePlace(tmp_path)) as (journal, _):
        writer, *readers = connections
        assert [writer.pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys")] == ["wal", 2, 1]
        assert [reader.readonly("main") for reader in readers] == [True, True]
        assert [reader.pragma("wal_autocheckpoint") for reader in readers] == [0, 0]
        for number, entry in enumerate([created(), *GROUP], 1):
            disk.operations.clear()
            await fill(journal, entry)
            assert disk.operations["sync"] == 1, number


def every_time() -> Iterator[tuple[int, bool]]:
    """Go through the operations a fault may strike, once and from then on."""
    return ((nth, sticky) for nth in itertools.count(1) for sticky in (False, True))


async def failure_of(journal: Journal) -> StoreUnavailableError | None:
    """Commit the group; return the error that this ends in, None if it is written."""
    return await error_of(partial(journal.commit, GROUP))


async def error_of(use: Callable[[], Awaitable[object]]) -> StoreUnavailableError | None:
    """Return the error that something ends in, None if it succeeds; it says what to do."""
    try:
        await use()
    except StoreUnavailableError as error:
        return error if error.hint else None
    return None


async def check_nothing_of_the_group(journal: Journal) -> None:
    """See that only what was there before is there."""
    assert await journal.events(CHAT, 0, ROWS) == created().events
    assert await journal.load(OTHER) is None
    assert await journal.find(CHAT, "key-1") is None


async def settle(journal: Journal) -> None:
    """Commit the group until it is known to be written, and see that it is there once."""
    await fill(journal, *GROUP)
    await fill(journal, *GROUP)
    by_chat: dict[str, list[Append]] = {CHAT: [created()], OTHER: []}
    for entry in GROUP:
        by_chat[entry.chat_id].append(entry)
    for chat_id in (CHAT, OTHER):
        events = tuple(event for entry in by_chat[chat_id] for event in entry.events)
        assert (await journal.events(chat_id, 0, len(events))) == events
    assert await numbers(journal, OTHER) == [1, 2]
