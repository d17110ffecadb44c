"""One process looks into another: also when that one is killed, and when the next one comes."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from actors.observer.meeting import meeting_path
from tests.e2e.processes import ended, finished, sessions_running, start, wait_until

pytestmark = pytest.mark.slow

RUN = ("--repeat", "4", "--pace", "8", "--seed", "3", "--json")


def inspected(store: Path) -> dict[str, Any]:
    """Look at a store."""
    code, out, err = finished("inspect", "--store", str(store), "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.rule("I1", "I2")
def test_a_process_that_runs_is_looked_into_and_followed_by_others(tmp_path: Path) -> None:
    """Tree, session, a follower that an interrupt ends; a socket that a killed owner left is in nobody's way."""
    store = tmp_path / "s.db"
    owner = start("run", "--store", str(store), *RUN)
    wait_until(owner, lambda: sessions_running(store) >= 4)
    live = inspected(store)["live"]
    assert live is not None
    assert live["sessions_total"] >= 4
    chat_id = live["sessions"][0]["chat_id"]
    follower = start("inspect", "--store", str(store), chat_id, "--follow")
    assert follower.stdout is not None
    assert chat_id in follower.stdout.readline()
    assert "snapshot" in follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    assert ended(follower)[0] == 0
    owner.kill()
    assert ended(owner)[0] == -9
    assert meeting_path(store).exists()
    found = inspected(store)
    assert (found["live"], found["owner"]) == (None, "")
    code, _, err = finished("run", "--store", str(store), *RUN, "--resume")
    assert code == 0, err
    assert not meeting_path(store).exists()
