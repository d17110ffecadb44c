"""Ours, each beside the limit it is held against: everything a host would have is on.

Validation, routing, accounting, supervision and bounded mailboxes are those of a plain ``open_runtime``; nothing is
switched off to be measured.
"""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

import trio
from trio.testing import wait_all_tasks_blocked

from actors import Limits, Runtime, Session, Turn, agent, open_runtime
from actors.runtime.agent import Agent
from actors.store.schema import MIGRATIONS
from scripts.benchmarks.group_commit import Row, Rows, Workload
from scripts.benchmarks.harness import Figures, Settings, benchmark, limit, percentile, run_bounded
from scripts.benchmarks.limits_disk import BODY, register_durable
from scripts.benchmarks.limits_memory import ASKS, ASKS_BEFORE, MAILBOX_BOUND, MAILBOX_MESSAGES, MESSAGE

CLIENTS = 1_000
ACCEPTS_EACH = 30
TURNS_EACH = 20
TURNS_ALONE = 500
STARTS = 4_000
PIECES = tuple(f"word{number:02} " for number in range(20))
HISTORY_TURNS = (10, 500, 5_000)
STORE_SESSIONS = 10_000
STORE_TURNS = 10
COLD_READS = 300


async def answer_in_pieces(turn: Turn) -> None:
    """Answer as a model would that never waits: twenty pieces."""
    for piece in PIECES:
        await turn.write(piece)


async def hang(_turn: Turn) -> None:
    """Never answer."""
    await trio.sleep_forever()


RESTING = Limits(mailbox_messages_max=MAILBOX_BOUND, sender_s=60)
"""A sender rests only at a full box, as that of the limit does."""


@asynccontextmanager
async def _runtime(settings: Settings, chosen: Agent, limits: Limits | None = None) -> AsyncIterator[tuple[Runtime, Path]]:
    """Open a runtime on a file of its own."""
    with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
        path = Path(folder) / "ours.db"
        async with open_runtime(path, agent=chosen, limits=limits) as runtime:
            yield runtime, path


async def _create(runtime: Runtime, count: int) -> list[str]:
    """Create sessions, all at once."""
    chats = [f"live:{number}" for number in range(count)]
    await _all_at_once([partial(runtime.create, chat) for chat in chats])
    return chats


async def _all_at_once(calls: list[Callable[[], Awaitable[object]]]) -> None:
    """Await many calls together."""
    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(call)


# ── the rows that an accepted message writes, for a bare writer ──────────────────────────────────


def _columns(count: int) -> str:
    """Name so many columns of a row that travels as JSON."""
    return ", ".join(f"value->>{number}" for number in range(count))


def _row(*values: object) -> Callable[[int, int], list[Row]]:
    """Give a row whose values may be made of the chat and the number of the message."""
    return lambda chat, n: [tuple(value(chat, n) if callable(value) else value for value in values)]


def _chat(chat: int, _: int) -> int:
    return chat + 1


def _next(_: int, n: int) -> int:
    return n + 1


def _key(chat: int, n: int) -> str:
    return f"{chat:032}{n:04}"


def _answer_key(_: int, n: int) -> str:
    return f"{n + 1}/1/0"


INSERT_EVENT = f"INSERT INTO event SELECT {_columns(6)} FROM {{rows}}"
INSERT_TURN = f"INSERT INTO turn SELECT {_columns(8)} FROM {{rows}}"
INSERT_MESSAGE = f"INSERT INTO message SELECT {_columns(7)} FROM {{rows}}"
INSERT_PART = f"INSERT INTO part SELECT {_columns(10)} FROM {{rows}}"
UPDATE_TURN = (
    "UPDATE turn SET status = 'completed', ended_seq = v.s FROM"
    " (SELECT value->>0 AS c, value->>1 AS n, value->>2 AS s FROM {rows}) AS v WHERE chat = v.c AND turn = v.n"
)
UPDATE_SESSION = (
    "UPDATE session SET seq = v.n, turns = v.t FROM (SELECT value->>0 AS c, value->>1 AS n, value->>2 AS o, value->>3 AS t"
    " FROM {rows}) AS v WHERE chat = v.c AND seq = v.o"
)

SCHEMA = (
    *(step for step in MIGRATIONS[0].split(";\n") if step.strip()),
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
    " INSERT INTO session (chat, chat_id, seq, turns) SELECT i, 'live:' || i, 0, 0 FROM n",
)


def _number(times: int, plus: int) -> Callable[[int, int], int]:
    """Give the number of an event: so many a turn, and this one of them."""
    return lambda _, n: times * n + plus


def _events(*rows: Callable[[int, int], list[Row]]) -> Callable[[int, int], list[Row]]:
    """Give several rows."""
    return lambda chat, n: [row for make in rows for row in make(chat, n)]


