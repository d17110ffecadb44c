"""Names and keys of log records: the contract between what the runtime writes and what reads it.

A record is one JSON object per line: ``event`` (one of ``RECORDS``), ``level``, ``at_s``, and keys from ``KEYS``. A
record of a session has ``chat_id``, and ``epoch``, ``seq`` and ``turn`` where it has one. None holds a person's text.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

RECORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "runtime.opened": "the store is owned and everything unfinished is settled",
        "runtime.stopping": "nothing more is taken",
        "runtime.closed": "the store was given up; the counts of this life",
        "store.degraded": "a commit failed and will be tried again",
        "store.recovered": "commits succeed again",
        "store.fenced": "another process has taken the store over",
        "envelope.dropped": "an envelope was not delivered; with its reason",
        "records.suppressed": "records of one kind that were not written because there were too many",
        "session.activated": "an incarnation of a session is up",
        "session.drift": "code of one session (reason) spoke for another (chat_id), and was stopped",
        "session.crashed": "an incarnation ended by an exception; with its type and place",
        "session.restarting": "a new incarnation follows after a delay",
        "session.crash_report": "everything that is known of a failure, without what anybody said",
        "session.zombie": "the task of an incarnation did not end when it was killed; with the place where it waits",
        "session.quarantined": "the restart budget is spent; the session takes nothing",
        "session.released": "the session leaves quarantine",
        "session.passivated": "the session is at rest and left memory; with the reason (level debug)",
        "session.stopped": "the session is not live any more",
        "session.migrated": "a draft has its authoritative id; the old one leads to it",
        "session.deleted": "the session was erased and left a tombstone",
        "session.corrupt": "the rows of a session contradict each other; it is kept out",
        "fleet.paused": "so much of the fleet failed at once that restarts wait; the cause is taken to be shared",
        "service.restarted": "a service of the runtime ended and was started again with those above it",
        "service.lost": "a service of the runtime failed too often; the runtime stops",
        "alarm.raised": "something has reached its limit; with what and where",
        "alarm.cleared": "what had reached its limit is at rest again",
        "loop.stalled": "one step of a task held the loop for too long; with its place and its session",
        "turn.interrupted": "a turn of an earlier life was marked",
        "turn.abandoned": "a cancelled agent did not end within its grace; with the place where it waits",
        "turn.late_output": "an agent wrote to a turn that had ended; the output went nowhere",
        "turn.ended": "a turn reached its terminal status",
        "child.spawned": "a turn has spawned a session; with the parent and its turn",
        "reminder.skipped": "ticks of a reminder were missed and left out, as it says; with their number",
        "subscriber.lagged": "a subscriber was too slow and was cut",
        "journal.event": "an event was written (level debug)",
        "hook.removed": "a hook that was installed on a session raised, and is not called any more",
        "observer.unavailable": "there is no socket to look in by from other processes; with the type of the error",
        "observer.failed": "answering a process that looks in failed; sessions do not notice",
        "ask.late_reply": "a reply came after its asker had gone (level debug)",
    }
)
"""Every name a record may have, and what it says."""

KEYS: Final = frozenset(
    {
        "at_s",
        "chat_id",
        "count",
        "delay_s",
        "digest",
        "doing",
        "epoch",
        "error",
        "event",
        "events",
        "exit",
        "failures",
        "frames",
        "incarnation",
        "kind",
        "lasted_s",
        "level",
        "limit",
        "old_id",
        "parent",
        "place",
        "reason",
        "seq",
        "sessions",
        "status",
        "turn",
        "value",
    }
)
"""Every key a record may have."""
