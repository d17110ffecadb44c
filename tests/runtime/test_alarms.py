"""What is out of order is said once, with its place, and said to be over once it is; by looking, never per message."""

from io import BytesIO

import pytest
import trio
from trio.testing import MockClock

from actors import AlarmKind, Limits, Runtime, Session, Turn, UnavailableError, agent
from actors.testing import Ask, Hang, Raise, Say, ScriptedAgent, Wait, checked_runtime, records_of, settle

CHAT = "live:a"


def kinds(runtime: Runtime) -> list[tuple[str, str]]:
    """Name the alarms that are on, each with its session."""
    return [(str(alarm.kind), alarm.chat_id) for alarm in runtime.alarms()]


async def test_i3_a_mailbox_that_fills_up_and_its_oldest_message_are_alarms(autojump_clock: MockClock) -> None:
    """Each when its limit is reached; both are over when the session goes on, and the log has said so."""
    go, log = trio.Event(), BytesIO()

    async def receive(_: Session, payload: object) -> None:
        if payload == "wait":
            await go.wait()

    limits = Limits(mailbox_messages_max=10, alarm_age_s=20.0, handler_s=1000.0)
    async with checked_runtime(agent(ScriptedAgent(), receive=receive), limits=limits, log=log) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "wait")
        await trio.sleep(0.1)
        for _ in range(8):
            await runtime.tell(CHAT, "x")
        await trio.sleep(2.0)
        assert kinds(runtime) == [("queue_length", CHAT)]
        await trio.sleep(15.0)
        assert kinds(runtime) == [("queue_length", CHAT)]
        await trio.sleep(10.0)
        assert kinds(runtime) == [("queue_length", CHAT), ("message_age", CHAT)]
        assert runtime.statistics().alarms == 2
        go.set()
        await trio.sleep(20.0)
        assert runtime.alarms() == ()
        assert runtime.statistics().alarms_raised == 2
    said = [(each["event"], each["kind"]) for each in records_of(log) if each["event"].startswith("alarm.")]
    assert said == [
        ("alarm.raised", "queue_length"),
        ("alarm.raised", "message_age"),
        ("alarm.cleared", "queue_length"),
        ("alarm.cleared", "message_age"),
    ]


async def test_i3_a_mailbox_that_moves_is_not_old(autojump_clock: MockClock) -> None:
    """Messages that come and go keep a box filled, and none of them is there for long."""

    async def receive(_: Session, __: object) -> None:
        await trio.sleep(1.0)

    async with checked_runtime(agent(ScriptedAgent(), receive=receive), limits=Limits(alarm_age_s=10.0)) as runtime:
        await runtime.create(CHAT)
        for _ in range(5):
            await runtime.tell(CHAT, "x")
        for _ in range(100):
            await runtime.tell(CHAT, "x")
            await trio.sleep(1.0)
        assert runtime.statistics().alarms_raised == 0


async def test_t3_a_turn_without_progress_is_an_alarm_that_names_its_place(autojump_clock: MockClock) -> None:
    """After the soft limit, which cancels nothing; the hard one is another."""
    async with checked_runtime(ScriptedAgent([Say("half"), Hang()]), open_turns=True) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(29.0)
        assert runtime.alarms() == ()
        await trio.sleep(4.0)
        (alarm,) = runtime.alarms()
        assert (alarm.kind, alarm.chat_id) == (AlarmKind.TURN_AGE, CHAT)
        assert alarm.place != "unknown"
        assert runtime.inspect(CHAT).running_turn == 1
        await receipt.cancel()
        await trio.sleep(20.0)
        assert runtime.alarms() == ()


@pytest.mark.rule("promise_path_31")
async def test_t3_a_turn_that_does_nothing_is_an_alarm_first_and_ended_when_its_time_is_up(
    autojump_clock: MockClock,
) -> None:
    """The soft limit tells, the hard one acts."""
    async with checked_runtime(ScriptedAgent([Hang()]), limits=Limits(soft_turn_s=10.0, turn_s=60.0)) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(15.0)
        assert kinds(runtime) == [("turn_age", CHAT)]
        result = await receipt.result()
        assert (result.status, result.reason) == ("failed", "deadline")
        assert 60.0 <= trio.current_time() < 61.0
        await trio.sleep(15.0)
        assert runtime.alarms() == ()


async def test_t3_text_calls_and_progress_each_put_the_soft_limit_off(autojump_clock: MockClock) -> None:
    """A stream that goes on is not stuck, and a turn that waits for a person is not either."""

    async def answer(turn: Turn) -> None:
        for _ in range(4):
            await trio.sleep(20.0)
            await turn.write("x")
            await trio.sleep(20.0)
            await turn.progress("still", "here")
            await trio.sleep(20.0)
            await turn.call("look")

    scripted = ScriptedAgent([Ask("well?")])
    for agent_under_test in (answer, scripted):
        async with checked_runtime(agent_under_test, open_turns=True) as runtime:
            await runtime.create(CHAT)
            await runtime.send(CHAT, "hello")
            await trio.sleep(300.0)
            assert runtime.statistics().alarms_raised == 0


async def test_i3_quarantine_restarts_and_dead_letters_are_alarms(autojump_clock: MockClock) -> None:
    """The one of its session, the others of the runtime."""
    limits = Limits(restarts_max=2, alarm_restarts_max=2, alarm_dead_letters_max=5, stable_s=0.0)
    async with checked_runtime(ScriptedAgent([Raise(ValueError)]), limits=limits) as runtime:
        await runtime.create(CHAT)
        for _ in range(3):
            await (await runtime.send(CHAT, "hello")).result()
            await settle(runtime)
        assert runtime.inspect(CHAT).phase == "quarantined"
        for _ in range(6):
            try:
                await runtime.send(CHAT, "hello")
            except UnavailableError as error:
                assert error.reason == "quarantined"
        await trio.sleep(2.0)
        assert set(kinds(runtime)) == {("quarantine", CHAT), ("restart_rate", ""), ("dead_letter_rate", "")}
        runtime.release(CHAT)
        await trio.sleep(100.0)
        assert runtime.alarms() == ()


async def test_i3_a_paused_fleet_is_an_alarm(autojump_clock: MockClock) -> None:
    """For as long as restarts wait."""
    scripts = ScriptedAgent([Raise(ConnectionError)])
    limits = Limits(fleet_sessions_min=2, backoff_first_s=5.0)
    async with checked_runtime(scripts, limits=limits) as runtime:
        for name in ("live:a", "live:b"):
            await runtime.create(name)
            await (await runtime.send(name, "hello")).result()
        await trio.sleep(2.0)
        assert ("fleet_breaker", "") in kinds(runtime)
        await trio.sleep(60.0)
        assert runtime.alarms() == ()


async def test_i3_a_runtime_at_rest_has_no_alarm_however_long(autojump_clock: MockClock) -> None:
    """And remembers nothing of the sessions that are quiet."""
    async with checked_runtime(ScriptedAgent([Wait(0.5), Say("ok")])) as runtime:
        for number in range(1200):  # more than are looked at in one step
            await runtime.create(f"live:{number}")
        for _ in range(3):
            await (await runtime.send("live:0", "hello")).result()
            await trio.sleep(100.0)
        assert runtime.statistics().alarms_raised == 0
        assert runtime._alarms._letters == {}  # noqa: SLF001 - what is remembered is nobody else's business
        assert runtime._alarms._turns == {}  # noqa: SLF001 - as above