def _accepted(events: int, status: str) -> tuple[Rows, ...]:
    """Give what accepting a message writes in a session whose turns have so many events; two if it begins at once."""
    begins = events > 1
    written = [_row(_chat, _number(events, number + 1), 1, 1.5, 1, BODY) for number in range(2 if begins else 1)]
    last = _number(events, 2 if begins else 1)
    return (
        Rows(INSERT_EVENT, _events(*written)),
        Rows(INSERT_TURN, _row(_chat, _next, status, 1, _number(events, 1), None, "", "")),
        Rows(INSERT_MESSAGE, _row(_chat, _next, 0, -1, _number(events, 1), "user", _key)),
        Rows(
            INSERT_PART,
            _row(_chat, _next, 0, -1, 0, "text", "complete", len(BODY), _number(events, 1), _number(events, 1)),
        ),
        Rows(UPDATE_SESSION, _row(_chat, last, _number(events, 0), _next)),
    )


ACCEPTED = Workload(SCHEMA, (_accepted(1, "queued"),))
"""What a message writes that waits for its turn: an event, a turn, a message, a part, and the session's number."""

TURN = Workload(
    SCHEMA,
    (
        _accepted(4, "running"),
        (
            Rows(
                INSERT_EVENT,
                _events(*(_row(_chat, _number(4, number), 1, 1.5, 1, BODY) for number in (3, 4))),
            ),
            Rows(INSERT_MESSAGE, _row(_chat, _next, 1, 0, _number(4, 3), "assistant", _answer_key)),
            Rows(
                INSERT_PART,
                _row(_chat, _next, 1, 0, 0, "text", "complete", 120, _number(4, 3), _number(4, 3)),
            ),
            Rows(UPDATE_TURN, _row(_chat, _next, _number(4, 4))),
            Rows(UPDATE_SESSION, _row(_chat, _number(4, 4), _number(4, 2), _next)),
        ),
    ),
)
"""What a turn writes: twelve rows in two commits."""

register_durable("ours", TURN, ACCEPTED)

# ── in memory ────────────────────────────────────────────────────────────────────────────────────


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

    async with _runtime(settings, agent(hang, receive=receive), limits) as (runtime, _):
        chats = await _create(runtime, sessions)
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
    async with _runtime(settings, agent(hang, receive=receive)) as (runtime, _):
        chat = await runtime.create("live:1")
        for _ in range(ASKS_BEFORE + asks):
            started_s = perf_counter()
            assert await runtime.ask(chat, MESSAGE) == MESSAGE
            took_us.append((perf_counter() - started_s) * 1e6)
    del took_us[:ASKS_BEFORE]
    return Figures(percentile(took_us, 50), {"p99 µs": percentile(took_us, 99)})


# ── on disk ──────────────────────────────────────────────────────────────────────────────────────


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


async def _accept(settings: Settings, each: int) -> Figures:
    """Let every sender await its receipt before it sends again."""
    async with _runtime(settings, agent(hang), Limits(queue_turns_max=each + 1, drain_s=0)) as (runtime, _):
        chats = await _create(runtime, CLIENTS)
        await _all_at_once([partial(runtime.send, chat, BODY) for chat in chats])

        async def send(chat: str) -> None:
            for _ in range(each):
                await runtime.send(chat, BODY)

        before = runtime.statistics()
        started_s = perf_counter()
        await _all_at_once([partial(send, chat) for chat in chats])
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


async def _turns(settings: Settings, clients: int, each: int) -> Figures:
    """Let every client await the result of its turn before it sends again."""
    items = 0

    async with _runtime(settings, agent(answer_in_pieces)) as (runtime, path):
        chats = await _create(runtime, clients)

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
            await _all_at_once([partial(take_turns, chat) for chat in chats])
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
    async with _runtime(settings, agent(answer_in_pieces)) as (runtime, _):
        took_ms = await _time_turns(runtime, await runtime.create("live:1"), count)
    return Figures(percentile(took_ms, 50), {"p99 ms": percentile(took_ms, 99)})


async def _time_turns(runtime: Runtime, chat: str, count: int) -> list[float]:
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
    """Bring a session near a turn, many at once so that it is quick, and time a hundred turns of other such sessions."""

    async def read_history(turn: Turn) -> None:
        assert turn.history[-1].text == BODY, "the history ends with the message that is answered"
        await answer_in_pieces(turn)

    async with _runtime(settings, agent(read_history)) as (runtime, _):
        chat = await runtime.create("live:1")
        receipts = []
        for _ in range(number - 10):
            receipts.append(await runtime.send(chat, BODY))
            if len(receipts) == 50:  # noqa: PLR2004 - within the bound of the queue
                await receipts[-1].result()
                receipts.clear()
        if receipts:
            await receipts[-1].result()
        fresh = await _time_turns(runtime, chat, 100)
    return percentile(fresh, 50)


