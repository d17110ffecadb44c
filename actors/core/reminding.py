"""What becomes of reminders: set, called off, and their due ticks fired, each once."""

from collections.abc import Callable

import attrs

from actors.core.commands import Accept, DropReminder, Remind, SetReminder
from actors.core.decision import Decision, Policy, refuse_closed
from actors.core.effects import Effect, Refusal
from actors.core.events import EventBody, ReminderDropped, ReminderFired, ReminderSet, ReminderSkipped
from actors.core.ids import DropReason
from actors.core.limits import Limits
from actors.core.reminder import Due, Reminder, due
from actors.core.state import SessionState, fold

SENDER = "reminder"
"""Who sends the messages that ticks become."""

AcceptDecider = Callable[[SessionState, Accept, Policy, float], Decision | Refusal]


def decide_set(state: SessionState, command: SetReminder, policy: Policy, now_s: float) -> Decision | Refusal:
    """Set a reminder; the same one again changes nothing, and one of the same key is replaced."""
    if state.standing.closed:
        return refuse_closed()
    reminders = state.standing.reminders
    stands = next((reminder for reminder in reminders if reminder.key == command.key), None)
    if stands is not None and _is_same(stands, command):
        return Decision(())
    if stands is None and len(reminders) >= policy.limits.reminders_max:
        return Refusal(DropReason.REMINDERS_FULL, f"{len(reminders)} reminders stand in this session")
    first_s = now_s + (command.every_s or 0.0) if command.at_s is None else command.at_s
    return Decision((ReminderSet(command.key, command.text, first_s, command.every_s, command.missed),))


def decide_drop(state: SessionState, command: DropReminder) -> Decision | Refusal:
    """Call a reminder off."""
    if any(reminder.key == command.key for reminder in state.standing.reminders):
        return Decision((ReminderDropped(command.key),))
    return Refusal(DropReason.NOT_RUNNING, "no reminder of this key stands")


def due_message_ids(state: SessionState, limits: Limits, now_s: float, ticks_max: int) -> tuple[str, ...]:
    """Name the messages that ``Remind`` would bring at this moment, oldest tick first."""
    return tuple(reminder.message_id(tick) for reminder, tick in _ticks(state, limits, now_s, ticks_max))


def decide_remind(
    state: SessionState, command: Remind, policy: Policy, now_s: float, accept: AcceptDecider
) -> Decision | Refusal:
    """Fire what is due, oldest tick first, across all reminders; each becomes a message that waits for its turn.

    A tick whose message cannot be accepted now stays due, and so do those behind it; the refusal is returned when
    nothing else was decided. Whatever the overlap policy is, a tick is queued.
    """
    queueing = attrs.evolve(policy, queueing=True)
    bodies: list[EventBody] = []
    effects: tuple[Effect, ...] = ()

    def write(*more: EventBody) -> SessionState:
        bodies.extend(more)
        return fold(state, more)

    for reminder in state.standing.reminders:
        skipped = _due(reminder, policy.limits, now_s).skipped
        if skipped:
            last = reminder.tick + skipped - 1
            state = write(ReminderSkipped(reminder.key, last, skipped, reminder.after(last)))
    for reminder, tick in _ticks(state, policy.limits, now_s, command.ticks_max):
        message_id = reminder.message_id(tick)
        if message_id not in command.known:
            accepted = accept(state, Accept(message_id, reminder.text, SENDER), queueing, now_s)
            if isinstance(accepted, Refusal):
                return Decision(tuple(bodies), effects) if bodies else accepted
            state = write(*accepted.bodies)
            effects += accepted.effects
        state = write(ReminderFired(reminder.key, tick, reminder.moment_s(tick), reminder.after(tick)))
    return Decision(tuple(bodies), effects)


def _is_same(reminder: Reminder, command: SetReminder) -> bool:
    """Say whether a reminder that stands is the one that is to be set."""
    stands = (reminder.text, reminder.every_s, reminder.missed)
    return stands == (command.text, command.every_s, command.missed) and command.at_s in {None, reminder.first_s}


def _ticks(state: SessionState, limits: Limits, now_s: float, ticks_max: int) -> list[tuple[Reminder, int]]:
    """List the ticks to be fired, oldest first, those of one moment in the order in which they were set."""
    ticks: list[tuple[Reminder, int]] = []
    for reminder in state.standing.reminders:
        plan = _due(reminder, limits, now_s)
        first = reminder.tick + plan.skipped
        ticks += [(reminder, first + number) for number in range(min(plan.fired, ticks_max))]
    ticks.sort(key=lambda pair: pair[0].moment_s(pair[1]))
    return ticks[:ticks_max]


def _due(reminder: Reminder, limits: Limits, now_s: float) -> Due:
    """Say which ticks are due under the limits of a runtime."""
    return due(reminder, now_s, late_s=limits.reminder_late_s, missed_max=limits.reminder_missed_max)
