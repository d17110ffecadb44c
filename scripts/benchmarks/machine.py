"""What the figures were measured on: a figure without its machine says nothing."""

import gc
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import apsw
import attrs
import trio

from scripts.benchmarks.harness import percentile

APPEND_BYTES = 4096
"""One page: what a small commit appends to a write-ahead log."""

APPENDS = 200


@attrs.frozen
class Machine:
    """The facts a reader needs to judge a figure; none of them names the machine."""

    cores: int
    processor: str
    system: str
    python: str
    trio: str
    sqlite: str
    collector: str
    switch_interval_s: float
    fsync_p50_ms: float


def facts(directory: Path) -> Machine:
    """Look at this machine, its versions and settings, and at what a sync costs in a folder."""
    thresholds = gc.get_threshold()
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _cores(),
        processor=platform.machine(),
        system=platform.system(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        trio=trio.__version__,
        sqlite=f"{apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})",
        collector=f"thresholds {thresholds}" if gc.isenabled() and thresholds[0] else "off",
        switch_interval_s=sys.getswitchinterval(),
        fsync_p50_ms=percentile(append_ms(directory), 50),
    )


def append_ms(directory: Path) -> list[float]:
    """Append a page and sync it, many times over; give the milliseconds of each."""
    page = bytes(APPEND_BYTES)
    took_ms = []
    with tempfile.NamedTemporaryFile(dir=directory, buffering=0) as file:
        descriptor = file.fileno()
        for _ in range(APPENDS):
            started_s = time.perf_counter()
            file.write(page)
            os.fsync(descriptor)
            took_ms.append((time.perf_counter() - started_s) * 1e3)
    return took_ms


def _cores() -> int:
    """Count the cores where the system does not say which of them are ours."""
    return os.cpu_count() or 1
