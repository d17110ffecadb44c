"""Ours on the disk: accepting, whole turns, starting, and a store that was filled before."""

import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter

import trio
from trio.testing import wait_all_tasks_blocked

from actors import Limits, Runtime, Session, Turn, agent, open_runtime
from scripts.benchmarks import our_rows  # noqa: F401  # registers the limits of our rows
from scripts.benchmarks.harness import Figures, Settings, benchmark, limit, percentile, run_bounded
from scripts.benchmarks.limits_disk import BODY
from scripts.benchmarks.limits_memory import MESSAGE
from scripts.benchmarks.scenario import (
    CLIENTS,
    COLLECTOR_TUNED,
    all_at_once,
    answer_in_pieces,
    create_sessions,
    hang,
    opened,
)

ACCEPTS_EACH = 30
TURNS_EACH = 20
TURNS_ALONE = 500
STARTS = 4_000
HISTORY_TURNS = (10, 500, 5_000)
STORE_SESSIONS = 10_000
STORE_TURNS = 10
COLD_READS = 300


@benchmark(
    "ours-accept",
    "durable accept, 1,000 senders at once, receipt awaited",
    "accepts/s",
    higher_is_better=True,
    reach=[("accept-ours", 0.5)],
)
def accept(settings: Settings) -> Figures:
    """Send to 1,000 sessions whose turn never ends, so that accepting is all that is measured."""
    return run_bounded(partial(_accept, settings, settings.scaled(ACCEPTS_EACH)))


@benchmark(
    "ours-accept-tuned",
    "the same with collector_threshold=10,000",
    "accepts/s",
    higher_is_better=True,
    reach=[("accept-ours", 0.5)],
)
def accept_tuned(settings: Settings) -> Figures:
    """Send as before, with the collector set as the how-to says."""
    return run_bounded(partial(_accept, settings, settings.scaled(ACCEPTS_EACH), COLLECTOR_TUNED))


async def _accept(settings: Settings, each: int, collector: int | None = None) -> Figures:
    """Let every sender await its receipt before it sends again."""
    async with opened(settings, agent(hang), Limits(queue_turns_max=each + 1, drain_s=0), collector=collector) as (
        runtime,
        _,
    ):
        chats = await create_sessions(runtime, CLIENTS)
        await all_at_once([partial(runtime.send, chat, BODY) for chat in chats])

        async def send(chat: str) -> None:
            for _ in range(each):
                await runtime.send(chat, BODY)

        before = runtime.statistics()
        started_s = perf_counter()
        await all_at_once([partial(send, chat) for chat in chats])
        took_s = perf_counter() - started_s
        after = runtime.statistics()
        entries = after.commit_entries - before.commit_entries
        groups = after.commit_groups - before.commit_groups
    return Figures(CLIENTS * each / took_s, {"entries a commit": entries / groups})


@benchmark(
    "ours-turns",
    "whole turns, 20 pieces, 1,000 sessions at once, one subscriber each",
    "turns/s",
    higher_is_better=True,
    reach=[("turns-ours", 10_000 / 45_000), ("turns-group", 0.0)],
)
def turns(settings: Settings) -> Figures:
    """Let 1,000 clients take their turns, each watched by a subscriber that reads everything."""
    return run_bounded(partial(_turns, settings, CLIENTS, settings.scaled(TURNS_EACH)))


@benchmark(
    "ours-turns-tuned",
    "the same with collector_threshold=10,000",
    "turns/s",
    higher_is_better=True,
    reach=[("turns-ours", 10_000 / 45_000), ("turns-group", 0.0)],
)
def turns_tuned(settings: Settings) -> Figures:
    """Take turns as before, with the collector set as the how-to says."""
    return run_bounded(partial(_turns, settings, CLIENTS, settings.scaled(TURNS_EACH), COLLECTOR_TUNED))


