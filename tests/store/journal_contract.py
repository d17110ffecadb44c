"""What every journal does: one suite, which the twin of each adapter runs by inheriting ``JournalContract``.

The twin says where a store can be: journals made at one place, one after another, see the same events, as processes see
one file. What is expected is always computed here, from the events alone.
"""

import random
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest
import trio

from actors.core.codec import encode_body
from actors.core.events import (
    AttemptInterrupted,
    Event,
    EventBody,
    HistoryTruncated,
    MessageAccepted,
    MessageAdded,
    PromptClosed,
    PromptOpened,
    QueuePaused,
    QueueReordered,
    SeedPart,
    SessionCreated,
    StateSaved,
    TurnEnded,
    TurnStarted,
    TurnSuperseded,
)
from actors.core.ids import ChatId
from actors.core.lifecycle import PromptStatus, TurnStatus
from actors.errors import StoreCorruptError, StoreFencedError, StoreInUseError, StoreUnavailableError
from actors.ports import Append, Committed, Conflict, Entry, Erase, Found, Journal, Opened, Page
from tests.store.histories import (
    CHAT,
    OTHER,
    TEXTS,
    Story,
    append,
    created,
    entries_of,
    events_of,
    groups_of,
    state_of,
    text,
)
from tests.store.places import ROWS, Place, fill, numbers, opened
from tests.store.reads import all_pages, check_reads

UNKNOWN = ChatId("live:unknown")


