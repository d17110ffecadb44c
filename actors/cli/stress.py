"""``actors stress``: a load with faults on a runtime of its own, kills included, and a verdict in the exit code."""

import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Final, Self

import attrs
import msgspec
import trio
from cyclopts import Parameter
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from actors.cli.stopping import Stop
from actors.cli.table import plain_console, summary_table
from actors.errors import ConfigurationError
from actors.store.checks import holds_sessions
from actors.stress.lives import Lives, Report
from actors.stress.measures import MIB, Latencies
from actors.stress.plan import ALL_FAULTS, Load
from actors.stress.records import Sampled

_DEFAULTS: Final = Load()


def _option(words: str, **more: Any) -> Parameter:  # noqa: ANN401 - passed on
    """Describe an option."""
    return Parameter(help=words, **more)


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class StressOptions:
    """What load to bear, and how to tell of it: the options of ``actors stress``."""

    sessions: Annotated[int, _option("How many sessions.")] = _DEFAULTS.sessions
    rate: Annotated[float, _option("Messages per second, of all sessions together.")] = _DEFAULTS.rate
    message_bytes: Annotated[int, _option("The size of a message.")] = _DEFAULTS.message_bytes
    duration: Annotated[float, _option("Seconds of load; kills and the end come on top.")] = _DEFAULTS.duration_s
    count: Annotated[int, _option("Messages of each session at most; 0 is no bound.")] = _DEFAULTS.count
    subscribers: Annotated[int, _option("How many watch, leave and resume.")] = _DEFAULTS.subscribers
    crashing: Annotated[float | None, _option("Share of sessions whose agent raises.")] = None
    hanging: Annotated[float | None, _option("Share of sessions whose agent never returns.")] = None
    shielded: Annotated[float | None, _option("Share of sessions whose agent hears no cancellation.")] = None
    blocking: Annotated[float | None, _option("Share of sessions whose agent holds the loop.")] = None
    flooding: Annotated[float | None, _option("Share of sessions that are flooded.")] = None
    duplicate: Annotated[float | None, _option("Share of senders that send everything three times.")] = None
    cancelling: Annotated[float | None, _option("Share of senders that give up and stop turns.")] = None
    invalid: Annotated[float | None, _option("Senders of invalid envelopes, as a share of the sessions.")] = None
    churn: Annotated[float | None, _option("Sessions created, used and deleted per second.")] = None
    passivating: Annotated[float | None, _option("Sessions put out of memory per second.")] = None
    kills: Annotated[int | None, _option("How often the process is killed.")] = None
    all_faults: Annotated[bool, _option("Every fault at once, but for those that are given.", negative="")] = False
    seed: Annotated[int, _option("What everything is drawn from.")] = 0
    store: Annotated[
        Path | None, _option("The file of the store; a new one in a temporary folder if none is given.")
    ] = None
    log: Annotated[Path | None, _option("Append log records to this file, as lines of JSON.")] = None
    as_json: Annotated[bool, _option("Print the report as JSON.", name="--json", negative="")] = False

    def load(self) -> Load:
        """Make the load that these options ask for. Raises ConfigurationError for a number out of its range."""
        faults: dict[str, Any] = dict(ALL_FAULTS) if self.all_faults else {}
        faults |= {name: getattr(self, name) for name in ALL_FAULTS if getattr(self, name) is not None}
        return Load(
            sessions=self.sessions, rate=self.rate, message_bytes=self.message_bytes, duration_s=self.duration,
            count=self.count, subscribers=self.subscribers, seed=self.seed, **faults,
        )  # fmt: skip


