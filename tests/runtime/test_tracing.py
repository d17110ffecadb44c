"""What a session does is seen as it does it, and afterwards: in order, and without anybody's words."""

from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ChatId, ConfigurationError, Limits, Runtime, Session, TraceRecord, UnknownChatError, agent
from actors.runtime.tracing import Tracing
from actors.testing import Call, Hang, Raise, Say, ScriptedAgent, checked_runtime, records_of, settle
from tests.runtime.by_hand import bench

CHAT = ChatId("live:a")


async def echo(session: Session, payload: object) -> object:
    """Answer with the message."""
    if payload == "raise":
        raise ValueError("private")
    return payload


def steps(records: "list[TraceRecord] | tuple[TraceRecord, ...]") -> list[str]:
    """Show records in short."""
    return [f"{record.kind} {record.what}" for record in records]


async def follow(runtime: Runtime, found: list[TraceRecord], task_status: trio.TaskStatus[None]) -> None:
    """Gather what a trace shows."""
    async with runtime.trace(CHAT) as trace:
        task_status.started()
        async for record in trace:
            found.append(record)


async def test_i1_a_trace_shows_every_step_of_a_turn_in_its_order(autojump_clock: MockClock) -> None:
    """Taken, decided, written; the phases before and after; and nothing that was said."""
    async with checked_runtime(agent(ScriptedAgent([Say("secret answer")]), receive=echo)) as runtime:
        await runtime.create(CHAT)
        found: list[TraceRecord] = []
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: follow(runtime, found, task_status))
            await (await runtime.send(CHAT, "secret question")).result()
            await runtime.ask(CHAT, "secret message")
            await runtime.tell(CHAT, "secret message")
            await settle(runtime)
            await runtime.passivate(CHAT)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert steps(found) == [
        "phase activating",
        "phase active",
        "taken accept",
        "decided message.accepted",
        "decided turn.started",
        "written message.accepted",
        "written turn.started",
        "decided text.appended",
        "decided turn.ended",
        "written text.appended",
        "written turn.ended",
        "taken ask",
        "taken tell",
        "control Passivate",
        "phase passivating",
        "phase absent",
    ]
    assert [record.seq for record in found if record.kind == "written"] == [2, 3, 4, 5]
    assert "secret" not in repr(found)


async def test_i1_a_trace_goes_on_with_the_next_incarnation(autojump_clock: MockClock) -> None:
    """Over a crash, a stop and a session that is up again; one that began before the session was up sees it come."""
    async with checked_runtime(agent(ScriptedAgent(), receive=echo), limits=Limits(backoff_last_s=0.1)) as runtime:
        await runtime.create(CHAT)
        found: list[TraceRecord] = []
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: follow(runtime, found, task_status))
            await runtime.tell(CHAT, "raise")
            await settle(runtime)
            await runtime.stop(CHAT)
            await runtime.tell(CHAT, "hello")
            await settle(runtime)
            nursery.cancel_scope.cancel()
        phases = [record.what for record in found if record.kind == "phase"]
        again = ["activating", "active"]
        assert phases == [*again, "restarting", *again, "stopping", "stopped", *again]


async def test_a_reader_that_is_too_slow_loses_the_oldest_records_alone(autojump_clock: MockClock) -> None:
    """The session waits for nobody, and the trace says how many it has lost."""
    async with checked_runtime(agent(ScriptedAgent(), receive=echo)) as runtime:
        await runtime.create(CHAT)
        async with runtime.trace(CHAT, records_max=5) as slow, runtime.trace(CHAT, records_max=1000) as fast:
            for _ in range(50):
                await runtime.tell(CHAT, "hello")
            await settle(runtime)
            assert slow.lost == 52 - 5
            assert fast.lost == 0
            assert [(await anext(slow)).what for _ in range(5)] == ["tell"] * 5
            assert [(await anext(fast)).what for _ in range(3)] == ["activating", "active", "tell"]


