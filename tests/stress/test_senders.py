"""Those who send know what must be true of what they are told, and object when it is not."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from actors.core.events import Event, TurnStarted
from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.core.stream import Gap
from actors.errors import RefusedError
from actors.runtime.agent import agent
from actors.runtime.facade import Runtime
from actors.runtime.turn import Turn
from actors.stress.agents import LoadAgent
from actors.stress.plan import Load, Role
from actors.stress.records import AnyLine, Buried, Dooms, Refused, Sent, Took, Wrong
from actors.stress.senders import Senders, invalid_calls
from actors.testing import checked_runtime

CHAT = ChatId("live:stress.00000")
LOAD = Load(sessions=1, rate=10.0, duration_s=5.0, churn=2.0)


@asynccontextmanager
async def sending(
    role: Role = Role.HEALTHY, answer: Callable[[Turn], object] | None = None, load: Load = LOAD
) -> AsyncIterator[tuple[Senders, Runtime, list[AnyLine]]]:
    """Send to a runtime with one session in a role, for as long as the load says once the block is left."""
    told: list[AnyLine] = []
    performer = LoadAgent(load, {CHAT: role})
    performing = agent(answer or performer.answer, receive=performer.receive)  # type: ignore[arg-type]  # async functions
    async with checked_runtime(performing, limits=Limits(cancel_grace_s=0.5, mailbox_messages_max=8)) as runtime:
        senders = Senders(load, runtime, told.append)
        yield senders, runtime, told


async def run_for(senders: Senders, seconds: float, *calls: Callable[[], object]) -> None:
    """Run calls for a while, and let them come to their ends."""
    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(call)  # type: ignore[arg-type]  # async functions
        await trio.sleep(seconds)
        senders.over.set()


def wrongs(told: list[AnyLine]) -> list[str]:
    """Pick the complaints."""
    return [line.what for line in told if isinstance(line, Wrong)]


@pytest.mark.parametrize(
    "role", [Role.HEALTHY, Role.DUPLICATE, Role.CANCELLING, Role.HANGING, Role.SHIELDED, Role.CRASHING]
)
async def test_whatever_its_role_a_sender_has_no_complaint_of_a_good_runtime(
    role: Role, autojump_clock: MockClock
) -> None:
    """Everything is announced before it is sent, and each message comes to a receipt or a refusal."""
    async with sending(role) as (senders, _, told):
        await run_for(senders, 5.0, lambda: senders.converse(CHAT, role, 1, ()))
    assert wrongs(told) == []
    sent = {line.number for line in told if isinstance(line, Sent)}
    settled = {line.number for line in told if isinstance(line, Took | Refused)}
    assert sent == settled
    assert len(sent) > 3
    assert sorted(sent) == list(range(1, len(sent) + 1))
    assert senders.counts["turns"] > 0


async def test_a_sender_goes_on_where_an_earlier_life_ended(autojump_clock: MockClock) -> None:
    """What nobody knows of is sent first, under the key that it has."""
    async with sending() as (senders, runtime, told):
        await run_for(senders, 1.0, lambda: senders.converse(CHAT, Role.HEALTHY, 7, (3, 5)))
        page = await runtime.history(CHAT)
    assert [line.number for line in told if isinstance(line, Sent)][:3] == [3, 5, 7]
    assert [message.message_id for message in page.messages if message.role == "user"][:3] == ["m3", "m5", "m7"]


async def test_a_sender_ends_after_so_many_messages(autojump_clock: MockClock) -> None:
    """Though there is time left."""
    async with sending(load=Load(sessions=1, rate=10.0, count=4)) as (senders, _, told):
        await senders.converse(CHAT, Role.HEALTHY, 1, ())
    assert [line.number for line in told if isinstance(line, Sent)] == [1, 2, 3, 4]


async def test_an_answer_that_is_another_is_a_complaint(autojump_clock: MockClock) -> None:
    """A healthy session was touched, whoever did it."""

    async def mumble(turn: Turn) -> None:
        await turn.write("something else")

    async with sending(answer=mumble) as (senders, _, told):
        await run_for(senders, 0.3, lambda: senders.converse(CHAT, Role.HEALTHY, 1, ()))
    assert wrongs(told)[0] == f"{CHAT} message 1 came to completed "


async def test_a_refusal_of_a_healthy_session_is_a_complaint(autojump_clock: MockClock) -> None:
    """It had room and time for everything."""
    async with sending() as (senders, runtime, told):
        await runtime.create(CHAT)
        await runtime.delete(CHAT)
        senders.over.set()
        await senders._say(CHAT, Role.HEALTHY, 1)  # noqa: SLF001 - one message
    assert wrongs(told) == [f"{CHAT} message 1 was refused: deleted_chat"]
    assert [type(line) for line in told] == [Sent, Refused, Wrong]


@pytest.mark.rule("promise_2", "pack_7")
async def test_every_invalid_call_is_refused_and_touches_nothing(autojump_clock: MockClock) -> None:
    """Addresses, texts, keys, deadlines and payloads of every bad kind."""
    async with sending() as (_, runtime, _):
        await runtime.create(CHAT)
        before = runtime.inspect(CHAT)
        calls = invalid_calls(runtime)
        for what, call in calls:
            with pytest.raises(RefusedError):
                await call()
                pytest.fail(what)
        assert runtime.inspect(CHAT) == before
        assert runtime.statistics().refused == len(calls) > 30
        assert runtime.statistics().sessions_known == 1


async def test_what_is_not_refused_though_it_must_be_is_a_complaint(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call that everybody takes."""

    async def take() -> None:
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr("actors.stress.senders.invalid_calls", lambda _: [("this", take)])
    async with sending() as (senders, _, told):
        await run_for(senders, 0.1, lambda: senders.offend(0))
    assert set(wrongs(told)) == {"this was not refused"}


