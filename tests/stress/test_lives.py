"""Whole loads, in processes that are killed: what holds is seen to hold, and what does not is seen too."""

from pathlib import Path

import pytest
import trio

from actors.store.checks import owner_of
from actors.stress.lives import Lives, Report
from actors.stress.plan import ALL_FAULTS, Load

pytestmark = pytest.mark.slow

SMALL = Load(sessions=20, rate=40.0, duration_s=2.0, subscribers=4)


def failed(report: Report) -> list[str]:
    """Name what did not hold."""
    return [finding.what for finding in report.findings if not finding.held]


@pytest.mark.timeout(300)
@pytest.mark.rule("promise_1", "promise_3", "promise_4", "pitfall_35")
async def test_every_fault_at_once_and_kills_leave_every_promise_standing(tmp_path: Path) -> None:
    """A short load with everything that can go wrong: sums close, healthy sessions are what their seed says."""
    load = Load(sessions=60, rate=100.0, duration_s=4.0, subscribers=8, seed=3, **(ALL_FAULTS | {"kills": 2}))  # type: ignore[arg-type]  # by name
    with trio.fail_after(280):
        report = await Lives(load, tmp_path / "stress.db").run()
    assert failed(report) == [], [finding for finding in report.findings if not finding.held]
    assert report.lives == 3
    assert report.sums.executed > 50
    assert report.counts["crashes"] > 0
    assert report.latencies["turn healthy"].count > 0


@pytest.mark.parametrize(
    ("sabotage", "what"),
    [
        ("lose", "everything that was sent has its place"),
        ("corrupt", "no healthy session was touched"),
        ("miscount", "the sums of the runtime close"),
        ("stray", "no task is left over"),
    ],
)
async def test_each_thing_that_goes_wrong_is_found(sabotage: str, what: str, tmp_path: Path) -> None:
    """A message lost, a transcript changed, a count that is off, a task that stays."""
    with trio.fail_after(110):
        report = await Lives(SMALL, tmp_path / "stress.db", sabotage=sabotage).run()
    assert what in failed(report)
    assert not report.held


async def test_memory_that_grows_is_found(tmp_path: Path) -> None:
    """An agent that keeps something of every turn."""
    load = Load(sessions=20, rate=400.0, duration_s=4.0, subscribers=0)
    with trio.fail_after(110):
        report = await Lives(load, tmp_path / "stress.db", sabotage="hoard").run()
    if report.counts["turns"] < 100:
        pytest.skip("the machine is too slow at the moment for memory to grow far enough")
    assert failed(report) == ["memory is flat after its warm-up"]


async def test_a_process_that_cannot_begin_is_told_with_its_last_words(tmp_path: Path) -> None:
    """The store is a folder: nothing was sent, and nothing held that has to be shown."""
    (tmp_path / "stress.db").mkdir()
    lives = Lives(SMALL, tmp_path / "stress.db")
    with trio.fail_after(110), pytest.raises(Exception, match=r"stress\.db|database|directory"):
        await lives.run()
    assert "exit code 1" in lives._wrong[0]  # noqa: SLF001 - there is no report of a store that cannot be read


async def test_whoever_gives_up_leaves_no_process_behind(tmp_path: Path) -> None:
    """A load that is cancelled ends the life that it started, and waits for its end."""
    load = Load(sessions=5, rate=10.0, duration_s=60.0)
    heard = trio.Event()
    lives = Lives(load, tmp_path / "stress.db", watch=lambda _, __: heard.set())
    with trio.fail_after(110):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lives.run)
            await heard.wait()
            nursery.cancel_scope.cancel()
    assert not owner_of(tmp_path / "stress.db")
