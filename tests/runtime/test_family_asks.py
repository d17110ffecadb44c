"""Turns that ask and send: who may wait for whom is known, so nobody waits for ever, and causes are carried on."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from actors.core.envelope import Origin
from actors.core.ids import ChatId
from actors.errors import DeadlockError, UnknownChatError
from actors.runtime.agent import Session, agent
from actors.runtime.facade import Runtime
from actors.runtime.turn import Turn
from actors.testing import VirtualClock, checked_runtime

A, B = ChatId("live:a"), ChatId("live:b")
START_S = 1_750_000_000.0
Answer = Callable[[Turn], Awaitable[str | None]]


async def heard(session: Session, payload: object) -> object:
    """Hear a question and say what caused it."""
    assert session.origin is not None
    origin = session.origin
    return [payload, origin.sender, origin.correlation_id, origin.causation_id, list(origin.call_chain)]


async def run(answer: Answer, *, receive: Callable[[Session, object], Awaitable[object]] = heard) -> str:
    """Have A answer a message, beside B, and say what came of it."""
    async with checked_runtime(agent(answer, receive=receive)) as runtime:
        for chat_id in (A, B):
            await runtime.create(chat_id)
        result = await (await runtime.send(A, "go")).result()
        await trio.sleep(1.0)
        return result.text or f"{result.status} {result.reason} {result.error}"


async def test_a_turn_asks_another_session_and_says_who_it_is(autojump_clock: MockClock) -> None:
    """The handler is told the sender, the turn that caused it, and who waits."""

    async def answer(turn: Turn) -> str:
        return str(await turn.ask_chat(B, "well?"))

    assert await run(answer) == str(["well?", "live:a", "live:a/1", "live:a/1", ["live:a"]])


@pytest.mark.rule("pitfall_15")
async def test_a5_a_turn_that_asks_itself_is_refused_with_the_path(autojump_clock: MockClock) -> None:
    """At once, before anything is put into a mailbox."""

    async def answer(turn: Turn) -> str:
        with pytest.raises(DeadlockError, match="live:a -> live:a") as caught:
            await turn.ask_chat(A, "me?")
        return caught.value.outcome

    assert await run(answer) == "not_enqueued"


async def test_a5_a_ring_of_five_is_refused_where_it_would_close(autojump_clock: MockClock) -> None:
    """A turn asks, each handler asks the next, and the last one's ask to the first is refused with the whole path."""
    ring = [ChatId(f"live:{number}") for number in range(5)]
    runtimes: list[Runtime] = []

    async def receive(session: Session, _: object) -> object:
        following = ring[(ring.index(session.chat_id) + 1) % len(ring)]
        try:
            return await runtimes[0].ask(following, "next", session=session)
        except DeadlockError as error:
            return str(error)

    async def answer(turn: Turn) -> str:
        return str(await turn.ask_chat(ring[1], "next"))

    async with checked_runtime(agent(answer, receive=receive)) as runtime:
        runtimes.append(runtime)
        for chat_id in ring:
            await runtime.create(chat_id)
        result = await (await runtime.send(ring[0], "go")).result()
        assert " -> ".join([*ring, ring[0]]) in result.text
        assert trio.current_time() < 1.0
        assert (await runtime.ask(ring[2], "alone")) is not None


async def test_pitfall_15_two_turns_cannot_wait_for_each_other(autojump_clock: MockClock) -> None:
    """A sends to B and waits; B's turn sends back, and is refused the wait, not the message."""

    async def answer(turn: Turn) -> str:
        if turn.chat_id == A and turn.text == "go":
            return (await (await turn.send_chat(B, "do it")).result()).text
        if turn.chat_id == B:
            sent = await turn.send_chat(A, "first tell me")
            with pytest.raises(DeadlockError, match="live:a -> live:b -> live:a"):
                await sent.result()
            return f"sent {sent.turn}"
        return "told"

    assert await run(answer) == "sent 2"


