"""One session takes one thing at a time: in order, once, and nothing of another session."""

import random
from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from actors import (
    Event,
    Limits,
    MessageAccepted,
    OverloadedError,
    StateSaved,
    TextAppended,
    Turn,
    TurnEnded,
    TurnStarted,
    agent,
)
from actors.runtime.receipt import Receipt
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Call,
    Do,
    Hang,
    Raise,
    Return,
    SaveState,
    Say,
    Script,
    ScriptedAgent,
    ScriptKey,
    Wait,
    checked_runtime,
    settle,
)


async def events_of(journal: MemoryJournal, chat_id: str) -> tuple[Event, ...]:
    """Read every event of a session."""
    return await journal.events(chat_id, 0, 100_000)  # type: ignore[arg-type]  # a test knows its ids


@pytest.mark.rule("promise_path_6")
async def test_messages_of_one_session_are_answered_in_the_order_of_their_acceptance(
    autojump_clock: MockClock,
) -> None:
    """Acceptance order is event order is turn order, and turns never overlap."""
    journal = MemoryJournal()
    async with checked_runtime(ScriptedAgent([Say("a", every_s=0.1)]), store=journal) as runtime:
        await runtime.create("live:a")
        receipts = [await runtime.send("live:a", f"message {number}") for number in range(20)]
        assert [receipt.turn for receipt in receipts] == list(range(1, 21))
        assert sorted(receipts, key=lambda each: each.seq) == receipts
        await settle(runtime)
        events = await events_of(journal, "live:a")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    open_turn = 0
    for event in events:
        if isinstance(event.body, TurnStarted):
            assert open_turn == 0, "turns never overlap"
            open_turn = event.body.turn
        elif isinstance(event.body, TurnEnded):
            assert open_turn == event.body.turn
            open_turn = 0
    started = [event.body.turn for event in events if isinstance(event.body, TurnStarted)]
    assert started == list(range(1, 21))


@pytest.mark.rule("pack_3")
@pytest.mark.parametrize("overlap", ["queue", "reject"])
async def test_two_sends_in_the_same_tick_are_told_apart_under_both_policies(
    overlap: str, autojump_clock: MockClock
) -> None:
    """The check for a running turn and the start of one are a single step."""
    outcomes: list[Receipt | OverloadedError] = []
    script = ScriptedAgent([Wait(1.0), Say("ok")])
    async with checked_runtime(agent(script, overlap=overlap)) as runtime:  # type: ignore[call-overload]  # both
        await runtime.create("live:a")
        await (await runtime.send("live:a", "warm")).result()

        async def sender(number: int) -> None:
            try:
                outcomes.append(await runtime.send("live:a", f"message {number}"))
            except OverloadedError as error:
                outcomes.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender, 1)
            nursery.start_soon(sender, 2)
        receipts = [each for each in outcomes if isinstance(each, Receipt)]
        assert sorted(each.turn for each in receipts) == ([2, 3] if overlap == "queue" else [2])
        for receipt in receipts:
            assert (await receipt.result()).text == "ok", "no reply is mixed with another"


@pytest.mark.rule("pack_1", "pitfall_25", "D2")
async def test_three_chats_with_overlapping_chunks_keep_each_only_its_own_word(autojump_clock: MockClock) -> None:
    """Distinct words at random moments, in pieces, with tools between: nothing crosses over."""
    chance = random.Random(3)
    words = {"live:a": "apple", "live:b": "birch", "live:c": "cedar"}

    async def speak(turn: Turn) -> None:
        for number in range(20):
            await trio.sleep(chance.random())
            await turn.write(words[turn.chat_id])
            if chance.random() < 0.2:
                await turn.tool("look", lambda: tool(words[turn.chat_id]), {"number": number})

    async def tool(word: str) -> str:
        await trio.sleep(chance.random())
        return word

    journal = MemoryJournal()
    async with checked_runtime(speak, store=journal) as runtime:
        for chat_id in words:
            await runtime.create(chat_id)
        receipts = [await runtime.send(chat_id, word) for chat_id, word in words.items() for _ in range(3)]
        for receipt in receipts:
            assert (await receipt.result()).text == words[receipt.chat_id] * 20
        pages = {chat_id: (await runtime.history(chat_id)).messages for chat_id in words}
    for chat_id, messages in pages.items():
        said = "".join(part.text for message in messages for part in message.parts if part.kind != "tool_call")
        assert set(said.replace(words[chat_id], "")) <= set(), "no other word is in it"


