"""A runtime that is checked objects to whatever is left behind, and to nothing else."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ChatId, Limits, Runtime, agent
from actors.store.memory import MemoryJournal
from actors.testing import (
    FaultyJournal,
    Hang,
    Hangs,
    ScriptedAgent,
    checked_runtime,
    settle,
    unsettled,
)

CHAT = ChatId("live:a")


async def leave_an_open_turn(runtime: Runtime) -> None:
    """Leave a turn that does not end in time."""
    await runtime.send(CHAT, "hello")


async def leave_a_subscriber(runtime: Runtime) -> None:
    """Leave a subscription that nobody closes."""
    await runtime.subscribe(CHAT).__aenter__()


async def leave_a_task(runtime: Runtime) -> None:
    """Leave a task among those of the sessions."""
    runtime._services.spawn(trio.sleep_forever)  # noqa: SLF001 - as a bug would


async def leave_a_letter(runtime: Runtime) -> None:
    """Leave a message behind a handler that hangs."""
    for _ in range(2):
        await runtime.tell(CHAT, "hello")


async def leave_a_wrong_sum(runtime: Runtime) -> None:
    """Lose count of an envelope."""
    runtime._router.sent += 1  # noqa: SLF001 - as a bug would


async def hang(session: object, payload: object) -> None:
    """Never return."""
    await trio.sleep_forever()


@pytest.mark.rule("V1")
@pytest.mark.parametrize(
    ("leave", "sentence"),
    [
        (leave_an_open_turn, "live:a has 1 turns open"),
        (leave_a_subscriber, "live:a has 1 subscribers"),
        (leave_a_task, "tasks run for"),
        (leave_a_letter, "live:a has 1 messages in its mailbox"),
        (leave_a_letter, "live:a has 1 handlers that run"),
        (leave_a_wrong_sum, "the sums are wrong"),
    ],
)
async def test_what_a_test_leaves_behind_fails_it(
    leave: Callable[[Runtime], Awaitable[None]], sentence: str, autojump_clock: MockClock
) -> None:
    """By name, so that it can be found; and the runtime is closed all the same."""
    with pytest.raises(AssertionError, match=sentence):
        limits = Limits(handler_s=86_400.0)
        async with checked_runtime(agent(ScriptedAgent([Hang()]), receive=hang), limits=limits) as runtime:
            await runtime.create(CHAT)
            await leave(runtime)
    assert runtime.statistics().stopping
    assert runtime.statistics().sessions_live == 0


async def test_a_test_that_fails_is_not_blamed_for_what_it_left(autojump_clock: MockClock) -> None:
    """Its own error is the one that is seen."""
    with pytest.raises(KeyError):
        async with checked_runtime(ScriptedAgent([Hang()])) as runtime:
            await runtime.create(CHAT)
            await runtime.send(CHAT, "hello")
            raise KeyError


async def test_open_turns_can_be_allowed(autojump_clock: MockClock) -> None:
    """For tests of what happens to them; everything else is still checked."""
    async with checked_runtime(ScriptedAgent([Hang()]), open_turns=True) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "hello")
        await settle(runtime, open_turns=True)
        assert unsettled(runtime, open_turns=True) == []
        assert unsettled(runtime) == ["live:a has 1 turns open"]
    with pytest.raises(AssertionError, match="subscribers"):
        async with checked_runtime(open_turns=True) as runtime:
            await runtime.create(CHAT)
            await leave_a_subscriber(runtime)


async def test_a_write_that_hangs_keeps_the_runtime_from_its_rest(autojump_clock: MockClock) -> None:
    """And is named."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        await runtime.create(CHAT)
        async with trio.open_nursery() as nursery:
            journal.plan("commit", Hangs())
            nursery.start_soon(runtime.send, CHAT, "hello")
            await wait_all_tasks_blocked()
            with pytest.raises(AssertionError, match="writes under way"):
                await settle(runtime, within_s=10.0)
            journal.heal()
