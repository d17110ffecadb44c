"""The queue of a session, and what may be asked of it while its turns wait.

A turn can be edited, moved, cancelled or skipped only before it begins; the one that runs is nobody's to edit.
"""

from actors.core.commands import Clear, EditQueued, Pause, Reorder, Resume, Retry, Skip
from actors.core.decision import Decision, Policy, refuse_closed, refuse_spent
from actors.core.effects import Refusal
from actors.core.events import (
    EventBody,
    MessageAccepted,
    QueuedEdited,
    QueuePaused,
    QueueReordered,
    QueueResumed,
)
from actors.core.ids import DropReason
from actors.core.lifecycle import TurnStatus
from actors.core.prompts import end_queued
from actors.core.state import QueuedTurn, SessionState


def decide_queue(
    state: SessionState, command: Pause | Resume | EditQueued | Reorder | Clear | Skip
) -> Decision | Refusal:
    """Decide what is asked of the queue; whoever asks has the next turn begun afterwards, if there is one."""
    match command:
        case Pause():
            return Decision(() if state.standing.paused else (QueuePaused(),))
        case Resume():
            return Decision((QueueResumed(),) if state.standing.paused else ())
        case EditQueued():
            return _edit(state, command)
        case Reorder():
            return _reorder(state, command)
        case Clear():
            ended = (end_queued(state, item, TurnStatus.CANCELLED, "cleared") for item in state.queue)
            return Decision(tuple(body for bodies in ended for body in bodies))
        case Skip():
            if not state.queue:
                return Refusal(DropReason.NOT_RUNNING, "no turn is queued")
            return Decision(end_queued(state, state.queue[0], TurnStatus.CANCELLED, "skipped"))


def decide_retry(state: SessionState, command: Retry, policy: Policy) -> Decision | Refusal:
    """Accept the messages of a turn that has ended as one new turn, which waits behind all others.

    Whoever asks has it begun afterwards, if nothing is before it.
    """
    if state.standing.closed:
        return refuse_closed()
    spent = refuse_spent(state, policy)
    if spent is not None:
        return spent
    waiting = len(state.queue) + sum(len(item.more) for item in state.queue)
    if waiting + len(command.messages) > policy.limits.queue_turns_max:
        return Refusal(DropReason.QUEUE_FULL, f"{waiting} accepted messages wait for their turn")
    turn = state.turns + 1
    bodies: tuple[EventBody, ...] = tuple(
        MessageAccepted(message.message_id, turn, message.text, message.sender, joined="merge" if number else "")
        for number, message in enumerate(command.messages)
    )
    return Decision(bodies)


def waits(state: SessionState, turn: int) -> QueuedTurn | Refusal:
    """Find a turn that waits and has not begun, or say why it is none."""
    running = state.running
    item = next((item for item in state.queue if item.turn == turn), None)
    if (running is not None and running.turn == turn) or (item is not None and item.begun):
        return Refusal(DropReason.TURN_RUNNING, f"turn {turn} has begun")
    return item or Refusal(DropReason.NOT_RUNNING, f"turn {turn} is not queued")


def _edit(state: SessionState, command: EditQueued) -> Decision | Refusal:
    """Replace the text of a message that waits."""
    item = waits(state, command.turn)
    if isinstance(item, Refusal):
        return item
    message_id = command.message_id or item.message_id
    message = next((message for message in item.messages if message.message_id == message_id), None)
    if message is None:
        return Refusal(DropReason.NOT_RUNNING, f"turn {command.turn} has no message with this id")
    if message.text == command.text:
        return Decision(())
    return Decision((QueuedEdited(command.turn, message_id, command.text),))


def _reorder(state: SessionState, command: Reorder) -> Decision | Refusal:
    """Let turns that wait take each other's places."""
    if len(set(command.turns)) != len(command.turns):
        return Refusal(DropReason.INVALID_PAYLOAD, "a turn is named twice")
    places: list[int] = []
    for turn in command.turns:
        item = waits(state, turn)
        if isinstance(item, Refusal):
            return item
        places.append(item.place)
    if places == sorted(places):
        return Decision(())
    return Decision((QueueReordered(command.turns, tuple(sorted(places))),))
