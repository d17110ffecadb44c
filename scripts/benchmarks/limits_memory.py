"""Limits in memory: what a message, an answer and a start cost before anything is promised."""

import gc
import tracemalloc
from collections import deque
from functools import partial
from time import perf_counter

import trio
from outcome import Value
from trio.lowlevel import Abort, Task, checkpoint, current_task, reschedule, wait_task_rescheduled
from trio.testing import wait_all_tasks_blocked

from scripts.benchmarks.harness import Figures, Settings, limit, percentile, run_bounded
from scripts.benchmarks.parked_mailbox import QUANTUM_S, ParkedMailbox

MAILBOX_BOUND = 64
MESSAGE = "hello"

BARE_MESSAGES = 2_000_000
MAILBOX_MESSAGES = 1_280_000
ASKS = 20_000
ASKS_BEFORE = 500
STARTS = 40_000
STARTS_AT_ONCE = 100
IDLE_SESSIONS = 10_000

LOOKS_AT_CLOCK = 16
"""A sender that gives way looks at its clock after so many messages: 2 to 4 µs of sending."""


class Counter:
    """Counts what it is handed: the least a handler can do and still be checked."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    async def handle(self, _message: object) -> None:
        """Count one message."""
        self.count += 1


@limit("mailbox-deque", "one task, a deque, await handler(item)", "msg/s", higher_is_better=True)
def mailbox_deque(settings: Settings) -> float:
    """Fill a bare deque and drain it into an async handler: no task is ever switched."""
    batches = settings.scaled(BARE_MESSAGES) // MAILBOX_BOUND

    async def drain() -> float:
        counter = Counter()
        items: deque[str] = deque()
        started_s = perf_counter()
        for _ in range(batches):
            for _ in range(MAILBOX_BOUND):
                items.append(MESSAGE)
            while items:
                await counter.handle(items.popleft())
        took_s = perf_counter() - started_s
        assert counter.count == batches * MAILBOX_BOUND
        await checkpoint()
        return counter.count / took_s

    return run_bounded(drain)


@limit("mailbox-parked-1k", "parked tasks, 1,000 sessions", "msg/s", higher_is_better=True)
def mailbox_parked_1k(settings: Settings) -> float:
    """Send round-robin to 1,000 sessions; the sender gives way where a box is full."""
    return run_bounded(partial(_send_round_robin, 1_000, settings, gives_way=False))


@limit("mailbox-parked-10k", "parked tasks, 10,000 sessions", "msg/s", higher_is_better=True)
def mailbox_parked_10k(settings: Settings) -> float:
    """Send round-robin to 10,000 sessions; the sender gives way where a box is full."""
    return run_bounded(partial(_send_round_robin, 10_000, settings, gives_way=False))


@limit(
    "mailbox-giving-way-1k",
    "parked tasks, 1,000 sessions, sender gives way after 100 µs",
    "msg/s",
    higher_is_better=True,
)
def mailbox_giving_way_1k(settings: Settings) -> float:
    """Send as before, giving way after each quantum: about one task switch for each message."""
    return run_bounded(partial(_send_round_robin, 1_000, settings, gives_way=True))


@limit(
    "mailbox-giving-way-10k",
    "parked tasks, 10,000 sessions, sender gives way after 100 µs",
    "msg/s",
    higher_is_better=True,
)
def mailbox_giving_way_10k(settings: Settings) -> float:
    """Send as before to 10,000 sessions, giving way after each quantum."""
    return run_bounded(partial(_send_round_robin, 10_000, settings, gives_way=True))


@limit("ask-parked", "one asks, a parked task answers", "µs", higher_is_better=False)
def ask_parked(settings: Settings) -> Figures:
    """Ask one task again and again; both sleep parked, and each wakes the other."""
    return run_bounded(partial(_ask, settings.scaled(ASKS)))


@limit("start-parked", "start, one message, stop", "sessions/s", higher_is_better=True)
def start_parked(settings: Settings) -> float:
    """Start a task with its mailbox, send it one message, and let it end."""
    return run_bounded(partial(_start_and_stop, settings.scaled(STARTS)))


@limit("idle-memory-parked", "one idle session", "bytes", higher_is_better=False)
def idle_memory_parked(settings: Settings) -> float:
    """Weigh parked tasks with empty mailboxes, as the allocator of Python counts."""
    return run_bounded(partial(_weigh_idle, settings.scaled(IDLE_SESSIONS)))


async def _send_round_robin(sessions: int, settings: Settings, *, gives_way: bool) -> float:
    """Send the same number of messages to each session in turn; give messages per second."""
    laps = settings.scaled(MAILBOX_MESSAGES) // sessions
    counter = Counter()
    boxes = [ParkedMailbox[str](MAILBOX_BOUND) for _ in range(sessions)]
    send = _send_giving_way if gives_way else _send_until_full
    async with trio.open_nursery() as nursery:
        for box in boxes:
            nursery.start_soon(box.consume, counter.handle)
        await wait_all_tasks_blocked()
        started_s = perf_counter()
        await send(boxes, laps)
        for box in boxes:
            box.close()
    took_s = perf_counter() - started_s
    assert counter.count == laps * sessions
    return counter.count / took_s


async def _send_until_full(boxes: list[ParkedMailbox[str]], laps: int) -> None:
    """Send without a pause: a full box is where the sender rests."""
    for _ in range(laps):
        for box in boxes:
            if not box.put_nowait(MESSAGE):
                await box.put_when_room(MESSAGE)


async def _send_giving_way(boxes: list[ParkedMailbox[str]], laps: int) -> None:
    """Send, and let the others run after each quantum."""
    until_s = perf_counter() + QUANTUM_S
    sent = 0
    for _ in range(laps):
        for box in boxes:
            if not box.put_nowait(MESSAGE):
                await box.put_when_room(MESSAGE)
                until_s = perf_counter() + QUANTUM_S
            sent += 1
            if not sent % LOOKS_AT_CLOCK and perf_counter() > until_s:
                await checkpoint()
                until_s = perf_counter() + QUANTUM_S


async def _ask(asks: int) -> Figures:
    """Measure each ask by itself, after some that only warm up."""
    box = ParkedMailbox[tuple[int, Task]](MAILBOX_BOUND)
    asker = current_task()
    took_us = []

    async def answer(question: tuple[int, Task]) -> None:
        number, task = question
        reschedule(task, Value(number + 1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.consume, answer)
        await wait_all_tasks_blocked()
        for number in range(ASKS_BEFORE + asks):
            started_s = perf_counter()
            box.put_nowait((number, asker))
            answered = await wait_task_rescheduled(_wait_on)
            took_us.append((perf_counter() - started_s) * 1e6)
            assert answered == number + 1
        box.close()
    del took_us[:ASKS_BEFORE]
    return Figures(percentile(took_us, 50), {"p99 µs": percentile(took_us, 99)})


def _wait_on(_raise_cancel: object) -> Abort:
    """Let an asker wait for an answer that is sure to come."""
    return Abort.FAILED


async def _start_and_stop(starts: int) -> float:
    """Start sessions a hundred at a time, each for one message; give sessions per second."""
    counter = Counter()
    started_s = perf_counter()
    async with trio.open_nursery() as nursery:
        for number in range(1, starts + 1):
            box = ParkedMailbox[str](MAILBOX_BOUND)
            nursery.start_soon(box.consume, counter.handle)
            box.put_nowait(MESSAGE)
            box.close()
            if not number % STARTS_AT_ONCE:
                await checkpoint()
    took_s = perf_counter() - started_s
    assert counter.count == starts
    return starts / took_s


async def _weigh_idle(sessions: int) -> float:
    """Start sessions, let them fall asleep, and divide what they occupy."""
    counter = Counter()
    boxes: list[ParkedMailbox[str]] = []
    gc.collect()
    tracemalloc.start()
    try:
        async with trio.open_nursery() as nursery:
            before, _peak = tracemalloc.get_traced_memory()
            for _ in range(sessions):
                box = ParkedMailbox[str](MAILBOX_BOUND)
                boxes.append(box)
                nursery.start_soon(box.consume, counter.handle)
            await wait_all_tasks_blocked()
            after, _peak = tracemalloc.get_traced_memory()
            for box in boxes:
                box.close()
    finally:
        tracemalloc.stop()
    return (after - before) / sessions