class Contract:
    """What all parts of the contract need."""

    def place_in(self, folder: Path) -> Place:
        """Give the kind of place that the twin tests."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        """Give a place without a store."""
        return self.place_in(tmp_path)

    @pytest.fixture
    async def journal(self, place: Place) -> AsyncIterator[Journal]:
        """Open a journal on a new store."""
        async with opened(place) as (journal, _):
            yield journal


class _Ownership(Contract):
    """Opening, closing and being taken over."""

    async def test_a_new_store_is_empty_and_in_its_first_life(self, place: Place) -> None:
        """There is nothing to recover, and lives are counted from 1."""
        async with opened(place) as (_, said):
            assert said == Opened(1, frozenset(), frozenset(), ())

    @pytest.mark.rule("promise_words_13")
    async def test_every_opening_raises_the_epoch_by_one(self, place: Place) -> None:
        """A life is known by its number, so no two may share one; a journal may be opened again."""
        first, second = place.journal(), place.journal()
        for epoch, journal in enumerate((first, second, first, first, second), 1):
            assert (await journal.open(takeover=epoch % 2 == 0)).epoch == epoch
            await journal.close()

    async def test_opening_tells_the_sessions_the_tombstones_and_what_is_unfinished(self, place: Place) -> None:
        """A runtime settles what an earlier life left, in the order in which sessions were created."""
        queued, ended, running, gone = (ChatId(f"live:{name}") for name in ("z", "y", "x", "w"))
        async with opened(place) as (journal, _):
            await fill(
                journal,
                append(queued, 0, SessionCreated(), accepted(1)),
                append(ended, 0, SessionCreated(), *completed(1)),
                append(running, 0, SessionCreated(), *completed(1), accepted(2), TurnStarted(2, 1)),
                append(gone, 0, SessionCreated(), accepted(1)),
                Erase(gone, 5.0),
            )
        async with opened(place) as (_, said):
            assert said == Opened(2, frozenset({queued, ended, running}), frozenset({gone}), (queued, running))

    @pytest.mark.rule("promise_storage_9")
    async def test_a_second_opening_is_refused_while_the_first_lives(self, journal: Journal, place: Place) -> None:
        """Two lives on one store would write over each other; the first goes on undisturbed."""
        for other in (place.journal(), journal):
            with pytest.raises(StoreInUseError, match="takeover=True"):
                await other.open(takeover=False)
        await fill(journal, created())
        await journal.close()
        async with opened(place) as (_, said):
            assert said.epoch == 2

    @pytest.mark.rule("promise_words_13", "promise_storage_10", "J4")
    async def test_a_takeover_fences_the_life_before(self, journal: Journal, place: Place) -> None:
        """What the first had written is there; what it tries to write later is refused and leaves no trace."""
        await fill(journal, created())
        written = append(CHAT, 1, *completed(1), epoch=2)
        async with opened(place, takeover=True) as (taker, said):
            assert said.epoch == 2
            await fill(taker, written)
            late = (append(CHAT, 1, accepted(1)), append(CHAT, 4, accepted(2)), created(OTHER), Erase(CHAT, 1.0))
            for entry in late:
                with pytest.raises(StoreFencedError, match="epoch 1 was taken over by epoch 2"):
                    await journal.commit([entry])
            assert await taker.events(CHAT, 1, ROWS) == written.events
            assert await taker.load(OTHER) is None
        async with opened(place) as (_, said):
            assert said == Opened(3, frozenset({CHAT}), frozenset(), ())

    async def test_a_journal_may_take_over_from_itself(self, journal: Journal, place: Place) -> None:
        """It goes on in a new life, and holds nothing of the one before."""
        await fill(journal, created())
        assert (await journal.open(takeover=True)).epoch == 2
        await fill(journal, append(CHAT, 1, *completed(1), epoch=2))
        await journal.close()
        async with opened(place) as (_, said):
            assert said.epoch == 3

    async def test_closing_a_fenced_life_takes_nothing_from_the_new_owner(self, journal: Journal, place: Place) -> None:
        """The store is the taker's, however the life before ends."""
        async with opened(place, takeover=True) as (taker, _):
            await journal.close()
            with pytest.raises(StoreInUseError):
                await place.journal().open(takeover=False)
            await fill(taker, created())

    async def test_closing_is_safe_at_any_time(self, place: Place) -> None:
        """Before it was opened, after it could not be opened, and twice."""
        async with opened(place) as (journal, _):
            other = place.journal()
            await other.close()
            with pytest.raises(StoreInUseError):
                await other.open(takeover=False)
            await other.close()
            await fill(journal, created())
            await journal.close()

    async def test_a_journal_that_is_not_open_refuses_at_once(self, journal: Journal, place: Place) -> None:
        """Before its opening and after its close it says so, and does not wait for anything."""
        await fill(journal, created())
        await journal.close()
        for not_open in (journal, place.journal()):
            for use in (
                partial(not_open.commit, [created(OTHER)]),
                partial(not_open.load, CHAT),
                partial(not_open.find, CHAT, "key-1"),
                partial(not_open.turn, CHAT, 1),
                partial(not_open.events, CHAT, 0, ROWS),
                partial(not_open.messages, CHAT, None, ROWS),
                partial(not_open.sessions, "", ROWS),
                partial(not_open.dead_letters, None, 0, ROWS),
            ):
                with trio.fail_after(5), pytest.raises(StoreUnavailableError, match="the store is closed"):
                    await use()


