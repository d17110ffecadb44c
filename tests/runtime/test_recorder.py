"""Log records are written beside the loop: a sink that fails or hangs disturbs nobody; no person's text is in them."""

import threading
from io import BytesIO
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from actors import (
    AskTimeoutError,
    Limits,
    RefusedError,
    Reject,
    Runtime,
    Session,
    Turn,
    agent,
)
from actors.runtime.recorder import LEVELS, Recorder, render
from actors.store.memory import MemoryJournal
from actors.telemetry import KEYS, RECORDS
from actors.testing import (
    Ask,
    Call,
    Do,
    Fails,
    FaultyJournal,
    Hang,
    IgnoreCancel,
    LateWrite,
    Raise,
    SaveState,
    Say,
    Script,
    ScriptedAgent,
    Think,
    VirtualClock,
    checked_runtime,
    records_of,
)

PRIVATE = "7b3f-somebodys-own-words"

SENTENCES_PER_TURN_MAX = 2


class RaisingSink(BytesIO):
    """A sink that raises at every write, and at its end."""

    def __init__(self, error: BaseException) -> None:
        """Raise this error."""
        super().__init__()
        self.error = error

    @override
    def write(self, data: object) -> int:
        raise self.error

    @override
    def flush(self) -> None:
        raise self.error


class BlockedSink(BytesIO):
    """A sink that blocks until it is released."""

    def __init__(self) -> None:
        """Start blocked."""
        super().__init__()
        self.released = threading.Event()

    @override
    def write(self, data: bytes) -> int:  # type: ignore[override]  # bytes are all it is given
        self.released.wait()
        return super().write(data)


async def talk(runtime: Runtime, turns: int = 3) -> None:
    """Hold a short conversation."""
    await runtime.create("live:a")
    for number in range(turns):
        assert (await (await runtime.send("live:a", f"message {number}")).result()).ok


@pytest.mark.parametrize("error", [OSError("disk full"), ZeroDivisionError(), SystemExit(), KeyboardInterrupt()])
async def test_a_sink_that_raises_disturbs_nobody_and_is_counted(
    error: BaseException, autojump_clock: MockClock
) -> None:
    """Every record that could not be written is known to be missing."""
    sink = RaisingSink(error)
    async with checked_runtime(log=sink) as runtime:
        await talk(runtime)
    statistics = runtime.statistics()
    assert statistics.log_failed > 3
    assert statistics.log_written == 0


async def test_a_sink_that_blocks_holds_up_no_session_and_no_shutdown(autojump_clock: MockClock) -> None:
    """Records wait in a bounded queue; what does not fit is counted; the close does not wait for ever."""
    sink = BlockedSink()
    try:
        async with checked_runtime(log=sink, limits=Limits(log_records_max=5)) as runtime:
            await talk(runtime, 10)
        assert runtime.statistics().log_lost > 10
    finally:
        sink.released.set()


async def test_a_log_can_be_a_file_that_is_appended_to(autojump_clock: MockClock, tmp_path: Path) -> None:
    """One line for each record, and the next life goes on below."""
    path = tmp_path / "log.jsonl"
    for _ in range(2):
        async with checked_runtime(log=path) as runtime:
            await talk(runtime)
    records = records_of(BytesIO(path.read_bytes()))
    assert [record["event"] for record in records].count("runtime.opened") == 2
    assert all(record["event"] in RECORDS and set(record) <= KEYS for record in records)


async def test_a_turn_writes_at_most_two_records_at_level_info(autojump_clock: MockClock) -> None:
    """However much it says, calls and asks; the log of a busy day can be kept."""
    script = ScriptedAgent([Say("words " * 100, pieces=100), Think("hm"), Call("one"), Call("two"), Say("end")])
    log = BytesIO()
    async with checked_runtime(script, log=log, log_level="info") as runtime:
        await talk(runtime, 50)
    records = [record for record in records_of(log) if "chat_id" in record]
    assert len(records) <= 50 * SENTENCES_PER_TURN_MAX
    ended = [record for record in records if record["event"] == "turn.ended"]
    assert [(record["turn"], record["status"]) for record in ended] == [(n, "completed") for n in range(1, 51)]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
async def test_a_level_leaves_out_what_is_below_it(level: str, autojump_clock: MockClock) -> None:
    """And what is left out costs nothing and is not lost."""
    log = BytesIO()
    async with checked_runtime(
        ScriptedAgent(scripts={("live:b", 1): [Raise(ValueError)]}),
        log=log,
        log_level=level,  # type: ignore[arg-type]
    ) as runtime:
        await talk(runtime)
        await runtime.create("live:b")
        await (await runtime.send("live:b", "hello")).result()
    levels = {record["level"] for record in records_of(log)}
    assert {LEVELS[each] >= LEVELS[level] for each in levels} == {True}
    assert runtime.statistics().log_lost == 0


async def test_repeated_records_are_written_so_often_and_then_counted(autojump_clock: MockClock) -> None:
    """A flood of drops is a handful of lines; one line per window says how many there were."""
    log = BytesIO()
    limits = Limits(log_repeats_max=10, log_window_s=300.0)
    async with checked_runtime(limits=limits, log=log) as runtime:
        for round_number in range(3):
            for _ in range(1000):
                with pytest.raises(RefusedError):
                    await runtime.send("live:nobody", "hello")
            with pytest.raises(RefusedError):
                await runtime.send("", f"another reason {round_number}")
            await trio.sleep(301.0)
        assert runtime.statistics().dropped == {"unknown_chat": 3000, "missing_id": 3}
    records = records_of(log)
    drops = [record["reason"] for record in records if record["event"] == "envelope.dropped"]
    assert (drops.count("unknown_chat"), drops.count("missing_id")) == (30, 3)
    suppressed = [record for record in records if record["event"] == "records.suppressed"]
    assert [(record["reason"], record["count"]) for record in suppressed] == [("unknown_chat", 990)] * 3


