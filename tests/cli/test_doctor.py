"""Whether the environment and a store are sound, a line for each check, and a remedy for each fault."""

from pathlib import Path

import apsw
import pytest

from actors.cli import doctor
from actors.cli.doctor import check_environment, examine
from tests.cli.recorded import hanging, records, stored


async def test_a_sound_store_has_only_good_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Environment first, then the store; nothing asks to be done."""
    store = await stored(tmp_path / "s.db", "live:a", "live:b")
    assert await examine(store, as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "ok  python",
        "ok  sqlite",
        "ok  trio",
        "ok  schema",
        "ok  integrity",
        "ok  foreign keys",
        "ok  aliases",
        "ok  numbering",
        "ok  projections",
        "ok  owner",
    ]


async def test_a_store_in_use_is_sound_and_names_its_owner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Open turns, open calls and queued messages are no faults."""
    async with hanging(tmp_path / "s.db", "live:a"):
        assert await examine(tmp_path / "s.db", as_json=True) == 0
    (found,) = records(capsys.readouterr().out)
    assert found["ok"]
    assert found["findings"][-1]["detail"].startswith("owned by process ")


async def test_a_fault_is_a_bad_line_with_a_remedy_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong is named, and what to do about it stands in the same line."""
    store = await stored(tmp_path / "s.db", "live:a")
    apsw.Connection(str(store)).execute("UPDATE turn SET status='failed'")
    assert await examine(store, as_json=False) == 1
    (bad,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("bad")]
    assert bad.startswith("bad projections: live:a: turn 1")
    assert "restore" in bad


async def test_faults_as_json_have_their_remedy_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing store is a finding like any other."""
    assert await examine(tmp_path / "s.db", as_json=True) == 1
    (found,) = records(capsys.readouterr().out)
    (bad,) = [finding for finding in found["findings"] if not finding["ok"]]
    assert not found["ok"]
    assert bad["name"] == "schema"
    assert bad["detail"].startswith("there is no store")
    assert bad["remedy"] == "check the path"


async def test_without_a_store_only_the_environment_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever installs the package can see whether it will run."""
    assert await examine(None, as_json=True) == 0
    (found,) = records(capsys.readouterr().out)
    assert [finding["name"] for finding in found["findings"]] == ["python", "sqlite", "trio"]


def test_a_version_that_is_too_old_is_told_with_the_one_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are compared as numbers: 3.9 is older than 3.51."""
    monkeypatch.setattr(doctor, "sqlite_version", lambda: "3.9.2")
    (sqlite,) = [finding for finding in check_environment() if finding.name == "sqlite"]
    assert not sqlite.ok
    assert sqlite.remedy == "install sqlite 3.51.3 or newer"
