"""Every command in every state, and every event in every state: what each comes to."""

from typing import get_args

import attrs
import pytest

from actors.core.commands import (
    Accept,
    Answer,
    Ask,
    Begin,
    Cancel,
    CloseChild,
    Command,
    Create,
    DropReminder,
    Edit,
    Emit,
    Expire,
    Finish,
    Migrate,
    QueueCommand,
    Recover,
    Remind,
    ReplaceState,
    ResetBudget,
    Retry,
    Seed,
    SetReminder,
)
from actors.core.decision import Policy
from actors.core.effects import Refusal
from actors.core.events import (
    AttemptInterrupted,
    AttemptSetAside,
    BudgetReset,
    EventBody,
    HistoryTruncated,
    MessageAccepted,
    MessageAdded,
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
    SeedPart,
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
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus
from actors.core.limits import Limits
from actors.core.session import decide
from actors.core.state import (
    OpenCall,
    OpenPart,
    OpenPrompt,
    QueuedTurn,
    RunningTurn,
    SessionState,
    Standing,
    evolve,
    fold,
)
from tests.core.bodies import KINDS
from tests.core.play import CHAT

NOW_S = 1000.0
FIRST = QueuedTurn(1, "m1", "hello", seq=2)
SECOND = QueuedTurn(2, "m2", "and?", seq=4)
HELD = OpenPrompt(1, 0, "recovery", "What now?", ("retry", "continue", "drop"))
IDLE = SessionState(CHAT, seq=8)
RUNNING = attrs.evolve(IDLE, turns=1, running=RunningTurn(FIRST, 1))


def running(**fields: object) -> SessionState:
    """Make a state in which turn 1 runs, with something open."""
    return attrs.evolve(RUNNING, running=RunningTurn(FIRST, 1, messages=1, **fields))  # type: ignore[arg-type]


STATES: dict[str, SessionState] = {
    "idle": IDLE,
    "queued": attrs.evolve(IDLE, turns=1, queue=(FIRST,)),
    "running": RUNNING,
    "crowded": attrs.evolve(RUNNING, turns=2, queue=(SECOND,)),
    "growing": running(part=OpenPart(0, 0, "thinking", 5)),
    "calling": running(calls=(OpenCall(0, "a", "find"), OpenCall(1, "a", "find")), calls_total=2),
    "asking": running(prompts=(OpenPrompt(1, 0, "choice", "Which?", ("yes", "no"), 999.0),), prompts_total=1),
    "unanswered": attrs.evolve(IDLE, turns=1, standing=Standing(prompts=(OpenPrompt(1, 0, "text", "Why?", ()),))),
    "held": attrs.evolve(IDLE, turns=1, queue=(attrs.evolve(FIRST, attempts=1),), standing=Standing(prompts=(HELD,))),
}
"""Every kind of state, by what is open in it; what is read back after a crash is one of these too."""

HELLO = Accept("m9", "hello")
SAID = TextAppended(1, 1, 0, 0, "text", 0, "Hi", PartStatus.STREAMING)

COMMANDS: dict[str, Command] = {
    "create": Create((Seed("s1", "system", (SeedPart("text", "Be brief."),)),)),
    "migrate": Migrate(ChatId("live:43")),
    "migrate to its own id": Migrate(CHAT),
    "accept": HELLO,
    "accept too late": Accept("m9", "hello", deadline_s=NOW_S),
    "begin": Begin(),
    "emit": Emit(1, 1, (SAID,)),
    "emit of another attempt": Emit(1, 2, (SAID,)),
    "emit of another turn": Emit(2, 1, (SAID,)),
    "ask": Ask(1, 1, "text", "Why?", (), (SAID,)),
    "ask of another attempt": Ask(1, 2, "text", "Why?", (), ()),
    "answer": Answer(1, 0, "yes"),
    "answer to drop": Answer(1, 0, "drop"),
    "answer to retry": Answer(1, 0, "retry"),
    "answer none of the choices": Answer(1, 0, "perhaps"),
    "answer another prompt": Answer(1, 1, "yes"),
    "answer another turn": Answer(2, 0, "yes"),
    "cancel the first": Cancel(1),
    "cancel the second": Cancel(2),
    "complete": Finish(1, 1, TurnStatus.COMPLETED, state="{}"),
    "fail": Finish(1, 1, TurnStatus.FAILED),
    "finish as cancelled": Finish(1, 1, TurnStatus.CANCELLED),
    "interrupt": Finish(1, 1, TurnStatus.INTERRUPTED, begin_next=False),
    "finish another attempt": Finish(1, 2, TurnStatus.COMPLETED),
    "fail and try again": Finish(1, 1, TurnStatus.FAILED, error="ValueError", again=True),
    "expire": Expire(1, 0),
    "reset the budget": ResetBudget(),
    "recover": Recover("mark", attempts_max=3),
    "recover and ask": Recover("ask", attempts_max=2),
    "recover and retry": Recover("retry", attempts_max=2),
    "recover and continue": Recover("continue", attempts_max=2),
    "recover with no attempt left": Recover("retry", attempts_max=1),
    "set a reminder": SetReminder("tea", "Drink.", NOW_S, 60.0, "one"),
    "drop a reminder": DropReminder("tea"),
    "remind": Remind(16),
    "close a child": CloseChild(),
    "replace the state": ReplaceState("7"),
}


def word(value: object) -> str:
    """Name an event or an effect, with its status if it has one."""
    name = type(value).__name__
    status = getattr(value, "status", None)
    return name if status is None else f"{name}:{status}"


def outcome_of(state: SessionState, command: Command, policy: Policy) -> str:
    """Write down what a command comes to: its events, its effects, and the status after them."""
    outcome = decide(state, command, policy, NOW_S)
    if isinstance(outcome, Refusal):
        return f"refused: {outcome.reason}"
    words = [*map(word, outcome.bodies), *(f"!{word(effect)}" for effect in outcome.effects)]
    return " ".join([*words, f"= {fold(state, outcome.bodies).status}"])


LATE = "refused: not_running"
UNKNOWN = "refused: prompt_unknown"
BEGUN = "refused: turn_running"

DECIDED: dict[str, tuple[str, ...]] = {
    "create": (
        "= idle",
        "= queued",
        *("= running",) * 3,
        "= waiting",
        "= waiting",
        "= idle",
        "= queued",
    ),
    "migrate": ("refused: conflict",) * 9,
    "migrate to its own id": (*(f"= {state.status}" for state in STATES.values()),),
    "accept": (
        "MessageAccepted TurnStarted !StartTurn = running",
        "MessageAccepted = queued",
        *("MessageAccepted = running",) * 3,
        "MessageAccepted = waiting",
        "MessageAccepted = waiting",
        "MessageAccepted TurnStarted !StartTurn = running",
        "MessageAccepted = queued",
    ),
    "accept too late": ("refused: expired",) * 9,
    "begin": (
        "= idle",
        "TurnStarted !StartTurn = running",
        *("= running",) * 3,
        "= waiting",
        "= waiting",
        "= idle",
        "= queued",
    ),
    "emit": (
        LATE,
        LATE,
        *("TextAppended:streaming = running",) * 3,
        "TextAppended:streaming = waiting",
        "TextAppended:streaming = waiting",
        LATE,
        LATE,
    ),
    "emit of another attempt": (LATE,) * 9,
    "emit of another turn": (LATE,) * 9,
    "ask": (LATE, LATE, *("TextAppended:streaming PromptOpened = waiting",) * 5, LATE, LATE),
    "ask of another attempt": (LATE,) * 9,
    "answer": (
        *(UNKNOWN,) * 6,
        "PromptAnswered !WakePrompt = running",
        "PromptAnswered MessageAccepted TurnStarted !StartTurn = running",
        "refused: invalid_payload",
    ),
    "answer to drop": (
        *(UNKNOWN,) * 6,
        "refused: invalid_payload",
        "PromptAnswered MessageAccepted TurnStarted !StartTurn = running",
        "PromptAnswered TurnEnded:cancelled = idle",
    ),
    "answer to retry": (
        *(UNKNOWN,) * 6,
        "refused: invalid_payload",
        "PromptAnswered MessageAccepted TurnStarted !StartTurn = running",
        "PromptAnswered AttemptSetAside TurnStarted !StartTurn = running",
    ),
    "answer none of the choices": (
        *(UNKNOWN,) * 6,
        "refused: invalid_payload",
        "PromptAnswered MessageAccepted TurnStarted !StartTurn = running",
        "refused: invalid_payload",
    ),
    "answer another prompt": (UNKNOWN,) * 9,
    "answer another turn": (UNKNOWN,) * 9,
    "cancel the first": (
        LATE,
        "TurnEnded:cancelled = idle",
        *(LATE,) * 6,
        "PromptClosed TurnEnded:cancelled = idle",
    ),
    "cancel the second": (
        *(LATE,) * 3,
        "TurnEnded:cancelled = running",
        *(LATE,) * 5,
    ),
    "complete": (
        LATE,
        LATE,
        "StateSaved TurnEnded:completed = idle",
        "StateSaved TurnEnded:completed TurnStarted !StartTurn = running",
        "TextAppended:complete StateSaved TurnEnded:completed = idle",
        "ToolEnded:cancelled ToolEnded:cancelled StateSaved TurnEnded:completed = idle",
        "PromptClosed StateSaved TurnEnded:completed = idle",
        LATE,
        LATE,
    ),
    "fail": (
        LATE,
        LATE,
        "TurnEnded:failed = idle",
        "TurnEnded:failed TurnStarted !StartTurn = running",
        "TextAppended:cut TurnEnded:failed = idle",
        "ToolEnded:error ToolEnded:error TurnEnded:failed = idle",
        "PromptClosed TurnEnded:failed = idle",
        LATE,
        LATE,
    ),
    "finish as cancelled": (
        LATE,
        LATE,
        "TurnEnded:cancelled = idle",
        "TurnEnded:cancelled TurnStarted !StartTurn = running",
        "TextAppended:cut TurnEnded:cancelled = idle",
        "ToolEnded:cancelled ToolEnded:cancelled TurnEnded:cancelled = idle",
        "PromptClosed TurnEnded:cancelled = idle",
        LATE,
        LATE,
    ),
    "interrupt": (
        LATE,
        LATE,
        "TurnEnded:interrupted = idle",
        "TurnEnded:interrupted = queued",
        "TextAppended:cut TurnEnded:interrupted = idle",
        "ToolEnded:interrupted ToolEnded:interrupted TurnEnded:interrupted = idle",
        "TurnEnded:interrupted = idle",
        LATE,
        LATE,
    ),
    "finish another attempt": (LATE,) * 9,
    "fail and try again": (
        LATE,
        LATE,
        "AttemptInterrupted = queued",
        "AttemptInterrupted = queued",
        "TextAppended:cut AttemptInterrupted = queued",
        "ToolEnded:error ToolEnded:error AttemptInterrupted = queued",
        "AttemptInterrupted = queued",
        LATE,
        LATE,
    ),
    "expire": (
        "= idle",
        "= queued",
        *("= running",) * 3,
        "= waiting",
        "PromptExpired !WakePrompt = running",
        "= idle",
        "= queued",
    ),
    "reset the budget": (*(f"BudgetReset = {state.status}" for state in STATES.values()),),
    "recover": (
        "= idle",
        "= queued",
        "TurnEnded:interrupted = idle",
        "TurnEnded:interrupted = queued",
        "TextAppended:cut TurnEnded:interrupted = idle",
        "ToolEnded:interrupted ToolEnded:interrupted TurnEnded:interrupted = idle",
        "TurnEnded:interrupted = idle",
        "= idle",
        "= queued",
    ),
    "recover and ask": (
        "= idle",
        "= queued",
        "PromptOpened AttemptInterrupted = queued",
        "PromptOpened AttemptInterrupted = queued",
        "TextAppended:cut PromptOpened AttemptInterrupted = queued",
        "ToolEnded:interrupted ToolEnded:interrupted PromptOpened AttemptInterrupted = queued",
        "PromptOpened AttemptInterrupted = queued",
        "= idle",
        "= queued",
    ),
    "recover and retry": (
        "= idle",
        "= queued",
        "AttemptInterrupted = queued",
        "AttemptInterrupted = queued",
        "TextAppended:cut AttemptInterrupted = queued",
        "ToolEnded:interrupted ToolEnded:interrupted AttemptInterrupted = queued",
        "AttemptInterrupted = queued",
        "= idle",
        "= queued",
    ),
    "recover and continue": (
        "= idle",
        "= queued",
        "AttemptInterrupted = queued",
        "AttemptInterrupted = queued",
        "TextAppended:cut AttemptInterrupted = queued",
        "ToolEnded:interrupted ToolEnded:interrupted AttemptInterrupted = queued",
        "AttemptInterrupted = queued",
        "= idle",
        "= queued",
    ),
    "recover with no attempt left": (
        "= idle",
        "= queued",
        "TurnEnded:interrupted = idle",
        "TurnEnded:interrupted = queued",
        "TextAppended:cut TurnEnded:interrupted = idle",
        "ToolEnded:interrupted ToolEnded:interrupted TurnEnded:interrupted = idle",
        "PromptClosed TurnEnded:interrupted = idle",
        "= idle",
        "= queued",
    ),
    "set a reminder": (
        "ReminderSet = idle",
        "ReminderSet = queued",
        "ReminderSet = running",
        "ReminderSet = running",
        "ReminderSet = running",
        "ReminderSet = waiting",
        "ReminderSet = waiting",
        "ReminderSet = idle",
        "ReminderSet = queued",
    ),
    "drop a reminder": (LATE,) * 9,
    "remind": (*(f"= {state.status}" for state in STATES.values()),),
    "close a child": (*(f"= {state.status}" for state in STATES.values()),),
    "replace the state": tuple("refused: busy" if s.running else f"StateSaved = {s.status}" for s in STATES.values()),
}
"""What each command comes to, in the order of ``STATES``: events, !effects, = the status after them."""

CELLS = [
    (command, state, expected) for command, row in DECIDED.items() for state, expected in zip(STATES, row, strict=True)
]

REFUSED_WHEN_BUSY = (
    "MessageAccepted TurnStarted !StartTurn = running",
    *("refused: busy",) * 6,
    "MessageAccepted TurnStarted !StartTurn = running",
    "refused: busy",
)
REFUSED_WHEN_FULL = (
    "MessageAccepted TurnStarted !StartTurn = running",
    "refused: queue_full",
    "MessageAccepted = running",
    "refused: queue_full",
    "MessageAccepted = running",
    "MessageAccepted = waiting",
    "MessageAccepted = waiting",
    "MessageAccepted TurnStarted !StartTurn = running",
    "refused: queue_full",
)

EVOLVED: tuple[tuple[EventBody, str], ...] = (
    (SessionCreated(), "idle queued running running running waiting waiting idle queued"),
    (SessionMigrated(CHAT, ChatId("live:43")), "idle queued running running running waiting waiting idle queued"),
    (MessageAdded("s1", "system", ()), "idle queued running running running waiting waiting idle queued"),
    (MessageAccepted("m3", 3, "hello"), "queued queued running running running waiting waiting queued queued"),
    (TurnStarted(1, 1), "idle running running running running waiting waiting idle waiting"),
    (AttemptInterrupted(1, 1), "idle queued queued queued queued queued queued idle queued"),
    (AttemptSetAside(1, 1), "idle queued running running running waiting waiting idle queued"),
    (SAID, "idle queued running running running waiting waiting idle queued"),
    (ToolCalled(1, 1, 0, 1, 2, "b", "find", "{}"), "idle queued waiting waiting waiting waiting waiting idle queued"),
    (ToolEnded(1, 1, 1, 0, ToolStatus.OK, "found"), "idle queued running running running waiting waiting idle queued"),
    (PromptOpened(1, 1, 1, "text", "Why?"), "idle queued waiting waiting waiting waiting waiting idle queued"),
    (PromptAnswered(1, 0, "yes"), "idle queued running running running waiting running idle queued"),
    (PromptExpired(1, 0), "idle queued running running running waiting running idle queued"),
    (PromptClosed(1, 0), "idle queued running running running waiting running idle queued"),
    (UsageAdded(1, 5, 7), "idle queued running running running waiting waiting idle queued"),
    (BudgetReset(1), "idle queued running running running waiting waiting idle queued"),
    (StateSaved(1, "{}"), "idle queued running running running waiting waiting idle queued"),
    (ParentEnded(), "idle queued running running running waiting waiting idle queued"),
    (ReminderSet("tea", "Drink.", NOW_S), "idle queued running running running waiting waiting idle queued"),
    (ReminderDropped("tea"), "idle queued running running running waiting waiting idle queued"),
    (ReminderFired("tea", 0, NOW_S), "idle queued running running running waiting waiting idle queued"),
    (ReminderSkipped("tea", 3, 4), "idle queued running running running waiting waiting idle queued"),
    (TurnEnded(1, 1, TurnStatus.COMPLETED), "idle idle idle queued idle idle idle idle idle"),
    (TurnEnded(2, 0, TurnStatus.CANCELLED), "idle queued running running running waiting waiting idle queued"),
    (MessageAccepted("m4", 1, "or", joined="steer"), "idle queued running running running waiting waiting idle queued"),
    (
        MessageAccepted("m4", 3, "or", moved_from=1),
        "queued queued running running running waiting waiting queued queued",
    ),
    (MessageSteered(1, 1, 0, "m4"), "idle queued running running running waiting waiting idle queued"),
    (TurnSuperseded(1, 1), "idle queued running running running waiting waiting idle queued"),
    (QueuePaused(), "idle queued running running running waiting waiting idle queued"),
    (QueueResumed(), "idle queued running running running waiting waiting idle queued"),
    (QueuedEdited(1, "m1", "hello!"), "idle queued running running running waiting waiting idle queued"),
    (QueueReordered((2, 1), (1, 2)), "idle queued running running running waiting waiting idle queued"),
    (HistoryTruncated(1, 1, 2), "idle queued running running running waiting waiting idle queued"),
)
"""The status after each event, in the order of ``STATES``; every event is counted everywhere."""


def test_the_matrix_has_a_cell_for_every_command_in_every_state() -> None:
    """A command or an event that is added must be given its row."""
    assert list(DECIDED) == list(COMMANDS)
    elsewhere = {*get_args(QueueCommand), Retry, Edit}  # in the matrix of the queue
    assert {type(command) for command in COMMANDS.values()} | elsewhere == set(get_args(Command))
    assert {type(body) for body, _ in EVOLVED} == set(KINDS)


@pytest.mark.parametrize(("command", "state", "expected"), CELLS)
def test_a_command_comes_to_what_the_matrix_says(command: str, state: str, expected: str) -> None:
    """Events, effects and the status after them, or the reason of a refusal."""
    assert outcome_of(STATES[state], COMMANDS[command], Policy(Limits())) == expected


@pytest.mark.parametrize(("state", "expected"), list(zip(STATES, REFUSED_WHEN_BUSY, strict=True)))
def test_under_reject_a_message_is_refused_while_anything_is_open(state: str, expected: str) -> None:
    """A turn that runs or waits to run makes the session busy."""
    assert outcome_of(STATES[state], HELLO, Policy(Limits(), overlap="reject")) == expected


@pytest.mark.parametrize(("state", "expected"), list(zip(STATES, REFUSED_WHEN_FULL, strict=True)))
def test_a_message_is_refused_when_the_queue_is_full(state: str, expected: str) -> None:
    """The turn that runs does not count, those that wait do."""
    assert outcome_of(STATES[state], HELLO, Policy(Limits(queue_turns_max=1))) == expected


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("body", "expected"), EVOLVED, ids=lambda value: type(value).__name__)
def test_an_event_makes_of_a_state_what_the_matrix_says(body: EventBody, expected: str, state: str) -> None:
    """Every event is counted, also one that says nothing to this state."""
    after = evolve(STATES[state], body)
    assert after.seq == STATES[state].seq + 1
    assert after.status == dict(zip(STATES, expected.split(), strict=True))[state]


def test_a_session_is_created_once_with_its_seeds() -> None:
    """The first ``Create`` brings the session and its seeds into being; the matrix shows that a second does nothing."""
    assert outcome_of(SessionState(CHAT), COMMANDS["create"], Policy(Limits())) == "SessionCreated MessageAdded = idle"