async def test_pitfall_15_a_turn_does_not_wait_for_its_own_session(autojump_clock: MockClock) -> None:
    """What it sends to itself runs when it has ended."""

    async def answer(turn: Turn) -> str:
        if turn.text == "go":
            with pytest.raises(DeadlockError, match="live:a -> live:a"):
                await (await turn.send_chat(A, "later")).result()
        return turn.text

    assert await run(answer) == "go"


async def test_a5_a_child_that_asks_its_parent_is_refused_with_the_path(autojump_clock: MockClock) -> None:
    """Its parent may be waiting for it; whom else it asks learns of the whole line."""

    async def answer(turn: Turn) -> str:
        if turn.parent is None:
            return (await (await turn.spawn("down")).result()).text
        if turn.parent.depth == 1:
            return (await (await turn.spawn("down")).result()).text
        chain = " -> ".join([*turn.origin.call_chain, turn.chat_id, A])
        with pytest.raises(DeadlockError, match=chain):
            await turn.ask_chat(A, "may I?")
        with pytest.raises(DeadlockError):
            await turn.ask_chat(turn.parent.chat_id, "may I?")
        return str(await turn.ask_chat(B, "may I?"))

    first = ChatId("live:child:1.1.1:a")
    second = ChatId("live:child:1.1.1:child:1.1.1:a")
    expected = ["may I?", second, "live:a/1", f"{second}/1", ["live:a", first, second]]
    assert await run(answer) == str(expected)


@pytest.mark.rule("D4", "D1")
async def test_what_a_turn_starts_carries_where_it_comes_from(autojump_clock: MockClock) -> None:
    """Message, child and question: each names the turn that caused it and the first cause of all."""
    seen: dict[str, Origin] = {}

    async def answer(turn: Turn) -> None:
        seen[turn.text] = turn.origin
        if turn.text == "go":
            await (await turn.send_chat(B, "sent")).result()
        elif turn.text == "sent":
            await (await turn.spawn("spawned")).result()

    await run(answer)
    child = ChatId("live:child:1.1.1:b")
    assert seen["go"] == Origin()
    assert seen["sent"] == Origin(A, f"{A}/1", f"{A}/1", (A,))
    assert seen["spawned"] == Origin(B, f"{A}/1", f"{B}/1", (A, B))
    assert child not in seen


async def test_what_a_reminder_starts_says_which_tick_it_was(autojump_clock: MockClock) -> None:
    """And what that turn starts carries it on."""
    seen: list[Origin] = []

    async def answer(turn: Turn) -> None:
        seen.append(turn.origin)
        if turn.sender == "reminder":
            await (await turn.spawn("on it")).result()

    async with checked_runtime(answer, clock=VirtualClock(1, wall_s=START_S)) as runtime:
        await runtime.create(A)
        await runtime.remind(A, "tea", "Drink.", at_s=START_S + 5.0)
        await trio.sleep(10.0)
    assert seen == [
        Origin("reminder", causation_id="tea/1750000005.0"),
        Origin(A, "live:a/1", "live:a/1", (A,)),
    ]


async def test_causes_are_forgotten_with_their_turns(autojump_clock: MockClock) -> None:
    """A session that is sent to all day does not remember all day."""

    async def answer(turn: Turn) -> None:
        if turn.chat_id == A:
            for number in range(50):
                await (await turn.send_chat(B, f"{number}")).result()

    async with checked_runtime(answer) as runtime:
        for chat_id in (A, B):
            await runtime.create(chat_id)
        await (await runtime.send(A, "go")).result()
        ref = runtime._registry.get(B)  # noqa: SLF001 - what is counted is inside
        assert ref is not None
        assert ref.origins is None


async def test_what_is_sent_is_sent_once_under_its_key(autojump_clock: MockClock) -> None:
    """As with a message of the host: the same key gives the first receipt."""

    async def answer(turn: Turn) -> str:
        if turn.chat_id == B:
            return "done"
        turns = [(await turn.send_chat(B, "x", message_id="k1")).turn for _ in range(3)]
        with pytest.raises(UnknownChatError):
            await turn.send_chat("live:unknown", "x")
        return str(turns)

    assert await run(answer) == "[1, 1, 1]"
