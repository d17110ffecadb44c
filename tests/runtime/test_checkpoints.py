"""Live text reaches the disk by size and by time, whichever comes first, and never more often than that."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from actors import ChatId, Event, Limits, Runtime, TextAppended, TextSignal, Turn
from actors.store.memory import MemoryJournal
from actors.testing import Call, FaultyJournal, Flood, Hang, Hangs, Say, ScriptedAgent, Think, Wait, checked_runtime

CHAT = ChatId("live:a")


async def texts_in(journal: MemoryJournal) -> list[TextAppended]:
    """Read every event of text that the session has on disk."""
    events = await journal.events(CHAT, 0, 100_000)
    return [event.body for event in events if isinstance(event.body, TextAppended)]


def written_at(events: Sequence[Event], began_s: float) -> list[float]:
    """Tell when the events of text were written, in seconds from the start."""
    return [round(event.at_s - began_s, 3) for event in events if isinstance(event.body, TextAppended)]


@pytest.mark.rule("promise_words_10")
async def test_text_is_on_disk_within_the_window(autojump_clock: MockClock) -> None:
    """An agent that speaks slowly is written once per window; one that says no more is written all the same."""
    journal = MemoryJournal()
    script = ScriptedAgent([Say("abcdefghij", pieces=10, every_s=0.1), Wait(5.0)])
    async with checked_runtime(script, store=journal, limits=Limits(checkpoint_s=0.25)) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "spell")
        began_s = (await journal.events(CHAT, 0, 1))[0].at_s
        await trio.sleep(2.0)
        events = await journal.events(CHAT, 0, 100)
        assert "".join(body.text for body in await texts_in(journal)) == "abcdefghij", "nothing waits for the end"
        await receipt.result()
    moments = written_at(events, began_s)
    assert len(moments) <= 5
    assert moments[0] <= 0.1 + 0.25 + 0.01
    assert moments[-1] <= 1.0 + 0.25 + 0.01


@pytest.mark.rule("promise_words_10")
async def test_text_is_on_disk_as_soon_as_there_is_enough_of_it(autojump_clock: MockClock) -> None:
    """A fast agent does not wait for the window, and is not written piece by piece."""
    journal = MemoryJournal()
    limits = Limits(checkpoint_s=60.0, checkpoint_bytes_max=1000)
    async with checked_runtime(
        ScriptedAgent([Flood(10_000, "0123456789"), Wait(1.0)]), store=journal, limits=limits
    ) as (runtime):
        await runtime.create(CHAT)
        await runtime.send(CHAT, "talk")
        await trio.sleep(0.5)
        texts = await texts_in(journal)
        assert sum(len(body.text) for body in texts) >= 100_000 - 1000
        assert 5 <= len(texts) <= 100


@pytest.mark.rule("promise_words_9")
async def test_every_piece_is_shown_at_once_however_long_the_window_is(autojump_clock: MockClock) -> None:
    """Signals do not wait for the disk."""
    moments: list[float] = []
    limits = Limits(checkpoint_s=60.0)
    async with checked_runtime(ScriptedAgent([Say("abcde", pieces=5, every_s=1.0)]), limits=limits) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "spell")
        async with runtime.subscribe(CHAT, until=receipt) as stream:
            async for item in stream:
                if isinstance(item, TextSignal):
                    moments.append(trio.current_time())
    assert moments == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_a_part_that_ends_is_closed_before_what_comes_after_it(autojump_clock: MockClock) -> None:
    """Thinking, text, a call: in the order in which they were said, each part with its own end."""
    journal = MemoryJournal()
    script = ScriptedAgent([Think("hm"), Say("well"), Call("tool"), Say("so"), Think("hm again"), Say("end")])
    async with checked_runtime(script, store=journal) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        texts = await texts_in(journal)
        messages = (await runtime.history(CHAT)).messages
    assert [(body.message, body.part, body.type, body.text, str(body.status)) for body in texts] == [
        (0, 0, "thinking", "hm", "complete"),
        (0, 1, "text", "well", "complete"),
        (2, 0, "text", "so", "complete"),
        (2, 1, "thinking", "hm again", "complete"),
        (2, 2, "text", "end", "complete"),
    ]
    assert [[part.kind for part in message.parts] for message in messages[1:]] == [
        ["thinking", "text", "tool_call"],
        ["tool_result"],
        ["text", "thinking", "text"],
    ]


@pytest.mark.rule("promise_words_11")
async def test_what_was_shown_before_a_crash_is_at_most_one_window_ahead_of_the_disk(
    autojump_clock: MockClock,
) -> None:
    """What is on disk is a prefix of what was shown."""
    journal = FaultyJournal(MemoryJournal())
    shown: list[str] = []

    async def watch(runtime: Runtime) -> None:
        async with runtime.subscribe(CHAT) as stream:
            async for item in stream:
                if isinstance(item, TextSignal):
                    shown.append(item.text)

    script = ScriptedAgent([Say("x" * 300, pieces=300, every_s=0.01), Hang()])
    async with checked_runtime(script, store=journal, open_turns=True) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "talk")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, runtime)
            await trio.sleep(1.5)
            stored = "".join(body.text for body in await texts_in(journal.inner))  # type: ignore[arg-type]  # in memory
            seen = "".join(shown)
            assert seen.startswith(stored)
            assert len(seen) - len(stored) <= 0.25 / 0.01 + 2
            nursery.cancel_scope.cancel()
        journal.plan("commit", Hangs(), times=1)
        await trio.sleep(1.0)
        journal.heal()


async def test_two_sessions_that_speak_at_once_have_each_its_own_window(autojump_clock: MockClock) -> None:
    """A neighbour that never stops does not hold up the text of one that says a word."""

    async def talk(turn: Turn) -> None:
        if turn.chat_id == CHAT:
            await turn.write("one word")
            await trio.sleep(5.0)
        else:
            for _ in range(500):
                await turn.write("and on ")
                await trio.sleep(0.01)

    journal = MemoryJournal()
    async with checked_runtime(talk, store=journal) as runtime:
        for chat_id in ("live:b", "live:c", CHAT):
            await runtime.create(chat_id)
            await runtime.send(chat_id, "hello")
        await trio.sleep(0.3)
        assert [body.text for body in await texts_in(journal)] == ["one word"]
