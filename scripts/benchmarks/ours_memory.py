"""Ours in memory: what a volatile message and an answer cost with everything on that a host would have."""

from functools import partial
from time import perf_counter

import trio
from trio.testing import wait_all_tasks_blocked

from actors import Limits, Session, agent
from scripts.benchmarks.harness import Figures, Settings, benchmark, limit, percentile, run_bounded
from scripts.benchmarks.limits_memory import ASKS, ASKS_BEFORE, MAILBOX_BOUND, MAILBOX_MESSAGES, MESSAGE
from scripts.benchmarks.scenario import create_sessions, hang, opened

RESTING = Limits(mailbox_messages_max=MAILBOX_BOUND, sender_s=60)
"""A sender rests only at a full box, as that of the limit does."""


@benchmark(
    "ours-tell-1k",
    "route and deliver a volatile message, 1,000 sessions",
    "msg/s",
    higher_is_better=True,
    reach=[("mailbox-parked-1k", 0.3), ("mailbox-deque", 0.0)],
)
def tell_1k(settings: Settings) -> float:
    """Tell 1,000 sessions round-robin."""
    return run_bounded(partial(_tell, 1_000, settings))


@limit("reference-tell-1k", "ours at 1,000 sessions", "msg/s", higher_is_better=True)
def reference_tell_1k(settings: Settings) -> float:
    """Tell 1,000 sessions, to hold 10,000 against."""
    return run_bounded(partial(_tell, 1_000, settings))


@benchmark(
    "ours-tell-10k",
    "the same, 10,000 sessions; its cost is at most twice that at 1,000",
    "msg/s",
    higher_is_better=True,
    reach=[("mailbox-parked-10k", 0.3), ("reference-tell-1k", 0.5)],
)
def tell_10k(settings: Settings) -> float:
    """Tell 10,000 sessions round-robin."""
    return run_bounded(partial(_tell, 10_000, settings))


@benchmark(
    "ours-tell-default",
    "1,000 sessions, the sender gives way every 50 ms as it does by default",
    "msg/s",
    higher_is_better=True,
    reach=[("mailbox-giving-way-1k", 1.0)],
)
def tell_default(settings: Settings) -> float:
    """Tell 1,000 sessions with the default limits."""
    return run_bounded(partial(_tell, 1_000, settings, Limits()))


async def _tell(sessions: int, settings: Settings, limits: Limits = RESTING) -> float:
    """Tell every session the same number of messages in turn; give messages per second."""
    laps = settings.scaled(MAILBOX_MESSAGES) // sessions
    received = 0

    async def receive(_session: Session, _payload: object) -> None:
        nonlocal received
        received += 1

    async with opened(settings, agent(hang, receive=receive), limits) as (runtime, _):
        chats = await create_sessions(runtime, sessions)
        for chat in chats:
            await runtime.tell(chat, MESSAGE)
        await wait_all_tasks_blocked(0.05)
        received = 0
        started_s = perf_counter()
        for _ in range(laps):
            for chat in chats:
                await runtime.tell(chat, MESSAGE)
        while received < laps * sessions:
            await trio.lowlevel.checkpoint()
        took_s = perf_counter() - started_s
        assert runtime.statistics().closed, "every message is accounted for"
    return laps * sessions / took_s


@benchmark(
    "ours-ask",
    "ask one session",
    "µs",
    higher_is_better=False,
    reach=[("ask-parked", 1 / 2.5), ("ask-parked", 1 / 4, "p99 µs")],
)
def ask(settings: Settings) -> Figures:
    """Ask one session again and again, with a deadline each time."""
    return run_bounded(partial(_ask, settings, settings.scaled(ASKS)))


async def _ask(settings: Settings, asks: int) -> Figures:
    """Measure each ask by itself, after some that only warm up."""

    async def receive(_session: Session, payload: object) -> object:
        return payload

    took_us = []
    async with opened(settings, agent(hang, receive=receive)) as (runtime, _):
        chat = await runtime.create("live:1")
        for _ in range(ASKS_BEFORE + asks):
            started_s = perf_counter()
            assert await runtime.ask(chat, MESSAGE) == MESSAGE
            took_us.append((perf_counter() - started_s) * 1e6)
    del took_us[:ASKS_BEFORE]
    return Figures(percentile(took_us, 50), {"p99 µs": percentile(took_us, 99)})
