"""What becomes of what stood open when a process ended: one table, by what stood and by the agent's policy.

The evidence is what is on disk, and nothing else: no clock, no age, nothing that the process had in memory. The agent's
code is never gone on with from its middle; a turn that goes on is run again by its agent from the beginning.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from actors.core.commands import OnInterrupted, Recover
from actors.core.decision import Decision, Policy
from actors.core.events import AttemptInterrupted, EventBody, PromptOpened, TurnEnded
from actors.core.lifecycle import TurnStatus
from actors.core.overlap import ends_as, requeue
from actors.core.sealing import left_prompts, seals
from actors.core.state import ROLLED_BACK, RunningTurn, SessionState, is_held

RECOVERY_QUESTION: Final = "The process ended while this turn ran. What is to become of the turn?"
RECOVERY_CHOICES: Final = ("retry", "continue", "drop")


class Stood(enum.StrEnum):
    """What stood open in a session when its process ended, as the journal tells."""

    NOTHING = "nothing"
    QUEUED = "queued"
    HELD = "held"
    BEGUN = "begun"
    SPEAKING = "speaking"
    CALLING = "calling"
    ASKING = "asking"
    UNANSWERED = "unanswered"


class Fate(enum.StrEnum):
    """What becomes of it in the next life."""

    NOTHING = "nothing"
    IN_ORDER = "in_order"
    STAYS = "stays"
    MARKED = "marked"
    AGAIN = "again"
    CONTINUED = "continued"
    HELD = "held"
    SPENT = "spent"


_S, _F = Stood, Fate

FATES: Final[Mapping[tuple[Stood, OnInterrupted], Fate]] = MappingProxyType(
    {
        (_S.NOTHING, "mark"): _F.NOTHING,
        (_S.NOTHING, "ask"): _F.NOTHING,
        (_S.NOTHING, "retry"): _F.NOTHING,
        (_S.NOTHING, "continue"): _F.NOTHING,
        # It had not begun, so nothing of it can have been done twice.
        (_S.QUEUED, "mark"): _F.IN_ORDER,
        (_S.QUEUED, "ask"): _F.IN_ORDER,
        (_S.QUEUED, "retry"): _F.IN_ORDER,
        (_S.QUEUED, "continue"): _F.IN_ORDER,
        # A person has been asked already, and has not answered.
        (_S.HELD, "mark"): _F.STAYS,
        (_S.HELD, "ask"): _F.STAYS,
        (_S.HELD, "retry"): _F.STAYS,
        (_S.HELD, "continue"): _F.STAYS,
        # The agent had begun and nothing of it is on disk; what it did outside may have taken effect all the same.
        (_S.BEGUN, "mark"): _F.MARKED,
        (_S.BEGUN, "ask"): _F.HELD,
        (_S.BEGUN, "retry"): _F.AGAIN,
        (_S.BEGUN, "continue"): _F.AGAIN,
        (_S.SPEAKING, "mark"): _F.MARKED,
        (_S.SPEAKING, "ask"): _F.HELD,
        (_S.SPEAKING, "retry"): _F.AGAIN,
        (_S.SPEAKING, "continue"): _F.CONTINUED,
        # The calls get the outcome "interrupted": whether they took effect is not known.
        (_S.CALLING, "mark"): _F.MARKED,
        (_S.CALLING, "ask"): _F.HELD,
        (_S.CALLING, "retry"): _F.AGAIN,
        (_S.CALLING, "continue"): _F.CONTINUED,
        # The question stays open whatever becomes of the turn, unless its attempts are spent.
        (_S.ASKING, "mark"): _F.MARKED,
        (_S.ASKING, "ask"): _F.HELD,
        (_S.ASKING, "retry"): _F.AGAIN,
        (_S.ASKING, "continue"): _F.CONTINUED,
        # The turn that asked has ended; its question outlives this life too.
        (_S.UNANSWERED, "mark"): _F.STAYS,
        (_S.UNANSWERED, "ask"): _F.STAYS,
        (_S.UNANSWERED, "retry"): _F.STAYS,
        (_S.UNANSWERED, "continue"): _F.STAYS,
    }
)

_COST_AN_ATTEMPT: Final = frozenset({Fate.AGAIN, Fate.CONTINUED, Fate.HELD})


def stood_of(state: SessionState) -> Stood:
    """Say what stood open in a session: of its running turn what weighs most, else of what waits."""
    running = state.running
    if running is not None:
        return _stood_in(running)
    if state.queue:
        return Stood.HELD if is_held(state, state.queue[0].turn) else Stood.QUEUED
    return Stood.UNANSWERED if state.standing.prompts else Stood.NOTHING


def fate_of(stood: Stood, policy: OnInterrupted, *, spent: bool) -> Fate:
    """Say what becomes of it; ``spent`` says that no attempt is left to whatever would need another."""
    fate = FATES[stood, policy]
    return Fate.SPENT if spent and fate in _COST_AN_ATTEMPT else fate


def decide_recover(state: SessionState, command: Recover, policy: Policy) -> Decision:
    """Settle the attempt that was under way, once: after this nothing of an earlier life is running."""
    running = state.running
    if running is None:
        return Decision(())
    spent = running.attempt >= command.attempts_max
    fate = fate_of(_stood_in(running), command.on_interrupted, spent=spent)
    reason = "attempts" if fate is Fate.SPENT else "process_ended"
    status = TurnStatus.INTERRUPTED
    if running.ending:  # a newer message had decided before the process ended, whatever the policy is
        fate, reason, status = Fate.MARKED, running.ending, ends_as(running.ending)
    elif state.standing.closed:  # its parent's turn has ended, and was about to cancel it
        fate, reason = Fate.MARKED, "process_ended"
    bodies: list[EventBody] = [*seals(running, status), *left_prompts(state, running, status, reason, policy)]
    turn, attempt = running.turn, running.attempt
    if fate in {Fate.MARKED, Fate.SPENT}:
        bodies.append(TurnEnded(turn, attempt, status, reason, hidden=running.ending == ROLLED_BACK))
        return Decision((*bodies, *requeue(state, running)))
    if fate is Fate.HELD:
        number = running.prompts_total
        bodies.append(PromptOpened(turn, attempt, number, "recovery", RECOVERY_QUESTION, RECOVERY_CHOICES))
    # What a person decides about may still be gone on with, so it is kept until then.
    bodies.append(AttemptInterrupted(turn, attempt, keep=fate is not Fate.AGAIN))
    return Decision(tuple(bodies))


def _stood_in(running: RunningTurn) -> Stood:
    """Say what stood open in a turn that ran."""
    if running.calls:
        return Stood.CALLING
    if running.prompts:
        return Stood.ASKING
    return Stood.SPEAKING if running.messages else Stood.BEGUN
