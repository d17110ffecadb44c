"""Measure ours beside the limits of this machine, in one run: ``python scripts/bench.py --help``.

The exit code is 0 when nothing failed and every share that has to be reached was reached.
"""

import argparse
import gc
import importlib
import importlib.util
import sys
import tempfile
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, only this folder would be on the path

from scripts.benchmarks import peers, report  # noqa: E402  # after the path is set
from scripts.benchmarks.harness import REGISTRY, Settings, measure  # noqa: E402  # same
from scripts.benchmarks.machine import facts  # noqa: E402  # same

REGISTERING = (
    "limits_memory",
    "limits_disk",
    "our_rows",
    "ours_memory",
    "ours_disk",
    "ours_isolation",
    "ours_crashes",
    "ours_hot",
    "ours_rest",
)
"""The modules that register what can be measured; one that is not there registers nothing."""

ROUNDS = 5
QUICK_ROUNDS = 3

FILE_COLUMNS = 160
"""How wide the tables are where they do not go to a terminal."""


def main() -> int:
    """Run what was asked for and return the exit code."""
    options = _options()
    for module in REGISTERING:
        name = f"scripts.benchmarks.{module}"
        if importlib.util.find_spec(name):
            importlib.import_module(name)
    if options.list:
        for candidate in [*REGISTRY.ours.values(), *REGISTRY.limits.values()]:
            print(f"{candidate.name:28} {candidate.what} ({candidate.unit})")
        return 0
    if options.collector is not None:
        gc.set_threshold(options.collector, *gc.get_threshold()[1:])
    console = Console(stderr=options.json)
    if not console.is_terminal:
        console = Console(stderr=options.json, width=FILE_COLUMNS)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.dir) as folder:
            measured = _measure(options, Settings(Path(folder), options.quick), rounds, console)
    except LookupError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    report.show(measured, console)
    if options.json:
        print(report.as_json(measured))
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(report.as_markdown(measured), encoding="utf-8")
    return 0 if measured.passed else 1


def _measure(options: argparse.Namespace, settings: Settings, rounds: int, console: Console) -> report.Report:
    """Measure what was named, then the peers where asked for."""
    groups = [] if options.peers and not options.names else REGISTRY.select(options.names)
    compared: list[peers.PeerResult] = []
    machine = facts(settings.directory)
    with console.status("measuring") as status:
        results = [measure(group, settings, rounds, status.update) for group in groups]
        if options.peers:
            compared = peers.measure(
                options.peer_cache, settings, rounds=min(rounds, peers.ROUNDS), progress=status.update
            )
    return report.Report(machine, rounds, tuple(results), tuple(compared))


def _options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure ours beside the limits of this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of a name; none: all")
    parser.add_argument("--list", action="store_true", help="list what can be measured")
    parser.add_argument("--rounds", type=int, help=f"rounds of each (default: {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="short rounds, and fewer of them")
    parser.add_argument("--json", action="store_true", help="print JSON; the tables go to stderr")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page")
    parser.add_argument("--dir", type=Path, help="where databases go (default: a temporary folder)")
    parser.add_argument(
        "--collector",
        type=int,
        metavar="THRESHOLD",
        help="first threshold of the cyclic collector, 0 for off (default: as it is)",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="measure other libraries too (alone, where no NAME is given); installs them",
    )
    parser.add_argument(
        "--peer-cache",
        type=Path,
        default=peers.default_cache(),
        metavar="DIR",
        help="where their environments are kept (default: in the temporary folder)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
