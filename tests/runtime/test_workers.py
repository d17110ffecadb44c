"""Blocking calls run beside the loop, so many at once; who is cancelled does not wait for them."""

import threading
import time

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from actors import Limits, Session, Turn, TurnOverError, agent, open_runtime
from actors.runtime.workers import Workers
from actors.testing import ScriptedAgent, checked_runtime

CHAT = "live:a"


async def test_t6_a_call_runs_in_another_thread_and_its_answer_comes_back() -> None:
    """Whatever it returns or raises."""
    workers = Workers(2, real=True)
    assert await workers.run(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await workers.run(divmod, 1, 0)
    assert (workers.in_use, workers.waiting, workers.abandoned, workers.calls) == (0, 0, 0, 2)


async def test_t6_no_more_threads_run_than_the_bound_and_the_others_wait() -> None:
    """In the order in which they came; nobody is refused."""
    workers, gate, done = Workers(2, real=True), threading.Event(), list[int]()

    async def call(number: int) -> None:
        await workers.run(gate.wait, 10.0)
        done.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(call, number)
        while workers.waiting < 3:
            await trio.sleep(0.001)
        assert workers.in_use == 2
        gate.set()
    assert sorted(done) == list(range(5))


async def test_l4_who_is_cancelled_leaves_at_once_and_the_thread_is_counted_until_it_ends() -> None:
    """It keeps its place, so that the bound is a bound."""
    workers, gate = Workers(1, real=True), threading.Event()
    with trio.move_on_after(0.05) as scope:
        await workers.run(gate.wait, 10.0)
    assert scope.cancelled_caught
    assert (workers.in_use, workers.abandoned) == (1, 1)
    gate.set()
    with trio.fail_after(5.0):
        while workers.abandoned or workers.in_use:
            await trio.sleep(0.001)
    assert await workers.run(int, "7") == 7


async def test_t6_on_a_virtual_clock_calls_are_made_in_place(autojump_clock: MockClock) -> None:
    """A thread's time would not be seen there; the caller gives way all the same."""
    workers = Workers(1, real=False)
    began_s = trio.current_time()
    assert await workers.run(threading.get_ident) == threading.get_ident()
    assert trio.current_time() == began_s


async def test_t6_a_turn_offloads_blocking_code_and_its_neighbours_go_on() -> None:
    """While half a second is slept away in a thread, another session answers a hundred times."""
    answered = 0

    async def answer(turn: Turn) -> str:
        if turn.text == "block":
            await turn.offload(time.sleep, 0.5)
        return "done"

    async with open_runtime(":memory:", agent=answer) as runtime:
        for chat in (CHAT, "live:b"):
            await runtime.create(chat)
        blocked = await runtime.send(CHAT, "block")
        while runtime.inspect(CHAT).running_turn is not None:
            assert (await (await runtime.send("live:b", "hello")).result()).ok
            answered += 1
        assert (await blocked.result()).ok
        assert answered > 20
        assert runtime.statistics().threads.calls == 1
        assert runtime.statistics().threads.in_use == 0


async def test_t6_a_plain_tool_runs_in_a_thread_and_one_that_gives_an_awaitable_is_awaited() -> None:
    """So that a tool that blocks is not a trap, and a lambda around an async one works."""
    seen: list[int] = []

    def look() -> str:
        seen.append(threading.get_ident())
        return "found"

    async def fetch() -> str:
        await trio.lowlevel.checkpoint()
        seen.append(threading.get_ident())
        return "fetched"

    async def answer(turn: Turn) -> str:
        made = [await turn.tool("look", look), await turn.tool("fetch", lambda: fetch()), await turn.tool("f", fetch)]  # noqa: PLW0108 - the point
        return " ".join(outcome.content for outcome in made)

    async with open_runtime(":memory:", agent=answer) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "hello")).result()).text == "found fetched fetched"
    assert seen[0] != threading.get_ident()
    assert seen[1:] == [threading.get_ident()] * 2


async def test_t6_a_handler_offloads_too_and_a_plain_one_runs_in_a_thread() -> None:
    """One message at a time, as always."""
    seen: list[object] = []

    async def receive(session: Session, payload: object) -> object:
        return await session.offload(lambda: (payload, threading.get_ident() != main))

    def plain(session: Session, payload: object) -> object:
        seen.append(payload)
        session.memory["last"] = payload
        return threading.get_ident() != main

    main = threading.get_ident()
    async with open_runtime(":memory:", agent=agent(ScriptedAgent(), receive=receive)) as runtime:
        await runtime.create(CHAT)
        assert await runtime.ask(CHAT, "x") == ("x", True)
    async with open_runtime(":memory:", agent=agent(ScriptedAgent(), receive=plain)) as runtime:
        await runtime.create(CHAT)
        for number in range(5):
            await runtime.tell(CHAT, number)
        assert await runtime.ask(CHAT, 5) is True
    assert seen == list(range(6))


async def test_l4_an_abandoned_thread_of_a_cancelled_turn_can_write_nothing(autojump_clock: MockClock) -> None:
    """And a turn that has ended offloads nothing more."""
    kept: list[Turn] = []

    async def answer(turn: Turn) -> None:
        kept.append(turn)

    async with checked_runtime(answer, limits=Limits(offload_threads_max=1)) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        with pytest.raises(TurnOverError):
            await kept[0].offload(int, "7")
