"""Where the stores of tests are, and the ways in which tests live on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final, Protocol

import apsw
from typing_extensions import override

from actors.core.ids import ChatId
from actors.ports import Committed, Entry, Journal, Opened
from actors.runtime.clock import Threads
from actors.store.memory import MemoryJournal, MemoryStore
from actors.store.sqlite import SQLiteJournal

ROWS: Final = 10_000
"""More rows than any history of a test has."""


class Place(Protocol):
    """Somewhere a store can be: journals made here, one after another, see the same events."""

    def journal(self) -> Journal:
        """Make a journal on what is here; it is not open yet."""
        ...


class MemoryPlace(Place):
    """A store in memory that outlives its journals."""

    def __init__(self) -> None:
        """Begin with nothing stored."""
        self._store = MemoryStore()

    @override
    def journal(self) -> MemoryJournal:
        return MemoryJournal(self._store)


class FilePlace(Place):
    """A file in a folder."""

    def __init__(self, folder: Path) -> None:
        """Name the file; there is none yet."""
        folder.mkdir(exist_ok=True)
        self.path = folder / "chats.db"

    @override
    def journal(self) -> SQLiteJournal:
        return SQLiteJournal(self.path, Threads())

    def check(self) -> None:
        """Have SQLite look for damage, through a connection that knows nothing of the test."""
        with closing(apsw.Connection(str(self.path), vfs="unix")) as db:
            assert db.execute("PRAGMA integrity_check").get == "ok"
            assert list(db.execute("PRAGMA foreign_key_check")) == []


@asynccontextmanager
async def opened(place: Place, *, takeover: bool = False) -> AsyncIterator[tuple[Journal, Opened]]:
    """Live one life on a store."""
    journal = place.journal()
    said = await journal.open(takeover=takeover)
    try:
        yield journal, said
    finally:
        await journal.close()


async def fill(journal: Journal, *entries: Entry) -> None:
    """Write entries that have to be written."""
    assert list(await journal.commit(entries)) == [Committed()] * len(entries)


async def numbers(journal: Journal, chat_id: ChatId) -> list[int]:
    """List the numbers of a session's events."""
    return [event.seq for event in await journal.events(chat_id, 0, ROWS)]
