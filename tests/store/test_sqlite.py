"""The journal in one SQLite file passes the contract of its port."""

from pathlib import Path

from typing_extensions import override

from actors.runtime.clock import Threads
from actors.store.sqlite import SQLiteJournal
from tests.store.journal_contract import JournalContract, Place


class FilePlace:
    """A file that outlives its journals."""

    def __init__(self, folder: Path) -> None:
        """Name the file."""
        self.path = folder / "chats.db"

    def journal(self) -> SQLiteJournal:
        """Make a journal on the one file."""
        return SQLiteJournal(self.path, Threads())


class TestSQLiteJournal(JournalContract):
    """All of the contract."""

    @override
    def place_in(self, folder: Path) -> Place:
        return FilePlace(folder)
