"""A viewer sees everything after its number, once and in order, whatever happens while it comes, reads and goes."""

import random

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ConfigurationError,
    CursorAheadError,
    Event,
    Limits,
    SessionReady,
    SubscriptionError,
    TextAppended,
    TextSignal,
    Turn,
    TurnEnded,
)
from actors.core.stream import Item
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Call,
    Delays,
    Do,
    FaultyJournal,
    Say,
    ScriptedAgent,
    Wait,
    checked_runtime,
    settle,
)
from tests.runtime.viewing import CHAT, converse, read_all, seqs_of


@pytest.mark.rule("promise_5", "pitfall_21")
@pytest.mark.parametrize("page_rows_max", [1, 2, 3, 500])
async def test_whoever_resumes_after_a_number_gets_exactly_what_follows(
    page_rows_max: int, autojump_clock: MockClock
) -> None:
    """For every number from 0 to the head; beyond it the viewer is told that it knows more than there is."""
    limits = Limits(page_rows_max=page_rows_max)
    async with checked_runtime(limits=limits) as runtime:
        last = await converse(runtime)
        head = runtime.inspect(CHAT).seq
        for after in range(head + 1):
            async with runtime.subscribe(CHAT, after=after, until=last) as stream:
                items = await read_all(stream)
            assert seqs_of(items) == list(range(after + 1, head + 1))
            assert all(isinstance(item, Event) for item in items)
        with pytest.raises(CursorAheadError):
            async with runtime.subscribe(CHAT, after=head + 1):
                pass


@pytest.mark.parametrize("after", [-1, 1.5, "1", True, float("nan")])
async def test_a_number_that_is_none_is_the_callers_mistake(after: object, autojump_clock: MockClock) -> None:
    """It is told before anything is attached."""
    async with checked_runtime() as runtime:
        await runtime.create(CHAT)
        with pytest.raises(ConfigurationError):
            runtime.subscribe(CHAT, after=after)  # type: ignore[arg-type]  # on purpose


async def test_a_snapshot_is_followed_by_everything_after_it(autojump_clock: MockClock) -> None:
    """Snapshot and attachment are one step: what is published right after it is not missed."""
    journal = MemoryJournal()
    async with checked_runtime(ScriptedAgent([Say("ok", every_s=0.1)]), store=journal) as runtime:
        await runtime.create(CHAT, history=[("system", "be short")])
        for number in range(30):
            async with runtime.subscribe(CHAT) as stream, trio.open_nursery() as nursery:
                nursery.start_soon(runtime.send, CHAT, f"message {number}")
                for _ in range(number % 7):
                    await trio.lowlevel.checkpoint()
                ready = await anext(stream)
                assert isinstance(ready, SessionReady)
                items: list[Item] = []
                async for item in stream:
                    items.append(item)
                    if isinstance(item, Event) and isinstance(item.body, TurnEnded):
                        break
            assert seqs_of(items) == list(range(ready.seq + 1, runtime.inspect(CHAT).seq + 1))
            assert len(ready.messages) == 1 + 2 * number


async def test_a_terminal_event_between_the_receipt_and_the_subscription_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    """``until`` a turn that has ended meanwhile ends at once; the snapshot shows how it ended."""
    async with checked_runtime() as runtime:
        receipt = await converse(runtime, 1)
        async with runtime.subscribe(CHAT, until=receipt) as stream:
            items = await read_all(stream)
        assert len(items) == 1
        assert isinstance(items[0], SessionReady)
        assert items[0].messages[-1].status == "completed"
        async with runtime.subscribe(CHAT, after=0, until=receipt) as stream:
            items = await read_all(stream)
        assert seqs_of(items) == list(range(1, runtime.inspect(CHAT).seq + 1))
        async with runtime.subscribe(CHAT, after=runtime.inspect(CHAT).seq, until=receipt) as stream:
            assert await read_all(stream) == []


@pytest.mark.rule("pack_14")
async def test_a_turn_that_ends_while_its_viewer_comes_is_seen_to_its_end_at_every_moment(
    autojump_clock: MockClock,
) -> None:
    """Swept over the moments of a turn, with a journal that takes its time: the end is seen and nothing hangs."""
    for steps in range(25):
        journal = FaultyJournal(MemoryJournal())
        async with checked_runtime(ScriptedAgent([Say("one"), Call("t"), Say("two")]), store=journal) as runtime:
            await converse(runtime, 1)
            await runtime.stop(CHAT)
            journal.plan("events", Delays(0.01))
            journal.plan("messages", Delays(0.01))
            receipt = await runtime.send(CHAT, "hello")
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            for after in (None, 0, receipt.seq):
                async with runtime.subscribe(CHAT, after=after, until=receipt) as stream:
                    with trio.fail_after(10.0):
                        items = await read_all(stream)
                first = items[0]
                assert isinstance(first, SessionReady | Event)
                seqs = seqs_of(items)
                assert seqs == (list(range(seqs[-1] - len(seqs) + 1, seqs[-1] + 1)) if seqs else [])


