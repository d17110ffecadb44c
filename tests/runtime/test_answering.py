"""A person's answer on its way: to the question that it names, or refused with the reason, and never elsewhere."""

from collections import Counter
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    AnsweredPrompt,
    Event,
    InvalidEnvelopeError,
    Limits,
    PromptExpiredError,
    PromptOpened,
    RefusedError,
    Runtime,
    SessionReady,
    Turn,
    UnavailableError,
)
from actors.core.ids import ChatId
from actors.store.memory import MemoryJournal
from actors.testing import (
    Ask,
    Call,
    Do,
    Hang,
    Say,
    Script,
    ScriptedAgent,
    VirtualClock,
    canonical,
    checked_runtime,
    settle,
)

A, B, C = (ChatId(f"live:{name}") for name in "abc")


async def refusal_of(runtime: Runtime, chat_id: str, prompt_id: object, answer: object = "yes") -> str:
    """Answer, and say why it was refused; empty if it was not."""
    try:
        await runtime.answer(chat_id, prompt_id, answer)
    except RefusedError as error:
        assert error.hint
        return error.reason
    return ""


async def say_answer(turn: Turn) -> None:
    """Say something after the answer, so that the turn has an end of its own."""
    await turn.write("thanks")


async def two_chats_ask(journal: MemoryJournal, *, crossed: bool) -> dict[str, list[str]]:
    """Two chats ask at once and are answered; a third works beside them. Crossed: with every wrong answer there is."""
    refused: dict[str, list[str]] = {"crossed": [], "unknown": [], "double": [], "late": [], "no choice": []}
    asks: Script = [Say("hm"), Ask("may I?", "permission", ("yes", "no")), Do(say_answer)]
    script = ScriptedAgent(asks, {C: [Say("working"), Call("look", seconds=3.0), Say("done")]})
    async with checked_runtime(script, store=journal) as runtime:
        receipts = {}
        for chat_id in (A, B, C):
            await runtime.create(chat_id)
            receipts[chat_id] = await runtime.send(chat_id, "hello", message_id=f"key-{chat_id[-1]}")
        await trio.sleep(1.0)
        if crossed:
            refused["crossed"] = [
                await refusal_of(runtime, A, f"{B}/1/0"),
                await refusal_of(runtime, B, f"{A}/1/0", "no"),
                await refusal_of(runtime, C, f"{A}/1/0"),
            ]
            refused["unknown"] = [
                await refusal_of(runtime, chat_id, f"{chat_id}/{rest}")
                for chat_id in (A, B, C)
                for rest in ("1/1", "2/0", "1/7", "99/0")
            ] + [await refusal_of(runtime, A, named) for named in ("", "1/0", f"{A}/0/0", f"{A}/1/00", "nonsense")]
            refused["no choice"] = [await refusal_of(runtime, A, f"{A}/1/0", "maybe")]
            assert [runtime.inspect(chat_id).open_prompts for chat_id in (A, B, C)] == [1, 1, 0]
        assert await refusal_of(runtime, B, f"{B}/1/0", "no") == ""
        if crossed:
            assert runtime.inspect(A).open_prompts == 1, "the answer to B is no answer to A"
            refused["double"] = [await refusal_of(runtime, B, f"{B}/1/0", answer) for answer in ("no", "yes")]
        assert await refusal_of(runtime, A, f"{A}/1/0", "yes") == ""
        for receipt in receipts.values():
            assert (await receipt.result()).ok
        if crossed:
            refused["late"] = [await refusal_of(runtime, chat_id, f"{chat_id}/1/0") for chat_id in (A, B)]
            dropped = runtime.statistics().dropped
            told = Counter(reason for reasons in refused.values() for reason in reasons)
            assert dropped == told, "each refusal is counted under its reason"
            assert len(runtime.dead_letters()) == told.total()
            assert {letter.kind for letter in runtime.dead_letters()} == {"answer"}
    assert sorted(script.answers) == ["no", "yes"]
    return refused


async def test_pack_12_two_chats_ask_at_once_answers_crossed_late_double_unknown(autojump_clock: MockClock) -> None:
    """Only the right answer counts, each refusal has its reason, and all three chats are as if nothing had been."""
    quiet, noisy = MemoryJournal(), MemoryJournal()
    await two_chats_ask(quiet, crossed=False)
    refused = await two_chats_ask(noisy, crossed=True)
    assert refused["crossed"] == ["prompt_crossed"] * 3
    assert set(refused["unknown"]) == {"prompt_unknown"}
    assert refused["double"] == ["prompt_answered"] * 2
    assert refused["late"] == ["prompt_answered"] * 2
    assert refused["no choice"] == ["invalid_payload"]
    for chat_id in (A, B, C):
        assert await stored(quiet, chat_id) == await stored(noisy, chat_id), f"{chat_id} was touched"


