"""A hot session beside a thousand quiet ones: what the quiet ones notice of it, and that nobody loses a message."""

from functools import partial
from time import perf_counter

import trio

from actors import Limits, Runtime, Session, agent
from scripts.benchmarks.harness import Figures, Settings, benchmark, limit, percentile, run_bounded
from scripts.benchmarks.scenario import create_sessions, hang, opened

SESSIONS = 1_000
QUIET_PER_MS = 2
"""Two messages a second for each of the sessions."""
HOT_PER_MS = 20
MILLISECONDS = 5_000
LOST_S = 60
"""After so long without the last message one is lost."""


@limit("reference-quiet-1k", "p99 of a message to one of 1,000 sessions at 2 msg/s each", "ms", higher_is_better=False)
def quiet(settings: Settings) -> Figures:
    """No session is hot."""
    return run_bounded(partial(_messages, settings, hot_per_ms=0))


@benchmark(
    "ours-beside-hot",
    "the same beside a hot session at 20,000 msg/s; nobody loses a message",
    "ms",
    higher_is_better=False,
    reach=[("reference-quiet-1k", 0.5)],
)
def beside_hot(settings: Settings) -> Figures:
    """One session gets ten times what the thousand get together."""
    return run_bounded(partial(_messages, settings, hot_per_ms=HOT_PER_MS))


async def _messages(settings: Settings, *, hot_per_ms: int) -> Figures:
    """Give the 99th percentile of the time from the sender to the handler, in the sessions that are not hot."""
    took_ms: list[float] = []
    heard = 0

    async def receive(session: Session, payload: object) -> None:
        nonlocal heard
        if session.chat_id == "live:0":
            heard += 1
        else:
            took_ms.append((perf_counter() - float(str(payload))) * 1e3)

    async with opened(settings, agent(hang, receive=receive), Limits(drain_s=60)) as (runtime, _):
        hot, *chats = await create_sessions(runtime, SESSIONS + 1)
        for chat in (hot, *chats):
            await runtime.tell(chat, str(perf_counter()))
        await trio.sleep(0.5)
        took_ms.clear()
        heard = 0
        milliseconds = settings.scaled(MILLISECONDS)
        began_s = perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pace, runtime, chats, QUIET_PER_MS, milliseconds)
            nursery.start_soon(_pace, runtime, [hot], hot_per_ms, milliseconds)
        sent_s = perf_counter() - began_s
        while len(took_ms) + heard < (QUIET_PER_MS + hot_per_ms) * milliseconds:
            assert perf_counter() - began_s < LOST_S, "a message is lost"
            await trio.sleep(0.01)
        statistics = runtime.statistics()
        assert statistics.closed, "every message is accounted for"
        assert not statistics.letters.dead, "nobody's message is lost"
        assert not statistics.refused, "and none is refused"
    return Figures(percentile(took_ms, 99), {"p50 ms": percentile(took_ms, 50), "hot msg/s": heard / sent_s})


async def _pace(runtime: Runtime, chats: list[str], per_ms: int, milliseconds: int) -> None:
    """Send so many messages in each millisecond, to one session after the other; a late sender catches up."""
    began_s = trio.current_time()
    number = 0
    for millisecond in range(milliseconds if per_ms else 0):
        await trio.sleep_until(began_s + millisecond / 1e3)
        for _ in range(per_ms):
            await runtime.tell(chats[number % len(chats)], str(perf_counter()))
            number += 1
