"""An agent that follows a script can be trusted to follow it."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ChatId, Turn
from actors.testing import (
    Ask,
    Call,
    Do,
    IgnoreCancel,
    LateWrite,
    Say,
    Script,
    ScriptedAgent,
    ScriptKey,
    Wait,
    checked_runtime,
)

CHAT = ChatId("live:a")


async def test_the_script_of_an_attempt_wins_over_its_turn_its_chat_and_the_default(autojump_clock: MockClock) -> None:
    """The closest one that was given is followed, and every run is noted."""
    scripts: dict[ScriptKey, Script] = {CHAT: [Say("chat")], (CHAT, 2): [Say("turn")], (CHAT, 3, 1): [Say("attempt")]}
    script = ScriptedAgent([Say("default")], scripts)
    async with checked_runtime(script) as runtime:
        said = []
        for chat_id in (CHAT, "live:b"):
            await runtime.create(chat_id)
            for _ in range(3):
                said.append((await (await runtime.send(chat_id, "hello")).result()).text)
    assert said == ["chat", "turn", "attempt", "default", "default", "default"]
    assert script.runs == [(chat_id, turn, 1) for chat_id in (CHAT, "live:b") for turn in (1, 2, 3)]


async def test_a_script_can_wait_for_its_test_and_ask_it(autojump_clock: MockClock) -> None:
    """An event that the test sets, a question that it answers, a function of its own."""
    go, seen = trio.Event(), list[str]()

    async def look(turn: Turn) -> None:
        seen.append(turn.text)

    script = ScriptedAgent([Wait(go), Do(look), Ask("which?", "choice", ("a", "b"))])
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(5.0)
        assert seen == []
        go.set()
        await wait_all_tasks_blocked()
        await runtime.answer(CHAT, f"{CHAT}/1/0", "b")
        assert (await receipt.result()).ok
    assert (seen, script.answers) == (["hello"], ["b"])


async def test_an_agent_can_ignore_its_cancellation_and_keep_its_turn(autojump_clock: MockClock) -> None:
    """What it was told is kept for the test to look at."""
    script = ScriptedAgent([LateWrite("late"), Call("tool", times=2), IgnoreCancel(10.0, "more")])
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(1.0)
        assert (await receipt.cancel()).status == "cancelled"
        await trio.sleep(10.0)
        assert [type(error).__name__ for error in await script.write_late()] == ["TurnOverError"]
        assert await script.write_late() == []
    assert [type(error).__name__ for error in script.errors] == ["TurnOverError", "TurnOverError"]
