"""Sessions are looked into at once, whatever they do; held still, and let go again."""

from pathlib import Path
from time import perf_counter

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ChatId,
    ConfigurationError,
    Limits,
    OverloadedError,
    Session,
    Turn,
    UnknownChatError,
    agent,
    open_runtime,
)
from actors.runtime.introspection import Introspection
from actors.store.memory import MemoryJournal
from actors.testing import Call, Delays, FaultyJournal, Raise, Say, ScriptedAgent, Wait, checked_runtime, settle
from tests.runtime.resting import Listener, warm

CHAT = ChatId("live:a")


async def test_i1_a_session_is_shown_at_once_during_a_turn_of_a_minute(autojump_clock: MockClock) -> None:
    """With the turn's age, the line at which it waits, and the last committed state."""
    async with checked_runtime(ScriptedAgent([Say("begun"), Wait(60.0)])) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "hello")
        await runtime.send(CHAT, "more")
        await trio.sleep(40.0)
        began_s = perf_counter()
        shown = runtime.inspect(CHAT)
        assert perf_counter() - began_s < 0.05
        assert (shown.phase, shown.status, shown.running_turn, shown.queued_turns) == ("active", "running", 1, 1)
        assert shown.turn_age_s == pytest.approx(40.0, abs=1.0)
        assert shown.waits_at.endswith(" _do"), "the line of the agent, not one of trio"
        assert shown.idle_s is None
        assert (shown.executed, shown.dead_letters, shown.oldest_message_age_s) == (2, 0, None)
        await settle(runtime)
        shown = runtime.inspect(CHAT)
        assert (shown.turn_age_s, shown.waits_at) == (None, "")
        assert shown.idle_s is not None


async def test_pitfall_26_looking_does_not_wait_for_a_busy_session(autojump_clock: MockClock) -> None:
    """A handler that never returns, a disk that hangs, a session between two lives: each is shown as it is."""
    journal = FaultyJournal(MemoryJournal())
    listener = Listener(seconds=20.0)
    async with checked_runtime(listener.agent(), store=journal) as runtime:
        await warm(runtime, CHAT)
        await runtime.tell(CHAT, "one")
        await wait_all_tasks_blocked()
        assert runtime.inspect(CHAT).waits_at.endswith(" receive")
        await settle(runtime)
        journal.plan("commit", Delays(30.0), times=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.send, CHAT, "hello")
            await trio.sleep(10.0)
            assert runtime.inspect(CHAT).seq == 5, "the last number on disk"
        await settle(runtime)


async def test_i1_a_session_is_shown_while_it_is_restarted(autojump_clock: MockClock) -> None:
    """With its phase, its failures and the messages that wait for it."""
    limits = Limits(backoff_first_s=100.0, backoff_last_s=100.0)

    async def fail(_session: Session, payload: object) -> None:
        if payload == "raise":
            raise ValueError("private")

    async with checked_runtime(agent(ScriptedAgent(), receive=fail), limits=limits) as runtime:
        await warm(runtime, CHAT)
        await runtime.tell(CHAT, "raise")
        await wait_all_tasks_blocked()
        await runtime.tell(CHAT, "waits")
        shown = runtime.inspect(CHAT)
        assert (shown.phase, shown.restarts, shown.last_error) == ("restarting", 1, "ValueError")
        assert shown.mailbox_messages == 1
        await settle(runtime)


async def test_i2_the_age_of_the_oldest_message_is_seen(autojump_clock: MockClock) -> None:
    """To the moment for what is asked and sent; for plain messages since somebody looked, and never too high."""
    listener = Listener(seconds=10.0)
    async with checked_runtime(listener.agent()) as runtime:
        await warm(runtime, CHAT)
        await runtime.tell(CHAT, 0)
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: runtime.ask(CHAT, 1, timeout_s=100.0))
            await trio.sleep(4.0)
            assert runtime.inspect(CHAT).oldest_message_age_s == pytest.approx(4.0, abs=0.1)
        for number in range(3):
            await runtime.tell(CHAT, number)
        await wait_all_tasks_blocked()
        assert runtime.inspect(CHAT).oldest_message_age_s == pytest.approx(0.0, abs=0.1)
        await trio.sleep(5.0)
        assert runtime.inspect(CHAT).oldest_message_age_s == pytest.approx(5.0, abs=0.1)
        await trio.sleep(6.0)
        assert runtime.inspect(CHAT).oldest_message_age_s == pytest.approx(11.0, abs=0.1)
        await settle(runtime)
        assert runtime.inspect(CHAT).oldest_message_age_s is None