async def stored(journal: MemoryJournal, chat_id: ChatId) -> bytes:
    """Read what a store holds of a session."""
    reader = MemoryJournal(journal.store)
    await reader.open(takeover=True)
    try:
        return await canonical(reader, chat_id)
    finally:
        await reader.close()


async def test_a_question_whose_turn_was_cancelled_is_closed_and_says_so(autojump_clock: MockClock) -> None:
    """Late is another reason than double."""
    async with checked_runtime(ScriptedAgent([Ask("may I?")])) as runtime:
        await runtime.create(A)
        receipt = await runtime.send(A, "hello")
        await wait_all_tasks_blocked()
        await receipt.cancel()
        assert await refusal_of(runtime, A, f"{A}/1/0") == "prompt_closed"
        with pytest.raises(UnavailableError):
            await runtime.answer(A, f"{A}/1/0", "yes")
        with pytest.raises(InvalidEnvelopeError):
            await runtime.answer(A, f"{B}/1/0", "yes")


async def test_promise_words_16_of_answers_that_come_at_once_the_first_wins(autojump_clock: MockClock) -> None:
    """Exactly one is taken, and every other is told that somebody was first."""
    script = ScriptedAgent([Ask("which?")])
    reasons: list[str] = []
    async with checked_runtime(script) as runtime:
        await runtime.create(A)
        receipt = await runtime.send(A, "hello")
        await wait_all_tasks_blocked()

        async def answer(number: int) -> None:
            reasons.append(await refusal_of(runtime, A, f"{A}/1/0", f"answer {number}"))

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(answer, number)
        await receipt.result()
    assert Counter(reasons) == {"": 1, "prompt_answered": 9}
    assert len(script.answers) == 1


async def test_promise_words_17_a_snapshot_lists_the_prompts_that_are_open(autojump_clock: MockClock) -> None:
    """With everything that whoever draws it needs, those of an earlier life included; and the event names it too."""
    journal, clock = MemoryJournal(), VirtualClock()
    asks = ScriptedAgent([Ask("which?", "choice", ("a", "b"), expires_s=1e6, default="b"), Hang()])
    async with checked_runtime(asks, store=journal, clock=clock, open_turns=True) as runtime:
        await runtime.create(A)
        await runtime.send(A, "hello")
        await wait_all_tasks_blocked()
        async with runtime.subscribe(A, after=0) as stream:
            async for item in stream:
                if isinstance(item, Event) and isinstance(item.body, PromptOpened):
                    assert item.prompt_id == f"{A}/1/0"
                    break
                assert not isinstance(item, Event) or item.prompt_id == ""
    async with checked_runtime(store=MemoryJournal(journal.store), clock=clock) as runtime:
        async with runtime.subscribe(A) as stream:
            ready = await anext(stream)
        assert isinstance(ready, SessionReady)
        (prompt,) = ready.prompts
        assert (prompt.prompt_id, prompt.turn, prompt.type, prompt.question, prompt.choices, prompt.default) == (
            f"{A}/1/0",
            1,
            "choice",
            "which?",
            ("a", "b"),
            "b",
        )
        assert prompt.expires_at_s is not None
        assert (ready.status, runtime.inspect(A).open_prompts) == ("idle", 1)


async def test_promise_words_14_a_question_outlives_a_restart_and_its_answer_is_a_new_turn(
    autojump_clock: MockClock,
) -> None:
    """The agent is told which question it was; a second answer is refused as the double it is."""
    journal = MemoryJournal()
    seen: list[Turn] = []
    history: list[str] = []

    async def look(turn: Turn) -> None:
        seen.append(turn)
        history.extend(message.text for message in turn.history)

    async with checked_runtime(ScriptedAgent([Say("hm"), Ask("which?"), Hang()]), store=journal, open_turns=True) as (
        runtime
    ):
        await runtime.create(A)
        await runtime.send(A, "hello")
        await wait_all_tasks_blocked()
    async with checked_runtime(ScriptedAgent([Do(look), Say("ok")]), store=MemoryJournal(journal.store)) as runtime:
        assert await refusal_of(runtime, A, f"{A}/1/0", "blue") == ""
        await settle(runtime)
        assert await refusal_of(runtime, A, f"{A}/1/0", "green") == "prompt_answered"
        page = await runtime.history(A)
    (turn,) = seen
    assert (turn.number, turn.text) == (2, "blue")
    assert turn.answers == AnsweredPrompt(1, 0, "text", "which?")
    assert history == ["hello", "hm", "blue"]
    assert [message.text for message in page.messages] == ["hello", "hm", "blue", "ok"]


