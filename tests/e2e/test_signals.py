"""Signals to the real process: once for an orderly end, twice for an end at once."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import (
    ROOT,
    digests,
    ended,
    environment,
    finished,
    sessions_running,
    start,
    turns_ended,
    wait_until,
)

pytestmark = pytest.mark.slow

STUBBORN = """
import sys, trio
from actors.cli import run
from actors.cli.app import main

async def play(self, turn):
    await turn.write("I do not come to an end")
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()

run.Player.answer = play
main(sys.argv[1:])
"""
"""The command line with an agent that hears nothing, so that an orderly end takes its time."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_a_run_in_order_and_it_can_be_resumed(number: signal.Signals, tmp_path: Path) -> None:
    """The exit code names the signal, no turn is cut, and the rest is played later."""
    store = tmp_path / "s.db"
    process = start("run", "--store", str(store), "--pace", "4", "--json")
    wait_until(process, lambda: turns_ended(store) >= 3)
    process.send_signal(number)
    code, out, err = ended(process)
    assert code == 128 + number
    assert err.startswith("stopping;")
    assert "Traceback" not in err
    summary = json.loads(out)
    assert (summary["stopped_by_signal"], summary["exit_code"]) == (number, code)
    assert set(summary["turns_by_status"]) == {"completed"}
    assert summary["sum_closed"]
    code, out, err = finished("run", "--store", str(store), "--json", "--resume")
    assert code == 0, err
    assert json.loads(out)["interrupted"] == 0
    assert len(digests(store)) == 12


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once(number: signal.Signals, tmp_path: Path) -> None:
    """What runs is left as it is on disk, like after a kill, and nothing that was acknowledged is lost."""
    store = tmp_path / "s.db"
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, "run", "--store", str(store), "--json"],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(process, lambda: sessions_running(store) == 12)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("stopping;")
    process.send_signal(number)
    code, out, _ = ended(process)
    assert (code, out) == (128 + number, "")
    assert sessions_running(store) == 12
    code, out, err = finished("run", "--store", str(store), "--json", "--resume")
    assert code == 0, err
    assert json.loads(out)["retried"] == 12


def test_a_run_that_is_stopped_while_it_reads_has_touched_nothing(tmp_path: Path) -> None:
    """A signal is heard before there is a runtime, too."""
    pipe, store = tmp_path / "recording.json", tmp_path / "s.db"
    os.mkfifo(pipe)
    process = start("run", str(pipe), "--store", str(store))
    with pipe.open("w"):  # it is reading now, and nothing comes
        process.send_signal(signal.SIGTERM)
        code, out, err = ended(process)
    assert (code, out) == (143, "")
    assert "Traceback" not in err
    assert not store.exists()


def test_a_reader_that_goes_away_ends_an_export_without_a_word(tmp_path: Path) -> None:
    """As any other filter of a shell does."""
    store = tmp_path / "s.db"
    assert finished("run", "--store", str(store), "--repeat", "30", "--json")[0] == 0
    process = start("export", "--store", str(store))
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 141
    process.stderr.close()
