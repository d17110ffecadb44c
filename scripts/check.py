"""The gate: format, lint, imports, types, tests; all of them, even after one has failed.

``--fix`` mends what ruff can mend. ``--fast`` leaves out the tests marked ``slow``.
The exit code is 0 only when every step passed.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

NO_TESTS_COLLECTED = 5
"""The exit code of pytest when no test matches; no harm where none is marked slow."""

WORKERS_MAX = 4
"""Slow tests start processes of their own, so more workers than this disturb one another."""


class Step(NamedTuple):
    """One program of the gate: arguments to this Python, and the exit codes of a pass."""

    name: str
    arguments: tuple[str, ...]
    passes: tuple[int, ...] = (0,)


def steps(*, fix: bool, fast: bool) -> list[Step]:
    """List the steps in the order of their cost; a fix may need formatting, so it comes before."""
    if fix:
        chosen = [
            Step("lint", ("-m", "ruff", "check", "--fix")),
            Step("format", ("-m", "ruff", "format")),
        ]
    else:
        chosen = [
            Step("format", ("-m", "ruff", "format", "--check", "--output-format", "concise")),
            Step("lint", ("-m", "ruff", "check")),
        ]
    import_linter = "from importlinter.cli import lint_imports_command as main; main()"
    chosen += [
        Step("imports", ("-c", import_linter, "--no-logo")),
        Step("types", ("-m", "mypy")),
        Step("tests", ("-m", "pytest", "-q", "-m", "not slow", "-n", "auto", "--maxprocesses", str(WORKERS_MAX))),
    ]
    if not fast:
        workers = ("-n", "auto", "--maxprocesses", str(WORKERS_MAX))
        slow = ("-m", "pytest", "-m", "slow", *workers)
        chosen.append(Step("slow tests", slow, passes=(0, NO_TESTS_COLLECTED)))
    return chosen


def run(step: Step) -> bool:
    """Run one step, its output in view, print how it went, and tell whether it passed."""
    print(f"── {step.name}", flush=True)
    started_s = time.perf_counter()
    code = subprocess.run([sys.executable, *step.arguments], cwd=ROOT, check=False).returncode
    passed = code in step.passes
    verdict = "passed" if passed else f"FAILED (exit code {code})"
    print(f"   {step.name} {verdict} in {time.perf_counter() - started_s:.1f} s\n", flush=True)
    return passed


def main() -> int:
    """Run the gate and return its exit code."""
    parser = argparse.ArgumentParser(description="The gate: format, lint, imports, types, tests.")
    parser.add_argument("--fix", action="store_true", help="mend what ruff can mend")
    parser.add_argument("--fast", action="store_true", help="leave out the tests marked slow")
    options = parser.parse_args()
    failed = [step.name for step in steps(fix=options.fix, fast=options.fast) if not run(step)]
    print(f"The gate is shut by: {', '.join(failed)}." if failed else "The gate is open.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
