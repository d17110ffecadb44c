"""One life under load, on a virtual clock: it tells everything, comes to rest, and leaves nothing behind."""

import pytest
from trio.testing import MockClock

from actors.stress.ledger import Ledger
from actors.stress.life import live, memory_bytes
from actors.stress.plan import ALL_FAULTS, Load
from actors.stress.records import AnyLine, Begun, Closed, Job, Sampled, Sent, Settled, Took, Wrong, job_of

QUIET = Load(sessions=10, rate=20.0, duration_s=5.0, subscribers=3)


async def told_by(load: Load, **changes: object) -> list[AnyLine]:
    """Live one life in memory, and return what it told."""
    told: list[AnyLine] = []
    job = job_of(load, ":memory:", 1, load.duration_s)
    fields = {name: getattr(job, name) for name in Job.__struct_fields__}
    await live(Job(**(fields | changes)), told.append)
    return told


async def test_a_quiet_life_has_no_complaint_and_closes_its_sums(autojump_clock: MockClock) -> None:
    """It begins, tells samples, comes to rest, and closes with the tasks that there were."""
    told = await told_by(QUIET)
    assert isinstance(told[0], Begun)
    assert [line for line in told if isinstance(line, Wrong)] == []
    settled = next(line for line in told if isinstance(line, Settled))
    assert settled.closed
    assert settled.sums["executed"] == settled.sums["sent"] > 50
    assert isinstance(told[-1], Closed)
    assert told[-1].tasks[0] == told[-1].tasks[1]
    samples = [line for line in told if isinstance(line, Sampled)]
    assert len(samples) > 100
    assert samples[-1].counts["turns"] == sum(isinstance(line, Took) for line in told)


async def test_a_life_with_every_fault_at_once_has_no_complaint_either(autojump_clock: MockClock) -> None:
    """Crashes, hangs, shields, blocks, floods, duplicates, cancellations, invalid calls and churn."""
    load = Load(sessions=60, rate=60.0, duration_s=8.0, subscribers=10, **(ALL_FAULTS | {"kills": 0}))  # type: ignore[arg-type]  # by name
    told = await told_by(load)
    assert [line for line in told if isinstance(line, Wrong)] == []
    assert next(line for line in told if isinstance(line, Settled)).closed
    counts = [line for line in told if isinstance(line, Sampled)][-1].counts
    for fault in ("crashes", "flood refused", "invalid", "abandoned", "resumes", "asks", "migrations", "put away"):
        assert counts[fault] > 0, fault
    ledger = Ledger()
    for line in told:
        ledger.add(line)
    assert ledger.unsettled() == {}


async def test_a_life_goes_on_where_an_earlier_one_was_killed(autojump_clock: MockClock) -> None:
    """With the next numbers, what is unsettled, and the sessions that were going."""
    told = await told_by(
        QUIET,
        following={"live:stress.00003": 9},
        unsettled={"live:stress.00003": (8,), "live:churn.0.1": (1,)},
        doomed=("live:churn.0.1",),
    )
    numbers = [line.number for line in told if isinstance(line, Sent) and line.chat_id == "live:stress.00003"]
    assert numbers[:3] == [8, 9, 10]
    assert next(line for line in told if isinstance(line, Settled)).closed
    assert [line for line in told if isinstance(line, Wrong)] == []


@pytest.mark.parametrize("sabotage", ["corrupt", "miscount", "stray", "lose"])
async def test_what_is_sabotaged_shows_in_what_is_told(sabotage: str, autojump_clock: MockClock) -> None:
    """A complaint, a sum that does not close, a task that is left, a receipt for what was never sent."""
    told = await told_by(QUIET, sabotage=sabotage)
    settled = next(line for line in told if isinstance(line, Settled))
    closed = next(line for line in told if isinstance(line, Closed))
    complaints = [line.what for line in told if isinstance(line, Wrong)]
    receipts = [line.counts["receipts"] for line in told if isinstance(line, Sampled)]
    seen = {
        "corrupt": bool(complaints),
        "miscount": not settled.closed,
        "stray": closed.tasks[1] > closed.tasks[0],
        "lose": receipts[-1] < sum(isinstance(line, Took) for line in told),
    }
    assert [what for what, found in seen.items() if found] == [sabotage]


def test_memory_is_read_from_the_system() -> None:
    """Of this process, now."""
    assert memory_bytes() > 10 * 2**20
