"""Questions to a person: numbered, answered once, by whoever is first."""

import attrs
import pytest

from actors.core.commands import (
    Answer,
    Ask,
    Expire,
    OnInterrupted,
)
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal, WakePrompt
from actors.core.events import (
    AnsweredPrompt,
    MessageAccepted,
    PromptAnswered,
    PromptExpired,
    PromptOpened,
    TurnStarted,
)
from actors.core.ids import DropReason
from actors.core.lifecycle import PartStatus, TurnStatus
from actors.core.limits import Limits
from actors.core.prompts import Known, find_known
from actors.core.session import decide
from actors.core.state import SessionState, evolve, fold
from tests.core.deciding import decided, texts
from tests.core.play import CHAT, Die, End, Lapse, Pass, Play, Question, Reply, Send, Start, Step

POLICY = Policy(Limits())
NOW_S = 1000.0
IDLE = SessionState(CHAT, seq=1)
RUNNING = fold(IDLE, (MessageAccepted("m1", 1, "hello"), TurnStarted(1, 1)))

STREAMING, COMPLETE, CUT = PartStatus.STREAMING, PartStatus.COMPLETE, PartStatus.CUT


def test_a_prompt_is_numbered_after_those_before_it() -> None:
    """The core gives the number, since the shell may be behind; what was said before comes first."""
    state = RUNNING
    for number, question in enumerate(("Why?", "Where?")):
        decision = decided(state, Ask(1, 1, "text", question, (), texts("Hm") if number else ()))
        assert decision.bodies[-1] == PromptOpened(1, 1, number, "text", question)
        state = fold(state, decision.bodies)
    assert state.running is not None
    assert (state.running.prompts_total, len(state.running.prompts)) == (2, 2)


@pytest.mark.parametrize("kind", ["permission", "choice", "text"])
def test_every_kind_of_prompt_can_be_asked(kind: str) -> None:
    """And keeps its kind and its choices."""
    opened = decided(RUNNING, Ask(1, 1, kind, "Which?", ("a", "b"), ())).bodies[0]
    assert isinstance(opened, PromptOpened)
    assert (opened.type, opened.choices) == (kind, ("a", "b"))


def test_a_kind_of_prompt_that_does_not_exist_is_a_bug_of_the_shell() -> None:
    """The shell has checked it, so the core asserts."""
    with pytest.raises(AssertionError, match="kind of a prompt"):
        decide(RUNNING, Ask(1, 1, "riddle", "Which?", (), ()), POLICY, NOW_S)


def test_the_first_answer_wins_and_a_second_finds_nothing_open() -> None:
    """An answer is written and handed on once."""
    state = evolve(RUNNING, PromptOpened(1, 1, 0, "text", "Why?"))
    decision = decided(state, Answer(1, 0, "because"))
    assert decision == Decision((PromptAnswered(1, 0, "because"),), (WakePrompt(1, 0, "because"),))
    again = decide(fold(state, decision.bodies), Answer(1, 0, "or not"), POLICY, NOW_S)
    assert again == Refusal(DropReason.PROMPT_UNKNOWN, "prompt 1/0 is not open")


@pytest.mark.parametrize(("answer", "taken"), [("yes", True), ("no", True), ("perhaps", False), ("", False)])
def test_an_answer_must_be_one_of_the_choices_where_there_are_some(answer: str, *, taken: bool) -> None:
    """The refusal does not repeat what a person wrote."""
    state = evolve(RUNNING, PromptOpened(1, 1, 0, "choice", "Which?", ("yes", "no")))
    outcome = decide(state, Answer(1, 0, answer), POLICY, NOW_S)
    if taken:
        assert isinstance(outcome, Decision)
    else:
        assert outcome == Refusal(DropReason.INVALID_PAYLOAD, "the answer must be one of 2 choices")


def test_the_answer_to_a_question_whose_turn_has_ended_is_the_message_of_a_new_turn() -> None:
    """One commit: the answer, the message with a key that no sender can give, and the start of its turn."""
    play = Play().play([Send(), Question(), Die("mark"), Reply(0, "yes")])
    assert play.bodies[-3:] == [
        PromptAnswered(1, 0, "yes"),
        MessageAccepted("1/prompt/0", 2, "yes", answers=AnsweredPrompt(1, 0, "text", "Which?")),
        TurnStarted(2, 1),
    ]
    assert play.state.running is not None
    assert play.state.running.queued.background.answers == AnsweredPrompt(1, 0, "text", "Which?")