async def _turns(settings: Settings, clients: int, each: int, collector: int | None = None) -> Figures:
    """Let every client await the result of its turn before it sends again."""
    items = 0

    async with opened(settings, agent(answer_in_pieces), collector=collector) as (runtime, path):
        chats = await create_sessions(runtime, clients)

        async def watch(chat: str) -> None:
            nonlocal items
            async with runtime.subscribe(chat) as stream:
                async for _ in stream:
                    items += 1

        async def take_turns(chat: str) -> None:
            for _ in range(each):
                receipt = await runtime.send(chat, BODY)
                assert (await receipt.result()).ok

        async with trio.open_nursery() as nursery:
            for chat in chats:
                nursery.start_soon(watch, chat)
            await wait_all_tasks_blocked(0.05)
            before = runtime.statistics()
            started_s = perf_counter()
            await all_at_once([partial(take_turns, chat) for chat in chats])
            took_s = perf_counter() - started_s
            after = runtime.statistics()
            nursery.cancel_scope.cancel()
        size = sum(file.stat().st_size for file in path.parent.iterdir())
    done = clients * each
    return Figures(
        done / took_s,
        {
            "events a turn": (after.events - before.events) / done,
            "items a turn": items / done,
            "entries a commit": (after.commit_entries - before.commit_entries)
            / (after.commit_groups - before.commit_groups),
            "bytes a turn": size / done,
        },
    )


@benchmark(
    "ours-turn-alone",
    "one turn after the other, one session",
    "ms",
    higher_is_better=False,
    reach=[("turn-alone-ours", 1 / 3)],
)
def turn_alone(settings: Settings) -> Figures:
    """Send, await the result, send again."""
    return run_bounded(partial(_turn_alone, settings, settings.scaled(TURNS_ALONE)))


async def _turn_alone(settings: Settings, count: int) -> Figures:
    """Measure each turn by itself."""
    async with opened(settings, agent(answer_in_pieces)) as (runtime, _):
        took_ms = await time_turns(runtime, await runtime.create("live:1"), count)
    return Figures(percentile(took_ms, 50), {"p99 ms": percentile(took_ms, 99)})


async def time_turns(runtime: Runtime, chat: str, count: int) -> list[float]:
    """Take turns one after the other and time each."""
    took_ms = []
    for _ in range(count):
        started_s = perf_counter()
        receipt = await runtime.send(chat, BODY)
        assert (await receipt.result()).ok
        took_ms.append((perf_counter() - started_s) * 1e3)
    return took_ms


@limit("reference-turn-10", "ours, near the 10th turn of a session", "ms", higher_is_better=False)
def turn_10(settings: Settings) -> float:
    """Time the turns around the 10th."""
    return run_bounded(partial(_turn_near, settings, HISTORY_TURNS[0]))


@benchmark(
    "ours-turn-500",
    "one turn, near the 500th of its session",
    "ms",
    higher_is_better=False,
    reach=[("reference-turn-10", 1 / 1.1)],
)
def turn_500(settings: Settings) -> float:
    """Time the turns around the 500th."""
    return run_bounded(partial(_turn_near, settings, HISTORY_TURNS[1]))


@benchmark(
    "ours-turn-5000",
    "one turn, near the 5,000th of its session",
    "ms",
    higher_is_better=False,
    reach=[("reference-turn-10", 1 / 1.1)],
)
def turn_5000(settings: Settings) -> float:
    """Time the turns around the 5,000th."""
    return run_bounded(partial(_turn_near, settings, HISTORY_TURNS[2]))


async def _turn_near(settings: Settings, number: int) -> float:
    """Bring a session near a turn, and time the hundred turns that follow."""

    async def read_history(turn: Turn) -> None:
        assert turn.history[-1].text == BODY, "the history ends with the message that is answered"
        await answer_in_pieces(turn)

    async with opened(settings, agent(read_history)) as (runtime, _):
        chat = await runtime.create("live:1")
        receipts = []
        for _ in range(number - 10):
            receipts.append(await runtime.send(chat, BODY))
            if len(receipts) == 50:  # noqa: PLR2004 - within the bound of the queue
                await receipts[-1].result()
                receipts.clear()
        if receipts:
            await receipts[-1].result()
        fresh = await time_turns(runtime, chat, 100)
    return percentile(fresh, 50)