class _Writing(Contract):
    """What becomes of a group of entries."""

    async def test_what_is_written_is_there_for_the_next_life(self, place: Place) -> None:
        """Every text comes back as it was, to the byte."""
        bodies = [StateSaved(1, text) for text in TEXTS]
        entries = [append(CHAT, 0, SessionCreated(), *completed(1)), append(CHAT, 4, *bodies)]
        async with opened(place) as (journal, _):
            await fill(journal, *entries)
        async with opened(place) as (journal, _):
            found = await journal.events(CHAT, 0, ROWS)
        assert found == tuple(events_of(entries))
        assert [encode_body(event.body) for event in found[4:]] == [encode_body(body) for body in bodies]

    async def test_a_session_is_created_and_written_to_in_one_group(self, journal: Journal) -> None:
        """An entry sees those before it in its group."""
        await fill(journal, created(), append(CHAT, 1, accepted(1), TurnStarted(1, 1)), append(CHAT, 3, accepted(2)))
        assert await numbers(journal, CHAT) == [1, 2, 3, 4]

    @pytest.mark.rule("J4")
    async def test_a_conflict_concerns_its_own_entry_only(self, journal: Journal) -> None:
        """A session that believes something wrong must not stop the others of its group."""
        await fill(journal, created(), append(CHAT, 1, *completed(1)))
        group: list[Entry] = [
            created(OTHER),
            append(CHAT, 3, accepted(2)),  # behind what is written
            append(OTHER, 1, accepted(1)),
            append(CHAT, 4, accepted(2)),
            append(CHAT, 9, accepted(3)),  # ahead of it
            append(UNKNOWN, 1, accepted(1)),
            append(CHAT, 5, TurnStarted(2, 1)),
        ]
        written = Committed()
        outcomes = [written, Conflict(4), written, written, Conflict(5), Conflict(0), written]
        assert list(await journal.commit(group)) == outcomes
        assert await numbers(journal, CHAT) == [1, 2, 3, 4, 5, 6]
        assert await numbers(journal, OTHER) == [1, 2]
        assert await journal.sessions("", ROWS) == (CHAT, OTHER)

    async def test_the_same_entries_again_are_recognised_as_written(self, journal: Journal) -> None:
        """A lost answer is settled by asking again, whatever else is in the group and whatever followed."""
        group = [created(), append(CHAT, 1, accepted(1), TurnStarted(1, 1)), created(OTHER)]
        await fill(journal, *group)
        await fill(journal, *group)
        await fill(journal, append(CHAT, 3, accepted(2)), *group, append(OTHER, 1, *completed(1)))
        await fill(journal, group[1])
        assert await numbers(journal, CHAT) == [1, 2, 3, 4]
        assert await numbers(journal, OTHER) == [1, 2, 3, 4]

    async def test_an_entry_that_only_resembles_a_written_one_conflicts(self, journal: Journal) -> None:
        """Another text, another life, or more than was written: it is not the same entry."""
        await fill(journal, created(), append(CHAT, 1, accepted(1)))
        for other in (
            append(CHAT, 1, accepted(1, "other")),
            append(CHAT, 1, accepted(1), epoch=2),
            append(CHAT, 1, accepted(1), TurnStarted(1, 1)),
            append(CHAT, 0, SessionCreated(), accepted(1), TurnStarted(1, 1)),
        ):
            assert list(await journal.commit([other])) == [Conflict(2)]
        assert await numbers(journal, CHAT) == [1, 2]

    async def test_an_empty_group_is_written_at_once(self, journal: Journal) -> None:
        """There is nothing in it that could fail."""
        assert list(await journal.commit([])) == []

    async def test_an_erased_session_leaves_only_its_tombstone(self, place: Place) -> None:
        """Everything of it is gone, nothing of another is; erasing what is not there leaves a tombstone too."""
        async with opened(place) as (journal, _):
            await fill(journal, created(), append(CHAT, 1, *completed(1), accepted(2)), created(OTHER))
            await fill(journal, Erase(CHAT, 5.0), append(OTHER, 1, *completed(1)), Erase(UNKNOWN, 6.0))
            await fill(journal, Erase(CHAT, 5.0))
            assert await journal.load(CHAT) is None
            assert await journal.find(CHAT, "key-1") is None
            assert await journal.events(CHAT, 0, ROWS) == ()
            assert await journal.messages(CHAT, None, ROWS) == Page((), None)
            assert await journal.sessions("", ROWS) == (OTHER,)
            assert await numbers(journal, OTHER) == [1, 2, 3, 4]
        async with opened(place) as (_, said):
            assert said == Opened(2, frozenset({OTHER}), frozenset({CHAT, UNKNOWN}), ())

    @pytest.mark.rule("D8", "promise_path_37")
    async def test_nothing_brings_an_erased_session_back(self, journal: Journal) -> None:
        """Neither a late entry nor a new beginning, alone or in a group: the id stays buried."""
        await fill(journal, created(), append(CHAT, 1, accepted(1)), created(OTHER), Erase(CHAT, 5.0))
        for late in (append(CHAT, 2, TurnStarted(1, 1)), append(CHAT, 1, accepted(1)), created()):
            assert list(await journal.commit([created(OTHER), late])) == [Committed(), Conflict(0)]
            assert await journal.load(CHAT) is None
        assert await journal.sessions("", ROWS) == (OTHER,)

    async def test_an_erasure_stands_at_its_place_in_the_group(self, journal: Journal) -> None:
        """It takes what stands before it in the group, and what stands after it finds a tombstone."""
        await fill(journal, created(OTHER))
        group: list[Entry] = [created(), Erase(CHAT, 5.0), append(CHAT, 1, accepted(1)), append(OTHER, 1, accepted(1))]
        assert list(await journal.commit(group)) == [Committed(), Committed(), Conflict(0), Committed()]
        await fill(journal, append(OTHER, 2, TurnStarted(1, 1)), Erase(OTHER, 5.0), created(UNKNOWN))
        assert await journal.sessions("", ROWS) == (UNKNOWN,)

    async def test_a_group_that_fails_leaves_nothing(self, journal: Journal) -> None:
        """A key that would name two messages cannot be written; the entries around it can, without it."""
        await fill(journal, created(), append(CHAT, 1, *completed(1)))
        good: list[Entry] = [created(OTHER), append(OTHER, 1, accepted(1)), append(CHAT, 4, *completed(2))]
        with pytest.raises(StoreCorruptError):
            await journal.commit([*good, append(CHAT, 7, accepted(3), accepted(4, key="key-1")), Erase(CHAT, 5.0)])
        assert await journal.sessions("", ROWS) == (CHAT,)
        assert await numbers(journal, CHAT) == [1, 2, 3, 4]
        assert await journal.find(CHAT, "key-2") is None
        await fill(journal, *good)
        assert await journal.find(CHAT, "key-1") == Found(1, 2, "completed", "", "")


