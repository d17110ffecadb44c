"""What a run shows of itself."""

from io import StringIO

import attrs
import pytest
import trio
from rich.console import Console
from rich.table import Table

from actors.cli.table import LiveTable, Sample, progress_table, summary_table
from actors.host import open_runtime
from actors.runtime.observation import Statistics
from tests.cli.recorded import echo


@pytest.fixture
def statistics() -> Statistics:
    """Take the statistics of a runtime in which nothing has happened."""

    async def take() -> Statistics:
        async with open_runtime(":memory:", agent=echo) as runtime:
            return runtime.statistics()

    return trio.run(take)


def drawn(table: Table) -> str:
    """Draw a table as text."""
    console = Console(file=StringIO(), width=100)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def sample(statistics: Statistics, at_s: float = 0.0, turns_done: int = 0) -> Sample:
    """Make a sample of a run with ten sessions."""
    return Sample(at_s, 10, 2, 40, turns_done, statistics)


def test_progress_shows_totals_and_the_rates_of_the_window(statistics: Statistics) -> None:
    """A rate is what came in the window, divided by how long it is."""
    later = attrs.evolve(statistics, events=3000, signals=12_345, turns={"completed": 30, "failed": 1})
    text = drawn(progress_table(sample(later, 2.0, 31), sample(statistics)))
    assert "3,000" in text
    assert "1,500/s" in text
    assert "12,345" in text
    assert "16/s" in text
    assert "turns failed" in text


def test_progress_of_the_first_sample_has_no_rates(statistics: Statistics) -> None:
    """Nothing is divided by no time at all."""
    now = sample(statistics)
    assert "/s" not in drawn(progress_table(now, now))


def test_progress_shows_what_was_dropped_and_that_the_store_is_degraded(statistics: Statistics) -> None:
    """What should not happen stands in the table when it does."""
    later = attrs.evolve(statistics, dropped={"queue_full": 3}, degraded=True, phases={"quarantined": 2})
    text = drawn(progress_table(sample(later), sample(statistics)))
    assert "dropped: queue_full" in text
    assert "degraded" in text
    assert "sessions quarantined" in text


def test_nothing_is_drawn_where_nobody_looks(statistics: Statistics) -> None:
    """Neither into a file nor when only JSON was asked for."""
    file, terminal = StringIO(), StringIO()
    with LiveTable(Console(file=file)) as table:
        table.update(sample(statistics))
        assert not table.draws
    with LiveTable(Console(file=terminal, force_terminal=True), quiet=True) as table:
        table.update(sample(statistics))
        assert not table.draws
    assert file.getvalue() == terminal.getvalue() == ""


def test_a_terminal_sees_each_sample(statistics: Statistics) -> None:
    """The table is drawn again in its place, and wiped away at the end."""
    terminal = StringIO()
    with LiveTable(Console(file=terminal, force_terminal=True, width=100)) as table:
        assert table.draws
        table.update(sample(statistics, 1.0))
        table.update(sample(attrs.evolve(statistics, events=777), 2.0))
    assert "777" in terminal.getvalue()


def test_a_summary_is_pairs_of_a_name_and_a_value() -> None:
    """Nothing of a long value is cut off: it may be a path."""
    text = drawn(summary_table([("store", "x" * 150), ("turns", "44")], title="actors run"))
    assert text.count("x") == 150
    assert "44" in text
