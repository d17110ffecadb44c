"""What becomes of a message that finds its session busy, by the policy of the session: decided in one step.

``queue`` and ``reject`` say it all by themselves; the others also say what becomes of what was there before. Whatever a
policy does to the turns that are there is in the same commit as the message, which comes first in it.
"""

from typing import Literal

import attrs

from actors.core.commands import Accept
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal, StopTurn
from actors.core.events import EventBody, MessageAccepted, QueueReordered, TurnEnded, TurnSuperseded
from actors.core.ids import DropReason
from actors.core.lifecycle import TurnStatus
from actors.core.prompts import end_queued
from actors.core.state import ROLLED_BACK, SUPERSEDED, RunningTurn, SessionState, UserMessage


def decide_overlap(state: SessionState, command: Accept, policy: Policy, overlap: str) -> Decision | Refusal:
    """Decide about a message while a turn runs or waits, under a policy that is not the plain queue."""
    match overlap:
        case "reject":
            return Refusal(DropReason.BUSY, "a turn is running and the overlap policy is reject")
        case "interrupt" | "rollback":
            return _supersede(state, command, policy, hidden=overlap == "rollback")
        case "latest":
            return _replace_waiting(state, command, policy)
        case "merge":
            return _merge(state, command, policy)
        case "steer":
            return _steer(state, command, policy)
        case _:
            return enqueue(state, command, policy)


def enqueue(state: SessionState, command: Accept, policy: Policy) -> Decision | Refusal:
    """Let a message wait for a turn of its own, if there is room."""
    return refuse_full(state, policy) or Decision((accepted(command, state.turns + 1),))


def accepted(command: Accept, turn: int) -> MessageAccepted:
    """Say that a message has a turn of its own."""
    return MessageAccepted(command.message_id, turn, command.text, command.sender, command.deadline_s)


def refuse_full(state: SessionState, policy: Policy) -> Refusal | None:
    """Refuse a message for which there is no room: messages that joined a turn and wait count like turns."""
    waiting = messages_waiting(state)
    if waiting < policy.limits.queue_turns_max:
        return None
    return Refusal(DropReason.QUEUE_FULL, f"{waiting} accepted messages wait for their turn")


def messages_waiting(state: SessionState) -> int:
    """Count the messages that no attempt has been given yet."""
    steering = 0 if state.running is None else len(state.running.steering)
    return len(state.queue) + sum(len(item.more) for item in state.queue) + steering


def requeue(state: SessionState, running: RunningTurn) -> tuple[EventBody, ...]:
    """Give turns of their own to the messages that an ending turn has not taken, before what was accepted after them.

    In a session that takes nothing more, since its parent has ended, those turns end at once.
    """
    moved = tuple(
        MessageAccepted(
            message.message_id,
            state.turns + number,
            message.text,
            message.sender,
            message.deadline_s,
            moved_from=running.turn,
        )
        for number, message in enumerate(running.steering, 1)
    )
    if not state.standing.closed:
        return (*moved, *_in_order(state, running, moved))
    return (*moved, *(TurnEnded(body.turn, 0, TurnStatus.CANCELLED, "parent_ended") for body in moved))


def _in_order(
    state: SessionState, running: RunningTurn, moved: tuple[MessageAccepted, ...]
) -> tuple[QueueReordered, ...]:
    """Put turns of messages that were handed to a turn where they belong by their acceptance, if they do not stand so.

    A person may have reordered what waits; each is put before the first that came after it.
    """
    waiting = [item for item in state.queue if not item.begun]
    if not waiting:
        return ()
    ordered = [(item.seq, item.turn) for item in waiting]
    for message, body in zip(running.steering, moved, strict=True):
        behind = (number for number, (seq, _) in enumerate(ordered) if seq > message.seq)
        ordered.insert(next(behind, len(ordered)), (message.seq, body.turn))
    turns = tuple(turn for _, turn in ordered)
    if turns[len(waiting) :] == tuple(body.turn for body in moved):
        return ()
    return (QueueReordered(turns, (*(item.place for item in waiting), *(body.turn for body in moved))),)


def ends_as(ending: str) -> TurnStatus:
    """Say how a turn ends that a newer message has put an end to."""
    return TurnStatus.CANCELLED if ending == ROLLED_BACK else TurnStatus.INTERRUPTED


def to_be_taken(running: RunningTurn, now_s: float) -> tuple[UserMessage, ...]:
    """List the messages that the running attempt may take now, in the order in which they were accepted.

    One whose deadline has passed is left where it is; it expires when the turn ends.
    """
    return tuple(item for item in running.steering if item.deadline_s is None or item.deadline_s > now_s)


def _supersede(state: SessionState, command: Accept, policy: Policy, *, hidden: bool) -> Decision | Refusal:
    """Queue the message and put an end to the turn that runs at this moment; one that is ending already goes on."""
    decision = enqueue(state, command, policy)
    running = state.running
    if running is None or running.ending or isinstance(decision, Refusal):
        return decision
    superseded = TurnSuperseded(running.turn, running.attempt, hidden)
    reason = ROLLED_BACK if hidden else SUPERSEDED
    return Decision((*decision.bodies, superseded), (StopTurn(running.turn, reason),))


def _replace_waiting(state: SessionState, command: Accept, policy: Policy) -> Decision | Refusal:
    """Queue the message in place of all that wait and have not begun."""
    replaced = [item for item in state.queue if not item.begun]
    kept = attrs.evolve(state, queue=tuple(item for item in state.queue if item.begun))
    ends = [body for item in replaced for body in end_queued(state, item, TurnStatus.CANCELLED, SUPERSEDED)]
    return refuse_full(kept, policy) or Decision((accepted(command, state.turns + 1), *ends))


def _merge(state: SessionState, command: Accept, policy: Policy) -> Decision | Refusal:
    """Let the message join the last turn that waits; messages of one turn share its deadline."""
    last = state.queue[-1] if state.queue else None
    if last is None or last.begun or last.deadline_s != command.deadline_s:
        return enqueue(state, command, policy)
    return refuse_full(state, policy) or Decision((_joined(command, last.turn, "merge"),))


def _steer(state: SessionState, command: Accept, policy: Policy) -> Decision | Refusal:
    """Hand the message to the running turn; one that is ending, or was given all it may be, is not waited for."""
    running = state.running
    if running is None or running.ending or _handed(running) >= policy.limits.queue_turns_max:
        return enqueue(state, command, policy)
    return refuse_full(state, policy) or Decision((_joined(command, running.turn, "steer"),))


def _handed(running: RunningTurn) -> int:
    """Count the messages that were handed to the running attempt."""
    return len(running.steered) + len(running.steering)


def _joined(command: Accept, turn: int, how: Literal["merge", "steer"]) -> MessageAccepted:
    """Say that a message came into a turn that is there."""
    return MessageAccepted(command.message_id, turn, command.text, command.sender, command.deadline_s, joined=how)
