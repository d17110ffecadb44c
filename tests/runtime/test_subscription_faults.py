"""A viewer that is too slow, finds rows gone, or outlives its session is told, and can go on where it stood."""

from collections.abc import Sequence
from functools import partial
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from actors import (
    Event,
    Gap,
    LaggedError,
    Limits,
    Runtime,
    SessionReady,
    TurnEnded,
    UnavailableError,
)
from actors.core.ids import ChatId
from actors.core.stream import Item
from actors.ports import Entry, Outcome
from actors.store.memory import MemoryJournal
from actors.testing import (
    Alters,
    Delays,
    Fails,
    FaultyJournal,
    Flood,
    Hang,
    ScriptedAgent,
    checked_runtime,
    records_of,
)
from tests.runtime.by_hand import shut_down
from tests.runtime.viewing import CHAT, converse, read_all, seqs_of


@pytest.mark.rule("pack_19")
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


class SlowToAnswer(FaultyJournal):
    """Has written everything a second before it says so."""

    @override
    async def commit(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        outcomes = await super().commit(entries)
        await trio.sleep(1.0)
        return outcomes


async def test_what_is_on_disk_and_not_published_yet_is_seen_once(autojump_clock: MockClock) -> None:
    """A viewer that catches up in that moment gets it when everybody does, not before and not twice."""
    async with checked_runtime(store=SlowToAnswer(MemoryJournal())) as runtime:
        await runtime.create(CHAT)
        published = runtime.inspect(CHAT).seq
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.send, CHAT, "hello")
            await trio.sleep(0.5)
            async with runtime.subscribe(CHAT, after=0) as stream:
                items: list[Item] = [await anext(stream) for _ in range(published)]
                assert runtime.inspect(CHAT).seq == published, "nothing was published yet"
                while not (isinstance(items[-1], Event) and isinstance(items[-1].body, TurnEnded)):
                    items.append(await anext(stream))
        assert seqs_of(items) == list(range(1, runtime.inspect(CHAT).seq + 1))


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
                await shut_down(runtime, 1.0)
    assert sorted(ended) == ["live:hangs", "live:idle"]
