"""A receipt leads to what became of its message, wherever that has moved to and whichever life it ended in."""

import pytest
import trio
from trio.testing import MockClock

from actors import UnavailableError, UnknownChatError, agent
from actors.core.ids import ChatId
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import Hang, Raise, Say, ScriptedAgent, Wait, checked_runtime

CHAT = ChatId("live:a")


async def test_everybody_who_waits_for_a_turn_gets_the_result_of_their_own_message(autojump_clock: MockClock) -> None:
    """Two messages were handed to one turn; it took neither, and each has a turn of its own afterwards."""
    scripted = ScriptedAgent([Say("own")], {(CHAT, 1): [Say("first"), Wait(1.0)]})
    async with checked_runtime(agent(scripted, overlap="steer")) as runtime:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, f"m{number}", message_id=f"key.{number}") for number in range(3)]
        assert [receipt.turn for receipt in receipts] == [1, 1, 1]
        results: dict[int, tuple[int, str]] = {}

        async def wait(number: int) -> None:
            result = await receipts[number].result()
            results[number] = (result.turn, result.text)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(wait, number)
                nursery.start_soon(wait, number)
        assert results == {0: (1, "first"), 1: (2, "own"), 2: (3, "own")}
        assert [receipt.turn for receipt in receipts] == [1, 2, 3]


async def test_a_key_that_was_moved_gets_the_receipt_of_where_it_is(autojump_clock: MockClock) -> None:
    """While it is at hand, and when it has to be looked up."""
    store = MemoryStore()
    scripted = ScriptedAgent(scripts={(CHAT, 1): [Wait(1.0)]})
    async with checked_runtime(agent(scripted, overlap="steer"), store=MemoryJournal(store)) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "m0")
        moved = await runtime.send(CHAT, "m1", message_id="key")
        assert (await moved.result()).turn == 2
        again = await runtime.send(CHAT, "m1", message_id="key")
        assert (again.turn, again.duplicate) == (2, True)
        assert again.seq > moved.seq
    async with checked_runtime(agent(scripted, overlap="steer"), store=MemoryJournal(store)) as runtime:
        later = await runtime.send(CHAT, "m1", message_id="key")
        assert (later.turn, later.seq, (await later.result()).text) == (2, again.seq, "ok")


async def test_a_result_is_followed_over_a_crash_of_the_session(autojump_clock: MockClock) -> None:
    """Who waited is woken by the crash, and finds the message in the turn that it moved to."""
    scripted = ScriptedAgent(scripts={(CHAT, 1): [Wait(1.0), Raise(ValueError)]})
    async with checked_runtime(agent(scripted, overlap="steer")) as runtime:
        await runtime.create(CHAT)
        first = await runtime.send(CHAT, "m0")
        second = await runtime.send(CHAT, "m1")
        result = await second.result()
        assert (result.turn, result.status, result.text) == (2, "completed", "ok")
        assert (await first.result()).error == "ValueError"


async def test_a_result_of_a_session_that_ends_first_is_said_to_be_on_disk(autojump_clock: MockClock) -> None:
    """Stopped, the message waits for the next life; deleted, there is nothing to be had."""
    async with checked_runtime(ScriptedAgent([Hang()]), open_turns=True) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "m0")
        waiting = await runtime.send(CHAT, "m1")
        await runtime.stop(CHAT)
        with pytest.raises(UnavailableError, match="the message is on disk"):
            await waiting.result()
        await runtime.delete(CHAT)
        with pytest.raises(UnknownChatError):
            await waiting.result()


async def test_a_cancellation_of_what_has_ended_changes_nothing(autojump_clock: MockClock) -> None:
    """It returns how the turn ended, however often it is asked."""
    async with checked_runtime() as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "m0")
        assert (await receipt.result()).ok
        for _ in range(2):
            assert (await receipt.cancel()).ok


async def test_who_waits_for_a_message_that_moves_as_its_session_ends_is_told(autojump_clock: MockClock) -> None:
    """It has a turn of its own then, which nobody will come to in this life; the next one answers it."""
    scripted = ScriptedAgent(scripts={(CHAT, 1): [Wait(100.0)]})
    async with checked_runtime(agent(scripted, overlap="steer")) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "first")
        receipt = await runtime.send(CHAT, "second")
        assert receipt.turn == 1
        told = 0

        async def wait() -> None:
            nonlocal told
            with pytest.raises(UnavailableError):
                await receipt.result()
            told += 1

        with trio.fail_after(50.0):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(wait)
                await trio.sleep(1.0)
                await runtime.stop(CHAT)
        assert told == 20
        assert (await (await runtime.send(CHAT, "third")).result()).ok
        assert (await receipt.result()).turn == 2
