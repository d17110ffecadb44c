"""Messages accepted: a key that is known gets its first receipt, the others a turn or a refusal."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from actors import (
    Event,
    OverloadedError,
    TextAppended,
    agent,
)
from actors.runtime.receipt import Receipt
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Say,
    ScriptedAgent,
    Wait,
    checked_runtime,
    settle,
)


async def events_of(journal: MemoryJournal, chat_id: str) -> tuple[Event, ...]:
    """Read every event of a session."""
    return await journal.events(chat_id, 0, 100_000)  # type: ignore[arg-type]  # a test knows its ids


def texts_of(events: Sequence[Event]) -> list[str]:
    """Collect what was said, event by event."""
    return [event.body.text for event in events if isinstance(event.body, TextAppended)]


@pytest.mark.rule("promise_path_4", "M9", "pitfall_22")
async def test_a_key_gives_the_first_receipt_while_queued_running_and_ended(autojump_clock: MockClock) -> None:
    """However often and however late it is sent, and across a new life on the same store."""
    store = MemoryStore()
    script = ScriptedAgent([Wait(1.0), Say("ok")])
    async with checked_runtime(script, store=MemoryJournal(store)) as runtime:
        await runtime.create("live:a")
        await runtime.send("live:a", "before")
        first = await runtime.send("live:a", "hello", message_id="key")
        again = first
        for moment_s in (0.5, 1.0, 1.0):
            again = await runtime.send("live:a", "hello, or something else", message_id="key")
            assert (again.turn, again.seq, again.duplicate) == (first.turn, first.seq, True)
            await trio.sleep(moment_s)
        assert (await first.result()).text == (await again.result()).text == "ok"
        assert runtime.statistics().duplicates == 3
    async with checked_runtime(script, store=MemoryJournal(store)) as runtime:
        late = await runtime.send("live:a", "hello", message_id="key")
        assert (late.turn, late.seq, late.duplicate) == (first.turn, first.seq, True)
        assert (await late.result()).text == "ok"
    assert len(script.runs) == 2


@pytest.mark.rule("promise_path_4", "M9")
async def test_one_key_sent_many_times_in_the_same_tick_gives_one_turn(autojump_clock: MockClock) -> None:
    """Also while other messages and keys are in between."""
    receipts: list[Receipt] = []
    script = ScriptedAgent()
    async with checked_runtime(script) as runtime:
        await runtime.create("live:a")

        async def sender(number: int) -> None:
            receipts.append(await runtime.send("live:a", "hello", message_id=f"key.{number % 3}"))

        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(sender, number)
        assert len({receipt.turn for receipt in receipts}) == 3
        assert sum(not receipt.duplicate for receipt in receipts) == 3
        for receipt in receipts:
            assert (await receipt.result()).ok
    assert len(script.runs) == 3


async def test_a_key_belongs_to_one_session(autojump_clock: MockClock) -> None:
    """A noisy session cannot make a quiet one forget, and equal keys do not meet."""
    async with checked_runtime() as runtime:
        for chat_id in ("live:quiet", "live:noisy"):
            await runtime.create(chat_id)
        first = await runtime.send("live:quiet", "hello", message_id="key")
        for number in range(200):
            await runtime.send("live:noisy", "noise", message_id=f"noise.{number}", overflow="wait")
            await settle(runtime)
        assert not (await runtime.send("live:noisy", "hello", message_id="key")).duplicate
        assert (await runtime.send("live:quiet", "hello", message_id="key")).duplicate
        assert (await first.result()).ok


async def test_the_key_of_a_refused_message_can_be_used_again(autojump_clock: MockClock) -> None:
    """A refusal leaves no trace."""
    script = ScriptedAgent([Wait(1.0)])
    async with checked_runtime(agent(script, overlap="reject")) as runtime:
        await runtime.create("live:a")
        first = await runtime.send("live:a", "first")
        with pytest.raises(OverloadedError):
            await runtime.send("live:a", "second", message_id="key")
        await first.result()
        again = await runtime.send("live:a", "second", message_id="key")
        assert not again.duplicate
        assert (await again.result()).ok
