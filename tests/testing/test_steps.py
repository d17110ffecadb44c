"""Every step of a script does what it says."""

import pytest
import trio
from trio.testing import MockClock

from actors import ChatId, Reject
from actors.testing import (
    Call,
    Flood,
    Hang,
    Raise,
    RaiseStray,
    Return,
    SaveState,
    Say,
    Script,
    ScriptedAgent,
    Shield,
    Think,
    Wait,
    checked_runtime,
)

CHAT = ChatId("live:a")


async def one_turn(*script: object, agent_of: ScriptedAgent | None = None) -> tuple[str, str, float]:
    """Run a script as one turn; return how it ended, what was said, and how long it took."""
    scripted = agent_of or ScriptedAgent(script)  # type: ignore[arg-type]  # steps
    async with checked_runtime(scripted) as runtime:
        await runtime.create(CHAT)
        began_s = trio.current_time()
        result = await (await runtime.send(CHAT, "hello")).result()
        return result.status, result.text, round(trio.current_time() - began_s, 3)


@pytest.mark.parametrize(
    ("script", "status", "text", "seconds"),
    [
        ([Say("abc")], "completed", "abc", 0.0),
        ([Say("abcdefg", pieces=3, every_s=0.5)], "completed", "abcdefg", 1.5),
        ([Say("ab", pieces=5)], "completed", "ab", 0.0),
        ([Think("hm"), Say("abc")], "completed", "abc", 0.0),
        ([Call("tool", seconds=2.0), Say("abc")], "completed", "abc", 2.0),
        ([Wait(3.0)], "completed", "", 3.0),
        ([Shield(3.0)], "completed", "", 3.0),
        ([Flood(1000, "ab")], "completed", "ab" * 1000, 0.0),
        ([SaveState({"n": 1}), Return("abc"), Say("never")], "completed", "abc", 0.0),
        ([Say("abc"), Raise(ValueError)], "failed", "abc", 0.0),
        ([Raise(ValueError("text"))], "failed", "", 0.0),
        ([Raise(Reject("no"))], "failed", "", 0.0),
        ([RaiseStray()], "failed", "", 0.0),
        ([RaiseStray(beside=(ValueError(),))], "failed", "", 0.0),
        ([RaiseStray(grouped=True)], "failed", "", 0.0),
        ([Hang()], "failed", "", 3600.0),
        ([], "completed", "", 0.0),
    ],
    ids=str,
)
async def test_a_step_does_what_it_says(
    script: Script, status: str, text: str, seconds: float, autojump_clock: MockClock
) -> None:
    """One step, or a few, as one turn."""
    assert await one_turn(*script) == (status, text, seconds)
