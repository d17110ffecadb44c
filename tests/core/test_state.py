"""What is open in a session, as a value: it grows with what is open, and with nothing else."""

import attrs
import pytest

from actors.core.decision import Policy
from actors.core.events import (
    MessageAccepted,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
    TurnStarted,
)
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus
from actors.core.limits import Limits
from actors.core.state import OpenPart, RunningTurn, SessionState, evolve, fold
from tests.core.deciding import texts
from tests.core.play import CHAT, End, Play, Send

POLICY = Policy(Limits())
NOW_S = 1000.0
IDLE = SessionState(CHAT, seq=1)
RUNNING = fold(IDLE, (MessageAccepted("m1", 1, "hello"), TurnStarted(1, 1)))

STREAMING, COMPLETE, CUT = PartStatus.STREAMING, PartStatus.COMPLETE, PartStatus.CUT


def test_a_session_begins_with_nothing() -> None:
    """Before its first event it has no number, no turn and no state."""
    state = SessionState(CHAT)
    assert (state.seq, state.turns, state.running, state.queue, state.saved) == (0, 0, None, (), None)
    assert (state.status, state.open_turns) == ("idle", ())


def test_turns_that_are_open_are_listed_with_the_running_one_first() -> None:
    """What a snapshot, a shutdown and a load all ask for."""
    play = Play().play([Send(), Send(), Send()])
    assert [queued.turn for queued in play.state.open_turns] == [1, 2, 3]
    assert [queued.seq for queued in play.state.open_turns] == [2, 4, 5]


def test_a_part_grows_until_it_is_closed() -> None:
    """The state knows the part that is open and how far it is on disk; a closed one is forgotten."""
    state = fold(RUNNING, texts("Où ", "🦌"))
    assert state.running is not None
    assert state.running.part == OpenPart(0, 0, "text", 4)
    closed = evolve(state, TextAppended(1, 1, 0, 0, "text", 4, "?", COMPLETE))
    assert closed.running is not None
    assert (closed.running.part, closed.running.messages) == (None, 1)


def test_the_state_does_not_grow_with_what_was_said() -> None:
    """A thousand pieces of text and a thousand calls with their results leave the state as small as one of each."""
    state = fold(RUNNING, texts(*("word " for _ in range(1000))))
    for n in range(1000):
        state = evolve(state, ToolCalled(1, 1, 2 * n + 1, 0, n, "a", "find", "{}"))
        state = evolve(state, ToolEnded(1, 1, 2 * n + 2, n, ToolStatus.OK, "found"))
    assert state.running is not None
    assert attrs.evolve(state.running, part=None) == RunningTurn(
        state.running.queued, 1, messages=2001, calls_total=1000
    )


def test_only_the_first_in_the_queue_can_start() -> None:
    """No decision says otherwise; a journal that does is counted, and the queue stays in its order."""
    play = Play().play([Send(), Send(), Send(), End(TurnStatus.COMPLETED, begin_next=False)])
    after = evolve(play.state, TurnStarted(3, 1))
    assert after == attrs.evolve(play.state, seq=play.state.seq + 1)
    assert evolve(play.state, TurnStarted(2, 1)).open_turns == play.state.queue


def test_the_end_of_a_turn_that_does_not_run_leaves_the_one_that_does() -> None:
    """A turn ends by its number alone."""
    play = Play().play([Send(), Send()])
    assert evolve(play.state, TurnEnded(2, 0, TurnStatus.CANCELLED)).running == play.state.running
    assert evolve(play.state, TurnEnded(7, 1, TurnStatus.FAILED)).open_turns == play.state.open_turns


def test_a_state_cannot_be_changed() -> None:
    """It is a value: whoever holds one holds it as it was."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        IDLE.seq = 2  # type: ignore[misc]  # the point of the test
