"""What a policy makes of a turn whose process ended: held for a person, gone on with, or poison in the end."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import SessionReady, Turn, UnavailableError, agent
from actors.core.commands import OnInterrupted
from actors.core.ids import ChatId
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Ask,
    Call,
    Do,
    FaultyJournal,
    Hang,
    Hangs,
    Say,
    Script,
    ScriptedAgent,
    checked_runtime,
    settle,
)

CHAT = ChatId("live:a")


class Killed(BaseException):
    """Stands for the end of a process: raised out of a block, it leaves the runtime no time to drain."""


async def die_in(
    store: MemoryStore, script: ScriptedAgent, policy: OnInterrupted = "mark", *, create: bool = True, sends: int = 2
) -> None:
    """Live one life that ends like a process while the first turn runs."""
    journal = FaultyJournal(MemoryJournal(store))
    with pytest.raises(Killed):
        async with checked_runtime(agent(script, on_interrupted=policy, attempts_max=3), store=journal) as runtime:
            if create:
                await runtime.create(CHAT)
                for number in range(sends):
                    await runtime.send(CHAT, f"message {number}", message_id=f"key.{number}")
            await trio.sleep(10.0)
            journal.plan("commit", Hangs())
            raise Killed


HALF: Script = [Say("half"), Call("tool", result=None), Hang()]


@pytest.mark.parametrize("answer", ["retry", "continue", "drop"])
async def test_promise_path_19_a_turn_is_held_until_a_person_says_what_becomes_of_it(
    answer: str, autojump_clock: MockClock
) -> None:
    """Nothing behind it begins; a restart changes nothing of that; then it is as the person says."""
    store = MemoryStore()
    await die_in(store, ScriptedAgent(scripts={(CHAT, 1): HALF}))
    script = ScriptedAgent([Say(" whole")])
    asking = agent(script, on_interrupted="ask")
    ready: object = None
    for _ in range(2):
        async with checked_runtime(asking, store=MemoryJournal(store), open_turns=True) as runtime:
            await trio.sleep(100.0)
            assert script.runs == []
            async with runtime.subscribe(CHAT) as stream:
                ready = await anext(stream)
    assert isinstance(ready, SessionReady)
    (prompt,) = ready.prompts
    assert (prompt.type, prompt.choices) == ("recovery", ("retry", "continue", "drop"))
    assert [message.text for message in ready.queued] == ["message 0", "message 1"]
    async with checked_runtime(asking, store=MemoryJournal(store)) as runtime:
        receipt = await runtime.send(CHAT, "message 0", message_id="key.0")
        await runtime.answer(CHAT, prompt.prompt_id, answer)
        result = await receipt.result()
        with pytest.raises(UnavailableError):
            await runtime.answer(CHAT, prompt.prompt_id, answer)
        await settle(runtime)
    expected = {
        "retry": ("completed", "", " whole"),
        "continue": ("completed", "", "half whole"),
        "drop": ("cancelled", "dropped", "half"),
    }
    assert (result.status, result.reason, result.text) == expected[answer]
    assert script.runs == ([] if answer == "drop" else [(CHAT, 1, 2)]) + [(CHAT, 2, 1)]


async def test_promise_path_21_an_interrupted_turn_goes_on_after_what_it_had_said(autojump_clock: MockClock) -> None:
    """The agent runs from its beginning, is told so, and finds its words in the history, every call with an outcome."""
    store = MemoryStore()
    await die_in(store, ScriptedAgent(scripts={(CHAT, 1): HALF}), sends=1)
    seen: list[object] = []
    continued: list[bool] = []

    async def look(turn: Turn) -> None:
        history = [(message.role, message.parts[0].status) for message in turn.history]
        seen.append((turn.attempt, history))
        continued.append(turn.continued)

    script = ScriptedAgent([Do(look), Say("whole"), Call("tool"), Say(".")])
    going_on = agent(script, on_interrupted="continue")
    async with checked_runtime(going_on, store=MemoryJournal(store)) as runtime:
        result = await (await runtime.send(CHAT, "message 0", message_id="key.0")).result()
        page = await runtime.history(CHAT)
        assert (await (await runtime.send(CHAT, "next")).result()).ok
    assert seen[0] == (2, [("user", "complete"), ("assistant", "complete"), ("tool", "interrupted")])
    assert continued == [True, False]
    assert (result.status, result.text) == ("completed", "halfwhole.")
    assert [message.role for message in page.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "assistant",
    ]
    calls = [part.call_id for message in page.messages for part in message.parts if part.kind == "tool_call"]
    assert calls == ["call_0", "call_1"]


@pytest.mark.parametrize("policy", ["retry", "continue"])
async def test_s7_a_message_that_ends_every_process_is_poison_after_its_last_attempt(
    policy: OnInterrupted, autojump_clock: MockClock
) -> None:
    """Each attempt was counted before it ran; then it ends, a dead letter says so, and the session goes on."""
    store = MemoryStore()
    for life in range(3):
        await die_in(store, ScriptedAgent([Say("boom"), Hang()]), policy, create=not life)
    script = ScriptedAgent([Say("ok")])
    async with checked_runtime(
        agent(script, on_interrupted=policy, attempts_max=3), store=MemoryJournal(store)
    ) as runtime:
        result = await (await runtime.send(CHAT, "message 0", message_id="key.0")).result()
        assert (result.status, result.reason) == ("interrupted", "attempts")
        assert [(letter.reason, letter.kind) for letter in runtime.dead_letters()] == [("poison", "turn")]
        assert (await (await runtime.send(CHAT, "message 1", message_id="key.1")).result()).text == "ok"
    assert script.runs == [(CHAT, 2, 1)]


async def test_a_person_is_not_asked_twice_by_a_turn_that_is_tried_again(autojump_clock: MockClock) -> None:
    """An answer that was given before the crash, after it, or not yet: the next attempt goes on with it."""
    asks: Script = [Ask("which?", "choice", ("a", "b")), Hang()]
    for given in ("before", "between", "after"):
        store = MemoryStore()
        journal = FaultyJournal(MemoryJournal(store))
        with pytest.raises(Killed):
            async with checked_runtime(ScriptedAgent(asks), store=journal) as runtime:
                await runtime.create(CHAT)
                await runtime.send(CHAT, "hello", message_id="key")
                await wait_all_tasks_blocked()
                if given == "before":
                    await runtime.answer(CHAT, f"{CHAT}/1/0", "b")
                    await wait_all_tasks_blocked()
                journal.plan("commit", Hangs())
                raise Killed
        go = trio.Event()

        async def wait(_: Turn, go: trio.Event = go) -> None:
            await go.wait()

        script = ScriptedAgent([Do(wait), *asks[:1], Say("ok")])
        async with checked_runtime(agent(script, on_interrupted="retry"), store=MemoryJournal(store)) as runtime:
            receipt = await runtime.send(CHAT, "hello", message_id="key")
            if given == "between":
                await runtime.answer(CHAT, f"{CHAT}/1/0", "b")
            go.set()
            await wait_all_tasks_blocked()
            if given == "after":
                await runtime.answer(CHAT, f"{CHAT}/1/0", "b")
            assert (await receipt.result()).text == "ok"
            with pytest.raises(UnavailableError) as caught:
                await runtime.answer(CHAT, f"{CHAT}/1/0", "a")
            assert caught.value.reason == "prompt_answered"
        assert script.answers == ["b"], given
