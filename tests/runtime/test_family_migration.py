"""Children and reminders of a draft that is given its live id meanwhile."""

import pytest
import trio
from trio.testing import MockClock

from actors.core.events import TurnEnded
from actors.core.ids import ChatId
from actors.errors import DeadlockError, InvalidEnvelopeError, UnavailableError
from actors.runtime.agent import Session, agent
from actors.runtime.turn import Turn
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import ScriptedAgent, VirtualClock, census, checked_runtime

DRAFT, LIVE = ChatId("draft:42"), ChatId("live:42")
START_S = 1_750_000_000.0


async def test_r2_the_reminders_of_a_draft_come_to_its_live_id(autojump_clock: MockClock) -> None:
    """In this life and the next, each once, and both ids lead to them."""
    script, store, clock = ScriptedAgent(), MemoryStore(), VirtualClock(1, wall_s=START_S - trio.current_time())
    async with checked_runtime(script, store=MemoryJournal(store), clock=clock) as runtime:
        await runtime.create(DRAFT)
        await runtime.remind(DRAFT, "tea", "Drink.", every_s=60.0)
        await runtime.migrate(DRAFT, LIVE)
        assert await runtime.reminders(DRAFT) == await runtime.reminders(LIVE)
        assert runtime.statistics().reminders == 1
        await trio.sleep(130.0)
        assert script.runs == [(LIVE, 1, 1), (LIVE, 2, 1)]
        await runtime.stop(LIVE)
    async with checked_runtime(script, store=MemoryJournal(store), clock=clock) as runtime:
        await trio.sleep(60.0)
        assert [run[1] for run in script.runs] == [1, 2, 3]
        assert await runtime.forget_reminder(DRAFT, "tea")
        assert runtime.statistics().reminders == 0


async def test_a_parent_that_is_migrated_in_the_middle_keeps_its_children(autojump_clock: MockClock) -> None:
    """They work on, end with its turn, and go with it when it is deleted; those it spawns later bear its new name."""
    journal = MemoryJournal()

    async def answer(turn: Turn) -> str:
        if turn.parent is not None:
            await trio.sleep(5.0 if turn.text == "look" else 1000.0)
            return "looked"
        first = await turn.spawn("look")
        await turn.spawn("hang")
        await trio.sleep(2.0)
        later = await turn.spawn("look")
        return f"{(await first.result()).text} {(await later.result()).text}"

    async with checked_runtime(answer, store=journal) as runtime:
        await runtime.create("live:stays")
        before = await census(runtime)
        await runtime.create(DRAFT)
        receipt = await runtime.send(DRAFT, "go")
        await trio.sleep(1.0)
        await runtime.migrate(DRAFT, LIVE)
        assert (await receipt.result()).text == "looked looked"
        await trio.sleep(1.0)
        children = await journal.children(LIVE, 10)
        assert len(children) == 3
        for child in children:
            ends = [event.body for event in await journal.events(child, 0, 100) if isinstance(event.body, TurnEnded)]
            assert len(ends) == 1
            with pytest.raises(UnavailableError, match="parent_ended"):
                await runtime.send(child, "too late")
        await runtime.delete(DRAFT)
        assert await runtime.sessions() == ("live:stays",)
        assert await census(runtime) == before


async def test_a_child_keeps_its_id_for_as_long_as_it_lives(autojump_clock: MockClock) -> None:
    """Nobody frees a child of its parent by giving it another id."""

    async def answer(turn: Turn) -> str:
        if turn.parent is not None:
            return "looked"
        child = await turn.spawn("look")
        with pytest.raises(InvalidEnvelopeError):
            await runtime.migrate(child.chat_id, "live:free")
        return (await child.result()).text

    async with checked_runtime(answer) as runtime:
        await runtime.create(DRAFT)
        assert (await (await runtime.send(DRAFT, "go")).result()).text == "looked"


async def test_a5_a_new_id_is_no_way_round_the_call_chain(autojump_clock: MockClock) -> None:
    """A child that asks its parent under the id that it was given meanwhile is refused as under the old one."""

    async def answer(turn: Turn) -> str:
        if turn.text == "go":
            return (await (await turn.spawn("ask")).result()).text
        if turn.parent is None:
            return "looked"
        await trio.sleep(5.0)
        for chat_id in (DRAFT, LIVE):
            with pytest.raises(DeadlockError):
                await turn.ask_chat(chat_id, "may I?")
            with pytest.raises(DeadlockError):
                await (await turn.send_chat(chat_id, "look at this")).result()
        return "refused"

    async def receive(_: Session, __: object) -> str:
        return "yes"

    async with checked_runtime(agent(answer, receive=receive)) as runtime:
        await runtime.create(DRAFT)
        receipt = await runtime.send(DRAFT, "go")
        await trio.sleep(1.0)
        await runtime.migrate(DRAFT, LIVE)
        assert (await receipt.result()).text == "refused"
        await trio.sleep(60.0)