async def test_nothing_is_noted_for_a_trace_that_has_ended(autojump_clock: MockClock) -> None:
    """Its session has no tracer any more, and the runtime knows of none."""
    async with checked_runtime(agent(ScriptedAgent(), receive=echo)) as runtime:
        await runtime.create(CHAT)
        tracing = runtime._services.tracing  # noqa: SLF001 - what is left behind can be seen nowhere else
        async with runtime.trace(CHAT) as trace:
            await runtime.tell(CHAT, "hello")
            assert runtime._registry.refs[CHAT].tracer is not None  # noqa: SLF001 - as above
        assert (tracing.tracers, runtime._registry.refs[CHAT].tracer) == ({}, None)  # noqa: SLF001 - as above
        seen = [record async for record in trace]
        assert steps(seen)[0] == "phase activating", "what was noted can still be read, and then it ends"


async def test_i1_recent_shows_the_last_steps_of_one_session_among_many(autojump_clock: MockClock) -> None:
    """Without anybody having traced it, oldest first, and also once it has gone."""
    async with checked_runtime(ScriptedAgent([Call("tool")])) as runtime:
        for number in range(5):
            await runtime.create(f"live:{number}")
        for _ in range(5):
            for number in range(5):
                await (await runtime.send(f"live:{number}", "hello")).result()
        await settle(runtime)
        await runtime.stop("live:3")
        shown = runtime.recent("live:3", records_max=4)
        assert {record.chat_id for record in shown} == {"live:3"}
        assert steps(shown) == ["written turn.ended", "phase stopping", "control Stop", "phase stopped"]
        assert len(runtime.recent("live:3")) == 20
        assert runtime.recent("live:4", records_max=1)[0].what == "turn.ended"


async def test_the_ring_of_all_sessions_has_its_bound(autojump_clock: MockClock) -> None:
    """Who was busy last is in it, and the others have gone from it; a bound of none keeps none."""
    async with checked_runtime(limits=Limits(recent_records_max=10)) as runtime:
        for number in range(5):
            await runtime.create(f"live:{number}")
            await (await runtime.send(f"live:{number}", "hello")).result()
        assert runtime.recent("live:0") == ()
        assert len(runtime.recent("live:4")) > 1
    async with checked_runtime(limits=Limits(recent_records_max=0)) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        assert runtime.recent(CHAT) == ()


async def test_i1_a_hook_is_called_for_each_step_until_it_is_removed(autojump_clock: MockClock) -> None:
    """In the session's own way, so nothing is missed; and it can be installed before the session is up."""
    seen: list[TraceRecord] = []
    async with checked_runtime(agent(ScriptedAgent(), receive=echo)) as runtime:
        await runtime.create(CHAT)
        runtime.install(CHAT, seen.append)
        await runtime.ask(CHAT, "hello")
        assert steps(seen) == ["phase activating", "phase active", "taken ask"]
        assert runtime.remove(CHAT, seen.append)
        assert not runtime.remove(CHAT, seen.append)
        await runtime.ask(CHAT, "hello")
        assert len(seen) == 3


@pytest.mark.parametrize("error", [ValueError("private"), KeyboardInterrupt(), BaseExceptionGroup("", [ValueError()])])
async def test_a_hook_that_raises_is_removed_and_the_session_goes_on(
    error: BaseException, autojump_clock: MockClock
) -> None:
    """Whatever it raises; the other hook and the trace go on, and the log names the session and the kind of error."""
    log = BytesIO()
    calls: list[str] = []
    seen: list[TraceRecord] = []

    def bad(record: TraceRecord) -> None:
        calls.append(record.what)
        raise error

    async with checked_runtime(agent(ScriptedAgent(), receive=echo), log=log) as runtime:
        await runtime.create(CHAT)
        runtime.install(CHAT, bad)
        runtime.install(CHAT, seen.append)
        assert await runtime.ask(CHAT, "hello") == "hello"
        assert calls == ["activating"]
        assert len(seen) == 3
        assert runtime.statistics().crashes == 0
    (record,) = [record for record in records_of(log) if record["event"] == "hook.removed"]
    assert (record["chat_id"], record["error"]) == (CHAT, type(error).__name__)


