"""A dead letter that is sent again goes the way of any envelope: taken or refused, and counted as newly sent."""

from io import BytesIO
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    DeadLetter,
    DropReason,
    InvalidEnvelopeError,
    Kind,
    Limits,
    Receipt,
    RefusedError,
    Session,
    agent,
    open_runtime,
)
from actors.testing import Do, Return, ScriptedAgent, checked_runtime

KINDS = {"typing": Kind("drop_newest", droppable=True)}


async def refuse(runtime: object, *numbers: int) -> None:
    """Send to a chat that is not there."""
    for number in numbers:
        with pytest.raises(RefusedError):
            await runtime.send("live:a", f"message {number}", sender="anna", message_id=f"key-{number}")  # type: ignore[attr-defined]


@pytest.mark.rule("X1")
async def test_x1_a_message_that_was_refused_can_be_sent_again(autojump_clock: MockClock) -> None:
    """With its sender and its key; it is a dead letter no more, and the sums know it as sent twice."""
    heard: list[tuple[str, str]] = []

    async def answer(turn: object) -> None:
        heard.append((turn.sender, turn.text))  # type: ignore[attr-defined]

    async with checked_runtime(ScriptedAgent([Do(answer), Return("ok")])) as runtime:
        await refuse(runtime, 1, 2)
        await runtime.create("live:a")
        receipt = await runtime.resend_dead_letter(1)
        assert isinstance(receipt, Receipt)
        assert (await receipt.result()).text == "ok"
        assert (receipt.message_id, heard) == ("key-1", [("anna", "message 1")])
        assert [letter.number for letter in runtime.dead_letters()] == [2]
        statistics = runtime.statistics()
        assert (statistics.sent, statistics.refused, statistics.letters.executed) == (3, 2, 1)
        assert statistics.closed


@pytest.mark.rule("X1")
async def test_many_letters_can_be_sent_again_at_once(autojump_clock: MockClock) -> None:
    """All that fit; one that is refused again is a new letter beside the old one."""
    async with checked_runtime() as runtime:
        await refuse(runtime, 1, 2, 3)
        with pytest.raises(RefusedError):
            await runtime.send("live:b", "to another")
        with pytest.raises(RefusedError):
            await runtime.send("live:a", "")
        await runtime.create("live:a")
        assert await runtime.resend_dead_letters(reason="invalid_payload") == ()
        assert await runtime.resend_dead_letters("live:a") == (1, 2, 3)
        assert await runtime.resend_dead_letters() == ()
        assert [(each.number, each.chat_id) for each in runtime.dead_letters()] == [
            (4, "live:b"), (5, "live:a"), (6, "live:b"),
        ]  # fmt: skip
        await trio.sleep(1)
        assert runtime.statistics().turns == {"completed": 3}
        assert runtime.statistics().closed


async def test_a_volatile_message_is_told_again_as_its_kind(autojump_clock: MockClock) -> None:
    """A question too: nobody waits for its answer any more."""
    heard: list[tuple[object, str, str]] = []

    async def receive(session: Session, payload: object) -> None:
        heard.append((payload, session.kind, "" if session.origin is None else session.origin.sender))
        if payload == "slow":
            await trio.sleep(1)

    limits = Limits(mailbox_messages_max=1)
    async with checked_runtime(agent(ScriptedAgent(), receive=receive, kinds=KINDS), limits=limits) as runtime:
        chat_id = await runtime.create()
        for payload in ("slow", "next"):
            await runtime.tell(chat_id, payload)
            await wait_all_tasks_blocked()
        await runtime.tell(chat_id, {"typing": True}, kind="typing")
        with pytest.raises(RefusedError):
            runtime.tell_nowait(chat_id, "plain")
        await trio.sleep(5)
        for number in (1, 2):
            assert await runtime.resend_dead_letter(number) is None
            await trio.sleep(1)
        assert heard[2:] == [({"typing": True}, "typing", ""), ("plain", "", "")]
        assert runtime.dead_letters() == ()


@pytest.mark.parametrize("number", [0, 7, -1, "1", None])
async def test_a_letter_that_is_not_there_cannot_be_sent_again(number: object, autojump_clock: MockClock) -> None:
    """It is told so, and nothing is sent."""
    async with checked_runtime() as runtime:
        await refuse(runtime, 1)
        with pytest.raises(RefusedError, match="there is no dead letter"):
            await runtime.resend_dead_letter(number)  # type: ignore[arg-type]
        assert runtime.statistics().sent == 1


