"""The commands as a shell sees them: what is printed, where, and with which exit code."""

import json
import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import trio

from actors.cli import app as module
from actors.cli import doctor
from actors.cli.app import app, main
from actors.errors import ConfigurationError, StoreFencedError
from tests.cli.recorded import records, stored


def code_of(*tokens: str) -> int:
    """Run the command line and return its exit code."""
    with pytest.raises(SystemExit) as caught:
        main(tokens)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("command", ["run", "export", "chat", "inspect", "dead-letters", "doctor"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its help names its options, and none of the machinery behind them."""
    assert code_of(command, "--help") == 0
    text = capsys.readouterr().out
    assert "--store" in text
    assert "--options" not in text


def test_the_version_is_told_whether_or_not_it_is_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a checkout there is no version to name."""

    def missing(_: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr(module, "version", missing)
    assert code_of("--version") == 0
    assert capsys.readouterr().out == "not installed\n"


def test_the_sample_runs_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every option finds its place."""
    store, log = tmp_path / "s.db", tmp_path / "l.jsonl"
    options = ["--store", str(store), "--log", str(log), "--sessions", "3", "--repeat", "2", "--seed", "5"]
    assert code_of("run", *options, "--pace", "max", "--format", "tau2-bench", "--json") == 0
    (summary,) = records(capsys.readouterr().out)
    assert summary["sessions"] == 6
    assert code_of("run", *options, "--resume", "--json") == 0
    assert code_of("export", "--store", str(store), "--canonical") == 0
    assert len(records(capsys.readouterr().out.partition("\n")[2])) == 6
    assert code_of("doctor", "--store", str(store), "--json") == 0


def test_an_error_of_ours_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback: what happened, and what to do."""
    assert code_of("export", "--store", str(tmp_path / "s.db")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("actors: there is no store at ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("tokens", [("run", "--sessions", "0"), ("inspect",), ("fly",), ("run", "--repeat", "x")])
def test_a_command_line_that_makes_no_sense_is_exit_code_2(
    tokens: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The parser says what is wrong with it, on standard error."""
    assert code_of(*tokens) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err


def test_an_error_is_found_in_the_groups_of_nurseries(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever task an error comes from, the line is the same."""

    async def fail(*_: object, **__: object) -> int:
        async def lose() -> None:
            message = "another process has taken the store over"
            raise StoreFencedError(message, hint="wait")

        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            inner.start_soon(lose)
            outer.start_soon(trio.sleep_forever)
        return 0

    monkeypatch.setattr(doctor, "examine", fail)
    assert code_of("doctor") == 2
    assert capsys.readouterr().err == "actors: another process has taken the store over; wait\n"


def test_a_bug_is_not_taken_for_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected keeps its traceback, also beside an error of ours."""

    async def fail(*_: object, **__: object) -> int:
        message = "two at once"
        raise ExceptionGroup(message, [ConfigurationError("a"), ValueError("b")])

    monkeypatch.setattr(doctor, "examine", fail)
    with pytest.raises(ExceptionGroup):
        main(["doctor"])


def test_an_interrupt_before_anybody_listens_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when a nursery has wrapped it."""

    async def fail(*_: object, **__: object) -> int:
        message = "wrapped"
        raise BaseExceptionGroup(message, [KeyboardInterrupt()])

    monkeypatch.setattr(doctor, "examine", fail)
    assert code_of("doctor") == 130


def test_a_reader_that_goes_away_ends_an_export_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``actors export … | head`` is how a store is looked at."""
    store = tmp_path / "s.db"
    trio.run(stored, store, "live:a")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        monkeypatch.setattr("sys.stdout", gone)
        assert code_of("export", "--store", str(store)) == 141
    assert capfd.readouterr().err == ""


def test_commands_can_be_called_from_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The app returns the exit code, so that a program of the host's can go on."""
    store = tmp_path / "s.db"
    trio.run(stored, store, "live:a")
    assert app(["inspect", "live:a", "--store", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chat_id"] == "live:a"
