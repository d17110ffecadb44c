"""Questions to a person: opened by the running turn, answered once, by whoever is first."""

from actors.core.commands import Answer, Ask
from actors.core.decision import Decision, refuse_late
from actors.core.effects import Refusal, WakePrompt
from actors.core.events import PromptAnswered, PromptOpened
from actors.core.ids import DropReason
from actors.core.state import SessionState


def decide_ask(state: SessionState, command: Ask) -> Decision | Refusal:
    """Open a prompt of the running turn."""
    late = refuse_late(state, command.turn, command.attempt)
    if late is not None:
        return late
    assert state.running is not None, "a turn that is not late is running"
    kind = command.type
    assert kind in {"permission", "choice", "text"}, "the shell checks the kind of a prompt"
    opened = PromptOpened(
        command.turn,
        command.attempt,
        state.running.prompts_total,
        kind,  # type: ignore[arg-type]  # narrowed by the assertion above, which mypy does not follow
        command.question,
        command.choices,
    )
    return Decision((*command.bodies, opened))


def decide_answer(state: SessionState, command: Answer) -> Decision | Refusal:
    """Take the first answer to a prompt that is open."""
    running = state.running
    open_prompts = () if running is None or running.turn != command.turn else running.prompts
    prompt = next((item for item in open_prompts if item.prompt == command.prompt), None)
    if prompt is None:
        return Refusal(DropReason.NOT_RUNNING, f"prompt {command.turn}/{command.prompt} is not open")
    if prompt.choices and command.answer not in prompt.choices:
        return Refusal(DropReason.INVALID_PAYLOAD, f"the answer must be one of {len(prompt.choices)} choices")
    answered = PromptAnswered(command.turn, command.prompt, command.answer)
    return Decision((answered,), (WakePrompt(command.turn, command.prompt, command.answer),))
