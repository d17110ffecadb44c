"""The history of a session, as its agent reads it."""

from collections.abc import Sequence

import trio
from trio.testing import MockClock

from actors import (
    Event,
    TextAppended,
    Turn,
)
from actors.store.memory import MemoryJournal
from actors.testing import (
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
