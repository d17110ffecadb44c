"""What an attempt leaves open when it ends: parts and calls are sealed, questions are closed or stay."""

from typing import Final

from actors.core.commands import SEALED_CONTENT
from actors.core.decision import Policy
from actors.core.events import EventBody, PartKind, PromptClosed, TextAppended, ToolEnded
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus
from actors.core.prompts import surplus_prompts
from actors.core.state import RunningTurn, SessionState

_CLOSES_PROMPTS: Final = frozenset({"superseded", "attempts"})
"""Reasons of an interruption after which nobody wants the answers any more; after the others questions stay open."""


def seals(running: RunningTurn, status: TurnStatus) -> list[EventBody]:
    """Close what an ending attempt leaves open, so that the transcript stays legal for a model."""
    bodies: list[EventBody] = []
    part = running.part
    if part is not None:
        end = PartStatus.COMPLETE if status is TurnStatus.COMPLETED else PartStatus.CUT
        kind: PartKind = "thinking" if part.type == "thinking" else "text"
        bodies.append(TextAppended(running.turn, running.attempt, part.message, part.part, kind, part.offset, "", end))
    outcome = {TurnStatus.FAILED: ToolStatus.ERROR, TurnStatus.INTERRUPTED: ToolStatus.INTERRUPTED}.get(
        status, ToolStatus.CANCELLED
    )
    bodies += [
        ToolEnded(running.turn, running.attempt, running.messages + n, call.call, outcome, SEALED_CONTENT[outcome])
        for n, call in enumerate(running.calls)
    ]
    return bodies


def left_prompts(
    state: SessionState, running: RunningTurn, status: TurnStatus, reason: str, policy: Policy
) -> tuple[EventBody, ...]:
    """Close the questions of an ending attempt; what an interruption leaves open may still be answered.

    In a session that takes nothing more nobody wants the answers.
    """
    if not running.prompts:
        return ()
    if status is TurnStatus.INTERRUPTED and reason not in _CLOSES_PROMPTS and not state.standing.closed:
        return surplus_prompts(state, running, policy.limits.prompts_max)
    return tuple(PromptClosed(running.turn, prompt.prompt) for prompt in running.prompts)
