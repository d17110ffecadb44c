"""Time is what the test says it is."""

import pytest
import trio
from trio.testing import MockClock

from actors import ChatId
from actors.store.memory import MemoryJournal
from actors.testing import (
    Say,
    ScriptedAgent,
    VirtualClock,
    checked_runtime,
)

CHAT = ChatId("live:a")


@pytest.mark.rule("V2")
async def test_the_clock_is_held_by_the_test(autojump_clock: MockClock) -> None:
    """Wall time follows trio's clock and jumps when told to; dice, ids and busy time repeat."""
    clock = VirtualClock(7, wall_s=1000.0, rolls=[0.25, 0.5])
    await trio.sleep(5.0)
    assert (clock.now_s(), clock.wall_s()) == (5.0, 1005.0)
    clock.jump(-86_400.0)
    assert (clock.now_s(), clock.wall_s()) == (5.0, 1005.0 - 86_400.0)
    assert [clock.dice(), clock.dice()] == [0.25, 0.5]
    again, other = VirtualClock(7, wall_s=1000.0 - 86_400.0), VirtualClock(8)
    assert [clock.dice() for _ in range(5)] == [again.dice() for _ in range(5)]
    assert clock.mint_id() == again.mint_id()
    assert other.mint_id() != VirtualClock(9).mint_id()
    assert [again.busy_s() for _ in range(3)] == pytest.approx([1e-6, 2e-6, 3e-6])


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0, -1e9])
async def test_a_wall_clock_that_jumps_changes_no_order_and_no_number(jump_s: float, autojump_clock: MockClock) -> None:
    """Time of day is for people; nothing is ordered by it."""
    clock, journal = VirtualClock(), MemoryJournal()
    async with checked_runtime(ScriptedAgent([Say("a b", pieces=3, every_s=0.2)]), clock=clock, store=journal) as (
        runtime
    ):
        await runtime.create(CHAT)
        for _ in range(4):
            receipt = await runtime.send(CHAT, "hello")
            await trio.sleep(0.3)
            clock.jump(jump_s)
            assert (await receipt.result()).text == "a b"
        events = await journal.events(CHAT, 0, 1000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
