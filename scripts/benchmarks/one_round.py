"""One round of one benchmark, in a process of its own: ``python one_round.py CHECKOUT NAME [--quick]``, printing JSON.

It stands alone, so that it can measure a checkout that is older than itself.
"""

import importlib
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

MODULES = ("limits_memory", "limits_disk", "our_rows", "ours_memory", "ours_disk", "ours_isolation")
"""The modules that every checkout with benchmarks has."""


def main() -> int:
    """Measure, and print what was found: null for a benchmark that the checkout does not have."""
    checkout, name, *options = sys.argv[1:]
    sys.path[0] = checkout  # instead of this folder, so that nothing of this checkout is measured by mistake
    for module in (*MODULES, *later_modules(Path(checkout))):
        importlib.import_module(f"scripts.benchmarks.{module}")
    harness = importlib.import_module("scripts.benchmarks.harness")
    candidate = harness.REGISTRY.ours.get(name)
    if candidate is None:
        print(json.dumps(None))
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        figures = candidate.run(harness.Settings(Path(folder), "--quick" in options))
    value = figures if isinstance(figures, float) else figures.value
    print(json.dumps({"value": value, "unit": candidate.unit, "higher_is_better": candidate.higher_is_better}))
    return 0


def later_modules(checkout: Path) -> list[str]:
    """Name the modules of ours that a newer checkout has beside the first ones."""
    found = sorted(path.stem for path in (checkout / "scripts" / "benchmarks").glob("ours_*.py"))
    return [stem for stem in found if stem not in MODULES]


if __name__ == "__main__":
    sys.exit(main())
