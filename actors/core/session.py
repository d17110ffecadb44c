"""What a command to a session comes to: ``decide`` may refuse, and never changes anything.

Begins with everything that concerns turns; the rest of what can be asked is decided in the modules below this one.
"""

from typing import assert_never

from actors.core.commands import (
    Accept,
    Answer,
    Ask,
    Begin,
    Cancel,
    Clear,
    CloseChild,
    Command,
    Create,
    DropReminder,
    Edit,
    EditQueued,
    Emit,
    Expire,
    Finish,
    Migrate,
    Pause,
    Recover,
    Remind,
    Reorder,
    ReplaceState,
    ResetBudget,
    Resume,
    Retry,
    SetReminder,
    Skip,
)
from actors.core.decision import Decision, Policy, begin, begin_next, refuse_closed, refuse_late, refuse_spent
from actors.core.editing import decide_edit
from actors.core.effects import Refusal, StartTurn
from actors.core.events import (
    AttemptInterrupted,
    BudgetReset,
    EventBody,
    MessageAccepted,
    MessageAdded,
    ParentEnded,
    PromptClosed,
    ReminderDropped,
    SessionCreated,
    StateSaved,
    TextAppended,
    TurnEnded,
    TurnStarted,
)
from actors.core.identity import decide_migrate
from actors.core.ids import DropReason
from actors.core.lifecycle import ATTEMPT_ENDS, PartStatus, TurnStatus
from actors.core.overlap import decide_overlap, ends_as, requeue
from actors.core.prompts import decide_answer, decide_ask, decide_expire, end_queued
from actors.core.queueing import decide_queue, decide_retry
from actors.core.recovery import decide_recover
from actors.core.reminding import decide_drop, decide_remind, decide_set
from actors.core.sealing import left_prompts, seals
from actors.core.state import ROLLED_BACK, SessionState, fold, grow

_STREAMING = PartStatus.STREAMING


def decide(state: SessionState, command: Command, policy: Policy, now_s: float) -> Decision | Refusal:
    """Say what a command comes to in this state; ``now_s`` is wall time in seconds."""
    match command:
        case Accept():
            return _accept(state, command, policy, now_s)
        case ReplaceState():
            return _replace(state, command)
        case Emit():
            return refuse_late(state, command.turn, command.attempt) or Decision(command.bodies)
        case Finish():
            return _finish(state, command, policy, now_s)
        case Begin():
            return Decision(*begin(state, now_s))
        case Ask():
            return decide_ask(state, command)
        case Answer():
            return decide_answer(state, command, policy, now_s)
        case Expire():
            return decide_expire(state, command, now_s)
        case ResetBudget():
            return Decision((BudgetReset(state.turns),))
        case Cancel():
            return _cancel(state, command)
        case Recover():
            return decide_recover(state, command, policy)
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
        case Pause() | Resume() | EditQueued() | Reorder() | Clear() | Skip():
            return decide_queue(state, command)
        case Retry():
            return decide_retry(state, command, policy)
        case Edit():
            return decide_edit(state, command, policy, now_s)
    assert_never(command)


def _accept(state: SessionState, command: Accept, policy: Policy, now_s: float) -> Decision | Refusal:
    """Give a message its turn: at once if nothing is before it, else as the overlap policy says."""
    if command.deadline_s is not None and command.deadline_s <= now_s:
        return Refusal(DropReason.EXPIRED, "its deadline had passed before it was accepted")
    if state.standing.closed:
        return refuse_closed()
    spent = None if policy.allowance is None else refuse_spent(state, policy)
    if spent is not None:
        return spent
    if state.running is not None or state.queue:
        overlap = "queue" if policy.queueing else state.standing.overlap or policy.overlap
        return decide_overlap(state, command, policy, overlap)
    turn = state.turns + 1
    accepted = MessageAccepted(command.message_id, turn, command.text, command.sender, command.deadline_s)
    if state.standing.paused:
        return Decision((accepted,))
    return Decision((accepted, TurnStarted(turn, 1)), (StartTurn(turn, 1),))


