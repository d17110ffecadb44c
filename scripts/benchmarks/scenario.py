"""What ours are measured with: agents, a runtime on a file of its own, many calls at once.

Validation, routing, accounting, supervision and bounded mailboxes are those of a plain ``open_runtime``; nothing is
switched off to be measured.
"""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from actors import Limits, Runtime, Turn, open_runtime
from actors.runtime.agent import Agent
from scripts.benchmarks.harness import Settings

CLIENTS = 1_000
COLLECTOR_TUNED = 10_000
"""The first threshold of the collector that the how-to recommends for hundreds of busy sessions."""

PIECES = tuple(f"word{number:02} " for number in range(20))


async def answer_in_pieces(turn: Turn) -> None:
    """Answer as a model would that never waits: twenty pieces."""
    for piece in PIECES:
        await turn.write(piece)


async def hang(_turn: Turn) -> None:
    """Never answer."""
    await trio.sleep_forever()


@asynccontextmanager
async def opened(
    settings: Settings, chosen: Agent, limits: Limits | None = None, *, collector: int | None = None
) -> AsyncIterator[tuple[Runtime, Path]]:
    """Open a runtime on a file of its own."""
    with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
        path = Path(folder) / "ours.db"
        async with open_runtime(path, agent=chosen, limits=limits, collector_threshold=collector) as runtime:
            yield runtime, path


async def create_sessions(runtime: Runtime, count: int) -> list[str]:
    """Create sessions, all at once."""
    chats = [f"live:{number}" for number in range(count)]
    await all_at_once([partial(runtime.create, chat) for chat in chats])
    return chats


async def all_at_once(calls: list[Callable[[], Awaitable[object]]]) -> None:
    """Await many calls together."""
    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(call)
