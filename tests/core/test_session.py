"""One session as a value: what the matrix of commands and states does not show in one word."""

import attrs
import pytest

from actors.core.commands import (
    SEALED_CONTENT,
    Accept,
    Begin,
    Cancel,
    Create,
    Finish,
    OnInterrupted,
    Recover,
    Seed,
)
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal, StartTurn
from actors.core.events import (
    AttemptInterrupted,
    MessageAccepted,
    MessageAdded,
    PromptAnswered,
    PromptClosed,
    PromptOpened,
    SeedPart,
    SessionCreated,
    StateSaved,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
    TurnStarted,
)
from actors.core.ids import DropReason
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus
from actors.core.limits import Limits
from actors.core.session import decide
from actors.core.state import OpenCall, OpenPrompt, QueuedTurn, RunningTurn, SessionState, evolve, fold
from tests.core.deciding import decided, texts
from tests.core.play import CHAT, START_S, Call, Checkpoint, Die, End, Pass, Play, Say, Send, Start

POLICY = Policy(Limits())
NOW_S = 1000.0
IDLE = SessionState(CHAT, seq=1)
RUNNING = fold(IDLE, (MessageAccepted("m1", 1, "hello"), TurnStarted(1, 1)))

STREAMING, COMPLETE, CUT = PartStatus.STREAMING, PartStatus.COMPLETE, PartStatus.CUT


def test_seeds_are_added_in_their_order_at_creation() -> None:
    """A history to start from is written with the creation, so that neither exists without the other."""
    parts = (SeedPart("text", "Be brief."),)
    seeds = (Seed("s1", "system", parts), Seed("s2", "assistant", parts))
    assert decided(SessionState(CHAT), Create(seeds)).bodies == (
        SessionCreated(),
        MessageAdded("s1", "system", parts),
        MessageAdded("s2", "assistant", parts),
    )


def test_an_accepted_message_keeps_everything_it_came_with() -> None:
    """Key, text, sender and deadline, with the turn it was given and the number of its event."""
    decision = decided(IDLE, Accept("m1", "hello", "ann", NOW_S + 5))
    assert decision.bodies == (MessageAccepted("m1", 1, "hello", "ann", NOW_S + 5), TurnStarted(1, 1))
    assert decision.effects == (StartTurn(1, 1),)
    state = fold(IDLE, decision.bodies)
    queued = QueuedTurn(1, "m1", "hello", "ann", NOW_S + 5, attempts=0, seq=2)
    assert state == SessionState(CHAT, seq=3, turns=1, running=RunningTurn(queued, 1))
    assert state.open_turns == (queued,)


@pytest.mark.parametrize(("deadline_s", "accepted"), [(NOW_S + 0.001, True), (NOW_S, False), (NOW_S - 1, False)])
def test_a_message_is_too_late_at_its_deadline(deadline_s: float, *, accepted: bool) -> None:
    """A deadline that has come is not accepted, so no turn is made that could only expire."""
    outcome = decide(IDLE, Accept("m1", "hello", deadline_s=deadline_s), POLICY, NOW_S)
    assert isinstance(outcome, Decision) is accepted
    if isinstance(outcome, Refusal):
        assert outcome.reason is DropReason.EXPIRED


def test_turns_that_expired_end_before_the_next_one_starts() -> None:
    """The first that is still wanted runs; those before it end as expired, those behind it wait."""
    play = Play().play([Send(), Send(5.0), Send(20.0), Send(5.0), Pass(10.0), End(TurnStatus.COMPLETED)])
    outcome = play.taken[-1].outcome
    assert isinstance(outcome, Decision)
    assert outcome.bodies == (
        TurnEnded(1, 1, TurnStatus.COMPLETED),
        TurnEnded(2, 0, TurnStatus.EXPIRED, "deadline"),
        TurnStarted(3, 1),
    )
    assert outcome.effects == (StartTurn(3, 1),)
    assert [queued.turn for queued in play.state.open_turns] == [3, 4]


