"""Recorded conversations hosted as live sessions, and what a run says of them."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from actors.cli.export import export
from actors.cli.playback import Pace, Player, Script, write_scripts
from actors.cli.run import DEGRADED_S_MAX, Driver, RunOptions, Tally, prepare, read_recordings, run
from actors.cli.table import LiveTable
from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.errors import (
    ConfigurationError,
    RecordingError,
    StoreFencedError,
    StoreInUseError,
    StoreSchemaError,
    StoreUnavailableError,
)
from actors.host import open_runtime
from actors.recordings.canonical import digest_conversation
from actors.recordings.reader import read_sample, sample_path
from actors.store.checks import list_sessions
from actors.store.faulty import Fails, FaultyJournal
from actors.store.memory import MemoryJournal
from tests.cli.recorded import hanging, living, records, stored, tau2_file

TALK = [("user", "hello"), ("assistant", "good day"), ("user", "bye"), ("assistant", "bye")]


async def summary_of(
    capsys: pytest.CaptureFixture[str], options: RunOptions, *files: Path
) -> tuple[int, dict[str, Any]]:
    """Run with JSON, and return the exit code and the summary."""
    capsys.readouterr()
    code = await run(files, options)
    (summary,) = records(capsys.readouterr().out)
    assert summary["exit_code"] == code
    return code, summary


def sample_scripts() -> dict[ChatId, Script]:
    """Write the scripts of the sample."""
    return write_scripts(read_recordings((), None), Limits(), sessions=None, repeat=1)


@asynccontextmanager
async def driven(journal: FaultyJournal) -> AsyncIterator[tuple[Driver, Tally]]:
    """Open a runtime on a journal that may fail, with the driver of the sample."""
    scripts = sample_scripts()
    tally = Tally(len(scripts))
    async with open_runtime(journal, agent=Player(scripts, Pace(None), 0).answer) as runtime:
        yield Driver(runtime, scripts, Pace(None), tally), tally


async def test_the_sample_comes_back_from_the_store_as_it_was_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every message of every conversation is counted, and every digest is that of the recording."""
    sample = read_sample()
    store = tmp_path / "s.db"
    code, summary = await summary_of(capsys, RunOptions(store=store, as_json=True))
    assert code == summary["mismatches"] == summary["interrupted"] == summary["retried"] == 0
    assert summary["sum_closed"]
    assert summary["sessions"] == len(sample)
    assert summary["turns"] == sum(len(recorded.turns) for recorded in sample)
    assert summary["messages"] == sum(len(list(recorded.messages)) for recorded in sample)
    assert summary["tool_calls"] == sum(digest_conversation(recorded).tool_calls for recorded in sample)
    assert summary["turns_by_status"] == {"completed": summary["turns"]}
    assert summary["dropped"] == {}
    assert summary["signals"] > summary["turns"]
    assert summary["peak_memory_bytes"] > 10_000_000
    await export(store, (), canonical=True)
    exported = {line["chat_id"]: line["canonical_sha256"] for line in records(capsys.readouterr().out)}
    assert exported == {
        f"live:airline.{recorded.name}": digest_conversation(recorded).canonical_sha256 for recorded in sample
    }


