"""What is open in a session as a value, and ``evolve``: what an event makes of it.

``evolve`` never fails. The state holds only what is open (the running turn, the queue, the agent's own state), so its
size and the cost of a turn do not grow with the history.
"""

import attrs

from actors.core.commands import Parent
from actors.core.events import (
    AttemptInterrupted,
    AttemptSetAside,
    BudgetReset,
    EventBody,
    HistoryTruncated,
    MessageAccepted,
    MessageSteered,
    ParentEnded,
    PromptAnswered,
    PromptClosed,
    PromptExpired,
    PromptOpened,
    QueuedEdited,
    QueuePaused,
    QueueReordered,
    QueueResumed,
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
    TurnSuperseded,
    UsageAdded,
)
from actors.core.ids import ChatId
from actors.core.lifecycle import PartStatus
from actors.core.reminder import Reminder, evolve_reminders, first_due_s
from actors.core.spending import NOTHING_SPENT, Usage
from actors.core.turns import (
    NOTHING_KNOWN,
    ROLLED_BACK,
    SUPERSEDED,
    Background,
    OpenCall,
    OpenPart,
    OpenPrompt,
    QueuedTurn,
    Recorded,
    RunningTurn,
    UserMessage,
)

__all__ = [
    "NOTHING_KNOWN",
    "ROLLED_BACK",
    "SUPERSEDED",
    "Background",
    "OpenCall",
    "OpenPart",
    "OpenPrompt",
    "QueuedTurn",
    "Recorded",
    "RunningTurn",
    "SessionState",
    "Standing",
    "UserMessage",
    "due_s_of",
    "evolve",
    "fold",
    "grow",
    "is_held",
    "opened_by",
    "record",
]  # fmt: skip


@attrs.frozen
class Standing:
    """What stands in a session beside its turns, and seldom changes.

    It is one value of its own so that the events of a turn, which are many, carry it along untouched. ``overlap`` is
    what the session itself says about a message that finds a turn running; empty means that its agent decides.
    ``reminders`` stand in the order in which they were set. ``parent`` is there in a session that a turn spawned;
    ``closed`` once that turn has ended. ``prompts`` are the open questions of turns that do not run: their process
    ended before anybody answered. They are ordered by turn and number. ``usage`` is what the session has spent.
    """

    overlap: str = ""
    paused: bool = False
    reminders: tuple[Reminder, ...] = ()
    parent: Parent | None = None
    closed: bool = False
    prompts: tuple[OpenPrompt, ...] = ()
    usage: Usage = NOTHING_SPENT


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

    @property
    def open_prompts(self) -> tuple[OpenPrompt, ...]:
        """Every question that may be answered now, those of turns that do not run first."""
        own = () if self.running is None else self.running.prompts
        return (*self.standing.prompts, *own)


def due_s_of(state: SessionState) -> float | None:
    """Say when something falls due in a session next, by wall time: a reminder, or a question that expires."""
    due_s = first_due_s(state.standing.reminders)
    for prompt in state.open_prompts:
        if prompt.expires_at_s is not None and (due_s is None or prompt.expires_at_s < due_s):
            due_s = prompt.expires_at_s
    return due_s


def is_held(state: SessionState, turn: int) -> bool:
    """Say whether a turn waits for a person who says what is to become of it."""
    return any(prompt.turn == turn and prompt.type == "recovery" for prompt in state.standing.prompts)


def evolve(state: SessionState, body: EventBody) -> SessionState:
    """Apply one event; every event counts, whether or not it changes anything else."""
    seq = state.seq + 1
    running = state.running
    match body:
        case MessageAccepted():
            turn = body.turn
            if body.joined:
                return _join(state, seq, body)
            known = NOTHING_KNOWN if body.answers is None else Background(body.answers)
            queued = QueuedTurn(
                turn, body.message_id, body.text, body.sender, body.deadline_s, 0, seq, 0, known, (), turn
            )
            return SessionState(
                state.chat_id,
                seq,
                max(state.turns, turn),
                running,
                (*state.queue, queued),
                state.saved,
                state.standing,
            )
        case TurnStarted():
            queue = state.queue
            if queue and queue[0].turn == body.turn:
                begun = RunningTurn(queue[0], body.attempt, prompts_total=queue[0].prompts)
                after = SessionState(state.chat_id, seq, state.turns, begun, queue[1:], state.saved, state.standing)
                return _resumed(after, begun) if queue[0].attempts else after
            return attrs.evolve(state, seq=seq)  # no decision says so: only the first in the queue starts
        case TurnEnded():
            queue = state.queue
            if queue:
                queue = tuple([item for item in queue if item.turn != body.turn])
            left, standing = running, state.standing
            if running is not None and running.turn == body.turn:
                left = None
                if running.prompts:
                    standing = _detached(standing, running.prompts)
            return SessionState(state.chat_id, seq, state.turns, left, queue, state.saved, standing)
        case TextAppended() | ToolCalled() | ToolEnded() | MessageSteered() | TurnSuperseded():
            grown = None if running is None else grow(running, body)
            return SessionState(state.chat_id, seq, state.turns, grown, state.queue, state.saved, state.standing)
        case AttemptInterrupted() if running is not None:
            queue = (_interrupted(running, body), *state.queue)
            standing = _detached(state.standing, running.prompts)
            return attrs.evolve(state, seq=seq, running=None, queue=queue, standing=standing)
        case AttemptSetAside():
            queue = tuple(_without_words(item) if item.turn == body.turn else item for item in state.queue)
            return attrs.evolve(state, seq=seq, queue=queue)
        case StateSaved():
            return attrs.evolve(state, seq=seq, saved=body.state)
        case SessionMigrated() | HistoryTruncated():
            return _altered(state, seq, body)
        case QueuePaused() | QueueResumed() | QueuedEdited() | QueueReordered():
            return _controlled(state, seq, body)
        case SessionCreated():
            parent = Parent(ChatId(body.parent), body.parent_turn, body.depth, body.name) if body.parent else None
            return attrs.evolve(
                state, seq=seq, standing=attrs.evolve(state.standing, parent=parent, overlap=body.overlap)
            )
        case ParentEnded():
            return attrs.evolve(state, seq=seq, standing=attrs.evolve(state.standing, closed=True))
        case ReminderSet() | ReminderDropped() | ReminderFired() | ReminderSkipped():
            reminders = evolve_reminders(state.standing.reminders, body, seq)
            return attrs.evolve(state, seq=seq, standing=attrs.evolve(state.standing, reminders=reminders))
        case UsageAdded() | BudgetReset():
            return attrs.evolve(state, seq=seq, standing=_used(state.standing, body))
        case PromptOpened() | PromptAnswered() | PromptExpired() | PromptClosed():
            return _asked(attrs.evolve(state, seq=seq), body)
        case _:
            return attrs.evolve(state, seq=seq)


