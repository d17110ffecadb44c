"""What the core asks of the shell once its events are on disk: the closed union of effects."""

import attrs

from actors.core.ids import DropReason


@attrs.frozen
class StartTurn:
    """Run the agent for this attempt."""

    turn: int
    attempt: int


@attrs.frozen
class WakePrompt:
    """Hand a person's answer to the turn that waits for it; None says that the time to answer is over."""

    turn: int
    prompt: int
    answer: str | None


@attrs.frozen
class StopTurn:
    """Cancel the running turn, whose end is decided already, for ``reason``."""

    turn: int
    reason: str


Effect = StartTurn | WakePrompt | StopTurn


@attrs.frozen
class Refusal:
    """The command was refused; nothing changed and nothing is written."""

    reason: DropReason
    detail: str
