"""What has a time is told when it is up: in order, once, and only while it still waits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from actors.runtime.deadlines import Deadlines
from actors.testing import VirtualClock


class Notes:
    """Notes which turn was called when."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.calls: list[tuple[float, int]] = []

    def note(self, turn: int) -> None:
        """Be called with a turn."""
        self.calls.append((round(trio.current_time(), 6), turn))


@asynccontextmanager
async def running(service: Deadlines[int]) -> AsyncIterator[Notes]:
    """Run a service until the block is left."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        yield Notes()
        nursery.cancel_scope.cancel()


async def test_turns_are_told_that_their_time_is_up_in_the_order_of_their_starts(autojump_clock: MockClock) -> None:
    """Each at its own moment, once."""
    deadlines: Deadlines[int] = Deadlines(10.0, VirtualClock())
    async with running(deadlines) as notes:
        for turn in (1, 2, 3):
            deadlines.add(turn, notes.note)
            await trio.sleep(2.0)
        assert len(deadlines) == 3
        await trio.sleep(60.0)
    assert notes.calls == [(10.0, 1), (12.0, 2), (14.0, 3)]
    assert len(deadlines) == 0


@pytest.mark.parametrize("ended", [1, 2, 3])
async def test_a_turn_that_has_ended_is_not_told_anything(ended: int, autojump_clock: MockClock) -> None:
    """Nor are the others told too early or too late."""
    deadlines: Deadlines[int] = Deadlines(10.0, VirtualClock())
    made = (1, 2, 3)
    async with running(deadlines) as notes:
        for turn in made:
            deadlines.add(turn, notes.note)
            await trio.sleep(1.0)
        deadlines.discard(made[ended - 1])
        deadlines.discard(made[ended - 1])
        assert len(deadlines) == 2
        await trio.sleep(60.0)
    assert notes.calls == [(9.0 + number, number) for number in (1, 2, 3) if number != ended]


async def test_a_turn_that_starts_when_none_is_left_has_its_own_time(autojump_clock: MockClock) -> None:
    """Neither that of the one that has ended, nor for ever."""
    deadlines: Deadlines[int] = Deadlines(10.0, VirtualClock())
    first, second = 1, 2
    async with running(deadlines) as notes:
        deadlines.add(first, notes.note)
        await trio.sleep(9.0)
        deadlines.discard(first)
        await trio.sleep(100.0)
        deadlines.add(second, notes.note)
        await trio.sleep(60.0)
    assert notes.calls == [(119.0, 2)]


async def test_a_turn_that_started_before_the_service_ran_has_its_time(autojump_clock: MockClock) -> None:
    """Recovery starts turns early."""
    deadlines: Deadlines[int] = Deadlines(10.0, VirtualClock())
    early = Notes()
    for turn in (1, 2):
        deadlines.add(turn, early.note)
        await trio.sleep(1.0)
    async with running(deadlines):
        await trio.sleep(60.0)
    assert early.calls == [(10.0, 1), (11.0, 2)]


async def test_a_turn_may_start_or_end_while_another_is_told(autojump_clock: MockClock) -> None:
    """A cancelled turn makes room for the next, and may take another with it."""
    deadlines: Deadlines[int] = Deadlines(10.0, VirtualClock())
    first, second, third = 1, 2, 3
    async with running(deadlines) as notes:

        def overdue(turn: int) -> None:
            notes.note(turn)
            deadlines.discard(second)
            deadlines.add(third, notes.note)

        deadlines.add(first, overdue)
        deadlines.add(second, notes.note)
        await trio.sleep(60.0)
    assert notes.calls == [(10.0, 1), (20.0, 3)]


async def test_what_is_added_again_has_its_time_anew_and_holds_up_nobody(autojump_clock: MockClock) -> None:
    """It goes to the end of the row; those that are due before are told before."""
    deadlines: Deadlines[int] = Deadlines(10.0, VirtualClock())
    async with running(deadlines) as notes:
        deadlines.add(1, notes.note)
        await trio.sleep(1.0)
        deadlines.add(2, notes.note)
        await trio.sleep(4.0)
        deadlines.add(1, notes.note)
        await trio.sleep(60.0)
    assert notes.calls == [(11.0, 2), (15.0, 1)]


async def test_the_time_of_a_turn_that_is_held_stands_still(autojump_clock: MockClock) -> None:
    """What it had left it has left when it goes on; the others are told at their moments."""
    deadlines: Deadlines[int] = Deadlines(10.0, VirtualClock())
    first, second, third = 1, 2, 3
    async with running(deadlines) as notes:
        for turn in (first, second):
            deadlines.add(turn, notes.note)
        await trio.sleep(4.0)
        deadlines.hold(first, held=True)
        deadlines.hold(first, held=True)
        await trio.sleep(20.0)
        assert notes.calls == [(10.0, 2)]
        deadlines.hold(first, held=False)
        deadlines.hold(first, held=False)
        deadlines.add(third, notes.note)
        assert len(deadlines) == 2
        await trio.sleep(60.0)
    assert notes.calls == [(10.0, 2), (30.0, 1), (34.0, 3)]
    assert len(deadlines) == 0


async def test_a_turn_that_is_held_may_end_or_be_held_again(autojump_clock: MockClock) -> None:
    """One that is not known is left alone."""
    deadlines: Deadlines[int] = Deadlines(10.0, VirtualClock())
    first, second = 1, 2
    async with running(deadlines) as notes:
        deadlines.hold(first, held=True)
        deadlines.hold(first, held=False)
        for turn in (first, second):
            deadlines.add(turn, notes.note)
            deadlines.hold(turn, held=True)
        deadlines.discard(first)
        await trio.sleep(100.0)
        deadlines.hold(first, held=False)
        deadlines.hold(second, held=False)
        await trio.sleep(6.0)
        deadlines.hold(second, held=True)
        await trio.sleep(100.0)
        deadlines.hold(second, held=False)
        await trio.sleep(60.0)
    assert notes.calls == [(210.0, 2)]
    assert len(deadlines) == 0
