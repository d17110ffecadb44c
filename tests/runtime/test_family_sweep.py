"""Children, reminders and timers with a fault at every step: nothing of them is lost, doubled, or goes on."""

from collections import Counter

import pytest
import trio
from trio.testing import MockClock

from actors.core.commands import OnInterrupted
from actors.core.events import MessageAccepted
from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.errors import ActorsError, UnavailableError, UnknownChatError
from actors.runtime.agent import Agent, Session, agent
from actors.runtime.facade import Runtime
from actors.runtime.turn import Turn
from actors.testing import Cancels, Crashes, Kills, Meets, Scenario, census, checked_runtime, sweep
from actors.testing.sweep import Disturbance

CHAT = "live:42"
CHILD = "live:child:1.1.1:42"
PERIOD_S = 20.0


def family(on_interrupted: OnInterrupted = "mark") -> Agent:
    """Make an agent whose turns have two children, one that answers and one that would go on for ever."""

    async def answer(turn: Turn) -> str:
        if turn.parent is None:
            first = await turn.spawn("look")
            await turn.spawn("hang")
            return (await first.result()).text
        if turn.text == "hang":
            await trio.sleep_forever()
        return "done"

    return agent(answer, on_interrupted=on_interrupted)


async def create(runtime: Runtime) -> None:
    """Make a session."""
    await runtime.create(CHAT)


async def send(runtime: Runtime) -> None:
    """Send a message and wait for its end."""
    await (await runtime.send(CHAT, "go", message_id="key")).result()


async def orphans_are_at_rest(runtime: Runtime) -> None:
    """Check that no child is at work and none takes anything, once its parent's turn has ended."""
    await trio.sleep(60.0)
    assert runtime.statistics().turns_open == 0
    assert runtime.statistics().children == 0
    for chat_id in await runtime.sessions():
        if chat_id != CHAT:
            with pytest.raises(UnavailableError, match="parent_ended"):
                await runtime.send(chat_id, "too late")


async def _cancel(runtime: Runtime) -> None:
    """Cancel the turn, if it is there."""
    receipt = await runtime.send(CHAT, "go", message_id="key")
    await receipt.cancel()


FAULTS: dict[str, Disturbance] = {
    "cancels": Cancels(),
    "the parent crashes": Crashes(CHAT),
    "a child crashes": Crashes(CHILD),
    "kills": Kills(),
    "the parent is stopped": Meets(lambda runtime: runtime.stop(CHAT)),
    "the turn is cancelled": Meets(_cancel),
}


@pytest.mark.parametrize("on_interrupted", ["mark", "retry"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_child_outlives_its_parents_turn_whatever_happens_at_any_step(
    fault: str, on_interrupted: OnInterrupted, autojump_clock: MockClock
) -> None:
    """A fault at every step of a turn with children: afterwards nothing of them goes on, in this life or the next."""
    scenario = Scenario(
        act=send,
        agent=lambda: family(on_interrupted),
        before=create,
        after=orphans_are_at_rest,
        may_raise=(ActorsError,),
    )
    assert await sweep(scenario, FAULTS[fault], every=2) > 15


async def test_a_parent_that_is_deleted_at_any_step_takes_its_children_along(autojump_clock: MockClock) -> None:
    """Nothing is left of any of them, and nobody brings one back."""

    async def delete(runtime: Runtime) -> None:
        await runtime.delete(CHAT)

    async def all_gone(runtime: Runtime) -> None:
        await trio.sleep(60.0)
        assert await runtime.sessions() in {(), (CHAT,)}
        if not await runtime.sessions():
            for chat_id in (CHAT, CHILD):
                with pytest.raises(UnknownChatError):
                    await runtime.send(chat_id, "hello")

    async def send_and_delete(runtime: Runtime) -> None:
        await send(runtime)
        await runtime.delete(CHAT)

    scenario = Scenario(act=send_and_delete, agent=family, before=create, after=all_gone, may_raise=(ActorsError,))
    assert await sweep(scenario, Meets(delete), every=3) > 10


async def _ticks_are_right(runtime: Runtime) -> None:
    """Check that each tick came once, and that what was set goes on."""
    await trio.sleep(10 * PERIOD_S)
    if CHAT not in await runtime.sessions():
        return
    journal = runtime._services.journal  # noqa: SLF001 - what is on disk is what counts
    bodies = [event.body for event in await journal.events(ChatId(CHAT), 0, 1000)]
    keys = Counter(body.message_id for body in bodies if isinstance(body, MessageAccepted))
    assert set(keys.values()) <= {1}
    for reminder in await runtime.reminders(CHAT):
        assert sum(key.startswith("tea/") for key in keys) == reminder.tick >= 9
        await runtime.forget_reminder(CHAT, reminder.key)


@pytest.mark.parametrize("fault", ["cancels", "crashes", "kills", "stops"])
async def test_r2_each_tick_comes_once_whatever_happens_at_any_step(fault: str, autojump_clock: MockClock) -> None:
    """A fault at every step of three ticks: none is doubled, none is lost, and their order is that of their moments."""
    faults: dict[str, Disturbance] = {
        "cancels": Cancels(),
        "crashes": Crashes(CHAT),
        "kills": Kills(),
        "stops": Meets(lambda runtime: runtime.stop(CHAT)),
    }

    async def be_reminded(runtime: Runtime) -> None:
        await runtime.remind(CHAT, "tea", "Drink.", every_s=PERIOD_S, missed="all")
        await trio.sleep(3.5 * PERIOD_S)

    async def answer(turn: Turn) -> str:
        return turn.text

    scenario = Scenario(
        act=be_reminded,
        agent=lambda: agent(answer),
        before=create,
        after=_ticks_are_right,
        may_raise=(ActorsError,),
    )
    assert await sweep(scenario, faults[fault]) > 15


async def test_sessions_with_children_reminders_and_timers_come_and_go_and_leave_nothing(
    autojump_clock: MockClock,
) -> None:
    """After any number of them every map is as it was."""

    async def answer(turn: Turn) -> None:
        if turn.parent is None:
            await turn.spawn("hang")
            await (await turn.spawn("look")).result()
        elif turn.text == "hang":
            await trio.sleep_forever()

    async def receive(session: Session, _: object) -> None:
        session.start_timer("tick", every_s=5.0, payload="tick")

    limits = Limits(dead_letters_max=100)
    async with checked_runtime(agent(answer, receive=receive), limits=limits) as runtime:
        await runtime.create("live:stays")
        await (await runtime.send("live:stays", "warm")).result()
        before = await census(runtime)
        for number in range(100):
            chat_id = await runtime.create(f"live:{number}")
            await runtime.remind(chat_id, "tea", "Drink.", every_s=30.0)
            await runtime.tell(chat_id, "start")
            receipt = await runtime.send(chat_id, "go")
            if number % 2:
                await receipt.result()
            if number % 3:
                await trio.sleep(7.0)
            await runtime.delete(chat_id)
        assert await census(runtime) == before
