"""The lives of a session, a turn, a part, a tool call and a prompt, each as one table.

The rules of this file: a table maps (state, trigger) to the next state; what is not in it cannot happen; a state
with no way out is an end, and each life has exactly one of those reached once. A step of a turn is what one command
makes of it, so the events that seal a waiting turn and the one that ends it are one step. Only a session's table is
looked up as it lives; that the events keep to the others is tested on random histories. The pictures in
``docs/reference/lifecycle.md`` are drawn from these tables by ``scripts/diagrams.py``.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class SessionPhase(enum.StrEnum):
    """Where a session stands in this process."""

    ABSENT = "absent"
    ACTIVATING = "activating"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    PASSIVATING = "passivating"
    RESTARTING = "restarting"
    QUARANTINED = "quarantined"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETED = "deleted"
    FENCED = "fenced"


class TurnStatus(enum.StrEnum):
    """Where a turn stands; the last five are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    EXPIRED = "expired"


class PartStatus(enum.StrEnum):
    """Where a part of a message stands: still growing, whole, or cut off by the end of its turn."""

    STREAMING = "streaming"
    COMPLETE = "complete"
    CUT = "cut"


class ToolStatus(enum.StrEnum):
    """Where a tool call stands; every state but the first is its one outcome."""

    RUNNING = "running"
    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class PromptStatus(enum.StrEnum):
    """Where a question to a person stands."""

    OPEN = "open"
    ANSWERED = "answered"
    EXPIRED = "expired"
    CLOSED = "closed"


_S, _T, _P, _C, _Q = SessionPhase, TurnStatus, PartStatus, ToolStatus, PromptStatus

SESSION: Final[Mapping[tuple[SessionPhase, str], SessionPhase]] = MappingProxyType(
    {
        (_S.ABSENT, "activate"): _S.ACTIVATING,
        (_S.ABSENT, "stop"): _S.STOPPING,
        (_S.ACTIVATING, "recovered"): _S.ACTIVE,
        (_S.ACTIVATING, "crash"): _S.RESTARTING,
        (_S.ACTIVATING, "give_up"): _S.QUARANTINED,
        (_S.ACTIVATING, "stop"): _S.STOPPING,
        (_S.ACTIVATING, "fence"): _S.FENCED,
        (_S.ACTIVE, "crash"): _S.RESTARTING,
        (_S.ACTIVE, "give_up"): _S.QUARANTINED,
        (_S.ACTIVE, "stop"): _S.STOPPING,
        (_S.ACTIVE, "fence"): _S.FENCED,
        (_S.ACTIVE, "suspend"): _S.SUSPENDED,
        (_S.SUSPENDED, "resume"): _S.ACTIVE,
        (_S.SUSPENDED, "crash"): _S.RESTARTING,
        (_S.SUSPENDED, "give_up"): _S.QUARANTINED,
        (_S.SUSPENDED, "stop"): _S.STOPPING,
        (_S.SUSPENDED, "fence"): _S.FENCED,
        (_S.ACTIVE, "passivate"): _S.PASSIVATING,
        (_S.PASSIVATING, "put_away"): _S.ABSENT,
        (_S.PASSIVATING, "activate"): _S.ACTIVATING,
        (_S.PASSIVATING, "stop"): _S.STOPPING,
        (_S.RESTARTING, "activate"): _S.ACTIVATING,
        (_S.RESTARTING, "stop"): _S.STOPPING,
        (_S.QUARANTINED, "release"): _S.ABSENT,
        (_S.QUARANTINED, "stop"): _S.STOPPING,
        (_S.STOPPING, "stopped"): _S.STOPPED,
        (_S.STOPPING, "erased"): _S.DELETED,
    }
)

TURN: Final[Mapping[tuple[TurnStatus, str], TurnStatus]] = MappingProxyType(
    {
        (_T.QUEUED, "start"): _T.RUNNING,
        (_T.QUEUED, "resume"): _T.WAITING,
        (_T.QUEUED, "cancel"): _T.CANCELLED,
        (_T.QUEUED, "expire"): _T.EXPIRED,
        (_T.RUNNING, "wait"): _T.WAITING,
        (_T.WAITING, "go_on"): _T.RUNNING,
        (_T.RUNNING, "complete"): _T.COMPLETED,
        (_T.RUNNING, "fail"): _T.FAILED,
        (_T.RUNNING, "cancel"): _T.CANCELLED,
        (_T.RUNNING, "interrupt"): _T.INTERRUPTED,
        (_T.RUNNING, "retry"): _T.QUEUED,
        (_T.WAITING, "complete"): _T.COMPLETED,
        (_T.WAITING, "fail"): _T.FAILED,
        (_T.WAITING, "cancel"): _T.CANCELLED,
        (_T.WAITING, "interrupt"): _T.INTERRUPTED,
        (_T.WAITING, "retry"): _T.QUEUED,
    }
)

PART: Final[Mapping[tuple[PartStatus, str], PartStatus]] = MappingProxyType(
    {
        (_P.STREAMING, "append"): _P.STREAMING,
        (_P.STREAMING, "close"): _P.COMPLETE,
        (_P.STREAMING, "cut"): _P.CUT,
    }
)

TOOL_CALL: Final[Mapping[tuple[ToolStatus, str], ToolStatus]] = MappingProxyType(
    {
        (_C.RUNNING, "return"): _C.OK,
        (_C.RUNNING, "raise"): _C.ERROR,
        (_C.RUNNING, "cancel"): _C.CANCELLED,
        (_C.RUNNING, "interrupt"): _C.INTERRUPTED,
    }
)

PROMPT: Final[Mapping[tuple[PromptStatus, str], PromptStatus]] = MappingProxyType(
    {
        (_Q.OPEN, "answer"): _Q.ANSWERED,
        (_Q.OPEN, "expire"): _Q.EXPIRED,
        (_Q.OPEN, "close"): _Q.CLOSED,
    }
)

UP: Final = frozenset({_S.ACTIVATING, _S.ACTIVE, _S.SUSPENDED, _S.PASSIVATING, _S.RESTARTING})
"""The phases in which the mailbox of a session takes messages; whatever it is doing, it will come to them."""

TURN_ENDS: Final = frozenset(set(TurnStatus) - {state for state, _ in TURN})
"""The statuses a turn never leaves."""

ATTEMPT_ENDS: Final = TURN_ENDS & {after for (before, _), after in TURN.items() if before is TurnStatus.RUNNING}
"""Those in which the end of an attempt can leave its turn."""


def next_phase(phase: SessionPhase, trigger: str) -> SessionPhase:
    """Look up what a session becomes; a pair that is not in the table is a bug and fails an assertion."""
    following = SESSION.get((phase, trigger))
    assert following is not None, f"a session that is {phase} cannot {trigger}"
    return following