async def test_hooks_and_traces_have_their_bounds(autojump_clock: MockClock) -> None:
    """What cannot be is told, with what can."""
    async with checked_runtime(limits=Limits(hooks_max=1, trace_records_max=10)) as runtime:
        await runtime.create(CHAT)
        runtime.install(CHAT, print)
        with pytest.raises(ConfigurationError, match="hooks_max"):
            runtime.install(CHAT, print)
        assert runtime.remove(CHAT, print)
        with pytest.raises(ConfigurationError, match="function"):
            runtime.install(CHAT, "print")  # type: ignore[arg-type]  # on purpose
        for bad in (0, 11, True, "5"):
            with pytest.raises(ConfigurationError, match="1 to 10"):
                runtime.trace(CHAT, records_max=bad)  # type: ignore[arg-type]  # on purpose
        with pytest.raises(UnknownChatError):
            runtime.trace("live:nobody")
        with pytest.raises(UnknownChatError):
            runtime.recent("live:nobody")


async def test_a_trace_shows_what_a_session_refuses(autojump_clock: MockClock) -> None:
    """With its reason, in the ring too."""
    async with checked_runtime(agent(ScriptedAgent([Hang()]), overlap="reject"), open_turns=True) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        with pytest.raises(Exception, match="busy"):
            await runtime.send(CHAT, "again")
        assert "refused busy" in steps(runtime.recent(CHAT))
        await receipt.cancel()


async def test_a_session_that_crashes_leaves_the_way_there_in_the_ring(autojump_clock: MockClock) -> None:
    """The last steps before a crash are what one asks for."""
    script = ScriptedAgent([Say("half"), Raise(ValueError)])
    async with checked_runtime(script, limits=Limits(restarts_max=0)) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        await settle(runtime)
        assert steps(runtime.recent(CHAT))[-2:] == ["written turn.ended", "phase quarantined"]


async def test_a_step_costs_a_look_at_one_field_while_nobody_traces() -> None:
    """The details of a session that nobody traces are never made."""
    made = bench()
    tracing = Tracing(made.clock, made.services.recorder, made.services.limits)
    tracing.step(made.ref, "phase", "active")
    assert made.ref.tracer is None
    assert [record.what for record in tracing.recent(made.ref.chat_id, 20)] == ["active"]


async def test_a_trace_goes_on_when_its_session_gets_another_id(autojump_clock: MockClock) -> None:
    """A draft that becomes live is the same session; nothing is left of the trace when it ends."""
    async with checked_runtime(agent(ScriptedAgent(), receive=echo)) as runtime:
        await runtime.create("draft:a")
        async with runtime.trace("draft:a") as trace:
            await runtime.ask("draft:a", "hello")
            await runtime.migrate("draft:a", "live:b")
            await runtime.ask("live:b", "hello")
            assert runtime._services.tracing.tracers.keys() == {"live:b"}  # noqa: SLF001 - where it is kept
        seen = [record async for record in trace]
        assert [record.chat_id for record in seen if record.what == "ask"] == ["draft:a", "live:b"]
        assert runtime._services.tracing.tracers == {}  # noqa: SLF001 - as above


async def test_the_hooks_of_a_session_end_with_its_deletion(autojump_clock: MockClock) -> None:
    """They are told of it; after it nobody could take them out, since there is no such session."""
    told: list[TraceRecord] = []
    async with checked_runtime() as runtime:
        for number in range(3):
            chat = await runtime.create(f"live:{number}")
            runtime.install(chat, told.append)
            await (await runtime.send(chat, "hello")).result()
            await runtime.delete(chat)
            assert told[-1].what == "deleted"
        assert not runtime._services.tracing.tracers  # noqa: SLF001 - what would be left behind


async def test_a_trace_that_begins_after_a_migration_shows_the_session(autojump_clock: MockClock) -> None:
    """It was asked for under the id that the session had until then."""
    async with checked_runtime() as runtime:
        draft = await runtime.create("draft:a")
        trace = runtime.trace(draft)
        await runtime.migrate(draft, CHAT)
        async with trace as records:
            await (await runtime.send(CHAT, "hello")).result()
            with trio.fail_after(1.0):
                assert (await anext(records)).chat_id == CHAT
