"""Every tool call has exactly one outcome, every prompt one answer or a close, however their turn ends."""

from collections.abc import Callable, Sequence
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ConfigurationError,
    Event,
    InvalidEnvelopeError,
    Limits,
    Message,
    PromptAnswered,
    PromptClosed,
    PromptOpened,
    Runtime,
    SessionReady,
    ToolCalled,
    ToolEnded,
    Turn,
    TurnEnded,
    TurnOverError,
    UnavailableError,
    agent,
)
from actors.core.ids import ChatId
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import Ask, Call, Do, Hang, Raise, Say, ScriptedAgent, Shield, Step, checked_runtime, settle

CHAT = ChatId("live:a")

ENDS: dict[str, tuple[Step | None, str, str]] = {
    "completion": (None, "completed", "cancelled"),
    "a failure": (Raise(ValueError), "failed", "error"),
    "its deadline": (Hang(), "failed", "error"),
    "a cancellation": (Hang(), "cancelled", "cancelled"),
    "a shielded cancellation": (Shield(60.0), "cancelled", "cancelled"),
    "a stop": (Hang(), "interrupted", "interrupted"),
    "the end of its process": (Hang(), "interrupted", "interrupted"),
}
"""How a turn may end, the step that leads there, its status, and the outcome of a call that it leaves open."""


async def end_turn(how: str, store: MemoryStore, script: ScriptedAgent) -> tuple[Event, ...]:
    """Run one turn to its end and return every event of the session."""
    journal = MemoryJournal(store)
    limits = Limits(turn_s=100.0)
    async with checked_runtime(script, store=journal, limits=limits, open_turns=True) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(10.0)
        if "cancellation" in how:
            await receipt.cancel()
        elif how == "a stop":
            await runtime.stop(CHAT)
        elif how != "the end of its process":
            await receipt.result()
            await settle(runtime)
        if how == "the end of its process":
            store.owner = None  # as if it had been killed: the next life finds the turn running
            events = await read_in_next_life(MemoryStore(store.epoch, None, dict(store.chats), {}))
        else:
            events = await journal.events(CHAT, 0, 100)
    return events


async def read_in_next_life(store: MemoryStore) -> tuple[Event, ...]:
    """Open the store again and read what recovery made of it."""
    journal = MemoryJournal(store)
    async with checked_runtime(store=journal):
        return await journal.events(CHAT, 0, 100)


@pytest.mark.rule("promise_path_26")
@pytest.mark.parametrize("how", ENDS)
async def test_a_call_that_is_open_when_its_turn_ends_is_sealed_in_the_same_write(
    how: str, autojump_clock: MockClock
) -> None:
    """Two calls ended, two left open: four outcomes, each before the end of the turn."""
    step, status, outcome = ENDS[how]
    calls: list[Step] = [Call("one"), Call("two", ok=False), Call("three", result=None), Call("four", result=None)]
    script = ScriptedAgent([Say("words"), *calls, *([] if step is None else [step])])
    events = await end_turn(how, MemoryStore(), script)
    bodies = [event.body for event in events]
    called = [body for body in bodies if isinstance(body, ToolCalled)]
    ended = [body for body in bodies if isinstance(body, ToolEnded)]
    assert [body.call for body in called] == [0, 1, 2, 3]
    assert [(body.call, str(body.status)) for body in ended] == [(0, "ok"), (1, "error"), (2, outcome), (3, outcome)]
    end = bodies[-1]
    assert isinstance(end, TurnEnded)
    assert end.status == status
    assert all(isinstance(body, ToolEnded | TurnEnded) for body in bodies[-3:])


@pytest.mark.rule("promise_6")
async def test_the_transcript_pairs_every_call_with_its_result_for_a_model(autojump_clock: MockClock) -> None:
    """Call ids of the model are kept, may repeat in another turn, and results stand after their calls."""

    async def use_tools(turn: Turn) -> None:
        calls = await turn.calls([("look", {"at": "a"}, "id-1"), ("look", '{"at":"b"}', "id-2")])
        async with trio.open_nursery() as nursery:
            for number, call in enumerate(reversed(calls)):
                nursery.start_soon(run_late, call.run, number)
        await turn.write("done")

    async def run_late(run: Callable[..., object], number: int) -> None:
        async def look() -> object:
            await trio.sleep(number)
            return {"seen": number}

        await run(look)  # type: ignore[misc]  # the method of a call

    async with checked_runtime(use_tools) as runtime:
        await runtime.create(CHAT)
        for _ in range(2):
            await (await runtime.send(CHAT, "look")).result()
        messages = (await runtime.history(CHAT)).messages
    for turn in (1, 2):
        check_pairs([message for message in messages if message.turn == turn])


