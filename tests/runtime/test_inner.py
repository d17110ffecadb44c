"""The inner door: what a session hears from its own turn, in the order in which the turn said it."""

from collections.abc import Callable

import attrs
import pytest
from trio.testing import MockClock

from actors.core.commands import Ask, Emit
from actors.core.lifecycle import TurnStatus
from actors.runtime.inner import Done, Flush, Written
from actors.runtime.mailbox import Reply
from actors.runtime.turn import Turn
from tests.runtime.by_hand import bench

WORDS: list[tuple[Callable[[Turn], Written | Flush | Done], str]] = [
    (lambda _: Written(Emit(1, 1, ()), Reply()), "reply"),
    (lambda _: Written(Ask(1, 1, "text", "really?", (), ()), Reply()), "command"),
    (Flush, "turn"),
    (lambda turn: Done(turn, TurnStatus.COMPLETED), "status"),
]


@pytest.mark.parametrize(("make", "field"), WORDS, ids=["emit", "ask", "flush", "done"])
async def test_what_a_turn_has_said_is_never_changed_again(
    make: Callable[[Turn], Written | Flush | Done], field: str, autojump_clock: MockClock
) -> None:
    """It waits in the box while the turn goes on."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(make(bench().turn()), field, None)


async def test_a_turn_that_is_done_has_no_reason_unless_it_says_so(autojump_clock: MockClock) -> None:
    """A completed turn needs none, and only a crash is judged by the supervisor."""
    done = Done(bench().turn(), TurnStatus.COMPLETED)
    assert (done.reason, done.error, done.crash) == ("", "", None)


async def test_the_words_of_two_turns_are_told_apart(autojump_clock: MockClock) -> None:
    """Also of two attempts of one turn, which look alike in everything else."""
    made = bench()
    first, second = made.turn(), made.turn()
    assert Flush(first) == Flush(first)
    assert Flush(first) != Flush(second)
    assert Done(first, TurnStatus.COMPLETED) != Done(second, TurnStatus.COMPLETED)


async def test_the_inner_door_is_open_while_the_box_is_full(autojump_clock: MockClock) -> None:
    """A session that takes no more messages still hears its turn, first words first."""
    made = bench()
    turn, box = made.turn(), made.ref.mailbox
    words = [Written(Emit(1, 1, ()), Reply()), Flush(turn), Done(turn, TurnStatus.COMPLETED)]
    for word in words:
        box.post_inner(word)
    assert list(box.inner) == words
    assert box.admitted == 0
