"""What a command to a session comes to: ``decide`` may refuse, and never changes anything.

Begins with everything that concerns turns; the rest of what can be asked is decided in the modules below this one.
"""

from typing import assert_never

from actors.core.commands import (
    SEALED_CONTENT,
    Accept,
    Answer,
    Ask,
    Begin,
    Cancel,
    CloseChild,
    Command,
    Create,
    DropReminder,
    Emit,
    Finish,
    Migrate,
    Recover,
    Remind,
    SetReminder,
)
from actors.core.decision import Decision, Policy, refuse_late
from actors.core.effects import Effect, Refusal, StartTurn
from actors.core.events import (
    AttemptInterrupted,
    EventBody,
    MessageAccepted,
    MessageAdded,
    ParentEnded,
    PartKind,
    PromptClosed,
    SessionCreated,
    StateSaved,
    TextAppended,
    ToolEnded,
    TurnEnded,
    TurnStarted,
)
from actors.core.identity import decide_migrate
from actors.core.ids import DropReason
from actors.core.lifecycle import ATTEMPT_ENDS, PartStatus, ToolStatus, TurnStatus
from actors.core.prompts import decide_answer, decide_ask
from actors.core.reminding import decide_drop, decide_remind, decide_set
from actors.core.state import QueuedTurn, RunningTurn, SessionState, grow

_STREAMING = PartStatus.STREAMING


def decide(state: SessionState, command: Command, policy: Policy, now_s: float) -> Decision | Refusal:
    """Say what a command comes to in this state; ``now_s`` is wall time in seconds."""
    match command:
        case Accept():
            return _accept(state, command, policy, now_s)
        case Emit():
            return refuse_late(state, command.turn, command.attempt) or Decision(command.bodies)
        case Finish():
            return _finish(state, command, now_s)
        case Begin():
            return Decision(*_begin(state.queue, now_s)) if state.running is None else Decision(())
        case Ask():
            return decide_ask(state, command)
        case Answer():
            return decide_answer(state, command)
        case Cancel():
            return _cancel(state, command)
        case Recover():
            return _recover(state, command)
        case Create():
            return _create(state, command)
        case SetReminder():
            return decide_set(state, command, policy, now_s)
        case DropReminder():
            return decide_drop(state, command)
        case Remind():
            return decide_remind(state, command, policy, now_s, _accept)
        case CloseChild():
            return _close_child(state)
        case Migrate():
            return decide_migrate(state, command)
    assert_never(command)


def _accept(state: SessionState, command: Accept, policy: Policy, now_s: float) -> Decision | Refusal:
    """Give a message its turn: at once if nothing is before it, else as the overlap policy says."""
    if command.deadline_s is not None and command.deadline_s <= now_s:
        return Refusal(DropReason.EXPIRED, "its deadline had passed before it was accepted")
    if state.standing.closed:
        return Refusal(DropReason.PARENT_ENDED, "the turn that spawned this session has ended")
    busy = state.running is not None or state.queue
    if busy and policy.overlap == "reject":
        return Refusal(DropReason.BUSY, "a turn is running and the overlap policy is reject")
    if len(state.queue) >= policy.limits.queue_turns_max:
        return Refusal(DropReason.QUEUE_FULL, f"{len(state.queue)} accepted messages wait for their turn")
    turn = state.turns + 1
    accepted = MessageAccepted(command.message_id, turn, command.text, command.sender, command.deadline_s)
    if busy:
        return Decision((accepted,))
    return Decision((accepted, TurnStarted(turn, 1)), (StartTurn(turn, 1),))


def _begin(queue: tuple[QueuedTurn, ...], now_s: float) -> tuple[tuple[EventBody, ...], tuple[Effect, ...]]:
    """Start the first queued turn that has not expired; end those before it that have."""
    expired: list[EventBody] = []
    for queued in queue:
        if queued.deadline_s is not None and queued.deadline_s <= now_s and not queued.attempts:
            expired.append(TurnEnded(queued.turn, 0, TurnStatus.EXPIRED, reason="deadline"))
            continue
        attempt = queued.attempts + 1
        return (*expired, TurnStarted(queued.turn, attempt)), (StartTurn(queued.turn, attempt),)
    return tuple(expired), ()


