"""Leaving the block stops in bounded phases, whatever runs, whoever raises, and whichever key is pressed."""

import os
import signal
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ActorsError,
    Event,
    Limits,
    Runtime,
    StoreInUseError,
    Turn,
    TurnEnded,
    UnavailableError,
    agent,
    open_runtime,
)
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Do,
    Fails,
    FaultyJournal,
    Hang,
    Hangs,
    LosesAnswer,
    Raise,
    Say,
    ScriptedAgent,
    Shield,
    VirtualClock,
    Wait,
    checked_runtime,
    records_of,
    settle,
)

LIMITS = Limits(drain_s=5.0, phase_s=5.0, cancel_grace_s=2.0)


async def ends_in(store: MemoryStore, chat_id: str) -> list[tuple[str, str]]:
    """List how the turns of a session ended, as far as the store knows."""
    bodies = [event.body for event in store.chats[chat_id].events]
    return [(str(body.status), body.reason) for body in bodies if isinstance(body, TurnEnded)]


@pytest.mark.parametrize(
    ("step", "end", "seconds_max"),
    [
        (Wait(1.0), ("completed", ""), 1.1),
        (Hang(), ("interrupted", "shutdown"), 5.1),
        (Shield(6.0), ("interrupted", "shutdown"), 7.1),
    ],
)
async def test_a_hundred_running_turns_are_shut_down_within_the_bound(
    step: object, end: tuple[str, str], seconds_max: float, autojump_clock: MockClock
) -> None:
    """Those that end in time complete, the others are interrupted on disk; nothing is left of them."""
    store = MemoryStore()
    script = ScriptedAgent([Say("half"), step])  # type: ignore[list-item]  # a step
    chats = [f"live:{number}" for number in range(100)]
    async with checked_runtime(script, store=MemoryJournal(store), limits=LIMITS, open_turns=True) as runtime:
        for chat_id in chats:
            await runtime.create(chat_id)
            await runtime.send(chat_id, "hello")
        began_s = trio.current_time()
        await runtime.shut_down(LIMITS.drain_s)
        assert trio.current_time() - began_s <= seconds_max
    for chat_id in chats:
        assert await ends_in(store, chat_id) == [end]
    assert store.owner is None, "the store was given up"


async def test_queued_turns_run_until_the_drain_is_over_and_wait_on_disk_after_it(autojump_clock: MockClock) -> None:
    """The next life goes on with them."""
    store = MemoryStore()
    script = ScriptedAgent([Wait(2.0)])
    async with checked_runtime(script, store=MemoryJournal(store), limits=LIMITS, open_turns=True) as runtime:
        await runtime.create("live:a")
        for number in range(5):
            await runtime.send("live:a", f"message {number}")
        await runtime.shut_down(LIMITS.drain_s)
    assert await ends_in(store, "live:a") == [("completed", "")] * 2 + [("interrupted", "shutdown")]
    async with checked_runtime(script, store=MemoryJournal(store)) as runtime:
        await settle(runtime)
    assert [status for status, _ in await ends_in(store, "live:a")] == ["completed"] * 2 + ["interrupted"] + [
        "completed"
    ] * 2


async def test_a_block_that_raises_interrupts_at_once_and_raises_what_it_raised(autojump_clock: MockClock) -> None:
    """No drain for a program that is failing; the error is its own, not a group."""
    store = MemoryStore()
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught:
        async with checked_runtime(ScriptedAgent([Hang()]), store=MemoryJournal(store), limits=LIMITS) as runtime:
            await runtime.create("live:a")
            await runtime.send("live:a", "hello")
            await wait_all_tasks_blocked()
            raise error
    assert caught.value is error
    assert trio.current_time() < 0.1
    assert await ends_in(store, "live:a") == [("interrupted", "shutdown")]


async def test_a_block_that_is_cancelled_interrupts_at_once_and_ends_cancelled(autojump_clock: MockClock) -> None:
    """What runs is written down although the host is being cancelled."""
    store = MemoryStore()
    with trio.move_on_after(3.0) as scope:
        async with checked_runtime(ScriptedAgent([Hang()]), store=MemoryJournal(store), limits=LIMITS) as runtime:
            await runtime.create("live:a")
            await runtime.send("live:a", "hello")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() < 3.1
    assert await ends_in(store, "live:a") == [("interrupted", "shutdown")]


