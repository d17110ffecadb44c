"""The queue of a session in the hands of its host."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from actors import (
    Event,
    InvalidEnvelopeError,
    Limits,
    OverloadedError,
    Queue,
    QueuePaused,
    Receipt,
    Runtime,
    Turn,
    TurnEnded,
    UnavailableError,
    UnknownChatError,
    agent,
)
from actors.core.ids import ChatId
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import Do, Hang, Raise, Say, ScriptedAgent, VirtualClock, Wait, checked_runtime, settle

CHAT = ChatId("live:a")


async def busy(runtime: Runtime, messages: int = 4) -> tuple[Queue, list[Receipt]]:
    """Make a session whose first turn runs and whose others wait."""
    await runtime.create(CHAT)
    receipts = [await runtime.send(CHAT, f"m{number}", message_id=f"key.{number}") for number in range(messages)]
    return runtime.queue(CHAT), receipts


async def texts(queue: Queue) -> list[str]:
    """List the texts that wait."""
    return [message.text for message in await queue.items()]


def slow() -> ScriptedAgent:
    """Make an agent that answers with what it was asked, after a second."""

    async def repeat(turn: Turn) -> None:
        await turn.write(turn.text)

    return ScriptedAgent([Wait(1.0), Do(repeat)])


async def test_what_waits_is_listed_in_the_order_in_which_it_will_be_answered(autojump_clock: MockClock) -> None:
    """As the snapshot shows it, with the turns by which it can be spoken of."""
    async with checked_runtime(slow()) as runtime:
        queue, _ = await busy(runtime)
        assert [(m.turn, m.text, m.status) for m in await queue.items()] == [
            (2, "m1", "queued"),
            (3, "m2", "queued"),
            (4, "m3", "queued"),
        ]
        await queue.reorder([4, 3, 2])
        async with runtime.subscribe(CHAT) as stream:
            ready = await anext(stream)
        assert ready.queued == await queue.items()  # type: ignore[union-attr]
        assert [(m.turn, m.place) for m in await queue.items()] == [(4, 2), (3, 0), (2, 4)]


@pytest.mark.rule("promise_path_14")
async def test_a_paused_queue_begins_nothing_until_it_is_resumed_in_this_life_or_another(
    autojump_clock: MockClock,
) -> None:
    """The turn that runs goes on, messages are accepted, and a restart changes nothing."""
    store = MemoryStore()
    scripted = slow()
    async with checked_runtime(scripted, store=MemoryJournal(store), open_turns=True) as runtime:
        queue, receipts = await busy(runtime, 2)
        await queue.pause()
        await queue.pause()
        assert (await receipts[0].result()).ok
        await runtime.send(CHAT, "later")
        await trio.sleep(5.0)
        assert await texts(queue) == ["m1", "later"]
        assert runtime.inspect(CHAT).paused
    async with checked_runtime(scripted, store=MemoryJournal(store)) as runtime:
        async with runtime.subscribe(CHAT) as stream:
            ready = await anext(stream)
        assert (ready.paused, ready.status) == (True, "queued")  # type: ignore[union-attr]
        await trio.sleep(5.0)
        assert [turn for _, turn, _ in scripted.runs] == [1]
        await runtime.queue(CHAT).resume()
        await trio.sleep(0.1)
        assert [turn for _, turn, _ in scripted.runs] == [1, 2]
        await settle(runtime)
    assert [turn for _, turn, _ in scripted.runs] == [1, 2, 3]


async def test_a_pause_that_waits_for_a_restart_is_heard_before_the_next_turn_begins(
    autojump_clock: MockClock,
) -> None:
    """Whoever pauses while a session is down means the turns that it would begin when it comes up."""
    scripted = ScriptedAgent(scripts={(CHAT, 1): [Wait(0.1), Raise(ValueError)]})
    clock = VirtualClock(rolls=[0.9] * 9)  # a long pause before the restart
    async with checked_runtime(scripted, limits=Limits(backoff_first_s=10.0), clock=clock, open_turns=True) as runtime:
        queue, receipts = await busy(runtime, 2)
        assert (await receipts[0].result()).status == "failed"
        await trio.sleep(0.1)
        assert runtime.inspect(CHAT).phase == "restarting"
        await queue.pause()
        await trio.sleep(60.0)
        assert [turn for _, turn, _ in scripted.runs] == [1]


@pytest.mark.rule("promise_path_15")
async def test_an_edited_message_is_answered_as_it_stands_then(autojump_clock: MockClock) -> None:
    """The newest text counts; the key, the place and the receipt stay."""
    async with checked_runtime(slow()) as runtime:
        queue, receipts = await busy(runtime, 2)
        await queue.edit(2, "better")
        await queue.edit(2, "best \u4e2d", message_id="key.1")
        assert await texts(queue) == ["best \u4e2d"]
        assert (await receipts[1].result()).text == "best \u4e2d"
        again = await runtime.send(CHAT, "m1", message_id="key.1")
        assert (again.duplicate, again.turn, again.seq) == (True, 2, receipts[1].seq)


@pytest.mark.rule("promise_path_15")
async def test_the_message_in_flight_cannot_be_edited_or_moved(autojump_clock: MockClock) -> None:
    """Nor one that has ended, nor one that is not there; each with its word."""
    async with checked_runtime(slow()) as runtime:
        queue, receipts = await busy(runtime, 2)
        for turn, reason in ((1, "turn_running"), (9, "not_running")):
            with pytest.raises(UnavailableError) as refused:
                await queue.edit(turn, "other")
            assert refused.value.reason == reason
            with pytest.raises(UnavailableError) as refused:
                await queue.reorder([2, turn])
            assert refused.value.reason == reason
        with pytest.raises(UnavailableError, match="no message with this id"):
            await queue.edit(2, "other", message_id="key.0")
        await receipts[0].result()
        await receipts[1].result()
        with pytest.raises(UnavailableError) as refused:
            await queue.edit(1, "other")
        assert refused.value.reason == "not_running"
        assert not runtime.statistics().crashes


@pytest.mark.parametrize("turn", [True, "2", 2.0, None, 0, -1, 1 << 70])
async def test_what_is_no_number_of_a_turn_is_refused(turn: object, autojump_clock: MockClock) -> None:
    """With the kind of what was given, before anything is asked of the session."""
    async with checked_runtime() as runtime:
        await runtime.create(CHAT)
        queue = runtime.queue(CHAT)
        for ask in (queue.cancel, queue.retry, lambda turn: queue.edit(turn, "x"), lambda turn: queue.reorder([turn])):
            with pytest.raises(InvalidEnvelopeError, match=f"turn is {type(turn).__name__}"):
                await ask(turn)  # type: ignore[arg-type]  # the point of the test


async def test_a_bad_text_a_bad_id_and_a_repeated_turn_are_refused(autojump_clock: MockClock) -> None:
    """As a message would be; the queue is as it was."""
    async with checked_runtime(slow()) as runtime:
        queue, _ = await busy(runtime, 3)
        for text in ("", "\ud800", "x" * (1 << 21)):
            with pytest.raises(InvalidEnvelopeError, match="text is"):
                await queue.edit(2, text)
        with pytest.raises(InvalidEnvelopeError, match="message_id is str"):
            await queue.edit(2, "x", message_id="a/b")
        with pytest.raises(InvalidEnvelopeError, match="named twice"):
            await queue.reorder([2, 3, 2])
        assert await texts(queue) == ["m1", "m2"]


async def test_a_chat_that_is_not_there_has_no_queue(autojump_clock: MockClock) -> None:
    """It is said when the queue is asked for."""
    async with checked_runtime() as runtime:
        with pytest.raises(UnknownChatError):
            runtime.queue("live:nobody")
        with pytest.raises(InvalidEnvelopeError):
            runtime.queue("nobody")


@pytest.mark.rule("promise_path_16", "promise_path_17")
async def test_clear_skip_and_cancel_end_what_waits_each_with_its_word(autojump_clock: MockClock) -> None:
    """Who waits for a result is told at once; the running turn goes on."""
    async with checked_runtime(slow()) as runtime:
        queue, receipts = await busy(runtime, 5)
        await queue.cancel(3)
        await queue.skip()
        await queue.clear()
        results = [await receipt.result() for receipt in receipts[1:]]
        assert [(result.status, result.reason) for result in results] == [
            ("cancelled", "skipped"),
            ("cancelled", ""),
            ("cancelled", "cleared"),
            ("cancelled", "cleared"),
        ]
        for ask in (queue.skip, lambda: queue.cancel(3)):
            with pytest.raises(UnavailableError) as refused:
                await ask()
            assert refused.value.reason == "not_running"
        await queue.clear()
        await queue.cancel(1)
        assert (await receipts[0].result()).status == "cancelled"


@pytest.mark.rule("promise_path_17")
async def test_a_retry_answers_the_messages_of_a_turn_again_once(autojump_clock: MockClock) -> None:
    """A new turn behind all others, with the same words; doing it again gives the receipt of the first time."""
    store = MemoryStore()
    scripted = ScriptedAgent([Say("ok")], {(CHAT, 1): [Raise(ValueError)]})
    async with checked_runtime(scripted, store=MemoryJournal(store)) as runtime:
        await runtime.create(CHAT)
        first = await runtime.send(CHAT, "hello", message_id="key", sender="ann")
        assert (await first.result()).status == "failed"
        queue = runtime.queue(CHAT)
        again = await queue.retry(1)
        assert (again.turn, again.message_id, again.duplicate) == (2, "retry/1", False)
        assert (await again.result()).ok, "it does not begin in the incarnation that its turn has crashed"
        assert (await queue.retry(1)).turn == 2
        with pytest.raises(UnavailableError) as refused:
            await queue.retry(2)
        assert refused.value.reason == "not_running"
        with pytest.raises(UnavailableError):
            await queue.retry(3)
        assert (await first.result()).status == "failed", "the old turn stays as it was"
    async with checked_runtime(scripted, store=MemoryJournal(store)) as runtime:
        receipt = await runtime.queue(CHAT).retry(1)
        assert (receipt.turn, (await receipt.result()).text) == (2, "ok")
        assert store.chats[CHAT].state.turns == 2


async def test_a_retry_keeps_every_message_its_text_and_its_sender(tmp_path: Path) -> None:
    """Also of a turn that was merged and edited, and of one that was rolled back; on a file and in memory."""
    for store in (MemoryJournal(), tmp_path / "s.db"):
        seen: list[tuple[str, str]] = []

        async def look(turn: Turn, seen: list[tuple[str, str]] = seen) -> None:
            seen.append((turn.text, turn.sender))

        scripted = ScriptedAgent([Do(look)], {("live:b", 1): [Do(look), Hang()]})
        async with checked_runtime(agent(scripted, overlap="merge"), store=store) as runtime:
            await runtime.create(CHAT)
            queue = runtime.queue(CHAT)
            await queue.pause()
            for name in ("one", "two", "three"):
                await runtime.send(CHAT, name, sender=f"from {name}", message_id=name)
            await queue.edit(1, "second", message_id="two")
            await queue.cancel(1)
            again = await queue.retry(1)
            await queue.resume()
            assert (await again.result()).ok
            await runtime.create("live:b", overlap="rollback")
            first = await runtime.send("live:b", "first", sender="ann")
            await (await runtime.send("live:b", "next")).result()
            assert (await first.result()).reason == "rolled_back"
            await (await runtime.queue("live:b").retry(1)).result()
        assert seen == [("one\n\nsecond\n\nthree", "from one"), ("first", "ann"), ("next", ""), ("first", "ann")]


async def test_a_retry_that_finds_no_room_or_a_running_turn_is_refused(autojump_clock: MockClock) -> None:
    """It is bounded like any message; what has not ended is not repeated."""
    scripted = ScriptedAgent([Hang()], {(CHAT, 1): [Raise(ValueError)]})
    async with checked_runtime(scripted, limits=Limits(queue_turns_max=1), open_turns=True) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "m0")).result()).status == "failed"
        await runtime.send(CHAT, "m1")
        waiting = await runtime.send(CHAT, "m2")
        queue = runtime.queue(CHAT)
        with pytest.raises(OverloadedError) as full:
            await queue.retry(1)
        assert full.value.reason == "queue_full"
        for turn, reason in ((2, "turn_running"), (waiting.turn, "not_running")):
            with pytest.raises(UnavailableError) as refused:
                await queue.retry(turn)
            assert refused.value.reason == reason


async def test_control_of_a_cold_session_brings_it_up(autojump_clock: MockClock) -> None:
    """Nobody has to send something first."""
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        await runtime.create(CHAT)
        await runtime.stop(CHAT)
        await runtime.queue(CHAT).pause()
        assert isinstance(store.chats[CHAT].events[-1].body, QueuePaused)
        await runtime.stop(CHAT)
        assert await runtime.queue(CHAT).items() == ()
        await runtime.queue(CHAT).resume()
        assert (await (await runtime.send(CHAT, "hello")).result()).ok


async def test_whoever_controls_a_session_that_ends_is_told(autojump_clock: MockClock) -> None:
    """Nobody waits for ever: a deletion answers them with its reason."""
    async with checked_runtime(slow(), limits=Limits(cancel_grace_s=1.0)) as runtime:
        queue, _ = await busy(runtime)
        reasons: list[str] = []

        async def control() -> None:
            for ask in (queue.pause, queue.skip, lambda: queue.retry(1)):
                try:
                    await ask()
                except (UnavailableError, UnknownChatError) as error:
                    reasons.append(error.reason)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.delete, CHAT)
            nursery.start_soon(control)
        assert set(reasons) <= {"deleted_chat", "stopping"}
        assert reasons


@pytest.mark.rule("promise_path_15")
async def test_an_order_is_kept_over_a_restart_and_answered_in_it(tmp_path: Path) -> None:
    """Places are rows; pages and results follow them."""
    path = tmp_path / "s.db"

    async def repeat(turn: Turn) -> None:
        await turn.write(turn.text)

    scripted = ScriptedAgent([Do(repeat)])
    async with checked_runtime(scripted, store=path, open_turns=True) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "m0")).result()
        queue = runtime.queue(CHAT)
        await queue.pause()
        for number in (1, 2, 3):
            await runtime.send(CHAT, f"m{number}", message_id=f"key.{number}")
        await queue.reorder([3, 4, 2])
    async with checked_runtime(scripted, store=path) as runtime:
        queue = runtime.queue(CHAT)
        assert await texts(queue) == ["m2", "m3", "m1"]
        last = await runtime.send(CHAT, "m4")
        await queue.resume()
        await last.result()
        said = [m.text for m in (await runtime.history(CHAT)).messages if m.role == "user"]
        assert said == ["m0", "m2", "m3", "m1", "m4"]
        async with runtime.subscribe(CHAT, after=0, until=last) as stream:
            bodies = [item.body async for item in stream if isinstance(item, Event)]
        assert [body.turn for body in bodies if isinstance(body, TurnEnded)] == [1, 3, 4, 2, 5]
        receipt = await runtime.send(CHAT, "m1", message_id="key.1")
        assert (await receipt.result()).text == "m1"
