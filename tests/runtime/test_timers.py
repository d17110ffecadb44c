"""Volatile timers: keyed, bound to their incarnation, never overlapping, and a part of the user lane."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.errors import ConfigurationError
from actors.runtime.agent import Agent, Session, agent
from actors.runtime.facade import Runtime
from actors.testing import VirtualClock, checked_runtime

CHAT = ChatId("live:42")
Handle = Callable[[Session, object], Awaitable[object]]


class Clockwork:
    """An agent that does what it is told with its timers, and notes every tick with its time."""

    def __init__(self, *, tick_s: float = 0.0) -> None:
        """Take ``tick_s`` seconds for each tick."""
        self.tick_s = tick_s
        self.ticks: list[tuple[object, float]] = []
        self.seen: list[object] = []
        self.fail_at = 0

    @property
    def agent(self) -> Agent:
        """The agent as the runtime wants it."""

        async def answer(_: object) -> None:
            pass

        return agent(answer, receive=self.receive)

    async def receive(self, session: Session, payload: object) -> object:
        """Start or stop a timer, or note a tick."""
        self.seen.append(payload)
        origin = session.origin
        if origin is not None and origin.sender == "timer":
            self.ticks.append((payload, round(trio.current_time(), 3)))
            if self.fail_at == len(self.ticks):
                raise ValueError
            await trio.sleep(self.tick_s)
        elif isinstance(payload, dict) and "stop" in payload:
            return session.stop_timer(payload["stop"])
        elif isinstance(payload, dict):
            session.start_timer(**payload)
        return None

    @property
    def times(self) -> list[float]:
        """When ticks were handled."""
        return [at_s for _, at_s in self.ticks]


async def start(runtime: Runtime, **options: Any) -> None:  # noqa: ANN401 - passed on to the timer, whatever they are
    """Have the session start a timer."""
    await runtime.ask(CHAT, options)


async def test_r1_a_tick_is_a_message_with_its_payload(autojump_clock: MockClock) -> None:
    """Once after a time, or again and again; a payload comes as a fresh copy each time."""
    work = Clockwork()
    async with checked_runtime(work.agent) as runtime:
        await runtime.create(CHAT)
        await start(runtime, key="once", after_s=3.0, payload="boo")
        await start(runtime, key="often", every_s=2.0, payload=["a", {"b": 1}])
        await trio.sleep(5.0)
        assert await runtime.ask(CHAT, {"stop": "often"}) is True
        assert await runtime.ask(CHAT, {"stop": "once"}) is False
        await trio.sleep(5.0)
        assert work.ticks == [(["a", {"b": 1}], 2.0), ("boo", 3.0), (["a", {"b": 1}], 4.0)]
        lists = [payload for payload, _ in work.ticks if isinstance(payload, list)]
        assert lists[0] is not lists[1]
        statistics = runtime.statistics()
        assert (statistics.timers, statistics.timer_ticks, statistics.closed) == (0, 3, True)


async def test_r1_a_timer_never_overlaps_and_counts_from_completion(autojump_clock: MockClock) -> None:
    """A handler that takes longer than the period is not chased by its own timer."""
    work = Clockwork(tick_s=3.0)
    async with checked_runtime(work.agent) as runtime:
        await runtime.create(CHAT)
        await start(runtime, key="slow", every_s=1.0)
        await trio.sleep(13.5)
        assert work.times == [1.0, 5.0, 9.0, 13.0]
        await runtime.ask(CHAT, {"stop": "slow"})


async def test_r1_a_tick_waits_in_the_user_lane_like_any_message(autojump_clock: MockClock) -> None:
    """Behind what was there before it, and handled also while a turn runs."""
    work = Clockwork()
    async with checked_runtime(work.agent) as runtime:
        await runtime.create(CHAT)
        await start(runtime, key="tick", after_s=1.0, payload="tick")
        await trio.sleep(0.999)
        work.tick_s = 0.0

        async def slow(session: Session, payload: object) -> object:
            work.seen.append(payload)
            if payload == "first":
                await trio.sleep(2.0)
            return None

        kept, work.receive = work.receive, slow  # type: ignore[method-assign]  # what follows is handled by it
        del kept
        await runtime.tell(CHAT, "before")
        await trio.sleep(0.5)
        assert work.seen[1:] == ["before", "tick"]


async def test_r1_a_timer_ends_with_its_incarnation(autojump_clock: MockClock) -> None:
    """After a crash or a stop no tick comes; one that was in the mailbox already is discarded."""
    work = Clockwork()
    async with checked_runtime(work.agent) as runtime:
        await runtime.create(CHAT)
        await start(runtime, key="tick", every_s=1.0, payload="tick")
        await trio.sleep(2.5)
        work.fail_at = 3
        await trio.sleep(60.0)
        assert work.times == [1.0, 2.0, 3.0]
        assert runtime.inspect(CHAT).incarnation == 2
        assert runtime.statistics().timers == 0
        work.fail_at = 0
        await start(runtime, key="tick", every_s=1.0, payload="tick")
        await runtime.stop(CHAT)
        await trio.sleep(10.0)
        assert len(work.ticks) == 3


async def test_r1_a_tick_of_an_older_incarnation_is_discarded(autojump_clock: MockClock) -> None:
    """Also one that its handler had set aside, and one that waits behind the message that ends the incarnation."""
    ticks: list[int] = []

    async def receive(session: Session, payload: object) -> object:
        if payload == "start":
            session.start_timer(f"tick{len(ticks)}", after_s=1.0, payload="tick")
        elif payload == "tick":
            ticks.append(session.incarnation)
            session.stash()
        elif payload == "crash":
            await trio.sleep(2.0)
            raise ValueError
        return None

    async def answer(_: object) -> None:
        pass

    async with checked_runtime(agent(answer, receive=receive)) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "start")
        await trio.sleep(2.0)
        await runtime.tell(CHAT, "start")
        await runtime.tell(CHAT, "crash")
        await trio.sleep(60.0)
        assert ticks == [1]
        assert runtime.statistics().letters.withdrawn == 2


async def test_r1_a_timer_of_the_same_key_is_replaced(autojump_clock: MockClock) -> None:
    """Two of different keys do not know each other."""
    work = Clockwork()
    async with checked_runtime(work.agent) as runtime:
        await runtime.create(CHAT)
        await start(runtime, key="a", after_s=1.0, payload="old")
        await start(runtime, key="a", after_s=2.0, payload="new")
        await start(runtime, key="b", after_s=1.0, payload="other")
        await trio.sleep(5.0)
        assert work.ticks == [("other", 1.0), ("new", 2.0)]


@pytest.mark.parametrize("jump_s", [86_400.0, -86_400.0])
async def test_r1_a_jump_of_wall_time_is_nothing_to_a_timer(jump_s: float, autojump_clock: MockClock) -> None:
    """It counts on a clock that only goes forwards."""
    work, clock = Clockwork(), VirtualClock(1)
    async with checked_runtime(work.agent, clock=clock) as runtime:
        await runtime.create(CHAT)
        await start(runtime, key="tick", every_s=2.0)
        await trio.sleep(3.0)
        clock.jump(jump_s)
        await trio.sleep(6.0)
        assert work.times == [2.0, 4.0, 6.0, 8.0]
        await runtime.ask(CHAT, {"stop": "tick"})


async def test_a_timer_that_is_stopped_takes_its_waiting_tick_back(autojump_clock: MockClock) -> None:
    """Nothing comes after the stop, also what was in the mailbox already; the sums stay right."""
    seen: list[object] = []

    async def receive(session: Session, payload: object) -> object:
        seen.append(payload)
        if payload == "start":
            session.start_timer("tick", every_s=1.0, payload="tick")
            await trio.sleep(0.5)
        elif payload == "busy":
            await trio.sleep(5.0)
            assert session.stop_timer("tick") is True
        return None

    async def answer(_: object) -> None:
        pass

    async with checked_runtime(agent(answer, receive=receive)) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "start")
        await runtime.tell(CHAT, "busy")
        await trio.sleep(3.0)
        assert runtime.inspect(CHAT).mailbox_messages == 1
        await trio.sleep(10.0)
        assert seen == ["start", "busy"]
        assert runtime.statistics().letters.withdrawn == 1


async def test_a_tick_that_finds_no_room_is_tried_again(autojump_clock: MockClock) -> None:
    """A full mailbox puts a tick off; it neither blocks the clockwork nor breaks a sum."""
    seen: list[object] = []

    async def receive(session: Session, payload: object) -> object:
        seen.append(payload)
        if payload == "start":
            session.start_timer("tick", after_s=1.0, payload="tick")
        elif payload == "busy":
            await trio.sleep(5.0)
        return None

    async def answer(_: object) -> None:
        pass

    async with checked_runtime(agent(answer, receive=receive), limits=Limits(mailbox_messages_max=2)) as runtime:
        await runtime.create(CHAT)
        await runtime.ask(CHAT, "start")
        await runtime.tell(CHAT, "busy")
        await trio.sleep(0.1)
        await runtime.tell(CHAT, "x")
        await runtime.tell(CHAT, "y")
        await trio.sleep(10.0)
        assert seen == ["start", "busy", "x", "y", "tick"]
        assert runtime.statistics().dropped == {}


async def test_a_rejected_tick_does_not_end_its_timer(autojump_clock: MockClock) -> None:
    """A rejection is a result, and the session goes on."""
    from actors.errors import Reject  # noqa: PLC0415 - of this test only

    times: list[float] = []

    async def receive(session: Session, payload: object) -> object:
        if payload == "start":
            session.start_timer("tick", every_s=1.0)
            return None
        times.append(trio.current_time())
        raise Reject("no")

    async def answer(_: object) -> None:
        pass

    async with checked_runtime(agent(answer, receive=receive)) as runtime:
        await runtime.create(CHAT)
        await runtime.ask(CHAT, "start")
        await trio.sleep(3.5)
        assert times == [1.0, 2.0, 3.0]
        await runtime.stop(CHAT)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"key": "", "every_s": 1.0}, "key"),
        ({"key": 3, "every_s": 1.0}, "key"),
        ({"key": "a"}, "every_s and after_s"),
        ({"key": "a", "every_s": 1.0, "after_s": 1.0}, "every_s and after_s"),
        ({"key": "a", "every_s": 0.0}, "timer_period_s"),
        ({"key": "a", "after_s": -1.0}, "timer_period_s"),
        ({"key": "a", "after_s": "soon"}, "after_s"),
        ({"key": "a", "every_s": True}, "every_s"),
        ({"key": "a", "every_s": float("nan")}, "every_s"),
        ({"key": "a", "every_s": 1e300}, "every_s"),
        ({"key": "a", "every_s": 1.0, "payload": object()}, "payload"),
    ],
)
async def test_what_is_no_timer_is_refused_with_its_field(
    options: dict[str, Any], word: str, autojump_clock: MockClock
) -> None:
    """The agent's mistake: the error names the field and what to do, and no timer is there."""
    errors: list[ConfigurationError] = []

    async def receive(session: Session, _: object) -> object:
        try:
            session.start_timer(**options)
        except ConfigurationError as error:
            errors.append(error)
        return None

    async def answer(_: object) -> None:
        pass

    async with checked_runtime(agent(answer, receive=receive)) as runtime:
        await runtime.create(CHAT)
        await runtime.ask(CHAT, "go")
        assert runtime.statistics().timers == 0
    assert word in str(errors[0])
    assert errors[0].hint


async def test_a_session_has_so_many_timers_and_no_more(autojump_clock: MockClock) -> None:
    """Everything is bounded; a timer that is replaced is not one more."""
    outcomes: list[str] = []

    async def receive(session: Session, payload: object) -> object:
        try:
            session.start_timer(str(payload), every_s=60.0)
        except ConfigurationError as error:
            outcomes.append(error.hint)
        return None

    async def answer(_: object) -> None:
        pass

    async with checked_runtime(agent(answer, receive=receive), limits=Limits(timers_max=2)) as runtime:
        await runtime.create(CHAT)
        for key in ("a", "b", "a", "c"):
            await runtime.ask(CHAT, key)
        assert outcomes == ["stop one, or raise the limit timers_max"]
        assert runtime.statistics().timers == 2
        await runtime.stop(CHAT)


def test_a_session_that_does_not_run_has_no_timers() -> None:
    """One that a test made by hand says so."""
    session = Session(CHAT, 1)
    assert session.stop_timer("a") is False
    with pytest.raises(ConfigurationError, match="does not run"):
        session.start_timer("a", every_s=1.0)
