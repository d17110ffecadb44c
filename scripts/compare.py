"""Hold the benchmarks of this checkout against those of an older one: ``python scripts/compare.py REVISION [NAME …]``.

Rounds alternate (old, new, old, new), each in a process of its own, since a machine changes its speed from minute to
minute. A row is slower when its median is worse by more than ``--slower`` percent. The exit code is 0 when none is.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
ONE_ROUND = ROOT / "scripts" / "benchmarks" / "one_round.py"
GIT: Final = shutil.which("git") or "git"
ROUNDS = 5
SLOWER_PERCENT = 5.0
ROUND_S_MAX = 180


class Round(NamedTuple):
    """What one round measured."""

    value: float
    unit: str
    higher_is_better: bool


class Row(NamedTuple):
    """One benchmark on both sides; ``ratio`` above 1 means that the new side is better."""

    name: str
    unit: str
    old: float
    new: float
    ratio: float
    ratio_min: float
    ratio_max: float


def main() -> int:
    """Compare, print a table, and return the exit code."""
    options = _options()
    names = options.names or _names()
    console = Console(width=140 if not sys.stdout.isatty() else None)
    with checked_out(options.revision) as old, console.status("comparing") as status:
        rows = []
        for name in names:
            status.update(name)
            row = compare(name, old, rounds=options.rounds, quick=options.quick)
            if row is not None:
                rows.append(row)
    table = Table("benchmark", "unit", "before", "now", "now is better by", "pair by pair")
    for row in rows:
        pairs = f"{row.ratio_min:.2f}-{row.ratio_max:.2f}"
        table.add_row(row.name, row.unit, f"{row.old:,.4g}", f"{row.new:,.4g}", f"{row.ratio:.2f} x", pairs)
    console.print(table)
    slower = [row.name for row in rows if row.ratio < 1 - options.slower / 100]
    console.print(f"slower by more than {options.slower:g} %: {', '.join(slower) or 'none'}")
    return 1 if slower else 0


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Check a revision out beside this one, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        checkout = Path(folder) / "old"
        subprocess.run([GIT, "-C", ROOT, "worktree", "add", "--quiet", "--detach", checkout, revision], check=True)
        try:
            yield checkout
        finally:
            subprocess.run([GIT, "-C", ROOT, "worktree", "remove", "--force", checkout], check=True)


def compare(name: str, old: Path, *, rounds: int, quick: bool) -> Row | None:
    """Measure one benchmark on both sides in turn; None if one side does not have it."""
    before, after = list[float](), list[float]()
    unit, better = "", True
    for _ in range(rounds):
        for checkout, values in ((old, before), (ROOT, after)):
            figures = one_round(checkout, name, quick=quick)
            if figures is None:
                return None
            values.append(figures.value)
            unit, better = figures.unit, figures.higher_is_better
    pairs = [now / was if better else was / now for was, now in zip(before, after, strict=True)]
    was, now = statistics.median(before), statistics.median(after)
    return Row(name, unit, was, now, now / was if better else was / now, min(pairs), max(pairs))


def one_round(checkout: Path, name: str, *, quick: bool) -> Round | None:
    """Run one round in a process of its own, with the code of one checkout only."""
    command = [sys.executable, str(ONE_ROUND), str(checkout), name, *(["--quick"] if quick else [])]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    ran = subprocess.run(
        command, env=environment, cwd=checkout, check=True, capture_output=True, text=True, timeout=ROUND_S_MAX
    )
    found = json.loads(ran.stdout.splitlines()[-1])
    return None if found is None else Round(**found)


def _names() -> Sequence[str]:
    """Name every benchmark of ours in this checkout."""
    listed = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bench.py", "--list"], check=True, capture_output=True, text=True
    )
    return [line.split()[0] for line in listed.stdout.splitlines() if line.startswith("ours-")]


def _options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Hold the benchmarks of this checkout against an older one.")
    parser.add_argument("revision", help="what git calls the older one")
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks (default: all of ours)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of each side (default: {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="short rounds")
    parser.add_argument("--slower", type=float, default=SLOWER_PERCENT, metavar="PERCENT", help="what is too much")
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    sys.exit(main())
