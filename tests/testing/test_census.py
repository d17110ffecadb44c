"""A census is the same before and after work, and not the same when something is left."""

from collections.abc import Callable

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from actors import Runtime, agent
from actors.testing import Say, ScriptedAgent, census, checked_runtime
from actors.testing.census import busy_threads, tasks_below


async def receive(session: object, payload: object) -> object:
    """Answer."""
    return payload


async def test_work_that_is_over_leaves_the_census_as_it_was(autojump_clock: MockClock) -> None:
    """Turns, asks, viewers, sessions that come and go."""
    async with checked_runtime(agent(ScriptedAgent([Say("ok")]), receive=receive)) as runtime:
        for chat_id in ("live:a", "live:b"):
            await runtime.create(chat_id)
        await (await runtime.send("live:a", "hello")).result()
        await runtime.stop("live:b")
        before = await census(runtime)
        for _ in range(3):
            receipt = await runtime.send("live:a", "hello")
            async with runtime.subscribe("live:a", until=receipt) as stream:
                async for _ in stream:
                    pass
            await runtime.ask("live:a", 1)
            await (await runtime.send("live:b", "hello")).result()
            await runtime.stop("live:b")
        assert await census(runtime) == before


LEFT: dict[str, Callable[[Runtime], object]] = {
    "Directory._creating": lambda runtime: runtime._directory._creating.setdefault("live:x", trio.Event()),  # noqa: SLF001 - as a bug would
    "Ref._waiters": lambda runtime: runtime._registry.refs["live:a"]._waiters.setdefault(1, []),  # noqa: SLF001 - as above
    "Registry.refs": lambda runtime: runtime._registry.get_or_insert("live:b"),  # type: ignore[arg-type]  # noqa: SLF001 - as above
}


@pytest.mark.rule("V1")
@pytest.mark.parametrize("what", LEFT)
async def test_what_is_left_in_a_map_is_counted(what: str, autojump_clock: MockClock) -> None:
    """By the name of the map."""
    async with checked_runtime() as runtime:
        await runtime.create("live:a")
        await (await runtime.send("live:a", "hello")).result()
        before = await census(runtime)
        LEFT[what](runtime)
        after = await census(runtime)
        assert before.get(what, 0) + 1 == after[what]
        assert before != after
        runtime._directory._creating.clear()  # noqa: SLF001 - so that nobody waits for it


async def test_every_task_of_the_program_is_counted(autojump_clock: MockClock) -> None:
    """Those of the host too, however deep."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    before = tasks_below(root)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(trio.sleep, 1.0)
        assert tasks_below(root) == before + 3
    assert tasks_below(root) == before


async def test_threads_that_wait_for_work_are_not_counted() -> None:
    """Trio keeps them for a while; a thread that works is counted."""
    before = busy_threads()
    counts = [await trio.to_thread.run_sync(busy_threads)]
    await trio.lowlevel.checkpoint()
    assert (counts, busy_threads()) == ([before + 1], before)