@pytest.mark.rule("promise_5", "pack_9")
async def test_many_viewers_see_the_same_events_and_the_same_text(autojump_clock: MockClock) -> None:
    """Those from the start, those that come in the middle, and those that resume."""
    chance = random.Random(5)
    script = ScriptedAgent([Say("some words in pieces", pieces=10, every_s=0.1), Call("tool", seconds=0.3), Say("end")])
    seen: list[tuple[int, list[Item]]] = []
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, f"message {number}") for number in range(3)]

        async def view(after: int | None) -> None:
            await trio.sleep(chance.random() * 4)
            async with runtime.subscribe(CHAT, after=after, until=receipts[-1]) as stream:
                items: list[Item] = []
                async for item in stream:
                    items.append(item)
                    if chance.random() < 0.1:
                        await trio.sleep(chance.random() * 0.2)
            ready = items[0]
            seen.append((ready.seq if isinstance(ready, SessionReady) else after or 0, items))

        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(view, None if number % 2 else 0)
        head = runtime.inspect(CHAT).seq
    by_seq: dict[int, Event] = {}
    for after, items in seen:
        assert seqs_of(items) == list(range(after + 1, head + 1))
        for item in items:
            if isinstance(item, Event):
                assert by_seq.setdefault(item.seq, item) == item, "everybody sees the same"


@pytest.mark.rule("promise_words_12")
async def test_signals_and_events_agree_at_every_offset(autojump_clock: MockClock) -> None:
    """Text shown at an offset of a part is the text the journal holds there."""
    chance = random.Random(11)

    async def talk(turn: Turn) -> None:
        for _ in range(60):
            step = chance.random()
            words = "".join(chance.choice("abcdefgh ä€") for _ in range(chance.randrange(1, 30)))
            if step < 0.7:
                await turn.write(words)
            elif step < 0.8:
                await turn.think(words)
            elif step < 0.9:
                await turn.tool("look", trio.lowlevel.checkpoint)
            else:
                await trio.sleep(chance.random() * 0.4)

    limits = Limits(checkpoint_bytes_max=50)
    async with checked_runtime(talk, limits=limits) as runtime:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, f"message {number}") for number in range(3)]
        async with runtime.subscribe(CHAT, after=0, until=receipts[-1]) as stream:
            items = await read_all(stream)
    shown: dict[tuple[int, int, int], dict[int, str]] = {}
    stored: dict[tuple[int, int, int], str] = {}
    for item in items:
        if isinstance(item, TextSignal):
            text = shown.setdefault((item.turn, item.message, item.part), {})
            for number, character in enumerate(item.text):
                assert text.setdefault(item.offset + number, character) == character
        elif isinstance(item, Event) and isinstance(item.body, TextAppended):
            key = (item.body.turn, item.body.message, item.body.part)
            assert item.body.offset == len(stored.get(key, "")), "events of a part follow each other without a hole"
            stored[key] = stored.get(key, "") + item.body.text
    assert len(stored) > 10
    for key, text in shown.items():
        assert all(stored[key][offset] == character for offset, character in text.items())


@pytest.mark.rule("pack_19")
async def test_a_viewer_that_raises_or_leaves_disturbs_nobody(autojump_clock: MockClock) -> None:
    """The turn goes on, others see all of it, and nothing of it is left behind."""
    async with checked_runtime(ScriptedAgent([Say("words " * 10, pieces=10, every_s=0.1)])) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        good: list[Item] = []

        async def view() -> None:
            async with runtime.subscribe(CHAT, until=receipt) as stream:
                good.extend(await read_all(stream))

        async def fail() -> None:
            with pytest.raises(ZeroDivisionError):
                async with runtime.subscribe(CHAT) as stream:
                    async for _ in stream:
                        raise ZeroDivisionError

        async def leave() -> None:
            with trio.move_on_after(0.35):
                async with runtime.subscribe(CHAT, after=0) as stream:
                    await read_all(stream)

        async with trio.open_nursery() as nursery:
            for viewer in (view, fail, leave, fail, leave):
                nursery.start_soon(viewer)
        assert (await receipt.result()).ok, "a disconnect never cancels"
        assert runtime.statistics().subscribers == 0
    assert isinstance(good[-1], Event)