@pytest.mark.rule("pitfall_4")
async def test_a_flood_is_refused_for_want_of_room_and_nothing_else(autojump_clock: MockClock) -> None:
    """And is counted, both what was taken and what was not."""
    async with sending(Role.FLOODED) as (senders, runtime, told):
        await run_for(senders, 0.5, lambda: senders.flood(CHAT))
        assert runtime.statistics().refused == senders.counts["flood refused"] > 1000
        assert runtime.statistics().dropped == {"mailbox_full": senders.counts["flood refused"]}
    assert senders.counts["flooded"] > 8
    assert wrongs(told) == []


@pytest.mark.rule("promise_5")
async def test_watchers_leave_and_come_back_and_miss_nothing(autojump_clock: MockClock) -> None:
    """Those that read and those that do not."""
    async with sending() as (senders, _, told):
        await run_for(
            senders,
            30.0,
            lambda: senders.converse(CHAT, Role.HEALTHY, 1, ()),
            *[lambda number=number: senders.watch((CHAT,), number) for number in range(10)],
        )
    assert wrongs(told) == []
    assert senders.counts["items"] > 100
    assert senders.counts["resumes"] > 10


async def test_a_stream_with_a_hole_is_a_complaint(autojump_clock: MockClock) -> None:
    """A number left out, a number twice, an event of another chat, a gap."""
    async with sending() as (senders, _, told):
        for seen, chat_id, seq in ((3, CHAT, 5), (3, CHAT, 3), (3, ChatId("live:b"), 4)):
            senders._check(CHAT, {CHAT: seen}, Event(chat_id, seq, 1, 0.0, TurnStarted(1, 1)))  # noqa: SLF001 - one item
        senders._check(CHAT, {}, Gap(CHAT, 1, 2))  # noqa: SLF001 - as above
        good = {CHAT: 3}
        senders._check(CHAT, good, Event(CHAT, 4, 1, 0.0, TurnStarted(1, 1)))  # noqa: SLF001 - as above
        assert good == {CHAT: 4}
    assert len(wrongs(told)) == 4


@pytest.mark.rule("promise_path_33", "promise_path_34", "promise_path_37")
async def test_sessions_come_and_go_and_stay_gone(autojump_clock: MockClock) -> None:
    """Those of this life, and those that an earlier one was busy with."""
    async with sending() as (senders, runtime, told):
        await runtime.create("live:churn.0.1")
        await runtime.create("live:churn.0.2")
        await runtime.delete("live:churn.0.2")
        await runtime.create("draft:drafted.0.3")
        left = {"live:churn.0.1": (1,), "live:churn.0.2": (1,), "live:drafted.0.3": (1,)}
        await run_for(senders, 5.0, lambda: senders.come_and_go(1, left))
        assert await runtime.sessions() == ()
    assert wrongs(told) == []
    doomed = [line.chat_id for line in told if isinstance(line, Dooms)]
    assert doomed == [line.chat_id for line in told if isinstance(line, Buried)]
    assert doomed[:4] == [*left, "live:drafted.1.0"]
    assert len(doomed) > 5
    assert senders.counts["migrations"] > 1


@pytest.mark.rule("P3")
async def test_sessions_are_put_away_between_messages_and_nobody_notices(autojump_clock: MockClock) -> None:
    """They come up again with the next one."""
    load = Load(sessions=1, rate=5.0, passivating=50.0)
    async with sending(load=load) as (senders, runtime, told):
        await run_for(
            senders, 5.0, lambda: senders.converse(CHAT, Role.HEALTHY, 1, ()), lambda: senders.put_away((CHAT,))
        )
        assert runtime.statistics().activations > 5
    assert wrongs(told) == []
    assert senders.counts["put away"] > 10
