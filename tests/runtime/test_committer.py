"""The one writer: groups within their bounds, in order; nothing is told before it is on disk; only the bad fails."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from actors import Event, Limits, SessionCreated, StoreCorruptError, StoreFencedError, StoreUnavailableError
from actors.core.ids import ChatId
from actors.ports import Append, Bury, Committed, Conflict, Entry, Erase, Outcome
from actors.runtime.committer import Committer, Failed, Result
from actors.runtime.recorder import Recorder
from actors.store.memory import MemoryJournal
from actors.testing import (
    Answers,
    Delays,
    Fails,
    FaultyJournal,
    Hangs,
    LosesAnswer,
    VirtualClock,
    records_of,
)


class Watched:
    """A committer with everything that it told."""

    def __init__(self, journal: FaultyJournal, limits: Limits) -> None:
        """Make the committer; ``log`` holds its records."""
        self.log = BytesIO()
        self.recorder = Recorder(self.log, "debug", limits, VirtualClock())
        self.journal = journal
        self.changes: list[str] = []
        self.told: list[tuple[str, Result]] = []
        self.committer = Committer(journal, limits, self.recorder, self.changes.append)

    def submit(self, chat_id: str, expected_seq: int = 0, size_bytes: int = 1) -> None:
        """Have the next event of a chat written."""
        event = Event(ChatId(chat_id), expected_seq + 1, 1, 0.0, SessionCreated())
        entry = Append(ChatId(chat_id), expected_seq, (event,))
        self.committer.submit(entry, size_bytes, lambda result: self.told.append((chat_id, result)))

    def records(self) -> list[str]:
        """Close the log and name its records."""
        self.recorder.close()
        return [record["event"] for record in records_of(self.log)]


def is_idle(watched: Watched) -> bool:
    """Ask anew whether nothing is pending; a type checker would believe the first answer for ever."""
    return watched.committer.idle


def is_degraded(watched: Watched) -> bool:
    """Ask anew whether nothing can be written."""
    return watched.committer.statistics.degraded


@asynccontextmanager
async def open_committer(journal: FaultyJournal | None = None, **limits: float) -> AsyncIterator[Watched]:
    """Run a committer on a journal of its own."""
    inner = journal or FaultyJournal(MemoryJournal())
    await inner.open(takeover=False)
    watched = Watched(inner, Limits(**limits))  # type: ignore[arg-type]  # limits by name
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.committer.run)
        nursery.start_soon(watched.committer.watch)
        yield watched
        nursery.cancel_scope.cancel()


class Groups(FaultyJournal):
    """Notes the groups that it is given."""

    def __init__(self) -> None:
        """Stand before a journal in memory."""
        super().__init__(MemoryJournal())
        self.groups: list[list[str]] = []

    @override
    async def commit(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        self.groups.append([entry.chat_id for entry in entries if not isinstance(entry, Bury)])
        return await super().commit(entries)


@pytest.mark.rule("J5")
async def test_what_gathers_while_one_group_is_written_is_the_next_group(autojump_clock: MockClock) -> None:
    """The size of a group follows the load, and no entry waits for a timer."""
    journal = Groups()
    async with open_committer(journal) as watched:
        journal.plan("commit", Delays(1.0), times=1)
        watched.submit("live:0")
        await wait_all_tasks_blocked()
        for number in range(1, 6):
            watched.submit(f"live:{number}")
        assert not is_idle(watched)
        await trio.sleep(2.0)
        assert is_idle(watched)
    assert journal.groups == [["live:0"], [f"live:{number}" for number in range(1, 6)]]
    assert watched.told == [(f"live:{number}", Committed()) for number in range(6)]
    assert watched.committer.statistics.entries_in_group_max == 5


@pytest.mark.parametrize(
    ("limits", "sizes", "groups"),
    [
        ({"commit_entries_max": 2}, [1] * 5, [1, 2, 2]),
        ({"commit_bytes_max": 10_000}, [1, 6000, 6000, 4000, 4000], [1, 1, 2, 1]),
        ({"commit_bytes_max": 10_000}, [1, 50_000, 1, 50_000], [1, 1, 1, 1]),
    ],
)
async def test_a_group_stays_within_its_bounds(
    limits: dict[str, float], sizes: list[int], groups: list[int], autojump_clock: MockClock
) -> None:
    """In entries and in bytes; one entry that is larger is a group of its own."""
    journal = Groups()
    async with open_committer(journal, **limits) as watched:
        journal.plan("commit", Delays(1.0), times=1)
        for number, size_bytes in enumerate(sizes):
            watched.submit(f"live:{number}", size_bytes=size_bytes)
            await wait_all_tasks_blocked()
        await trio.sleep(2.0)
    assert [len(group) for group in journal.groups] == groups


async def test_a_group_that_fails_is_tried_again_with_growing_delays_until_it_is_written(
    autojump_clock: MockClock,
) -> None:
    """Nobody is told anything meanwhile; what came later stays behind it; one outage is one record."""
    moments: list[float] = []

    class Noting(FaultyJournal):
        """Notes when it is asked to commit."""

        @override
        async def commit(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
            moments.append(trio.current_time())
            return await super().commit(entries)

    journal = Noting(MemoryJournal())
    async with open_committer(journal, commit_retry_first_s=1.0, commit_retry_last_s=4.0) as watched:
        journal.plan("commit", Fails(), times=5)
        watched.submit("live:a")
        await wait_all_tasks_blocked()
        watched.submit("live:b")
        await trio.sleep(14.0)
        assert watched.told == []
        assert is_degraded(watched)
        await trio.sleep(10.0)
        assert not is_degraded(watched)
    assert moments[:6] == [0.0, 1.0, 3.0, 7.0, 11.0, 15.0]
    assert watched.told == [("live:a", Committed()), ("live:b", Committed())]
    assert watched.changes == ["degraded", "recovered"]
    assert watched.records() == ["store.degraded", "store.recovered"]
    assert watched.committer.statistics.retries == 5


@pytest.mark.rule("promise_storage_7")
@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("full"),
        ValueError(),
        KeyboardInterrupt(),
        SystemExit(),
        BaseExceptionGroup("g", [OSError()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_journal_raises_nothing_is_lost_or_doubled(
    error: BaseException, autojump_clock: MockClock
) -> None:
    """Raised before the write, and raised although it was done: the second try recognises what is there."""
    journal = FaultyJournal(MemoryJournal())
    async with open_committer(journal) as watched:
        for fault in (Fails(error), LosesAnswer(error)):
            journal.plan("commit", fault, times=1)
        watched.submit("live:a")
        await trio.sleep(10.0)
        watched.submit("live:a", expected_seq=1)
        await trio.sleep(10.0)
        assert len(await journal.events(ChatId("live:a"), 0, 10)) == 2
    assert watched.told == [("live:a", Committed())] * 2


@pytest.mark.parametrize("answer", [None, [], [Committed(), Committed()], ["yes"], [None], 7, {"a": Committed()}])
async def test_an_answer_that_does_not_fit_the_question_is_not_believed(
    answer: object, autojump_clock: MockClock
) -> None:
    """It is a failure like any other: nobody is told, and it is tried again."""
    journal = FaultyJournal(MemoryJournal())
    async with open_committer(journal) as watched:
        journal.plan("commit", Answers(answer), times=2)
        watched.submit("live:a")
        await wait_all_tasks_blocked()
        assert watched.told == []
        assert is_degraded(watched)
        await trio.sleep(10.0)
    assert watched.told == [("live:a", Committed())]


async def test_a_commit_that_hangs_is_said_to_be_degraded_and_recovers(autojump_clock: MockClock) -> None:
    """A disk that does not answer at all is no better than one that answers with errors."""
    journal = FaultyJournal(MemoryJournal())
    async with open_committer(journal, commit_retry_last_s=5.0) as watched:
        journal.plan("commit", Hangs())
        watched.submit("live:a")
        await trio.sleep(4.9)
        assert not is_degraded(watched)
        await trio.sleep(0.2)
        assert is_degraded(watched)
        await trio.sleep(100.0)
        journal.heal()
        await wait_all_tasks_blocked()
        assert not is_degraded(watched)
        for number in range(2):
            journal.plan("commit", Hangs())
            watched.submit(f"live:{number}")
            await trio.sleep(6.0)
            journal.heal()
            await wait_all_tasks_blocked()
    assert watched.changes == ["degraded", "recovered"] * 3
    assert [result for _, result in watched.told] == [Committed()] * 3


async def test_a_conflict_concerns_its_own_entry_only(autojump_clock: MockClock) -> None:
    """The others of the group are written."""
    journal = FaultyJournal(MemoryJournal())
    async with open_committer(journal) as watched:
        watched.submit("live:a")
        await wait_all_tasks_blocked()
        watched.submit("live:b")
        watched.submit("live:a", expected_seq=7)
        watched.submit("live:c")
        await wait_all_tasks_blocked()
    assert watched.told[1:] == [("live:b", Committed()), ("live:a", Conflict(1)), ("live:c", Committed())]


async def test_an_entry_that_the_store_finds_corrupt_fails_alone(autojump_clock: MockClock) -> None:
    """The group is written one by one, in order, with every fault that may come on top."""
    journal = FaultyJournal(MemoryJournal())
    corrupt = StoreCorruptError("rows contradict each other")
    async with open_committer(journal) as watched:
        journal.plan("commit", Fails(corrupt), chat_id="live:bad")
        journal.plan("commit", Fails(ZeroDivisionError()), times=2, chat_id="live:2")
        for chat_id in ("live:1", "live:bad", "live:2", "live:3"):
            watched.submit(chat_id)
        await trio.sleep(10.0)
    assert watched.told == [
        ("live:1", Committed()),
        ("live:bad", Failed(corrupt)),
        ("live:2", Committed()),
        ("live:3", Committed()),
    ]
    assert watched.changes == ["degraded", "recovered"]


async def test_a_writer_that_is_fenced_fails_everything_and_never_asks_again(autojump_clock: MockClock) -> None:
    """What is in the group, what is pending, and what comes later; also when it is found out one by one."""
    fenced = StoreFencedError("taken over")
    for first in (fenced, StoreCorruptError("bad")):
        journal = FaultyJournal(MemoryJournal())
        async with open_committer(journal) as watched:
            journal.plan("commit", Fails(first), times=1)
            journal.plan("commit", Fails(fenced))
            for number in range(3):
                watched.submit(f"live:{number}")
            await wait_all_tasks_blocked()
            asked = journal.calls["commit"]
            watched.submit("live:late")
            await wait_all_tasks_blocked()
            assert journal.calls["commit"] == asked
        assert watched.told == [(chat_id, Failed(fenced)) for chat_id in ("live:0", "live:1", "live:2", "live:late")]
        assert watched.changes == ["fenced"]
        assert watched.records() == ["store.fenced"]


async def test_an_erasure_is_written_in_its_place(autojump_clock: MockClock) -> None:
    """After what came before it and before what comes after."""
    journal = FaultyJournal(MemoryJournal())
    async with open_committer(journal) as watched:
        watched.submit("live:a")
        watched.committer.submit(Erase(ChatId("live:a"), 0.0), 0, lambda it: watched.told.append(("erased", it)))
        watched.submit("live:b")
        await wait_all_tasks_blocked()
        assert await journal.load(ChatId("live:a")) is None
    assert [name for name, _ in watched.told] == ["live:a", "erased", "live:b"]


async def test_s2_a_writer_that_is_started_again_loses_and_doubles_no_entry(autojump_clock: MockClock) -> None:
    """Whoever was told is not told again; the rest of the group is written by the next run, in the same order."""
    journal = FaultyJournal(MemoryJournal())
    await journal.open(takeover=False)
    watched = Watched(journal, Limits())
    broken = True

    def fail_once(result: Result) -> None:
        nonlocal broken
        watched.told.append(("live:b", result))
        if broken:
            broken = False
            raise ValueError

    watched.submit("live:a")
    event = Event(ChatId("live:b"), 1, 1, 0.0, SessionCreated())
    watched.committer.submit(Append(ChatId("live:b"), 0, (event,)), 1, fail_once)
    watched.submit("live:c")
    watched.submit("live:d")
    with pytest.raises(ValueError, match=r"^$"):
        await watched.committer.run()
    assert not watched.committer.idle
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.committer.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert watched.told == [(f"live:{name}", Committed()) for name in "abcd"]
    for name in "abcd":
        assert len(await journal.events(ChatId(f"live:{name}"), 0, 10)) == 1


async def test_a_writer_that_is_closed_tells_whoever_waits_and_whoever_comes(autojump_clock: MockClock) -> None:
    """Nobody waits for a writer that is not there any more."""
    journal = FaultyJournal(MemoryJournal())
    await journal.open(takeover=False)
    watched = Watched(journal, Limits())
    watched.submit("live:a")
    watched.committer.close()
    watched.submit("live:b")
    assert [name for name, result in watched.told if isinstance(result, Failed)] == ["live:a", "live:b"]
