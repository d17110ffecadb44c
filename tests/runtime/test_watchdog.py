"""A step that holds the loop is reported with its place and its session; a process that slept is nobody's stall."""

import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from io import BytesIO
from typing import Any

import pytest
import trio

from actors import Limits, Runtime, Statistics, Turn, open_runtime
from actors.core.limits import Limits as Bounds
from actors.runtime.clock import MachineTimes
from actors.runtime.recorder import Recorder
from actors.runtime.watchdog import Looks, Step, Watchdog, loop_context
from actors.testing import VirtualClock, checked_runtime, records_of

CHAT = "live:a"
ONE, TWO = (1, 1), (1, 2)


def looked(looks: Sequence[tuple[Step | None, float, float]]) -> tuple[Looks, list[float]]:
    """Look at steps: who, seconds since the look before, and how many of them the processor worked."""
    made, now_s, busy_s, found = Looks(0.1), 100.0, 50.0, list[float]()
    for step, elapsed_s, used_s in looks:
        now_s, busy_s = now_s + elapsed_s, busy_s + used_s
        lasted_s = made.look(step, MachineTimes(now_s, busy_s, 0.0))
        if lasted_s is not None:
            found.append(round(lasted_s, 3))
    return made, found


def test_t6_a_step_that_is_seen_for_the_whole_limit_is_a_stall_once() -> None:
    """However long it goes on; its length is the longest that was seen."""
    looks, found = looked([(ONE, 0.025, 0.0)] * 41)
    assert found == [0.1]
    assert looks.longest_s == pytest.approx(1.0)


def test_t6_steps_that_follow_one_another_are_no_stall() -> None:
    """A busy loop is not a stalled one, though it is the same task again and again."""
    assert looked([((1, number), 0.025, 0.025) for number in range(100)])[1] == []
    assert looked([(ONE, 0.025, 0.0), (None, 0.025, 0.0)] * 50)[1] == []
    assert looked([(ONE, 0.025, 0.0)] * 4)[1] == [], "not yet"


def test_t6_two_stalls_are_two() -> None:
    """Also of one task."""
    assert looked([(ONE, 0.025, 0.0)] * 10 + [(TWO, 0.025, 0.0)] * 10)[1] == [0.1, 0.1]


def test_t6_a_process_that_was_stopped_and_continued_is_nobodys_stall() -> None:
    """The clock of the world went on and that of the processor did not: that time is counted for no step."""
    looks, found = looked([(ONE, 0.025, 0.025), (ONE, 5.0, 0.0), (ONE, 0.025, 0.025), (TWO, 0.025, 0.025)])
    assert found == []
    assert looks.suspensions == 1
    assert looked([(None, 0.025, 0.0), (ONE, 5.0, 0.0), (ONE, 0.025, 0.0)])[1] == []


def test_t6_a_stall_goes_on_after_a_suspension() -> None:
    """What the step took of its own is what counts."""
    assert looked([*[(ONE, 0.025, 0.0)] * 3, (ONE, 5.0, 0.0), *[(ONE, 0.025, 0.0)] * 3])[1] == [0.1]


def test_t6_code_that_keeps_even_this_thread_from_looking_is_a_stall() -> None:
    """The processor was busy all the time: a call that holds the interpreter, not a suspension."""
    assert looked([(None, 0.025, 0.0), (ONE, 0.5, 0.5)])[1] == [0.475]


def hold(seen: Callable[[], int], number: int = 1) -> None:
    """Hold the loop until so many stalls were seen, at most ten seconds: a busy machine is slow to look."""
    until_s = time.monotonic() + 10.0
    while seen() < number and time.monotonic() < until_s:
        time.sleep(0.1)


async def stalled(block: Callable[[Runtime], Awaitable[None]]) -> tuple[Statistics, list[dict[str, Any]]]:
    """Run one turn that blocks the loop; return the counts, and the records of stalls."""
    log, runtimes = BytesIO(), list[Runtime]()

    async def answer(_: Turn) -> None:
        await block(runtimes[0])

    async with open_runtime(":memory:", agent=answer, log=log, limits=Limits(stall_s=0.05)) as runtime:
        runtimes.append(runtime)
        for chat in (CHAT, "live:b"):
            await runtime.create(chat)
        await (await runtime.send(CHAT, "hello")).result()
        shown = runtime.statistics()
    return shown, [record for record in records_of(log) if record["event"] == "loop.stalled"]


@pytest.mark.rule("pitfall_16")
async def test_t6_an_agent_that_blocks_the_loop_is_reported_with_its_place_and_its_session() -> None:
    """Sleeping in the wrong place: who, where, and for how long."""

    async def block(runtime: Runtime) -> None:
        hold(lambda: runtime.statistics().stalls)

    shown, records = await stalled(block)
    assert shown.stalls >= 1
    assert shown.stall_longest_s >= 0.05
    mine = [record for record in records if any(" hold" in frame for frame in record["frames"])]
    assert {record["chat_id"] for record in mine} == {CHAT}
    assert all(frame.count(":") == 1 for record in records for frame in record["frames"])


async def test_t6_a_task_of_the_agent_is_its_sessions_too() -> None:
    """A tool that blocks in a nursery of the agent's own is found by the task above it."""

    async def tool(runtime: Runtime) -> None:
        hold(lambda: runtime.statistics().stalls)

    async def block(runtime: Runtime) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tool, runtime)

    _, records = await stalled(block)
    mine = [record for record in records if any(" tool" in frame for frame in record["frames"])]
    assert {record["chat_id"] for record in mine} == {CHAT}


async def test_t6_the_watchdogs_thread_ends_with_its_runtime() -> None:
    """And a runtime on a clock that is not the world's has none."""

    def watchdogs() -> int:
        return sum(thread.name == "actors watchdog" for thread in threading.enumerate())

    async def answer(_: Turn) -> None:
        assert watchdogs() == 1

    async with open_runtime(":memory:", agent=answer) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "hello")).result()).ok
    assert watchdogs() == 0
    async with checked_runtime():
        await trio.sleep(0.01)
        assert watchdogs() == 0


async def test_t6_records_of_stalls_are_written_within_a_bound() -> None:
    """They are counted all the same."""
    log, limits = BytesIO(), Bounds(stall_s=0.01, log_repeats_max=2)
    watchdog = Watchdog(limits, Recorder(log, "info", limits, VirtualClock()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watchdog.run)
        await trio.sleep(0.05)
        for number in range(1, 5):
            hold(lambda: watchdog.stalls, number)
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    watchdog._recorder.close()  # noqa: SLF001 - it is this test's own
    assert watchdog.stalls >= 4
    assert watchdog.last is not None
    assert len(records_of(log)) == 2


async def test_t6_this_trio_can_be_watched() -> None:
    """The inner names that the watchdog reads are those of the trio we test with."""
    context = loop_context()
    assert context is not None
    assert context["task"] is trio.lowlevel.current_task()
