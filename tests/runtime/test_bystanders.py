"""What is stored of healthy sessions is byte for byte the same with and without trouble beside them.

The same conversations are held twice, on the same virtual clock and under the same seed: once alone, once beside
sessions that crash, hang, flood, come and go. Keys and pauses are the conversations' own, so nothing else may differ.
"""

import itertools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock

from actors import ChatId, Limits, RefusedError, Runtime, Session, Turn, agent
from actors.runtime.agent import Agent
from actors.store.memory import MemoryJournal
from actors.testing import (
    Ask,
    Call,
    Flood,
    Hang,
    IgnoreCancel,
    Raise,
    RaiseStray,
    SaveState,
    Say,
    Script,
    ScriptedAgent,
    ScriptKey,
    Shield,
    Think,
    canonical,
    check_history,
    checked_runtime,
    histories,
)

HEALTHY = [f"live:healthy.{number}" for number in range(12)]
CROWD = [f"live:healthy.{number}" for number in range(160)]
"""With forty that crash these are two hundred."""
MESSAGES = 4

# Pauses that never come to the same moment as the window of a checkpoint: then chance would decide which is first.
GOOD: Script = [
    Think("hm "), Say("several words that come slowly", pieces=11, every_s=0.037), Call("tool", seconds=0.11),
    SaveState({"n": 1}), Say("to the end"),
]  # fmt: skip

Disturb = Callable[[Runtime], Awaitable[None]]


async def receive(session: Session, payload: object) -> object:
    """Answer at once; a message to a slow session takes a second."""
    if "slow" in session.chat_id:
        await trio.sleep(1.0)
    if payload == "raise":
        raise ValueError
    return payload


async def converse(runtime: Runtime, number: int) -> None:
    """Hold one healthy conversation, with an ask and a viewer in between."""
    chat_id = await runtime.create(CROWD[number], history=[("system", "be short")])
    await trio.sleep(0.013 * number)
    for message in range(MESSAGES):
        receipt = await runtime.send(chat_id, f"message {message}", message_id=f"m{message}")
        async with runtime.subscribe(chat_id, after=0, until=receipt) as stream:
            seen = [item.seq async for item in stream if hasattr(item, "seq")]
        assert seen == list(range(1, len(seen) + 1))
        assert (await receipt.result()).text == "several words that come slowlyto the end"
        assert await runtime.ask(chat_id, message) == message


async def exports(
    disturb: Disturb | None, scripts: Mapping[ScriptKey, Script], limits: Limits, healthy: Sequence[str]
) -> dict[str, bytes]:
    """Hold all healthy conversations, beside a disturbance if there is one; return what is stored of each."""
    journal = MemoryJournal()
    performing = holding(ScriptedAgent(GOOD, scripts))
    async with checked_runtime(performing, store=journal, limits=limits) as runtime:
        async with trio.open_nursery() as troubles:
            if disturb is not None:
                troubles.start_soon(disturb, runtime)
            async with trio.open_nursery() as nursery:
                for number in range(len(healthy)):
                    nursery.start_soon(converse, runtime, number)
            troubles.cancel_scope.cancel()
        for chat_id in await runtime.sessions():
            if chat_id not in healthy:
                await runtime.stop(chat_id)
        stored = {chat_id: await canonical(journal, chat_id) for chat_id in healthy}
        for events in (await histories(journal)).values():
            assert check_history(events) == []
    return stored


# ── what goes wrong beside them ──────────────────────────────────────────────────────────────────


async def crash_at_ten_hertz(runtime: Runtime) -> None:
    """Forty sessions beside the others, each sent a message ten times a second that crashes it."""

    async def loop(number: int) -> None:
        chat_id = await runtime.create(f"live:bad.{number}")
        while True:
            with suppress(RefusedError):
                await runtime.send(chat_id, "crash")
            await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(loop, number)


