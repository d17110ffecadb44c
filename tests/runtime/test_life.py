"""Leaving the block stops in bounded phases, whatever runs, whoever raises, and whichever key is pressed."""

import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from actors import (
    ActorsError,
    Limits,
    StoreInUseError,
    Turn,
    TurnEnded,
    UnavailableError,
    agent,
    open_runtime,
)
from actors.ports import Entry, Outcome
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Do,
    Fails,
    FaultyJournal,
    Hang,
    Hangs,
    LosesAnswer,
    Say,
    ScriptedAgent,
    Shield,
    VirtualClock,
    Wait,
    checked_runtime,
)

LIMITS = Limits(drain_s=5.0, phase_s=5.0, cancel_grace_s=2.0)


async def ends_in(store: MemoryStore, chat_id: str) -> list[tuple[str, str]]:
    """List how the turns of a session ended, as far as the store knows."""
    bodies = [event.body for event in store.chats[chat_id].events]
    return [(str(body.status), body.reason) for body in bodies if isinstance(body, TurnEnded)]


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
    """Everything inside the scope is torn down with it; the next life marks what was running."""
    store = MemoryStore()
    with trio.move_on_after(3.0) as scope:
        async with checked_runtime(ScriptedAgent([Hang()]), store=MemoryJournal(store), limits=LIMITS) as runtime:
            await runtime.create("live:a")
            await runtime.send("live:a", "hello")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() < 3.1
    assert store.owner is None
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        assert runtime.statistics().turns == {"interrupted": 1}


async def test_everything_that_is_asked_of_a_closed_runtime_is_refused(autojump_clock: MockClock) -> None:
    """With a typed error, never a hang or a crash of something inside."""

    async def receive(session: object, payload: object) -> None:
        await trio.lowlevel.checkpoint()

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        await runtime.create("live:a")
        receipt = await runtime.send("live:a", "hello")
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: runtime.send("live:a", "late"),
        lambda: runtime.tell("live:a", "late"),
        lambda: runtime.ask("live:a", "late"),
        lambda: runtime.create("live:b"),
        lambda: runtime.delete("live:a"),
        lambda: runtime.answer("live:a", "live:a/1/0", "late"),
        lambda: runtime.history("live:a"),
        runtime.sessions,
        receipt.result,
    )
    for call in calls:
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
    """Whatever it waits for, it is answered when the runtime closes, and the sums are right."""
    journal = FaultyJournal(MemoryJournal())
    ended: list[str] = []

    async def receive(session: object, payload: object) -> None:
        await trio.sleep_forever()

    made = agent(ScriptedAgent([Hang()]), receive=receive)
    limits = Limits(drain_s=1.0, phase_s=1.0, cancel_grace_s=1.0, mailbox_messages_max=1)
    with trio.fail_after(100.0):
        async with trio.open_nursery() as nursery:  # noqa: SIM117 - the caller outlives the runtime
            async with open_runtime(journal, agent=made, limits=limits, clock=VirtualClock()) as runtime:
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
    assert len(ended) == 1
    assert runtime.statistics().closed
    assert runtime.statistics().mailbox_bytes == 0


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


@pytest.mark.parametrize("whose", ["agent", "handler", "journal"])
def test_an_interrupt_of_the_program_is_never_delivered_inside_a_session(whose: str) -> None:
    """Whoever's code runs when the key is pressed; the block hears of it, and what ran is settled on disk."""
    store = MemoryStore()
    inside: list[BaseException] = []

    def press(here: str) -> None:
        if here != whose:
            return
        try:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # a signal is handled between two instructions
                pass
        except BaseException as error:
            inside.append(error)
            raise

    class Pressing(FaultyJournal):
        """Presses the key in its second commit."""

        @override
        async def commit(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
            if self.calls["commit"] == 1:
                press("journal")
            return await super().commit(entries)

    async def press_in_turn(turn: Turn) -> None:
        press("agent")

    async def receive(session: object, payload: object) -> None:
        press("handler")

    async def main() -> None:
        made = agent(ScriptedAgent([Do(press_in_turn), Wait(1.0), Say("said")]), receive=receive)
        async with open_runtime(Pressing(MemoryJournal(store)), agent=made, clock=VirtualClock()) as runtime:
            await runtime.create("live:a")
            await runtime.send("live:a", "hello")
            await runtime.tell("live:a", "hello")
            await trio.sleep(10.0)

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert inside == [], f"delivered inside the {whose}"
    run(partial(answer_again, store))


def run(main: Callable[[], Awaitable[object]]) -> None:
    """Run a program of its own, so that its main task is the one that hears of interrupts."""
    trio.run(main, clock=MockClock(autojump_threshold=0))


async def answer_again(store: MemoryStore) -> None:
    """See the next life settle and answer."""
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        await runtime.create("live:a")
        assert (await (await runtime.send("live:a", "again")).result()).ok


def test_a_second_interrupt_during_the_shutdown_ends_it() -> None:
    """Whoever presses twice does not want to wait for the drain; the next life settles what was running."""
    store = MemoryStore()
    ended_s: list[float] = []

    @trio.lowlevel.enable_ki_protection
    async def press_later() -> None:
        for _ in range(2):
            await trio.sleep(2.0)
            signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        limits = Limits(drain_s=1000.0)
        try:
            async with (
                trio.open_nursery() as nursery,
                open_runtime(
                    MemoryJournal(store),
                    agent=ScriptedAgent([Shield(3.0), Hang()]),
                    limits=limits,
                    clock=VirtualClock(),
                ) as runtime,
            ):
                await runtime.create("live:a")
                await runtime.send("live:a", "hello")
                nursery.start_soon(press_later)
        finally:
            ended_s.append(trio.current_time())

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the interrupt, however it is wrapped
        run(main)
    assert "KeyboardInterrupt" in repr(caught.value)
    assert ended_s[0] < 30.0
    run(partial(answer_again, store))
