"""One report for each failure: how it ended, where, what the session was doing, and what it had written last.

Nothing is gathered while nothing fails: the last events are read from the journal when a crash is reported, by a
service of its own, so that the session need not wait for it. A report holds no value, no text of a message or of an
exception, and of the state only a digest.
"""

import hashlib
from collections import deque
from collections.abc import Iterator

import attrs
import trio

from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.core.state import SessionState
from actors.core.supervision import ExitReason
from actors.ports import Clock, Journal
from actors.runtime.frames import frames_in
from actors.runtime.recorder import Recorder
from actors.runtime.ref import Ref


@attrs.frozen
class EventFacts:
    """What a report says of an event."""

    seq: int
    kind: str
    turn: int


@attrs.frozen
class CrashReport:
    """What is known of a failure.

    ``doing`` is what the session was at: ``recovery``, ``turn``, ``tell``, ``ask``, or ``service`` for a bug of ours.
    ``frames`` are the lines the error came through, the innermost last. ``events`` are the last ones on disk, the
    newest last; none if they could not be read. ``digest`` is a hash of the committed state. ``at_s`` is wall time.
    """

    chat_id: str
    incarnation: int
    exit: ExitReason
    error: str
    doing: str
    frames: tuple[str, ...]
    events: tuple[EventFacts, ...]
    digest: str
    at_s: float


class CrashReports:
    """Writes the reports of one runtime, and keeps the latest."""

    def __init__(self, journal: Journal, limits: Limits, clock: Clock, recorder: Recorder) -> None:
        """Begin with none."""
        self._journal = journal
        self._limits = limits
        self._clock = clock
        self._recorder = recorder
        self._waiting: deque[tuple[CrashReport, int, SessionState | None]] = deque()
        self._called = trio.Event()
        self.kept: deque[CrashReport] = deque(maxlen=limits.crash_reports_max)
        self.lost = 0
        """Reports that were left out because too many waited for the disk."""

    def note(self, ref: Ref, exit_reason: ExitReason, error: BaseException, doing: str) -> None:
        """Have a failure reported; nothing is waited for."""
        if len(self._waiting) >= self._limits.crash_reports_max:
            self.lost += 1
            return
        report = CrashReport(
            chat_id=ref.chat_id,
            incarnation=ref.incarnation,
            exit=exit_reason,
            error=type(error).__name__,
            doing=doing,
            frames=frames_in(error),
            events=(),
            digest="",
            at_s=self._clock.wall_s(),
        )
        self._waiting.append((report, ref.seq, ref.state))
        self._called.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            while self._waiting:
                report, seq, state = self._waiting[0]
                digest = _new_digest()
                for part in _parts(state):  # a full queue is a hundred megabytes, and nobody shall wait for it
                    digest.update(part)
                    await trio.lowlevel.checkpoint()
                events = await self._read(report.chat_id, seq)
                self._waiting.popleft()
                self._write(attrs.evolve(report, events=events, digest=_shown(digest, state)))
                del state
            self._called = trio.Event()
            await self._called.wait()

    def close(self) -> None:
        """Report what still waits, without its events: the journal is about to close."""
        while self._waiting:
            report, _, state = self._waiting.popleft()
            digest = _new_digest()
            for part in _parts(state):
                digest.update(part)
            self._write(attrs.evolve(report, digest=_shown(digest, state)))

    async def _read(self, chat_id: str, seq: int) -> tuple[EventFacts, ...]:
        """Read what a session wrote last; a disk that is slow or fails is no reason to be silent."""
        rows = self._limits.crash_events_max
        with trio.move_on_after(self._limits.phase_s):
            try:
                events = await self._journal.events(ChatId(chat_id), max(0, seq - rows), rows)
            except Exception:  # noqa: BLE001 - a journal may fail in any way, and this is no reason to end with it
                return ()
            return tuple(
                EventFacts(event.seq, str(event.body.__struct_config__.tag), getattr(event.body, "turn", 0))
                for event in events
            )
        return ()

    def _write(self, report: CrashReport) -> None:
        """Keep a report and write its record."""
        self.kept.append(report)
        self._recorder.record(
            "error",
            "session.crash_report",
            chat_id=report.chat_id,
            incarnation=report.incarnation,
            exit=report.exit,
            error=report.error,
            doing=report.doing,
            frames=report.frames,
            events=[attrs.astuple(event) for event in report.events],
            digest=report.digest,
        )


def _parts(state: SessionState | None) -> Iterator[bytes]:
    """Give all that a state is, in pieces that are no larger than a turn that waits."""
    if state is not None:
        yield repr(attrs.evolve(state, queue=())).encode()
        for item in state.queue:
            yield repr(item).encode()


def _new_digest() -> "hashlib.blake2b":
    """Begin a digest."""
    return hashlib.blake2b(digest_size=16)


def _shown(digest: "hashlib.blake2b", state: SessionState | None) -> str:
    """Show a digest; of no state there is none."""
    return "" if state is None else digest.hexdigest()
