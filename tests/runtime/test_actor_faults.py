"""Whatever an agent does, its own turn ends and every other session is as it would have been."""

import asyncio
from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from actors import Limits, Reject
from actors.store.memory import MemoryJournal
from actors.testing import (
    Call,
    Flood,
    Hang,
    IgnoreCancel,
    LateWrite,
    Raise,
    RaiseStray,
    Return,
    Say,
    Script,
    ScriptedAgent,
    ScriptKey,
    Shield,
    canonical,
    checked_runtime,
    settle,
)

BYSTANDERS = ("live:b", "live:c", "replay:d", "live:side-channel:a")
SICK = "live:a"

RAISED: dict[str, Script] = {
    "an exception": [Say("half"), Raise(ValueError("private"))],
    "at once": [Raise(RuntimeError)],
    "an interrupt": [Say("half"), Raise(KeyboardInterrupt)],
    "an exit": [Raise(SystemExit(3))],
    "the end of a generator": [Raise(GeneratorExit)],
    "the end of an iteration": [Raise(StopAsyncIteration)],
    "a cancellation of asyncio": [Raise(asyncio.CancelledError)],
    "a base exception": [Raise(BaseException("private"))],
    "a group": [Raise(ExceptionGroup("two", [ValueError(), KeyError()]))],
    "a nested group": [Raise(BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [KeyboardInterrupt()])]))],
    "a stray cancellation": [Say("half"), RaiseStray()],
    "a group of stray cancellations": [RaiseStray(grouped=True)],
    "a group mixed with cancellations": [RaiseStray(beside=(ValueError(), SystemExit()))],
    "an assertion": [Call("tool", result=None), Raise(AssertionError)],
}
"""What an agent may raise; each ends its turn as failed, and its session is judged by its supervisor."""

ENDED: dict[str, tuple[Script, str]] = {
    "returns a text": ([Say("one "), Return("two")], "completed"),
    "says nothing": ([], "completed"),
    "refuses": ([Raise(Reject("no"))], "failed rejected"),
    "ends a call twice": ([Call("tool", times=2)], "completed"),
    "leaves a call open": ([Call("tool", result=None)], "completed"),
    "keeps its turn": ([LateWrite("late")], "completed"),
    "hangs past its limit": ([Say("half"), Hang()], "failed deadline"),
    "swallows its cancellation": ([IgnoreCancel(text="more")], "failed deadline"),
    "shields itself for a while": ([Shield(61.0)], "failed deadline"),
    "stays longer than its grace": ([Say("half"), Shield(120.0), Say("late")], "failed deadline"),
    "produces after its turn was given up": ([IgnoreCancel(seconds=30.0, text="late")], "failed deadline"),
}
"""What else an agent may do to its turn of at most sixty seconds, and how the turn ends."""


async def hold_conversations(agent: ScriptedAgent, chats: Sequence[str]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Hold one conversation of three turns in each chat, all at once; return what is stored, and how turn 2 ended."""
    journal = MemoryJournal()
    statuses: dict[tuple[str, int], str] = {}
    limits = Limits(turn_s=60.0, cancel_grace_s=5.0)
    async with checked_runtime(agent, store=journal, limits=limits) as runtime:

        async def converse(chat_id: str) -> None:
            for number in (1, 2, 3):
                receipt = await runtime.send(chat_id, f"{number} of {chat_id}", message_id=f"message.{number}")
                result = await receipt.result()
                statuses[chat_id, number] = f"{result.status} {result.reason}".strip()

        for chat_id in chats:
            await runtime.create(chat_id)
        async with trio.open_nursery() as nursery:
            for chat_id in chats:
                nursery.start_soon(converse, chat_id)
        await settle(runtime)
        stored = {chat_id: await canonical(journal, chat_id) for chat_id in chats}
    return stored, {chat_id: statuses[chat_id, 2] for chat_id in chats}


def bystander() -> dict[ScriptKey, Script]:
    """Script what the others do meanwhile: long answers in small pieces."""
    return {chat_id: [Say(f"words of {chat_id} ", pieces=5, every_s=0.3), Call("tool")] for chat_id in BYSTANDERS}


@pytest.mark.rule("promise_3", "S1", "pitfall_2", "pitfall_3")
@pytest.mark.parametrize("kind", RAISED)
async def test_whatever_an_agent_raises_ends_its_turn_and_touches_no_other_session(
    kind: str, autojump_clock: MockClock
) -> None:
    """The bytes of every other session equal those of a run in which nothing was raised."""
    chats = (SICK, *BYSTANDERS)
    well = ScriptedAgent(scripts=bystander())
    sick = ScriptedAgent(scripts={**bystander(), (SICK, 2): RAISED[kind]})
    expected, _ = await hold_conversations(well, chats)
    stored, statuses = await hold_conversations(sick, chats)
    assert statuses == dict.fromkeys(chats, "completed") | {SICK: "failed crashed"}
    assert {chat_id: stored[chat_id] for chat_id in BYSTANDERS} == {
        chat_id: expected[chat_id] for chat_id in BYSTANDERS
    }
    assert b"private" not in stored[SICK], "the text of an exception is the agent's own and is not stored"
    assert sick.runs.count((SICK, 3, 1)) == 1, "the turn after it is answered once"


@pytest.mark.rule("promise_3")
@pytest.mark.parametrize("kind", ENDED)
async def test_whatever_an_agent_does_its_turn_ends_and_touches_no_other_session(
    kind: str, autojump_clock: MockClock
) -> None:
    """Also a turn that its agent does not let go of ends, and the next one begins."""
    steps, status = ENDED[kind]
    chats = (SICK, *BYSTANDERS)
    sick = ScriptedAgent(scripts={**bystander(), (SICK, 2): steps})
    expected, _ = await hold_conversations(ScriptedAgent(scripts=bystander()), chats)
    stored, statuses = await hold_conversations(sick, chats)
    assert statuses == dict.fromkeys(chats, "completed") | {SICK: status}
    assert {chat_id: stored[chat_id] for chat_id in BYSTANDERS} == {
        chat_id: expected[chat_id] for chat_id in BYSTANDERS
    }
    assert b"late" not in stored[SICK]
    assert all(late for late in [await sick.write_late()] if sick.kept)


async def test_a_million_pieces_from_one_agent_hold_up_no_other_session(autojump_clock: MockClock) -> None:
    """Whoever writes without end gives way, and its answer is complete."""
    pieces = 1_000_000
    agent = ScriptedAgent(scripts={SICK: [Flood(pieces)]})
    journal = MemoryJournal()
    async with checked_runtime(agent, store=journal) as runtime:
        for chat_id in (SICK, "live:b"):
            await runtime.create(chat_id)
        flood = await runtime.send(SICK, "write without end")
        answers = [await (await runtime.send("live:b", f"message {number}")).result() for number in range(10)]
        assert runtime.inspect(SICK).running_turn == 1, "the others were answered while it was writing"
        result = await flood.result()
    assert [answer.text for answer in answers] == ["ok"] * 10
    assert len(result.text) == pieces
