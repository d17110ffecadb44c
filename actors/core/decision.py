"""What deciding comes to, and what the host chose: shared by everything that decides about a session."""

import attrs

from actors.core.effects import Effect, Refusal
from actors.core.events import EventBody
from actors.core.ids import DropReason
from actors.core.limits import Limits
from actors.core.state import SessionState


@attrs.frozen
class Decision:
    """What a command comes to: events to be written together, and what to do once they are."""

    bodies: tuple[EventBody, ...]
    effects: tuple[Effect, ...] = ()


@attrs.frozen
class Policy:
    """What the host chose for a session: what a message does that finds a turn running, and the bounds."""

    limits: Limits
    overlap: str = "queue"


def refuse_late(state: SessionState, turn: int, attempt: int) -> Refusal | None:
    """Refuse what does not come from the attempt that is running."""
    running = state.running
    if running is None or running.queued.turn != turn or running.attempt != attempt:
        return Refusal(DropReason.NOT_RUNNING, f"turn {turn} attempt {attempt} is not running")
    return None
