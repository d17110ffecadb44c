"""Sessions at rest: what one occupies in memory, and out of it; and what is seen and heard beside work."""

import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter

import trio

from actors import Limits, Runtime, Session, Turn, agent
from scripts.benchmarks.harness import Figures, Settings, benchmark, limit, percentile, run_bounded
from scripts.benchmarks.limits_disk import BODY
from scripts.benchmarks.scenario import all_at_once, create_sessions, hang, opened

RESIDENT_BYTES_MAX = 8_000
PASSIVATED_BYTES_MAX = 500
SESSIONS = 2_000
AWAY = 10_000
LOOKS = 2_000
STOPS = 200
QUEUED = 10_000
LOOK_MS_MAX = 50
STOP_MS_MAX = 10


@limit("bound-resident", "what a session at rest may occupy", "bytes", higher_is_better=False)
def bound_resident(_: Settings) -> float:
    """Give the bound."""
    return RESIDENT_BYTES_MAX


@limit("bound-passivated", "what a session may occupy that is on disk only", "bytes", higher_is_better=False)
def bound_passivated(_: Settings) -> float:
    """Give the bound."""
    return PASSIVATED_BYTES_MAX


@benchmark(
    "ours-memory-resident",
    "a session at rest after one turn, beside a parked task",
    "bytes",
    higher_is_better=False,
    reach=[("bound-resident", 1.0), ("idle-memory-parked", 0.0)],
)
def memory_resident(settings: Settings) -> float:
    """Weigh sessions that have answered once."""
    return run_bounded(
        partial(_weigh, settings, SESSIONS, away=False)
    )  # as many in a short round: tables grow in steps


@benchmark(
    "ours-memory-passivated",
    "what is left in memory of a session that has answered once and was put away",
    "bytes",
    higher_is_better=False,
    reach=[("bound-passivated", 1.0)],
)
def memory_passivated(settings: Settings) -> float:
    """Weigh what is left of sessions that were put away."""
    return run_bounded(partial(_weigh, settings, settings.scaled(AWAY), away=True))


async def _weigh(settings: Settings, sessions: int, *, away: bool) -> float:
    """Give what one session occupies, once everything that all share has grown to its size."""

    async def answer(_turn: Turn) -> str:
        return "ok"

    async def converse(runtime: Runtime, chat: str) -> None:
        await runtime.create(chat)
        await (await runtime.send(chat, BODY)).result()
        if away:
            await runtime.passivate(chat)

    limits = Limits(recent_records_max=100)
    async with opened(settings, agent(answer), limits) as (runtime, _):
        await _in_turn(runtime, range(-300, 0), converse)
        await _settled()
        tracemalloc.start()
        try:
            before, _peak = tracemalloc.get_traced_memory()
            await _in_turn(runtime, range(sessions), converse)
            await _settled()
            after, _peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        statistics = runtime.statistics()
        assert statistics.sessions_live == (0 if away else sessions + 300), "all are where they should be"
    return (after - before) / sessions


async def _in_turn(
    runtime: Runtime, numbers: range, converse: Callable[[Runtime, str], Awaitable[None]], at_once: int = 100
) -> None:
    """Converse with sessions, a hundred at a time."""
    for first in range(numbers.start, numbers.stop, at_once):
        last = min(first + at_once, numbers.stop)
        await all_at_once([partial(converse, runtime, f"live:s{number + 1_000_000}") for number in range(first, last)])


async def _settled() -> None:
    """Let everything come to rest, and collect what is left over."""
    await trio.sleep(0.5)
    gc.collect()


@limit("bound-look", "what a look may take at the 99th percentile", "ms", higher_is_better=False)
def bound_look(_: Settings) -> float:
    """Give the bound."""
    return LOOK_MS_MAX


@limit("bound-stop", "what a stop may take at the 99th percentile", "ms", higher_is_better=False)
def bound_stop(_: Settings) -> float:
    """Give the bound."""
    return STOP_MS_MAX


@limit("reference-idle-loop", "a checkpoint on an idle loop, 99th percentile", "ms", higher_is_better=False)
def idle_loop(settings: Settings) -> float:
    """Time checkpoints."""
    return run_bounded(partial(_idle, settings.scaled(LOOKS)))


async def _idle(count: int) -> float:
    """Give the 99th percentile of a checkpoint."""
    took_ms = []
    for _ in range(count):
        started_s = perf_counter()
        await trio.lowlevel.checkpoint()
        took_ms.append((perf_counter() - started_s) * 1e3)
    return percentile(took_ms, 99)


@benchmark(
    "ours-look-during-turn",
    "inspect, from a task of its own, a session in a turn of 60 s, p99",
    "ms",
    higher_is_better=False,
    reach=[("bound-look", 1.0), ("reference-idle-loop", 0.0)],
)
def look_during_turn(settings: Settings) -> Figures:
    """Look at one of a thousand sessions again and again."""
    return run_bounded(partial(_look, settings, settings.scaled(LOOKS)))


async def _look(settings: Settings, looks: int) -> Figures:
    """Give the 99th percentile of a look, beside that of the whole tree."""
    async with opened(settings, agent(hang), Limits(drain_s=0)) as (runtime, _):
        chats = await create_sessions(runtime, 1_000)
        await all_at_once([partial(runtime.send, chat, BODY) for chat in chats])
        looked_ms, trees_ms = [], []
        for number in range(looks):
            started_s = perf_counter()
            await trio.lowlevel.checkpoint()
            assert runtime.inspect(chats[number % 1_000]).status == "running"
            looked_ms.append((perf_counter() - started_s) * 1e3)
            if not number % 50:
                started_s = perf_counter()
                assert runtime.tree(sessions_max=100).sessions_total == len(chats)
                trees_ms.append((perf_counter() - started_s) * 1e3)
    return Figures(percentile(looked_ms, 99), {"tree p99 ms": percentile(trees_ms, 99)})


@benchmark(
    "ours-stop-behind-queue",
    "cancel the running turn of a session behind 10,000 queued messages until its agent hears it, p99",
    "ms",
    higher_is_better=False,
    reach=[("bound-stop", 1.0)],
)
def stop_behind_queue(settings: Settings) -> float:
    """Cancel the turn of a session whose queue and mailbox are full."""
    return run_bounded(partial(_stop, settings, settings.scaled(STOPS)))


async def _stop(settings: Settings, stops: int) -> float:
    """Give the 99th percentile of the time from a cancellation to the moment its agent hears it."""
    heard: list[float] = []

    async def wait(_turn: Turn) -> None:
        try:
            await trio.sleep_forever()
        finally:
            heard.append(perf_counter())

    async def receive(_session: Session, _payload: object) -> None:
        pass

    limits = Limits(mailbox_messages_max=QUEUED * 2, mailbox_bytes_max=1 << 30, drain_s=0)
    took_ms = []
    async with opened(settings, agent(wait, receive=receive), limits) as (runtime, _):
        chat = await runtime.create("live:1")
        for number in range(stops):
            receipt = await runtime.send(chat, BODY)
            runtime.suspend(chat)  # so that its mailbox fills
            for _ in range(QUEUED):
                runtime.tell_nowait(chat, BODY)
            assert runtime.inspect(chat).mailbox_messages == QUEUED
            started_s = perf_counter()
            ended = await receipt.cancel()
            took_ms.append((heard[number] - started_s) * 1e3)
            assert ended.status == "cancelled"
            runtime.resume(chat)
    return percentile(took_ms, 99)
