"""Every command in the states that overlap and the control of the queue bring about."""

from typing import get_args

import attrs
import pytest

from actors.core.commands import (
    Accept,
    Clear,
    Command,
    Edit,
    EditQueued,
    Pause,
    QueueCommand,
    Reorder,
    Resume,
    Retry,
    Skip,
)
from actors.core.decision import Policy
from actors.core.limits import Limits
from actors.core.state import QueuedTurn, RunningTurn, SessionState, Standing, UserMessage
from tests.core.test_session_matrix import BEGUN, COMMANDS, FIRST, IDLE, LATE, RUNNING, SECOND, outcome_of
from tests.core.test_session_matrix import STATES as PLAIN

THIRD = QueuedTurn(3, "m3", "or?", seq=6)
AGAIN = QueuedTurn(1, "m1", "hello", attempts=1, seq=2)
ASIDE = UserMessage("m4", "rather", seq=7)
PAUSED = Standing(paused=True)

STATES: dict[str, SessionState] = {
    "paused": attrs.evolve(IDLE, turns=3, queue=(SECOND, THIRD), standing=PAUSED),
    "paused while a turn runs": attrs.evolve(RUNNING, turns=3, queue=(SECOND, THIRD), standing=PAUSED),
    "reordered": attrs.evolve(RUNNING, turns=3, queue=(attrs.evolve(THIRD, place=2), attrs.evolve(SECOND, place=3))),
    "begun before": attrs.evolve(IDLE, turns=2, queue=(AGAIN, SECOND)),
    "steered": attrs.evolve(RUNNING, running=RunningTurn(FIRST, 1, steering=(ASIDE,))),
    "superseded": attrs.evolve(
        RUNNING, turns=2, queue=(SECOND,), running=RunningTurn(FIRST, 1, ending="superseded", steering=(ASIDE,))
    ),
    "rolled back": attrs.evolve(RUNNING, turns=2, queue=(SECOND,), running=RunningTurn(FIRST, 1, ending="rolled_back")),
}
"""What the plain queue never comes to."""

CONTROLS: dict[str, Command] = {
    "pause": Pause(),
    "resume": Resume(),
    "edit the first": EditQueued(1, "hello!"),
    "edit the second": EditQueued(2, "and!", "m2"),
    "edit another message": EditQueued(2, "and!", "m1"),
    "reorder the first and the second": Reorder((2, 1)),
    "reorder the second": Reorder((2,)),
    "reorder one twice": Reorder((2, 2)),
    "clear": Clear(),
    "skip": Skip(),
    "retry": Retry(1, (Accept("retry/1", "hello"), Accept("retry/1/1", "and?"))),
    "edit from the first": Edit(1, 1, Accept("m9", "hello")),
}
"""What a person may ask of the queue."""

ALL: dict[str, SessionState] = {**PLAIN, **STATES}

