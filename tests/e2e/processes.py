"""The command line as a process of its own, for tests that kill it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio

from actors.errors import StoreError
from actors.store.checks import SessionRow, holds_sessions, list_sessions, list_turns

ROOT: Final = Path(__file__).resolve().parent.parent.parent
WAIT_S: Final = 60.0
"""Every wait of these tests ends, if not with what it waits for."""
POLL_S: Final = 0.01


def environment() -> dict[str, str]:
    """Let a process find the package that is tested."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the command line, in a process that a test may kill."""
    command = [sys.executable, "-m", "actors", *arguments]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a process to end, and return its exit code and what it printed."""
    try:
        out, err = process.communicate(timeout=WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        message = f"the process did not end in {WAIT_S:.0f} s: {err}"
        raise AssertionError(message) from None
    return process.returncode, out, err


def finished(*arguments: str) -> tuple[int, str, str]:
    """Run the command line to its end."""
    return ended(start(*arguments))


def digests(store: Path) -> dict[str, str]:
    """Export the digest of every session, by its id."""
    code, out, err = finished("export", "--store", str(store), "--canonical")
    assert code == 0, err
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    return {line["chat_id"]: line["canonical_sha256"] for line in lines}


def turns_ended(store: Path) -> int:
    """Count the turns that have ended in a store, while another process works on it; 0 as long as it is none."""
    turns = [turn for session in _sessions(store) for turn in list_turns(store, session.chat_id)]
    return sum(turn.ended_seq is not None for turn in turns)


def sessions_running(store: Path) -> int:
    """Count the sessions that have a turn which runs, or ran when its process ended."""
    return sum(session.status in {"running", "waiting"} for session in _sessions(store))


def _sessions(store: Path) -> tuple[SessionRow, ...]:
    """List the sessions of a store that may still be in the making."""
    try:
        return list_sessions(store) if holds_sessions(store) else ()
    except StoreError:
        return ()


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Wait until something is true of the store that a process works on, as long as the process lives."""

    async def wait() -> None:
        with trio.fail_after(WAIT_S):
            while process.poll() is None and not condition():
                await trio.sleep(POLL_S)

    trio.run(wait)
    assert process.poll() is None, f"the process ended before it was killed: {process.communicate()}"
