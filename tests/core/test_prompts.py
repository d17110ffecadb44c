"""Questions to a person: numbered, answered once, by whoever is first."""

import pytest

from actors.core.commands import (
    Answer,
    Ask,
    Command,
)
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal, WakePrompt
from actors.core.events import (
    EventBody,
    MessageAccepted,
    PromptAnswered,
    PromptOpened,
    TextAppended,
    TurnStarted,
)
from actors.core.ids import DropReason
from actors.core.lifecycle import PartStatus
from actors.core.limits import Limits
from actors.core.session import decide
from actors.core.state import SessionState, evolve, fold
from tests.core.play import CHAT

POLICY = Policy(Limits())
NOW_S = 1000.0
IDLE = SessionState(CHAT, seq=1)
RUNNING = fold(IDLE, (MessageAccepted("m1", 1, "hello"), TurnStarted(1, 1)))

STREAMING, COMPLETE, CUT = PartStatus.STREAMING, PartStatus.COMPLETE, PartStatus.CUT


def decided(state: SessionState, command: Command) -> Decision:
    """Decide a command that is not refused."""
    outcome = decide(state, command, POLICY, NOW_S)
    assert isinstance(outcome, Decision)
    return outcome


def texts(*pieces: str, status: PartStatus = STREAMING) -> tuple[EventBody, ...]:
    """Make the events of a part that is said in pieces."""
    offsets = [len("".join(pieces[:n])) for n in range(len(pieces))]
    return tuple(
        TextAppended(1, 1, 0, 0, "text", offset, piece, status) for offset, piece in zip(offsets, pieces, strict=True)
    )


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
    assert again == Refusal(DropReason.NOT_RUNNING, "prompt 1/0 is not open")


@pytest.mark.parametrize(("answer", "taken"), [("yes", True), ("no", True), ("perhaps", False), ("", False)])
def test_an_answer_must_be_one_of_the_choices_where_there_are_some(answer: str, *, taken: bool) -> None:
    """The refusal does not repeat what a person wrote."""
    state = evolve(RUNNING, PromptOpened(1, 1, 0, "choice", "Which?", ("yes", "no")))
    outcome = decide(state, Answer(1, 0, answer), POLICY, NOW_S)
    if taken:
        assert isinstance(outcome, Decision)
    else:
        assert outcome == Refusal(DropReason.INVALID_PAYLOAD, "the answer must be one of 2 choices")