async def test_a_letter_without_its_payload_is_not_sent_again(autojump_clock: MockClock) -> None:
    """What a redaction has left is not what somebody said."""
    async with open_runtime(":memory:", agent=ScriptedAgent(), redact=lambda _: "[redacted]") as runtime:
        await refuse(runtime, 1)
        await runtime.create("live:a")
        with pytest.raises(InvalidEnvelopeError, match="payload of dead letter 1 was not kept"):
            await runtime.resend_dead_letter(1)
        assert await runtime.resend_dead_letters() == ()
        assert runtime.dead_letters()[0].payload == "[redacted]"


@pytest.mark.rule("X1")
async def test_a_letter_of_an_earlier_life_is_sent_again_once(tmp_path: Path) -> None:
    """From the table; whoever tries twice gets the first receipt, or is told that it is not there."""
    path = tmp_path / "chats.db"
    async with open_runtime(path, agent=ScriptedAgent(), keep_dead_letters=True) as runtime:
        await refuse(runtime, 1)
        while not runtime.statistics().dead_letters_stored:
            await trio.sleep(0.01)
    async with open_runtime(path, agent=ScriptedAgent(), keep_dead_letters=True) as runtime:
        await runtime.create("live:a")
        receipt = await runtime.resend_dead_letter(1)
        assert receipt is not None
        assert not receipt.duplicate
        assert (await receipt.result()).ok
        while await runtime.stored_dead_letters():
            await trio.sleep(0.01)
        with pytest.raises(RefusedError, match="there is no dead letter 1"):
            await runtime.resend_dead_letter(1)


async def test_what_was_in_a_mailbox_when_its_session_ended_is_whole(autojump_clock: MockClock) -> None:
    """A durable message that was never accepted can be sent again under its own key."""
    log = BytesIO()
    scripted = ScriptedAgent()
    letters: list[DeadLetter] = []

    async def crash(session: Session, payload: object) -> None:
        raise ValueError

    async with checked_runtime(agent(scripted, receive=crash), limits=Limits(restarts_max=0), log=log) as runtime:
        chat_id = await runtime.create()
        runtime.tell_nowait(chat_id, "crash")
        with pytest.raises(RefusedError) as caught:
            await runtime.send(chat_id, "hello", message_id="mine", sender="anna")
        assert caught.value.reason == DropReason.QUARANTINED
        letters += runtime.dead_letters()
        runtime.release(chat_id)
        assert await runtime.resend_dead_letters(chat_id) == (letters[0].number,)
        await trio.sleep(1)
    (letter,) = letters
    assert (letter.kind, letter.payload, letter.message_id, letter.sender) == ("accept", "hello", "mine", "anna")
    assert letter.reason == DropReason.QUARANTINED
    assert scripted.runs == [(chat_id, 1, 1)]


@pytest.mark.rule("X1")
async def test_x1_what_was_sent_again_before_a_cancellation_is_not_sent_a_third_time(
    autojump_clock: MockClock,
) -> None:
    """The others are dead letters still, and whoever goes on sends those alone."""
    heard: list[object] = []

    async def receive(_: Session, payload: object) -> None:
        await trio.sleep(1.0)
        heard.append(payload)

    made = agent(ScriptedAgent(), receive=receive)
    async with checked_runtime(made, limits=Limits(mailbox_messages_max=1)) as runtime:
        await runtime.create("live:a")
        await runtime.tell("live:a", "running")
        await trio.sleep(0.5)
        runtime.tell_nowait("live:a", "queued")
        for number in range(3):
            with pytest.raises(RefusedError):
                runtime.tell_nowait("live:a", number)
        with trio.move_on_after(2.0):  # the third does not find room in that time
            await runtime.resend_dead_letters()
        assert [letter.payload for letter in runtime.dead_letters()] == [2]
        assert len(await runtime.resend_dead_letters()) == 1
        await trio.sleep(10.0)
        assert heard == ["running", "queued", 0, 1, 2]


@pytest.mark.rule("X1")
async def test_x1_a_letter_that_two_send_again_at_once_arrives_once(autojump_clock: MockClock) -> None:
    """Whoever comes second is told so, while the first still waits for room."""
    heard: list[object] = []
    refused: list[str] = []

    async def receive(_: Session, payload: object) -> None:
        await trio.sleep(1.0)
        heard.append(payload)

    made = agent(ScriptedAgent(), receive=receive)
    async with checked_runtime(made, limits=Limits(mailbox_messages_max=1)) as runtime:
        await runtime.create("live:a")
        await runtime.tell("live:a", "running")
        await trio.sleep(0.5)
        runtime.tell_nowait("live:a", "queued")
        with pytest.raises(RefusedError):
            runtime.tell_nowait("live:a", "dead")

        async def resend() -> None:
            try:
                await runtime.resend_dead_letter(1)
            except RefusedError as error:
                refused.append(error.reason)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(resend)
        await trio.sleep(10.0)
        assert heard == ["running", "queued", "dead"]
        assert refused == ["not_running"] * 2
