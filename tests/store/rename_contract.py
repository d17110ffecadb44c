"""What every journal does with a session that is given another id: a part of the contract, in a file of its own.

A draft is given its authoritative id in one entry. Whatever happens on the way, exactly one of the two ids is that of a
session, and that session has every event.
"""

import itertools
from collections.abc import AsyncIterator

import pytest

from actors.core.events import Event, PromptOpened, SessionCreated, SessionMigrated, StateSaved, TurnStarted
from actors.core.ids import ChatId
from actors.core.lifecycle import PromptStatus
from actors.errors import StoreCorruptError, StoreFencedError
from actors.ports import Alias, Append, Committed, Conflict, Entry, Erase, Found, Journal, Opened, Page, Rename
from tests.store.histories import CHAT, OTHER, append, created, events_of, state_of
from tests.store.journal_contract import accepted, completed
from tests.store.places import ROWS, Place, fill, numbers, opened

DRAFT, LIVE = ChatId("draft:42"), ChatId("live:4")


class RenameContract:
    """A session that is given another id."""

    @pytest.fixture
    async def drafted(self, place: Place) -> AsyncIterator[Journal]:
        """Open a journal on a new store with a draft in it that has a history, a queue and a state."""
        async with opened(place) as (journal, _):
            await fill(journal, *draft())
            yield journal

    async def test_promise_path_34_both_ids_read_the_one_session_under_its_new_id(
        self, drafted: Journal, place: Place
    ) -> None:
        """In this life and the next: every event, the same rows, and one name for it."""
        await fill(drafted, renamed(6))
        await self._check_moved(drafted, place, 7)
        await fill(drafted, append(LIVE, 7, accepted(3)))
        assert await numbers(drafted, DRAFT) == await numbers(drafted, LIVE) == [1, 2, 3, 4, 5, 6, 7, 8]

    async def test_promise_path_34_a_question_is_found_by_either_id(self, drafted: Journal) -> None:
        """As everything that is read of one session is."""
        await fill(drafted, append(DRAFT, 6, PromptOpened(2, 1, 0, "text", "why?")), renamed(7))
        for chat_id in (DRAFT, LIVE):
            assert await drafted.find_prompt(chat_id, 2, 0) is PromptStatus.OPEN

    async def test_promise_path_34_the_same_entry_again_is_recognised_whatever_followed(self, drafted: Journal) -> None:
        """A lost answer is settled by asking again, alone or in a group."""
        for entries in ([renamed(6)], [renamed(6)], [created(OTHER), renamed(6), append(LIVE, 7, accepted(3))]):
            await fill(drafted, *entries)
        await fill(drafted, renamed(6))
        assert await drafted.sessions("", ROWS) == (LIVE, OTHER)
        assert await numbers(drafted, LIVE) == [1, 2, 3, 4, 5, 6, 7, 8]

    async def test_promise_path_35_an_id_that_is_in_use_is_taken(self, drafted: Journal) -> None:
        """By a session, by one that was erased, or by one that leads to another; nothing has changed then."""
        other = ChatId("draft:43")
        await fill(drafted, created(LIVE), created(other), Rename(other, OTHER, 1, (moved(other, OTHER, 2),)))
        await fill(drafted, Erase(CHAT, 5.0))
        for taken in (LIVE, OTHER, other, CHAT):
            assert list(await drafted.commit([renamed(6, taken), created()])) == [Conflict(6), Conflict(0)]
            assert await numbers(drafted, DRAFT) == [1, 2, 3, 4, 5, 6]
            assert await drafted.sessions("", ROWS) == (DRAFT, LIVE, OTHER)
        await fill(drafted, renamed(6, ChatId("live:free")))

    async def test_promise_path_34_a_session_that_is_elsewhere_keeps_its_id(self, drafted: Journal) -> None:
        """An entry that does not follow its session conflicts, as an append does; so does one without a session."""
        unknown = ChatId("draft:unknown")
        for entry, seq in ((renamed(5), 6), (renamed(9), 6), (Rename(unknown, LIVE, 0, (moved(unknown, LIVE, 1),)), 0)):
            assert list(await drafted.commit([entry])) == [Conflict(seq)]
        await fill(drafted, renamed(6))
        for entry in (renamed(6, OTHER), renamed(7), renamed(6, epoch=2)):
            assert list(await drafted.commit([entry])) == [Conflict(7)]
        assert await drafted.sessions("", ROWS) == (LIVE,)

    async def test_d5_nothing_is_written_under_an_id_that_was_given_up(self, drafted: Journal) -> None:
        """An id leads to one session for ever; a second session of that name would split it."""
        await fill(drafted, append(DRAFT, 6, TurnStarted(2, 1)))  # so that its key is remembered
        await fill(drafted, renamed(7))
        for late in (append(DRAFT, 8, accepted(3)), append(DRAFT, 7, accepted(3)), created(DRAFT)):
            assert list(await drafted.commit([created(OTHER), late])) == [Committed(), Conflict(0)]
        assert await drafted.sessions("", ROWS) == (LIVE, OTHER)
        assert await numbers(drafted, LIVE) == [1, 2, 3, 4, 5, 6, 7, 8]

    async def test_promise_path_34_an_entry_stands_at_its_place_in_the_group(self, drafted: Journal) -> None:
        """Whatever order of creating, renaming and writing comes, each sees those before it."""
        group: list[Entry] = [
            append(DRAFT, 6, TurnStarted(2, 1)),
            renamed(7),
            append(LIVE, 8, accepted(3)),
            append(LIVE, 0, SessionCreated(), accepted(1, "other")),
            append(DRAFT, 9, accepted(4)),
        ]
        written = Committed()
        assert list(await drafted.commit(group)) == [written, written, written, Conflict(9), Conflict(0)]
        other = ChatId("draft:43")
        late: list[Entry] = [created(other), created(OTHER), Rename(other, OTHER, 1, (moved(other, OTHER, 2),))]
        assert list(await drafted.commit(late)) == [written, written, Conflict(1)]
        assert await drafted.sessions("", ROWS) == (other, LIVE, OTHER)

    async def test_promise_path_34_a_group_that_fails_leaves_both_ids_as_they_were(
        self, drafted: Journal, place: Place
    ) -> None:
        """All of it or nothing; the same entries around the bad one can be written afterwards."""
        bad = append(OTHER, 1, accepted(1), accepted(2, key="key-1"))
        groups: tuple[list[Entry], ...] = (
            [created(OTHER), renamed(6), bad],
            [renamed(6), Erase(LIVE, 5.0), created(OTHER), bad],
        )
        for group in groups:
            with pytest.raises(StoreCorruptError):
                await drafted.commit(group)
            assert await drafted.sessions("", ROWS) == (DRAFT,)
            assert await drafted.load(LIVE) is None
            found = await drafted.events(DRAFT, 0, ROWS)
            assert found == tuple(events_of(draft()))
        await fill(drafted, created(OTHER), renamed(6))
        await self._check_moved(drafted, place, 7, OTHER)

    async def test_d8_erasing_buries_every_id_of_a_session(self, drafted: Journal, place: Place) -> None:
        """By either of its ids; nothing brings any of them back, and others keep every row."""
        other = ChatId("draft:43")
        await fill(drafted, renamed(6), created(other), Rename(other, OTHER, 1, (moved(other, OTHER, 2),)))
        await fill(drafted, Erase(LIVE, 5.0), Erase(LIVE, 5.0))
        for chat_id in (DRAFT, LIVE):
            assert await drafted.load(chat_id) is None
            assert await drafted.events(chat_id, 0, ROWS) == ()
            assert list(await drafted.commit([created(chat_id)])) == [Conflict(0)]
        assert list(await drafted.commit([renamed(6)])) == [Conflict(0)]
        assert await numbers(drafted, other) == [1, 2]
        await fill(drafted, Erase(other, 6.0))
        assert await drafted.sessions("", ROWS) == ()
        await drafted.close()
        async with opened(place) as (_, said):
            assert said == Opened(2, frozenset(), frozenset({DRAFT, LIVE, other, OTHER}), ())

    async def test_promise_path_34_children_are_found_by_either_id_of_their_parent(self, drafted: Journal) -> None:
        """Those from before the migration and those from after it, whichever id they name."""
        first, second = ChatId("draft:child.1"), ChatId("live:child.2")
        await fill(drafted, append(first, 0, SessionCreated(DRAFT, 1, 1)), renamed(6))
        await fill(drafted, append(second, 0, SessionCreated(DRAFT, 1, 1)))
        for chat_id in (DRAFT, LIVE):
            assert await drafted.children(chat_id, ROWS) == (first, second)
        assert await drafted.children(first, ROWS) == ()

    async def test_promise_path_34_a_life_that_was_taken_over_renames_nothing(
        self, drafted: Journal, place: Place
    ) -> None:
        """As it writes nothing."""
        async with opened(place, takeover=True) as (taker, _):
            with pytest.raises(StoreFencedError):
                await drafted.commit([renamed(6)])
            assert await taker.sessions("", ROWS) == (DRAFT,)

    async def test_promise_path_34_every_order_of_two_drafts_and_one_id_gives_it_to_the_first(
        self, place: Place
    ) -> None:
        """Whichever comes first, in one group or in two."""
        for number, (order, together) in enumerate(itertools.product(((0, 1), (1, 0)), (True, False)), 1):
            async with opened(place) as (journal, _):
                drafts = [ChatId(f"draft:{number}.{which}") for which in (0, 1)]
                target = ChatId(f"live:{number}")
                await fill(journal, *(created(each) for each in drafts))
                entries = [Rename(drafts[n], target, 1, (moved(drafts[n], target, 2),)) for n in order]
                if together:
                    outcomes = list(await journal.commit(entries))
                else:
                    outcomes = [(await journal.commit([entry]))[0] for entry in entries]
                assert outcomes == [Committed(), Conflict(1)]
                assert await numbers(journal, drafts[order[0]]) == [1, 2]
                assert await numbers(journal, drafts[order[1]]) == [1]

    async def _check_moved(self, journal: Journal, place: Place, seq: int, *others: ChatId) -> None:
        """See that both ids read the session, here and in the next life, which goes on with it."""
        events = (*events_of(draft(LIVE)), *renamed(seq - 1).events)
        for chat_id in (DRAFT, LIVE):
            assert await journal.load(chat_id) == state_of(DRAFT, events)
            assert await journal.events(chat_id, 0, ROWS) == events
            assert await journal.find(chat_id, "key-1") == Found(1, 2, "completed", "", "")
            assert await journal.find(chat_id, "key-9") is None
            page = await journal.messages(chat_id, None, ROWS)
            assert [message.turn for message in page.messages] == [1]
            assert page != Page((), None)
        assert await journal.sessions("", ROWS) == tuple(sorted((LIVE, *others)))
        await journal.close()
        said = await journal.open(takeover=False)
        assert said == Opened(2, frozenset({LIVE, *others}), frozenset(), (LIVE,), (), (Alias(DRAFT, LIVE),))


def draft(chat_id: ChatId = DRAFT) -> list[Append]:
    """Make the entries of a draft: a turn, a state, and a second turn that waits."""
    return [append(chat_id, 0, SessionCreated(), *completed(1), StateSaved(1, "7"), accepted(2))]


def moved(old_id: ChatId, new_id: ChatId, seq: int, *, epoch: int = 1) -> Event:
    """Make the event that says that a session was migrated."""
    return Event(new_id, seq, epoch, 1_700_000_900.5, SessionMigrated(old_id, new_id))


def renamed(after: int, new_id: ChatId = LIVE, *, epoch: int = 1) -> Rename:
    """Make the entry that gives the draft another id."""
    return Rename(DRAFT, new_id, after, (moved(DRAFT, new_id, after + 1, epoch=epoch),))