async def test_i2_the_tree_shows_services_sessions_and_who_has_left(autojump_clock: MockClock) -> None:
    """Those that do something first, then who did last; those that have left for a while."""
    script = ScriptedAgent([Say("ok")], {"live:3": [Call("tool", seconds=50.0)]})
    async with checked_runtime(script, limits=Limits(stopped_shown_s=100.0)) as runtime:
        for number in range(5):
            await runtime.create(f"live:{number}")
            await runtime.send(f"live:{number}", "hello")
            await trio.sleep(1.0)
        await runtime.stop("live:0")
        assert await runtime.passivate("live:1")
        tree = runtime.tree()
        assert (tree.epoch, tree.sessions_total, tree.sessions_known) == (runtime.epoch, 3, 5)
        assert {service.name for service in tree.services if service.running} >= {"committer", "passivation"}
        assert all(service.running for service in tree.services)
        assert [session.chat_id for session in tree.sessions] == ["live:3", "live:4", "live:2"]
        first = tree.sessions[0]
        assert (first.status, first.turn, first.idle_s) == ("waiting", 1, None)
        assert first.turn_age_s == pytest.approx(2.0, abs=0.1)
        assert [(one.chat_id, one.phase) for one in tree.stopped] == [("live:0", "stopped"), ("live:1", "absent")]
        assert len(runtime.tree(sessions_max=1).sessions) == 1
        await trio.sleep(101.0)
        assert runtime.tree().stopped == ()
        await runtime.send("live:1", "again")
        assert "live:1" not in [one.chat_id for one in runtime.tree().stopped]
        for bad in (-1, 1.0, True, None):
            with pytest.raises(ConfigurationError):
                runtime.tree(sessions_max=bad)  # type: ignore[arg-type]  # on purpose


async def test_i1_a_suspended_session_takes_no_message_and_hears_control(autojump_clock: MockClock) -> None:
    """Its mailbox fills in order; a prompt can be answered and a turn cancelled; then it takes what waits."""
    listener = Listener()
    async with checked_runtime(listener.agent()) as runtime:
        await warm(runtime, CHAT)
        runtime.suspend(CHAT)
        assert runtime.inspect(CHAT).phase == "suspended"
        for number in range(3):
            await runtime.tell(CHAT, number)
        receipts = []
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                receipts.append(await runtime.send(CHAT, "hello"))

            nursery.start_soon(send)
            await trio.sleep(5000.0)
            shown = runtime.inspect(CHAT)
            assert (shown.phase, shown.suspended, shown.mailbox_messages) == ("suspended", True, 4)
            assert listener.heard == []
            assert not await runtime.passivate(CHAT)
            runtime.resume(CHAT)
        assert listener.heard == [0, 1, 2]
        assert (await receipts[0].result()).ok
        assert runtime.inspect(CHAT).phase == "active"
        runtime.resume(CHAT)


async def test_i1_a_turn_goes_on_while_its_session_is_suspended(autojump_clock: MockClock) -> None:
    """What it writes is written, it can be cancelled, and it ends."""
    async with checked_runtime(ScriptedAgent([Say("a b c", pieces=5, every_s=1.0)])) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        runtime.suspend(CHAT)
        assert (await receipt.result()).text == "a b c"
        runtime.resume(CHAT)
        receipt = await runtime.send(CHAT, "again")
        runtime.suspend(CHAT)
        assert (await receipt.cancel()).status == "cancelled"
        runtime.resume(CHAT)


async def test_a_suspension_lasts_over_a_restart_and_ends_with_a_stop(autojump_clock: MockClock) -> None:
    """Who crashed while it was held still is held still when it is up again."""
    limits = Limits(backoff_last_s=0.1)
    async with checked_runtime(ScriptedAgent([Wait(5.0), Raise(ValueError)]), limits=limits) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        runtime.suspend(CHAT)
        assert (await receipt.result()).status == "failed"
        await trio.sleep(5.0)
        shown = runtime.inspect(CHAT)
        assert (shown.phase, shown.restarts, shown.incarnation) == ("suspended", 1, 2)
        await runtime.stop(CHAT)
        assert runtime.inspect(CHAT).phase == "absent"
        runtime._services.agent.answer.default = [Say("ok")]  # type: ignore[attr-defined]  # noqa: SLF001 - the script
        assert (await (await runtime.send(CHAT, "hello")).result()).ok


