"""``actors stress`` in its own process and in this one: what it prints, and what its exit code says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from actors.cli.stress import Bar, StressOptions, stress
from actors.errors import ConfigurationError
from actors.host import open_runtime
from actors.stress.plan import ALL_FAULTS, Load
from actors.stress.records import Sampled
from actors.testing import ScriptedAgent

ROOT = Path(__file__).resolve().parent.parent.parent

QUICK = {"sessions": 10, "rate": 20.0, "duration": 1.0, "subscribers": 2}


def test_options_make_the_load_that_they_say() -> None:
    """Every fault at once, but for those that are given; none without being asked for."""
    assert StressOptions().load() == Load()
    assert StressOptions(all_faults=True).load() == Load(**ALL_FAULTS)  # type: ignore[arg-type]  # each by its name
    load = StressOptions(all_faults=True, kills=0, crashing=0.2, duration=3.0, seed=7).load()
    assert (load.kills, load.crashing, load.hanging) == (0, 0.2, ALL_FAULTS["hanging"])
    assert (load.duration_s, load.seed) == (3.0, 7)


async def test_a_store_that_holds_sessions_is_not_used(tmp_path: Path) -> None:
    """A load ends by judging every session of its store."""
    async with open_runtime(tmp_path / "chats.db", agent=ScriptedAgent()) as runtime:
        await runtime.create("live:a")
    with pytest.raises(ConfigurationError, match="holds sessions already"):
        await stress(StressOptions(store=tmp_path / "chats.db"))


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar is for a terminal."""
    with Bar(Load(), quiet=False) as bar:
        bar.update(1.0, Sampled(1.0, 0, {"turns": 1, "crashes": 0}, {}))
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
async def test_a_load_that_held_is_told_as_json_with_exit_code_0(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Findings, sums, latencies and the load, for a machine."""
    with trio.fail_after(60):
        code = await stress(StressOptions(as_json=True, store=tmp_path / "stress.db", **QUICK))  # type: ignore[arg-type]  # by name
    report = json.loads(capsysbinary.readouterr().out)
    assert (code, report["held"]) == (0, True)
    assert report["sums"]["sent"] == report["sums"]["executed"] > 0
    assert report["latencies"]["turn healthy"]["p99_ms"] > 0
    assert report["load"]["sessions"] == 10
    assert report["store"] == str(tmp_path / "stress.db")


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", ["lose", "corrupt", "miscount", "stray"])
async def test_a_load_that_did_not_hold_has_exit_code_1(
    sabotage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a line that begins with FAILED."""
    with trio.fail_after(60):
        code = await stress(StressOptions(store=tmp_path / "stress.db", **QUICK), sabotage=sabotage)  # type: ignore[arg-type]  # by name
    printed = capsys.readouterr().out
    assert code == 1
    assert "\nFAILED  " in printed


@pytest.mark.slow
def test_the_script_is_a_door_to_the_command() -> None:
    """With the same options, tables for people, and the same exit code."""
    arguments = ["--duration", "1", "--sessions", "5", "--rate", "10", "--subscribers", "1", "--churn", "2"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "stress.py"), *arguments],
        capture_output=True, text=True, timeout=60, check=False, env={"COLUMNS": "120", "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "actors stress" in done.stdout
    assert done.stdout.count("\nheld    ") == 8
    assert not done.stderr


@pytest.mark.slow
def test_a_number_out_of_its_range_is_exit_code_2() -> None:
    """By the name of its option, in one line."""
    done = subprocess.run(
        [sys.executable, "-m", "actors", "stress", "--crashing", "2"],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("actors: --crashing is 2.0")