async def test_shutting_down_twice_is_shutting_down_once(autojump_clock: MockClock) -> None:
    """One after the other, at the same time, and after the block."""
    log = BytesIO()
    async with checked_runtime(ScriptedAgent([Wait(1.0)]), log=log, limits=LIMITS) as runtime:
        await runtime.create("live:a")
        await runtime.send("live:a", "hello")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.shut_down, 5.0)
            nursery.start_soon(runtime.shut_down, 5.0)
        await runtime.shut_down(0.0)
    await runtime.shut_down(5.0)
    assert [record["event"] for record in records_of(log)].count("runtime.closed") == 1


async def test_everything_that_is_asked_of_a_closed_runtime_is_refused(autojump_clock: MockClock) -> None:
    """With a typed error, never a hang or a crash of something inside."""

    async def receive(session: object, payload: object) -> None:
        await trio.lowlevel.checkpoint()

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        await runtime.create("live:a")
        receipt = await runtime.send("live:a", "hello")
    for call in (
        lambda: runtime.send("live:a", "late"),
        lambda: runtime.tell("live:a", "late"),
        lambda: runtime.ask("live:a", "late"),
        lambda: runtime.create("live:b"),
        lambda: runtime.delete("live:a"),
        lambda: runtime.answer("live:a", 1, 0, "late"),
        lambda: runtime.history("live:a"),
        lambda: runtime.sessions(),
        receipt.result,
    ):
        with pytest.raises(ActorsError):
            await call()
    with pytest.raises(UnavailableError):
        async with runtime.subscribe("live:a"):
            pass
    await runtime.stop("live:a")
    assert runtime.inspect("live:a").phase == "absent"
    assert runtime.statistics().stopping


@pytest.mark.parametrize("state", ["waiting for a receipt", "waiting for a result", "asking", "waiting for room"])
async def test_a_caller_outside_the_block_is_not_left_waiting(state: str, autojump_clock: MockClock) -> None:
    """Whatever it waits for, it is answered when the runtime closes."""
    store = MemoryStore()
    journal = FaultyJournal(MemoryJournal(store))
    ended: list[str] = []

    async def receive(session: object, payload: object) -> None:
        await trio.sleep_forever()

    made = agent(ScriptedAgent([Hang()]), receive=receive)
    limits = Limits(drain_s=1.0, phase_s=1.0, cancel_grace_s=1.0, mailbox_messages_max=1)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(1000.0):
            async with checked_runtime(made, store=journal, limits=limits, open_turns=True) as runtime:
                await runtime.create("live:a")

                async def call() -> None:
                    try:
                        match state:
                            case "waiting for a receipt":
                                journal.plan("commit", Hangs())
                                await runtime.send("live:a", "hello")
                            case "waiting for a result":
                                await (await runtime.send("live:a", "hello")).result()
                            case "asking":
                                await runtime.ask("live:a", "hello", timeout_s=1e6)
                            case _:
                                for number in range(3):
                                    await runtime.tell("live:a", number)
                    except ActorsError as error:
                        ended.append(type(error).__name__)
                    else:
                        ended.append("answered")

                nursery.start_soon(call)
                await wait_all_tasks_blocked()
                await runtime.shut_down(1.0)
            assert trio.current_time() < 100.0
    assert len(ended) == 1


async def test_a_session_that_keeps_crashing_does_not_hold_up_the_shutdown(autojump_clock: MockClock) -> None:
    """Restarting, quarantined, failing while it is told to stop."""
    script = ScriptedAgent([Raise(ValueError)], {"live:late": [Wait(3.0), Raise(ValueError)]})
    limits = Limits(drain_s=5.0, phase_s=5.0, backoff_first_s=30.0, restarts_max=2)
    clock = VirtualClock(rolls=[1.0] * 10)
    async with checked_runtime(script, limits=limits, clock=clock, open_turns=True) as runtime:
        for chat_id in ("live:a", "live:b", "live:late"):
            await runtime.create(chat_id)
            await runtime.send(chat_id, "hello")
            await runtime.send(chat_id, "again")
        await trio.sleep(1.0)
        began_s = trio.current_time()
        await runtime.shut_down(5.0)
        assert trio.current_time() - began_s < 6.0
    assert runtime.statistics().sessions_live == 0


