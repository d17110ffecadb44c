"""Rows that contradict each other are found when they are read, and cost their own session only."""

from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from actors.core.events import EventBody, PromptOpened, SessionCreated, ToolCalled, TurnEnded, TurnStarted
from actors.core.ids import ChatId
from actors.core.lifecycle import TurnStatus
from actors.errors import StoreCorruptError
from actors.ports import Journal
from tests.store.histories import CHAT, OTHER, append, messages_of, state_of, text
from tests.store.journal_contract import accepted, completed
from tests.store.places import ROWS, FilePlace, fill, opened

Read = Callable[[Journal, ChatId], Awaitable[object]]

BODIES: list[EventBody] = [
    SessionCreated(),
    *completed(1),  # 2 to 4
    accepted(2),
    TurnStarted(2, 1),
    text(2, 1, 0, "said"),
    TurnEnded(2, 1, TurnStatus.COMPLETED),
    accepted(3),  # 9
    TurnStarted(3, 1),
    ToolCalled(3, 1, 0, 0, 0, "id", "name", "{}"),
    PromptOpened(3, 1, 0, "text", "why?"),  # 12
    accepted(4),
]


async def load(journal: Journal, chat_id: ChatId) -> object:
    """Read what is open."""
    return await journal.load(chat_id)


async def page(journal: Journal, chat_id: ChatId) -> object:
    """Read the messages."""
    return await journal.messages(chat_id, None, ROWS)


async def events(journal: Journal, chat_id: ChatId) -> object:
    """Read the events."""
    return await journal.events(chat_id, 0, ROWS)


FAULTS: dict[str, tuple[Read, str, str]] = {
    "a body is no JSON": (load, "UPDATE event SET body='{' WHERE seq=9", "event 9 cannot be read"),
    "a body is of no kind": (events, """UPDATE event SET body='{"kind":"no"}' WHERE seq=1""", "event 1 cannot be read"),
    "a body is of the future": (page, "UPDATE event SET version=99 WHERE seq=2", "event 2 cannot be read"),
    "an event in the middle is gone": (events, "DELETE FROM event WHERE seq=3", "event 3 is missing"),
    "an event of a page is gone": (page, "DELETE FROM event WHERE seq=7", "event 7 is missing"),
    "the first event is gone": (events, "DELETE FROM event WHERE seq=1", "event 1 is missing"),
    "the acceptance of an open turn is gone": (load, "DELETE FROM event WHERE seq=9", "event 9 is missing"),
    "the last event is gone": (load, "DELETE FROM event WHERE seq=13", "the session ends at 13, its journal at 12"),
    "all events are gone": (load, "DELETE FROM event WHERE true", "the session ends at 13, its journal at 0"),
    "the session is behind its events": (load, "UPDATE session SET seq=12", "ends at 12, its journal at 13"),
    "the session is ahead of its events": (load, "UPDATE session SET seq=14", "ends at 14, its journal at 13"),
    "a turn points at nothing": (load, "UPDATE turn SET accepted_seq=99 WHERE turn=4", "event 99 is missing"),
    "a turn points at another": (load, "UPDATE turn SET accepted_seq=9 WHERE turn=4", "turn 4 points to an event"),
    "a turn points at something else": (
        load,
        "UPDATE turn SET accepted_seq=1 WHERE turn=3",
        "turn 3 points to an event",
    ),
    "an end points at nothing": (page, "UPDATE turn SET ended_seq=99 WHERE turn=2", "event 14 is missing"),
    "an end points at something else": (
        page,
        "UPDATE turn SET ended_seq=7 WHERE turn=2",
        "a turn of 1 to 2 has no end",
    ),
    "two turns run": (load, "UPDATE turn SET status='running' WHERE turn=4", "turns 3 and 4 both run"),
    "a prompt points at something else": (
        load,
        "UPDATE prompt SET opened_seq=1 WHERE true",
        "a prompt points to event 1",
    ),
    "a turn ends that was not accepted": (
        page,
        "UPDATE turn SET accepted_seq=3 WHERE turn=1",
        "do not follow each other",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_contradiction_is_named_and_keeps_only_its_own_session_out(fault: str, tmp_path: Path) -> None:
    """One bad session in a store of thousands is one bad session: the others are read, and written to."""
    read, damage, message = FAULTS[fault]
    place = FilePlace(tmp_path)
    async with opened(place) as (journal, _):
        await fill(journal, append(CHAT, 0, *BODIES), append(OTHER, 0, *BODIES))
    with closing(apsw.Connection(str(place.path))) as db:
        db.execute(damage.replace("WHERE", "WHERE chat=1 AND") if "WHERE" in damage else f"{damage} WHERE chat=1")
        assert db.total_changes() == (13 if fault == "all events are gone" else 1)
    async with opened(place) as (journal, said):
        assert set(said.unfinished) == {CHAT, OTHER}
        with pytest.raises(StoreCorruptError, match=message) as caught:
            await read(journal, CHAT)
        assert caught.value.chat_id == CHAT
        assert caught.value.hint
        whole = append(OTHER, 0, *BODIES).events
        assert await journal.load(OTHER) == state_of(OTHER, whole)
        assert await journal.events(OTHER, 0, ROWS) == whole
        assert (await journal.messages(OTHER, None, ROWS)).messages == messages_of(whole)
        await fill(journal, append(OTHER, 13, accepted(5)))


async def test_events_are_read_across_the_pages_of_the_store(tmp_path: Path) -> None:
    """A turn with more events than are read at once is one turn."""
    said = [text(1, 1, number, "said") for number in range(2500)]
    history: list[EventBody] = [
        SessionCreated(),
        accepted(1),
        TurnStarted(1, 1),
        *said,
        TurnEnded(1, 1, TurnStatus.COMPLETED),
    ]
    async with opened(FilePlace(tmp_path)) as (journal, _):
        await fill(journal, append(CHAT, 0, *history))
        assert (await journal.messages(CHAT, None, 10)).messages == messages_of(append(CHAT, 0, *history).events)


async def test_numbers_beyond_what_a_file_can_hold_are_taken_as_its_end(tmp_path: Path) -> None:
    """A reader may ask for anything; it gets what there is."""
    async with opened(FilePlace(tmp_path)) as (journal, _):
        await fill(journal, append(CHAT, 0, *BODIES))
        everything = await journal.messages(CHAT, None, ROWS)
        assert await journal.messages(CHAT, 1 << 100, ROWS) == everything
        assert await journal.events(CHAT, -5, ROWS) == append(CHAT, 0, *BODIES).events