def test_a_turn_that_began_in_time_does_not_expire_when_it_is_tried_again() -> None:
    """The deadline is for beginning; a crash of ours is not the sender's patience."""
    play = Play().play([Send(5.0), Die("retry"), Pass(10.0), Start()])
    assert play.bodies[-1] == TurnStarted(1, 2)


def test_beginning_with_nothing_but_expired_turns_leaves_nothing() -> None:
    """All end in one decision, and nothing is started."""
    queue = tuple(QueuedTurn(turn, f"m{turn}", "hello", deadline_s=NOW_S, seq=turn) for turn in (1, 2))
    decision = decided(attrs.evolve(IDLE, turns=2, queue=queue), Begin())
    assert decision.bodies == tuple(TurnEnded(turn, 0, TurnStatus.EXPIRED, "deadline") for turn in (1, 2))
    assert decision.effects == ()


def test_a_turn_waits_while_a_call_or_a_prompt_is_open() -> None:
    """And runs again when the last of them is settled."""
    state = evolve(RUNNING, ToolCalled(1, 1, 0, 0, 0, "a", "find", "{}"))
    state = evolve(state, PromptOpened(1, 1, 0, "choice", "Which?", ("yes", "no")))
    assert state.running is not None
    assert state.running.calls == (OpenCall(0, "a", "find"),)
    assert state.running.prompts == (OpenPrompt(1, 0, "choice", "Which?", ("yes", "no")),)
    seen = [state.status]
    for body in (ToolEnded(1, 1, 1, 0, ToolStatus.OK, "found"), PromptAnswered(1, 0, "yes")):
        state = evolve(state, body)
        seen.append(state.status)
    assert seen == ["waiting", "waiting", "running"]


@pytest.mark.rule("promise_path_5", "promise_path_26", "J1")
def test_an_ending_turn_closes_everything_it_leaves_open_in_one_decision() -> None:
    """Part, calls and prompts first, in that order and numbered after the last words; then the state; then the end."""
    state = fold(RUNNING, (*texts("Hm"), ToolCalled(1, 1, 0, 1, 0, "a", "find", "{}")))
    state = evolve(state, ToolCalled(1, 1, 0, 2, 1, "b", "find", "{}"))
    state = fold(state, (PromptOpened(1, 1, 0, "text", "Why?"), PromptOpened(1, 1, 1, "text", "Where?")))
    last_words = (TextAppended(1, 1, 3, 0, "thinking", 0, "so", STREAMING),)
    finish = Finish(1, 1, TurnStatus.CANCELLED, last_words, None, "why", "")
    sealed = SEALED_CONTENT[ToolStatus.CANCELLED]
    assert decided(state, finish).bodies == (
        *last_words,
        TextAppended(1, 1, 3, 0, "thinking", 2, "", CUT),
        ToolEnded(1, 1, 4, 0, ToolStatus.CANCELLED, sealed),
        ToolEnded(1, 1, 5, 1, ToolStatus.CANCELLED, sealed),
        PromptClosed(1, 0),
        PromptClosed(1, 1),
        TurnEnded(1, 1, TurnStatus.CANCELLED, "why", ""),
    )


def test_last_words_that_close_their_part_are_not_closed_twice() -> None:
    """What the shell has closed itself needs no seal."""
    play = Play().play([Send(), Say("text", "Until "), Checkpoint(), Say("text", "six."), End(TurnStatus.COMPLETED)])
    said = [body for body in play.bodies if isinstance(body, TextAppended)]
    assert said == [
        TextAppended(1, 1, 0, 0, "text", 0, "Until ", STREAMING),
        TextAppended(1, 1, 0, 0, "text", 6, "six.", COMPLETE),
    ]


def test_the_agents_state_is_saved_with_its_turn_and_kept_for_the_next() -> None:
    """In the same decision as the end; a turn that does not name one leaves the last."""
    finish = Finish(1, 1, TurnStatus.COMPLETED, state='{"seen":1}')
    decision = decided(RUNNING, finish)
    assert decision.bodies[0] == StateSaved(1, '{"seen":1}')
    state = fold(RUNNING, decision.bodies)
    assert state.saved == '{"seen":1}'
    assert fold(state, decided(state, Accept("m2", "and?")).bodies).saved == '{"seen":1}'


