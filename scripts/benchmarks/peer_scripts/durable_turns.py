"""What every script of durable turns does: 100 clients at once, then one session growing long.

Run by the Python of a peer's own environment, so it knows nothing but the standard library.
The command line of each script is ``FOLDER SECONDS``, and it prints one line of JSON.
"""

import asyncio
import importlib.metadata
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

CLIENTS = 100
LONG_TURNS = 500
EARLY = slice(5, 15)
"""The turns around the 10th; a single one would be chance."""
LATE_TURNS = 10
SHARE_OF_CLIENTS = 0.3
"""How much of the seconds the clients get; the long session gets the rest."""

TEXT = "x" * 100
"""What a person says and what is answered, each a hundred bytes."""

Turn = Callable[[str], Awaitable[None]]


def folder_and_seconds() -> tuple[Path, float]:
    """Read the command line."""
    return Path(sys.argv[1]), float(sys.argv[2])


def bytes_in(folder: Path) -> int:
    """Weigh the files of a store, logs included."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def tell(package: str, value: float, more: dict[str, float], note: str) -> None:
    """Print what was measured, with the version of the package."""
    version = importlib.metadata.version(package)
    told = {"version": version, "value": value, "more": more, "note": note}
    print(json.dumps(told), flush=True)


async def measure(package: str, turn: Turn, folder: Path, seconds: float) -> None:
    """Measure turns, each a message and its answer, and tell the figures."""
    await turn("warm-up")
    started_s = time.perf_counter()
    until_s = started_s + seconds * SHARE_OF_CLIENTS
    bytes_before = bytes_in(folder)
    done, failed, reason = await _clients(turn, until_s)
    took_s = time.perf_counter() - started_s
    more = {"bytes a turn": (bytes_in(folder) - bytes_before) / max(1, done)}
    if failed:
        more["failed"] = failed
    more |= await _long_session(turn, folder, time.perf_counter() + seconds - took_s)
    tell(package, done / took_s, more, reason)


async def _clients(turn: Turn, until_s: float) -> tuple[int, int, str]:
    """Let the clients take turns until the time is over; count what was done and what failed."""
    done = 0
    reasons = []

    async def client(name: str) -> None:
        nonlocal done
        while time.perf_counter() < until_s:
            try:
                await turn(name)
            except Exception as error:  # noqa: BLE001  # a peer's failure is part of the result
                reasons.append(f"{type(error).__name__}: {error}")
            else:
                done += 1

    await asyncio.gather(*(client(f"client-{number}") for number in range(CLIENTS)))
    return done, len(reasons), reasons[0][:200] if reasons else ""


async def _long_session(turn: Turn, folder: Path, until_s: float) -> dict[str, float]:
    """Take the turns of one session one after the other; time the early and the late ones."""
    bytes_before = bytes_in(folder)
    took_ms: list[float] = []
    while len(took_ms) < LONG_TURNS and (time.perf_counter() < until_s or len(took_ms) < LATE_TURNS):
        started_s = time.perf_counter()
        await turn("long")
        took_ms.append((time.perf_counter() - started_s) * 1e3)
    return {
        "10th turn ms": statistics.median(took_ms[EARLY] or took_ms),
        "last turn ms": statistics.median(took_ms[-LATE_TURNS:]),
        "which was the": len(took_ms),
        "MB of that session": (bytes_in(folder) - bytes_before) / 1e6,
    }