async def flood_one_session(runtime: Runtime) -> None:
    """A hundred thousand envelopes for one session that is slow, and senders that wait for room."""
    chat_id = await runtime.create("live:slow")
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(runtime.tell, chat_id, f"waits {number}")
        for number in range(100_000):
            with suppress(RefusedError):
                runtime.tell_nowait(chat_id, number)
            if number % 5000 == 0:
                await trio.sleep(0.01)


async def hold_the_loop(runtime: Runtime) -> None:
    """An agent that blocks everybody for a while, in every turn."""
    chat_id = await runtime.create("live:blocks")
    for _ in range(5):
        await (await runtime.send(chat_id, "block")).result()


async def hang_and_shield(runtime: Runtime) -> None:
    """Turns that never end, that do not hear a cancellation, and that go on after it."""
    for number in itertools.count():
        for kind in ("hangs", "shields", "ignores", "floods"):
            chat_id = await runtime.create(f"live:{kind}.{number}")
            receipt = await runtime.send(chat_id, "hello")
            with trio.move_on_after(0.05):
                await receipt.result()
            with suppress(RefusedError):
                await receipt.cancel()


async def come_and_go(runtime: Runtime) -> None:
    """Sessions that are made, used, stopped and deleted all the time, some in the middle of a turn."""
    for number in itertools.count():
        chat_id = await runtime.create(f"live:short.{number}", history=[("system", "hello")])
        receipt = await runtime.send(chat_id, "hello")
        await trio.sleep(0.01 * (number % 3))
        if number % 2:
            await receipt.cancel()
        if number % 5 == 0:
            await runtime.stop(chat_id)
        await runtime.delete(chat_id)
        with pytest.raises(RefusedError):
            await runtime.send(chat_id, "late")


async def ask_people(runtime: Runtime) -> None:
    """Two chats that ask for permission at once, and answers that are crossed, double, late and for nobody."""
    chats = [await runtime.create(f"live:asks.{number}") for number in range(2)]
    for turn in itertools.count(1):
        receipts = [await runtime.send(chat_id, "may I?") for chat_id in chats]
        await trio.sleep(0.05)
        for chat_id, other in (chats, chats[::-1]):
            mine = f"{chat_id}/{turn}/0"
            for prompt_id in (f"{chat_id}/{turn + 1}/0", f"{chat_id}/{turn}/9", f"{other}/{turn}/0", "nonsense"):
                with pytest.raises(RefusedError):
                    await runtime.answer(chat_id, prompt_id, "yes")
            with pytest.raises(RefusedError):
                await runtime.answer("live:nobody", mine, "yes")
            await runtime.answer(chat_id, mine, "yes")
            with pytest.raises(RefusedError):
                await runtime.answer(chat_id, mine, "no")
        for receipt in receipts:
            assert (await receipt.result()).ok


async def reach_limits(runtime: Runtime) -> None:
    """Turns that call too many tools, messages that find their queue full, texts that are too large."""
    chat_id = await runtime.create("live:greedy")
    for _ in itertools.count():
        receipt = await runtime.send(chat_id, "go")
        for _ in range(20):
            with suppress(RefusedError):
                await runtime.send(chat_id, "x" * 2_000_000, overflow="reject")
        await receipt.result()
        await trio.sleep(0.05)


async def send_nonsense(runtime: Runtime) -> None:
    """Envelopes that no session may take."""
    nonsense: tuple[object, ...] = (None, "", 7, b"live:healthy.0", "live:nobody", "../x", "LIVE:healthy.0", [])
    for address in itertools.cycle(nonsense):
        with pytest.raises(RefusedError):
            await runtime.send(address, "hello")
        await trio.sleep(0.01)


async def block(turn: Turn) -> None:
    """Hold the loop."""
    time.sleep(0.05)  # noqa: ASYNC251 - the fault itself


CRASHES: Script = [Say("half"), Raise(BaseExceptionGroup("all at once", [ValueError(), KeyboardInterrupt()]))]
TROUBLES: dict[str, Disturb] = {
    "crash loops at 10 Hz in 20 % of 200 sessions": crash_at_ten_hertz,
    "a hundred thousand envelopes for one session": flood_one_session,
    "an agent that blocks the loop": hold_the_loop,
    "turns that hang, shield and go on": hang_and_shield,
    "sessions that come and go": come_and_go,
    "two that ask at once": ask_people,
    "limits that are reached": reach_limits,
    "nonsense": send_nonsense,
}