CONTROLLED: dict[str, dict[str, str]] = {
    "pause": {
        **dict.fromkeys(("idle", "unanswered"), "QueuePaused = idle"),
        **dict.fromkeys(("queued", "held", "begun before"), "QueuePaused = queued"),
        **dict.fromkeys(
            ("running", "crowded", "growing", "reordered", "steered", "superseded", "rolled back"),
            "QueuePaused = running",
        ),
        **dict.fromkeys(("calling", "asking"), "QueuePaused = waiting"),
        "paused": "= queued",
        "paused while a turn runs": "= running",
    },
    "resume": {
        **dict.fromkeys(("idle", "unanswered"), "= idle"),
        **dict.fromkeys(("queued", "held", "begun before"), "= queued"),
        **dict.fromkeys(
            ("running", "crowded", "growing", "reordered", "steered", "superseded", "rolled back"), "= running"
        ),
        **dict.fromkeys(("calling", "asking"), "= waiting"),
        "paused": "QueueResumed = queued",
        "paused while a turn runs": "QueueResumed = running",
    },
    "edit the first": {
        **dict.fromkeys(ALL, BEGUN),
        **dict.fromkeys(("idle", "unanswered", "paused"), LATE),
        "queued": "QueuedEdited = queued",
    },
    "edit the second": {
        **dict.fromkeys(ALL, LATE),
        **dict.fromkeys(
            ("crowded", "paused while a turn runs", "reordered", "superseded", "rolled back"), "QueuedEdited = running"
        ),
        **dict.fromkeys(("paused", "begun before"), "QueuedEdited = queued"),
    },
    "edit another message": {
        **dict.fromkeys(ALL, LATE),
    },
    "reorder the first and the second": {
        **dict.fromkeys(ALL, LATE),
        **dict.fromkeys(
            ("crowded", "paused while a turn runs", "reordered", "begun before", "superseded", "rolled back"), BEGUN
        ),
    },
    "reorder the second": {
        **dict.fromkeys(ALL, LATE),
        **dict.fromkeys(("crowded", "paused while a turn runs", "reordered", "superseded", "rolled back"), "= running"),
        **dict.fromkeys(("paused", "begun before"), "= queued"),
    },
    "reorder one twice": {
        **dict.fromkeys(ALL, "refused: invalid_payload"),
    },
    "clear": {
        **dict.fromkeys(("idle", "unanswered"), "= idle"),
        "queued": "TurnEnded:cancelled = idle",
        **dict.fromkeys(("running", "growing", "steered"), "= running"),
        **dict.fromkeys(("crowded", "superseded", "rolled back"), "TurnEnded:cancelled = running"),
        **dict.fromkeys(("calling", "asking"), "= waiting"),
        "held": "PromptClosed TurnEnded:cancelled = idle",
        **dict.fromkeys(("paused", "begun before"), "TurnEnded:cancelled TurnEnded:cancelled = idle"),
        **dict.fromkeys(("paused while a turn runs", "reordered"), "TurnEnded:cancelled TurnEnded:cancelled = running"),
    },
    "skip": {
        **dict.fromkeys(ALL, LATE),
        "queued": "TurnEnded:cancelled = idle",
        **dict.fromkeys(
            ("crowded", "paused while a turn runs", "reordered", "superseded", "rolled back"),
            "TurnEnded:cancelled = running",
        ),
        "held": "PromptClosed TurnEnded:cancelled = idle",
        **dict.fromkeys(("paused", "begun before"), "TurnEnded:cancelled = queued"),
    },
    "retry": {
        **dict.fromkeys(
            ("idle", "queued", "unanswered", "begun before"),
            "MessageAccepted MessageAccepted = queued",
        ),
        **dict.fromkeys(
            (
                "running",
                "crowded",
                "growing",
                "paused while a turn runs",
                "reordered",
                "steered",
                "superseded",
                "rolled back",
            ),
            "MessageAccepted MessageAccepted = running",
        ),
        **dict.fromkeys(("calling", "asking"), "MessageAccepted MessageAccepted = waiting"),
        **dict.fromkeys(("held", "paused"), "MessageAccepted MessageAccepted = queued"),
    },
    "edit from the first": {
        "idle": "refused: invalid_payload",
        "queued": "TurnEnded:cancelled HistoryTruncated MessageAccepted TurnStarted !StartTurn = running",
        **dict.fromkeys(
            ("running", "growing", "steered"), "TurnSuperseded HistoryTruncated MessageAccepted !StopTurn = running"
        ),
        **dict.fromkeys(("calling", "asking"), "TurnSuperseded HistoryTruncated MessageAccepted !StopTurn = waiting"),
        **dict.fromkeys(
            ("crowded", "superseded"),
            "TurnEnded:cancelled TurnSuperseded HistoryTruncated MessageAccepted !StopTurn = running",
        ),
        **dict.fromkeys(
            ("paused while a turn runs", "reordered"),
            "TurnEnded:cancelled TurnEnded:cancelled TurnSuperseded HistoryTruncated MessageAccepted !StopTurn"
            " = running",
        ),
        "unanswered": "HistoryTruncated MessageAccepted TurnStarted !StartTurn = running",
        "held": "PromptClosed TurnEnded:cancelled HistoryTruncated MessageAccepted TurnStarted !StartTurn = running",
        "paused": "TurnEnded:cancelled TurnEnded:cancelled HistoryTruncated MessageAccepted = queued",
        "begun before": "TurnEnded:cancelled TurnEnded:cancelled HistoryTruncated MessageAccepted TurnStarted"
        " !StartTurn = running",
        "rolled back": "TurnEnded:cancelled HistoryTruncated MessageAccepted = running",
    },
}
"""What a person's control comes to in each of all states."""

