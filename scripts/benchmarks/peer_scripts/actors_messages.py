# mypy: ignore-errors
# Run by its path, beside modules that no type checker finds from here.
"""Our volatile messages: one sender, a hundred sessions, default limits."""

import sys
from pathlib import Path
from time import perf_counter

import trio
from messages import ACTORS, seconds, tell_figures

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # the package beside these scripts

from actors import Session, Turn, agent, open_runtime


async def answer(_turn: Turn) -> None:
    """Nobody sends what is to be answered."""


async def main() -> None:
    """Tell for half of the time, ask for a tenth."""
    received = 0

    async def receive(_session: Session, _payload: object) -> int:
        nonlocal received
        received += 1
        return received

    async with open_runtime(":memory:", agent=agent(answer, receive=receive)) as runtime:
        chats = [await runtime.create(f"live:{number}") for number in range(ACTORS)]
        started_s = perf_counter()
        until_s = started_s + seconds() / 2
        sent = 0
        while perf_counter() < until_s:
            for chat in chats:
                await runtime.tell(chat, "1")
            sent += ACTORS
        while received < sent:
            await trio.lowlevel.checkpoint()
        took_s = perf_counter() - started_s
        asks_us = []
        until_s = perf_counter() + seconds() / 10
        while perf_counter() < until_s:
            asked_s = perf_counter()
            await runtime.ask(chats[0], "1")
            asks_us.append((perf_counter() - asked_s) * 1e6)
    tell_figures("chat-actors", sent / took_s, asks_us)


if __name__ == "__main__":
    trio.run(main)