HEAVY = (crash_at_ten_hertz, flood_one_session)


def scripts() -> dict[ScriptKey, Script]:
    """Write what the troublesome sessions do."""
    found: dict[ScriptKey, Script] = {f"live:bad.{number}": CRASHES for number in range(0, 40, 2)}
    found |= {f"live:bad.{number}": [RaiseStray(beside=(OSError(),))] for number in range(1, 40, 2)}
    for number in range(200):
        found |= {
            f"live:hangs.{number}": [Say("half"), Hang()],
            f"live:shields.{number}": [Shield(0.3)],
            f"live:ignores.{number}": [IgnoreCancel(0.2, "late")],
            f"live:floods.{number}": [Flood(2000)],
        }
    found |= {f"live:asks.{number}": [Ask("may I?", "permission")] for number in range(2)}
    found["live:greedy"] = [Call("tool") for _ in range(20)]
    return found


def holding(script: ScriptedAgent) -> Agent:
    """Make the agent, in which one session holds the loop."""

    async def answer(turn: Turn) -> str | None:
        return await (block(turn) if turn.chat_id == "live:blocks" else script(turn))

    return agent(answer, receive=receive)


@pytest.mark.rule("promise_3", "pitfall_1", "pitfall_3", "pitfall_4", "pack_4", "pack_12", "pack_23")
@pytest.mark.parametrize(
    "trouble", [pytest.param(name, marks=pytest.mark.slow if act in HEAVY else ()) for name, act in TROUBLES.items()]
)
async def test_trouble_beside_them_changes_no_byte_of_healthy_sessions(trouble: str, autojump_clock: MockClock) -> None:
    """Held alone and held beside it: the exports are equal, and everybody has what was sent."""
    limits = Limits(tool_calls_max=10, cancel_grace_s=0.1, queue_turns_max=3, history_messages_max=50)
    healthy = CROWD if TROUBLES[trouble] is crash_at_ten_hertz else HEALTHY
    alone = await exports(None, scripts(), limits, healthy)
    beside = await exports(TROUBLES[trouble], scripts(), limits, healthy)
    assert beside == alone
    assert all(export.count(b"message.accepted") == MESSAGES for export in alone.values())


@pytest.mark.rule("pack_24", "L6", "promise_3")
async def test_a_shutdown_in_the_middle_leaves_others_as_far_as_they_had_come(autojump_clock: MockClock) -> None:
    """A hundred turns run and do not end; what healthy sessions had stored before is stored unchanged."""
    journal = MemoryJournal()
    script = ScriptedAgent(GOOD, {f"live:hangs.{number}": [Say("half"), Hang()] for number in range(100)})
    limits = Limits(drain_s=1.0, phase_s=1.0)
    stored: dict[str, bytes] = {}
    async with checked_runtime(
        agent(script, receive=receive), store=journal, limits=limits, open_turns=True
    ) as runtime:
        async with trio.open_nursery() as nursery:
            for number in range(len(HEALTHY)):
                nursery.start_soon(converse, runtime, number)
        stored = {chat_id: await canonical(journal, chat_id) for chat_id in HEALTHY}
        for number in range(100):
            await runtime.create(f"live:hangs.{number}")
            await runtime.send(f"live:hangs.{number}", "hello")
        began_s = trio.current_time()
    assert trio.current_time() - began_s <= 3 * limits.phase_s + limits.drain_s
    await journal.open(takeover=False)
    assert {chat_id: await canonical(journal, chat_id) for chat_id in HEALTHY} == stored
    ended = [await journal.find(ChatId(chat_id), "m0") for chat_id in HEALTHY]
    assert all(found is not None and found.status == "completed" for found in ended)
    await journal.close()
