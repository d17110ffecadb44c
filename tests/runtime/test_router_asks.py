"""An ask inside an ask waits no longer than the one outside, and says what it knows."""

import pytest
import trio
from trio.testing import MockClock

from actors import AskError, AskTimeoutError, HandlerError, Session, agent
from actors.testing import ScriptedAgent, checked_runtime


@pytest.mark.parametrize(("inner_s", "given_up_s"), [(60.0, 2.0), (None, 2.0), (1.0, 1.0)])
async def test_a1_an_ask_inside_an_ask_ends_with_it_at_the_latest(
    inner_s: float | None, given_up_s: float, autojump_clock: MockClock
) -> None:
    """The smaller of both deadlines holds; nobody goes on asking for somebody who has gone."""
    ended: list[float] = []

    async def receive(session: Session, payload: object) -> None:
        if payload == "hang":
            await trio.sleep(10)
            return
        assert session.deadline_s == began_s + 2.0
        try:
            await runtime.ask("live:b", "hang", timeout_s=inner_s, session=session)
        except AskTimeoutError as error:
            ended.append(trio.current_time() - began_s)
            assert error.outcome == "unknown"
            raise

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        for name in "ab":
            await runtime.create(f"live:{name}")
        began_s = trio.current_time()
        with pytest.raises(AskError) as caught:
            await runtime.ask("live:a", "go", timeout_s=2.0)
        assert isinstance(caught.value, HandlerError if given_up_s < 2.0 else AskTimeoutError | HandlerError)
        await trio.sleep(60)
        assert ended == [pytest.approx(given_up_s)]


async def test_a1_a_message_without_a_deadline_bounds_nothing(autojump_clock: MockClock) -> None:
    """An ask from the handler of a plain message has its own deadline, or the one of the limits."""
    took: list[float] = []

    async def receive(session: Session, payload: object) -> None:
        if payload == "hang":
            await trio.sleep(20)
            return
        assert session.deadline_s is None
        began_s = trio.current_time()
        with pytest.raises(AskTimeoutError):
            await runtime.ask("live:b", "hang", session=session)
        took.append(trio.current_time() - began_s)

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        for name in "ab":
            await runtime.create(f"live:{name}")
        await runtime.tell("live:a", "go")
        await trio.sleep(60)
        assert took == [pytest.approx(5.0)]
