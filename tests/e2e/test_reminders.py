"""A process that is reminded many times a second is killed again and again: each tick comes once, no child goes on."""

import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from actors.store.checks import check_store
from tests.e2e.reminded import SESSIONS

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("reminded.py")
ROOT = PROGRAM.parent.parent.parent


def run_for(store: Path, seconds: float) -> None:
    """Start the program, let it work for a while, and kill it."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), str(store)], stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        time.sleep(seconds)
        process.kill()


def rows_of(store: Path, statement: str) -> list[tuple[object, ...]]:
    """Read from a store that nobody owns."""
    connection = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)
    found = connection.execute(statement).fetchall()
    connection.close()
    return found


@pytest.mark.rule("promise_path_42", "promise_path_41")
def test_r2_a_process_that_is_killed_again_and_again_doubles_and_loses_no_tick(tmp_path: Path) -> None:
    """Ticks are numbered without a gap, each has one message, and children of dead turns have ended."""
    store = tmp_path / "s.db"
    for seconds in (0.3, 0.11, 0.23, 0.07, 0.31):
        run_for(store, seconds)
    fired = rows_of(
        store,
        "SELECT chat, count(*), count(DISTINCT json_extract(body, '$.tick')), max(json_extract(body, '$.tick'))"
        " FROM event WHERE json_extract(body, '$.kind')='reminder.fired' GROUP BY chat",
    )
    assert len(fired) == SESSIONS
    for _, count, different, last in fired:
        assert isinstance(last, int)
        assert count == different == last + 1 > 10
    assert not rows_of(
        store, "SELECT message_id FROM message WHERE position=-1 GROUP BY chat, message_id HAVING count(*) > 1"
    )
    open_orphans = """
        SELECT count(*) FROM turn JOIN session USING (chat) JOIN turn AS above ON above.chat = session.parent
        WHERE turn.ended_seq IS NULL AND above.ended_seq IS NOT NULL
        AND above.turn = (SELECT json_extract(body, '$.parent_turn') FROM event WHERE event.chat=session.chat AND seq=1)
    """
    run_for(store, 0.0)  # whatever the last kill left is settled before the program says that it is open
    assert rows_of(store, open_orphans) == [(0,)]
    assert [finding.detail for finding in check_store(store) if not finding.ok] == []
