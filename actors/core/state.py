"""What is open in a session as a value, and ``evolve``: what an event makes of it.

``evolve`` never fails. The state holds only what is open (the running turn, the queue, the agent's own state), so its
size and the cost of a turn do not grow with the history.
"""

import attrs

from actors.core.commands import Parent
from actors.core.events import (
    AttemptInterrupted,
    EventBody,
    MessageAccepted,
    MessageAdded,
    ParentEnded,
    PromptAnswered,
    PromptClosed,
    PromptOpened,
    ReminderDropped,
    ReminderFired,
    ReminderSet,
    ReminderSkipped,
    SessionCreated,
    SessionMigrated,
    StateSaved,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
    TurnStarted,
)
from actors.core.ids import ChatId
from actors.core.lifecycle import PartStatus, TurnStatus
from actors.core.reminder import Reminder, evolve_reminders


@attrs.frozen
class QueuedTurn:
    """An accepted message that waits, and the number of the event that accepted it.

    ``attempts`` were begun before and were interrupted; they asked ``prompts`` questions.
    """

    turn: int
    message_id: str
    text: str
    sender: str = ""
    deadline_s: float | None = None
    attempts: int = 0
    seq: int = 0
    prompts: int = 0


@attrs.frozen
class OpenPart:
    """The part that is still growing, as far as it is on disk."""

    message: int
    part: int
    type: str
    offset: int


@attrs.frozen
class OpenCall:
    """A tool call without an outcome."""

    call: int
    call_id: str
    name: str


@attrs.frozen
class OpenPrompt:
    """A question that nobody has answered."""

    prompt: int
    type: str
    question: str
    choices: tuple[str, ...]


@attrs.frozen
class RunningTurn:
    """The turn whose attempt is under way. ``messages`` counts those the attempt has on disk."""

    queued: QueuedTurn
    attempt: int
    messages: int = 0
    part: OpenPart | None = None
    calls: tuple[OpenCall, ...] = ()
    calls_total: int = 0
    prompts: tuple[OpenPrompt, ...] = ()
    prompts_total: int = 0

    @property
    def turn(self) -> int:
        """The number of the turn."""
        return self.queued.turn

    @property
    def status(self) -> TurnStatus:
        """Waiting while a tool or a person has not answered, else running."""
        return TurnStatus.WAITING if self.calls or self.prompts else TurnStatus.RUNNING


@attrs.frozen
class Standing:
    """What stands in a session beside its turns, and seldom changes.

    It is one value of its own so that the events of a turn, which are many, carry it along untouched. ``overlap`` is
    what the session itself says about a message that finds a turn running; empty means that its agent decides.
    ``reminders`` stand in the order in which they were set. ``parent`` is there in a session that a turn spawned;
    ``closed`` once that turn has ended.
    """

    overlap: str = ""
    paused: bool = False
    reminders: tuple[Reminder, ...] = ()
    parent: Parent | None = None
    closed: bool = False


_NOTHING = Standing()


@attrs.frozen
class SessionState:
    """Everything a session must know to decide; ``seq`` is the number of its last event, 0 before creation."""

    chat_id: ChatId
    seq: int = 0
    turns: int = 0
    running: RunningTurn | None = None
    queue: tuple[QueuedTurn, ...] = ()
    saved: str | None = None
    standing: Standing = _NOTHING

    @property
    def open_turns(self) -> tuple[QueuedTurn, ...]:
        """The turns that have not ended, the running one first."""
        return self.queue if self.running is None else (self.running.queued, *self.queue)

    @property
    def status(self) -> str:
        """Idle, queued, running or waiting: derived from the turns, never stored."""
        if self.running is not None:
            return str(self.running.status)
        return "queued" if self.queue else "idle"


