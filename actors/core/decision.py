"""What deciding comes to, and what the host chose: shared by everything that decides about a session."""

import attrs

from actors.core.effects import Effect, Refusal, StartTurn
from actors.core.events import EventBody, TurnEnded, TurnStarted
from actors.core.ids import DropReason
from actors.core.lifecycle import TurnStatus
from actors.core.limits import Limits
from actors.core.spending import Allowance
from actors.core.state import SessionState, is_held


@attrs.frozen
class Decision:
    """What a command comes to: events to be written together, and what to do once they are."""

    bodies: tuple[EventBody, ...]
    effects: tuple[Effect, ...] = ()


@attrs.frozen
class Policy:
    """What the host chose for a session: what a message does that finds a turn running, the bounds, and the budget.

    A session may have a policy of its own, which goes before ``overlap``; ``queueing`` goes before both: what the
    runtime itself brings waits for its turn, whatever becomes of a person's messages.
    """

    limits: Limits
    overlap: str = "queue"
    queueing: bool = False
    allowance: Allowance | None = None


def refuse_late(state: SessionState, turn: int, attempt: int) -> Refusal | None:
    """Refuse what does not come from the attempt that is running."""
    running = state.running
    if running is None or running.queued.turn != turn or running.attempt != attempt:
        return Refusal(DropReason.NOT_RUNNING, f"turn {turn} attempt {attempt} is not running")
    return None


def begin(state: SessionState, now_s: float) -> tuple[tuple[EventBody, ...], tuple[Effect, ...]]:
    """Start the first queued turn that has not expired; end those before it that have. Nothing happens if one runs."""
    if state.running is not None:
        return (), ()
    return begin_next(state, now_s)


def begin_next(state: SessionState, now_s: float) -> tuple[tuple[EventBody, ...], tuple[Effect, ...]]:
    """Start the first queued turn that has not expired, as if none ran: the one that runs ends in the same commit."""
    expired: list[EventBody] = []
    for queued in () if state.standing.paused else state.queue:
        if queued.deadline_s is not None and queued.deadline_s <= now_s and not queued.attempts:
            expired.append(TurnEnded(queued.turn, 0, TurnStatus.EXPIRED, reason="deadline"))
            continue
        if state.standing.prompts and is_held(state, queued.turn):
            break  # nor does what is behind it begin
        attempt = queued.attempts + 1
        return (*expired, TurnStarted(queued.turn, attempt)), (StartTurn(queued.turn, attempt),)
    return tuple(expired), ()


def refuse_spent(state: SessionState, policy: Policy) -> Refusal | None:
    """Refuse to begin another turn of a session whose budget is spent."""
    allowance = policy.allowance
    why = "" if allowance is None else allowance.refuses(state.standing.usage, state.turns)
    return Refusal(DropReason.BUDGET_SPENT, why) if why else None


def refuse_closed() -> Refusal:
    """Refuse what a child would have to begin whose parent's turn has ended."""
    return Refusal(DropReason.PARENT_ENDED, "the turn that spawned this session has ended")
