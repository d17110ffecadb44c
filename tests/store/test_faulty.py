"""The journal that fails when it is told to does so by operation, count and chat, and is a journal otherwise."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.core.events import Event, SessionCreated
from actors.core.ids import ChatId
from actors.errors import StoreUnavailableError
from actors.ports import Append, Committed
from actors.store.faulty import Alters, Answers, Delays, Fails, FaultyJournal, Hangs, LosesAnswer
from actors.store.memory import MemoryJournal

A, B = ChatId("live:a"), ChatId("live:b")


def first(chat_id: ChatId) -> Append:
    """Make the entry that creates a session."""
    return Append(chat_id, 0, (Event(chat_id, 1, 1, 0.0, SessionCreated()),))


async def opened() -> FaultyJournal:
    """Open a journal without any plan."""
    journal = FaultyJournal(MemoryJournal())
    await journal.open(takeover=False)
    return journal


async def test_without_a_plan_every_call_passes_and_is_counted(autojump_clock: MockClock) -> None:
    """Each operation of the port."""
    journal = await opened()
    assert await journal.commit([first(A)]) == [Committed()]
    state = await journal.load(A)
    assert state is not None
    assert state.seq == 1
    assert await journal.find(A, "key") is None
    assert len(await journal.events(A, 0, 10)) == 1
    assert (await journal.messages(A, None, 10)).messages == ()
    assert await journal.sessions("", 10) == (A,)
    await journal.close()
    assert set(journal.calls.values()) == {1}
    assert len(journal.calls) == 8
    assert journal.entries == [first(A)]


async def test_a_fault_happens_to_the_calls_it_was_planned_for(autojump_clock: MockClock) -> None:
    """After so many calls, so many times, and only to one chat."""
    journal = await opened()
    journal.plan("load", Fails(), skip=1, times=2, chat_id=A)
    outcomes = []
    for chat_id in (A, B, A, B, A, A):
        try:
            await journal.load(chat_id)
        except StoreUnavailableError:
            outcomes.append(f"{chat_id} failed")
        else:
            outcomes.append(f"{chat_id} passed")
    assert outcomes == [
        "live:a passed",
        "live:b passed",
        "live:a failed",
        "live:b passed",
        "live:a failed",
        "live:a passed",
    ]


async def test_a_failure_does_nothing_and_a_lost_answer_does_everything(autojump_clock: MockClock) -> None:
    """Which is what a caller cannot tell apart."""
    journal = await opened()
    error = ZeroDivisionError()
    for fault, chat_id, written in ((Fails(error), A, 0), (LosesAnswer(error), B, 1)):
        journal.plan("commit", fault, times=1)
        with pytest.raises(ZeroDivisionError):
            await journal.commit([first(chat_id)])
        assert len(await journal.events(chat_id, 0, 10)) == written


async def test_an_answer_can_be_replaced_or_changed(autojump_clock: MockClock) -> None:
    """Without doing anything, or after everything was done."""
    journal = await opened()
    journal.plan("commit", Answers("nonsense"), times=1)
    answer: object = await journal.commit([first(A)])
    assert answer == "nonsense"
    assert await journal.sessions("", 10) == ()
    await journal.commit([first(A)])
    journal.plan("events", Alters(lambda page: page[1:]))
    assert await journal.events(A, 0, 10) == ()


async def test_a_call_hangs_until_the_journal_is_healed(autojump_clock: MockClock) -> None:
    """And is done then; a call that is cancelled does not hang any more."""
    journal = await opened()
    journal.plan("commit", Hangs())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.commit, [first(A)])
        await wait_all_tasks_blocked()
        with trio.move_on_after(1.0):
            await journal.commit([first(B)])
        assert journal.hung == 1
        assert await journal.sessions("", 10) == ()
        journal.heal()
    assert journal.hung == 0
    assert await journal.sessions("", 10) == (A,)
    await journal.commit([first(B)])


async def test_a_call_is_delayed_by_seconds_of_the_test_clock(autojump_clock: MockClock) -> None:
    """And is done then."""
    journal = await opened()
    journal.plan("commit", Delays(60.0), times=1)
    await journal.commit([first(A)])
    assert trio.current_time() == 60.0
    assert len(await journal.events(A, 0, 10)) == 1
