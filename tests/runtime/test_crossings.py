"""Any two things that a host does with one session, the second begun at every step of the first.

Whatever they come to, the runtime comes to rest with its sums closed, what is stored can have come about, nothing comes
back that was deleted, and the bytes of a session that streams beside them are what they are without them.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock

from actors import AskError, Limits, RefusedError, Runtime, Session, agent
from actors.runtime.agent import Agent
from actors.testing import (
    Call,
    Cancels,
    Crashes,
    Hang,
    Kills,
    Meets,
    Say,
    Scenario,
    Script,
    ScriptedAgent,
    ScriptKey,
    canonical,
    crash_now,
    sweep,
)

A, B = "draft:a", "live:b"
GROWN = "live:a"
"""What the draft is called once it has been migrated; its first id leads to it then."""
EXPECTED = (RefusedError, AskError)
"""What a host is told when something else was faster."""

Act = Callable[[Runtime], Awaitable[None]]

BESIDE: Script = [Say("word by word ", pieces=6, every_s=0.03), Call("tool", seconds=0.1), Say("to the end")]


async def answer(session: Session, payload: object) -> object:
    """Take a moment for each message."""
    await trio.sleep(0.01)
    return payload


def talk() -> Agent:
    """Make an agent: one session streams, the other says little, and hangs when it is asked to."""
    short: Script = [Say("one two", pieces=2, every_s=0.02), Call("tool", seconds=0.02)]
    scripts: dict[ScriptKey, Script] = {B: BESIDE, A: short, GROWN: short, (A, 1): [Hang()]}
    return agent(ScriptedAgent(scripts=scripts), receive=answer, on_interrupted="retry")


async def send(runtime: Runtime) -> None:
    """Send a message and wait for its end."""
    with suppress(*EXPECTED):
        await (await runtime.send(A, "swept", message_id="swept")).result()


async def send_to_cold(runtime: Runtime) -> None:
    """Send to a session that is not live."""
    with suppress(*EXPECTED):
        await runtime.stop(A)
        await runtime.send(A, "cold", message_id="cold")


async def cancel(runtime: Runtime) -> None:
    """Send a message and stop its turn."""
    with suppress(*EXPECTED):
        await (await runtime.send(A, "cancelled", message_id="cancelled")).cancel()


async def ask(runtime: Runtime) -> None:
    """Ask the session something."""
    with suppress(*EXPECTED):
        assert await runtime.ask(A, "asked", timeout_s=10.0) == "asked"


async def watch(runtime: Runtime) -> None:
    """Watch the session for a while, from its first event, and miss nothing."""
    seen = 0
    with suppress(*EXPECTED), trio.move_on_after(0.1):
        async with runtime.subscribe(A, after=0) as stream:
            async for item in stream:
                seq = getattr(item, "seq", None)
                if seq is not None:
                    assert seq == seen + 1, "a number is missing or there twice"
                    seen = seq


async def create(runtime: Runtime) -> None:
    """Create the session, which may exist, or another one."""
    await runtime.create("live:new", history=[("system", "be short")])
    with suppress(*EXPECTED):
        await runtime.create(A)


async def stop(runtime: Runtime) -> None:
    """End the session's life in this process."""
    with suppress(*EXPECTED):
        await runtime.stop(A)


async def delete(runtime: Runtime) -> None:
    """Delete the session, and see that it stays deleted."""
    with suppress(*EXPECTED):
        await runtime.delete(A)
    with pytest.raises(RefusedError, match="deleted"):
        await runtime.send(A, "late")
    with pytest.raises(RefusedError, match="deleted"):
        await runtime.create(A)


async def passivate(runtime: Runtime) -> None:
    """Put the session away, if it is at rest."""
    with suppress(*EXPECTED):
        await runtime.passivate(A)


async def migrate(runtime: Runtime) -> None:
    """Give the draft its authoritative id, and find it under both."""
    with suppress(*EXPECTED):
        assert await runtime.migrate(A, GROWN) == GROWN
        assert runtime.inspect(A).chat_id == runtime.inspect(GROWN).chat_id == GROWN


async def crash(runtime: Runtime) -> None:
    """Crash the session, and wait a moment."""
    crash_now(runtime, A)
    await trio.sleep(0.01)


