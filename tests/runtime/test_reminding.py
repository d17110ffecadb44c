"""The ticks of one session: what is looked up, what is put off, and for what moment the session waits next."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.errors import StoreUnavailableError
from actors.runtime.facade import Runtime
from actors.runtime.reminding import TICKS_IN_GROUP_MAX, arm
from actors.store.memory import MemoryJournal
from actors.testing import Fails, FaultyJournal, ScriptedAgent, VirtualClock, checked_runtime

CHAT = ChatId("live:42")
START_S = 1_750_000_000.0


def waited_for(runtime: Runtime) -> float | None:
    """Say for which moment the session waits, in seconds from the start."""
    expiries = runtime._services.expiries  # noqa: SLF001 - nobody else needs to know
    entry = expiries._set.get(CHAT)  # noqa: SLF001 - as above
    return None if entry is None else entry.due_s - START_S


async def test_a_session_waits_for_the_first_of_its_reminders(autojump_clock: MockClock) -> None:
    """Whatever is set, fired or called off, the first that is due is waited for, and none when none stands."""
    async with checked_runtime(clock=VirtualClock(1, wall_s=START_S)) as runtime:
        await runtime.create(CHAT)
        remind = partial(runtime.remind, CHAT)
        assert waited_for(runtime) is None
        await remind("late", "x", at_s=START_S + 50.0)
        assert waited_for(runtime) == 50.0
        await remind("soon", "x", at_s=START_S + 20.0, every_s=40.0)
        assert waited_for(runtime) == 20.0
        await trio.sleep(25.0)
        assert waited_for(runtime) == 50.0
        await trio.sleep(30.0)
        assert waited_for(runtime) == 60.0
        await runtime.forget_reminder(CHAT, "soon")
        assert waited_for(runtime) is None


async def test_more_ticks_than_one_commit_holds_come_in_several(autojump_clock: MockClock) -> None:
    """So that a session that has missed much gives way to what else it has to do."""
    journal, script = FaultyJournal(MemoryJournal()), ScriptedAgent()
    limits = Limits(queue_turns_max=1000)
    async with checked_runtime(script, store=journal, clock=VirtualClock(1, wall_s=START_S), limits=limits) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "x", at_s=START_S - 99.5, every_s=1.0, missed="all")
        await trio.sleep(0.1)
        await runtime.forget_reminder(CHAT, "tea")
        kinds = [[type(event.body).__name__ for event in entry.events] for entry in journal.entries]  # type: ignore[union-attr]  # nothing is erased
        fired = [names.count("ReminderFired") for names in kinds if "ReminderFired" in names]
        assert sum(fired) == 100
        assert max(fired) == TICKS_IN_GROUP_MAX


@pytest.mark.parametrize("operation", ["find", "load"])
async def test_a_disk_that_cannot_be_read_puts_a_tick_off(operation: str, autojump_clock: MockClock) -> None:
    """A tick is not fired before it is known that it has not come; it comes when the disk is back."""
    journal, script = FaultyJournal(MemoryJournal()), ScriptedAgent()
    async with checked_runtime(script, store=journal, clock=VirtualClock(1, wall_s=START_S)) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "x", at_s=START_S + 5.0)
        await runtime.stop(CHAT)
        journal.plan(operation, Fails(StoreUnavailableError("read error", hint="wait")))  # type: ignore[arg-type]  # one of its words
        await trio.sleep(60.0)
        assert script.runs == []
        journal.heal()
        await trio.sleep(60.0)
        assert script.runs == [(CHAT, 1, 1)]


async def test_a_session_that_ends_before_it_has_looked_is_asked_again(autojump_clock: MockClock) -> None:
    """A signal that is lost with a life of the session costs a few seconds, not the tick."""
    script = ScriptedAgent()
    async with checked_runtime(script, clock=VirtualClock(1, wall_s=START_S)) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "x", at_s=START_S + 5.0)
        runtime._services.fall_due(CHAT)  # noqa: SLF001 - too early: the session looks, and waits on
        await trio.sleep(0.1)
        assert waited_for(runtime) == 5.0
        async with trio.open_nursery() as nursery:
            runtime._services.fall_due(CHAT)  # noqa: SLF001 - as above
            nursery.start_soon(runtime.stop, CHAT)
        await trio.sleep(20.0)
        assert script.runs == [(CHAT, 1, 1)]


async def test_a_session_without_a_state_waits_for_nothing(autojump_clock: MockClock) -> None:
    """Before it has recovered nobody knows what stands in it."""
    async with checked_runtime(clock=VirtualClock(1, wall_s=START_S)) as runtime:
        await runtime.create(CHAT)
        ref = runtime._registry.get(CHAT)  # noqa: SLF001 - the ref is what is armed
        assert ref is not None
        ref.state, kept = None, ref.state
        arm(ref, runtime._services)  # noqa: SLF001 - as above
        assert waited_for(runtime) is None
        ref.state = kept
