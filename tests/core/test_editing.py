"""An edit cuts the history at a turn, cancels what came of it, and sends the new text once: one decision."""

from typing import get_args

import attrs
import pytest

from actors.core.commands import Accept, Edit, Finish, OnInterrupted, Recover
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal, StartTurn, StopTurn
from actors.core.events import (
    Event,
    EventBody,
    HistoryTruncated,
    MessageAccepted,
    TurnEnded,
    TurnStarted,
    TurnSuperseded,
)
from actors.core.ids import DropReason
from actors.core.lifecycle import TurnStatus
from actors.core.limits import Limits
from actors.core.session import decide
from actors.core.state import Standing, fold
from actors.core.transcript import Transcript
from tests.core.play import CHAT, End, Play, Say, Send

POLICY = Policy(Limits())
HELLO = Accept("new", "another way")
DONE = End(TurnStatus.COMPLETED, '"saved"')


def played() -> Play:
    """Play two turns that have ended, one that runs and two that wait."""
    play = Play(Policy(Limits())).play([Send(), Say("text", "one"), DONE, Send(), Say("text", "two"), DONE])
    return play.play([Send(), Send(), Send()])


def edited(play: Play, turn: int, state: str | None = None) -> Decision:
    """Edit from a turn."""
    decision = decide(play.state, Edit(turn, turn, HELLO, state), POLICY, 0.0)
    assert isinstance(decision, Decision)
    return decision


def words(decision: Decision) -> list[str]:
    """Name what a decision comes to."""
    return [f"{type(body).__name__} {getattr(body, 'turn', '')}".strip() for body in decision.bodies]


def texts(play: Play, bodies: tuple[EventBody, ...]) -> list[str]:
    """Read who says what in the history after more has happened."""
    transcript = Transcript()
    for event in play.events:
        transcript.add(event)
    for number, body in enumerate(bodies, len(play.events) + 1):
        transcript.add(Event(CHAT, number, 1, 0.0, body))
    return [message.message_id for message in transcript.ended()]


def test_promise_path_39_an_edit_cuts_cancels_and_sends_in_one_decision() -> None:
    """What waits behind the cut is cancelled, what runs there is being cancelled, and the new turn waits for that."""
    play = played()
    decision = edited(play, 2, '"of then"')
    assert words(decision) == [
        "TurnEnded 4",
        "TurnEnded 5",
        "TurnSuperseded 3",
        "HistoryTruncated",
        "MessageAccepted 6",
    ]
    assert HistoryTruncated(2, 2, 5, '"of then"') in decision.bodies
    assert decision.effects == (StopTurn(3, "rolled_back"),)
    assert texts(play, decision.bodies) == [play.bodies[1].message_id, "1/1/0"]  # type: ignore[union-attr]  # it is accepted there
    state = fold(play.state, decision.bodies)
    assert state.saved == '"of then"'
    ended = decide(state, Finish(3, 1, TurnStatus.COMPLETED, state='"too late"'), POLICY, 0.0)
    assert isinstance(ended, Decision)
    assert ended.bodies[0] == TurnEnded(3, 1, TurnStatus.CANCELLED, "rolled_back", hidden=True)
    assert ended.bodies[1:] == (TurnStarted(6, 1),)
    after = fold(state, ended.bodies)
    assert (after.saved, after.running is not None and after.running.turn) == ('"of then"', 6)
    assert texts(play, (*decision.bodies, *ended.bodies)) == texts(play, decision.bodies)


def test_promise_path_39_an_edit_behind_the_running_turn_lets_it_go_on() -> None:
    """Only what waits behind the cut is cancelled; the state is what the turns before it will leave."""
    play = played()
    decision = edited(play, 4, "ignored")
    assert words(decision) == ["TurnEnded 4", "TurnEnded 5", "HistoryTruncated", "MessageAccepted 6"]
    assert HistoryTruncated(4, 4, 5, '"saved"') in decision.bodies
    assert decision.effects == ()


def test_an_edit_of_an_idle_session_begins_the_new_turn_at_once() -> None:
    """Unless its queue is paused."""
    play = Play(Policy(Limits())).play([Send(), Say("text", "one"), DONE])
    decision = edited(play, 1)
    assert words(decision) == ["HistoryTruncated", "MessageAccepted 2", "TurnStarted 2"]
    assert decision.effects == (StartTurn(2, 1),)
    assert fold(play.state, decision.bodies).saved is None
    assert texts(play, decision.bodies) == []
    paused = attrs.evolve(play.state, standing=Standing(paused=True))
    held = decide(paused, Edit(1, 1, HELLO), POLICY, 0.0)
    assert isinstance(held, Decision)
    assert held.effects == ()


def test_a_crash_after_an_edit_does_not_bring_the_cut_turn_back() -> None:
    """Under any recovery policy it ends as it was going to, and its history stays cut."""
    play = played()
    state = fold(play.state, edited(play, 1).bodies)
    for policy in get_args(OnInterrupted):
        recovered = decide(state, Recover(policy, attempts_max=9), POLICY, 0.0)
        assert isinstance(recovered, Decision)
        (ended,) = [body for body in recovered.bodies if isinstance(body, TurnEnded)]
        assert (ended.turn, ended.status, ended.hidden) == (3, TurnStatus.CANCELLED, True)


def test_a_second_edit_of_what_is_ending_stops_nothing_twice() -> None:
    """The running turn is superseded once; what the first edit sent is taken back by the second."""
    play = played()
    state = fold(play.state, edited(play, 2).bodies)
    again = decide(state, Edit(1, 1, Accept("newer", "a third way")), POLICY, 0.0)
    assert isinstance(again, Decision)
    assert [type(body) for body in again.bodies] == [TurnEnded, HistoryTruncated, MessageAccepted]
    assert not any(isinstance(body, TurnSuperseded) for body in again.bodies)
    assert [item.turn for item in fold(state, again.bodies).queue] == [7]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (Edit(0, 0, HELLO), DropReason.INVALID_PAYLOAD),
        (Edit(6, 6, HELLO), DropReason.INVALID_PAYLOAD),
        (Edit(1, 1, Accept("new", "late", deadline_s=1.0)), DropReason.EXPIRED),
    ],
)
def test_an_edit_that_cannot_be_is_refused(command: Edit, reason: DropReason) -> None:
    """And nothing is cut."""
    refusal = decide(played().state, command, POLICY, 2.0)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
