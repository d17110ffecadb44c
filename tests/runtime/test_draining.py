"""A stop may be given time: nothing more is taken, what is there is finished, and the rest is accounted for."""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from actors import Limits, Session, Turn, UnavailableError, agent, open_runtime
from actors.runtime.draining import is_busy
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import ScriptedAgent, VirtualClock, checked_runtime
from tests.runtime.by_hand import bench

CHAT = "live:a"


async def slow(turn: Turn) -> str:
    """Answer after a second."""
    await trio.sleep(1.0)
    return f"answer to {turn.text}"


async def test_l3_a_stop_with_time_finishes_what_is_queued_and_takes_nothing_more(autojump_clock: MockClock) -> None:
    """The lane is closed at once; who was accepted before is answered."""
    async with checked_runtime(slow) as runtime, trio.open_nursery() as nursery:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, str(number)) for number in range(3)]
        nursery.start_soon(partial(runtime.stop, CHAT, within_s=10.0))
        await trio.sleep(0.5)
        with pytest.raises(UnavailableError) as caught:
            await runtime.send(CHAT, "too late")
        assert caught.value.reason == "stopping"
        assert [(await receipt.result()).text for receipt in receipts] == [f"answer to {n}" for n in range(3)]
        await trio.sleep(0.1)
        assert runtime.inspect(CHAT).phase == "absent"
        assert trio.current_time() < 4.0, "it ended when it had nothing left to do"


async def test_l3_when_the_time_is_up_the_rest_is_interrupted_or_waits_on_disk(autojump_clock: MockClock) -> None:
    """Whatever is left has its place: the running turn its end, the queued one its row, the asker an error."""
    async with checked_runtime(slow, open_turns=True) as runtime:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, str(number)) for number in range(4)]
        await runtime.stop(CHAT, within_s=1.5)
        assert trio.current_time() < 2.0
        assert (await receipts[0].result()).status == "completed"
        assert (await receipts[1].result()).status == "interrupted"
        with pytest.raises(UnavailableError):
            await receipts[2].result()
        assert (await (await runtime.send(CHAT, "up again")).result()).ok
        assert (await receipts[2].result()).ok, "queued turns go on with the next life"


async def test_l3_a_stop_without_time_interrupts_at_once(autojump_clock: MockClock) -> None:
    """As ever; and a session that is not up has nothing to finish."""
    async with checked_runtime(slow) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await runtime.stop(CHAT)
        assert (await receipt.result()).status == "interrupted"
        await runtime.stop(CHAT, within_s=100.0)
        assert trio.current_time() < 1.0


async def test_l3_volatile_messages_that_were_admitted_are_handled_before_the_end(autojump_clock: MockClock) -> None:
    """None of them is lost silently."""
    handled: list[object] = []

    async def receive(_: Session, payload: object) -> None:
        await trio.sleep(0.1)
        handled.append(payload)

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        await runtime.create(CHAT)
        for number in range(5):
            await runtime.tell(CHAT, number)
        await runtime.stop(CHAT, within_s=5.0)
        assert handled == list(range(5))


async def test_a_session_that_is_not_up_is_not_busy(autojump_clock: MockClock) -> None:
    """Whatever its mailbox says."""
    made = bench()
    made.ref.mailbox.post_control("x", "x")
    assert not is_busy(made.ref)


async def hang(_: Turn) -> None:
    """Never answer."""
    await trio.sleep_forever()


async def test_l3_a_stop_whose_caller_is_cancelled_ends_the_session_all_the_same(autojump_clock: MockClock) -> None:
    """Its time is up then; or the session would take nothing for ever and never end."""
    async with checked_runtime(slow) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        with trio.move_on_after(0.5):
            await runtime.stop(CHAT, within_s=10.0)
        assert (await receipt.result()).status == "interrupted"
        await trio.sleep(0.1)
        assert (await (await runtime.send(CHAT, "again")).result()).ok


async def test_promise_7_a_turn_can_be_stopped_while_its_session_drains(autojump_clock: MockClock) -> None:
    """Time to end is no time that has to be used."""
    async with checked_runtime(hang) as runtime, trio.open_nursery() as nursery:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        nursery.start_soon(partial(runtime.stop, CHAT, within_s=40.0))
        await trio.sleep(1.0)
        assert (await receipt.cancel()).status == "cancelled"
        await trio.sleep(0.1)
        assert runtime.inspect(CHAT).phase == "absent"
        assert trio.current_time() < 2.0


async def test_l6_a_session_that_drains_when_the_runtime_closes_ends_with_it(autojump_clock: MockClock) -> None:
    """It has the time that all have, and is told to stop like all: its turn has its end on disk."""
    store, limits = MemoryStore(), Limits(drain_s=3.0)
    async with trio.open_nursery() as nursery:
        async with open_runtime(MemoryJournal(store), agent=hang, limits=limits, clock=VirtualClock()) as runtime:
            await runtime.create(CHAT)
            await runtime.send(CHAT, "hello")
            nursery.start_soon(partial(runtime.stop, CHAT, within_s=3600.0))
            await trio.sleep(1.0)
        assert trio.current_time() < 4.5
    async with checked_runtime(ScriptedAgent(), store=MemoryJournal(store)) as runtime:
        assert runtime.statistics().interrupted == 0, "it was settled in its own life"


async def test_l4_asking_for_a_stop_again_and_again_gives_no_more_time(autojump_clock: MockClock) -> None:
    """The grace begins with the first; a handler that does not end is given up after it."""

    async def receive(_: Session, __: object) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(60.0)

    limits = Limits(cancel_grace_s=1.0, phase_s=1.0, kill_s=1.0)
    async with checked_runtime(agent(ScriptedAgent(), receive=receive), limits=limits) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "stay")
        await trio.sleep(0.1)
        while runtime.inspect(CHAT).phase != "absent":
            with trio.move_on_after(0.5):
                await runtime.stop(CHAT)
        assert trio.current_time() < 5.0
        await trio.sleep(60.0)


async def test_i1_a_suspended_session_drains_as_far_as_it_goes_on(autojump_clock: MockClock) -> None:
    """Its turn has the time that all turns have at the end; the messages that it does not take hold nothing up."""
    ended: list[str] = []

    async def answer(turn: Turn) -> None:
        await trio.sleep(1.0)
        ended.append(turn.text)

    async def receive(_: Session, payload: object) -> None:
        ended.append(str(payload))

    made = agent(answer, receive=receive)
    async with open_runtime(MemoryJournal(), agent=made, clock=VirtualClock()) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "hello")
        runtime.suspend(CHAT)
        await runtime.tell(CHAT, "told")
        await trio.sleep(0.1)
    assert ended[0] == "hello"
    assert trio.current_time() < 2.0
