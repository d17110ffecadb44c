"""The history of a session, as its agent reads it."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from actors import (
    Event,
    Limits,
    Receipt,
    TextAppended,
    Turn,
)
from actors.store.memory import MemoryJournal
from actors.testing import (
    Delays,
    FaultyJournal,
    Hangs,
    checked_runtime,
    settle,
)


async def events_of(journal: MemoryJournal, chat_id: str) -> tuple[Event, ...]:
    """Read every event of a session."""
    return await journal.events(chat_id, 0, 100_000)  # type: ignore[arg-type]  # a test knows its ids


def texts_of(events: Sequence[Event]) -> list[str]:
    """Collect what was said, event by event."""
    return [event.body.text for event in events if isinstance(event.body, TextAppended)]


async def test_the_agent_reads_everything_before_its_turn_and_nothing_after(autojump_clock: MockClock) -> None:
    """A message that was accepted while another turn ran stands after that turn's answer."""
    read: list[list[str]] = []

    async def answer(turn: Turn) -> None:
        await trio.sleep(1.0)
        read.append([f"{message.role}: {message.text}" for message in turn.history])
        await turn.write(f"answer {turn.number}")

    async with checked_runtime(answer) as runtime:
        await runtime.create("live:a", history=[("system", "be short"), ("assistant", "hello")])
        for number in (1, 2, 3):
            await runtime.send("live:a", f"question {number}")
        await settle(runtime)
    assert read[0] == ["system: be short", "assistant: hello", "user: question 1"]
    assert read[2] == [*read[0], "assistant: answer 1", "user: question 2", "assistant: answer 2", "user: question 3"]


async def test_l2_a_session_that_hangs_at_its_start_makes_room_for_others(autojump_clock: MockClock) -> None:
    """One place for those that begin, and one that never ends its reading: the others get their turn after its time."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        for name in ("live:a", "live:b"):
            await runtime.create(name)
    journal.plan("load", Hangs(), chat_id="live:a")
    limits = Limits(activations_max=1, init_s=10.0)
    async with checked_runtime(store=journal, limits=limits) as runtime, trio.open_nursery() as nursery:
        receipts: list[Receipt] = []

        async def send(name: str) -> None:
            receipts.append(await runtime.send(name, "hello"))

        nursery.start_soon(send, "live:a")
        await trio.sleep(1.0)
        nursery.start_soon(send, "live:b")
        await trio.sleep(8.0)
        assert not receipts
        await trio.sleep(2.0)
        assert [receipt.chat_id for receipt in receipts] == ["live:b"]
        assert runtime.inspect("live:a").last_exit == "init_failed"
        journal.heal()
        await trio.sleep(30.0)
        assert [receipt.chat_id for receipt in receipts] == ["live:b", "live:a"]
        assert runtime.statistics().quarantines == 0, "a disk that hangs is no failure of its session"


@pytest.mark.parametrize("places", [1, 3])
async def test_l2_so_many_sessions_begin_at_once_and_no_more(places: int, autojump_clock: MockClock) -> None:
    """The others wait for a place."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        chats = [await runtime.create(f"live:{number}") for number in range(9)]
    journal.plan("load", Delays(1.0))
    async with checked_runtime(store=journal, limits=Limits(activations_max=places)) as runtime:
        async with trio.open_nursery() as nursery:
            for chat in chats:
                nursery.start_soon(runtime.send, chat, "hello")
        assert trio.current_time() >= 9 / places
        assert trio.current_time() < 9 / places + 1.0
