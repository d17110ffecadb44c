"""What a run shows of itself: how far it has come while it goes on, and what it came to."""

import sys
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self, TextIO

import attrs
from rich.console import Console
from rich.live import Live
from rich.table import Table

from actors.runtime.observation import Statistics

WINDOW_SAMPLES: Final = 9
"""Rates are means over this many samples, two seconds at the usual pace."""


@attrs.frozen
class Sample:
    """A run at one moment; ``at_s`` is on a clock that never goes back."""

    at_s: float
    sessions: int
    sessions_done: int
    turns: int
    turns_done: int
    statistics: Statistics


class LiveTable:
    """A table on standard error that is drawn again with each sample; nothing unless that is a terminal."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        """Draw on ``console`` (None: standard error); ``quiet`` draws nothing at all."""
        console = console or plain_console(sys.stderr)
        self._samples: deque[Sample] = deque(maxlen=WINDOW_SAMPLES)
        self._live: Live | None = None
        if console.is_terminal and not quiet:
            self._live = Live(console=console, auto_refresh=False, transient=True)

    @property
    def draws(self) -> bool:
        """Whether anything can be seen."""
        return self._live is not None

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wipe the table away."""
        if self._live is not None:
            self._live.stop()

    def update(self, sample: Sample) -> None:
        """Draw a sample."""
        self._samples.append(sample)
        if self._live is not None:
            self._live.update(progress_table(sample, self._samples[0]), refresh=True)


def plain_console(file: TextIO | None = None, *, width: int | None = None) -> Console:
    """Make a console that prints what it is given: ``[b]`` is no markup here, and ``live:a:`` holds no emoji."""
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def progress_table(now: Sample, before: Sample) -> Table:
    """Show a run at a moment, with its rates since an earlier one."""
    seconds = now.at_s - before.at_s
    statistics = now.statistics

    def rate(count: int, earlier: int) -> str:
        return f"{(count - earlier) / seconds:,.0f}/s" if seconds > 0 else ""

    table = Table("", "now", "of", "rate", title="actors run", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("sessions ended", f"{now.sessions_done:,}", f"{now.sessions:,}", "")
    table.add_row("turns ended", f"{now.turns_done:,}", f"{now.turns:,}", rate(now.turns_done, before.turns_done))
    table.add_row("events", f"{statistics.events:,}", "", rate(statistics.events, before.statistics.events))
    table.add_row("signals", f"{statistics.signals:,}", "", rate(statistics.signals, before.statistics.signals))
    table.add_row("tool calls", f"{statistics.tool_calls:,}", "", "")
    for status, count in sorted(statistics.turns.items()):
        table.add_row(f"turns {status}", f"{count:,}", "", "")
    for phase, count in sorted(statistics.phases.items()):
        table.add_row(f"sessions {phase}", f"{count:,}", "", "")
    for reason, count in sorted(statistics.dropped.items()):
        table.add_row(f"dropped: {reason}", f"{count:,}", "", "", style="yellow")
    if statistics.degraded:
        table.add_row("degraded: the store cannot be written", "", "", "", style="bold red")
    return table


def summary_table(rows: Sequence[tuple[str, str]], *, title: str) -> Table:
    """Show pairs of a name and a value."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table