def _join(state: SessionState, seq: int, body: MessageAccepted) -> SessionState:
    """Let a message come into a turn that is there: the running one, or one that waits."""
    message = UserMessage(body.message_id, body.text, body.sender, body.deadline_s, seq)
    running = state.running
    if running is not None and running.turn == body.turn:
        return attrs.evolve(state, seq=seq, running=attrs.evolve(running, steering=(*running.steering, message)))
    queue = tuple(
        attrs.evolve(item, more=(*item.more, message)) if item.turn == body.turn else item for item in state.queue
    )
    return attrs.evolve(state, seq=seq, queue=queue)


def _altered(state: SessionState, seq: int, body: SessionMigrated | HistoryTruncated) -> SessionState:
    """Give a session another id, or another past."""
    if isinstance(body, SessionMigrated):
        return attrs.evolve(state, seq=seq, chat_id=body.new_id)
    return attrs.evolve(state, seq=seq, saved=body.state, running=_cut(state.running, body))


def _cut(running: RunningTurn | None, body: HistoryTruncated) -> RunningTurn | None:
    """Let what the running turn was handed share its fate, if it stands behind a cut."""
    if running is None or running.queued.place < body.place or not running.steering:
        return running
    queued = attrs.evolve(running.queued, more=(*running.queued.more, *running.steering))
    return attrs.evolve(running, queued=queued, steering=())


def _controlled(
    state: SessionState, seq: int, body: QueuePaused | QueueResumed | QueuedEdited | QueueReordered
) -> SessionState:
    """Apply what a person has done to the queue."""
    if isinstance(body, QueuedEdited | QueueReordered):
        return attrs.evolve(state, seq=seq, queue=_rearranged(state.queue, body))
    return attrs.evolve(state, seq=seq, standing=attrs.evolve(state.standing, paused=type(body) is QueuePaused))


def _rearranged(queue: tuple[QueuedTurn, ...], body: QueuedEdited | QueueReordered) -> tuple[QueuedTurn, ...]:
    """Apply to the queue what was done to turns that wait."""
    if isinstance(body, QueueReordered):
        places = dict(zip(body.turns, body.places, strict=False))
        moved = (attrs.evolve(item, place=places.get(item.turn, item.place)) for item in queue)
        return tuple(sorted(moved, key=lambda item: item.place))
    return tuple(_edited(item, body) if item.turn == body.turn else item for item in queue)


def _edited(item: QueuedTurn, body: QueuedEdited) -> QueuedTurn:
    """Replace the text of one of a turn's messages."""
    if item.message_id == body.message_id:
        return attrs.evolve(item, text=body.text)
    more = (
        attrs.evolve(message, text=body.text) if message.message_id == body.message_id else message
        for message in item.more
    )
    return attrs.evolve(item, more=tuple(more))


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
                running.steering,
                running.steered,
                running.ending,
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
            return attrs.evolve(running, prompts=(*running.prompts, opened_by(body)), prompts_total=body.prompt + 1)
        case PromptAnswered() | PromptExpired() | PromptClosed():
            prompts = tuple(item for item in running.prompts if item.prompt != body.prompt)
            queued = _recorded(running.queued, running.prompts, body)
            return attrs.evolve(running, prompts=prompts, queued=queued)
        case MessageSteered():
            steered = tuple(message for message in running.steering if message.message_id == body.message_id)
            return attrs.evolve(
                running,
                steering=tuple(message for message in running.steering if message.message_id != body.message_id),
                steered=(*running.steered, *steered),
                messages=max(running.messages, body.message + 1),
            )
        case TurnSuperseded():
            return attrs.evolve(running, ending=ROLLED_BACK if body.hidden else SUPERSEDED)
        case _:
            return running