@pytest.mark.rule("pack_8")
async def test_whoever_finishes_first_is_told_first(autojump_clock: MockClock) -> None:
    """The end of A is announced to A's waiter at once, though B goes on."""
    script = ScriptedAgent(scripts={"live:a": [Wait(1.0)], "live:b": [Wait(50.0)]})
    async with checked_runtime(script) as runtime:
        for chat_id in ("live:a", "live:b"):
            await runtime.create(chat_id)
        long = await runtime.send("live:b", "long")
        short = await runtime.send("live:a", "short")
        await short.result()
        assert trio.current_time() == pytest.approx(1.0, abs=0.01)
        await long.result()
        assert trio.current_time() == pytest.approx(50.0, abs=0.01)


@pytest.mark.rule("T2")
async def test_the_state_is_committed_with_its_turn_and_forgotten_when_the_turn_fails(
    autojump_clock: MockClock,
) -> None:
    """What the next turn sees is the state of the last one that completed, also in the next life."""
    seen: list[object] = []

    async def look(turn: Turn) -> None:
        seen.append(turn.state)

    scripts: dict[ScriptKey, Script] = {
        ("live:a", 1): [Do(look), SaveState({"count": 1})],
        ("live:a", 2): [Do(look), SaveState({"count": 2}), Raise(ValueError)],
        ("live:a", 3): [Do(look), SaveState({"count": 3}), Hang()],
        ("live:a", 4): [Do(look), SaveState({"count": 4})],
        ("live:a", 5): [Do(look)],
    }
    store = MemoryStore()
    journal = MemoryJournal(store)
    async with checked_runtime(ScriptedAgent(scripts=scripts), store=journal) as runtime:
        await runtime.create("live:a")
        for number in (1, 2, 3, 4):
            receipt = await runtime.send("live:a", f"message {number}")
            await (receipt.cancel() if number == 3 else receipt.result())
        await settle(runtime)
        bodies = [event.body for event in await events_of(journal, "live:a")]
    async with checked_runtime(ScriptedAgent(scripts=scripts), store=MemoryJournal(store)) as runtime:
        await (await runtime.send("live:a", "message 5")).result()
    assert seen == [None, {"count": 1}, {"count": 1}, {"count": 1}, {"count": 4}]
    assert [body.turn for body in bodies if isinstance(body, StateSaved)] == [1, 4]


async def test_a_state_that_json_cannot_hold_fails_its_turn_and_nothing_else(autojump_clock: MockClock) -> None:
    """Also when it went bad after it was assigned, by a change in place."""

    async def spoil(turn: Turn) -> None:
        state: dict[str, object] = {}
        turn.state = state
        state["bad"] = object()

    script = ScriptedAgent(scripts={("live:a", 1): [Say("half"), Do(spoil)]})
    async with checked_runtime(script) as runtime:
        await runtime.create("live:a")
        result = await (await runtime.send("live:a", "first")).result()
        assert (result.status, result.reason, result.error) == ("failed", "crashed", "ConfigurationError")
        assert (await (await runtime.send("live:a", "second")).result()).ok


async def test_a_text_that_the_agent_returns_is_its_last_word(autojump_clock: MockClock) -> None:
    """Written like every other."""
    async with checked_runtime(ScriptedAgent([Say("one "), Return("two")])) as runtime:
        await runtime.create("live:a")
        assert (await (await runtime.send("live:a", "hello")).result()).text == "one two"


@pytest.mark.rule("pack_22")
async def test_an_error_is_kept_with_the_session_though_nobody_watches(autojump_clock: MockClock) -> None:
    """Whoever looks later finds it: in the result, the history and the next snapshot."""
    store = MemoryStore()
    async with checked_runtime(
        ScriptedAgent([Say("half"), Raise(ValueError("private"))]), store=MemoryJournal(store)
    ) as runtime:
        await runtime.create("live:a")
        receipt = await runtime.send("live:a", "hello", message_id="key")
        result = await receipt.result()
        assert (result.status, result.reason, result.error, result.text) == ("failed", "crashed", "ValueError", "half")
        await settle(runtime)
        assert runtime.inspect("live:a").last_error == "ValueError"
        assert (await runtime.history("live:a")).messages[-1].status == "failed"
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        again = await runtime.send("live:a", "hello", message_id="key")
        assert (await again.result()) == result