async def test_a_suspended_session_can_be_deleted_with_what_waits_for_it(autojump_clock: MockClock) -> None:
    """Nobody is left waiting, and the sum is right."""
    listener = Listener()
    async with checked_runtime(listener.agent()) as runtime:
        await warm(runtime, CHAT)
        runtime.suspend(CHAT)
        await runtime.tell(CHAT, "waits")
        await runtime.delete(CHAT)
        assert runtime.statistics().closed


async def test_looking_at_a_session_that_is_not_there_is_refused(autojump_clock: MockClock) -> None:
    """And one that is not in memory is shown as absent, with the number of its last incarnation."""
    async with checked_runtime() as runtime:
        for look in (runtime.inspect, runtime.suspend, runtime.resume):
            with pytest.raises(UnknownChatError):
                look("live:nobody")
        await warm(runtime, CHAT)
        assert await runtime.passivate(CHAT)
        shown = runtime.inspect(CHAT)
        assert (shown.phase, shown.incarnation, shown.memory_bytes, shown.idle_s) == ("absent", 1, 0, None)


async def test_i2_the_tree_shows_the_alarms_that_are_on(autojump_clock: MockClock) -> None:
    """A turn that makes no progress is seen by whoever looks, with the place at which it hangs."""
    async with checked_runtime(ScriptedAgent([Wait(50.0)]), limits=Limits(soft_turn_s=10.0)) as runtime:
        await runtime.create("live:a")
        receipt = await runtime.send("live:a", "hello")
        assert runtime.tree().alarms == ()
        await trio.sleep(20.0)
        (alarm,) = runtime.tree().alarms
        assert (alarm.kind, alarm.chat_id) == ("turn_age", "live:a")
        assert runtime.tree().stalls == 0
        await receipt.result()


async def test_i2_what_a_session_holds_is_estimated(autojump_clock: MockClock) -> None:
    """It grows with what was said; nothing is folded or read for it."""
    async with checked_runtime(ScriptedAgent([Say("x" * 100_000)])) as runtime:
        await warm(runtime, CHAT)
        before = runtime.inspect(CHAT).memory_bytes
        assert before > 100_000
        await (await runtime.send(CHAT, "again")).result()
        assert runtime.inspect(CHAT).memory_bytes > before + 100_000


async def test_every_verb_of_introspection_is_a_verb_of_the_runtime(autojump_clock: MockClock) -> None:
    """A host calls them all on what ``open_runtime`` gives it."""
    async with checked_runtime() as runtime:
        assert isinstance(runtime, Introspection)
        assert attrs.asdict(runtime.statistics())["epoch"] == runtime.epoch


async def test_an_agent_is_looked_at_from_inside_its_own_turn(autojump_clock: MockClock) -> None:
    """Looking is no message, so it cannot wait for itself."""
    seen: list[str] = []

    async def look(turn: Turn) -> None:
        seen.append(found[0].inspect(turn.chat_id).status)

    found: list[Introspection] = []
    async with checked_runtime(look) as runtime:
        found.append(runtime)
        await warm(runtime, CHAT)
    assert seen == ["running"]


async def test_i1_the_state_of_a_session_can_be_replaced_in_debug_mode_only(tmp_path: Path) -> None:
    """Durably, while no turn runs; and it is what the next turn begins with."""

    async def count(turn: Turn) -> str:
        value = turn.state
        turn.state = value + 1 if isinstance(value, int) else 1
        if turn.text == "wait":
            await trio.sleep(0.2)
        return str(turn.state)

    async with open_runtime(tmp_path / "s.db", agent=count, debug=True) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "one")).result()).text == "1"
        await runtime.replace_state(CHAT, 41)
        assert (await (await runtime.send(CHAT, "two")).result()).text == "42"
        receipt = await runtime.send(CHAT, "wait")
        with pytest.raises(OverloadedError, match="busy"):
            await runtime.replace_state(CHAT, 7)
        assert (await receipt.result()).text == "43"
        for bad in (object(), {1, 2, object()}, "x" * (1 << 21)):
            with pytest.raises(ConfigurationError):
                await runtime.replace_state(CHAT, bad)
        await runtime.replace_state(CHAT, {"a": [1]})
    async with open_runtime(tmp_path / "s.db", agent=count) as runtime:
        with pytest.raises(ConfigurationError, match="debug"):
            await runtime.replace_state(CHAT, 1)
        assert (await (await runtime.send(CHAT, "three")).result()).text == "1", "it was no number any more"
