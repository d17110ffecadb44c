"""What every script of messages in memory does: one sender tells many actors, then asks one.

Run by the Python of a peer's own environment, so it knows nothing but the standard library.
"""

import importlib.metadata
import json
import statistics
import sys

ACTORS = 100
ASKS_BEFORE = 100


def seconds() -> float:
    """Read from the command line (``FOLDER SECONDS``) how long the script may take."""
    return float(sys.argv[2])


def tell_figures(package: str, tells_per_s: float, asks_us: list[float]) -> None:
    """Print what was measured, with the version of the package."""
    ordered = sorted(asks_us[ASKS_BEFORE:])
    more = {
        "ask p50 µs": statistics.median(ordered),
        "ask p99 µs": ordered[int(len(ordered) * 0.99)],
    }
    version = importlib.metadata.version(package)
    print(json.dumps({"version": version, "value": tells_per_s, "more": more}), flush=True)
