"""After any amount of work, nothing has grown: not a map, not a task, not a mailbox, not a sum out of step."""

import gc
import random
import weakref

import pytest
import trio
from trio.testing import MockClock

from actors import Limits, RefusedError, Runtime, Session, agent
from actors.runtime.ref import Ref
from actors.runtime.turn import Turn
from actors.testing import (
    Call,
    Do,
    Hang,
    LateWrite,
    Raise,
    Return,
    SaveState,
    Say,
    Script,
    ScriptedAgent,
    Think,
    VirtualClock,
    Wait,
    census,
    checked_runtime,
    settle,
)
from actors.testing.census import busy_threads, tasks_below


async def answer(session: Session, payload: object) -> object:
    """Answer, refuse or fail, as the message says."""
    if payload == "raise":
        raise ValueError
    await trio.sleep(0.001)
    return payload


async def view(runtime: Runtime, chat_id: str, patience_s: float) -> None:
    """Watch a session for a while."""
    with trio.move_on_after(patience_s):
        async with runtime.subscribe(chat_id) as stream:
            async for _ in stream:
                pass


@pytest.mark.rule("pack_21")
async def test_twelve_hundred_turns_of_every_kind_leave_nothing_behind(autojump_clock: MockClock) -> None:
    """Answers, tools, failures, cancellations, viewers and asks at random; afterwards the census is as before."""
    chance = random.Random(12)
    scripts: list[Script] = [
        [Say("ok")],
        [Think("hm"), Say("words " * 20, pieces=20, every_s=0.01), Call("tool", seconds=0.1), Return("end")],
        [Call("open", result=None), SaveState({"n": 1})],
        [Say("half"), Raise(ValueError)],
        [Say("half"), Hang()],
        [Wait(0.5), LateWrite("late")],
    ]
    script = ScriptedAgent()
    limits = Limits(restarts_max=1000, backoff_last_s=0.1)
    async with checked_runtime(agent(script, receive=answer), limits=limits) as runtime:
        chats = [await runtime.create(f"live:{number}") for number in range(30)]
        for chat_id in chats:
            await (await runtime.send(chat_id, "warm")).result()
        before = await census(runtime)

        async def converse(chat_id: str, number: int) -> None:
            script.scripts[chat_id, number + 2] = chance.choice(scripts)
            receipt = await runtime.send(chat_id, f"message {number}")
            if chance.random() < 0.2:
                await runtime.ask(chat_id, "hello", timeout_s=100.0)
            with trio.move_on_after(chance.random() * 5):
                await receipt.result()
            await receipt.cancel()

        async def live(chat_id: str) -> None:
            async with trio.open_nursery() as nursery:
                for number in range(40):
                    nursery.start_soon(view, runtime, chat_id, chance.random() * 3)
                    await converse(chat_id, number)

        async with trio.open_nursery() as nursery:
            for chat_id in chats:
                nursery.start_soon(live, chat_id)
        await script.write_late()
        await settle(runtime)
        statistics = runtime.statistics()
        assert sum(statistics.turns.values()) == 30 * 41
        assert set(statistics.turns) == {"completed", "failed", "cancelled"}
        assert await census(runtime) == before


@pytest.mark.rule("pack_21")
async def test_a_thousand_sessions_come_and_go_and_leave_nothing_behind(autojump_clock: MockClock) -> None:
    """Created, used, stopped, deleted, refused afterwards: the runtime is as empty as at the start."""
    script = ScriptedAgent([Say("ok")])
    async with checked_runtime(agent(script, receive=answer), limits=Limits(dead_letters_max=100)) as runtime:
        await runtime.create("live:stays")
        await (await runtime.send("live:stays", "warm")).result()
        before = await census(runtime)
        for number in range(1000):
            chat_id = await runtime.create(f"live:{number}", history=[("system", "be short")])
            receipt = await runtime.send(chat_id, "hello")
            if number % 2:
                await receipt.result()
            if number % 3 == 0:
                await runtime.stop(chat_id)
            if number % 5 == 0:
                runtime.subscribe(chat_id)
            if number % 7 == 0:
                await view(runtime, chat_id, 0.01)
            await runtime.delete(chat_id)
            with pytest.raises(RefusedError):
                await runtime.send(chat_id, "late")
        assert await census(runtime) == before
        assert runtime.statistics().sessions_known == 1
        assert runtime.statistics().dead_letters <= 100


async def test_what_is_over_is_given_back_to_the_collector(autojump_clock: MockClock) -> None:
    """Turns that ended, and sessions that were stopped, are held by nobody."""
    held: list[weakref.ref[object]] = []

    class Marked:
        """Stands for what an agent keeps in its turn."""

    async def mark(turn: Turn) -> None:
        mark = Marked()
        held.append(weakref.ref(mark))
        turn.state = {"n": turn.number}
        await turn.write(str(id(mark)))

    async with checked_runtime(ScriptedAgent([Do(mark)])) as runtime:
        for number in range(20):
            chat_id = await runtime.create(f"live:collected.{number}")
            for _ in range(5):
                await (await runtime.send(chat_id, "hello")).result()
        await trio.sleep(10.0)
        gc.collect()
        assert not [reference for reference in held if reference() is not None]
        assert not held_of(Turn)
        for number in range(20):
            await runtime.stop(f"live:collected.{number}")
        gc.collect()
        assert not held_of(Ref)


def held_of(kind: type[Turn | Ref]) -> list[Turn | Ref]:
    """Find the objects of a kind that belong to the sessions of the test above."""
    found = [each for each in gc.get_objects() if isinstance(each, kind)]
    return [each for each in found if each.chat_id.startswith("live:collected.")]


async def test_a_runtime_that_has_closed_leaves_no_task_and_no_thread(autojump_clock: MockClock) -> None:
    """However it was used; ten lives one after the other."""
    root = trio.lowlevel.current_root_task()
    assert root is not None
    before = (tasks_below(root), busy_threads())
    for seed in range(10):
        async with checked_runtime(ScriptedAgent([Say("half"), Hang()]), clock=VirtualClock(seed), open_turns=True) as (
            runtime
        ):
            for number in range(10):
                await runtime.create(f"live:{number}")
                await runtime.send(f"live:{number}", "hello")
            await trio.sleep(0.1)
        assert (tasks_below(root), busy_threads()) == before


@pytest.mark.rule("pitfall_4")
async def test_a_flood_of_one_session_stays_in_its_bounds_and_is_counted_exactly(autojump_clock: MockClock) -> None:
    """A hundred thousand messages to a session that takes none: memory is flat, refusals are sent minus accepted."""
    limits = Limits(mailbox_messages_max=64)

    async def stuck(session: Session, payload: object) -> None:
        await trio.sleep(1.0)

    refused = 0
    async with checked_runtime(agent(ScriptedAgent(), receive=stuck), limits=limits) as runtime:
        for chat_id in ("live:a", "live:b"):
            await runtime.create(chat_id)
        for number in range(100_000):
            try:
                runtime.tell_nowait("live:a", number)
            except RefusedError:
                refused += 1
        statistics = runtime.statistics()
        assert statistics.refused == refused == 100_000 - 64
        assert statistics.dropped == {"mailbox_full": refused}
        assert statistics.dead_letters == limits.dead_letters_max
        assert runtime.inspect("live:a").mailbox_messages <= 64
        assert (await (await runtime.send("live:b", "hello")).result()).ok
        assert trio.current_time() < 1.0
