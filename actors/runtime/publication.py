"""What is on disk, made known: to subscribers, to who waits, to the counts and to the log."""

from typing import Final

from actors.core.events import (
    AttemptInterrupted,
    BudgetReset,
    Event,
    MessageAccepted,
    PromptAnswered,
    PromptClosed,
    PromptExpired,
    PromptOpened,
    SessionMigrated,
    TextAppended,
    ToolCalled,
    TurnEnded,
)
from actors.core.ids import DropReason
from actors.core.state import SessionState
from actors.runtime.attempt import Outlet
from actors.runtime.reminding import arm, reminders_changed
from actors.runtime.services import Services
from actors.runtime.turn import Turn

_PROMPTS: Final = frozenset({PromptOpened, PromptAnswered, PromptExpired, PromptClosed})


def publish(outlet: Outlet, events: tuple[Event, ...], state: SessionState, turn: Turn | None) -> None:
    """Take over what is on disk: publish it, count it, log it."""
    ref, services = outlet.ref, outlet.services
    recorder = services.recorder
    counts = services.accounts.counts
    services.accounts.wrote(events)
    services.tracing.wrote(ref, events)
    stood, due_changed = ref.state, False
    for box in ref.committed(events, state):
        outlet.lagged(box)
    for event in events:
        body = event.body
        kind = type(body)
        if kind is TurnEnded:
            assert isinstance(body, TurnEnded), "kind is its type"
            counts.turns[body.status] += 1
            if ref.origins is not None:
                ref.forget_origin(body.turn)
            if body.reason == "attempts":  # poison: nobody tries it again
                services.accounts.drop(ref.chat_id, DropReason.POISON, "turn")
            if recorder.informing:
                _record_end(services, event, body)
        elif kind is TextAppended:
            if turn is not None and turn.unwritten:
                turn.unwritten.popleft()
        elif kind is ToolCalled:
            counts.tool_calls += 1
        elif kind is MessageAccepted:
            assert isinstance(body, MessageAccepted), "kind is its type"
            if body.moved_from:
                ref.moved(body, event)
        elif kind is AttemptInterrupted:
            counts.turns["retried"] += 1
        elif kind in _PROMPTS:
            due_changed = True
        elif kind is SessionMigrated:
            assert isinstance(body, SessionMigrated), "kind is its type"
            _move(outlet, event, body, turn)
        elif kind is BudgetReset and turn is not None:
            turn.usage = state.standing.usage
    if due_changed or stood is None or stood.standing.reminders is not state.standing.reminders:
        reminders_changed(ref, services, events)


def _move(outlet: Outlet, event: Event, body: SessionMigrated, turn: Turn | None) -> None:
    """Know a session under its new id from here on: where it is looked for, in its turn, in its appointments."""
    ref, services = outlet.ref, outlet.services
    services.expiries.forget(body.old_id)
    services.moved(ref, body.new_id)
    arm(ref, services)
    if turn is not None:
        turn.chat_id = body.new_id
    services.recorder.record(
        "info", "session.migrated", chat_id=body.new_id, old_id=body.old_id, epoch=event.epoch, seq=event.seq
    )


def _record_end(services: Services, event: Event, body: TurnEnded) -> None:
    """Log the end of a turn; the text of a rejection is the agent's and is left out."""
    services.recorder.record(
        "info",
        "turn.ended",
        chat_id=event.chat_id,
        epoch=event.epoch,
        seq=event.seq,
        turn=body.turn,
        status=body.status.value,
        reason=body.reason,
        error=body.error if body.reason == "crashed" else "",
    )
