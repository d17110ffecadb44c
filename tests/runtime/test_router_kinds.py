"""A volatile message of a declared kind: what its sender is told, what its handler sees, and where each one ends."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ConfigurationError,
    DropReason,
    InvalidEnvelopeError,
    Kind,
    Limits,
    Origin,
    OverloadedError,
    Runtime,
    Session,
    agent,
)
from actors.testing import ScriptedAgent, Wait, checked_runtime

KINDS = {
    "typing": Kind("drop_oldest", droppable=True),
    "progress": Kind("drop_newest", droppable=True),
    "cursor": Kind("coalesce"),
    "strict": Kind("reject"),
    "patient": Kind("wait"),
}
LOOSE: Any = agent


class Slow:
    """A handler that notes what it gets, and waits for the first message until it is told to go on."""

    def __init__(self) -> None:
        """Begin with nothing handled."""
        self.handled: list[object] = []
        self.kinds: list[str] = []
        self.origins: list[Origin | None] = []
        self.go_on = trio.Event()

    async def receive(self, session: Session, payload: object) -> None:
        """Handle a message."""
        self.handled.append(payload)
        self.kinds.append(session.kind)
        self.origins.append(session.origin)
        if payload == "first":
            await self.go_on.wait()


async def with_a_full_box(test: Callable[[Runtime, str, Slow], Awaitable[None]], limits: Limits | None = None) -> None:
    """Run a test with a session whose handler is busy, and see that the sums are right at its end."""
    slow = Slow()
    bounds = limits or Limits(mailbox_messages_max=3)
    async with checked_runtime(agent(ScriptedAgent(), receive=slow.receive, kinds=KINDS), limits=bounds) as runtime:
        chat_id = await runtime.create()
        await runtime.tell(chat_id, "first")
        await wait_all_tasks_blocked()
        await test(runtime, chat_id, slow)
        assert runtime.statistics().closed
        slow.go_on.set()


async def test_m3_a_flood_of_a_droppable_kind_leaves_the_latest_and_the_words_of_the_user(
    autojump_clock: MockClock,
) -> None:
    """Senders are told nothing; each one that gave way is counted, kept and logged as dropped."""

    async def test(runtime: Runtime, chat_id: str, slow: Slow) -> None:
        await runtime.tell(chat_id, "text")
        for number in range(100):
            await runtime.tell(chat_id, number, kind="typing")
        statistics = runtime.statistics()
        assert (statistics.letters.dead, statistics.letters.queued, statistics.refused) == (98, 3, 0)
        assert {letter.reason for letter in runtime.dead_letters()} == {DropReason.DROPPED}
        slow.go_on.set()
        await wait_all_tasks_blocked()
        assert slow.handled == ["first", "text", 98, 99]
        assert slow.kinds == ["", "", "typing", "typing"]

    await with_a_full_box(test)


async def test_m3_a_kind_that_drops_the_newest_is_refused_without_a_word(autojump_clock: MockClock) -> None:
    """It never was in the box, so it is counted among the refused."""

    async def test(runtime: Runtime, chat_id: str, slow: Slow) -> None:
        for number in range(5):
            await runtime.tell(chat_id, number, kind="progress")
        runtime.tell_nowait(chat_id, 5, kind="progress")
        statistics = runtime.statistics()
        assert (statistics.refused, statistics.dropped) == (3, {DropReason.DROPPED: 3})
        slow.go_on.set()
        await wait_all_tasks_blocked()
        assert slow.handled == ["first", 0, 1, 2]

    await with_a_full_box(test)


async def test_m3_a_kind_that_coalesces_is_handled_once_with_its_latest(autojump_clock: MockClock) -> None:
    """However often it was sent, and at the place where it stood first; what was replaced is a dead letter."""

    async def test(runtime: Runtime, chat_id: str, slow: Slow) -> None:
        await runtime.tell(chat_id, "a1", kind="cursor", key="a")
        await runtime.tell(chat_id, "text")
        for number in range(2, 50):
            await runtime.tell(chat_id, f"a{number}", kind="cursor", key="a")
        await runtime.tell(chat_id, "b1", kind="cursor", key="b")
        runtime.tell_nowait(chat_id, "b2", kind="cursor", key="b")
        letters = runtime.statistics().letters
        assert (letters.admitted, letters.dead, letters.queued) == (53, 49, 3)
        assert {letter.reason for letter in runtime.dead_letters()} == {DropReason.COALESCED}
        slow.go_on.set()
        await wait_all_tasks_blocked()
        assert slow.handled == ["first", "a49", "text", "b2"]

    await with_a_full_box(test)


@pytest.mark.parametrize("kind", ["typing", "strict"])
async def test_m3_a_kind_that_may_not_take_room_is_told_so_at_once(kind: str, autojump_clock: MockClock) -> None:
    """A box full of what users said refuses typing too: nothing of its kind could give way."""

    async def test(runtime: Runtime, chat_id: str, slow: Slow) -> None:
        for number in range(3):
            await runtime.tell(chat_id, number)
        with pytest.raises(OverloadedError) as caught:
            await runtime.tell(chat_id, "more", kind=kind)
        assert caught.value.reason == DropReason.MAILBOX_FULL

    await with_a_full_box(test)


@pytest.mark.parametrize("kind", ["", "patient", "cursor"])
async def test_m4_senders_of_kinds_that_wait_are_served_in_order(kind: str, autojump_clock: MockClock) -> None:
    """Whoever came first is in first; a deadline bounds the wait, and a cancelled sender leaves nothing."""

    async def test(runtime: Runtime, chat_id: str, slow: Slow) -> None:
        for number in range(3):
            await runtime.tell(chat_id, number)

        async def send(payload: str, seconds: float) -> None:
            with trio.move_on_after(seconds):
                await runtime.tell(chat_id, payload, kind=kind, key=payload if kind == "cursor" else "")

        async with trio.open_nursery() as nursery:
            for payload, seconds in (("a", 60.0), ("cancelled", 1.0), ("b", 60.0)):
                nursery.start_soon(send, payload, seconds)
                await wait_all_tasks_blocked()
            with pytest.raises(OverloadedError):
                runtime.tell_nowait(chat_id, "now", kind=kind)
            late = trio.current_time() + 2
            with pytest.raises(Exception, match="expired"):
                await runtime.tell(chat_id, "late", kind=kind, deadline_s=late)
            assert runtime.statistics().given_up == 1
            slow.go_on.set()
        await wait_all_tasks_blocked()
        assert slow.handled == ["first", 0, 1, 2, "a", "b"]

    await with_a_full_box(test)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"kind": "unheard"}, "kind is 'unheard'; declare it: .*known: typing, progress, cursor, strict, patient"),
        ({"kind": 7}, "kind is 7"),
        ({"key": "a"}, "kind is ''"),
        ({"kind": "typing", "key": "a"}, "key is 'a'; give a str .* to a kind that coalesces"),
        ({"kind": "cursor", "key": 7}, "key is 7"),
        ({"kind": "cursor", "key": "x" * 257}, "key is 'xxx"),
    ],
)
async def test_a_kind_that_was_not_declared_is_the_hosts_mistake(
    options: dict[str, Any], told: str, autojump_clock: MockClock
) -> None:
    """It is told what there is, and nothing is counted: it is no envelope."""
    async with checked_runtime(agent(ScriptedAgent(), receive=Slow().receive, kinds=KINDS)) as runtime:
        chat_id = await runtime.create()
        with pytest.raises(ConfigurationError, match=told):
            await runtime.tell(chat_id, "hello", **options)
        with pytest.raises(ConfigurationError, match=told):
            runtime.tell_nowait(chat_id, "hello", **options)
        assert runtime.statistics().sent == 0


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ([], "kinds is list"),
        ({"": Kind()}, "kinds has the name ''"),
        ({"x" * 65: Kind()}, "kinds has the name"),
        ({7: Kind()}, "kinds has the name 7"),
        ({"a\nb": Kind()}, "kinds has the name"),
        ({"typing": "coalesce"}, r"kinds\['typing'\] is str; give a Kind"),
    ],
)
def test_kinds_are_checked_when_they_are_declared(kinds: object, told: str) -> None:
    """A slip is found before anything runs; what is declared cannot be changed any more."""
    with pytest.raises(ConfigurationError, match=told):
        LOOSE(ScriptedAgent(), kinds=kinds)
    given = dict(KINDS)
    made = agent(ScriptedAgent(), kinds=given)
    given.clear()
    assert dict(made.kinds) == KINDS


async def test_d1_a_message_carries_what_its_sender_says_and_hands_it_on(autojump_clock: MockClock) -> None:
    """Sender, conversation, cause and trace of a message; what it causes is in the same conversation and trace."""
    origin = Origin("somebody", "conversation", "cause", message_id="mine", trace=(("traceparent", "00-1-2-01"),))
    seen: dict[str, Origin | None] = {}

    async def receive(session: Session, payload: object) -> None:
        seen[session.chat_id] = session.origin
        if payload == "ask":
            await runtime.ask("live:b", "question", session=session)
        elif payload == "tell":
            await runtime.tell("live:b", "news", origin=session.caused())

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        for name in "ab":
            await runtime.create(f"live:{name}")
        for how, chain in (("ask", ("live:a",)), ("tell", ())):
            await runtime.tell("live:a", how, origin=origin)
            await wait_all_tasks_blocked()
            assert seen["live:a"] == origin
            caused = seen["live:b"]
            assert caused is not None
            assert (caused.sender, caused.correlation_id, caused.causation_id) == ("live:a", "conversation", "mine")
            assert (caused.trace, caused.call_chain, caused.message_id) == (origin.trace, chain, "")


@pytest.mark.parametrize(
    "origin",
    [
        "somebody",
        Origin("\ud800"),
        Origin(correlation_id="x" * 1001),
        Origin("x" * 400, "x" * 400, "x" * 400),
        Origin(trace=(("a", "x" * 1000),)),
        Origin(trace="text"),  # type: ignore[arg-type]
        Origin(trace=(("a",),)),  # type: ignore[arg-type]
        Origin(7),  # type: ignore[arg-type]
        Origin(call_chain=["live:a"]),  # type: ignore[arg-type]
    ],
    ids=range(9),
)
async def test_an_origin_cannot_carry_what_a_payload_may_not(origin: Any, autojump_clock: MockClock) -> None:  # noqa: ANN401 - bad input
    """It counts among the bytes of its message, and holds nothing but text."""
    limits = Limits(message_bytes_max=1000)
    async with checked_runtime(agent(ScriptedAgent(), receive=Slow().receive), limits=limits) as runtime:
        chat_id = await runtime.create()
        with pytest.raises(InvalidEnvelopeError, match="origin is"):
            await runtime.tell(chat_id, "hello", origin=origin)
        assert runtime.statistics().closed


async def test_m3_what_users_said_is_never_dropped_for_a_kind(autojump_clock: MockClock) -> None:
    """Durable messages wait for their receipt beside a flood of typing, and every one of them gets its turn."""
    receipts: list[int] = []
    scripted = ScriptedAgent((Wait(0.1),))
    slow = Slow()
    limits = Limits(mailbox_messages_max=4)
    async with checked_runtime(agent(scripted, receive=slow.receive, kinds=KINDS), limits=limits) as runtime:
        chat_id = await runtime.create()

        async def send(number: int) -> None:
            receipts.append((await runtime.send(chat_id, f"message {number}")).turn)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(send, number)
                for _ in range(20):
                    try:
                        runtime.tell_nowait(chat_id, "typing", kind="typing")
                    except OverloadedError:
                        await trio.lowlevel.checkpoint()
        assert sorted(receipts) == list(range(1, 21))
        await trio.sleep(10)
        assert runtime.statistics().turns == {"completed": 20}
