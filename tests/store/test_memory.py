"""The journal in memory passes the contract of its port."""

from pathlib import Path

from typing_extensions import override

from tests.store.dead_letter_contract import DeadLetterContract
from tests.store.journal_contract import JournalContract
from tests.store.places import MemoryPlace, Place
from tests.store.rename_contract import RenameContract
from tests.store.standing_contract import StandingContract


class TestMemoryJournal(JournalContract, RenameContract, DeadLetterContract):
    """All of the contract."""

    @override
    def place_in(self, folder: Path) -> Place:
        return MemoryPlace()


class TestMemoryStanding(StandingContract):
    """And of what stands in a session."""

    @override
    def place_in(self, folder: Path) -> Place:
        return MemoryPlace()
