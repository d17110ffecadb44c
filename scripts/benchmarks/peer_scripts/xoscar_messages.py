# mypy: ignore-errors
# The package is installed in an environment of its own, where no type checker looks.
"""Messages between actors of Xoscar in one process."""

import asyncio
from time import perf_counter

import xoscar
from messages import ACTORS, seconds, tell_figures


class Counter(xoscar.Actor):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.count = 0

    async def add(self, number: int) -> int:
        """Count one message, and give the count."""
        self.count += number
        return self.count


async def main() -> None:
    """Tell for half of the time, ask for a tenth."""
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=0)
    async with pool:
        actors = [
            await xoscar.create_actor(Counter, address=pool.external_address, uid=f"counter-{n}") for n in range(ACTORS)
        ]
        started_s = perf_counter()
        until_s = started_s + seconds() / 2
        sent = 0
        while perf_counter() < until_s:
            for actor in actors:
                await actor.add.tell(1)
            sent += ACTORS
        while sum([await actor.add(0) for actor in actors]) < sent:  # noqa: ASYNC110  # tells end so
            await asyncio.sleep(0)
        took_s = perf_counter() - started_s
        asks_us = []
        until_s = perf_counter() + seconds() / 10
        while perf_counter() < until_s:
            asked_s = perf_counter()
            await actors[0].add(1)
            asks_us.append((perf_counter() - asked_s) * 1e6)
        tell_figures("xoscar", sent / took_s, asks_us)


asyncio.run(main())
