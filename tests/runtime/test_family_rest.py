"""Children, reminders and timers of sessions that are put away, quarantined or shut down meanwhile."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from actors.core.events import TurnEnded
from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.errors import UnavailableError
from actors.runtime.agent import Session, agent
from actors.runtime.turn import Turn
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import ScriptedAgent, VirtualClock, checked_runtime

CHAT = ChatId("live:42")
CHILD = ChatId("live:child:1.1.1:42")
START_S = 1_750_000_000.0
RESTLESS = Limits(idle_s=1.0, residency_s=0.0)


async def test_r2_a_reminder_keeps_no_session_in_memory_and_wakes_it(autojump_clock: MockClock) -> None:
    """A session is put away between two ticks, and comes up for each."""
    script = ScriptedAgent()
    async with checked_runtime(script, clock=VirtualClock(1, wall_s=START_S), limits=RESTLESS) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "Drink.", every_s=60.0)
        for tick in range(1, 4):
            await trio.sleep(50.0)
            assert runtime.inspect(CHAT).phase == "absent"
            await trio.sleep(10.5)
            assert len(script.runs) == tick
        assert await runtime.forget_reminder(CHAT, "tea")


async def test_a_child_that_was_put_away_ends_with_its_parent_all_the_same(autojump_clock: MockClock) -> None:
    """It is brought up to be told, and takes no message any more; while the parent ran it took some."""

    async def answer(turn: Turn) -> str:
        if turn.parent is None:
            await (await turn.spawn("look")).result()
            await trio.sleep(30.0)
        return "done"

    journal = MemoryJournal()
    async with checked_runtime(answer, store=journal, limits=RESTLESS) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "go")
        await trio.sleep(10.0)
        assert runtime.inspect(CHILD).phase == "absent"
        assert (await (await runtime.send(CHILD, "and this")).result()).ok
        await trio.sleep(10.0)
        assert runtime.inspect(CHILD).phase == "absent"
        await receipt.result()
        await trio.sleep(1.0)
        kinds = [type(event.body).__name__ for event in await journal.events(CHILD, 0, 100)]
        assert kinds[-1] == "ParentEnded"
        assert kinds.count(TurnEnded.__name__) == 2


async def test_r1_a_timer_ends_when_its_session_is_put_away(autojump_clock: MockClock) -> None:
    """A timer belongs to an incarnation, and that has ended; a timer alone keeps nobody in memory."""
    ticks: list[float] = []

    async def answer(_: Turn) -> None:
        pass

    async def receive(session: Session, payload: object) -> None:
        if payload == "start":
            session.start_timer("tick", every_s=30.0)
        else:
            ticks.append(trio.current_time())

    async with checked_runtime(agent(answer, receive=receive), limits=RESTLESS) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "start")
        await trio.sleep(100.0)
        assert runtime.inspect(CHAT).phase == "absent"
        assert (ticks, runtime.statistics().timers) == ([], 0)


async def test_a_child_that_is_quarantined_when_its_parent_ends_is_closed_when_it_comes_out(
    autojump_clock: MockClock,
) -> None:
    """What waits in it then is cancelled before anything of it begins."""
    runs: list[str] = []

    async def answer(turn: Turn) -> None:
        runs.append(turn.text)
        if turn.parent is None:
            child = await turn.spawn("crash")
            await turn.send_chat(child.chat_id, "behind")
            await trio.sleep(5.0)
        elif turn.text == "crash":
            await trio.sleep(1.0)
            raise ValueError

    journal = MemoryJournal()
    limits = Limits(restarts_max=0, quarantine_s=3600.0)
    async with checked_runtime(answer, store=journal, limits=limits) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "go")).result()).ok
        assert runtime.inspect(CHILD).phase == "quarantined"
        assert runtime.inspect(CHILD).queued_turns == 1
        runtime.release(CHILD)
        await trio.sleep(1.0)
        assert runs == ["go", "crash"]
        events = await journal.events(CHILD, 0, 100)
        ends = [(event.body.turn, event.body.reason) for event in events if isinstance(event.body, TurnEnded)]
        assert ends == [(1, "crashed"), (2, "parent_ended")]
        assert type(events[-1].body).__name__ == "ParentEnded"


async def test_a_shutdown_leaves_children_that_take_nothing_in_the_next_life(autojump_clock: MockClock) -> None:
    """Parent and child are interrupted alike; a child has no parent that runs after that."""

    async def answer(turn: Turn) -> None:
        if turn.parent is None:
            await turn.spawn("hang")
        await trio.sleep_forever()

    store = MemoryStore()
    async with checked_runtime(answer, store=MemoryJournal(store), open_turns=True) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "go")
        await trio.sleep(1.0)
        assert runtime.statistics().children == 1
    later = MemoryJournal(store)
    async with checked_runtime(answer, store=later) as runtime:
        for chat_id in (CHAT, CHILD):
            events = await later.events(chat_id, 0, 100)
            assert [str(event.body.status) for event in events if isinstance(event.body, TurnEnded)] == ["interrupted"]
        with pytest.raises(UnavailableError, match="parent_ended"):
            await runtime.send(CHILD, "too late")


async def test_a_child_that_was_given_time_to_stop_ends_with_its_parent(autojump_clock: MockClock) -> None:
    """What runs in it is cancelled when the turn that spawned it ends, not when its time is up."""

    async def answer(turn: Turn) -> None:
        if turn.parent is not None:
            await trio.sleep_forever()
        await turn.spawn("go")
        await trio.sleep(2.0)

    async with checked_runtime(answer) as runtime, trio.open_nursery() as nursery:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(1.0)
        nursery.start_soon(partial(runtime.stop, CHILD, within_s=50.0))
        assert (await receipt.result()).ok
        await trio.sleep(0.1)
        assert runtime.inspect(CHILD).phase == "absent"
