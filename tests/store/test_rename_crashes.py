"""The power goes while a session is given another id: it has the old one or the new one, and everything it had."""

from pathlib import Path

import pytest

from actors.ports import Conflict
from actors.store.checks import check_store
from tests.store.histories import CHAT, append, created, events_of
from tests.store.journal_contract import accepted
from tests.store.places import ROWS, FilePlace, fill, opened
from tests.store.rename_contract import DRAFT, LIVE, draft, renamed

FRAME_BYTES = 4096 + 24
"""A page in the write-ahead log, with its header."""


@pytest.mark.rule("pack_20", "promise_path_34")
async def test_a_log_that_ends_anywhere_holds_all_of_a_migration_or_nothing(tmp_path: Path) -> None:
    """What reached the disk is cut at every frame of the commit, and within them; the next life goes on from there."""
    place = FilePlace(tmp_path / "whole")
    async with opened(place) as (journal, _):
        await fill(journal, created(), *draft())
        before = len(log_of(place).read_bytes())
        await fill(journal, renamed(6), append(CHAT, 1, accepted(1)))
        database, log = place.path.read_bytes(), log_of(place).read_bytes()
    cuts = sorted({cut for end in range(before, len(log), FRAME_BYTES) for cut in (end, end + 1, end + 2000)})
    moved = 0
    for cut in [*(cut for cut in cuts if cut < len(log)), len(log)]:
        copy = FilePlace(tmp_path / str(cut))
        copy.path.write_bytes(database)
        log_of(copy).write_bytes(log[:cut])
        moved += await check_whole(copy)
        assert moved == (cut == len(log)), "only a whole commit counts"
    assert len(cuts) > 10


async def check_whole(place: FilePlace) -> bool:
    """See that the session is there once with everything, finish its migration, and say whether it had happened."""
    async with opened(place) as (journal, said):
        moved = LIVE in said.chat_ids
        assert said.chat_ids == {CHAT, LIVE if moved else DRAFT}
        assert [alias.chat_id for alias in said.aliases] == [DRAFT] * moved
        chat_id = LIVE if moved else DRAFT
        events = [*events_of(draft(chat_id)), *(renamed(6).events if moved else ())]
        assert await journal.events(DRAFT, 0, ROWS) == tuple(events)
        assert len(await journal.events(CHAT, 0, ROWS)) == 1 + moved, "one transaction: the neighbour's entry too"
        await fill(journal, renamed(6))  # the same entry again, as the writer would try it
        assert await journal.events(LIVE, 0, ROWS) == (*events_of(draft(LIVE)), *renamed(6).events)
        assert list(await journal.commit([created(DRAFT)])) == [Conflict(0)]
    assert [finding for finding in check_store(place.path) if not finding.ok] == []
    return moved


def log_of(place: FilePlace) -> Path:
    """Name the write-ahead log of a store."""
    return place.path.with_name(place.path.name + "-wal")