async def test_people_get_a_table_and_the_commands_that_follow(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a store a new one is made in a temporary folder; it is kept, and named where it is needed."""
    assert await run((), RunOptions(sessions=2)) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = [line for line in lines if line.startswith("actors ") and "--store" in line]
    store = Path(commands[0].partition("--store ")[2])
    assert [command.split()[1] for command in commands] == ["inspect", "export", "export", "doctor"]
    assert len(list_sessions(store)) == 2
    for path in await trio.Path(store.parent).iterdir():
        await path.unlink()
    await trio.Path(store.parent).rmdir()


async def test_two_files_of_one_name_are_hosted_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file has sessions of its own, also if it is given twice."""
    file = tau2_file(tmp_path / "talk.json", {"one": TALK, "two": TALK[:2]})
    store = tmp_path / "s.db"
    code, summary = await summary_of(capsys, RunOptions(store=store, as_json=True), file, file)
    assert (code, summary["sessions"], summary["turns"]) == (0, 4, 6)
    assert [session.chat_id for session in list_sessions(store)] == [
        "live:talk-2.one",
        "live:talk-2.two",
        "live:talk.one",
        "live:talk.two",
    ]


async def test_more_sessions_than_conversations_go_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A load of any size is made of a small recording."""
    file = tau2_file(tmp_path / "talk.json", {"one": TALK, "two": TALK[:2]})
    options = RunOptions(store=tmp_path / "s.db", sessions=5, repeat=3, as_json=True)
    code, summary = await summary_of(capsys, options, file)
    assert (code, summary["sessions"], summary["turns"]) == (0, 15, 9 * 2 + 6)


async def test_a_store_that_has_the_conversations_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Running twice by mistake must not look like a run: it is refused, and nothing is written."""
    store = tmp_path / "s.db"
    await summary_of(capsys, RunOptions(store=store, sessions=1, as_json=True))
    before = await trio.Path(store).read_bytes()
    with pytest.raises(ConfigurationError, match=r"holds 1 of these 12 conversations already.*--resume"):
        await unwrapped(RunOptions(store=store))
    assert await trio.Path(store).read_bytes() == before
    assert capsys.readouterr().out == ""


async def test_a_store_with_other_finished_sessions_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A store may hold more than one thing; what is there stays as it was."""
    store = await stored(tmp_path / "s.db", "live:mine")
    code, summary = await summary_of(capsys, RunOptions(store=store, as_json=True))
    assert (code, summary["sessions"]) == (0, 12)
    assert len(list_sessions(store)) == 13


async def test_unfinished_turns_of_others_are_not_played(tmp_path: Path) -> None:
    """Opening a store goes on with its queue, so a store whose queue is not of these files is refused."""
    async with hanging(tmp_path / "s.db", "live:mine"):
        pass
    with pytest.raises(ConfigurationError, match="unfinished turns of 1 sessions that are not of these files"):
        await unwrapped(RunOptions(store=tmp_path / "s.db", resume=True))


async def test_resuming_a_finished_run_repeats_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every message is a duplicate and gets its first receipt and result; not one event is written."""
    options = RunOptions(store=tmp_path / "s.db", as_json=True)
    _, first = await summary_of(capsys, options)
    code, second = await summary_of(capsys, attrs.evolve(options, resume=True))
    assert (code, second["events"]) == (0, 0)
    assert [second[name] for name in ("turns", "messages", "tool_calls")] == [
        first[name] for name in ("turns", "messages", "tool_calls")
    ]


async def test_resuming_without_a_store_is_a_new_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was killed before it wrote anything is resumed like any other."""
    code, summary = await summary_of(capsys, RunOptions(store=tmp_path / "s.db", resume=True, as_json=True))
    assert (code, summary["sessions"]) == (0, 12)
    await trio.Path(tmp_path / "empty.db").touch()
    code, summary = await summary_of(capsys, RunOptions(store=tmp_path / "empty.db", as_json=True))
    assert (code, summary["sessions"]) == (0, 12)


async def test_a_transcript_that_differs_is_found_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The comparison is with what is stored, not with what was meant to be."""
    file = tau2_file(tmp_path / "talk.json", {"one": TALK, "two": TALK})
    store = tmp_path / "s.db"
    async with living(store, "live:talk.one"):
        pass  # it has a system prompt and a first turn that are not in the recording
    code, summary = await summary_of(capsys, RunOptions(store=store, resume=True, as_json=True), file)
    assert (code, summary["mismatches"]) == (1, 1)
    (mismatch,) = summary["mismatched"]
    assert mismatch["chat_id"] == "live:talk.one"
    assert mismatch["reason"] == "turn 2 ended failed (rejected the recording has another message in this turn)"


async def test_a_session_that_was_deleted_is_a_mismatch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing brings a deleted id back, and the others are hosted all the same."""
    store = tmp_path / "s.db"
    async with living(store, "live:talk.one") as runtime:
        await runtime.delete("live:talk.one")
    file = tau2_file(tmp_path / "talk.json", {"one": TALK, "two": TALK})
    code, summary = await summary_of(capsys, RunOptions(store=store, as_json=True), file)
    assert (code, summary["turns"]) == (1, 2)
    assert "deleted_chat" in summary["mismatched"][0]["reason"]


async def test_the_log_has_every_event_of_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At level debug, so that the log alone can prove what happened."""
    log = tmp_path / "l.jsonl"
    _, summary = await summary_of(capsys, RunOptions(store=tmp_path / "s.db", log=log, as_json=True))
    lines = [json.loads(line) for line in (await trio.Path(log).read_text()).splitlines()]
    assert summary["log_lost"] == 0
    assert sum(line["event"] == "turn.ended" for line in lines) == summary["turns"]


async def test_real_time_takes_as_long_as_the_recording(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """All conversations begin at once, so a run lasts as long as the longest of them."""
    longest = max(message.at_s or 0.0 for recorded in read_sample() for message in recorded.messages)
    options = RunOptions(store=Path(":memory:"), pace="4", as_json=True)
    code, summary = await summary_of(capsys, options, sample_path())
    assert code == 0
    assert summary["seconds"] == pytest.approx(longest / 4, abs=1.0)


async def test_what_was_accepted_before_is_not_waited_for_again(autojump_clock: MockClock) -> None:
    """A run in real time that is resumed goes on where it was, not where it began."""
    scripts = sample_scripts()
    tally, pace = Tally(len(scripts)), Pace(1.0)
    async with open_runtime(":memory:", agent=Player(scripts, pace, 0).answer) as runtime:
        driver = Driver(runtime, scripts, pace, tally)
        await driver.host_all()
        first_s = trio.current_time()
        await driver.host_all()
    openings = [script.conversation.turns[0].user.at_s or 0.0 for script in scripts.values()]
    assert first_s > max(openings) + 10
    assert trio.current_time() - first_s == pytest.approx(max(openings), abs=1.0)
    assert tally.mismatches == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_lets_running_turns_end_and_tells_its_number(
    number: signal.Signals,
    autojump_clock: MockClock,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No turn is cut: those that run are played to their end without waiting, and nothing new is sent."""
    host_all = Driver.host_all

    async def interrupt() -> None:
        await trio.sleep(10)
        signal.raise_signal(number)

    async def host_and_interrupt(driver: Driver) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupt)
            await host_all(driver)

    monkeypatch.setattr(Driver, "host_all", host_and_interrupt)
    code, summary = await summary_of(capsys, RunOptions(store=Path(":memory:"), pace="real", as_json=True))
    assert code == 128 + number
    assert summary["stopped_by_signal"] == number
    assert set(summary["turns_by_status"]) == {"completed"}
    assert summary["sum_closed"]
    assert summary["mismatches"] == 0


async def test_a_store_that_is_taken_over_ends_the_run_with_an_error() -> None:
    """Every session would be refused from then on; one line says why."""

    async def lose_it() -> None:
        journal = FaultyJournal(MemoryJournal())
        async with driven(journal) as (driver, _):
            journal.plan("commit", Fails(StoreFencedError("taken over")), skip=3)
            await driver.host_all()

    with pytest.raises(ExceptionGroup) as caught:
        await lose_it()
    assert caught.group_contains(StoreFencedError)


async def test_a_store_that_stays_broken_ends_the_run_with_an_error(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run waits for a disk that comes back, says so, and does not wait for ever."""

    async def wait_in_vain() -> None:
        journal = FaultyJournal(MemoryJournal())
        async with driven(journal) as (driver, _), trio.open_nursery() as nursery:
            journal.plan("commit", Fails(), skip=3)
            nursery.start_soon(driver.watch, LiveTable(quiet=True))
            await driver.host_all()

    with pytest.raises(ExceptionGroup) as caught:
        await wait_in_vain()
    assert caught.group_contains(StoreUnavailableError, match="could not be written for 60 seconds")
    assert trio.current_time() >= DEGRADED_S_MAX
    assert capsys.readouterr().err.count("degraded:") == 1


async def test_a_store_that_comes_back_loses_nothing(autojump_clock: MockClock) -> None:
    """Writing goes on where it was, and every transcript is as recorded."""
    journal = FaultyJournal(MemoryJournal())
    async with driven(journal) as (driver, tally), trio.open_nursery() as nursery:
        journal.plan("commit", Fails(), skip=3, times=6)
        nursery.start_soon(driver.watch, LiveTable(quiet=True))
        await driver.host_all()
        await driver.compare_all()
        nursery.cancel_scope.cancel()
    assert tally.mismatches == {}
    assert tally.turns == tally.turns_done == 44


async def test_a_transcript_is_read_in_all_its_pages() -> None:
    """Also when a page holds less than a conversation."""
    scripts = sample_scripts()
    tally = Tally(len(scripts))
    player = Player(scripts, Pace(None), 0)
    async with open_runtime(":memory:", agent=player.answer, limits=Limits(page_rows_max=2)) as runtime:
        driver = Driver(runtime, scripts, Pace(None), tally)
        await driver.host_all()
        await driver.compare_all()
    assert tally.mismatches == {}
    assert tally.messages == sum(len(list(recorded.messages)) for recorded in read_sample())


@pytest.mark.parametrize(
    ("content", "options", "error"),
    [
        (None, {}, RecordingError),
        ("{}", {}, RecordingError),
        ('{"simulations": []}', {}, ConfigurationError),
        ("[]", {"format_name": "pi"}, RecordingError),
    ],
)
def test_a_file_that_cannot_be_hosted_is_an_error(
    content: str | None, options: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    """Before a store is made for it."""
    file = tmp_path / "x.json"
    if content is not None:
        file.write_text(content, "utf-8")
    store = tmp_path / "s.db"
    with pytest.raises(error):
        prepare((file,), RunOptions(store=store, **options), Limits())
    assert not store.exists()


async def test_a_store_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """One that another process owns, one that is none, and one in a folder that is not there."""
    await trio.Path(tmp_path / "junk.db").write_bytes(b"nothing that a database begins with" * 100)
    with pytest.raises(StoreSchemaError):
        await unwrapped(RunOptions(store=tmp_path / "junk.db"))
    with pytest.raises(StoreUnavailableError):
        await unwrapped(RunOptions(store=tmp_path / "none" / "s.db"))
    async with living(tmp_path / "s.db", "live:mine"):
        with pytest.raises(StoreInUseError):
            await unwrapped(RunOptions(store=tmp_path / "s.db"))


async def unwrapped(options: RunOptions) -> None:
    """Run, and raise an error without the group that the nursery put around it."""
    try:
        await run((), options)
    except ExceptionGroup as group:
        (error,) = group.exceptions
        raise error from None
