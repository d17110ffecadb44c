"""A session that is given up: refused, answered, accounted for, untouched on disk, visible, and released in time."""

import pytest
import trio
from trio.testing import MockClock

from actors import AskError, Limits, Session, Turn, UnavailableError, agent
from actors.store.memory import MemoryJournal
from actors.testing import Raise, Say, ScriptedAgent, canonical, checked_runtime, settle

CHAT = "live:a"
LIMITS = Limits(restarts_max=0, quarantine_s=600.0)


async def test_s3_a_quarantined_session_refuses_and_shows_itself(autojump_clock: MockClock) -> None:
    """With its reason; whoever looks sees how long it will take, and the neighbour goes on."""
    scripted = ScriptedAgent([Say("fine")], {CHAT: [Raise(ValueError)]})
    async with checked_runtime(scripted, limits=LIMITS) as runtime:
        for chat in (CHAT, "live:b"):
            await runtime.create(chat)
        await (await runtime.send(CHAT, "hello")).result()
        await settle(runtime)
        with pytest.raises(UnavailableError, match="quarantined"):
            await runtime.send(CHAT, "hello")
        (shown,) = runtime.quarantined()
        assert (shown.chat_id, shown.last_error, shown.turns_open) == (CHAT, "ValueError", 0)
        assert 590.0 < shown.left_s <= 600.0
        assert (await (await runtime.send("live:b", "hello")).result()).text == "fine"
        runtime.release(CHAT)
        assert runtime.quarantined() == ()


async def test_s3_who_waits_in_the_mailbox_is_answered_and_accounted_for(autojump_clock: MockClock) -> None:
    """Asks get their error, tells become dead letters, nothing on disk is touched."""
    journal, answers = MemoryJournal(), list[str]()

    async def receive(_: Session, payload: object) -> None:
        await trio.sleep(1.0)
        raise ValueError

    async with (
        checked_runtime(agent(ScriptedAgent(), receive=receive), store=journal, limits=LIMITS) as runtime,
        trio.open_nursery() as nursery,
    ):
        await runtime.create(CHAT)
        before = await canonical(journal, CHAT)

        async def ask() -> None:
            try:
                await runtime.ask(CHAT, "question")
            except AskError as error:
                answers.append(error.outcome)

        await runtime.tell(CHAT, "raise")
        await trio.sleep(0.5)
        nursery.start_soon(ask)
        await trio.sleep(0.1)
        for _ in range(3):
            await runtime.tell(CHAT, "left")
        await settle(runtime)
        assert answers == ["not_started"]
        assert [letter.reason for letter in runtime.dead_letters()] == ["quarantined"] * 4
        assert await canonical(journal, CHAT) == before


async def test_s3_turns_that_wait_go_on_when_the_cool_down_is_over(autojump_clock: MockClock) -> None:
    """By themselves: no message has to come first."""

    async def answer(turn: Turn) -> str:
        if turn.text == "sick":
            await trio.sleep(1.0)
            raise ValueError
        return "fine"

    async with checked_runtime(answer, limits=LIMITS) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "sick")
        waiting = await runtime.send(CHAT, "well")
        await trio.sleep(2.0)
        await settle(runtime, open_turns=True)
        (shown,) = runtime.quarantined()
        assert shown.turns_open == 1
        with pytest.raises(UnavailableError):
            await waiting.result()
        await trio.sleep(597.0)
        assert runtime.inspect(CHAT).phase == "quarantined"
        await trio.sleep(5.0)
        assert runtime.quarantined() == ()
        assert (await waiting.result()).text == "fine"


async def test_s3_a_release_before_the_time_is_not_undone_by_it(autojump_clock: MockClock) -> None:
    """The cool-down of one quarantine says nothing of the next."""
    scripted = ScriptedAgent([Raise(ValueError)])
    async with checked_runtime(scripted, limits=LIMITS) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        await settle(runtime)
        await trio.sleep(500.0)
        runtime.release(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        await settle(runtime)
        await trio.sleep(300.0)
        assert [each.chat_id for each in runtime.quarantined()] == [CHAT]
        await trio.sleep(310.0)
        assert runtime.quarantined() == ()


async def test_s3_a_quarantined_session_can_be_deleted_and_stopped(autojump_clock: MockClock) -> None:
    """Its cool-down is forgotten with it."""
    async with checked_runtime(ScriptedAgent([Raise(ValueError)]), limits=LIMITS) as runtime:
        for chat, end in ((CHAT, runtime.delete), ("live:b", runtime.stop)):
            await runtime.create(chat)
            await (await runtime.send(chat, "hello")).result()
            await settle(runtime)
            await end(chat)
            assert runtime.quarantined() == ()
        await trio.sleep(700.0)
        assert runtime.statistics().phases == {}
