"""A runtime stops in phases, each of which is bounded."""

from collections.abc import Awaitable, Callable
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock

from actors import (
    Limits,
    Turn,
    TurnEnded,
    open_runtime,
)
from actors.runtime.draining import is_busy
from actors.runtime.ref import Ref
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Hang,
    Raise,
    Say,
    ScriptedAgent,
    Shield,
    VirtualClock,
    Wait,
    checked_runtime,
    records_of,
    settle,
)
from tests.runtime.by_hand import shut_down

LIMITS = Limits(drain_s=5.0, phase_s=5.0, cancel_grace_s=2.0)


async def ends_in(store: MemoryStore, chat_id: str) -> list[tuple[str, str]]:
    """List how the turns of a session ended, as far as the store knows."""
    bodies = [event.body for event in store.chats[chat_id].events]
    return [(str(body.status), body.reason) for body in bodies if isinstance(body, TurnEnded)]


def run(main: Callable[[], Awaitable[object]]) -> None:
    """Run a program of its own, so that its main task is the one that hears of interrupts."""
    trio.run(main, clock=MockClock(autojump_threshold=0))


async def answer_again(store: MemoryStore) -> None:
    """See the next life settle and answer."""
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        await runtime.create("live:a")
        assert (await (await runtime.send("live:a", "again")).result()).ok


@pytest.mark.rule("L6", "pack_24")
@pytest.mark.parametrize(
    ("step", "end", "seconds_max"),
    [
        (Wait(1.0), ("completed", ""), 1.1),
        (Hang(), ("interrupted", "shutdown"), 5.1),
        (Shield(6.0), ("interrupted", "shutdown"), 7.1),
    ],
)
async def test_a_hundred_running_turns_are_shut_down_within_the_bound(
    step: object, end: tuple[str, str], seconds_max: float, autojump_clock: MockClock
) -> None:
    """Those that end in time complete, the others are interrupted on disk; nothing is left of them."""
    store = MemoryStore()
    script = ScriptedAgent([Say("half"), step])  # type: ignore[list-item]  # a step
    chats = [f"live:{number}" for number in range(100)]
    async with checked_runtime(script, store=MemoryJournal(store), limits=LIMITS, open_turns=True) as runtime:
        for chat_id in chats:
            await runtime.create(chat_id)
            await runtime.send(chat_id, "hello")
        began_s = trio.current_time()
        await shut_down(runtime, LIMITS.drain_s)
        assert trio.current_time() - began_s <= seconds_max
    for chat_id in chats:
        assert await ends_in(store, chat_id) == [end]
    assert store.owner is None, "the store was given up"


@pytest.mark.rule("L3")
async def test_queued_turns_run_until_the_drain_is_over_and_wait_on_disk_after_it(autojump_clock: MockClock) -> None:
    """The next life goes on with them."""
    store = MemoryStore()
    script = ScriptedAgent([Wait(2.0)])
    async with checked_runtime(script, store=MemoryJournal(store), limits=LIMITS, open_turns=True) as runtime:
        await runtime.create("live:a")
        for number in range(5):
            await runtime.send("live:a", f"message {number}")
        await shut_down(runtime, LIMITS.drain_s)
    assert await ends_in(store, "live:a") == [("completed", "")] * 2 + [("interrupted", "shutdown")]
    async with checked_runtime(script, store=MemoryJournal(store)) as runtime:
        await settle(runtime)
    assert [status for status, _ in await ends_in(store, "live:a")] == ["completed"] * 2 + ["interrupted"] + [
        "completed"
    ] * 2


async def test_shutting_down_twice_is_shutting_down_once(autojump_clock: MockClock) -> None:
    """One after the other, at the same time, and after the block."""
    log = BytesIO()
    async with checked_runtime(ScriptedAgent([Wait(1.0)]), log=log, limits=LIMITS) as runtime:
        await runtime.create("live:a")
        await runtime.send("live:a", "hello")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shut_down, runtime, 5.0)
            nursery.start_soon(shut_down, runtime, 5.0)
        await shut_down(runtime, 0.0)
    await shut_down(runtime, 5.0)
    assert [record["event"] for record in records_of(log)].count("runtime.closed") == 1


async def test_a_session_that_keeps_crashing_does_not_hold_up_the_shutdown(autojump_clock: MockClock) -> None:
    """Restarting, quarantined, failing while it is told to stop."""
    script = ScriptedAgent([Raise(ValueError)], {"live:late": [Wait(3.0), Raise(ValueError)]})
    limits = Limits(drain_s=5.0, phase_s=5.0, backoff_first_s=30.0, restarts_max=2)
    clock = VirtualClock(rolls=[1.0] * 10)
    async with checked_runtime(script, limits=limits, clock=clock, open_turns=True) as runtime:
        for chat_id in ("live:a", "live:b", "live:late"):
            await runtime.create(chat_id)
            await runtime.send(chat_id, "hello")
            await runtime.send(chat_id, "again")
        await trio.sleep(1.0)
        began_s = trio.current_time()
        await shut_down(runtime, 5.0)
        assert trio.current_time() - began_s < 6.0
    assert runtime.statistics().sessions_live == 0


@pytest.mark.rule("L6")
async def test_while_a_runtime_drains_only_what_is_at_work_is_looked_at(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking at every session in memory each time would take the time that the turns were given."""
    looks = 0

    def counted(ref: Ref) -> bool:
        nonlocal looks
        looks += 1
        return is_busy(ref)

    monkeypatch.setattr("actors.runtime.phases.is_busy", counted)
    ended: list[str] = []

    async def answer(turn: Turn) -> None:
        if turn.text == "long":
            await trio.sleep(3.0)
            ended.append(turn.chat_id)

    async with open_runtime(MemoryJournal(), agent=answer, clock=VirtualClock(), limits=LIMITS) as runtime:
        for number in range(100):
            chat = await runtime.create(f"live:{number}")
            await (await runtime.send(chat, "short")).result()
        await runtime.send("live:99", "long")
    assert ended == ["live:99"]
    assert looks < 2000
