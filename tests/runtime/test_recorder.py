"""The log is written beside the sessions: bounded, counted, at a limited rate, and never in anybody's way."""

import json
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from trio.testing import MockClock
from typing_extensions import Buffer, override

from actors import Limits
from actors.runtime import recorder as module
from actors.runtime.recorder import LEVELS, Recorder, render
from actors.telemetry import RECORDS
from actors.testing import VirtualClock, checked_runtime, records_of

LONG_S = 30.0
"""A bound for threads that answer at once if all is well."""


class Failing(BytesIO):
    """A sink that raises while it is told to."""

    fails = True

    @override
    def write(self, buffer: Buffer, /) -> int:
        if self.fails:
            raise OSError(28, "No space left on device")
        return super().write(buffer)


class Blocking(BytesIO):
    """A sink that takes a record and does not come back until it is let go."""

    def __init__(self) -> None:
        """Block from the first record on."""
        super().__init__()
        self.entered = threading.Event()
        self.let_go = threading.Event()

    @override
    def write(self, buffer: Buffer, /) -> int:
        self.entered.set()
        assert self.let_go.wait(LONG_S)
        return super().write(buffer)


class Unflushable(BytesIO):
    """A sink that cannot be closed properly."""

    @override
    def flush(self) -> None:
        raise OSError(5, "Input/output error")


def recorder_of(sink: BytesIO | Path | None, level: str = "debug", **limits: float) -> Recorder:
    """Make a recorder with these limits."""
    return Recorder(sink, level, Limits(**limits), VirtualClock())  # type: ignore[arg-type]  # limits by name


def closed(recorder: Recorder, log: BytesIO) -> list[dict[str, object]]:
    """Close a recorder and read what it wrote, without the times."""
    recorder.close()
    return [{key: value for key, value in record.items() if key != "at_s"} for record in records_of(log)]


async def test_a_record_is_one_line_with_its_name_level_and_time(autojump_clock: MockClock) -> None:
    """What reads it knows nothing else."""
    log = BytesIO()
    recorder = recorder_of(log)
    recorder.record("info", "runtime.opened", epoch=3, sessions=7)
    recorder.close()
    (line,) = log.getvalue().splitlines()
    record = json.loads(line)
    assert record.pop("at_s") == pytest.approx(1_750_000_000.0)
    assert record == {"event": "runtime.opened", "level": "info", "epoch": 3, "sessions": 7}
    assert (recorder.written, recorder.lost, recorder.failed) == (1, 0, 0)


async def test_records_are_written_in_the_order_in_which_they_were_made(autojump_clock: MockClock) -> None:
    """All of them, before the log is closed."""
    log = BytesIO()
    recorder = recorder_of(log)
    for number in range(500):
        recorder.record("debug", "journal.event", seq=number)
    assert [record["seq"] for record in closed(recorder, log)] == list(range(500))


@pytest.mark.parametrize("level", LEVELS)
async def test_a_log_has_the_records_from_its_level_on(level: str, autojump_clock: MockClock) -> None:
    """What is below costs nothing, and those who ask beforehand are told so."""
    log = BytesIO()
    recorder = recorder_of(log, level)
    for each in LEVELS:
        recorder.record(each, "runtime.opened")
    assert recorder.informing is (level in {"debug", "info"})
    assert recorder.debugging is (level == "debug")
    names = list(LEVELS)
    assert [record["level"] for record in closed(recorder, log)] == names[names.index(level) :]


async def test_without_a_sink_nothing_is_written_and_nothing_is_lost(autojump_clock: MockClock) -> None:
    """A host that wants no log has none."""
    recorder = recorder_of(None, log_repeats_max=1)
    for _ in range(3):
        recorder.record("error", "store.fenced")
        recorder.limited("error", "store.fenced", "reason")
    recorder.close()
    assert (recorder.written, recorder.lost, recorder.failed) == (0, 0, 0)
    assert not recorder.informing
    assert not recorder.debugging


