"""An agent may be a plain function: it runs in a thread, and has the verbs of a turn as blocking calls."""

import threading
import time

import pytest
import trio

from actors import Limits, ThreadTurn, TurnOverError, agent, open_runtime

CHAT = "live:a"


async def test_t6_a_plain_agent_has_the_verbs_of_a_turn() -> None:
    """Text, thinking, progress, tools, state, history and questions; none of it on the loop's thread."""
    threads: list[int] = []

    def assistant(turn: ThreadTurn) -> str:
        threads.append(threading.get_ident())
        turn.think("hm")
        turn.progress("looking", "around")
        turn.write(f"{turn.text}, ")
        found = turn.tool("look", lambda: {"found": 1}, {"where": "here"})
        failed = turn.tool("fail", lambda: 1 // 0)
        answer = turn.ask("well?")
        turn.state = {"turns": turn.number, "before": turn.state}
        turn.write(f"{found.content} {found.ok} {failed.content} {failed.ok} {answer} {len(turn.history) > 1} ")
        return "end"

    async with open_runtime(":memory:", agent=assistant) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        with trio.fail_after(10.0):
            while not runtime.inspect(CHAT).open_prompts:
                await trio.sleep(0.001)
        await runtime.answer(CHAT, f"{CHAT}/1/0", "yes")
        result = await receipt.result()
    assert result.text == 'hello, {"found": 1} True ZeroDivisionError False yes True end'
    assert threads[0] != threading.get_ident()


async def test_t6_a_plain_agent_that_blocks_holds_up_nobody_and_is_left_when_it_is_cancelled() -> None:
    """The turn ends at once; the thread is counted until it ends, and what it says then goes nowhere."""
    gate, errors = threading.Event(), list[BaseException]()

    def assistant(turn: ThreadTurn) -> str | None:
        if turn.text == "block":
            turn.write("half")
            gate.wait(10.0)
            try:
                turn.write("from the grave")
            except BaseException as error:
                errors.append(error)
                raise
        return "fine"

    async with open_runtime(":memory:", agent=agent(assistant)) as runtime:
        for chat in (CHAT, "live:b"):
            await runtime.create(chat)
        receipt = await runtime.send(CHAT, "block")
        assert (await (await runtime.send("live:b", "hello")).result()).text == "fine"
        await trio.sleep(0.05)
        cancelled = await receipt.cancel()
        assert (cancelled.status, cancelled.text) == ("cancelled", "half")
        assert runtime.statistics().threads.abandoned == 1
        assert (await (await runtime.send(CHAT, "again")).result()).text == "fine"
        gate.set()
        with trio.fail_after(5.0):
            while runtime.statistics().threads.abandoned:
                await trio.sleep(0.001)
        history = await runtime.history(CHAT)
    assert isinstance(errors[0], trio.Cancelled | TurnOverError)
    assert "grave" not in "".join(message.text for message in history.messages)


async def test_t6_what_a_plain_agent_raises_is_its_turns_failure() -> None:
    """As with any other."""

    def assistant(_: ThreadTurn) -> None:
        raise ValueError("private")

    async with open_runtime(":memory:", agent=assistant) as runtime:
        await runtime.create(CHAT)
        result = await (await runtime.send(CHAT, "hello")).result()
        assert (result.status, result.reason, result.error) == ("failed", "crashed", "ValueError")


async def test_t6_plain_agents_of_many_sessions_share_the_threads() -> None:
    """More turns than threads: they wait, and all of them are answered."""

    def assistant(_: ThreadTurn) -> str:
        time.sleep(0.01)
        return "done"

    async with open_runtime(":memory:", agent=assistant, limits=Limits(offload_threads_max=3)) as runtime:
        chats = [await runtime.create(f"live:{number}") for number in range(20)]
        receipts = [await runtime.send(chat, "hello") for chat in chats]
        assert [(await receipt.result()).text for receipt in receipts] == ["done"] * 20
        assert runtime.statistics().threads.in_use == 0


@pytest.mark.parametrize("verb", ["write", "think"])
async def test_a_thread_turn_is_over_with_its_turn(verb: str) -> None:
    """Late words of a thread that was kept are refused like any others."""
    kept: list[ThreadTurn] = []

    async with open_runtime(":memory:", agent=kept.append) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        with pytest.raises(TurnOverError):
            await trio.to_thread.run_sync(getattr(kept[0], verb), "late")