def test_such_an_answer_waits_in_the_queue_like_any_message_and_is_refused_when_that_is_full() -> None:
    """A refused answer leaves the question open, so that it can be given again."""
    policy = Policy(Limits(queue_turns_max=1))
    play = Play(policy=policy).play([Send(), Question(), Die("mark"), Send(), Send(), Reply(0, "yes")])
    assert isinstance(play.taken[-1].outcome, Refusal)
    assert play.taken[-1].outcome.reason is DropReason.QUEUE_FULL
    assert len(play.state.standing.prompts) == 1
    play.play([End(TurnStatus.COMPLETED), Reply(0, "yes")])
    assert [item.text for item in play.state.queue] == ["yes"]


@pytest.mark.parametrize("policy", ["retry", "continue"])
def test_a_question_of_an_earlier_attempt_is_not_asked_again_in_the_same_words(policy: OnInterrupted) -> None:
    """It is still open, under its old number; in other words it is another question."""
    play = Play().play([Send(), Question(), Die(policy), Start()])
    assert play.state.running is not None
    assert len(play.state.running.prompts) == 1
    for command, opened in (
        (Ask(1, 2, "text", "Which?", (), ()), 0),
        (Ask(1, 2, "text", "Why?", (), ()), 1),
        (Ask(1, 2, "choice", "Which?", ("yes", "no"), ()), 1),
        (Ask(1, 2, "text", "Which?", (), (), taken=frozenset({0})), 1),
    ):
        decision = decided(play.state, command)
        assert sum(isinstance(body, PromptOpened) for body in decision.bodies) == opened
        assert find_known(play.state, command) == (None if opened else Known(0, None))


@pytest.mark.parametrize("when", ["before the end", "while it waits", "after its start"])
def test_an_answer_that_was_given_to_an_earlier_attempt_is_given_to_the_next(when: str) -> None:
    """Whenever it came, the agent that asks again has it at once."""
    steps: list[Step] = [Question(), Reply(0, "blue"), Die("retry"), Start()]
    if when != "before the end":
        at = 3 if when == "while it waits" else 4
        steps.remove(Reply(0, "blue"))
        steps.insert(at - 1, Reply(0, "blue"))
    play = Play().play([Send(), *steps])
    command = Ask(1, 2, "text", "Which?", (), ())
    assert find_known(play.state, command) == Known(0, "blue")
    assert decided(play.state, command) == Decision(())
    again = attrs.evolve(command, taken=frozenset({0}))
    assert find_known(play.state, again) is None, "asked twice by one attempt, it is two questions"


def test_promise_words_15_a_question_expires_at_its_time_and_not_before() -> None:
    """With a default that is the answer; without one nobody answers any more."""
    for default in (None, "yes"):
        play = Play().play([Send(), Question((), 5.0, default), Pass(4.0), Lapse(0)])
        assert play.taken[-1].outcome == Decision(())
        play.play([Pass(1.0), Lapse(0)])
        assert play.taken[-1].outcome == Decision((PromptExpired(1, 0, default),), (WakePrompt(1, 0, default),))
        play.play([Lapse(0), Reply(0, "no")])
        assert play.taken[-2].outcome == Decision(())
        assert isinstance(play.taken[-1].outcome, Refusal)


def test_a_question_without_a_time_never_expires() -> None:
    """No timeout that nobody asked for."""
    play = Play().play([Send(), Question(), Pass(1e9), Lapse(0)])
    assert play.taken[-1].outcome == Decision(())
    assert isinstance(decide(play.state, Expire(1, 7), POLICY, play.now_s), Decision)


def test_a_question_whose_turn_has_ended_expires_and_starts_nothing() -> None:
    """A default answers an agent that waits; there is none."""
    play = Play().play([Send(), Question((), 5.0, "yes"), Die("mark"), Pass(9.0), Lapse(0)])
    assert play.bodies[-1] == PromptExpired(1, 0, "yes")
    assert (play.state.open_prompts, play.state.status) == ((), "idle")


def test_a_default_that_counted_while_the_turn_waited_to_run_again_is_its_answer() -> None:
    """What was decided is decided, also for the next attempt."""
    play = Play().play([Send(), Question((), 5.0, "yes"), Die("retry"), Pass(9.0), Lapse(0), Start()])
    assert find_known(play.state, Ask(1, 2, "text", "Which?", (), ())) == Known(0, "yes")
