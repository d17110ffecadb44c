"""What stood open when a process ended, and what becomes of it: every cell of the table, and what it is made from."""

from typing import get_args

import pytest
from hypothesis import given

from actors.core.commands import Begin, OnInterrupted, Recover
from actors.core.decision import Decision, Policy
from actors.core.effects import StartTurn
from actors.core.events import (
    AttemptInterrupted,
    AttemptSetAside,
    EventBody,
    PromptClosed,
    PromptOpened,
    ToolEnded,
    TurnEnded,
    TurnStarted,
)
from actors.core.lifecycle import ToolStatus, TurnStatus
from actors.core.limits import Limits
from actors.core.recovery import FATES, RECOVERY_CHOICES, Fate, Stood, fate_of, stood_of
from actors.core.session import decide
from actors.core.state import SessionState, fold
from tests.core.play import (
    POLICIES,
    Call,
    Checkpoint,
    Die,
    End,
    Play,
    Question,
    Reply,
    Say,
    Send,
    Start,
    Step,
    Withdraw,
    plays,
)

POLICY = Policy(Limits())
NOW_S = 1000.0

STANDING: dict[Stood, list[Step]] = {
    Stood.NOTHING: [],
    Stood.QUEUED: [Send(), Send(), End(TurnStatus.COMPLETED, begin_next=False)],
    Stood.HELD: [Send(), Die("ask")],
    Stood.BEGUN: [Send()],
    Stood.SPEAKING: [Send(), Say("text", "Hm"), Checkpoint()],
    Stood.CALLING: [Send(), Say("text", "Hm"), Call(("a", "b"))],
    Stood.ASKING: [Send(), Say("text", "Hm"), Question()],
    Stood.UNANSWERED: [Send(), Question(), Die("mark")],
}
"""How a session comes to each of them."""

CELLS = [(stood, policy, spent) for stood, policy in FATES for spent in (False, True)]


def restarted(state: SessionState, policy: OnInterrupted, attempts_max: int = 3) -> tuple[SessionState, Decision]:
    """Do what a session does first in a new life: settle what ran, then begin what may begin."""
    settled = decide(state, Recover(policy, attempts_max), POLICY, NOW_S)
    assert isinstance(settled, Decision)
    after = fold(state, settled.bodies)
    begun = decide(after, Begin(), POLICY, NOW_S)
    assert isinstance(begun, Decision)
    return fold(after, begun.bodies), Decision((*settled.bodies, *begun.bodies), begun.effects)


def test_pack_13_the_table_of_stale_work_has_a_cell_for_everything_that_can_stand() -> None:
    """Whatever a crash leaves, and whatever the agent's policy is, it is written down what becomes of it."""
    assert set(FATES) == {(stood, policy) for stood in Stood for policy in get_args(OnInterrupted)}
    assert {fate for fate in Fate if fate is not Fate.SPENT} == set(FATES.values())


