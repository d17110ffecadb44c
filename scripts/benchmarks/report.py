"""Show what came out: as a table for people, as JSON for programs, as a page for the manual."""

import json
from collections.abc import Iterable

import attrs
from rich.console import Console
from rich.table import Table

from scripts.benchmarks.harness import Comparison, Result, Series
from scripts.benchmarks.machine import Machine
from scripts.benchmarks.peers import PeerResult

SHARE_NOTE = (
    "A share is ours divided by the limit (the other way round where less is better), so 1.00 is"
    " as good as the limit. It is made of the medians; the spread is that of the rounds, each"
    " beside its neighbour."
)


MILLION = 1_000_000
WHOLE_FROM = 100
"""From here on a figure is written without a fraction: three digits are all that can be trusted."""

WORDS = {"benchmark", "limit", "name", "what", "version", "also"}
"""The columns that hold words; all others hold figures, and stand at the right."""

Row = tuple[str, ...]


@attrs.frozen
class Report:
    """Everything a run measured."""

    machine: Machine
    rounds: int
    results: tuple[Result, ...]
    peers: tuple[PeerResult, ...] = ()

    def comparisons(self) -> list[Comparison]:
        """Give every benchmark beside every limit it is held against."""
        return [one for result in self.results for one in result.comparisons()]

    def series(self) -> list[Series]:
        """Give all series, ours behind their limits."""
        return [one for result in self.results for one in result.limits + result.ours]

    def errors(self) -> list[str]:
        """Name what failed, and why."""
        return [error for result in self.results for error in result.errors()]

    @property
    def passed(self) -> bool:
        """Tell whether nothing failed and every share was reached; a peer's failure is its own."""
        return not self.errors() and all(one.reached for one in self.comparisons())


def amount(value: float) -> str:
    """Write a figure with three digits that count, and no more."""
    if abs(value) >= MILLION:
        return f"{value / MILLION:,.2f} M"
    if abs(value) >= WHOLE_FROM:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def show(report: Report, console: Console) -> None:
    """Print the facts, the comparisons, the figures, and what failed."""
    for name, value in _facts(report):
        console.print(f"[bold]{name}[/]: {value}", highlight=False)
    for title, header, rows in _tables(report):
        table = Table(title=title, title_justify="left", show_edge=False)
        for cell in header:
            wraps = cell in {"what", "also"}
            table.add_column(cell, justify="left" if cell in WORDS else "right", no_wrap=not wraps)
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)
    if report.comparisons():
        console.print(f"\n{SHARE_NOTE}", style="dim")
    for error in report.errors():
        console.print(f"failed: {error}", style="red", markup=False)


def as_markdown(report: Report) -> str:
    """Write the same as a page."""
    lines = ["# Figures", "", "Written by `python scripts/bench.py --markdown`; not by hand.", ""]
    lines += [f"- {name}: {value}" for name, value in _facts(report)]
    for title, header, rows in _tables(report):
        align = tuple("---" if cell in WORDS else "---:" for cell in header)
        lines += ["", f"## {title}", "", _line(header), _line(align)]
        lines += [_line(row) for row in rows]
    if report.comparisons():
        lines += ["", SHARE_NOTE]
    lines += ["", *(f"- failed: {' '.join(error.split())}" for error in report.errors())]
    return "\n".join(lines).rstrip() + "\n"


def as_json(report: Report) -> str:
    """Write everything that was measured, round by round."""
    document = {
        "machine": attrs.asdict(report.machine),
        "rounds": report.rounds,
        "passed": report.passed,
        "series": [_series_document(one) for one in report.series()],
        "comparisons": [
            {
                "benchmark": one.ours.candidate.name,
                "limit": one.limit.candidate.name,
                "figure": one.reach.figure or "value",
                "share": one.share,
                "share_min": one.share_min,
                "share_max": one.share_max,
                "reach": one.reach.share,
                "reached": one.reached,
            }
            for one in report.comparisons()
        ],
        "peers": [attrs.asdict(peer) for peer in report.peers],
    }
    return json.dumps(document, indent=2)


def _tables(report: Report) -> Iterable[tuple[str, Row, list[Row]]]:
    """Give the tables that have something to say: a title, a header and rows."""
    if comparisons := [_comparison_row(one) for one in report.comparisons()]:
        header: Row = ("benchmark", "limit", "ours", "its", "unit", "share", "spread", "reach", "")
        yield "Ours beside the limits", header, comparisons
    if series := [_series_row(one) for one in report.series() if one.rounds]:
        header = ("name", "what", "median", "spread", "unit", "also")
        yield "What was measured", header, series
    for unit in dict.fromkeys(peer.unit for peer in report.peers):
        header = ("name", "version", "median", "spread", "also")
        rows = [_peer_row(peer) for peer in report.peers if peer.unit == unit]
        yield f"Other libraries: {unit}", header, rows


def _facts(report: Report) -> list[tuple[str, str]]:
    """Write the facts about the machine in words."""
    machine = report.machine
    return [
        ("machine", f"{machine.cores} cores, {machine.processor}, {machine.system}"),
        ("software", f"{machine.python}, trio {machine.trio}, SQLite {machine.sqlite}"),
        ("collector", machine.collector),
        ("switch interval", f"{machine.switch_interval_s * 1e3:g} ms"),
        ("append 4 KiB and sync", f"{amount(machine.fsync_p50_ms)} ms (median)"),
        ("rounds", str(report.rounds)),
    ]


def _comparison_row(one: Comparison) -> Row:
    """Write one comparison as cells."""
    figure = one.reach.figure
    return (
        one.ours.candidate.name,
        one.limit.candidate.name,
        amount(one.ours.median(figure)),
        amount(one.limit.median(figure)),
        figure or one.ours.candidate.unit,
        f"{one.share:.2f}",
        f"{one.share_min:.2f}-{one.share_max:.2f}",
        f"{one.reach.share:.2f}",
        "reached" if one.reached else "NOT reached",
    )


def _series_row(one: Series) -> Row:
    """Write one series as cells."""
    least, greatest = one.spread()
    return (
        one.candidate.name,
        one.candidate.what,
        amount(one.median()),
        f"{amount(least)} - {amount(greatest)}",
        one.candidate.unit,
        ", ".join(f"{name} {amount(one.median(name))}" for name in one.figures()),
    )


def _peer_row(peer: PeerResult) -> Row:
    """Write what one library measured, or why it did not."""
    if peer.error:
        return (peer.name, peer.version, "failed", "", peer.error)
    also = ", ".join(f"{name} {amount(value)}" for name, value in peer.more.items())
    if peer.note:
        also += f" ({peer.note})"
    spread = f"{amount(peer.least)} - {amount(peer.greatest)}"
    return (peer.name, peer.version, amount(peer.median), spread, also)


def _series_document(one: Series) -> dict[str, object]:
    """Write one series with all its rounds."""
    return {
        "name": one.candidate.name,
        "what": one.candidate.what,
        "unit": one.candidate.unit,
        "higher_is_better": one.candidate.higher_is_better,
        "median": one.median() if one.rounds else None,
        "rounds": [{"value": figures.value, **figures.more} for figures in one.rounds],
        "error": one.error,
    }


def _line(cells: Row) -> str:
    """Write one line of a table; a bar inside a cell would end it."""
    return f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |"