async def test_no_record_holds_what_a_person_or_a_model_said(autojump_clock: MockClock) -> None:
    """The same words in every place a host can put them, at level debug; none of them is in the log."""

    async def receive(session: Session, payload: object) -> object:
        if payload == {"raise": PRIVATE}:
            raise ValueError(PRIVATE)
        if payload == {"refuse": PRIVATE}:
            raise Reject(PRIVATE)
        if payload == {"late": PRIVATE}:
            await trio.sleep(2.0)
        return PRIVATE

    async def tool(turn: Turn) -> None:
        async def fail() -> object:
            raise RuntimeError(PRIVATE)

        await turn.tool(PRIVATE, fail, {"argument": PRIVATE}, call_id=PRIVATE)
        await turn.progress("working", PRIVATE)

    words: Script = [Say(PRIVATE), Think(PRIVATE), Do(tool), SaveState({"key": PRIVATE}), LateWrite(PRIVATE)]
    script = ScriptedAgent(
        words,
        {
            ("live:a", 2): [Ask(PRIVATE, "choice", (PRIVATE, "other"))],
            ("live:a", 3): [Raise(ValueError(PRIVATE))],
            ("live:a", 4): [Raise(Reject(PRIVATE))],
            ("live:a", 5): [Say(PRIVATE), IgnoreCancel(30.0, PRIVATE)],
            ("live:a", 6): [Hang()],
        },
    )
    log = BytesIO()
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(agent(script, receive=receive), store=journal, log=log) as runtime:
        await runtime.create("live:a", history=[("system", PRIVATE)])
        journal.plan("commit", Fails(ValueError(PRIVATE)), times=1)
        await (await runtime.send("live:a", PRIVATE, sender=PRIVATE)).result()
        receipt = await runtime.send("live:a", PRIVATE)
        await wait_all_tasks_blocked()
        await runtime.answer("live:a", "live:a/2/0", PRIVATE)
        await receipt.result()
        for _ in range(2):
            await (await runtime.send("live:a", PRIVATE)).result()
        for _ in range(2):
            receipt = await runtime.send("live:a", PRIVATE)
            await wait_all_tasks_blocked()
            await receipt.cancel()
        await provoke(runtime)
        await script.write_late()
        await trio.sleep(60.0)
    records = records_of(log)
    assert {"turn.ended", "turn.abandoned", "turn.late_output", "session.crashed", "store.degraded"} <= {
        record["event"] for record in records
    }
    assert not [record for record in records if PRIVATE in str(record)]
    assert all(record["event"] in RECORDS and set(record) <= KEYS for record in records)


async def provoke(runtime: Runtime) -> None:
    """Have volatile messages fail in every way, and envelopes refused for what they carry."""
    for what in ("raise", "refuse"):
        await runtime.tell("live:a", {what: PRIVATE})
        with pytest.raises(Exception, match=r"."):
            await runtime.ask("live:a", {what: PRIVATE})
    with pytest.raises(AskTimeoutError):
        await runtime.ask("live:a", {"late": PRIVATE}, timeout_s=1.0)
    for text in (f"\ud800{PRIVATE}", "", 7):
        with pytest.raises(RefusedError):
            await runtime.send("live:a", text)
    with pytest.raises(RefusedError):
        await runtime.send("live:a", PRIVATE, message_id=f"{PRIVATE}/")
    with pytest.raises(RefusedError):
        await runtime.tell("live:a", [PRIVATE, object()])


async def test_an_address_of_any_kind_can_be_logged(autojump_clock: MockClock) -> None:
    """Also one whose text would break a line, is endless, or cannot be made at all."""

    class Unspeakable:
        """Something that cannot be shown."""

        @override
        def __repr__(self) -> str:
            raise ZeroDivisionError

    log = BytesIO()
    async with checked_runtime(log=log) as runtime:
        for chat_id in ("a\nb", "x" * 100_000, b"y" * 100_000, Unspeakable(), [Unspeakable()]):
            with pytest.raises(RefusedError):
                await runtime.send(chat_id, "hello")
        assert runtime.statistics().refused == 5
        assert len(runtime.dead_letters()) == 5
    drops = [record for record in records_of(log) if record["event"] == "envelope.dropped"]
    assert len(drops) == 5
    assert all(len(record["chat_id"]) <= 300 for record in drops)


def test_a_value_that_json_cannot_hold_is_shown_and_not_raised() -> None:
    """A record must never fail the thing it speaks of."""
    assert render(None, "info", {"event": "x", "value": object}) == b'{"event":"x","value":"<class \'object\'>"}'
    assert b"ud800" in render(None, "info", {"event": "x", "value": "\ud800"})
    assert render(None, "info", {1: {2: {3}}})


def test_without_a_sink_nothing_is_kept_and_nothing_runs() -> None:
    """Records cost nothing where nobody reads them."""
    before = threading.active_count()
    recorder = Recorder(None, "debug", Limits(), VirtualClock())
    recorder.record("error", "store.degraded")
    recorder.close()
    assert threading.active_count() == before
    assert (recorder.written, recorder.lost, recorder.debugging, recorder.informing) == (0, 0, False, False)


async def test_the_windows_of_rate_limits_are_bounded(autojump_clock: MockClock) -> None:
    """A crash loop of every session there is leaves no map that only grows."""
    recorder = Recorder(None, "debug", Limits(), VirtualClock())
    for number in range(25_000):
        recorder.limited("error", "session.crashed", f"live:{number}")
    assert len(recorder._windows) <= 10_000  # noqa: SLF001 - what this is about
