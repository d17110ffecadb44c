"""What was stored and logged can be compared."""

from io import BytesIO

import trio
from trio.testing import MockClock

from actors import ChatId
from actors.store.memory import MemoryJournal
from actors.testing import (
    Say,
    ScriptedAgent,
    canonical,
    checked_runtime,
    records_of,
)

CHAT = ChatId("live:a")


async def test_equal_conversations_are_stored_as_equal_bytes(autojump_clock: MockClock) -> None:
    """At other times, in other lives; one word more is another conversation."""
    stored = []
    for number, word in enumerate(("same", "same", "other")):
        journal = MemoryJournal()
        async with checked_runtime(ScriptedAgent([Say(word)]), store=journal) as runtime:
            await trio.sleep(float(number))
            await runtime.create(CHAT)
            await (await runtime.send(CHAT, "hello", message_id="key")).result()
            stored.append(await canonical(journal, CHAT))
    assert stored[0] == stored[1] != stored[2]
    assert stored[0].startswith(b"1 {")


async def test_the_records_of_a_log_in_memory_can_be_read(autojump_clock: MockClock) -> None:
    """One dictionary for each line."""
    log = BytesIO()
    async with checked_runtime(log=log) as runtime:
        await runtime.create(CHAT)
    records = records_of(log)
    assert (records[0]["event"], records[-1]["event"]) == ("runtime.opened", "runtime.closed")
