"""One session as a value: ``decide`` says what a command comes to, ``evolve`` what an event makes of the state.

``decide`` may refuse and never changes anything; ``evolve`` never fails. The state holds only what is open (the
running turn, the queue, the agent's own state), so its size and the cost of a turn do not grow with the history.
"""

from typing import assert_never

import attrs

from actors.core.commands import (
    SEALED_CONTENT,
    Accept,
    Answer,
    Ask,
    Begin,
    Cancel,
    Command,
    Create,
    Emit,
    Finish,
    Recover,
)
from actors.core.effects import Effect, Refusal, StartTurn, WakePrompt
from actors.core.events import (
    AttemptInterrupted,
    EventBody,
    MessageAccepted,
    MessageAdded,
    PartKind,
    PromptAnswered,
    PromptClosed,
    PromptOpened,
    SessionCreated,
    StateSaved,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
    TurnStarted,
)
from actors.core.ids import ChatId, DropReason
from actors.core.lifecycle import ATTEMPT_ENDS, PartStatus, ToolStatus, TurnStatus
from actors.core.limits import Limits

_STREAMING = PartStatus.STREAMING


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
class SessionState:
    """Everything a session must know to decide; ``seq`` is the number of its last event, 0 before creation."""

    chat_id: ChatId
    seq: int = 0
    turns: int = 0
    running: RunningTurn | None = None
    queue: tuple[QueuedTurn, ...] = ()
    saved: str | None = None

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


def decide(state: SessionState, command: Command, policy: Policy, now_s: float) -> Decision | Refusal:
    """Say what a command comes to in this state; ``now_s`` is wall time in seconds."""
    match command:
        case Accept():
            return _accept(state, command, policy, now_s)
        case Emit():
            return _refuse_late(state, command.turn, command.attempt) or Decision(command.bodies)
        case Finish():
            return _finish(state, command, now_s)
        case Begin():
            return Decision(*_begin(state.queue, now_s)) if state.running is None else Decision(())
        case Ask():
            return _ask(state, command)
        case Answer():
            return _answer(state, command)
        case Cancel():
            return _cancel(state, command)
        case Recover():
            return _recover(state, command)
        case Create():
            return _create(state, command)
    assert_never(command)


def evolve(state: SessionState, body: EventBody) -> SessionState:
    """Apply one event; every event counts, whether or not it changes anything else."""
    seq = state.seq + 1
    running = state.running
    match body:
        case MessageAccepted():
            queued = QueuedTurn(body.turn, body.message_id, body.text, body.sender, body.deadline_s, 0, seq)
            return SessionState(
                state.chat_id, seq, max(state.turns, body.turn), running, (*state.queue, queued), state.saved
            )
        case TurnStarted():
            queue = state.queue
            if queue and queue[0].turn == body.turn:
                begun = RunningTurn(queue[0], body.attempt, prompts_total=queue[0].prompts)
                return SessionState(state.chat_id, seq, state.turns, begun, queue[1:], state.saved)
            return attrs.evolve(state, seq=seq)  # no decision says so: only the first in the queue starts
        case TurnEnded():
            queue = state.queue
            if queue:
                queue = tuple([item for item in queue if item.turn != body.turn])
            left = None if running is not None and running.turn == body.turn else running
            return SessionState(state.chat_id, seq, state.turns, left, queue, state.saved)
        case AttemptInterrupted() if running is not None:
            again = attrs.evolve(running.queued, attempts=body.attempt, prompts=running.prompts_total)
            return attrs.evolve(state, seq=seq, running=None, queue=(again, *state.queue))
        case StateSaved():
            return attrs.evolve(state, seq=seq, saved=body.state)
        case SessionCreated() | MessageAdded():
            return attrs.evolve(state, seq=seq)
        case _:
            grown = None if running is None else _evolve_running(running, body)
            return SessionState(state.chat_id, seq, state.turns, grown, state.queue, state.saved)


def fold(state: SessionState, bodies: tuple[EventBody, ...]) -> SessionState:
    """Apply several events in order."""
    for body in bodies:
        state = evolve(state, body)
    return state


def _evolve_running(running: RunningTurn, body: EventBody) -> RunningTurn:
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


def _accept(state: SessionState, command: Accept, policy: Policy, now_s: float) -> Decision | Refusal:
    """Give a message its turn: at once if nothing is before it, else as the overlap policy says."""
    if command.deadline_s is not None and command.deadline_s <= now_s:
        return Refusal(DropReason.EXPIRED, "its deadline had passed before it was accepted")
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
    late = _refuse_late(state, command.turn, command.attempt)
    if late is not None:
        return late
    assert state.running is not None, "a turn that is not late is running"
    assert command.status in ATTEMPT_ENDS, f"a turn that runs cannot become {command.status}"
    # Seals are numbered after everything the attempt said, the last words included.
    running = state.running
    bodies = list(command.bodies)
    if running.part or running.calls or running.prompts or not _is_settled(command.bodies):
        for body in command.bodies:
            running = _evolve_running(running, body)
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


def _ask(state: SessionState, command: Ask) -> Decision | Refusal:
    """Open a prompt of the running turn."""
    late = _refuse_late(state, command.turn, command.attempt)
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


def _answer(state: SessionState, command: Answer) -> Decision | Refusal:
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
    return Decision((SessionCreated(), *added))


def _refuse_late(state: SessionState, turn: int, attempt: int) -> Refusal | None:
    """Refuse what does not come from the attempt that is running."""
    running = state.running
    if running is None or running.queued.turn != turn or running.attempt != attempt:
        return Refusal(DropReason.NOT_RUNNING, f"turn {turn} attempt {attempt} is not running")
    return None
