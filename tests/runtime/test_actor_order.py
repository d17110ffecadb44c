"""What a turn says reaches the journal in the order in which it was said, whoever of its tasks says it."""

import pytest
import trio
from trio.testing import MockClock

from actors import InvalidEnvelopeError, Limits, Session, Turn, agent
from actors.core.commands import Accept, Ask, Begin, Create, Recover
from actors.core.decision import Decision, Policy
from actors.core.events import PromptOpened
from actors.core.ids import ChatId
from actors.core.session import decide
from actors.core.state import SessionState, fold
from actors.testing import ScriptedAgent, checked_runtime

CHAT = "live:a"


async def test_text_said_beside_a_tool_call_keeps_its_place(autojump_clock: MockClock) -> None:
    """A checkpoint that was asked for before a call was posted does not overtake the call."""

    async def assistant(turn: Turn) -> None:
        async def beside() -> None:
            await trio.lowlevel.checkpoint()
            await turn.write("beside")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(beside)
            await turn.write("x")
            await turn.write("more than a checkpoint holds")
            call = await turn.call("tool")
            await call.end("result")

    limits = Limits(checkpoint_bytes_max=8, quantum_s=1.0)
    async with checked_runtime(assistant, limits=limits) as runtime:
        chat_id = await runtime.create(CHAT)
        for _ in range(20):
            result = await (await runtime.send(chat_id, "go")).result()
            assert result.ok
        page = await runtime.history(chat_id)
    assert sum(message.role == "tool" for message in page.messages) == 20
    first_answers = [message for message in page.messages if message.message_id.endswith("/1/0")]
    assert len(first_answers) == 20
    assert all(message.text.startswith("xmore than a checkpoint holds") for message in first_answers)


def test_a_question_of_a_later_attempt_has_another_number() -> None:
    """A late answer to a question of an interrupted attempt cannot be taken for one to the next attempt."""
    policy = Policy(Limits())
    state = SessionState(ChatId(CHAT))
    numbers: list[int] = []

    def take(command: Create | Accept | Begin | Ask | Recover) -> None:
        nonlocal state
        decision = decide(state, command, policy, 0.0)
        assert isinstance(decision, Decision)
        numbers.extend(body.prompt for body in decision.bodies if isinstance(body, PromptOpened))
        state = fold(state, decision.bodies)

    take(Create())
    take(Accept("m", "go"))
    take(Ask(1, 1, "text", "Sure?", (), ()))
    take(Recover("retry", attempts_max=3))
    take(Begin())
    take(Ask(1, 2, "text", "Sure now?", (), ()))
    assert numbers == [0, 1]


async def test_results_stand_right_behind_their_calls_whatever_was_said_between(autojump_clock: MockClock) -> None:
    """A model refuses a transcript in which anything stands between calls and their results."""

    async def assistant(turn: Turn) -> None:
        first, second = await turn.calls([("a", None, "1"), ("b", None, "2")])
        await first.end("one")
        await turn.write("meanwhile")
        await second.end("two")
        await turn.write("done")

    async with checked_runtime(assistant) as runtime:
        chat_id = await runtime.create(CHAT)
        await (await runtime.send(chat_id, "go")).result()
        messages = (await runtime.history(chat_id)).messages
    said = [(message.role, message.text or message.parts[-1].text) for message in messages]
    assert said == [
        ("user", "go"),
        ("assistant", "{}"),
        ("tool", "one"),
        ("tool", "two"),
        ("assistant", "meanwhile"),
        ("assistant", "done"),
    ]


async def test_a_handler_that_never_returns_is_a_crash_of_its_session_alone(autojump_clock: MockClock) -> None:
    """Its time is bounded, so the session's turns and stops are heard again."""

    async def receive(_session: Session, payload: object) -> object:
        if payload == "hang":
            await trio.sleep_forever()
        return payload

    limits = Limits(handler_s=3.0)
    async with checked_runtime(agent(ScriptedAgent().__call__, receive=receive), limits=limits) as runtime:
        for chat_id in (CHAT, "live:b"):
            await runtime.create(chat_id)
        await runtime.tell(CHAT, "hang")
        assert await runtime.ask("live:b", "quick") == "quick"
        result = await (await runtime.send(CHAT, "still there?")).result()
        assert result.ok
        assert runtime.statistics().crashes == 1


async def test_an_answer_to_what_is_no_prompt_id_is_refused_at_the_border(autojump_clock: MockClock) -> None:
    """Whatever it is, no session is asked about it."""
    async with checked_runtime() as runtime:
        chat_id = await runtime.create(CHAT)
        for named in (True, None, 1, "", "1/0", f"{chat_id}/1", f"{chat_id}/01/0", f"{chat_id}/1/-1"):
            with pytest.raises(InvalidEnvelopeError):
                await runtime.answer(chat_id, named, "yes")
