"""Log records, written beside the loop: a sink that fails or blocks never disturbs a session.

A record is put into a bounded queue and rendered in a thread of its own. What does not fit is counted; records of one
kind and reason are written at most so often per window, then as one line with a count.
"""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

import attrs
import msgspec
import structlog

from actors.core.limits import Limits
from actors.ports import Clock
from actors.telemetry import RECORDS

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
STOP_WAIT_S: Final = 2.0
WINDOWS_MAX: Final = 10_000
"""Kinds of records whose rate is remembered at once; a crash loop of every session makes one each."""

_encoder: Final = msgspec.json.Encoder(enc_hook=repr)


def render(_: object, __: str, record: Any) -> bytes:  # noqa: ANN401 - structlog's signature of a processor
    """Render a record as one line of JSON; never raises, whatever the values are."""
    try:
        return _encoder.encode(record)
    except Exception:  # noqa: BLE001 - a log record must never fail the thing it speaks of
        return _encoder.encode({str(key): _plain(value) for key, value in dict(record).items()})


def _plain(value: object) -> str:
    """Show a value that JSON cannot hold, escaped; one that cannot even show itself by its type."""
    try:
        return value.encode("ascii", "backslashreplace").decode() if isinstance(value, str) else ascii(value)
    except Exception:  # noqa: BLE001 - as above
        return f"<{type(value).__name__}>"


@attrs.define
class _Window:
    """How often one kind of record was written lately."""

    began_s: float
    written: int = 0
    suppressed: int = 0


class Recorder:
    """Writes the records of one runtime to one sink."""

    def __init__(self, sink: Path | BinaryIO | None, level: str, limits: Limits, clock: Clock) -> None:
        """Open the sink; without one, records are dropped before they cost anything.

        Raises OSError if a path cannot be opened for appending.
        """
        self._limits = limits
        self._clock = clock
        self._level = LEVELS[level]
        self._queue: queue.Queue[tuple[str, dict[str, object]] | None] = queue.Queue(limits.log_records_max)
        self._windows: dict[tuple[str, object], _Window] = {}
        self.written = 0
        self.lost = 0
        self.failed = 0
        self.informing = sink is not None and self._level <= LEVELS["info"]
        self.debugging = sink is not None and self._level <= LEVELS["debug"]
        self._thread: threading.Thread | None = None
        if sink is not None:
            file = sink.open("ab") if isinstance(sink, Path) else sink
            self._close: Callable[[], None] = file.close if isinstance(sink, Path) else file.flush
            self._logger = structlog.wrap_logger(
                structlog.BytesLogger(file),
                processors=[structlog.processors.add_log_level, render],
                wrapper_class=structlog.make_filtering_bound_logger(self._level),
            )
            self._thread = threading.Thread(target=self._write, name="actors log", daemon=True)
            self._thread.start()

    def record(self, level: str, name: str, **fields: object) -> None:
        """Write one record, of this moment unless ``at_s`` says otherwise; never waits and never raises."""
        if self._thread is None or LEVELS[level] < self._level:
            return
        assert name in RECORDS, f"{name} is not a name of a log record"
        if "at_s" not in fields:
            fields["at_s"] = self._clock.wall_s()
        fields["event"] = name
        try:
            self._queue.put_nowait((level, fields))
        except queue.Full:
            self.lost += 1

    def limited(self, level: str, name: str, reason: object, **fields: object) -> None:
        """Write one record, unless there were many of this name and reason lately."""
        now_s = self._clock.now_s()
        key = (name, reason)
        window = self._windows.get(key)
        if window is None or now_s - window.began_s >= self._limits.log_window_s:
            if window is not None and window.suppressed:
                self.record(level, "records.suppressed", kind=name, reason=reason, count=window.suppressed)
            if len(self._windows) >= WINDOWS_MAX:
                self._windows.clear()  # of so many kinds none is spared; the log may say a little more for it
            window = self._windows[key] = _Window(now_s)
        if window.written < self._limits.log_repeats_max:
            window.written += 1
            self.record(level, name, reason=reason, **fields)
        else:
            window.suppressed += 1

    def summarize(self) -> None:
        """Say how many records were held back that nobody has spoken of yet."""
        windows, self._windows = self._windows, {}
        for (name, reason), window in windows.items():
            if window.suppressed:
                self.record("warning", "records.suppressed", kind=name, reason=reason, count=window.suppressed)

    def close(self) -> None:
        """Write what waits, for a bounded time, and close the sink; it may wait, so call it in a thread."""
        self.summarize()
        if self._thread is not None:
            try:
                self._queue.put(None, timeout=STOP_WAIT_S)
            except queue.Full:
                return  # the sink hangs; its thread ends with the process
            self._thread.join(STOP_WAIT_S)
            self._thread = None

    def _write(self) -> None:
        """Write records until told to stop; what the sink raises is counted and the next record tried."""
        while True:
            item = self._queue.get()
            if item is None:
                break
            level, fields = item
            try:
                name = fields.pop("event")
                getattr(self._logger, level)(name, **fields)
                self.written += 1
            except BaseException:  # noqa: BLE001 - whatever a sink raises, sessions go on
                self.failed += 1
        try:
            self._close()
        except BaseException:  # noqa: BLE001 - see above
            self.failed += 1