async def test_promise_words_15_a_question_expires_with_its_default_or_with_an_error(autojump_clock: MockClock) -> None:
    """At its moment of wall time; who waits for a default gets it, who waits without one hears so."""
    told: list[object] = []

    async def answer(turn: Turn) -> None:
        told.append((await turn.ask("quick?", expires_s=30.0, default="no"), trio.current_time()))
        try:
            await turn.ask("and now?", expires_s=30.0)
        except PromptExpiredError as error:
            told.append((error.chat_id, trio.current_time()))
        await turn.ask("once more?", expires_s=30.0)  # not caught: the turn fails, and its session goes on

    async with checked_runtime(answer) as runtime:
        await runtime.create(A)
        result = await (await runtime.send(A, "hello")).result()
        assert [await refusal_of(runtime, A, f"{A}/1/{number}") for number in range(3)] == ["prompt_expired"] * 3
        assert (result.status, result.reason) == ("failed", "prompt_expired")
        assert runtime.statistics().crashes == 0
    assert told == [("no", 30.0), (A, 60.0)]


async def test_a_question_of_a_session_that_is_not_live_expires_too(autojump_clock: MockClock) -> None:
    """The next life knows of it, brings the session up for it, and writes it once."""
    journal, clock = MemoryJournal(), VirtualClock()
    async with checked_runtime(
        ScriptedAgent([Ask("quick?", expires_s=100.0, default="no"), Hang()]),
        store=journal,
        clock=clock,
        open_turns=True,
    ) as runtime:
        await runtime.create(A)
        await runtime.send(A, "hello")
        await wait_all_tasks_blocked()
    async with checked_runtime(store=MemoryJournal(journal.store), clock=clock) as runtime:
        await runtime.stop(A)
        assert runtime.statistics().sessions_live == 0
        await trio.sleep(200.0)
        await settle(runtime)
        assert await refusal_of(runtime, A, f"{A}/1/0") == "prompt_expired"
    assert (await stored(journal, A)).count(b"prompt.expired") == 1


@pytest.mark.parametrize("jump_s", [-50_000.0, 50_000.0])
async def test_a_clock_that_jumps_neither_loses_a_question_nor_ends_it_early(
    jump_s: float, autojump_clock: MockClock
) -> None:
    """What counts is the wall clock when it is looked at."""
    clock = VirtualClock()
    script = ScriptedAgent([Ask("quick?", expires_s=1000.0, default="no")])
    async with checked_runtime(script, clock=clock, limits=Limits(turn_s=86_400.0)) as runtime:
        await runtime.create(A)
        receipt = await runtime.send(A, "hello")
        await trio.sleep(500.0)
        clock.jump(jump_s)
        began_s = trio.current_time()
        assert (await receipt.result()).ok
        waited_s = trio.current_time() - began_s
    assert waited_s == pytest.approx(500.0 - jump_s, abs=11.0) if jump_s < 0 else waited_s <= 11.0
    assert script.answers == ["no"]


MISTAKES: dict[str, Callable[[Turn], object]] = {
    "no time": lambda turn: turn.ask("what?", expires_s=0.0),
    "a time that is none": lambda turn: turn.ask("what?", expires_s=float("nan")),
    "a truth": lambda turn: turn.ask("what?", expires_s=True),
    "a default for ever": lambda turn: turn.ask("what?", default="yes"),
    "a default that is no choice": lambda turn: turn.ask("what?", choices=("a",), expires_s=1.0, default="b"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_question_that_could_not_end_as_it_says_is_the_agents_mistake(
    mistake: str, autojump_clock: MockClock
) -> None:
    """It is told at once, and nothing is asked."""

    async def answer(turn: Turn) -> None:
        await MISTAKES[mistake](turn)  # type: ignore[misc]  # each is awaitable

    async with checked_runtime(answer) as runtime:
        await runtime.create(A)
        result = await (await runtime.send(A, "hello")).result()
        assert (result.status, result.error) == ("failed", "ConfigurationError")
        assert runtime.inspect(A).open_prompts == 0


async def test_control_is_heard_while_a_person_is_asked(autojump_clock: MockClock) -> None:
    """A question blocks nothing: cancel, stop, inspect and delete come through, at once."""
    async with checked_runtime(ScriptedAgent([Ask("may I?")])) as runtime:
        for chat_id in (A, B, C):
            await runtime.create(chat_id)
            await runtime.send(chat_id, "hello")
        await wait_all_tasks_blocked()
        began_s = trio.current_time()
        assert runtime.inspect(A).status == "waiting"
        await runtime.stop(A)
        await runtime.delete(B)
        assert (await (await runtime.send(C, "hello", message_id="second")).cancel()).status == "cancelled"
        assert trio.current_time() == began_s
        await runtime.delete(C)
