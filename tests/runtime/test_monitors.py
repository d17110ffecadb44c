"""Whoever watches a session hears of its end once, with the reason and the incarnation, and of nothing else."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import Down, InvalidEnvelopeError, Limits, Runtime, Session, StoreFencedError, agent
from actors.core.supervision import DownReason
from actors.runtime.monitors import Monitor, Monitors
from actors.store.memory import MemoryJournal
from actors.testing import Fails, FaultyJournal, Raise, Say, ScriptedAgent, checked_runtime, settle

CHAT = "live:a"


async def crash(runtime: Runtime) -> None:
    """Have the session crash once more than it may."""
    await (await runtime.send(CHAT, "hello")).result()
    await settle(runtime)


@pytest.mark.parametrize(
    ("end", "reason"),
    [(Runtime.stop, "stopped"), (Runtime.delete, "deleted"), (None, "quarantined")],
)
async def test_w1_a_monitor_is_told_of_a_permanent_end(
    end: Callable[[Runtime, object], Awaitable[None]] | None, reason: str, autojump_clock: MockClock
) -> None:
    """With the reason, and the incarnation that was the last."""
    scripted = ScriptedAgent([Raise(ValueError)] if end is None else [Say("ok")])
    async with checked_runtime(scripted, limits=Limits(restarts_max=0)) as runtime:
        await runtime.create(CHAT)
        if end is not None:
            await (await runtime.send(CHAT, "hello")).result()
        async with runtime.monitor(CHAT) as monitor:
            await (crash(runtime) if end is None else end(runtime, CHAT))
            with trio.fail_after(0.001):
                assert await monitor.wait() == Down(CHAT, DownReason(reason), 1)
                assert await monitor.wait() == Down(CHAT, DownReason(reason), 1), "whoever asks again gets the same"


async def test_w1_a_restart_is_told_only_to_who_asked_for_it(autojump_clock: MockClock) -> None:
    """The others go on watching through it, and hear of the end."""
    scripted = ScriptedAgent([Say("fine")], {(CHAT, 1): [Raise(ValueError)]})
    async with checked_runtime(scripted) as runtime:
        await runtime.create(CHAT)
        async with runtime.monitor(CHAT) as monitor, runtime.monitor(CHAT, restarts=True) as curious:
            await crash(runtime)
            assert await curious.wait() == Down(CHAT, DownReason.RESTARTED, 1)
            assert runtime.statistics().monitors == 1
            await runtime.stop(CHAT)
            assert await monitor.wait() == Down(CHAT, DownReason.STOPPED, 2)


@pytest.mark.rule("pitfall_33")
async def test_w1_one_end_is_told_once_to_each_monitor(autojump_clock: MockClock) -> None:
    """Watch twice, end once: each hears of it, and of no later end."""
    async with checked_runtime() as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        async with runtime.monitor(CHAT) as first, runtime.monitor(CHAT) as second:
            await runtime.stop(CHAT)
            await (await runtime.send(CHAT, "hello")).result()
            await runtime.delete(CHAT)
            assert (await first.wait()).reason is (await second.wait()).reason is DownReason.STOPPED
            assert runtime.statistics().monitors == 0


async def test_w1_an_absent_target_is_answered_for_at_once(autojump_clock: MockClock) -> None:
    """Unknown, deleted, quarantined; a session that is only not live has not ended."""
    scripted = ScriptedAgent([Say("ok")], {"live:sick": [Raise(ValueError)]})
    async with checked_runtime(scripted, limits=Limits(restarts_max=0)) as runtime:
        for chat in (CHAT, "live:sick", "live:gone"):
            await runtime.create(chat)
        await runtime.delete("live:gone")
        await (await runtime.send("live:sick", "hello")).result()
        await settle(runtime)
        for chat, reason in (("live:x", "absent"), ("live:gone", "absent"), ("live:sick", "quarantined")):
            async with runtime.monitor(chat) as monitor:
                with trio.fail_after(0.001):
                    assert (await monitor.wait()).reason == reason
        async with runtime.monitor(CHAT) as monitor:
            with trio.move_on_after(10.0) as waited:
                await monitor.wait()
            assert waited.cancelled_caught
        with pytest.raises(InvalidEnvelopeError):
            runtime.monitor("no id")


async def test_w1_a_reply_that_was_set_before_the_end_comes_before_it(autojump_clock: MockClock) -> None:
    """Reply and end in one step: the asker has the reply, and the monitor the end."""

    async def receive(session: Session, _: object) -> object:
        nursery.start_soon(runtime.stop, session.chat_id)
        await wait_all_tasks_blocked()
        return "the answer"

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime, trio.open_nursery() as nursery:
        await runtime.create(CHAT)
        async with runtime.monitor(CHAT) as monitor:
            assert await runtime.ask(CHAT, "question") == "the answer"
            assert (await monitor.wait()).reason is DownReason.STOPPED


async def test_w1_a_fence_and_the_close_of_a_runtime_are_ends_too(autojump_clock: MockClock) -> None:
    """Whoever watches when nothing can run here any more is told so."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal, open_turns=True) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        async with runtime.monitor(CHAT) as monitor:
            journal.plan("commit", Fails(StoreFencedError("taken")))
            with pytest.raises(StoreFencedError):
                await runtime.send(CHAT, "hello")
            assert (await monitor.wait()).reason is DownReason.FENCED
        async with runtime.monitor(CHAT) as late:
            assert (await late.wait()).reason is DownReason.FENCED
    monitors: list[Monitor] = []
    async with trio.open_nursery() as nursery:

        async def watch(closing: Runtime) -> None:
            async with closing.monitor(CHAT) as monitor:
                await monitor.wait()
                monitors.append(monitor)

        async with checked_runtime() as other:
            await other.create(CHAT)
            nursery.start_soon(watch, other)
            await wait_all_tasks_blocked()
    assert (await monitors[0].wait()).reason is DownReason.SHUTDOWN


