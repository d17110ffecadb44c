"""A task that does not end when it is told to holds nobody up: it is named and counted, and nothing of it lands."""

from io import BytesIO

import pytest
import trio
from trio.testing import MockClock

from actors import HandlerError, Limits, Runtime, Session, agent
from actors.runtime.agent import Agent
from actors.store.memory import MemoryJournal
from actors.testing import (
    IgnoreCancel,
    Say,
    ScriptedAgent,
    Shield,
    VirtualClock,
    canonical,
    checked_runtime,
    records_of,
    settle,
)

CHAT = "live:a"
LIMITS = Limits(kill_s=2.0, cancel_grace_s=1.0, phase_s=1.0, handler_s=4.0)


class Stubborn:
    """A handler that does not hear a cancellation while it is told to stay."""

    def __init__(self, seconds: float) -> None:
        """Stay for so long."""
        self.seconds = seconds
        self.handled: list[tuple[int, object]] = []
        self.left: list[int] = []

    async def receive(self, session: Session, payload: object) -> object:
        """Handle a message, or stay."""
        if payload == "stay":
            with trio.CancelScope(shield=True):
                await trio.sleep(self.seconds)
            self.left.append(session.incarnation)
        self.handled.append((session.incarnation, payload))
        return payload

    def agent(self) -> Agent:
        """Make an agent whose handler this is."""
        return agent(ScriptedAgent(), receive=self.receive)


async def away(runtime: Runtime) -> None:
    """Wait until no zombie is left, so that the runtime can be checked."""
    while runtime.zombies():
        await trio.sleep(0.1)


async def test_l4_a_handler_that_hears_no_cancellation_is_a_zombie_and_a_new_incarnation_serves(
    autojump_clock: MockClock,
) -> None:
    """The messages behind it are handled, once and in order, long before the old task lets go."""
    stubborn, log = Stubborn(60.0), BytesIO()
    async with checked_runtime(stubborn.agent(), limits=LIMITS, log=log) as runtime:
        await runtime.create(CHAT)
        for payload in ("stay", "one", "two", "three"):
            await runtime.tell(CHAT, payload)
        await trio.sleep(20.0)
        assert stubborn.handled == [(2, "one"), (2, "two"), (2, "three")]
        (zombie,) = runtime.zombies()
        assert (zombie.chat_id, zombie.incarnation, zombie.turn) == (CHAT, 1, None)
        assert "sleep" in zombie.place or "_async_yield" in zombie.place or "wait_task" in zombie.place
        assert runtime.statistics().zombies == 1
        assert runtime.inspect(CHAT).last_exit == "crashed" or runtime.inspect(CHAT).last_exit == "killed"
        await away(runtime)
        await runtime.tell(CHAT, "after")
        await settle(runtime)
        assert runtime.statistics().zombies == 0
        assert stubborn.left == [1]
    assert stubborn.handled == [*[(2, each) for each in ("one", "two", "three")], (1, "stay"), (2, "after")]
    assert [record["incarnation"] for record in records_of(log) if record["event"] == "session.zombie"] == [1]


@pytest.mark.parametrize("how", ["stop", "delete"])
async def test_l4_a_session_whose_handler_stays_is_stopped_and_deleted_in_bounded_time(
    how: str, autojump_clock: MockClock
) -> None:
    """After the grace it is killed, after ``kill_s`` its task is a zombie, and the caller is answered."""
    stubborn = Stubborn(60.0)
    async with checked_runtime(stubborn.agent(), limits=Limits(kill_s=2.0, cancel_grace_s=1.0, phase_s=1.0)) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "stay")
        await trio.sleep(0.1)
        began_s = trio.current_time()
        await (runtime.stop(CHAT) if how == "stop" else runtime.delete(CHAT))
        assert trio.current_time() - began_s <= 4.1
        assert len(runtime.zombies()) == 1
        if how == "stop":
            assert await runtime.ask(CHAT, "hello") == "hello", "a new incarnation serves at once"
        await away(runtime)


async def test_l4_who_asked_a_zombie_is_answered_and_its_late_answer_goes_nowhere(autojump_clock: MockClock) -> None:
    """The outcome is unknown, and the asker does not wait for the deadline."""
    stubborn = Stubborn(60.0)
    async with checked_runtime(stubborn.agent(), limits=LIMITS) as runtime:
        await runtime.create(CHAT)
        with pytest.raises(HandlerError) as caught:
            await runtime.ask(CHAT, "stay", timeout_s=50.0)
        assert caught.value.outcome == "unknown"
        assert trio.current_time() < 10.0
        await away(runtime)
        await settle(runtime)
        assert runtime.statistics().late_replies == 1


async def test_l4_no_word_of_a_zombie_turn_lands(autojump_clock: MockClock) -> None:
    """A turn that was given up writes into nothing: the journal is what it would have been without it."""
    stored: list[bytes] = []
    for steps in ([IgnoreCancel(30.0, "from the grave")], [Shield(30.0), Say("from the grave")]):
        journal = MemoryJournal()
        scripted = ScriptedAgent([Say("fine")], {(CHAT, 1): [Say("half"), *steps]})
        async with checked_runtime(scripted, store=journal, limits=LIMITS, clock=VirtualClock(1)) as runtime:
            await runtime.create(CHAT)
            receipt = await runtime.send(CHAT, "hello", message_id="first")
            await trio.sleep(0.5)
            assert (await receipt.cancel()).status == "cancelled"
            (zombie,) = runtime.zombies()
            assert (zombie.chat_id, zombie.turn) == (CHAT, 1)
            assert (await (await runtime.send(CHAT, "again", message_id="second")).result()).text == "fine"
            before = await canonical(journal, CHAT)
            await away(runtime)
            assert runtime.statistics().abandoned == 1
            assert await canonical(journal, CHAT) == before
            stored.append(before)
    assert b"grave" not in stored[0]
    assert stored[0] == stored[1]


async def test_l4_a_turn_of_a_killed_incarnation_is_a_zombie_until_it_ends(autojump_clock: MockClock) -> None:
    """Its session has restarted and settled the turn; what the agent still says is refused."""
    scripted = ScriptedAgent([Say("fine")], {(CHAT, 1): [Say("half"), Shield(30.0), Say("from the grave")]})
    journal = MemoryJournal()

    async def receive(_: Session, __: object) -> None:
        await trio.sleep_forever()

    async with checked_runtime(agent(scripted, receive=receive), store=journal, limits=LIMITS) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(0.5)
        await runtime.tell(CHAT, "hang")
        assert (await receipt.result()).status == "interrupted"
        await trio.sleep(3.0)
        assert [zombie.turn for zombie in runtime.zombies()] == [1]
        before = await canonical(journal, CHAT)
        await away(runtime)
        await settle(runtime)
        assert await canonical(journal, CHAT) == before
        assert runtime.statistics().late_output == 1


async def test_l4_a_task_that_ends_in_time_is_no_zombie(autojump_clock: MockClock) -> None:
    """A clean-up that is shorter than ``kill_s`` is waited for."""
    stubborn = Stubborn(3.0)
    async with checked_runtime(stubborn.agent(), limits=Limits(kill_s=2.0, cancel_grace_s=1.0, phase_s=1.0)) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "stay")
        await trio.sleep(0.1)
        await runtime.stop(CHAT)
        assert runtime.zombies() == ()
        assert runtime.statistics().zombies == 0
