"""Every end of an incarnation has one reason of a closed set, and whoever inspects the session sees it."""

import pytest
import trio
from trio.testing import MockClock

from actors import Limits, Runtime, Session, agent
from actors.core.ids import ChatId
from actors.core.supervision import ChildKind, ExitReason, is_restarted
from actors.store.memory import MemoryJournal
from actors.testing import (
    Fails,
    FaultyJournal,
    Hang,
    Raise,
    RaiseStray,
    Say,
    ScriptedAgent,
    checked_runtime,
    settle,
)

CHAT = ChatId("live:a")
EIGHT_KINDS: tuple[BaseException, ...] = (
    ValueError("private"),
    KeyboardInterrupt(),
    SystemExit(1),
    GeneratorExit(),
    trio.BrokenResourceError(),
    ExceptionGroup("two", [ValueError(), KeyError()]),
    BaseExceptionGroup("mixed", [KeyboardInterrupt(), ValueError()]),
    ExceptionGroup("nested", [ExceptionGroup("inner", [OSError()])]),
)


def exit_of_ref(runtime: Runtime) -> ExitReason | None:
    """Look at the ref, which a session that has ended leaves behind."""
    ref = runtime._registry.get(CHAT)  # noqa: SLF001 - what inspect shows once the ref has gone is nothing
    return None if ref is None else ref.last_exit


@pytest.mark.parametrize("error", EIGHT_KINDS, ids=lambda error: type(error).__name__)
async def test_s1_nothing_that_an_agent_raises_passes_the_barrier(
    error: BaseException, autojump_clock: MockClock
) -> None:
    """Each kind, groups included, becomes a crash of its session; the neighbour notices nothing."""
    scripts = {(CHAT, 1): [Raise(error)]}
    async with checked_runtime(ScriptedAgent([Say("fine")], scripts)) as runtime:  # type: ignore[arg-type]  # one kind of key
        for chat in (CHAT, "live:b"):
            await runtime.create(chat)
        receipts = [await runtime.send(chat, "hello") for chat in (CHAT, "live:b")]
        assert [(await receipt.result()).status for receipt in receipts] == ["failed", "completed"]
        await settle(runtime)
        assert runtime.inspect(CHAT).last_exit == "crashed"
        assert (runtime.inspect("live:b").last_exit, runtime.inspect("live:b").incarnation) == ("", 1)
        assert is_restarted(ChildKind.TRANSIENT, ExitReason.CRASHED)
        assert runtime.inspect(CHAT).incarnation == 2


async def test_s1_a_cancellation_that_belongs_to_nobody_is_a_crash(autojump_clock: MockClock) -> None:
    """Only one that belongs to an outer scope passes; a stray one, alone or in a group, is the agent's own."""
    scripts = {(CHAT, 1): [RaiseStray()], (CHAT, 2): [RaiseStray(grouped=True)]}
    async with checked_runtime(ScriptedAgent([Say("fine")], scripts)) as runtime:  # type: ignore[arg-type]  # as above
        await runtime.create(CHAT)
        for _ in range(2):
            receipt = await runtime.send(CHAT, "hello")
            assert (await receipt.result()).reason == "crashed"
        await settle(runtime)
        assert runtime.statistics().crashes == 2


@pytest.mark.parametrize(("how", "reason"), [("stop", "normal"), ("delete", "killed")])
async def test_s1_a_stop_and_a_deletion_end_a_session_each_in_its_way(
    how: str, reason: str, autojump_clock: MockClock
) -> None:
    """The ref keeps the reason, though it leaves the registry."""
    async with checked_runtime(open_turns=True) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        ref = runtime._registry.get(CHAT)  # noqa: SLF001 - it is about to go
        assert ref is not None
        await (runtime.stop(CHAT) if how == "stop" else runtime.delete(CHAT))
        assert ref.last_exit == reason
        assert exit_of_ref(runtime) is None


async def test_s1_a_session_that_is_up_when_the_runtime_closes_is_shut_down(autojump_clock: MockClock) -> None:
    """That is nobody's failure, and nobody is started again for it."""
    async with checked_runtime(ScriptedAgent([Hang()]), limits=Limits(drain_s=0.0), open_turns=True) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "hello")
        ref = runtime._registry.get(CHAT)  # noqa: SLF001 - as above
    assert ref is not None
    assert ref.last_exit is ExitReason.SHUTDOWN
    assert not is_restarted(ChildKind.TRANSIENT, ExitReason.SHUTDOWN)


async def test_s1_a_session_that_cannot_recover_has_failed_to_begin(autojump_clock: MockClock) -> None:
    """An unreadable session is told apart from one that crashed at work."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        await runtime.create(CHAT)
    journal.plan("load", Fails(OSError("gone")), times=1)
    async with checked_runtime(store=journal) as runtime:
        receipt = await runtime.send(CHAT, "hello")
        assert runtime.inspect(CHAT).last_exit == "init_failed"
        assert (await receipt.result()).ok


async def test_s1_a_session_that_is_given_up_says_quarantined(autojump_clock: MockClock) -> None:
    """Whatever the last crash was, that is how it ended."""
    async with checked_runtime(ScriptedAgent([Raise(ValueError)]), limits=Limits(restarts_max=0)) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        await settle(runtime)
        assert runtime.inspect(CHAT).phase == "quarantined"
        assert runtime.inspect(CHAT).last_exit == "quarantined"


async def test_s1_an_overrun_handler_is_a_crash(autojump_clock: MockClock) -> None:
    """A handler that is cancelled for its time ends its incarnation as an exception would."""

    async def receive(_: Session, __: object) -> None:
        await trio.sleep_forever()

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "hello")
        await settle(runtime)
        assert runtime.inspect(CHAT).last_exit == "crashed"
        assert runtime.inspect(CHAT).last_error == "TimeoutError"