ACTS: dict[str, Act] = {
    "send": send, "send to cold": send_to_cold, "cancel": cancel, "ask": ask, "watch": watch, "create": create,
    "stop": stop, "delete": delete, "passivate": passivate, "migrate": migrate, "crash": crash,
}  # fmt: skip


async def begin(runtime: Runtime) -> None:
    """Make both sessions, have one stream, and leave the other one busy with a turn that has been cancelled."""
    for chat_id in (A, B):
        await runtime.create(chat_id)
    receipt = await runtime.send(A, "hang", message_id="hang")
    await runtime.send(B, "stream", message_id="stream")
    await receipt.cancel()


async def bytes_beside(runtime: Runtime) -> bytes:
    """Wait for the end of the stream, and return its session's bytes."""
    receipt = await runtime.send(B, "stream", message_id="stream")
    assert (await receipt.result()).text == "word by word to the end"
    return await canonical(runtime._services.journal, B)  # noqa: SLF001 - what is stored


async def undisturbed() -> bytes:
    """Return the bytes of the session that streams when nothing happens beside it."""
    found: list[bytes] = []

    async def look(runtime: Runtime) -> None:
        found.append(await bytes_beside(runtime))

    async def nothing(runtime: Runtime) -> None:
        await trio.lowlevel.checkpoint()

    await sweep(Scenario(act=nothing, agent=talk, before=begin, after=look))
    return found[-1]


def scenario(act: Act, expected: bytes) -> Scenario:
    """Do something, then hold the bytes of the session beside it against what they should be."""

    async def look(runtime: Runtime) -> None:
        assert await bytes_beside(runtime) == expected
        if {A, GROWN} & set(await runtime.sessions()):
            await runtime.send(A, "swept", message_id="swept")

    return Scenario(act=act, agent=talk, before=begin, after=look, limits=Limits(backoff_first_s=0.01, restarts_max=50))


@pytest.mark.rule(
    "V4",
    "D5",
    "D7",
    "D8",
    "L5",
    "P3",
    "S9",
    "X3",
    "promise_3",
    "promise_path_34",
    "promise_path_36",
    "pitfall_24",
    "pack_5",
)
@pytest.mark.slow
@pytest.mark.parametrize("second", ACTS)
@pytest.mark.parametrize("first", ACTS)
async def test_whatever_is_begun_at_any_step_of_something_else_both_come_to_an_end(
    first: str, second: str, autojump_clock: MockClock
) -> None:
    """All pairs, the same thing twice included."""
    expected = await undisturbed()
    runs = await sweep(scenario(ACTS[first], expected), Meets(ACTS[second]))
    assert runs > 1


@pytest.mark.rule("V4", "D7", "X3", "promise_3")
@pytest.mark.parametrize("first", ACTS)
async def test_whatever_is_cancelled_at_any_step_leaves_nothing_behind(first: str, autojump_clock: MockClock) -> None:
    """The caller is gone, and the other session has not noticed."""
    await sweep(scenario(ACTS[first], await undisturbed()), Cancels())


@pytest.mark.rule("V4", "J4", "M4", "S6", "X3", "promise_3")
@pytest.mark.parametrize("first", ACTS)
async def test_whatever_meets_a_crash_at_any_step_comes_to_an_end(first: str, autojump_clock: MockClock) -> None:
    """The session reads what is on disk and goes on from there; the other one has not noticed."""
    await sweep(scenario(ACTS[first], await undisturbed()), Crashes(A))


@pytest.mark.rule("V4", "J4", "M4", "promise_4", "L7", "pitfall_35")
@pytest.mark.parametrize("first", ACTS)
async def test_whatever_meets_a_kill_at_any_step_is_all_there_or_not_at_all(
    first: str, autojump_clock: MockClock
) -> None:
    """The next life settles it: the stream is told again to its end, and a key gives one message."""

    async def look(runtime: Runtime) -> None:
        await bytes_beside(runtime)
        if {A, GROWN} & set(await runtime.sessions()):
            again = await runtime.send(A, "swept", message_id="swept")
            result = await again.result()
            assert (result.status, result.text) == ("completed", "one two")

    await sweep(Scenario(act=ACTS[first], agent=talk, before=begin, after=look), Kills())
