"""A run that is killed at any instant goes on with --resume, and comes to what an undisturbed one does."""

import json
from functools import partial
from pathlib import Path

import apsw
import pytest

from tests.e2e.processes import digests, ended, finished, sessions_running, start, turns_ended, wait_until

pytestmark = pytest.mark.slow

RUN = ("--repeat", "4", "--pace", "8", "--seed", "3", "--json")
"""A pace at which turns last long enough to be interrupted."""
RUNNING_MIN = 12
"""The copies of a conversation run in step; twelve are three conversations, which do not end together."""


def kinds_of(store: Path) -> dict[str, int]:
    """Count the events in the journal by their kind."""
    connection = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)
    found = connection.execute("SELECT json_extract(body, '$.kind'), count(*) FROM event GROUP BY 1").fetchall()
    connection.close()
    return {str(kind): count for kind, count in found if isinstance(count, int)}


def in_full_swing(store: Path, turns: int) -> bool:
    """Say whether so many turns have ended, and so many run that not all can end before a signal arrives."""
    return turns_ended(store) >= turns and sessions_running(store) >= RUNNING_MIN


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run once without being killed, as fast as it goes, and take the digests."""
    store = tmp_path_factory.mktemp("undisturbed") / "s.db"
    code, _, err = finished("run", "--store", str(store), "--repeat", "4", "--json")
    assert code == 0, err
    return digests(store)


@pytest.mark.rule("promise_1", "L7", "pitfall_35")
@pytest.mark.parametrize("kills_at", [(10,), (1, 2, 4, 30, 90)], ids=["once", "five times"])
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    kills_at: tuple[int, ...], tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    """Interrupted turns are begun again, nothing is lost, and nothing is there twice."""
    store = tmp_path / "s.db"
    for kill, turns in enumerate(kills_at):
        process = start("run", "--store", str(store), *RUN, *(["--resume"] if kill else []))
        wait_until(process, partial(in_full_swing, store, turns))
        process.kill()
        assert ended(process)[0] == -9
    code, out, err = finished("run", "--store", str(store), *RUN, "--resume")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["interrupted"] == summary["retried"] > 0
    assert summary["mismatches"] == 0
    assert summary["sum_closed"]
    assert digests(store) == undisturbed
    kinds = kinds_of(store)
    assert kinds["attempt.interrupted"] >= summary["retried"]
    assert kinds["message.accepted"] == kinds["turn.ended"] == summary["turns"]
    assert kinds["turn.started"] == summary["turns"] + kinds["attempt.interrupted"]


@pytest.mark.rule("pitfall_12")
def test_no_message_is_there_twice_after_a_kill(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    """Messages are sent again under their keys, and every key has one turn."""
    store = tmp_path / "s.db"
    process = start("run", "--store", str(store), *RUN)
    wait_until(process, lambda: turns_ended(store) >= 60)
    process.kill()
    ended(process)
    code, _, err = finished("run", "--store", str(store), *RUN, "--resume")
    assert code == 0, err
    _, out, _ = finished("export", "--store", str(store))
    lines = [json.loads(line) for line in out.splitlines()]
    places = [(line["chat_id"], line["message_id"]) for line in lines]
    assert len(places) == len(set(places))
    assert {line["chat_id"] for line in lines} == set(undisturbed)
    assert {line["status"] for line in lines} == {"completed"}
    assert finished("doctor", "--store", str(store))[0] == 0


def test_a_killed_run_is_not_gone_on_with_unasked(tmp_path: Path) -> None:
    """Without --resume the store is refused, and what it holds stays as the kill left it."""
    store = tmp_path / "s.db"
    process = start("run", "--store", str(store), *RUN)
    wait_until(process, lambda: turns_ended(store) >= 5)
    process.kill()
    ended(process)
    before = kinds_of(store)
    code, out, err = finished("run", "--store", str(store), *RUN)
    assert (code, out) == (2, "")
    assert "--resume" in err
    assert kinds_of(store) == before
