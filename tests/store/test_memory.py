"""The journal in memory passes the contract of its port."""

from pathlib import Path

from typing_extensions import override

from actors.store.memory import MemoryJournal, MemoryStore
from tests.store.journal_contract import JournalContract, Place


class MemoryPlace:
    """A store in memory that outlives its journals."""

    def __init__(self) -> None:
        """Begin with nothing stored."""
        self._store = MemoryStore()

    def journal(self) -> MemoryJournal:
        """Make a journal on the one store."""
        return MemoryJournal(self._store)


class TestMemoryJournal(JournalContract):
    """All of the contract."""

    @override
    def place_in(self, folder: Path) -> Place:
        return MemoryPlace()
