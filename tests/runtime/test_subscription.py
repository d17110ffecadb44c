"""A viewer sees everything after its number, once and in order, whatever happens while it comes, reads and goes."""

import random
from collections.abc import Sequence
from functools import partial
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ConfigurationError,
    CursorAheadError,
    Event,
    Gap,
    LaggedError,
    Limits,
    Runtime,
    SessionReady,
    SubscriptionError,
    TextAppended,
    TextSignal,
    Turn,
    TurnEnded,
    UnavailableError,
)
from actors.core.ids import ChatId
from actors.core.stream import Item
from actors.runtime.facade import Receipt
from actors.runtime.subscription import Subscription
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Alters,
    Call,
    Delays,
    Do,
    Fails,
    FaultyJournal,
    Flood,
    Hang,
    Say,
    ScriptedAgent,
    Wait,
    checked_runtime,
    records_of,
    settle,
)

CHAT = ChatId("live:a")


async def read_all(stream: Subscription) -> list[Item]:
    """Read a subscription to its end."""
    return [item async for item in stream]


def seqs_of(items: Sequence[Item]) -> list[int]:
    """List the numbers of the events."""
    return [item.seq for item in items if isinstance(item, Event)]


async def converse(runtime: Runtime, turns: int = 3) -> Receipt:
    """Hold a short conversation and return the last receipt."""
    await runtime.create(CHAT)
    receipt = None
    for number in range(turns):
        receipt = await runtime.send(CHAT, f"message {number}")
        await receipt.result()
    assert receipt is not None
    return receipt


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


async def test_a_viewer_that_never_reads_is_cut_and_resumes_exactly(autojump_clock: MockClock) -> None:
    """It delays nobody, holds bounded memory, and misses nothing when it comes again."""
    log = BytesIO()
    limits = Limits(subscriber_items_max=20)
    async with checked_runtime(limits=limits, log=log) as runtime:
        await runtime.create(CHAT)
        async with runtime.subscribe(CHAT) as lazy:
            assert isinstance(await anext(lazy), SessionReady)
            started_s = trio.current_time()
            for number in range(20):
                assert (await (await runtime.send(CHAT, f"message {number}")).result()).ok
            assert trio.current_time() == started_s
            with pytest.raises(LaggedError) as caught:
                await anext(lazy)
            with pytest.raises((LaggedError, StopAsyncIteration)):
                await anext(lazy)
        statistics = runtime.statistics()
        assert (statistics.lagged, statistics.subscribers) == (1, 0)
        last = await runtime.send(CHAT, "last")
        async with runtime.subscribe(CHAT, after=caught.value.resume_after, until=last) as stream:
            items = await read_all(stream)
        assert seqs_of(items) == list(range(caught.value.resume_after + 1, runtime.inspect(CHAT).seq + 1))
    assert [record["event"] for record in records_of(log)].count("subscriber.lagged") == 1


async def test_a_viewer_that_is_cut_in_the_middle_resumes_after_what_it_read(autojump_clock: MockClock) -> None:
    """Reading some, falling behind, resuming: together every number once."""
    limits = Limits(subscriber_items_max=10)
    read: list[int] = []
    async with checked_runtime(limits=limits) as runtime:
        await runtime.create(CHAT)
        after = 0
        for _ in range(5):
            async with runtime.subscribe(CHAT, after=after) as stream:
                for number in range(3):
                    await (await runtime.send(CHAT, f"message {number}")).result()
                    item = await anext(stream)
                    read += seqs_of([item])
                for number in range(5):
                    await (await runtime.send(CHAT, f"message {number}")).result()
                try:
                    while True:
                        with trio.fail_after(1.0):
                            read += seqs_of([await anext(stream)])
                except LaggedError as error:
                    after = error.resume_after
                except trio.TooSlowError:
                    after = read[-1]
            assert after == read[-1]
        last = await runtime.send(CHAT, "last")
        async with runtime.subscribe(CHAT, after=after, until=last) as stream:
            read += seqs_of(await read_all(stream))
        assert read == list(range(1, runtime.inspect(CHAT).seq + 1))


async def test_text_of_a_million_characters_is_bounded_for_a_viewer_that_does_not_read(
    autojump_clock: MockClock,
) -> None:
    """What is on disk can be read again; what is live is shared."""
    limits = Limits(subscriber_bytes_max=10_000)
    async with checked_runtime(ScriptedAgent([Flood(10_000, "x" * 100)]), limits=limits) as runtime:
        await runtime.create(CHAT)
        async with runtime.subscribe(CHAT) as lazy:
            await anext(lazy)
            assert (await (await runtime.send(CHAT, "talk")).result()).ok
            with pytest.raises(LaggedError):
                await anext(lazy)


def without(gone: set[int], page: tuple[Event, ...]) -> tuple[Event, ...]:
    """Leave some events out of a page."""
    return tuple(event for event in page if event.seq not in gone)