@pytest.mark.rule("pack_23")
async def test_a_limit_reached_in_one_session_does_not_touch_another(autojump_clock: MockClock) -> None:
    """Queue, turn time and restarts are counted per session."""
    limits = Limits(queue_turns_max=1, turn_s=10.0, restarts_max=1)
    script = ScriptedAgent(scripts={"live:a": [Hang()], "live:b": [Wait(5.0)], "live:c": [Raise(ValueError)]})
    async with checked_runtime(script, limits=limits) as runtime:
        for chat_id in ("live:a", "live:b", "live:c"):
            await runtime.create(chat_id)
        receipts = {}
        for chat_id in ("live:a", "live:b", "live:c"):
            receipts[chat_id] = [await runtime.send(chat_id, "one"), await runtime.send(chat_id, "two")]
        statuses = {chat_id: [(await each.result()).status for each in two] for chat_id, two in receipts.items()}
    assert statuses == {
        "live:a": ["failed", "failed"],
        "live:b": ["completed", "completed"],
        "live:c": ["failed", "failed"],
    }


async def test_the_time_of_a_turn_begins_with_the_turn(autojump_clock: MockClock) -> None:
    """However old its session is, and however long it waited for its place."""
    script = ScriptedAgent([Wait(50.0), Say("ok")])
    async with checked_runtime(script, limits=Limits(turn_s=60.0)) as runtime:
        await runtime.create("live:a")
        await trio.sleep(2000.0)
        receipts = [await runtime.send("live:a", f"message {number}") for number in range(5)]
        assert [(await receipt.result()).text for receipt in receipts] == ["ok"] * 5
        assert trio.current_time() == pytest.approx(2250.0, abs=1.0)


@pytest.mark.rule("D5")
async def test_a_session_that_gets_its_first_messages_at_once_is_brought_up_once(autojump_clock: MockClock) -> None:
    """Concurrent first messages share one activation and keep their order."""
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        await runtime.create("live:a")
    journal = MemoryJournal(store)
    async with checked_runtime(store=journal) as runtime:
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(runtime.send, "live:a", f"message {number}")
        assert runtime.statistics().activations == 1
        await settle(runtime)
        bodies = [event.body for event in await events_of(journal, "live:a")]
    accepted = [body.turn for body in bodies if isinstance(body, MessageAccepted)]
    assert accepted == list(range(1, 11))


@pytest.mark.rule("pack_10")
async def test_ten_messages_to_each_of_many_sessions_are_all_answered_in_order(autojump_clock: MockClock) -> None:
    """Two hundred sessions, a thousand messages: each session has its own, in its order."""
    sessions, each = 200, 5
    journal = MemoryJournal()

    async def answer(turn: Turn) -> None:
        await trio.sleep(0.001 * (hash(turn.text) % 7))
        await turn.write(turn.text)

    async with checked_runtime(answer, store=journal) as runtime:

        async def converse(chat_id: str) -> None:
            await runtime.create(chat_id)
            receipts = [await runtime.send(chat_id, f"{chat_id} {number}") for number in range(each)]
            for number, receipt in enumerate(receipts):
                assert (await receipt.result()).text == f"{chat_id} {number}"

        async with trio.open_nursery() as nursery:
            for number in range(sessions):
                nursery.start_soon(converse, f"live:{number}")
        statistics = runtime.statistics()
        assert statistics.turns == {"completed": sessions * each}
        assert statistics.letters.executed == sessions * each
        texts = texts_of(await events_of(journal, "live:7"))
    assert texts == [f"live:7 {number}" for number in range(each)]


def texts_of(events: Sequence[Event]) -> list[str]:
    """Collect what was said, event by event."""
    return [event.body.text for event in events if isinstance(event.body, TextAppended)]


async def test_a_tool_of_one_session_does_not_hold_up_another(autojump_clock: MockClock) -> None:
    """A session that waits gives everything to the others."""
    script = ScriptedAgent(scripts={"live:a": [Call("slow", seconds=100.0)]})
    async with checked_runtime(script) as runtime:
        for chat_id in ("live:a", "live:b"):
            await runtime.create(chat_id)
        await runtime.send("live:a", "look for a long time")
        await (await runtime.send("live:b", "hello")).result()
        assert trio.current_time() < 1.0
        assert runtime.inspect("live:a").status == "waiting"
