"""Counts and dead letters: what became of every envelope, so that the sums can be checked at any quiet point."""

from collections import Counter

import attrs

from actors.core.dead_letter import Carried
from actors.core.events import Event
from actors.core.ids import DropReason
from actors.core.passivation import Churn
from actors.runtime.dead_letters import DeadLetters
from actors.runtime.recorder import Recorder


@attrs.define
class Counts:
    """Totals since the runtime was opened.

    What was sent is the sum of ``refused``, ``given_up`` (cancelled while waiting for room) and what was admitted.
    """

    refused: int = 0
    given_up: int = 0
    dead: int = 0
    duplicates: int = 0
    late_replies: int = 0
    late_output: int = 0
    drift: int = 0
    events: int = 0
    signals: int = 0
    turns: Counter[str] = attrs.Factory(Counter)
    dropped: Counter[str] = attrs.Factory(Counter)
    tool_calls: int = 0
    activations: int = 0
    crashes: int = 0
    restarts: int = 0
    quarantines: int = 0
    passivations: int = 0
    abandoned: int = 0
    lagged: int = 0
    interrupted: int = 0
    created: int = 0
    deleted: int = 0
    spawned: int = 0
    timer_ticks: int = 0
    ticks: int = 0
    ticks_skipped: int = 0


class Accounts:
    """Where drops are counted, logged and kept."""

    def __init__(self, dead_letters: DeadLetters, recorder: Recorder) -> None:
        """Start at nothing."""
        self.counts = Counts()
        self.churn = Churn()
        self.dead_letters = dead_letters
        self.recorder = recorder

    def wrote(self, events: tuple[Event, ...]) -> None:
        """Account for events that are on disk: a count, and at level debug a record each."""
        self.counts.events += len(events)
        if self.recorder.debugging:
            for event in events:
                self.recorder.record(
                    "debug",
                    "journal.event",
                    chat_id=event.chat_id,
                    epoch=event.epoch,
                    seq=event.seq,
                    turn=getattr(event.body, "turn", 0),
                    kind=event.body.__struct_config__.tag,
                )

    def drop(
        self, chat_id: object, reason: DropReason, kind: str, size_bytes: int = 0, carried: Carried | None = None
    ) -> None:
        """Account for an envelope that was refused: one count, one record (at a limited rate), one dead letter."""
        self.counts.dropped[reason] += 1
        self._bury(chat_id, reason, kind, size_bytes, carried)

    def bury(
        self, chat_id: object, reason: DropReason, kind: str, size_bytes: int = 0, carried: Carried | None = None
    ) -> None:
        """Account for an envelope that was admitted and will not be handled."""
        self.counts.dead += 1
        self._bury(chat_id, reason, kind, size_bytes, carried)

    def drift(self, running: str, spoken_for: object, kind: str) -> None:
        """Account for code of one session that spoke for another, and raise the alarm."""
        self.counts.drift += 1
        self.recorder.limited("error", "session.drift", running, chat_id=spoken_for, kind=kind)

    def _bury(self, chat_id: object, reason: DropReason, kind: str, size_bytes: int, carried: Carried | None) -> None:
        """Keep the letter and say so."""
        try:
            shown = ascii(chat_id)[:300] if type(chat_id) is not str else ascii(chat_id[:300])[1:-1][:300]
        except Exception:  # noqa: BLE001 - a value that cannot be shown is dropped all the same
            shown = f"<{type(chat_id).__name__}>"
        self.dead_letters.add(shown, reason, kind, size_bytes, carried)
        self.recorder.limited("warning", "envelope.dropped", str(reason), chat_id=shown, kind=kind)