@pytest.mark.rule("pitfall_13")
def test_a_retried_turn_stands_in_front_and_counts_its_attempts() -> None:
    """What was accepted first is still answered first; what the attempt left open is closed with it."""
    play = Play().play([Send(), Send(), Say("text", "Hm"), Call(("a",)), Die("retry")])
    assert [(queued.turn, queued.attempts) for queued in play.state.queue] == [(1, 1), (2, 0)]
    assert play.bodies[-2:] == [
        ToolEnded(1, 1, 1, 0, ToolStatus.INTERRUPTED, SEALED_CONTENT[ToolStatus.INTERRUPTED]),
        AttemptInterrupted(1, 1),
    ]
    play.step(Start())
    assert play.bodies[-1] == TurnStarted(1, 2)
    assert play.state.running == RunningTurn(play.state.open_turns[0], 2)


@pytest.mark.parametrize("attempts_max", [1, 2, 3])
def test_a_turn_is_tried_as_often_as_its_budget_says(attempts_max: int) -> None:
    """The budget is counted before each run, so a process that dies every time comes to an end too."""
    play = Play().play([Send()])
    for _ in range(attempts_max):
        assert play.state.running is not None
        play.play([Die("retry", attempts_max=attempts_max), Start()])
    assert play.state.status == "idle"
    assert play.bodies[-1] == TurnEnded(1, attempts_max, TurnStatus.INTERRUPTED, "attempts")
    assert sum(isinstance(body, TurnStarted) for body in play.bodies) == attempts_max


@pytest.mark.parametrize(("policy", "reason"), [("mark", "process_ended"), ("retry", "attempts")])
def test_an_interrupted_turn_says_why_it_is_not_tried_again(policy: OnInterrupted, reason: str) -> None:
    """Marked because that is the policy, or because its attempts are spent."""
    assert decided(RUNNING, Recover(policy, 1)).bodies == (TurnEnded(1, 1, TurnStatus.INTERRUPTED, reason),)


def test_cancelling_a_queued_turn_leaves_the_others_in_their_order() -> None:
    """Only the one that is named goes."""
    play = Play().play([Send(), Send(), Send(), Send()])
    assert decided(play.state, Cancel(3)) == Decision((TurnEnded(3, 0, TurnStatus.CANCELLED),))
    state = evolve(play.state, TurnEnded(3, 0, TurnStatus.CANCELLED))
    assert [queued.turn for queued in state.open_turns] == [1, 2, 4]
    assert state.running == play.state.running


def test_refusals_of_a_message_say_what_is_in_its_way() -> None:
    """A word from the closed set, and a sentence with the figure that matters."""
    policy = Policy(Limits(queue_turns_max=1))
    full = Play(policy=policy).play([Send(), Send()]).state
    assert decide(full, Accept("m3", "hello"), policy, START_S) == Refusal(
        DropReason.QUEUE_FULL, "1 accepted messages wait for their turn"
    )
    assert decide(full, Accept("m3", "hello"), attrs.evolve(policy, overlap="reject"), START_S) == Refusal(
        DropReason.BUSY, "a turn is running and the overlap policy is reject"
    )


def test_turn_numbers_are_never_used_again() -> None:
    """A turn that has ended keeps its number; the next gets a new one."""
    play = Play().play([Send(), End(TurnStatus.COMPLETED), Send(), End(TurnStatus.FAILED), Send()])
    assert [body.turn for body in play.bodies if isinstance(body, MessageAccepted)] == [1, 2, 3]
    assert play.state.turns == 3


def test_a_command_that_does_not_exist_is_a_bug() -> None:
    """The union is closed."""
    with pytest.raises(AssertionError):
        decide(IDLE, object(), POLICY, NOW_S)  # type: ignore[arg-type]  # the point of the test
