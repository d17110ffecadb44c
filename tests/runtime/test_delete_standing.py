"""Deleting a session whatever stands in it beside its turns, and whatever is about to be done with it."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ChatId, RefusedError, Runtime, StoreError, Turn, UnknownChatError
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import FaultyJournal, Hangs, VirtualClock, checked_runtime

CHAT, MOVED, OTHER = ChatId("draft:a"), ChatId("live:a"), ChatId("live:other")

State = Callable[[Runtime, FaultyJournal, trio.Nursery], Awaitable[object]]
"""Brings a session with a turn that runs and one that waits into a state."""


async def work(turn: Turn) -> None:
    """Agent: hang, with a child if it is told to."""
    if turn.text == "spawn":
        await turn.spawn("hang")
    await turn.write("half")
    await trio.sleep_forever()


async def tolerate(call: Awaitable[object]) -> None:
    """Do something that the deletion may be in the way of."""
    with suppress(RefusedError, StoreError):
        await call


async def behind_a_write(
    runtime: Runtime, journal: FaultyJournal, nursery: trio.Nursery, call: Awaitable[object]
) -> None:
    """Have something asked of the session while the disk holds its last write."""
    journal.plan("commit", Hangs(), times=1)
    nursery.start_soon(tolerate, runtime.send(CHAT, "on its way"))
    await wait_all_tasks_blocked()
    nursery.start_soon(tolerate, call)
    await wait_all_tasks_blocked()
    journal.heal()


STATES: dict[str, State] = {
    "migrated": lambda runtime, _, __: runtime.migrate(CHAT, MOVED),
    "about to be migrated": lambda runtime, journal, nursery: behind_a_write(
        runtime, journal, nursery, runtime.migrate(CHAT, MOVED)
    ),
    "edited, its turn still ending": lambda runtime, _, __: runtime.edit(CHAT, 1, "in other words"),
    "about to be edited": lambda runtime, journal, nursery: behind_a_write(
        runtime, journal, nursery, runtime.edit(CHAT, 1, "in other words")
    ),
    "forked": lambda runtime, _, __: runtime.fork(CHAT, "live:fork"),
    "with reminders": lambda runtime, _, __: runtime.remind(CHAT, "tea", "drink", every_s=60.0),
    "with a child": lambda runtime, _, __: runtime.edit(CHAT, 1, "spawn"),
    "paused": lambda runtime, _, __: runtime.queue(CHAT).pause(),
    "stopped": lambda runtime, _, __: runtime.stop(CHAT),
}


@pytest.mark.parametrize("state", STATES)
async def test_l5_a_session_is_deleted_whatever_stands_in_it(state: str, autojump_clock: MockClock) -> None:
    """Nothing of it is left or comes back under any of its ids; another session keeps every byte."""
    store = MemoryStore()
    journal = FaultyJournal(MemoryJournal(store))
    async with checked_runtime(work, store=journal, open_turns=True, clock=VirtualClock()) as runtime:
        await runtime.create(OTHER, history=[("system", "stays")])
        before = list(store.chats[OTHER].events)
        await runtime.create(CHAT)
        for number in range(2):
            await runtime.send(CHAT, f"message {number}")
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            await STATES[state](runtime, journal, nursery)
            await trio.sleep(0.1)
            await runtime.delete(CHAT)
        await trio.sleep(1000.0)
        with suppress(UnknownChatError):
            await runtime.delete("live:fork")
        assert await runtime.sessions() == (OTHER,)
        assert (set(store.chats), store.aliases) == ({OTHER}, {})
        assert store.chats[OTHER].events == before
        for chat_id in {CHAT, MOVED} & set(store.tombstones):
            with pytest.raises(UnknownChatError):
                await runtime.send(chat_id, "late")
        assert CHAT in store.tombstones
        assert len(runtime._services.expiries) == 0  # noqa: SLF001 - nobody waits for a moment of it
        assert not runtime._registry.refs or set(runtime._registry.refs) == {OTHER}  # noqa: SLF001 - as above