async def stress(options: StressOptions, *, sabotage: str = "") -> int:
    """Bear a load, print what it came to, and return the exit code: 0 only if everything held.

    ``sabotage`` is for tests: what is to go wrong. Raises ConfigurationError for a number out of its range or a store
    that is not new, StoreError if the store cannot be read.
    """
    load = options.load()
    if options.store is not None and holds_sessions(options.store):
        message = "the store holds sessions already"
        raise ConfigurationError(message, hint="give another --store, or none")
    folder = await trio.to_thread.run_sync(tempfile.mkdtemp, "", "actors-stress-")
    store = options.store or Path(folder, "stress.db")
    notices = plain_console(sys.stderr)
    stop = Stop(lambda: notices.print("stopping; the load is not judged", soft_wrap=True))
    reports: list[Report] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(stop.listen)
        with Bar(load, quiet=options.as_json) as bar, stop.cancels():
            reports.append(await Lives(load, store, watch=bar.update, log=options.log, sabotage=sabotage).run())
        nursery.cancel_scope.cancel()
    if not reports:
        return stop.exit_code
    _print(reports[0], load, store, options)
    return 0 if reports[0].held else 1


class Bar:
    """A progress bar on standard error; nothing unless that is a terminal."""

    def __init__(self, load: Load, *, quiet: bool) -> None:
        """Begin at nothing of the duration of a load."""
        console = plain_console(sys.stderr)
        self._progress = Progress(
            TextColumn("actors stress"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(),
            console=console, transient=True, disable=quiet or not console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=load.duration_s)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wipe the bar away."""
        self._progress.stop()

    def update(self, at_s: float, sample: Sampled) -> None:
        """Draw how far the load is."""
        counts = sample.counts
        shown = f"{counts['turns']:,} turns, {counts['crashes']:,} crashes, {sample.memory_bytes / MIB:.0f} MiB"
        self._progress.update(self._task, completed=at_s, description=shown)


def report_of(report: Report, load: Load, store: Path) -> dict[str, Any]:
    """Write a report for machines."""
    return {
        "held": report.held,
        "findings": [attrs.asdict(finding) for finding in report.findings],
        "sums": attrs.asdict(report.sums),
        "counts": report.counts,
        "latencies": {name: _figures(latencies) for name, latencies in sorted(report.latencies.items())},
        "roles": report.roles,
        "lives": report.lives,
        "seconds": round(report.seconds, 3),
        "memory_bytes": report.memory_bytes,
        "load": attrs.asdict(load),
        "store": str(store),
    }


def _figures(latencies: Latencies) -> dict[str, float | int]:
    """Write a histogram in milliseconds."""
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99}
    figures = {name: round(latencies.percentile(share) * 1000, 2) for name, share in shares.items()}
    return {"count": latencies.count, **figures, "max_ms": round(latencies.longest_s * 1000, 2)}


def _print(report: Report, load: Load, store: Path, options: StressOptions) -> None:
    """Print a report: an object of JSON for machines, tables for people."""
    if options.as_json:
        sys.stdout.buffer.write(msgspec.json.encode(report_of(report, load, store)) + b"\n")
        sys.stdout.buffer.flush()
        return
    console = plain_console()
    counts = report.counts
    rows = [("sessions", ", ".join(f"{count} {role}" for role, count in sorted(report.roles.items())))]
    rows += [
        ("lives", f"{report.lives}, {report.seconds:.1f} s in all, seed {load.seed}"),
        ("throughput", f"{counts.get('turns', 0) / report.seconds:,.0f} turns/s, {counts.get('turns', 0):,} in all"),
        ("memory", f"{report.memory_bytes / MIB:,.0f} MiB at most"),
    ]
    rows += [(name, f"{count:,}") for name, count in counts.items() if count and name != "turns"]
    rows += [(f"refused: {reason}", f"{count:,}") for reason, count in report.sums.refused.items()]
    console.print(summary_table(rows, title="actors stress"))
    console.print(_latency_table(report))
    for finding in report.findings:
        console.print(f"{'held  ' if finding.held else 'FAILED'}  {finding.what}: {finding.why}", soft_wrap=True)
    console.print(f"store: {store}", soft_wrap=True)


def _latency_table(report: Report) -> Table:
    """Show the latencies of healthy sessions beside those of faulty ones."""
    table = Table(title="milliseconds", title_justify="left")
    columns = ("", "count", "p50", "p90", "p99", "max")
    for column in columns:
        table.add_column(column, justify="left" if not column else "right")
    for name, latencies in sorted(report.latencies.items()):
        if latencies.count:
            count, *figures = _figures(latencies).values()
            table.add_row(name, f"{count:,}", *(f"{figure:,.1f}" for figure in figures))
    return table