class _Reading(Contract):
    """What is read is what the events say."""

    @pytest.mark.rule("promise_storage_3")
    def test_every_read_is_what_the_events_say(self) -> None:
        """Whatever has happened to a session, each projection agrees with its events, in this life and the next."""

        @hypothesis.given(chance=st.randoms(use_true_random=False), steps=st.integers(0, 30))
        def holds(chance: random.Random, steps: int) -> None:
            entries = entries_of(CHAT, Story(chance).tell(steps))
            with tempfile.TemporaryDirectory() as folder:
                trio.run(self._play, self.place_in(Path(folder)), entries, chance)

        holds()

    async def _play(self, place: Place, entries: list[Append], chance: random.Random) -> None:
        """Write a history in random groups; compare what is open after each, and everything at the end."""
        events: list[Event] = []
        async with opened(place) as (journal, _):
            for group in groups_of(entries, chance):
                await fill(journal, *group)
                events += events_of(group)
                assert await journal.load(CHAT) == state_of(CHAT, events)
            await check_reads(journal, events, chance)
        async with opened(place) as (journal, said):
            state = state_of(CHAT, events)
            assert said.unfinished == ((CHAT,) if state.open_turns else ())
            assert await journal.load(CHAT) == state
            await check_reads(journal, events, chance)

    async def test_a_session_that_does_not_exist_has_nothing(self, journal: Journal) -> None:
        """Reading an unknown id is no error and makes nothing."""
        await fill(journal, created(OTHER), append(OTHER, 1, *completed(1)))
        assert await journal.load(CHAT) is None
        assert await journal.find(CHAT, "key-1") is None
        assert await journal.turn(CHAT, 1) is None
        assert await journal.events(CHAT, 0, ROWS) == ()
        assert await journal.messages(CHAT, None, ROWS) == Page((), None)
        assert await journal.sessions("", ROWS) == (OTHER,)

    @pytest.mark.parametrize("number", [1 << 63, 10**30, -(10**30)])
    async def test_numbers_that_nothing_can_have_name_nothing(self, number: int, journal: Journal) -> None:
        """A person may type any of them: that is no fault of the store's, and costs no session anything."""
        await fill(journal, append(CHAT, 0, SessionCreated(), *completed(1)))
        everything = number < 0
        assert await journal.turn(CHAT, number) is None
        assert (await journal.events(CHAT, number, ROWS) == ()) is not everything
        assert ((await journal.messages(CHAT, number, ROWS)).messages == ()) is everything
        assert await journal.dead_letters(None, number, ROWS) == ()

    @pytest.mark.rule("M9")
    async def test_a_key_finds_its_turn_wherever_that_stands(self, journal: Journal) -> None:
        """The receipt of a repeated message and its result come from here, for every status a turn may have."""
        ends = [
            TurnEnded(1, 1, TurnStatus.COMPLETED),
            TurnEnded(2, 1, TurnStatus.FAILED, "crashed", "ValueError"),
            TurnEnded(3, 1, TurnStatus.CANCELLED),
            TurnEnded(4, 1, TurnStatus.INTERRUPTED, "process_ended"),
            TurnEnded(5, 0, TurnStatus.EXPIRED, "deadline"),
        ]
        await fill(journal, append(CHAT, 0, SessionCreated(), *(accepted(turn) for turn in range(1, 9))))
        for number, end in enumerate(ends):
            await fill(journal, append(CHAT, 9 + 2 * number, TurnStarted(end.turn, 1), end))
        again = (TurnStarted(6, 1), AttemptInterrupted(6, 1))
        await fill(journal, append(CHAT, 19, *again))
        assert await journal.find(CHAT, "key-6") == Found(6, 7, "queued", "", "")
        await fill(journal, append(CHAT, 21, TurnStarted(6, 2)))
        for end in ends:
            found = Found(end.turn, end.turn + 1, end.status.value, end.reason, end.error)
            assert await journal.find(CHAT, f"key-{end.turn}") == found
        assert await journal.find(CHAT, "key-6") == Found(6, 7, "running", "", "")
        assert await journal.find(CHAT, "key-8") == Found(8, 9, "queued", "", "")
        assert await journal.find(CHAT, "key-9") is None
        assert await journal.find(OTHER, "key-1") is None

    async def test_the_id_of_a_seed_is_no_key(self, journal: Journal) -> None:
        """Recorded messages bring ids of their own; a sender may use the same word, and two seeds may share one."""
        seeds = [MessageAdded("key-1", role, (SeedPart("text", "hi"),)) for role in ("user", "user")]
        await fill(journal, append(CHAT, 0, SessionCreated(), *seeds))
        assert await journal.find(CHAT, "key-1") is None
        await fill(journal, append(CHAT, 3, accepted(1)))
        assert await journal.find(CHAT, "key-1") == Found(1, 4, "queued", "", "")

    async def test_a_page_holds_whole_turns_and_the_oldest_the_seeds(self, journal: Journal) -> None:
        """The last page comes first; a turn longer than a page is a page; what is open or superseded is left out."""
        history: list[EventBody] = [SessionCreated(), MessageAdded("seed", "system", (SeedPart("text", "be kind"),))]
        for turn, messages in ((1, 1), (2, 1), (3, 4)):
            said = (text(turn, 1, message, "said") for message in range(messages))
            history += [accepted(turn), TurnStarted(turn, 1), *said, TurnEnded(turn, 1, TurnStatus.COMPLETED)]
        history += [accepted(4), TurnStarted(4, 1), text(4, 1, 0, "superseded"), AttemptInterrupted(4, 1)]
        await fill(journal, append(CHAT, 0, *history, TurnStarted(4, 2), accepted(5)))
        pages = await all_pages(journal, 4)
        assert [[message.turn for message in page.messages] for page in pages] == [[3] * 5, [0, 1, 1, 2, 2]]
        await fill(journal, append(CHAT, 23, text(4, 2, 0, "again"), TurnEnded(4, 2, TurnStatus.FAILED)))
        pages = await all_pages(journal, 3)
        shown = [[(message.turn, message.text) for message in page.messages] for page in pages]
        assert shown == [
            [(4, "hello"), (4, "again")],
            [(3, "hello"), *[(3, "said")] * 4],
            [(2, "hello"), (2, "said")],
            [(0, "be kind"), (1, "hello"), (1, "said")],
        ]
        assert [page.before_turn for page in pages] == [4, 3, 2, None]
        assert [message.turn for message in (await journal.messages(CHAT, None, 7)).messages] == [3] * 5 + [4] * 2
        assert await journal.messages(CHAT, 1, 3) == Page(pages[-1].messages[:1], None)
        assert await journal.messages(CHAT, 0, 3) == Page((), None)

    async def test_sessions_are_listed_in_the_order_of_their_ids(self, journal: Journal) -> None:
        """Pages go on after the last id of the page before, whenever a session was created."""
        names = ["replay:a", "live:b", "live:B", "live:10", "live:9", "draft:z", "live:side-channel:b", "live:b.c"]
        await fill(journal, *(created(ChatId(name)) for name in names))
        in_order = sorted(names)
        assert await journal.sessions("", ROWS) == tuple(in_order)
        assert await journal.sessions("live:9", 2) == tuple(in_order[in_order.index("live:9") + 1 :][:2])
        assert await journal.sessions("live:a", 1) == ("live:b",)
        assert await journal.sessions(in_order[-1], ROWS) == ()

    async def test_a_cut_hides_the_turns_that_stood_behind_it_then(self, journal: Journal) -> None:
        """One that is moved behind the place of the cut later on stays in the history."""
        moved = QueueReordered((4, 1), (1, 4))
        await fill(journal, append(CHAT, 0, SessionCreated(), QueuePaused(), accepted(1), *completed(2)))
        cancelled = TurnEnded(1, 0, TurnStatus.CANCELLED)
        await fill(journal, append(CHAT, 6, accepted(3), HistoryTruncated(2, 2, 3), accepted(4), moved, cancelled))
        recorded = [await journal.turn(CHAT, turn) for turn in (1, 2, 3, 4)]
        assert [each and each.hidden for each in recorded] == [False, True, True, False]

    async def test_a_turn_that_was_cut_keeps_what_it_was_handed_and_had_not_taken(self, journal: Journal) -> None:
        """It shares the fate of the turn, so it is there when the turn is looked at or retried."""
        handed = MessageAccepted("key-2", 1, "and?", joined="steer")
        ends = TurnSuperseded(1, 1, hidden=True), HistoryTruncated(1, 1, 1)
        over = TurnEnded(1, 1, TurnStatus.CANCELLED, "rolled_back", hidden=True)
        await fill(journal, append(CHAT, 0, SessionCreated(), accepted(1), TurnStarted(1, 1), handed, *ends))
        for bodies in ((), (over,)):
            await fill(journal, append(CHAT, 6, *bodies))
            recorded = await journal.turn(CHAT, 1)
            assert recorded is not None
            assert recorded.hidden
            assert [message.message_id for message in recorded.messages] == ["key-1", "key-2"]

    async def test_of_questions_with_one_number_the_last_counts(self, journal: Journal) -> None:
        """Older files have them: each attempt of a turn began to count its questions anew."""
        first = (accepted(1), TurnStarted(1, 1), PromptOpened(1, 1, 0, "text", "why?"), PromptClosed(1, 0))
        again = (AttemptInterrupted(1, 1), TurnStarted(1, 2), PromptOpened(1, 2, 0, "text", "why?"))
        await fill(journal, append(CHAT, 0, SessionCreated(), *first))
        await fill(journal, append(CHAT, 5, *again))
        assert await journal.find_prompt(CHAT, 1, 0) is PromptStatus.OPEN


class JournalContract(_Ownership, _Writing, _Reading):
    """All of it."""


def accepted(turn: int, said: str = "hello", *, key: str = "") -> MessageAccepted:
    """Accept a message."""
    return MessageAccepted(key or f"key-{turn}", turn, said)


def completed(turn: int) -> tuple[MessageAccepted, TurnStarted, TurnEnded]:
    """Go through a turn whose agent says nothing."""
    return accepted(turn), TurnStarted(turn, 1), TurnEnded(turn, 1, TurnStatus.COMPLETED)