@benchmark(
    "ours-start",
    "create, first message, stop",
    "sessions/s",
    higher_is_better=True,
    reach=[("start-parked", 0.15)],
)
def start(settings: Settings) -> float:
    """Create a session, tell it one message, stop it; a hundred at a time."""
    return run_bounded(partial(_start, settings, settings.scaled(STARTS)))


async def _start(settings: Settings, count: int) -> float:
    """Give sessions per second."""
    heard = 0

    async def receive(_session: Session, _payload: object) -> None:
        nonlocal heard
        heard += 1

    async with _runtime(settings, agent(hang, receive=receive)) as (runtime, _):

        async def live(number: int) -> None:
            chat = await runtime.create(f"live:{number}")
            await runtime.tell(chat, MESSAGE)
            await runtime.stop(chat)

        started_s = perf_counter()
        for first in range(0, count, CLIENTS):
            await _all_at_once([partial(live, first + number) for number in range(min(CLIENTS, count - first))])
        took_s = perf_counter() - started_s
        assert heard == count
    return count / took_s


# ── a store that was filled before ───────────────────────────────────────────────────────────────

_filled: dict[tuple[Path, int], Path] = {}


def _fill(settings: Settings, sessions: int, turns_each: int) -> Path:
    """Fill a store once for all rounds."""
    key = (settings.directory, sessions)
    if key not in _filled:
        path = Path(tempfile.mkdtemp(dir=settings.directory)) / "filled.db"

        async def fill() -> None:
            async with open_runtime(path, agent=agent(answer_in_pieces)) as runtime:
                chats = await _create(runtime, sessions)

                async def take_turns(chat: str) -> None:
                    for _ in range(turns_each):
                        await (await runtime.send(chat, BODY)).result()

                for first in range(0, sessions, CLIENTS):
                    await _all_at_once([partial(take_turns, chat) for chat in chats[first : first + CLIENTS]])

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


# ── nothing serialises sessions ──────────────────────────────────────────────────────────────────

WAIT_S = 0.2


@limit("reference-wait-one", "one turn that waits 200 ms for its model", "ms", higher_is_better=False)
def wait_one(settings: Settings) -> float:
    """One session."""
    return run_bounded(partial(_wait, settings, 1))


@benchmark(
    "ours-wait-200",
    "200 such turns at once: the wall clock of one",
    "ms",
    higher_is_better=False,
    reach=[("reference-wait-one", 0.6)],
)
def wait_many(settings: Settings) -> float:
    """Two hundred sessions."""
    return run_bounded(partial(_wait, settings, 200))


async def _wait(settings: Settings, sessions: int) -> float:
    """Give the wall clock of so many turns at once."""

    async def wait_for_model(turn: Turn) -> None:
        await trio.sleep(WAIT_S)
        await turn.write("done")

    async with _runtime(settings, agent(wait_for_model)) as (runtime, _):
        chats = await _create(runtime, sessions)

        async def one(chat: str) -> None:
            await (await runtime.send(chat, BODY)).result()

        started_s = perf_counter()
        await _all_at_once([partial(one, chat) for chat in chats])
        return (perf_counter() - started_s) * 1e3


@limit("reference-beside-none", "p99 of a turn beside 50 quiet chats", "ms", higher_is_better=False)
def beside_none(settings: Settings) -> float:
    """No chat is stalled."""
    return run_bounded(partial(_beside, settings, stalled=False))


@benchmark(
    "ours-beside-stalled",
    "the same beside 50 stalled chats with full mailboxes",
    "ms",
    higher_is_better=False,
    reach=[("reference-beside-none", 0.5)],
)
def beside_stalled(settings: Settings) -> float:
    """Fifty chats whose agent never returns, and whose queue is full."""
    return run_bounded(partial(_beside, settings, stalled=True))


async def _beside(settings: Settings, *, stalled: bool) -> float:
    """Give the 99th percentile of turns in one session beside others."""

    async def stall(turn: Turn) -> None:
        if turn.text == "stall":
            await trio.sleep_forever()
        await answer_in_pieces(turn)

    async with _runtime(settings, agent(stall), Limits(drain_s=0)) as (runtime, _):
        chats = await _create(runtime, 51)
        if stalled:
            for chat in chats[1:]:
                for _ in range(50):
                    await runtime.send(chat, "stall")
        took_ms = await _time_turns(runtime, chats[0], settings.scaled(400))
    return percentile(took_ms, 99)