async def test_a_store_that_cannot_be_opened_opens_nothing(autojump_clock: MockClock) -> None:
    """Its error is the host's to see, as it is, and nothing runs."""
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store)):
        with pytest.raises(StoreInUseError):
            async with checked_runtime(store=MemoryJournal(store)):
                pass
    journal = FaultyJournal(MemoryJournal(store))
    journal.plan("open", Fails(ZeroDivisionError()), times=1)
    with pytest.raises(ZeroDivisionError):
        async with checked_runtime(store=journal):
            pass


@pytest.mark.parametrize("fault", [Fails(ZeroDivisionError()), LosesAnswer(ZeroDivisionError()), Hangs()])
async def test_a_store_that_cannot_be_closed_does_not_hold_up_or_hide_anything(
    fault: object, autojump_clock: MockClock
) -> None:
    """The block ends in time; an error of the block itself is the one that is seen."""
    journal = FaultyJournal(MemoryJournal())
    journal.plan("close", fault)  # type: ignore[arg-type]  # a fault
    with pytest.raises(KeyError):
        async with checked_runtime(store=journal, limits=LIMITS):
            raise KeyError
    assert trio.current_time() <= 6.0


async def test_an_interrupt_of_the_program_is_never_delivered_inside_a_session(autojump_clock: MockClock) -> None:
    """Whoever's code runs when the key is pressed: an agent's, a handler's, a journal's; the block hears of it."""
    for whose in ("agent", "handler", "journal"):
        store = MemoryStore()
        inside: list[BaseException] = []

        def press(inside: list[BaseException] = inside) -> None:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(1000):  # a signal is handled between two instructions
                    pass
            except BaseException as error:
                inside.append(error)
                raise

        async def press_in_turn(turn: Turn, whose: str = whose) -> None:
            if whose == "agent":
                press()
            await turn.write("on")

        async def press_in_handler(session: object, payload: object, whose: str = whose) -> None:
            await trio.lowlevel.checkpoint()
            if whose == "handler":
                press()

        class Pressing(FaultyJournal):
            """Presses the key in its second commit."""

            async def commit(self, entries: object, whose: str = whose) -> object:  # type: ignore[override]
                if whose == "journal" and self.calls["commit"] == 1:
                    press()
                return await super().commit(entries)  # type: ignore[arg-type]  # passed on

        script = ScriptedAgent([Do(press_in_turn), Wait(1.0), Say("said")])
        with pytest.raises(KeyboardInterrupt):
            async with checked_runtime(
                agent(script, receive=press_in_handler), store=Pressing(MemoryJournal(store)), limits=LIMITS
            ) as runtime:
                await work(runtime)
        assert inside == [], f"delivered inside the {whose}"
        assert all(status in {"interrupted", "completed"} for status, _ in await ends_in(store, "live:a"))
        async with checked_runtime(store=MemoryJournal(store)) as runtime:
            assert (await (await runtime.send("live:a", "again")).result()).ok


async def work(runtime: Runtime) -> None:
    """Keep a session busy until something stops the block."""
    await runtime.create("live:a")
    await runtime.send("live:a", "hello")
    await runtime.tell("live:a", "hello")
    await trio.sleep(10.0)


async def test_a_second_interrupt_during_the_shutdown_ends_it(autojump_clock: MockClock) -> None:
    """Whoever presses twice does not want to wait for the drain; the next life settles what was running."""
    store = MemoryStore()

    async def press_later() -> None:
        await trio.sleep(2.0)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the interrupt, however it is wrapped
        async with (
            trio.open_nursery() as nursery,
            open_runtime(
                MemoryJournal(store),
                agent=ScriptedAgent([Shield(3.0), Hang()]),
                limits=Limits(drain_s=1000.0),
                clock=VirtualClock(),
            ) as runtime,
        ):
            await runtime.create("live:a")
            await runtime.send("live:a", "hello")
            nursery.start_soon(press_later)
    assert "KeyboardInterrupt" in repr(caught.value)
    assert trio.current_time() < 20.0
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        assert (await (await runtime.send("live:a", "again")).result()).ok
    assert isinstance(store.chats["live:a"].events[-1], Event)
