"""Tasks that a session starts live in a nursery of its own, and die with its incarnation."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from actors.core.limits import Limits
from actors.runtime.agent import Session, agent
from actors.runtime.turn import Turn
from actors.testing import checked_runtime

CHAT = "live:42"


class Busy:
    """An agent whose turns and handlers start tasks beside themselves, which count how long they live."""

    def __init__(self) -> None:
        """Begin with none."""
        self.alive = 0
        self.begun = 0

    async def task(self) -> None:
        """Live for as long as nobody ends it."""
        self.alive += 1
        self.begun += 1
        try:
            await trio.sleep_forever()
        finally:
            self.alive -= 1

    async def answer(self, turn: Turn) -> None:
        """Start three tasks, which end with the turn."""
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(self.task)
            await trio.sleep(10.0)
            if turn.text == "crash":
                raise ValueError
            if turn.text == "return":
                nursery.cancel_scope.cancel()

    async def receive(self, session: Session, payload: object) -> None:
        """Start a timer, or a task that ends with the handler, or crash, or never return."""
        if payload == "timer":
            session.start_timer("tick", every_s=1.0, payload="tick")
        elif payload == "crash":
            raise ValueError
        elif payload == "hang":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.task)


@pytest.mark.parametrize("how", ["return", "crash", "cancel", "stop", "delete", "handler crash", "handler hang"])
async def test_s9_no_task_outlives_the_incarnation_that_started_it(how: str, autojump_clock: MockClock) -> None:
    """However the incarnation, or the turn, comes to its end: what they started has ended, timers and graces too."""
    busy = Busy()
    async with checked_runtime(agent(busy.answer, receive=busy.receive), limits=Limits(handler_s=4.0)) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "timer")
        receipt = await runtime.send(CHAT, how if how in {"return", "crash"} else "wait")
        await trio.sleep(2.5)  # between two ticks
        assert (busy.alive, runtime.statistics().timers) == (3, 1)
        acts: dict[str, Callable[[], object]] = {
            "cancel": receipt.cancel,
            "stop": lambda: runtime.stop(CHAT),
            "delete": lambda: runtime.delete(CHAT),
            "handler crash": lambda: runtime.tell(CHAT, "crash"),
            "handler hang": lambda: runtime.tell(CHAT, "hang"),
        }
        if how in acts:
            await acts[how]()  # type: ignore[misc]  # each is a coroutine
        await trio.sleep(60.0)
        assert busy.alive == 0
        assert busy.begun == 4 if how == "handler hang" else busy.begun == 3
        assert runtime.statistics().timers == (1 if how in {"return", "cancel"} else 0)
        if how in {"return", "cancel"}:
            await runtime.stop(CHAT)


async def test_s9_the_children_of_a_turn_end_with_the_incarnation(autojump_clock: MockClock) -> None:
    """An incarnation that is killed in the middle of a turn takes the whole line below it along."""
    alive: list[str] = []

    async def answer(turn: Turn) -> None:
        alive.append(turn.chat_id)
        try:
            if turn.parent is None or turn.parent.depth < 3:
                await turn.spawn("down")
            await trio.sleep_forever()
        finally:
            alive.remove(turn.chat_id)

    async def receive(_: Session, __: object) -> None:
        await trio.sleep_forever()

    async with checked_runtime(agent(answer, receive=receive), limits=Limits(handler_s=4.0)) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "go")
        await trio.sleep(1.0)
        assert len(alive) == 4
        await runtime.tell(CHAT, "hang")
        await trio.sleep(30.0)
        assert alive == []
        assert runtime.statistics().children == 0