def evolve(state: SessionState, body: EventBody) -> SessionState:
    """Apply one event; every event counts, whether or not it changes anything else."""
    seq = state.seq + 1
    running = state.running
    match body:
        case MessageAccepted():
            queued = QueuedTurn(body.turn, body.message_id, body.text, body.sender, body.deadline_s, 0, seq)
            return SessionState(
                state.chat_id,
                seq,
                max(state.turns, body.turn),
                running,
                (*state.queue, queued),
                state.saved,
                state.standing,
            )
        case TurnStarted():
            queue = state.queue
            if queue and queue[0].turn == body.turn:
                begun = RunningTurn(queue[0], body.attempt, prompts_total=queue[0].prompts)
                return SessionState(state.chat_id, seq, state.turns, begun, queue[1:], state.saved, state.standing)
            return attrs.evolve(state, seq=seq)  # no decision says so: only the first in the queue starts
        case TurnEnded():
            queue = state.queue
            if queue:
                queue = tuple([item for item in queue if item.turn != body.turn])
            left = None if running is not None and running.turn == body.turn else running
            return SessionState(state.chat_id, seq, state.turns, left, queue, state.saved, state.standing)
        case TextAppended() if running is not None:
            return SessionState(
                state.chat_id, seq, state.turns, grow(running, body), state.queue, state.saved, state.standing
            )
        case AttemptInterrupted() if running is not None:
            again = attrs.evolve(running.queued, attempts=body.attempt, prompts=running.prompts_total)
            return attrs.evolve(state, seq=seq, running=None, queue=(again, *state.queue))
        case StateSaved():
            return attrs.evolve(state, seq=seq, saved=body.state)
        case SessionMigrated():
            return attrs.evolve(state, seq=seq, chat_id=body.new_id)
        case MessageAdded():
            return attrs.evolve(state, seq=seq)
        case SessionCreated():
            parent = Parent(ChatId(body.parent), body.parent_turn, body.depth, body.name) if body.parent else None
            return attrs.evolve(state, seq=seq, standing=attrs.evolve(state.standing, parent=parent))
        case ParentEnded():
            return attrs.evolve(state, seq=seq, standing=attrs.evolve(state.standing, closed=True))
        case ReminderSet() | ReminderDropped() | ReminderFired() | ReminderSkipped():
            reminders = evolve_reminders(state.standing.reminders, body, seq)
            return attrs.evolve(state, seq=seq, standing=attrs.evolve(state.standing, reminders=reminders))
        case _:
            grown = None if running is None else grow(running, body)
            return SessionState(state.chat_id, seq, state.turns, grown, state.queue, state.saved, state.standing)


def fold(state: SessionState, bodies: tuple[EventBody, ...]) -> SessionState:
    """Apply several events in order."""
    for body in bodies:
        state = evolve(state, body)
    return state


def grow(running: RunningTurn, body: EventBody) -> RunningTurn:
    """Apply an event of the running attempt."""
    match body:
        case TextAppended():
            growing = body.status is PartStatus.STREAMING
            part = OpenPart(body.message, body.part, body.type, body.offset + len(body.text)) if growing else None
            return RunningTurn(
                running.queued,
                running.attempt,
                max(running.messages, body.message + 1),
                part,
                running.calls,
                running.calls_total,
                running.prompts,
                running.prompts_total,
            )
        case ToolCalled():
            call = OpenCall(body.call, body.call_id, body.name)
            return attrs.evolve(
                running,
                calls=(*running.calls, call),
                calls_total=body.call + 1,
                messages=max(running.messages, body.message + 1),
            )
        case ToolEnded():
            calls = tuple(call for call in running.calls if call.call != body.call)
            return attrs.evolve(running, calls=calls, messages=max(running.messages, body.message + 1))
        case PromptOpened():
            opened = OpenPrompt(body.prompt, body.type, body.question, body.choices)
            return attrs.evolve(running, prompts=(*running.prompts, opened), prompts_total=body.prompt + 1)
        case PromptAnswered() | PromptClosed():
            prompts = tuple(item for item in running.prompts if item.prompt != body.prompt)
            return attrs.evolve(running, prompts=prompts)
        case _:
            return running