def check_pairs(messages: Sequence[Message]) -> None:
    """See that one turn reads: question, two calls, their two results in the order of the calls, the answer."""
    assert [message.role for message in messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [(part.name, part.text, part.call_id) for part in messages[1].parts] == [
        ("look", '{"at":"a"}', "id-1"),
        ("look", '{"at":"b"}', "id-2"),
    ]
    results = [message.parts[0] for message in messages[2:4]]
    assert [(part.call_id, part.text, part.status) for part in results] == [
        ("id-1", '{"seen": 1}', "ok"),
        ("id-2", '{"seen": 0}', "ok"),
    ]


async def test_a_call_that_has_its_outcome_takes_no_second_one(autojump_clock: MockClock) -> None:
    """Ending twice is the agent's mistake, told to it; the first outcome stands."""
    journal = MemoryJournal()
    script = ScriptedAgent([Call("tool", times=3)])
    async with checked_runtime(script, store=journal) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "hello")).result()).ok
        bodies = [event.body for event in await journal.events(CHAT, 0, 100)]
    assert [type(error) for error in script.errors] == [TurnOverError, TurnOverError]
    assert sum(isinstance(body, ToolEnded) for body in bodies) == 1


async def test_a_tool_that_raises_gives_an_error_outcome_without_its_text(autojump_clock: MockClock) -> None:
    """The failure of a tool is not the failure of its turn."""

    async def broken() -> object:
        raise RuntimeError("private")

    async def answer(turn: Turn) -> None:
        outcome = await turn.tool("broken", broken)
        await turn.write(f"{outcome.ok} {outcome.content}")

    async with checked_runtime(answer) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "hello")).result()).text == "False RuntimeError"
        assert "private" not in str(await runtime.history(CHAT))


async def test_a_result_that_is_too_large_to_keep_is_an_error_the_model_can_read(autojump_clock: MockClock) -> None:
    """The bound of one message holds for what a tool returns too."""

    async def large() -> str:
        return "x" * 2000

    async def answer(turn: Turn) -> None:
        outcome = await turn.tool("large", large)
        await turn.write(f"{outcome.ok} {outcome.content}")

    async with checked_runtime(answer, limits=Limits(message_bytes_max=1000)) as runtime:
        await runtime.create(CHAT)
        text = (await (await runtime.send(CHAT, "hello")).result()).text
        assert text.startswith("False ")
        assert "2000" in text
        assert "1000" in text
        assert "xxxx" not in str(await runtime.history(CHAT))


async def test_a_turn_may_call_so_many_tools_and_no_more(autojump_clock: MockClock) -> None:
    """A loop that never ends is ended by its guard, without a crash and without another session noticing."""

    async def loop(turn: Turn) -> None:
        while True:
            await turn.tool("again", trio.lowlevel.checkpoint, interactive=True)

    async with checked_runtime(loop, limits=Limits(tool_calls_max=7)) as runtime:
        await runtime.create(CHAT)
        result = await (await runtime.send(CHAT, "hello")).result()
        assert (result.status, result.reason) == ("failed", "tool_calls")
        statistics = runtime.statistics()
        assert (statistics.tool_calls, statistics.crashes) == (7, 0)


@pytest.mark.rule("pack_12")
async def test_two_chats_ask_at_once_and_get_each_its_own_answer(autojump_clock: MockClock) -> None:
    """Crossed, late, double, for an unknown prompt: only the right one counts."""
    script = ScriptedAgent([Ask("may I?", "permission", ("yes", "no")), Do(say_answer)])
    async with checked_runtime(script) as runtime:
        receipts = {}
        for chat_id in (CHAT, ChatId("live:b")):
            await runtime.create(chat_id)
            receipts[chat_id] = await runtime.send(chat_id, "hello")
        await wait_all_tasks_blocked()
        assert [runtime.inspect(chat_id).open_prompts for chat_id in receipts] == [1, 1]
        for turn, prompt in ((1, 1), (2, 0), (0, 0)):
            with pytest.raises(InvalidEnvelopeError):
                await runtime.answer(CHAT, f"{CHAT}/{turn}/{prompt}", "yes")
        with pytest.raises(InvalidEnvelopeError):
            await runtime.answer(CHAT, f"{CHAT}/1/0", "maybe")
        await runtime.answer("live:b", "live:b/1/0", "no")
        await receipts[ChatId("live:b")].result()
        assert runtime.inspect(CHAT).open_prompts == 1, "the answer to B is no answer to A"
        await runtime.answer(CHAT, f"{CHAT}/1/0", "yes")
        with pytest.raises(UnavailableError):
            await runtime.answer(CHAT, f"{CHAT}/1/0", "no")
        await receipts[CHAT].result()
    assert sorted(script.answers) == ["no", "yes"]


async def say_answer(turn: Turn) -> None:
    """Say something after the answer, so that the turn has an end of its own."""
    await turn.write("thanks")


@pytest.mark.parametrize("answer", [None, 7, "", "\ud800", "x" * 2000])
async def test_an_answer_that_cannot_be_stored_is_refused_and_the_prompt_stays_open(
    answer: object, autojump_clock: MockClock
) -> None:
    """Whoever answers is told, and may answer again."""
    script = ScriptedAgent([Ask("what?")])
    async with checked_runtime(script, limits=Limits(message_bytes_max=1000)) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await wait_all_tasks_blocked()
        with pytest.raises(InvalidEnvelopeError):
            await runtime.answer(CHAT, f"{CHAT}/1/0", answer)
        await runtime.answer(CHAT, f"{CHAT}/1/0", "this")
        assert (await receipt.result()).ok
    assert script.answers == ["this"]