DECIDED: dict[str, tuple[str, ...]] = {
    "create": (
        "= queued",
        "= running",
        "= running",
        "= queued",
        "= running",
        "= running",
        "= running",
    ),
    "migrate": ("refused: conflict",) * 7,
    "migrate to its own id": (
        "= queued",
        "= running",
        "= running",
        "= queued",
        "= running",
        "= running",
        "= running",
    ),
    "accept": (
        "MessageAccepted = queued",
        "MessageAccepted = running",
        "MessageAccepted = running",
        "MessageAccepted = queued",
        "MessageAccepted = running",
        "MessageAccepted = running",
        "MessageAccepted = running",
    ),
    "accept too late": ("refused: expired",) * 7,
    "begin": (
        "= queued",
        "= running",
        "= running",
        "TurnStarted !StartTurn = running",
        "= running",
        "= running",
        "= running",
    ),
    "emit": (
        LATE,
        "TextAppended:streaming = running",
        "TextAppended:streaming = running",
        LATE,
        "TextAppended:streaming = running",
        "TextAppended:streaming = running",
        "TextAppended:streaming = running",
    ),
    "emit of another attempt": (LATE,) * 7,
    "emit of another turn": (LATE,) * 7,
    "ask": (
        LATE,
        "TextAppended:streaming PromptOpened = waiting",
        "TextAppended:streaming PromptOpened = waiting",
        LATE,
        "TextAppended:streaming PromptOpened = waiting",
        "TextAppended:streaming PromptOpened = waiting",
        "TextAppended:streaming PromptOpened = waiting",
    ),
    "ask of another attempt": (LATE,) * 7,
    "answer": ("refused: prompt_unknown",) * 7,
    "answer none of the choices": ("refused: prompt_unknown",) * 7,
    "answer another prompt": ("refused: prompt_unknown",) * 7,
    "answer another turn": ("refused: prompt_unknown",) * 7,
    "cancel the first": (
        LATE,
        LATE,
        LATE,
        "TurnEnded:cancelled = queued",
        LATE,
        LATE,
        LATE,
    ),
    "cancel the second": (
        "TurnEnded:cancelled = queued",
        "TurnEnded:cancelled = running",
        "TurnEnded:cancelled = running",
        "TurnEnded:cancelled = queued",
        LATE,
        "TurnEnded:cancelled = running",
        "TurnEnded:cancelled = running",
    ),
    "complete": (
        LATE,
        "StateSaved TurnEnded:completed = queued",
        "StateSaved TurnEnded:completed TurnStarted !StartTurn = running",
        LATE,
        "StateSaved TurnEnded:completed MessageAccepted TurnStarted !StartTurn = running",
        "TurnEnded:interrupted MessageAccepted TurnStarted !StartTurn = running",
        "TurnEnded:cancelled TurnStarted !StartTurn = running",
    ),
    "fail": (
        LATE,
        "TurnEnded:failed = queued",
        "TurnEnded:failed TurnStarted !StartTurn = running",
        LATE,
        "TurnEnded:failed MessageAccepted TurnStarted !StartTurn = running",
        "TurnEnded:interrupted MessageAccepted TurnStarted !StartTurn = running",
        "TurnEnded:cancelled TurnStarted !StartTurn = running",
    ),
    "finish as cancelled": (
        LATE,
        "TurnEnded:cancelled = queued",
        "TurnEnded:cancelled TurnStarted !StartTurn = running",
        LATE,
        "TurnEnded:cancelled MessageAccepted TurnStarted !StartTurn = running",
        "TurnEnded:interrupted MessageAccepted TurnStarted !StartTurn = running",
        "TurnEnded:cancelled TurnStarted !StartTurn = running",
    ),
    "interrupt": (
        LATE,
        "TurnEnded:interrupted = queued",
        "TurnEnded:interrupted = queued",
        LATE,
        "TurnEnded:interrupted MessageAccepted = queued",
        "TurnEnded:interrupted MessageAccepted = queued",
        "TurnEnded:cancelled = queued",
    ),
    "finish another attempt": (LATE,) * 7,
    "recover": (
        "= queued",
        "TurnEnded:interrupted = queued",
        "TurnEnded:interrupted = queued",
        "= queued",
        "TurnEnded:interrupted MessageAccepted = queued",
        "TurnEnded:interrupted MessageAccepted = queued",
        "TurnEnded:cancelled = queued",
    ),
    "recover and retry": (
        "= queued",
        "AttemptInterrupted = queued",
        "AttemptInterrupted = queued",
        "= queued",
        "AttemptInterrupted = queued",
        "TurnEnded:interrupted MessageAccepted = queued",
        "TurnEnded:cancelled = queued",
    ),
    "recover with no attempt left": (
        "= queued",
        "TurnEnded:interrupted = queued",
        "TurnEnded:interrupted = queued",
        "= queued",
        "TurnEnded:interrupted MessageAccepted = queued",
        "TurnEnded:interrupted MessageAccepted = queued",
        "TurnEnded:cancelled = queued",
    ),
    "set a reminder": (
        "ReminderSet = queued",
        "ReminderSet = running",
        "ReminderSet = running",
        "ReminderSet = queued",
        "ReminderSet = running",
        "ReminderSet = running",
        "ReminderSet = running",
    ),
    "drop a reminder": (LATE,) * 7,
    "remind": ("= queued", "= running", "= running", "= queued", "= running", "= running", "= running"),
    "close a child": ("= queued", "= running", "= running", "= queued", "= running", "= running", "= running"),
    "answer to drop": ("refused: prompt_unknown",) * 7,
    "answer to retry": ("refused: prompt_unknown",) * 7,
    "fail and try again": (
        LATE,
        "AttemptInterrupted = queued",
        "AttemptInterrupted = queued",
        LATE,
        "AttemptInterrupted = queued",
        "TurnEnded:interrupted MessageAccepted TurnStarted !StartTurn = running",
        "TurnEnded:cancelled TurnStarted !StartTurn = running",
    ),
    "expire": ("= queued", "= running", "= running", "= queued", "= running", "= running", "= running"),
    "reset the budget": (*(f"BudgetReset = {state.status}" for state in STATES.values()),),
    "replace the state": (
        "StateSaved = queued",
        "refused: busy",
        "refused: busy",
        "StateSaved = queued",
        "refused: busy",
        "refused: busy",
        "refused: busy",
    ),
    "recover and ask": (
        "= queued",
        "PromptOpened AttemptInterrupted = queued",
        "PromptOpened AttemptInterrupted = queued",
        "= queued",
        "PromptOpened AttemptInterrupted = queued",
        "TurnEnded:interrupted MessageAccepted = queued",
        "TurnEnded:cancelled = queued",
    ),
    "recover and continue": (
        "= queued",
        "AttemptInterrupted = queued",
        "AttemptInterrupted = queued",
        "= queued",
        "AttemptInterrupted = queued",
        "TurnEnded:interrupted MessageAccepted = queued",
        "TurnEnded:cancelled = queued",
    ),
}
"""What each command comes to, in the order of ``STATES``: events, !effects, = the status after them."""

CELLS = [
    (command, state, expected) for command, row in DECIDED.items() for state, expected in zip(STATES, row, strict=True)
]


def test_the_matrix_has_a_cell_for_every_command_in_every_state() -> None:
    """A command that is added must be given its row here too."""
    assert set(DECIDED) == set(COMMANDS)
    assert set(CONTROLLED) == set(CONTROLS)
    assert {type(command) for command in CONTROLS.values()} == {*get_args(QueueCommand), Retry, Edit}


@pytest.mark.parametrize(("command", "state", "expected"), CELLS)
def test_a_command_comes_to_what_the_matrix_says(command: str, state: str, expected: str) -> None:
    """Events, effects and the status after them, or the reason of a refusal."""
    assert outcome_of(STATES[state], COMMANDS[command], Policy(Limits())) == expected


@pytest.mark.parametrize("state", ALL)
@pytest.mark.parametrize("command", CONTROLS)
def test_a_control_of_the_queue_comes_to_what_the_matrix_says(command: str, state: str) -> None:
    """In every state there is; only what waits and has not begun is ever touched."""
    assert outcome_of(ALL[state], CONTROLS[command], Policy(Limits())) == CONTROLLED[command][state]
