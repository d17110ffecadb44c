"""What sessions share: checkpoints come in order and in time, for the turns that are still open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from actors.core.lifecycle import PartStatus
from actors.runtime.services import Checkpoints
from actors.runtime.turn import Turn
from actors.testing import VirtualClock
from tests.runtime.by_hand import bench


class Notes:
    """Notes which turn was called when."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.calls: list[tuple[float, int]] = []

    def note(self, turn: Turn) -> None:
        """Be called with a turn."""
        self.calls.append((round(trio.current_time(), 6), turn.number))


@asynccontextmanager
async def running(service: Checkpoints) -> AsyncIterator[Notes]:
    """Run a service until the block is left."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        yield Notes()
        nursery.cancel_scope.cancel()


def turns(count: int) -> list[Turn]:
    """Make turns that are told apart by their numbers."""
    return [bench().turn(number) for number in range(1, count + 1)]


async def test_a_turn_is_asked_for_its_words_when_the_window_has_passed(autojump_clock: MockClock) -> None:
    """Once; it can then be due again."""
    checkpoints = Checkpoints(0.25, VirtualClock())
    (turn,) = turns(1)
    async with running(checkpoints) as notes:
        for moment_s in (0.25, 1.25):
            checkpoints.add(turn, notes.note)
            await trio.sleep(1.0)
            assert notes.calls[-1] == (moment_s, 1)
            assert turn.due is None
    assert len(notes.calls) == 2


async def test_turns_are_asked_in_the_order_in_which_they_are_due(autojump_clock: MockClock) -> None:
    """Each when its own window has passed."""
    checkpoints = Checkpoints(1.0, VirtualClock())
    async with running(checkpoints) as notes:
        for turn in turns(4):
            checkpoints.add(turn, notes.note)
            await trio.sleep(0.3)
        await trio.sleep(5.0)
    assert notes.calls == [(1.0, 1), (1.3, 2), (1.6, 3), (1.9, 4)]


async def test_turns_that_are_due_together_are_asked_together(autojump_clock: MockClock) -> None:
    """So that their words share one commit."""
    checkpoints = Checkpoints(1.0, VirtualClock())
    async with running(checkpoints) as notes:
        for turn in turns(100):
            checkpoints.add(turn, notes.note)
        await trio.sleep(1.5)
    assert notes.calls == [(1.0, number) for number in range(1, 101)]


@pytest.mark.parametrize("closed", [1, 2, 3])
async def test_a_turn_that_was_closed_is_not_asked_for_its_words(closed: int, autojump_clock: MockClock) -> None:
    """It has given its last ones; the others are asked in time."""
    checkpoints = Checkpoints(1.0, VirtualClock())
    made = turns(3)
    async with running(checkpoints) as notes:
        for turn in made:
            checkpoints.add(turn, notes.note)
        await trio.sleep(0.5)
        made[closed - 1].close(PartStatus.COMPLETE)
        await trio.sleep(1.0)
    assert notes.calls == [(1.0, number) for number in (1, 2, 3) if number != closed]


async def test_words_that_came_before_the_service_ran_are_asked_for(autojump_clock: MockClock) -> None:
    """Also when their window has passed already: at once then."""
    checkpoints, early = Checkpoints(1.0, VirtualClock()), Notes()
    (turn,) = turns(1)
    checkpoints.add(turn, early.note)
    await trio.sleep(3.0)
    async with running(checkpoints):
        await trio.sleep(1.0)
    assert early.calls == [(3.0, 1)]


async def test_a_turn_that_is_due_again_while_it_is_asked_is_asked_again(autojump_clock: MockClock) -> None:
    """A window later, not in the same breath."""
    checkpoints = Checkpoints(1.0, VirtualClock())
    (turn,) = turns(1)
    async with running(checkpoints) as notes:

        def flush(turn: Turn) -> None:
            notes.note(turn)
            if len(notes.calls) < 3:
                checkpoints.add(turn, flush)

        checkpoints.add(turn, flush)
        await trio.sleep(10.0)
    assert notes.calls == [(1.0, 1), (2.0, 1), (3.0, 1)]