@benchmark(
    "ours-start",
    "create, first message and its reply, stop",
    "sessions/s",
    higher_is_better=True,
    reach=[("start-parked", 0.15)],
)
def start(settings: Settings) -> float:
    """Create a session, ask it one thing, stop it; a thousand at a time."""
    return run_bounded(partial(_start, settings, settings.scaled(STARTS)))


async def _start(settings: Settings, count: int) -> float:
    """Give sessions per second."""
    heard = 0

    async def receive(_session: Session, _payload: object) -> None:
        nonlocal heard
        heard += 1

    async with opened(settings, agent(hang, receive=receive)) as (runtime, _):

        async def live(number: int) -> None:
            chat = await runtime.create(f"live:{number}")
            await runtime.ask(chat, MESSAGE)
            await runtime.stop(chat)

        started_s = perf_counter()
        for first in range(0, count, CLIENTS):
            await all_at_once([partial(live, first + number) for number in range(min(CLIENTS, count - first))])
        took_s = perf_counter() - started_s
        assert heard == count
    return count / took_s


_filled: dict[tuple[Path, int], Path] = {}


def _fill(settings: Settings, sessions: int, turns_each: int) -> Path:
    """Fill a store once for all rounds."""
    key = (settings.directory, sessions)
    if key not in _filled:
        path = Path(tempfile.mkdtemp(dir=settings.directory)) / "filled.db"

        async def fill() -> None:
            async with open_runtime(path, agent=agent(answer_in_pieces)) as runtime:
                chats = await create_sessions(runtime, sessions)

                async def take_turns(chat: str) -> None:
                    for _ in range(turns_each):
                        await (await runtime.send(chat, BODY)).result()

                for first in range(0, sessions, CLIENTS):
                    await all_at_once([partial(take_turns, chat) for chat in chats[first : first + CLIENTS]])

        run_bounded(fill)
        _filled[key] = path
    return _filled[key]


@benchmark(
    "ours-activation",
    "bring up a cold session of 60 events and read its history",
    "ms",
    higher_is_better=False,
    reach=[("history-60", 0.0)],
)
def activation(settings: Settings) -> Figures:
    """Subscribe to sessions that are not live: state and history are read, the snapshot is taken."""
    path = _fill(settings, settings.scaled(1_000), 15)
    return run_bounded(partial(_activate, path, settings.scaled(COLD_READS)))


async def _activate(path: Path, count: int) -> Figures:
    """Measure each activation by itself."""
    took_ms = []
    async with open_runtime(path, agent=agent(hang)) as runtime:
        for chat in (await runtime.sessions())[:count]:
            started_s = perf_counter()
            async with runtime.subscribe(chat) as stream:
                async for _ in stream:
                    break
            took_ms.append((perf_counter() - started_s) * 1e3)
    p99 = percentile(took_ms, 99)
    return Figures(percentile(took_ms, 50), {"p99 ms": p99})


@benchmark(
    "ours-open",
    "open a store of 10,000 sessions of 20 messages",
    "ms",
    higher_is_better=False,
    reach=[("list-10k", 0.0)],
)
def open_filled(settings: Settings) -> Figures:
    """Open the store, list all sessions, read one history."""
    path = _fill(settings, settings.scaled(STORE_SESSIONS), STORE_TURNS)
    return run_bounded(partial(_open, path, settings.scaled(STORE_SESSIONS)))


async def _open(path: Path, sessions: int) -> Figures:
    """Measure the three steps."""
    started_s = perf_counter()
    async with open_runtime(path, agent=agent(hang)) as runtime:
        ready_s = perf_counter()
        listed: list[str] = []
        while page := await runtime.sessions(after=listed[-1] if listed else ""):
            listed += page
        listed_s = perf_counter()
        history = await runtime.history(listed[len(listed) // 2])
        read_s = perf_counter()
        assert len(listed) == sessions
        assert len(history.messages) == STORE_TURNS * 2
    return Figures(
        (ready_s - started_s) * 1e3,
        {"list ms": (listed_s - ready_s) * 1e3, "first history ms": (read_s - listed_s) * 1e3},
    )
