"""What the loop does is counted while somebody looks, and only then."""

import time

import pytest
import trio
from trio.testing import MockClock

from actors import LoopMetrics, Turn
from actors.testing import checked_runtime

CHAT = "live:a"


async def test_i5_steps_tasks_and_the_longest_step_are_counted_while_attached(autojump_clock: MockClock) -> None:
    """With the name of the task that took longest: its session's."""

    async def answer(turn: Turn) -> None:
        for _ in range(5):
            await trio.sleep(1.0)
        time.sleep(0.05)  # noqa: ASYNC251 - the longest step
        turn.state = 1

    async with checked_runtime(answer) as runtime:
        await runtime.create(CHAT)
        runtime._services.clock.busy_s = time.perf_counter  # type: ignore[method-assign]  # noqa: SLF001 - real time is measured
        with runtime.loop_metrics() as metrics:
            await (await runtime.send(CHAT, "hello")).result()
        seen = metrics.steps
        assert metrics.steps >= 6
        assert metrics.scheduled >= metrics.steps - 1
        assert metrics.spawned >= 1
        assert metrics.longest_step_s >= 0.05
        assert metrics.busy_s >= metrics.longest_step_s
        assert metrics.longest_task == CHAT
        await (await runtime.send(CHAT, "hello")).result()
        assert metrics.steps == seen, "nothing is counted after the block"


async def test_i5_two_may_look_at_once_and_a_block_that_raises_detaches(autojump_clock: MockClock) -> None:
    """Each has counts of its own."""
    async with checked_runtime() as runtime:
        inner: LoopMetrics | None = None
        with runtime.loop_metrics() as outer:
            await trio.sleep(1.0)
            with pytest.raises(KeyError), runtime.loop_metrics() as metrics:
                inner = metrics
                for _ in range(3):
                    await trio.sleep(1.0)
                raise KeyError
            assert inner is not None
            seen = inner.steps
            await trio.sleep(1.0)
        assert inner.steps == seen
        assert outer.steps > seen > 0
