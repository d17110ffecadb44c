"""Questions to a person: opened by the running turn, answered once, by whoever is first.

A question outlives the process that asked it. What becomes of its answer depends on what became of its turn: it goes to
the turn that runs; it is kept for the attempt to come; or, when the turn has ended, it is the message of a new turn.
"""

import attrs

from actors.core.commands import Answer, Ask, Expire
from actors.core.decision import Decision, Policy, begin, refuse_late, refuse_spent
from actors.core.effects import Refusal, WakePrompt
from actors.core.events import (
    AnsweredPrompt,
    AttemptSetAside,
    EventBody,
    MessageAccepted,
    PromptAnswered,
    PromptClosed,
    PromptExpired,
    PromptOpened,
    TurnEnded,
)
from actors.core.ids import DropReason
from actors.core.lifecycle import TurnStatus
from actors.core.state import OpenPrompt, QueuedTurn, RunningTurn, SessionState, fold


@attrs.frozen
class Known:
    """A question that was asked before in the same words; ``answer`` is None while nobody has answered."""

    prompt: int
    answer: str | None


def find_known(state: SessionState, command: Ask) -> Known | None:
    """Find the question of an earlier attempt that is asked again: its answer, or that it is still open."""
    running = state.running
    if running is None or not (running.queued.background.recorded or running.prompts):
        return None
    asked = (command.type, command.question, command.choices)
    for recorded in running.queued.background.recorded:
        if (recorded.type, recorded.question, recorded.choices) == asked and recorded.prompt not in command.taken:
            return Known(recorded.prompt, recorded.answer)
    for prompt in running.prompts:
        if (prompt.type, prompt.question, prompt.choices) == asked and prompt.prompt not in command.taken:
            return Known(prompt.prompt, None)
    return None


def decide_ask(state: SessionState, command: Ask) -> Decision | Refusal:
    """Open a prompt of the running turn, unless it is known already."""
    late = refuse_late(state, command.turn, command.attempt)
    if late is not None:
        return late
    assert state.running is not None, "a turn that is not late is running"
    kind = command.type
    assert kind in {"permission", "choice", "text"}, "the shell checks the kind of a prompt"
    if find_known(state, command) is not None:
        return Decision(command.bodies)
    opened = PromptOpened(
        command.turn,
        command.attempt,
        state.running.prompts_total,
        kind,  # type: ignore[arg-type]  # narrowed by the assertion above, which mypy does not follow
        command.question,
        command.choices,
        command.expires_at_s,
        command.default,
    )
    return Decision((*command.bodies, opened))


def decide_answer(state: SessionState, command: Answer, policy: Policy, now_s: float) -> Decision | Refusal:
    """Take the first answer to a prompt that is open."""
    prompt = _find(state, command)
    if prompt is None:
        return Refusal(DropReason.PROMPT_UNKNOWN, f"prompt {command.turn}/{command.prompt} is not open")
    if prompt.choices and command.answer not in prompt.choices:
        return Refusal(DropReason.INVALID_PAYLOAD, f"the answer must be one of {len(prompt.choices)} choices")
    answered = PromptAnswered(command.turn, command.prompt, command.answer)
    running = state.running
    if running is not None and running.turn == command.turn:
        return Decision((answered,), (WakePrompt(command.turn, command.prompt, command.answer),))
    for item in state.queue:
        if item.turn == command.turn:
            return _decide_held(state, item, answered, now_s) if prompt.type == "recovery" else Decision((answered,))
    if len(state.queue) >= policy.limits.queue_turns_max:
        return Refusal(DropReason.QUEUE_FULL, f"{len(state.queue)} accepted messages wait for their turn")
    spent = refuse_spent(state, policy)
    if spent is not None:
        return spent
    kind, question = prompt.type, prompt.question
    bodies: tuple[EventBody, ...] = (
        answered,
        MessageAccepted(
            f"{command.turn}/prompt/{command.prompt}",  # no sender's key holds a slash
            state.turns + 1,
            command.answer,
            answers=AnsweredPrompt(command.turn, command.prompt, kind, question),  # type: ignore[arg-type]  # as opened
        ),
    )
    started, effects = begin(fold(state, bodies), now_s)
    return Decision((*bodies, *started), effects)


def decide_expire(state: SessionState, command: Expire, now_s: float) -> Decision:
    """End a prompt whose time is up; a turn that waits gets the default, or hears that there is no answer."""
    prompt = _find(state, command)
    if prompt is None or prompt.expires_at_s is None or prompt.expires_at_s > now_s:
        return Decision(())
    expired = PromptExpired(command.turn, command.prompt, prompt.default)
    running = state.running
    if running is None or running.turn != command.turn:
        return Decision((expired,))
    return Decision((expired,), (WakePrompt(command.turn, command.prompt, prompt.default),))


def end_queued(state: SessionState, item: QueuedTurn, status: TurnStatus, reason: str = "") -> tuple[EventBody, ...]:
    """End a turn that is queued, and close the questions that its earlier attempts have left open."""
    ended = TurnEnded(item.turn, item.ended_attempt, status, reason)
    if not state.standing.prompts:
        return (ended,)
    own = (prompt for prompt in state.standing.prompts if prompt.turn == item.turn)
    return (*(PromptClosed(prompt.turn, prompt.prompt) for prompt in own), ended)


def _decide_held(state: SessionState, item: QueuedTurn, answered: PromptAnswered, now_s: float) -> Decision:
    """Do with an interrupted turn what a person has said is to become of it."""
    bodies: tuple[EventBody, ...] = (answered,)
    if answered.answer == "drop":
        bodies += end_queued(fold(state, bodies), item, TurnStatus.CANCELLED, "dropped")
    elif answered.answer == "retry":
        bodies += (AttemptSetAside(item.turn, item.attempts),)
    started, effects = begin(fold(state, bodies), now_s)
    return Decision((*bodies, *started), effects)


def surplus_prompts(state: SessionState, running: RunningTurn, prompts_max: int) -> tuple[EventBody, ...]:
    """Close the oldest questions of a session that would keep more of them than it may."""
    kept = (*state.standing.prompts, *running.prompts)
    return tuple(PromptClosed(prompt.turn, prompt.prompt) for prompt in kept[: max(0, len(kept) - prompts_max)])


def _find(state: SessionState, command: Answer | Expire) -> OpenPrompt | None:
    """Find a question that is open."""
    named = (command.turn, command.prompt)
    return next((prompt for prompt in state.open_prompts if (prompt.turn, prompt.prompt) == named), None)
