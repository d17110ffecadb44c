"""Children, reminders and timers of sessions that are put away while nothing happens in them."""

import trio
from trio.testing import MockClock

from actors.core.events import TurnEnded
from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.runtime.agent import Session, agent
from actors.runtime.turn import Turn
from actors.store.memory import MemoryJournal
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
