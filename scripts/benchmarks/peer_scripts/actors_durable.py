# mypy: ignore-errors
# Run by its path, beside modules that no type checker finds from here.
"""Our turns, with a plain ``open_runtime`` on a file: the agent answers at once, the result is awaited."""

import statistics
import sys
from functools import partial
from pathlib import Path
from time import perf_counter

import trio
from durable_turns import (
    CLIENTS,
    EARLY,
    LATE_TURNS,
    LONG_TURNS,
    SHARE_OF_CLIENTS,
    TEXT,
    bytes_in,
    folder_and_seconds,
    tell,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # the package beside these scripts

from actors import Runtime, Turn, open_runtime


async def assistant(turn: Turn) -> str:
    """Answer with a hundred bytes, having looked at the history as a model would."""
    assert turn.history[-1].text == TEXT, "the history ends with the message that is answered"
    return TEXT


async def take_turn(runtime: Runtime, chat: str) -> None:
    """Send a message and await the end of its turn."""
    result = await (await runtime.send(chat, TEXT)).result()
    assert result.ok, result.status


async def clients(runtime: Runtime, seconds: float) -> float:
    """Let a hundred clients take turns at once; return how many turns were done per second."""
    done = 0
    started_s = perf_counter()

    async def client(chat: str) -> None:
        nonlocal done
        while perf_counter() < started_s + seconds:
            await take_turn(runtime, chat)
            done += 1

    async with trio.open_nursery() as nursery:
        for number in range(CLIENTS):
            nursery.start_soon(client, await runtime.create(f"live:client-{number}"))
    return done / (perf_counter() - started_s)


async def main(folder: Path, seconds: float) -> None:
    """Measure turns, and tell the figures."""
    async with open_runtime(folder / "ours.db", agent=assistant) as runtime:
        started_s = perf_counter()
        before = bytes_in(folder)
        rate = await clients(runtime, seconds * SHARE_OF_CLIENTS)
        more = {"bytes a turn": (bytes_in(folder) - before) / (rate * (perf_counter() - started_s))}
        before = bytes_in(folder)
        chat = await runtime.create("live:long")
        took_ms = []
        for _ in range(LONG_TURNS):
            asked_s = perf_counter()
            await take_turn(runtime, chat)
            took_ms.append((perf_counter() - asked_s) * 1e3)
        more |= {
            "10th turn ms": statistics.median(took_ms[EARLY]),
            "last turn ms": statistics.median(took_ms[-LATE_TURNS:]),
            "which was the": len(took_ms),
            "MB of that session": (bytes_in(folder) - before) / 1e6,
        }
    tell("chat-actors", rate, more, "")


if __name__ == "__main__":
    trio.run(partial(main, *folder_and_seconds()))
