"""A probe shows the test what comes, and does what the test says."""

import pytest
import trio
from trio.testing import MockClock

from actors import HandlerError, Reject, Runtime
from actors.testing import Probe, checked_runtime


@pytest.mark.rule("V1")
async def test_a_probe_waits_for_what_comes_and_answers_when_the_test_likes(autojump_clock: MockClock) -> None:
    """Turns and volatile messages, in the order in which they come."""
    probe = Probe()
    async with checked_runtime(probe.agent) as runtime:
        await runtime.create("live:a")
        receipt = await runtime.send("live:a", "hello")
        got = await probe.expect(1)
        assert (got.number, got.chat_id, got.kind, got.payload) == (1, "live:a", "turn", "hello")
        assert got.turn is not None
        await got.turn.write("let me see: ")
        got.reply("yes")
        got.reply("no")
        assert (await receipt.result()).text == "let me see: yes"

        answers: list[object] = []

        async def ask(runtime: Runtime) -> None:
            answers.append(await runtime.ask("live:a", "which?"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, runtime)
            asked = await probe.expect(2)
            assert (asked.kind, asked.payload, asked.turn) == ("volatile", "which?", None)
            asked.reply({"n": 1})
        assert answers == [{"n": 1}]


async def test_a_probe_fails_as_the_test_says(autojump_clock: MockClock) -> None:
    """A turn, and the handler of an ask."""
    probe = Probe()
    async with checked_runtime(probe.agent) as runtime:
        await runtime.create("live:a")
        receipt = await runtime.send("live:a", "hello")
        (await probe.expect(1)).fail(Reject("not now"))
        assert (await receipt.result()).status == "failed"
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(HandlerError):
                    await runtime.ask("live:a", "which?")

            nursery.start_soon(ask)
            (await probe.expect(2)).fail(Reject("not now either"))


async def test_a_probe_can_be_looked_at_for_one_chat(autojump_clock: MockClock) -> None:
    """The n-th message of that chat, whatever comes for others."""
    probe = Probe(holds=False)
    async with checked_runtime(probe.agent) as runtime:
        for chat_id in ("live:a", "live:b"):
            await runtime.create(chat_id)
            for number in range(3):
                await runtime.tell(chat_id, number)
        assert (await probe.expect(3, chat_id="live:b")).payload == 2
        assert [got.payload for got in probe.of("live:a")] == [0, 1, 2]
        assert len(probe.of(None)) == 6


async def test_a_probe_objects_to_what_does_not_come_and_to_what_does(autojump_clock: MockClock) -> None:
    """With what has come instead, after the time that it was given."""
    probe = Probe(holds=False)
    async with checked_runtime(probe.agent) as runtime:
        await runtime.create("live:a")
        await runtime.tell("live:a", "only this")
        await probe.expect(1)
        began_s = trio.current_time()
        with pytest.raises(AssertionError, match=r"no message 2 within 7\.0 s; there are 1: .*only this"):
            await probe.expect(2, within_s=7.0)
        assert trio.current_time() - began_s == pytest.approx(7.0)
        await probe.expect_no_more()
        async with trio.open_nursery() as nursery:

            async def tell_later() -> None:
                await trio.sleep(1.0)
                await runtime.tell("live:a", "more")

            nursery.start_soon(tell_later)
            with pytest.raises(AssertionError, match=r"there came .*more"):
                await probe.expect_no_more()


async def test_a_probe_that_is_not_answered_is_an_open_turn(autojump_clock: MockClock) -> None:
    """The test forgot something, and hears of it."""
    probe = Probe()
    with pytest.raises(AssertionError, match="turns open"):
        async with checked_runtime(probe.agent) as runtime:
            await runtime.create("live:a")
            await runtime.send("live:a", "hello")