async def test_rows_that_are_gone_from_the_journal_are_marked_as_a_gap(autojump_clock: MockClock) -> None:
    """At the start, in the middle and at the end; what follows a gap is complete again."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal, limits=Limits(page_rows_max=4)) as runtime:
        last = await converse(runtime, 4)
        head = runtime.inspect(CHAT).seq
        for gone in ({1, 2, 3}, {5, 6}, {4, 5, 6, 7, 8, 9}, {head - 1, head}, set(range(1, head + 1)), {2, 5, 6, 9}):
            journal.plan("events", Alters(partial(without, gone)))
            async with runtime.subscribe(CHAT, after=0, until=last) as stream:
                with trio.fail_after(10.0):
                    items = await read_all(stream)
            journal.heal()
            covered: list[int] = []
            for item in items:
                if isinstance(item, Gap):
                    covered += range(item.after + 1, item.until + 1)
                elif isinstance(item, Event):
                    assert item.seq not in gone
                    covered.append(item.seq)
            assert covered == list(range(1, head + 1))


async def test_a_gap_at_the_end_does_not_swallow_what_is_published_meanwhile(autojump_clock: MockClock) -> None:
    """An empty page speaks only of what was there when it was asked for."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        await converse(runtime, 1)
        head = runtime.inspect(CHAT).seq

        async with runtime.subscribe(CHAT, after=0) as stream, trio.open_nursery() as nursery:

            async def publish() -> None:
                await trio.sleep(0.5)
                await runtime.send(CHAT, "meanwhile")

            journal.plan("events", Delays(1.0), times=0)
            journal.plan("events", Alters(lambda _: ()), times=1)
            nursery.start_soon(publish)
            original = journal.inner.events

            async def slow(chat_id: ChatId, after: int, rows_max: int) -> tuple[Event, ...]:
                await trio.sleep(1.0)
                return await original(chat_id, after, rows_max)

            journal.inner.events = slow  # type: ignore[method-assign]  # a read that takes its time
            gap = await anext(stream)
            assert gap == Gap(CHAT, 0, head)
            assert seqs_of([await anext(stream)]) == [head + 1]


async def test_a_viewer_is_told_when_the_journal_cannot_be_read_and_may_come_again(autojump_clock: MockClock) -> None:
    """The error of the store is passed on; the session does not notice."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        last = await converse(runtime, 2)
        journal.plan("events", Fails(), times=1)
        with pytest.raises(Exception, match="disk"):
            async with runtime.subscribe(CHAT, after=0, until=last) as stream:
                await read_all(stream)
        async with runtime.subscribe(CHAT, after=0, until=last) as stream:
            assert len(await read_all(stream)) == runtime.inspect(CHAT).seq
        assert runtime.statistics().crashes == 0


@pytest.mark.parametrize("verb", ["stop", "delete"])
@pytest.mark.parametrize("after", [None, 0])
async def test_a_subscription_ends_with_its_session(verb: str, after: int | None, autojump_clock: MockClock) -> None:
    """Whatever the viewer was doing: reading live, catching up, or on its way in."""
    for delay_s in (0.01, 0.05, 0.15, 0.25, 0.5, 5.0):
        journal = FaultyJournal(MemoryJournal())
        ended: list[bool] = []
        async with checked_runtime(store=journal, limits=Limits(page_rows_max=2)) as runtime:
            await converse(runtime)
            await runtime.stop(CHAT)
            journal.plan("events", Delays(0.1))
            journal.plan("messages", Delays(0.1))

            async def view(runtime: Runtime = runtime, ended: list[bool] = ended) -> None:
                try:
                    async with runtime.subscribe(CHAT, after=after) as stream:
                        await read_all(stream)
                except UnavailableError as error:
                    assert error.reason == "stopping"
                ended.append(True)

            with trio.fail_after(60.0):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(view)
                    await trio.sleep(delay_s)
                    await getattr(runtime, verb)(CHAT)
        assert ended == [True]


async def test_a_subscription_ends_with_its_runtime(autojump_clock: MockClock) -> None:
    """A viewer that outlives the block is not left waiting, whatever its session was doing."""
    ended: list[str] = []
    script = ScriptedAgent(scripts={"live:hangs": [Hang()]})
    async with trio.open_nursery() as nursery:
        with trio.fail_after(100.0):
            async with checked_runtime(script, open_turns=True) as runtime:
                for chat_id in ("live:idle", "live:hangs"):
                    await runtime.create(chat_id)

                async def view(chat_id: str) -> None:
                    async with runtime.subscribe(chat_id) as stream:
                        await read_all(stream)
                    ended.append(chat_id)

                for chat_id in ("live:idle", "live:hangs"):
                    nursery.start_soon(view, chat_id)
                await runtime.send("live:hangs", "hello")
                await wait_all_tasks_blocked()
                for ref in runtime._registry:  # noqa: SLF001 - so that the check does not ask for them to be gone
                    assert len(ref.broadcast) == 1
                await runtime.shut_down(1.0)
    assert sorted(ended) == ["live:hangs", "live:idle"]


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
