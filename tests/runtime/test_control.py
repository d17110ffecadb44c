"""The control lane is heard before messages and while a turn runs; one signal of a kind waits at a time."""

from collections.abc import Callable

import attrs
import pytest
import trio
from trio.testing import MockClock

from actors import ActorsError, Runtime, Session, UnavailableError, UnknownChatError, agent
from actors.core.commands import Answer
from actors.runtime.control import AnswerPrompt, CancelTurn, Delete, Prepare, Stop
from actors.runtime.mailbox import Budget, Mailbox, Reply
from actors.runtime.receipt import Receipt
from actors.testing import Hang, Say, ScriptedAgent, Shield, Wait, checked_runtime, settle

Signal = Stop | Delete | CancelTurn | AnswerPrompt | Prepare

SIGNALS: dict[str, Callable[[], Signal]] = {
    "stop": lambda: Stop("stopping"),
    "cancel": lambda: CancelTurn(1, Reply()),
    "answer": lambda: AnswerPrompt(Answer(1, 0, "yes"), Reply()),
    "prepare": lambda: Prepare(Reply()),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_that_waits_is_never_changed(name: str) -> None:
    """It may be replaced by another one, as a whole."""
    signal = SIGNALS[name]()
    field = attrs.fields(type(signal))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(signal, field, None)


def test_whoever_prepares_wants_the_history_unless_told_otherwise() -> None:
    """Recovery alone does not need it."""
    assert Prepare(Reply()).history
    assert not Prepare(Reply(), history=False).history


@pytest.mark.rule("M1")
def test_signals_of_one_kind_replace_each_other_and_leave_the_rest() -> None:
    """However often a stop is asked for, one waits."""
    box = Mailbox(1, 1000, Budget(1000))
    for number in range(100):
        box.post_control("stop", Stop(f"reason {number}"))
        box.post_control(("cancel", number % 2), CancelTurn(number % 2, Reply()))
    assert len(box.control) == 3
    assert box.control["stop"] == Stop("reason 99")


async def test_a_stop_lets_what_was_taken_be_handled_and_takes_nothing_more(autojump_clock: MockClock) -> None:
    """Volatile messages that were admitted are not lost by it; the next ones are told."""
    handled: list[object] = []

    async def receive(session: Session, payload: object) -> None:
        handled.append(payload)
        await trio.sleep(1.0)

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime, trio.open_nursery() as nursery:
        await runtime.create("live:a")
        for number in range(4):
            await runtime.tell("live:a", number)
        await trio.sleep(0.5)
        nursery.start_soon(runtime.stop, "live:a")
        await trio.sleep(0.1)
        with pytest.raises(UnavailableError):
            runtime.tell_nowait("live:a", "too late")
        await runtime.stop("live:a")
        assert trio.current_time() == pytest.approx(4.0, abs=0.1)
        assert handled == [0, 1, 2, 3]
        assert runtime.statistics().letters.dead == 0


@pytest.mark.rule("M1")
async def test_a_cancellation_is_heard_while_the_turn_runs(autojump_clock: MockClock) -> None:
    """And while messages are queued behind it, which go on afterwards."""
    script = ScriptedAgent([Say("ok")], {("live:a", 1): [Say("begun"), Hang()]})
    async with checked_runtime(script) as runtime:
        await runtime.create("live:a")
        first, second = [await runtime.send("live:a", text) for text in ("one", "two")]
        await trio.sleep(1.0)
        result = await first.cancel()
        assert (result.status, result.text) == ("cancelled", "begun")
        assert (await second.result()).text == "ok"
        assert trio.current_time() == pytest.approx(1.0, abs=0.1)


async def test_a_queued_turn_is_cancelled_while_another_one_runs(autojump_clock: MockClock) -> None:
    """It never begins, and the running one is left alone."""
    script = ScriptedAgent([Wait(5.0), Say("ok")])
    async with checked_runtime(script) as runtime:
        await runtime.create("live:a")
        first, second = [await runtime.send("live:a", text) for text in ("one", "two")]
        assert (await second.cancel()).status == "cancelled"
        assert trio.current_time() < 5.0
        assert (await first.result()).ok
    assert [turn for _, turn, _ in script.runs] == [1]


async def test_a_stop_during_a_turn_interrupts_it_for_its_reason(autojump_clock: MockClock) -> None:
    """What it has said so far is kept."""
    script = ScriptedAgent([Say("begun"), Hang()])
    async with checked_runtime(script) as runtime:
        await runtime.create("live:a")
        receipt = await runtime.send("live:a", "hello")
        await trio.sleep(1.0)
        await runtime.stop("live:a")
        result = await receipt.result()
        assert (result.status, result.text) == ("interrupted", "begun")
        assert result.reason


async def test_a_deletion_during_a_turn_cancels_it_and_erases_the_session(autojump_clock: MockClock) -> None:
    """Also when it was asked to stop before; whoever waits is told."""

    async def wait(receipt: Receipt) -> None:
        try:
            results.append((await receipt.result()).status)
        except ActorsError as error:
            results.append(type(error).__name__)

    results: list[str] = []
    async with checked_runtime(ScriptedAgent([Shield(1.0), Hang()])) as runtime, trio.open_nursery() as nursery:
        await runtime.create("live:a")
        nursery.start_soon(wait, await runtime.send("live:a", "hello"))
        await trio.sleep(0.5)
        nursery.start_soon(runtime.stop, "live:a")
        await trio.sleep(0.1)
        await runtime.delete("live:a")
        with pytest.raises(UnknownChatError):
            await runtime.send("live:a", "again")
        await settle(runtime)
    assert len(results) == 1


async def test_many_who_ask_for_the_same_are_all_answered(autojump_clock: MockClock) -> None:
    """Two stops, or two cancellations of one turn, in one tick."""

    async def both(runtime: Runtime, receipt: Receipt) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(receipt.cancel)
                nursery.start_soon(runtime.stop, "live:b")

    async with checked_runtime(ScriptedAgent([Hang()])) as runtime:
        for chat_id in ("live:a", "live:b"):
            await runtime.create(chat_id)
        receipt = await runtime.send("live:a", "hello")
        await runtime.send("live:b", "hello")
        await trio.sleep(0.5)
        with trio.fail_after(20.0):
            await both(runtime, receipt)
        assert (await receipt.result()).status == "cancelled"