def _used(standing: Standing, body: UsageAdded | BudgetReset) -> Standing:
    """Count what was spent, or begin anew."""
    if isinstance(body, BudgetReset):
        return attrs.evolve(standing, usage=Usage(turns_before=body.turns))
    return attrs.evolve(standing, usage=standing.usage.plus(Usage(body.tokens, body.cost_millionths)))


def opened_by(body: PromptOpened) -> OpenPrompt:
    """Say what an event opened."""
    return OpenPrompt(body.turn, body.prompt, body.type, body.question, body.choices, body.expires_at_s, body.default)


def record(item: QueuedTurn, prompt: OpenPrompt, answer: str) -> QueuedTurn:
    """Remember the answer to a question of a turn, so that a later attempt need not ask it again."""
    recorded = Recorded(prompt.prompt, prompt.type, prompt.question, prompt.choices, answer)
    background = attrs.evolve(item.background, recorded=(*item.background.recorded, recorded))
    return attrs.evolve(item, background=background)


def _recorded(
    item: QueuedTurn, prompts: tuple[OpenPrompt, ...], body: PromptAnswered | PromptExpired | PromptClosed
) -> QueuedTurn:
    """Remember what a prompt came to, if it came to an answer."""
    prompt = next((prompt for prompt in prompts if (prompt.turn, prompt.prompt) == (body.turn, body.prompt)), None)
    if prompt is None or isinstance(body, PromptClosed) or body.answer is None or prompt.type == "recovery":
        return item
    return record(item, prompt, body.answer)


def _asked(state: SessionState, body: PromptOpened | PromptAnswered | PromptExpired | PromptClosed) -> SessionState:
    """Apply what becomes of a prompt: of the turn that runs, or of one that does not."""
    running = state.running
    if running is not None and running.turn == body.turn:
        return attrs.evolve(state, running=grow(running, body))
    if isinstance(body, PromptOpened):
        return state  # no decision says so: only what runs is asked about
    prompts = state.standing.prompts
    queue = tuple(_recorded(item, prompts, body) if item.turn == body.turn else item for item in state.queue)
    left = tuple(prompt for prompt in prompts if (prompt.turn, prompt.prompt) != (body.turn, body.prompt))
    return attrs.evolve(state, queue=queue, standing=attrs.evolve(state.standing, prompts=left))


def _detached(standing: Standing, prompts: tuple[OpenPrompt, ...]) -> Standing:
    """Keep the questions of a turn that does not run any more."""
    if not prompts:
        return standing
    kept = sorted((*standing.prompts, *prompts), key=lambda prompt: (prompt.turn, prompt.prompt))
    return attrs.evolve(standing, prompts=tuple(kept))


def _interrupted(running: RunningTurn, body: AttemptInterrupted) -> QueuedTurn:
    """Queue a turn again whose attempt was interrupted, with what it said or without."""
    again = attrs.evolve(running.queued, attempts=body.attempt, prompts=running.prompts_total)
    if not body.keep:
        if running.steered or running.steering:
            again = attrs.evolve(again, more=_by_seq(*again.more, *running.steered, *running.steering))
        return _without_words(again)
    first = again.background.first_attempt or body.attempt
    background = attrs.evolve(
        again.background,
        first_attempt=first,
        messages=running.messages,
        calls=running.calls_total,
        steered=running.steered,
    )
    return attrs.evolve(again, more=(*again.more, *running.steering), background=background)


def _without_words(item: QueuedTurn) -> QueuedTurn:
    """Let a turn begin anew."""
    known = item.background
    if not known.first_attempt:
        return item
    background = attrs.evolve(known, first_attempt=0, messages=0, calls=0, steered=())
    return attrs.evolve(item, more=_by_seq(*item.more, *known.steered), background=background)


def _by_seq(*messages: UserMessage) -> tuple[UserMessage, ...]:
    """Put messages in the order of their acceptance, in whichever order they were taken."""
    return tuple(sorted(messages, key=lambda message: message.seq))


def _resumed(state: SessionState, running: RunningTurn) -> SessionState:
    """Give a turn that runs again what its earlier attempts left to it: their words, and their questions."""
    kept = running.queued.background
    queued = running.queued
    if kept.steered:
        queued = attrs.evolve(queued, background=attrs.evolve(kept, steered=()))
    running = attrs.evolve(running, queued=queued, messages=kept.messages, calls_total=kept.calls, steered=kept.steered)
    prompts = state.standing.prompts
    if not prompts:
        return attrs.evolve(state, running=running)
    own = tuple(prompt for prompt in prompts if prompt.turn == running.turn)
    left = tuple(prompt for prompt in prompts if prompt.turn != running.turn)
    return attrs.evolve(
        state, running=attrs.evolve(running, prompts=own), standing=attrs.evolve(state.standing, prompts=left)
    )
