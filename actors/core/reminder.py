"""A reminder as a value: its moments, which of them are due, and what its events make of it.

A tick is known by its number, from 0, and its moment is computed from the number, so no error adds up and no clock that
goes back can bring a tick a second time. A tick that is fired enters the session as a message whose key names the
reminder and the moment.
"""

import attrs

from actors.core.events import Missed, ReminderDropped, ReminderFired, ReminderSet, ReminderSkipped


@attrs.frozen
class Reminder:
    """Something a session is told at a moment of wall time, or again and again.

    ``first_s`` is the first moment and ``every_s`` the time from one to the next, None for a reminder that comes once.
    ``missed`` says what becomes of ticks whose moment passed while nobody could fire them. ``tick`` is the number of
    the next one; ``seq`` the event that set the reminder.
    """

    key: str
    text: str
    first_s: float
    every_s: float | None = None
    missed: Missed = "one"
    tick: int = 0
    seq: int = 0

    @property
    def due_s(self) -> float:
        """The moment of the next tick, in seconds since 1970."""
        return self.moment_s(self.tick)

    def moment_s(self, tick: int) -> float:
        """Say when a tick is due."""
        return self.first_s + tick * (self.every_s or 0.0)

    def after(self, tick: int) -> float | None:
        """Say when the tick that follows another one is due; None if none does."""
        return None if self.every_s is None else self.moment_s(tick + 1)

    def message_id(self, tick: int) -> str:
        """Name the message that a tick becomes; no sender's key can be equal to it, since keys hold no slash."""
        return f"{self.key}/{self.moment_s(tick)!r}"


@attrs.frozen
class Due:
    """So many ticks are left out, and so many after them are fired."""

    skipped: int = 0
    fired: int = 0


def due(reminder: Reminder, now_s: float, *, late_s: float, missed_max: int) -> Due:
    """Say which ticks of a reminder are due at ``now_s``, and what its policy makes of those that were missed.

    ``all``: every tick is fired, the newest ``missed_max`` of them. ``one``: only the newest is. ``skip``: the newest
    is fired if it is at most ``late_s`` late, and otherwise none.
    """
    count = _count(reminder, now_s)
    if not count:
        return Due()
    fired = 1
    if reminder.missed == "all":
        fired = min(count, missed_max)
    elif reminder.missed == "skip" and now_s - reminder.moment_s(reminder.tick + count - 1) > late_s:
        fired = 0
    return Due(count - fired, fired)


def evolve_reminders(
    reminders: tuple[Reminder, ...], body: ReminderSet | ReminderDropped | ReminderFired | ReminderSkipped, seq: int
) -> tuple[Reminder, ...]:
    """Apply an event that concerns a reminder; the one that was set last stands last."""
    match body:
        case ReminderSet():
            others = tuple(reminder for reminder in reminders if reminder.key != body.key)
            return (*others, Reminder(body.key, body.text, body.first_s, body.every_s, body.missed, 0, seq))
        case ReminderDropped():
            return tuple(reminder for reminder in reminders if reminder.key != body.key)
        case ReminderFired() | ReminderSkipped():
            following = [
                attrs.evolve(reminder, tick=body.tick + 1) if reminder.key == body.key else reminder
                for reminder in reminders
                if reminder.key != body.key or body.next_s is not None
            ]
            return tuple(following)


def first_due_s(reminders: tuple[Reminder, ...]) -> float | None:
    """Say when the first of some reminders is due; None if there is none."""
    return min((reminder.due_s for reminder in reminders), default=None)


def _count(reminder: Reminder, now_s: float) -> int:
    """Count the ticks whose moment has come."""
    late_s = now_s - reminder.due_s
    if late_s < 0.0:
        return 0
    if reminder.every_s is None:
        return 1
    # A division rounds; the moments, which are what everything else goes by, decide.
    count = max(int(late_s // reminder.every_s), 0)
    while reminder.moment_s(reminder.tick + count) <= now_s:
        count += 1
    while reminder.moment_s(reminder.tick + count - 1) > now_s:
        count -= 1
    return count
