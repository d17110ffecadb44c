"""The handshake of passivation: whatever comes at any of its steps is kept, in order, and may call it off."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from actors import ChatId, Runtime
from actors.core.lifecycle import SessionPhase
from actors.runtime.ref import Ref
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import Delays, FaultyJournal, checked_runtime, settle
from tests.runtime.resting import Listener, resident, warm

CHAT = ChatId("live:a")


class Steps:
    """Counts the steps of the loop, and does something at one of them."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        """Act at a step, once."""
        self.count = 0
        self.acted = False
        self._at = at
        self._act = act

    async def run(self) -> None:
        """Take one step after another until cancelled."""
        while True:
            if self.count == self._at:
                self._act()
                self.acted = True
            self.count += 1
            await trio.lowlevel.checkpoint()


@pytest.mark.rule("pitfall_8", "M8")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("at", range(14))
async def test_p3_whatever_is_sent_at_any_step_of_the_handshake_arrives_in_order(
    at: int, seed: int, autojump_clock: MockClock
) -> None:
    """Both kinds of messages, sent at each step from before the request to after the session has come back."""
    listener = Listener()
    store = MemoryStore()
    async with checked_runtime(listener.agent(), store=MemoryJournal(store)) as runtime:
        await warm(runtime, CHAT)
        for _ in range(seed):
            await trio.lowlevel.checkpoint()
        sent: list[str] = []
        gone: list[bool] = []

        def send() -> None:
            for number in range(3):
                runtime.tell_nowait(CHAT, f"{at}.{number}")
            nursery.start_soon(deliver)

        async def deliver() -> None:
            receipt = await runtime.send(CHAT, "durable")
            sent.append((await receipt.result()).status)
            await runtime.tell(CHAT, "last")

        async def put_away() -> None:
            gone.append(await runtime.passivate(CHAT))

        async with trio.open_nursery() as nursery:
            steps = Steps(at, send)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as stepping:
                    stepping.start_soon(steps.run)
                    stepping.start_soon(put_away)
                    while not (steps.acted and gone):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
        await settle(runtime)
        assert sent == ["completed"]
        assert listener.heard == [f"{at}.0", f"{at}.1", f"{at}.2", "last"]
        assert listener.incarnations == sorted(listener.incarnations)
        assert runtime.statistics().letters.admitted == 6
        assert runtime.statistics().closed


async def test_p3_arrivals_queue_while_the_new_incarnation_comes_up(autojump_clock: MockClock) -> None:
    """A slow disk makes the gap long; the mailbox of the entry takes everything in it."""
    journal = FaultyJournal(MemoryJournal())
    listener = Listener()
    async with checked_runtime(listener.agent(), store=journal) as runtime:
        await warm(runtime, CHAT)
        assert await runtime.passivate(CHAT)
        journal.plan("load", Delays(20.0), times=1)
        for number in range(10):
            await runtime.tell(CHAT, number)
            await trio.sleep(1.0)
        assert runtime.inspect(CHAT).phase == "activating"
        assert runtime.inspect(CHAT).mailbox_messages == 10
        await settle(runtime)
        assert listener.heard == list(range(10))


async def caught(runtime: Runtime, nursery: trio.Nursery, gone: list[bool]) -> Ref:
    """Ask for a session to be put away until it is caught in the act: between two lives, for one step of the loop."""

    async def put_away() -> None:
        gone.append(await runtime.passivate(CHAT))

    for _ in range(100):
        gone.clear()
        await (await runtime.send(CHAT, "come up")).result()
        await settle(runtime)
        ref = runtime._registry.refs[CHAT]  # noqa: SLF001 - the phase is to be caught in the act
        nursery.start_soon(put_away)
        while not gone:
            if ref.phase is SessionPhase.PASSIVATING:
                return ref
            await trio.lowlevel.checkpoint()
    raise AssertionError("it was never seen between two lives")


async def test_p3_a_session_that_something_arrived_for_is_up_again_at_once(autojump_clock: MockClock) -> None:
    """The entry stays; only the incarnation is a new one, and whoever asked is told that it did not leave."""
    listener = Listener()
    async with checked_runtime(listener.agent()) as runtime:
        await runtime.create(CHAT)
        gone: list[bool] = []
        async with trio.open_nursery() as nursery:
            ref = await caught(runtime, nursery, gone)
            passivations = runtime.statistics().passivations
            before = ref.incarnation
            runtime.tell_nowait(CHAT, "wait for me")
        await settle(runtime)
        assert gone == [False]
        assert runtime._registry.refs[CHAT] is ref  # noqa: SLF001 - it is the same entry that is asked about
        assert (listener.heard, listener.incarnations) == (["wait for me"], [before + 1])
        assert runtime.statistics().passivations == passivations


@pytest.mark.parametrize("verb", ["stop", "delete"])
async def test_p3_a_stop_or_a_deletion_in_the_handshake_wins(verb: str, autojump_clock: MockClock) -> None:
    """The session ends as asked, and whoever wanted it put away is told that it was not put away by that."""
    async with checked_runtime() as runtime:
        await runtime.create(CHAT)
        gone: list[bool] = []
        async with trio.open_nursery() as nursery:
            ref = await caught(runtime, nursery, gone)
            await getattr(runtime, verb)(CHAT)
        assert gone == [False]
        assert resident(runtime) == set()
        assert ref.phase is (SessionPhase.STOPPED if verb == "stop" else SessionPhase.DELETED)


async def test_p3_a_subscriber_that_comes_in_the_handshake_sees_everything(autojump_clock: MockClock) -> None:
    """It holds the entry from its first moment, so it is never left with one that has gone."""
    async with checked_runtime() as runtime:
        await warm(runtime, CHAT)
        for steps in range(12):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(runtime.passivate, CHAT)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                receipts = []
                async with runtime.subscribe(CHAT) as stream:
                    assert CHAT in resident(runtime)
                    receipts.append(await runtime.send(CHAT, f"message {steps}"))
                    seen = []
                    async for item in stream:
                        seen.append(type(item).__name__)
                        if type(getattr(item, "body", None)).__name__ == "TurnEnded":
                            break
                assert seen[0] == "SessionReady"
                assert (await receipts[0].result()).ok
            await settle(runtime)


async def test_p3_requests_that_meet_are_one_and_all_are_answered(autojump_clock: MockClock) -> None:
    """Ten ask at once; the session leaves once."""
    async with checked_runtime() as runtime:
        await warm(runtime, CHAT)
        gone: list[bool] = []

        async def put_away() -> None:
            gone.append(await runtime.passivate(CHAT))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(put_away)
        assert gone == [True] * 10
        assert runtime.statistics().passivations == 1