def _finish(state: SessionState, command: Finish, now_s: float) -> Decision | Refusal:
    """End the running turn and begin the next: one decision, so one commit."""
    late = refuse_late(state, command.turn, command.attempt)
    if late is not None:
        return late
    assert state.running is not None, "a turn that is not late is running"
    assert command.status in ATTEMPT_ENDS, f"a turn that runs cannot become {command.status}"
    # Seals are numbered after everything the attempt said, the last words included.
    running = state.running
    bodies = list(command.bodies)
    if running.part or running.calls or running.prompts or not _is_settled(command.bodies):
        for body in command.bodies:
            running = grow(running, body)
        bodies += _seals(running, command.status)
    if command.state is not None:
        bodies.append(StateSaved(command.turn, command.state))
    bodies.append(TurnEnded(command.turn, command.attempt, command.status, command.reason, command.error))
    if not command.begin_next or not state.queue:
        return Decision(tuple(bodies))
    following, effects = _begin(state.queue, now_s)
    return Decision((*bodies, *following), effects)


def _is_settled(bodies: tuple[EventBody, ...]) -> bool:
    """Say whether last words leave nothing open by themselves: a closed part, or none."""
    return not bodies or (len(bodies) == 1 and type(bodies[0]) is TextAppended and bodies[0].status is not _STREAMING)


def _seals(running: RunningTurn, status: TurnStatus) -> list[EventBody]:
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
    bodies += [PromptClosed(running.turn, prompt.prompt) for prompt in running.prompts]
    return bodies


def _cancel(state: SessionState, command: Cancel) -> Decision | Refusal:
    """Cancel a queued turn; a running one is cancelled through its task and comes back as Finish."""
    if any(item.turn == command.turn for item in state.queue):
        return Decision((TurnEnded(command.turn, 0, TurnStatus.CANCELLED),))
    return Refusal(DropReason.NOT_RUNNING, f"turn {command.turn} is not queued")


def _recover(state: SessionState, command: Recover) -> Decision:
    """Settle the attempt that was under way, once: after this nothing of an earlier life is running."""
    running = state.running
    if running is None:
        return Decision(())
    seals = _seals(running, TurnStatus.INTERRUPTED)
    if command.retry and running.attempt < command.attempts_max:
        return Decision((*seals, AttemptInterrupted(running.turn, running.attempt)))
    reason = "attempts" if command.retry else "process_ended"
    ended = TurnEnded(running.turn, running.attempt, TurnStatus.INTERRUPTED, reason)
    return Decision((*seals, ended))


def _create(state: SessionState, command: Create) -> Decision:
    """Bring the session into being; doing it again changes nothing."""
    if state.seq:
        return Decision(())
    added = tuple(
        MessageAdded(seed.message_id, seed.role, seed.parts)  # type: ignore[arg-type]  # checked by the shell
        for seed in command.seeds
    )
    parent = command.parent
    created = (
        SessionCreated(forked_from=command.forked_from, forked_at=command.forked_at)
        if parent is None
        else SessionCreated(parent.chat_id, parent.turn, parent.depth, parent.name)
    )
    saved = () if command.state is None else (StateSaved(0, command.state),)
    return Decision((created, *added, *saved))


def _close_child(state: SessionState) -> Decision:
    """Take no more messages, and end those that wait; doing it again changes nothing."""
    if state.standing.parent is None or state.standing.closed:
        return Decision(())
    ended = [TurnEnded(queued.turn, queued.attempts, TurnStatus.CANCELLED, "parent_ended") for queued in state.queue]
    return Decision((*ended, ParentEnded()))