async def test_a_turn_runs_to_its_end_though_nobody_watches(autojump_clock: MockClock) -> None:
    """Viewers are an input of no session."""
    async with checked_runtime() as runtime:
        receipt = await converse(runtime)
        assert (await receipt.result()).ok
        assert runtime.statistics().signals > 0


async def test_there_may_be_so_many_viewers_and_no_more(autojump_clock: MockClock) -> None:
    """And again as many when they have left."""
    async with checked_runtime(limits=Limits(subscribers_max=3)) as runtime:
        await runtime.create(CHAT)
        for _ in range(2):
            async with (
                runtime.subscribe(CHAT),
                runtime.subscribe(CHAT),
                runtime.subscribe(CHAT),
            ):
                with pytest.raises(SubscriptionError):
                    async with runtime.subscribe(CHAT):
                        pass
                assert runtime.inspect(CHAT).subscribers == 3


async def test_a_subscription_is_used_inside_its_block(autojump_clock: MockClock) -> None:
    """Outside of it there is nothing to read, and it says so."""
    async with checked_runtime() as runtime:
        await runtime.create(CHAT)
        stream = runtime.subscribe(CHAT)
        with pytest.raises(SubscriptionError):
            await anext(stream)
        async with stream:
            pass
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@pytest.mark.rule("promise_5", "pitfall_21", "pack_9")
async def test_what_was_seen_is_there_in_the_next_life_with_the_same_numbers(autojump_clock: MockClock) -> None:
    """One history for live viewers, resumed ones and later ones."""
    store = MemoryStore()
    async with checked_runtime(ScriptedAgent([Say("a b", pieces=3, every_s=0.2)]), store=MemoryJournal(store)) as (
        runtime
    ):
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        async with runtime.subscribe(CHAT, after=0, until=receipt) as stream:
            live = [item for item in await read_all(stream) if isinstance(item, Event)]
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        receipt = await runtime.send(CHAT, "again")
        async with runtime.subscribe(CHAT, after=0, until=receipt) as stream:
            later = [item for item in await read_all(stream) if isinstance(item, Event)]
    assert later[: len(live)] == live


async def test_the_snapshot_holds_the_last_page_and_says_where_the_page_before_begins(
    autojump_clock: MockClock,
) -> None:
    """Older messages are read in pages; together they are the whole conversation, once."""
    limits = Limits(history_messages_max=6, page_rows_max=4)
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store), limits=limits) as runtime:
        await converse(runtime, 10)
    async with checked_runtime(store=MemoryJournal(store), limits=limits) as runtime:
        async with runtime.subscribe(CHAT) as stream:
            ready = await anext(stream)
        assert isinstance(ready, SessionReady)
        assert len(ready.messages) <= 6
        messages, before = list(ready.messages), ready.before_turn
        while before is not None:
            page = await runtime.history(CHAT, before_turn=before)
            messages[:0] = page.messages
            before = page.before_turn
    assert [message.text for message in messages if message.role == "user"] == [f"message {n}" for n in range(10)]


async def test_queued_messages_are_part_of_the_snapshot(autojump_clock: MockClock) -> None:
    """What waits is shown as waiting, in order, beside the turn that runs."""
    async with checked_runtime(ScriptedAgent([Say("half"), Do(nothing), Wait(5.0)])) as runtime:
        await runtime.create(CHAT)
        for number in range(3):
            await runtime.send(CHAT, f"message {number}")
        await trio.sleep(1.0)
        async with runtime.subscribe(CHAT) as stream:
            ready = await anext(stream)
        assert isinstance(ready, SessionReady)
        assert ready.running is not None
        assert [message.text for message in ready.running.messages] == ["message 0", "half"]
        assert [(message.text, message.status) for message in ready.queued] == [
            ("message 1", "queued"),
            ("message 2", "queued"),
        ]
        assert ready.status == "running"
        await settle(runtime)


async def nothing(turn: Turn) -> None:
    """Give way once."""
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("after", [None, 0])
async def test_the_bound_on_subscribers_holds_for_those_that_come_at_once(
    after: int | None, autojump_clock: MockClock
) -> None:
    """Also while the history is read for them, and while they read what they have missed."""
    refused = []
    async with checked_runtime(limits=Limits(subscribers_max=2)) as runtime:
        await runtime.create("live:a")
        await (await runtime.send("live:a", "hello")).result()
        await runtime.stop("live:a")

        async def watch() -> None:
            try:
                async with runtime.subscribe("live:a", after=after) as stream:
                    async for _ in stream:
                        pass
            except SubscriptionError as error:
                refused.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(watch)
            await trio.sleep(1.0)
            assert len(refused) == 3
            assert runtime.statistics().subscribers == 2
            nursery.cancel_scope.cancel()
        async with runtime.subscribe("live:a", after=after) as stream:
            await anext(stream)
