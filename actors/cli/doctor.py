"""``actors doctor``: whether the environment and a store are sound; it only reads, whoever owns the store."""

import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import msgspec
import trio

from actors.cli.table import plain_console
from actors.store.checks import Finding, check_store, sqlite_version

PYTHON_MIN: Final = (3, 11)
SQLITE_MIN: Final = (3, 51, 3)
"""Before it two connections that write and checkpoint at once could damage a file with a write-ahead log."""
TRIO_MIN: Final = (0, 31)


async def examine(store: Path | None, *, as_json: bool) -> int:
    """Check the environment, and a store if one is given; print a line for each check and return the exit code.

    That is 0 if nothing is bad, else 1. Whatever is wrong with the store is a finding, not an error.
    """
    findings = list(check_environment())
    if store is not None:
        with plain_console(sys.stderr).status(f"checking {store}"):
            findings += await trio.to_thread.run_sync(check_store, store)
    bad = [finding for finding in findings if not finding.ok]
    if as_json:
        record = {"ok": not bad, "findings": [attrs.asdict(finding) for finding in findings]}
        sys.stdout.buffer.write(msgspec.json.encode(record) + b"\n")
        sys.stdout.buffer.flush()
    else:
        _print(findings)
    return 1 if bad else 0


def check_environment() -> tuple[Finding, ...]:
    """Check the versions of what the package stands on."""
    return (
        _at_least("python", platform.python_version(), PYTHON_MIN),
        _at_least("sqlite", sqlite_version(), SQLITE_MIN),
        _at_least("trio", trio.__version__, TRIO_MIN),
    )


def _at_least(name: str, found: str, least: tuple[int, ...]) -> Finding:
    """Hold a version against the oldest that will do."""
    numbers = tuple(int(number) for number in found.split(".") if number.isdecimal())
    wanted = ".".join(map(str, least))
    return Finding(name, ok=numbers >= least, detail=found, remedy=f"install {name} {wanted} or newer")


def _print(findings: Sequence[Finding]) -> None:
    """Print a line for each check."""
    console = plain_console()
    for finding in findings:
        verdict, style = ("ok ", "green") if finding.ok else ("bad", "bold red")
        console.print(verdict, style=style, end=" ")
        remedy = "" if finding.ok or not finding.remedy else f"; {finding.remedy}"
        console.print(f"{finding.name}: {finding.detail}{remedy}", soft_wrap=True)
