"""Conversations to look at, and ways to look at them."""

from collections.abc import Sequence

from actors import ChatId, Event, Runtime
from actors.core.stream import Item
from actors.runtime.receipt import Receipt
from actors.runtime.subscription import Subscription

CHAT = ChatId("live:a")


async def read_all(stream: Subscription) -> list[Item]:
    """Read a subscription to its end."""
    return [item async for item in stream]


def seqs_of(items: Sequence[Item]) -> list[int]:
    """List the numbers of the events."""
    return [item.seq for item in items if isinstance(item, Event)]


async def converse(runtime: Runtime, turns: int = 3) -> Receipt:
    """Hold a short conversation and return the last receipt."""
    await runtime.create(CHAT)
    receipt = None
    for number in range(turns):
        receipt = await runtime.send(CHAT, f"message {number}")
        await receipt.result()
    assert receipt is not None
    return receipt