async def test_a_record_without_a_name_of_the_contract_is_a_bug(autojump_clock: MockClock) -> None:
    """Whoever reads the log could not know of it."""
    recorder = recorder_of(BytesIO())
    with pytest.raises(AssertionError, match="is not a name of a log record"):
        recorder.record("info", "something.else")
    recorder.close()


async def test_a_log_is_appended_to_a_file(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The lives of a runtime stand in one file, one after the other."""
    path = tmp_path / "log.jsonl"
    for epoch in (1, 2):
        recorder = recorder_of(path)
        recorder.record("info", "runtime.opened", epoch=epoch)
        recorder.close()
    assert [json.loads(line)["epoch"] for line in path.read_text("utf-8").splitlines()] == [1, 2]


async def test_a_file_that_cannot_be_opened_is_told_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Not when the first record is lost."""
    with pytest.raises(OSError, match="No such file"):
        recorder_of(tmp_path / "nowhere" / "log.jsonl")


async def test_a_sink_that_raises_is_counted_and_tried_again(autojump_clock: MockClock) -> None:
    """A disk that was full and is not any more has the records from then on."""
    log = Failing()
    recorder = recorder_of(log)
    for _ in range(3):
        recorder.record("info", "runtime.opened")
    recorder.close()
    assert (recorder.written, recorder.lost, recorder.failed, log.getvalue()) == (0, 0, 3, b"")
    again = recorder_of(log)
    log.fails = False
    again.record("info", "runtime.opened")
    again.close()
    assert (again.written, again.failed, len(records_of(log))) == (1, 0, 1)


async def test_a_sink_that_cannot_be_closed_is_counted(autojump_clock: MockClock) -> None:
    """Whoever closes the runtime does not hear of it."""
    recorder = recorder_of(Unflushable())
    recorder.close()
    assert recorder.failed == 1


async def test_a_sink_that_blocks_holds_a_bounded_number_of_records(autojump_clock: MockClock) -> None:
    """What does not fit is counted, and what fitted is written when the sink goes on."""
    log = Blocking()
    recorder = recorder_of(log, log_records_max=5)
    recorder.record("debug", "journal.event", seq=0)
    assert log.entered.wait(LONG_S)
    for number in range(1, 21):
        recorder.record("debug", "journal.event", seq=number)
    assert (recorder.written, recorder.lost) == (0, 15)
    log.let_go.set()
    assert [record["seq"] for record in closed(recorder, log)] == [0, 1, 2, 3, 4, 5]
    assert (recorder.written, recorder.lost, recorder.failed) == (6, 15, 0)


@pytest.mark.parametrize("records", [1, 10], ids=["room in the queue", "queue full"])
async def test_closing_a_sink_that_blocks_takes_a_bounded_time(
    records: int, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Its thread ends with the process; nobody waits for it."""
    monkeypatch.setattr(module, "STOP_WAIT_S", 0.01)
    log = Blocking()
    recorder = recorder_of(log, log_records_max=5)
    recorder.record("debug", "journal.event")
    assert log.entered.wait(LONG_S)
    for _ in range(records - 1):
        recorder.record("debug", "journal.event")
    recorder.close()
    assert (recorder.written, recorder.lost) == (0, max(0, records - 6))
    log.let_go.set()


@pytest.mark.parametrize("sink", [Failing, Blocking])
async def test_sessions_go_on_whatever_the_sink_does(
    sink: Callable[[], Failing | Blocking], monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Every message is answered, and the counts say that the log has not kept up."""
    monkeypatch.setattr(module, "STOP_WAIT_S", 0.01)
    log = sink()
    async with checked_runtime(log=log, limits=Limits(log_records_max=5)) as runtime:
        await runtime.create("live:a")
        for number in range(20):
            assert (await (await runtime.send("live:a", f"message {number}")).result()).text == "ok"
    counted = runtime.statistics()
    assert counted.turns == {"completed": 20}
    assert counted.log_written == 0
    assert counted.log_lost + counted.log_failed > 0
    if isinstance(log, Blocking):
        assert counted.log_lost > 0
        log.let_go.set()


async def test_what_repeats_is_written_a_few_times_and_then_counted(autojump_clock: MockClock) -> None:
    """A flood of one kind is one line for each window, with how many there were."""
    log = BytesIO()
    recorder = recorder_of(log, log_repeats_max=2, log_window_s=10.0)
    for _ in range(5):
        recorder.limited("warning", "envelope.dropped", "busy", kind="tell")
    autojump_clock.jump(9.9)
    recorder.limited("warning", "envelope.dropped", "busy", kind="tell")
    autojump_clock.jump(0.1)
    recorder.limited("warning", "envelope.dropped", "busy", kind="tell")
    dropped: dict[str, object] = {"event": "envelope.dropped", "level": "warning", "reason": "busy", "kind": "tell"}
    suppressed = dropped | {"event": "records.suppressed", "kind": "envelope.dropped", "count": 4}
    assert closed(recorder, log) == [dropped, dropped, suppressed, dropped]


async def test_a_quiet_window_leaves_no_line_of_its_own(autojump_clock: MockClock) -> None:
    """Nothing was suppressed, so nothing is said about it."""
    log = BytesIO()
    recorder = recorder_of(log, log_repeats_max=2, log_window_s=10.0)
    for _ in range(3):
        recorder.limited("warning", "turn.late_output", "live:a")
        autojump_clock.jump(10.0)
    assert [record["event"] for record in closed(recorder, log)] == ["turn.late_output"] * 3


async def test_one_reason_does_not_silence_another(autojump_clock: MockClock) -> None:
    """Each name and reason has its own number of lines."""
    log = BytesIO()
    recorder = recorder_of(log, log_repeats_max=1)
    for reason in ("busy", "stopping", "busy"):
        recorder.limited("warning", "envelope.dropped", reason)
    recorder.limited("error", "session.crashed", "busy")
    records = [(record["event"], record["reason"]) for record in closed(recorder, log)]
    assert records[:3] == [
        ("envelope.dropped", "busy"),
        ("envelope.dropped", "stopping"),
        ("session.crashed", "busy"),
    ]


async def test_what_was_suppressed_is_told_before_the_log_ends(autojump_clock: MockClock) -> None:
    """A flood just before the end is in the log too."""
    log = BytesIO()
    recorder = recorder_of(log, log_repeats_max=1)
    for _ in range(8):
        recorder.limited("warning", "envelope.dropped", "busy")
    last = closed(recorder, log)[-1]
    assert (last["event"], last["kind"], last["reason"], last["count"]) == (
        "records.suppressed",
        "envelope.dropped",
        "busy",
        7,
    )


@pytest.mark.parametrize(
    "value",
    [object(), {object(): 1}, float("nan"), 1 << 200, b"\xff", {1, 2}, ValueError("\ud800"), "\ud800", "a\nb\x1b[31m"],
    ids=["object", "key", "nan", "large", "bytes", "set", "error", "surrogate", "lines"],
)
def test_every_value_becomes_one_line_of_json(value: object) -> None:
    """A record must never fail the thing it speaks of, nor forge another line."""
    line = render(None, "", {"event": "runtime.opened", "error": value})
    assert b"\n" not in line
    assert len(json.loads(line)) == 2


def test_a_value_that_holds_itself_becomes_a_line_too() -> None:
    """It is shown as far as that goes."""
    loop: list[object] = []
    loop.append(loop)
    assert b"[[...]]" in render(None, "", {"event": "runtime.opened", "error": loop})


async def test_closing_a_log_twice_is_closing_it_once(autojump_clock: MockClock) -> None:
    """And what comes afterwards goes nowhere."""
    log = BytesIO()
    recorder = recorder_of(log)
    recorder.record("info", "runtime.closed")
    recorder.close()
    recorder.close()
    recorder.record("info", "runtime.closed")
    assert (len(records_of(log)), recorder.written, recorder.lost) == (1, 1, 0)
    assert "runtime.closed" in RECORDS
