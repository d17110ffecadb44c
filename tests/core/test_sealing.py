"""What an ending attempt leaves open: parts and calls are sealed, questions are closed or stay."""

import pytest

from actors.core.decision import Policy
from actors.core.events import PromptClosed, TextAppended, ToolEnded
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus
from actors.core.limits import Limits
from actors.core.sealing import left_prompts, seals
from tests.core.play import Call, Checkpoint, Die, Play, Question, Say, Send, Start, Step

ENDS = {
    TurnStatus.COMPLETED: (PartStatus.COMPLETE, ToolStatus.CANCELLED),
    TurnStatus.FAILED: (PartStatus.CUT, ToolStatus.ERROR),
    TurnStatus.CANCELLED: (PartStatus.CUT, ToolStatus.CANCELLED),
    TurnStatus.INTERRUPTED: (PartStatus.CUT, ToolStatus.INTERRUPTED),
}


@pytest.mark.parametrize("status", ENDS)
def test_a_growing_part_and_open_calls_are_sealed_as_the_turn_ends(status: TurnStatus) -> None:
    """Whoever reads the transcript later sees how far it got, and one outcome for each call."""
    running = Play().play([Send(), Call(("a", "b")), Say("text", "Hm"), Checkpoint()]).state.running
    assert running is not None
    part, call = ENDS[status]
    sealed = seals(running, status)
    assert [type(body) for body in sealed] == [TextAppended, ToolEnded, ToolEnded]
    assert [body.status for body in sealed if isinstance(body, TextAppended)] == [part]
    assert [body.status for body in sealed if isinstance(body, ToolEnded)] == [call, call]


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("reason", ["", "process_ended", "stopped", "superseded", "attempts"])
def test_a_question_outlives_its_turn_if_somebody_may_still_want_the_answer(status: TurnStatus, reason: str) -> None:
    """An interruption is nobody's wish, unless a newer message was, or there is nothing left to try."""
    state = Play().play([Send(), Question()]).state
    assert state.running is not None
    closed = left_prompts(state, state.running, status, reason, Policy(Limits()))
    stays = status is TurnStatus.INTERRUPTED and reason not in {"superseded", "attempts"}
    assert closed == (() if stays else (PromptClosed(1, 0),))


def test_of_too_many_questions_the_oldest_are_closed() -> None:
    """A session keeps a bounded number of them, and the newest are what somebody may still know about."""
    steps: list[Step] = [Send(), Question(), Question(("yes", "no")), Die("mark"), Start()]
    play = Play(policy=Policy(Limits(prompts_max=3))).play([*steps, *steps])
    assert [(prompt.turn, prompt.prompt) for prompt in play.state.open_prompts] == [(1, 1), (2, 0), (2, 1)]
    assert PromptClosed(1, 0) in play.bodies