def test_the_page_of_recovery_has_the_table(request: pytest.FixtureRequest) -> None:
    """Whoever chooses a policy reads what the code does."""
    page = (request.config.rootpath / "docs" / "howto" / "recovery-and-overlap.md").read_text("utf-8")
    for stood in Stood:
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{stood}`"))
        assert [cell.strip() for cell in row.strip("|").split("|")[1:]] == [FATES[stood, policy] for policy in POLICIES]


@pytest.mark.parametrize("stood", Stood)
def test_what_stands_is_told_from_what_is_on_disk(stood: Stood) -> None:
    """The evidence is the state, which is folded from the journal."""
    assert stood_of(Play().play(STANDING[stood]).state) is stood


@given(plays())
def test_whatever_happened_something_of_the_table_stands(play: Play) -> None:
    """No history leaves a session for which nothing is decided."""
    running = play.state.running is not None
    assert (stood_of(play.state) in {Stood.BEGUN, Stood.SPEAKING, Stood.CALLING, Stood.ASKING}) is running


@pytest.mark.parametrize(("stood", "policy", "spent"), CELLS)
def test_pack_13_crash_at_each_transition_what_becomes_of_it_is_what_the_table_says(
    stood: Stood, policy: OnInterrupted, *, spent: bool
) -> None:
    """The events of the next life are those that the cell stands for, and nothing runs that it does not let run."""
    state = Play().play(STANDING[stood]).state
    after, decision = restarted(state, policy, attempts_max=1 if spent else 3)
    kinds = [type(body) for body in decision.bodies]
    fate = fate_of(stood, policy, spent=spent)
    again = [body for body in decision.bodies if isinstance(body, AttemptInterrupted)]
    ends = [(body.status, body.reason) for body in decision.bodies if isinstance(body, TurnEnded)]
    match fate:
        case Fate.NOTHING | Fate.STAYS:
            assert (after, decision) == (state, Decision(()))
        case Fate.IN_ORDER:
            assert kinds == [TurnStarted]
            assert decision.effects == (StartTurn(2, 1),)
        case Fate.MARKED | Fate.SPENT:
            assert ends == [(TurnStatus.INTERRUPTED, "process_ended" if fate is Fate.MARKED else "attempts")]
            assert after.status == "idle"
        case Fate.AGAIN | Fate.CONTINUED:
            assert [body.keep for body in again] == [fate is Fate.CONTINUED]
            assert decision.effects == (StartTurn(1, 2),)
        case Fate.HELD:
            assert decision.effects == ()
            assert [prompt.choices for prompt in after.standing.prompts][-1] == RECOVERY_CHOICES
            assert stood_of(after) is Stood.HELD
    check_what_was_open(stood, fate, decision.bodies, after)


def check_what_was_open(stood: Stood, fate: Fate, bodies: tuple[EventBody, ...], after: SessionState) -> None:
    """See that every open call has its outcome, and that questions stay open unless the attempts are spent."""
    outcomes = [body.status for body in bodies if isinstance(body, ToolEnded)]
    assert outcomes == ([ToolStatus.INTERRUPTED] * 2 if stood is Stood.CALLING else [])
    asked = [prompt for prompt in after.open_prompts if prompt.type != "recovery"]
    assert len(asked) == (stood in {Stood.ASKING, Stood.UNANSWERED} and fate is not Fate.SPENT)
    assert any(isinstance(body, PromptClosed) for body in bodies) is (stood is Stood.ASKING and fate is Fate.SPENT)


@pytest.mark.parametrize("policy", POLICIES)
def test_promise_path_22_a_recovery_has_a_budget_that_is_counted_before_the_agent_runs(policy: OnInterrupted) -> None:
    """A message that ends its process does so a bounded number of times, whatever the policy and the person say."""
    play = Play().play([Send()])
    for _ in range(10):
        play.play([Die(policy, attempts_max=3), Reply(0, "retry"), Start()])
    attempts = [body.attempt for body in play.bodies if isinstance(body, TurnStarted)]
    assert attempts == ([1] if policy == "mark" else [1, 2, 3])
    reason = "process_ended" if policy == "mark" else "attempts"
    assert play.bodies[-1] == TurnEnded(1, len(attempts), TurnStatus.INTERRUPTED, reason)


@pytest.mark.parametrize(("answer", "begun"), [("retry", (1, 2)), ("continue", (1, 2)), ("drop", (2, 1))])
def test_promise_path_19_a_person_decides_what_becomes_of_an_interrupted_turn(
    answer: str, begun: tuple[int, int]
) -> None:
    """Until then neither it nor what is behind it begins."""
    play = Play().play([Send(), Send(), Say("text", "Hm"), Die("ask"), Start()])
    assert [item.turn for item in play.state.open_turns] == [item.turn for item in play.state.queue] == [1, 2]
    assert len(play.state.open_prompts) == 1
    (asked,) = (body for body in play.bodies if isinstance(body, PromptOpened))
    assert (asked.type, asked.choices) == ("recovery", RECOVERY_CHOICES)
    play.play([Reply(0, answer)])
    running = play.state.running
    assert running is not None
    assert (running.turn, running.attempt) == begun


def test_what_a_held_turn_had_said_is_kept_until_a_person_says_otherwise() -> None:
    """A checkpointed word stays in the transcript while the turn is held, and goes when it is begun anew."""
    said: list[Step] = [Send(), Say("text", "Hm"), Checkpoint(), Die("ask")]
    for answer, words in (("retry", ["hello"]), ("continue", ["hello", "Hm"]), ("drop", ["hello", "Hm"])):
        play = Play().play(said)
        assert [message.text for message in play.transcript.messages()] == ["hello", "Hm"]
        play.play([Reply(0, answer)])
        assert [message.text for message in play.transcript.messages()] == words
        set_aside = any(isinstance(body, AttemptSetAside) for body in play.bodies)
        assert set_aside is (answer == "retry")


def test_promise_path_21_what_goes_on_comes_after_what_was_said_and_its_calls_are_numbered_on() -> None:
    """The history of the next attempt is legal: each call has one outcome, and no id of a call comes twice."""
    play = Play().play([Send(), Say("text", "Hm"), Call(("", "")), Die("continue"), Start()])
    play.play([Say("text", "so"), Call(("",)), End(TurnStatus.COMPLETED)])
    messages = play.transcript.messages()
    assert [(message.role, message.attempt) for message in messages] == [
        ("user", 0),
        ("assistant", 1),
        ("tool", 1),
        ("tool", 1),
        ("assistant", 2),
        ("tool", 2),
    ]
    calls = [part.call_id for message in messages for part in message.parts if part.kind == "tool_call"]
    assert calls == ["call_0", "call_1", "call_2"]
    assert len({message.message_id for message in messages}) == len(messages)


def test_a_turn_that_failed_and_is_to_be_tried_again_waits_in_front() -> None:
    """Before what came later; what it had said is set aside, and the attempt is counted."""
    play = Play().play([Send(), Send(), Say("text", "Hm"), End(TurnStatus.FAILED, again=True)])
    assert [(item.turn, item.attempts) for item in play.state.queue] == [(1, 1), (2, 0)]
    play.play([Start()])
    assert play.state.running is not None
    assert (play.state.running.turn, play.state.running.attempt) == (1, 2)


def test_a_held_turn_can_be_cancelled_and_its_question_goes_with_it() -> None:
    """Nobody needs to answer what is not asked any more; what is behind it may begin."""
    play = Play().play([Send(), Send(), Die("ask"), Withdraw(1)])
    assert [type(body) for body in play.bodies[-2:]] == [PromptClosed, TurnEnded]
    assert play.state.open_prompts == ()
    play.play([Start()])
    assert play.state.running is not None
    assert play.state.running.turn == 2
