"""What a turn says reaches the journal in the order in which it was said, whoever of its tasks says it."""

import trio
from trio.testing import MockClock

from actors import Limits, Turn
from actors.core.commands import Accept, Ask, Begin, Create, Recover
from actors.core.events import PromptOpened
from actors.core.ids import ChatId
from actors.core.session import Decision, Policy, SessionState, decide, fold
from actors.testing import checked_runtime

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
    numbers = []

    def take(command: Create | Accept | Begin | Ask | Recover) -> None:
        nonlocal state
        decision = decide(state, command, policy, 0.0)
        assert isinstance(decision, Decision)
        numbers.extend(body.prompt for body in decision.bodies if isinstance(body, PromptOpened))
        state = fold(state, decision.bodies)

    take(Create())
    take(Accept("m", "go"))
    take(Ask(1, 1, "text", "Sure?", (), ()))
    take(Recover(retry=True, attempts_max=3))
    take(Begin())
    take(Ask(1, 2, "text", "Sure now?", (), ()))
    assert numbers == [0, 1]