async def test_w1_a_session_that_is_put_away_has_not_ended(autojump_clock: MockClock) -> None:
    """Only who asked hears of it; the others wait for the end, also while it is out of memory."""
    async with checked_runtime() as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        async with runtime.monitor(CHAT) as monitor, runtime.monitor(CHAT, passivation=True) as curious:
            assert await runtime.passivate(CHAT)
            assert await curious.wait() == Down(CHAT, DownReason.PASSIVATED, 1)
            assert runtime.statistics().monitors == 1
            await runtime.delete(CHAT)
            assert (await monitor.wait()).reason is DownReason.DELETED


async def test_w1_a_monitor_follows_a_session_to_its_new_id(autojump_clock: MockClock) -> None:
    """Whoever watched a draft hears of the end of the session that it became."""
    async with checked_runtime() as runtime:
        await runtime.create("draft:a")
        async with runtime.monitor("draft:a") as monitor:
            await runtime.migrate("draft:a", CHAT)
            async with runtime.monitor("draft:a") as late:
                await runtime.delete(CHAT)
                assert (await late.wait()).reason is DownReason.DELETED
            assert (await monitor.wait()).chat_id == CHAT
        assert runtime.statistics().monitors == 0


async def test_a_monitor_that_is_left_is_forgotten(autojump_clock: MockClock) -> None:
    """Nothing gathers for sessions that never end."""
    async with checked_runtime() as runtime:
        await runtime.create(CHAT)
        for _ in range(100):
            async with runtime.monitor(CHAT):
                assert runtime.statistics().monitors == 1
        assert runtime.statistics().monitors == 0
    assert len(Monitors()) == 0


async def test_w1_a_monitor_that_begins_after_a_migration_watches_the_session(autojump_clock: MockClock) -> None:
    """It was made under the id that the session had until then, and is not told that there is none."""
    async with checked_runtime() as runtime:
        draft = await runtime.create("draft:a")
        monitor = runtime.monitor(draft)
        await runtime.migrate(draft, "live:b")
        async with monitor:
            await runtime.delete("live:b")
            down = await monitor.wait()
            assert (down.chat_id, down.reason) == ("live:b", "deleted")