@pytest.mark.rule("promise_words_16")
async def test_the_first_of_many_answers_wins(autojump_clock: MockClock) -> None:
    """Given in the same tick, exactly one is taken."""
    script = ScriptedAgent([Ask("which?")])
    taken: list[int] = []
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await wait_all_tasks_blocked()

        async def answer(number: int) -> None:
            try:
                await runtime.answer(CHAT, f"{CHAT}/1/0", f"answer {number}")
            except UnavailableError:
                return
            taken.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(answer, number)
        await receipt.result()
    assert script.answers == [f"answer {number}" for number in taken]
    assert len(taken) == 1


async def test_questions_asked_at_the_same_time_by_one_turn_are_told_apart(autojump_clock: MockClock) -> None:
    """Each gets the answer to its own number, whichever is answered first."""
    answers: dict[str, str] = {}

    async def ask(turn: Turn, question: str) -> None:
        answers[question] = await turn.ask(question)

    async def answer(turn: Turn) -> None:
        async with trio.open_nursery() as nursery:
            for question in ("one", "two", "three"):
                nursery.start_soon(ask, turn, question)

    journal = MemoryJournal()
    async with checked_runtime(answer, store=journal) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await wait_all_tasks_blocked()
        opened = [e.body for e in await journal.events(CHAT, 0, 100) if isinstance(e.body, PromptOpened)]
        for prompt in reversed(opened):
            await runtime.answer(CHAT, f"{CHAT}/1/{prompt.prompt}", f"answer to {prompt.question}")
        with trio.fail_after(10.0):
            assert (await receipt.result()).ok
    assert answers == {question: f"answer to {question}" for question in ("one", "two", "three")}


async def test_a_question_nobody_answered_is_closed_with_its_turn(autojump_clock: MockClock) -> None:
    """No timeout that nobody asked for: it waits as long as its turn lives, and not longer."""
    journal = MemoryJournal()
    script = ScriptedAgent([Ask("anybody?")])
    async with checked_runtime(script, store=journal, limits=Limits(turn_s=50_000.0)) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(40_000.0)
        assert runtime.inspect(CHAT).status == "waiting"
        await receipt.cancel()
        with pytest.raises(UnavailableError):
            await runtime.answer(CHAT, f"{CHAT}/1/0", "too late")
        bodies = [event.body for event in await journal.events(CHAT, 0, 100)]
    assert [type(body) for body in bodies[-2:]] == [PromptClosed, TurnEnded]
    assert not any(isinstance(body, PromptAnswered) for body in bodies)


@pytest.mark.rule("promise_words_17")
async def test_a_question_is_part_of_the_snapshot_while_it_is_open(autojump_clock: MockClock) -> None:
    """Whoever comes later sees what is being asked, and can answer it."""
    async with checked_runtime(ScriptedAgent([Say("hm"), Ask("which?", "choice", ("a", "b"))])) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await wait_all_tasks_blocked()
        async with runtime.subscribe(CHAT) as stream:
            ready = await anext(stream)
        assert isinstance(ready, SessionReady)
        assert ready.running is not None
        assert ready.running.status == "waiting"
        (prompt,) = ready.prompts
        assert (prompt.prompt_id, prompt.question, prompt.choices) == (f"{CHAT}/1/0", "which?", ("a", "b"))
        await runtime.answer(CHAT, prompt.prompt_id, "b")
        assert (await receipt.result()).ok


async def test_a_kind_of_question_that_does_not_exist_is_the_agents_mistake(autojump_clock: MockClock) -> None:
    """It is told to the agent, and nothing is opened."""
    errors: list[Exception] = []

    async def answer(turn: Turn) -> None:
        try:
            await turn.ask("what?", kind="riddle")  # type: ignore[arg-type]  # on purpose
        except ConfigurationError as error:
            errors.append(error)

    async with checked_runtime(answer) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "hello")).result()).ok
    assert len(errors) == 1


async def test_a_question_that_its_agent_gave_up_can_still_be_answered(autojump_clock: MockClock) -> None:
    """An agent may stop waiting by itself; the person who answers is not told a lie."""

    async def answer(turn: Turn) -> None:
        with trio.move_on_after(5.0):
            await turn.ask("quick?")
        await trio.sleep(10.0)

    log = BytesIO()
    async with checked_runtime(agent(answer), log=log) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(8.0)
        await answer_and_see(runtime)
        assert (await receipt.result()).ok


async def answer_and_see(runtime: Runtime) -> None:
    """Answer the first question and see it taken."""
    assert runtime.inspect(CHAT).open_prompts == 1
    await runtime.answer(CHAT, f"{CHAT}/1/0", "yes")
    assert runtime.inspect(CHAT).open_prompts == 0
