# mypy: ignore-errors
# The package is installed in an environment of its own, where no type checker looks.
"""Messages between agents of autogen-core in its single-threaded runtime.

A message sent to one agent is always answered (only topics are published to without an answer), so
a message counts once its answer is there, with one to each agent in flight.
"""

import asyncio
from dataclasses import dataclass
from time import perf_counter

from autogen_core import (
    AgentId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    message_handler,
)
from messages import ACTORS, seconds, tell_figures


@dataclass
class Ping:
    """A message with a number."""

    number: int


class Counter(RoutedAgent):
    """Counts what it is sent."""

    def __init__(self) -> None:
        super().__init__("counts")
        self.count = 0

    @message_handler
    async def on_ping(self, message: Ping, ctx: MessageContext) -> Ping:  # noqa: ARG002  # its API
        """Count one message and answer with the count."""
        self.count += message.number
        return Ping(self.count)


async def main() -> None:
    """Send for half of the time, ask for a tenth."""
    runtime = SingleThreadedAgentRuntime()
    await Counter.register(runtime, "counter", Counter)
    runtime.start()
    agents = [AgentId("counter", str(number)) for number in range(ACTORS)]
    started_s = perf_counter()
    until_s = started_s + seconds() / 2
    sent = 0
    while perf_counter() < until_s:
        await asyncio.gather(*(runtime.send_message(Ping(1), agent) for agent in agents))
        sent += ACTORS
    took_s = perf_counter() - started_s
    asks_us = []
    until_s = perf_counter() + seconds() / 10
    while perf_counter() < until_s:
        asked_s = perf_counter()
        await runtime.send_message(Ping(1), agents[0])
        asks_us.append((perf_counter() - asked_s) * 1e6)
    await runtime.stop()
    tell_figures("autogen-core", sent / took_s, asks_us)


asyncio.run(main())
