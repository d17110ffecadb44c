"""The agent of a load does to the letter what its role says."""

import pytest
import trio
from trio.testing import MockClock

from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.runtime.agent import agent
from actors.stress.agents import SHIELD_S, LoadAgent
from actors.stress.plan import Load, Role, answer_of, key_of, message_of, transcript_of
from actors.testing import checked_runtime

CHAT = ChatId("live:a")
LOAD = Load()


async def turns_of(role: Role, count: int = 6, sabotage: str = "") -> tuple[list[str], list[tuple[str, str, str]]]:
    """Run the turns of a session with a role; return how they ended, and the parts of its transcript."""
    performer = LoadAgent(LOAD, {CHAT: role}, sabotage)
    limits = Limits(turn_s=5.0, cancel_grace_s=0.5, restarts_max=100)
    async with checked_runtime(agent(performer.answer, receive=performer.receive), limits=limits) as runtime:
        await runtime.create(CHAT)
        ends = []
        for number in range(1, count + 1):
            receipt = await runtime.send(CHAT, message_of(LOAD, CHAT, number), message_id=key_of(number))
            result = await receipt.result()
            ends.append(result.reason or result.status)
        page = await runtime.history(CHAT)
        return ends, [(message.role, part.kind, part.text) for message in page.messages for part in message.parts]


async def test_a_healthy_session_says_what_its_seed_says(autojump_clock: MockClock) -> None:
    """Part by part, tools included."""
    ends, parts = await turns_of(Role.HEALTHY)
    assert ends == ["completed"] * 6
    assert parts == [part for number in range(1, 7) for part in transcript_of(LOAD, CHAT, number)]


async def test_a_crashing_session_fails_in_one_turn_of_two(autojump_clock: MockClock) -> None:
    """With errors of every kind, and the others as they should be."""
    ends, _ = await turns_of(Role.CRASHING, 20)
    assert 4 < ends.count("crashed") < 16
    assert set(ends) == {"crashed", "completed"}


async def test_a_hanging_session_ends_when_its_time_is_up(autojump_clock: MockClock) -> None:
    """It never returns by itself."""
    ends, _ = await turns_of(Role.HANGING, 2)
    assert ends == ["deadline"] * 2


async def test_a_shielded_session_does_not_hear_that_it_is_cancelled(autojump_clock: MockClock) -> None:
    """It has to be given up; what it goes on saying reaches nobody."""
    performer = LoadAgent(LOAD, {CHAT: Role.SHIELDED})
    async with checked_runtime(agent(performer.answer), limits=Limits(cancel_grace_s=0.5)) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, message_of(LOAD, CHAT, 1))
        await trio.sleep(0.1)
        result = await receipt.cancel()
        assert (result.status, result.text) == ("cancelled", "busy")
        assert runtime.statistics().abandoned == 1
        await trio.sleep(SHIELD_S)


async def test_a_flooded_session_takes_its_time_for_each_message(autojump_clock: MockClock) -> None:
    """Others answer at once."""
    performer = LoadAgent(LOAD, {CHAT: Role.FLOODED})
    async with checked_runtime(agent(performer.answer, receive=performer.receive)) as runtime:
        for chat_id, seconds in ((CHAT, 0.002), ("live:b", 0.0)):
            await runtime.create(chat_id)
            await runtime.ask(chat_id, "warm")
            began_s = trio.current_time()
            assert await runtime.ask(chat_id, "x") == "x"
            assert trio.current_time() - began_s == pytest.approx(seconds)


async def test_a_sabotaged_agent_says_what_nobody_wrote(autojump_clock: MockClock) -> None:
    """In one turn, so that a verdict has something to find."""
    _, parts = await turns_of(Role.HEALTHY, 3, sabotage="corrupt")
    said = ["".join(answer_of(LOAD, CHAT, number)) for number in (1, 3)]
    assert ("assistant", "text", "what nobody wrote") in parts
    assert ("assistant", "text", said[0]) in parts