def _finish(state: SessionState, command: Finish, policy: Policy, now_s: float) -> Decision | Refusal:
    """End the running turn and begin the next: one decision, so one commit."""
    late = refuse_late(state, command.turn, command.attempt)
    if late is not None:
        return late
    assert state.running is not None, "a turn that is not late is running"
    assert command.status in ATTEMPT_ENDS, f"a turn that runs cannot become {command.status}"
    # Seals are numbered after everything the attempt said, the last words included.
    running = state.running
    status, reason, hidden = command.status, command.reason, False
    if running.ending:
        status, reason, hidden = ends_as(running.ending), running.ending, running.ending == ROLLED_BACK
    again = command.again and not running.ending and not state.standing.closed
    bodies = list(command.bodies)
    if running.part or running.calls or running.prompts or not _is_settled(command.bodies):
        for body in command.bodies:
            running = grow(running, body)
        bodies += seals(running, status)
        left = TurnStatus.INTERRUPTED if again else status
        bodies += left_prompts(state, running, left, reason, policy)
    if command.state is not None and not running.ending:
        bodies.append(StateSaved(command.turn, command.state))
    if again:
        bodies.append(AttemptInterrupted(command.turn, command.attempt, error=command.error))
        return Decision(tuple(bodies))
    bodies.append(TurnEnded(command.turn, command.attempt, status, reason, command.error, hidden))
    if running.steering:
        moved = requeue(state, running)
        bodies += moved
        state = fold(state, moved)
    if not command.begin_next or not state.queue:
        return Decision(tuple(bodies))
    following, effects = begin_next(state, now_s)
    return Decision((*bodies, *following), effects)


def _is_settled(bodies: tuple[EventBody, ...]) -> bool:
    """Say whether last words leave nothing open by themselves: a closed part, or none."""
    return not bodies or (len(bodies) == 1 and type(bodies[0]) is TextAppended and bodies[0].status is not _STREAMING)


def _cancel(state: SessionState, command: Cancel) -> Decision | Refusal:
    """Cancel a queued turn; a running one is cancelled through its task and comes back as Finish."""
    for item in state.queue:
        if item.turn == command.turn:
            return Decision(end_queued(state, item, TurnStatus.CANCELLED))
    return Refusal(DropReason.NOT_RUNNING, f"turn {command.turn} is not queued")


def _replace(state: SessionState, command: ReplaceState) -> Decision | Refusal:
    """Replace the agent's state; a turn that runs has its own idea of it, and would write over this."""
    if state.running is not None:
        return Refusal(DropReason.BUSY, "a turn is running, and would replace the state when it completes")
    return Decision((StateSaved(state.turns, command.state),))


def _create(state: SessionState, command: Create) -> Decision:
    """Bring the session into being; doing it again changes nothing."""
    if state.seq:
        return Decision(())
    added = tuple(
        MessageAdded(seed.message_id, seed.role, seed.parts)  # type: ignore[arg-type]  # checked by the shell
        for seed in command.seeds
    )
    parent = command.parent
    created = SessionCreated(overlap=command.overlap, forked_from=command.forked_from, forked_at=command.forked_at)
    if parent is not None:
        created = SessionCreated(parent.chat_id, parent.turn, parent.depth, parent.name, overlap=command.overlap)
    saved = () if command.state is None else (StateSaved(0, command.state),)
    return Decision((created, *added, *saved))


def _close_child(state: SessionState) -> Decision:
    """Take no more messages, and end those that wait; doing it again ends what has come back since."""
    if state.standing.parent is None:
        return Decision(())
    closed: list[EventBody] = [PromptClosed(prompt.turn, prompt.prompt) for prompt in state.standing.prompts]
    closed += [ReminderDropped(reminder.key) for reminder in state.standing.reminders]
    cancelled = TurnStatus.CANCELLED
    ended = [TurnEnded(queued.turn, queued.ended_attempt, cancelled, "parent_ended") for queued in state.queue]
    return Decision((*closed, *ended) if state.standing.closed else (*closed, *ended, ParentEnded()))
