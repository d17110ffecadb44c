"""The fleet breaker: many sessions that fail together wait together, and no budget pays for it."""

from io import BytesIO

import trio
from trio.testing import MockClock

from actors import Limits, Session, Turn, agent
from actors.core.limits import Limits as Bounds
from actors.runtime.breaker import Breaker
from actors.runtime.recorder import Recorder
from actors.testing import Hang, Raise, Say, ScriptedAgent, VirtualClock, checked_runtime, records_of, settle


class Backend:
    """What all sessions stand on: while it is down every one of them crashes."""

    def __init__(self) -> None:
        """Begin in order."""
        self.down = False
        self.served: list[str] = []

    async def receive(self, session: Session, payload: object) -> object:
        """Handle a message, or crash with the backend."""
        if self.down or payload == "raise":
            raise ConnectionError
        self.served.append(session.chat_id)
        return payload


async def test_s4_a_fleet_that_fails_together_waits_and_keeps_its_budgets(autojump_clock: MockClock) -> None:
    """A backend that is down for a minute takes nobody into quarantine; when it is back everybody goes on."""
    backend, log = Backend(), BytesIO()
    limits = Limits(restarts_max=2)
    async with checked_runtime(agent(ScriptedAgent(), receive=backend.receive), limits=limits, log=log) as runtime:
        chats = [await runtime.create(f"live:{number}") for number in range(30)]
        backend.down = True
        until_s = trio.current_time() + 60.0
        while trio.current_time() < until_s:
            for chat in chats:
                await runtime.tell(chat, "work")
            await trio.sleep(1.0)
            if trio.current_time() >= until_s:
                backend.down = False
        await settle(runtime)
        statistics = runtime.statistics()
        assert statistics.quarantines == 0
        assert statistics.fleet_pauses > 3
        assert set(backend.served) == set(chats)
    paused = [record for record in records_of(log) if record["event"] == "fleet.paused"]
    assert len(paused) == statistics.fleet_pauses
    assert paused[0]["delay_s"] < paused[2]["delay_s"], "the delays grow"


async def test_s4_a_turn_of_a_session_that_waits_with_the_fleet_is_marked_and_not_run_again(
    autojump_clock: MockClock,
) -> None:
    """A crash is a crash for the turn that it interrupted, whoever pays for it."""

    async def receive(_: Session, __: object) -> None:
        raise ConnectionError

    scripted = ScriptedAgent([Hang()])
    limits = Limits(fleet_sessions_min=2)
    made = agent(scripted, receive=receive, on_interrupted="retry")
    async with checked_runtime(made, limits=limits) as runtime:
        receipts = []
        for name in ("live:a", "live:b"):
            await runtime.create(name)
            receipts.append(await runtime.send(name, "hello"))
        await trio.sleep(0.1)
        for name in ("live:a", "live:b"):
            await runtime.tell(name, "x")
        assert [(await receipt.result()).status for receipt in receipts] == ["interrupted"] * 2
        assert runtime.statistics().fleet_pauses == 1
    assert len(scripted.runs) == 2


async def test_s4_one_crash_loop_beside_healthy_sessions_never_trips_the_breaker(autojump_clock: MockClock) -> None:
    """However often one session fails, it is one of many, and its own budget pays."""
    scripts = {"live:0": [Raise(ValueError)]}
    async with checked_runtime(ScriptedAgent([Say("fine")], scripts)) as runtime:  # type: ignore[arg-type]  # one key
        chats = [await runtime.create(f"live:{number}") for number in range(20)]
        for _ in range(12):
            for chat in chats:
                if runtime.inspect(chat).phase != "quarantined":
                    await runtime.send(chat, "hello")
            await settle(runtime)
        assert runtime.inspect("live:0").phase == "quarantined"
        assert runtime.statistics().fleet_pauses == 0
        assert runtime.statistics().crashes == runtime.statistics().restarts + 1


async def test_s4_a_fifth_of_the_fleet_in_a_crash_loop_is_quarantined_session_by_session(
    autojump_clock: MockClock,
) -> None:
    """Forty of two hundred are not more than a fifth: each pays for itself, and the others are not touched."""

    async def answer(turn: Turn) -> str:
        if turn.text == "sick":
            raise ValueError
        return "fine"

    async with checked_runtime(answer) as runtime:
        chats = [await runtime.create(f"live:{number}") for number in range(200)]
        for chat in chats:
            await runtime.send(chat, "hello")
        await settle(runtime)
        for _ in range(6):
            for receipt in [await runtime.send(chat, "sick") for chat in chats[:40]]:
                await receipt.result()
            await settle(runtime)
        assert runtime.statistics().fleet_pauses == 0
        assert runtime.statistics().quarantines == 40
        healthy = [runtime.inspect(chat) for chat in chats[40:]]
        assert {(each.phase, each.restarts, each.incarnation) for each in healthy} == {("active", 0, 1)}


async def test_s4_the_breaker_remembers_nobody_for_longer_than_its_window(autojump_clock: MockClock) -> None:
    """A session counts once, and is forgotten when its last failure has slid out."""
    clock = VirtualClock()
    breaker = Breaker(Bounds(), clock, Recorder(None, "info", Bounds(), clock))
    for number in range(9):
        assert breaker.failed(f"live:{number}", 9) is None
        assert breaker.failed("live:0", 9) is None
    assert not breaker.paused
    await trio.sleep(11.0)
    assert breaker.failed("live:10", 9) is None
    assert breaker.pauses == 0


async def test_s4_a_pause_forgives_what_led_to_it(autojump_clock: MockClock) -> None:
    """Those who failed first learn with the one who tripped it that it was not their fault."""
    clock = VirtualClock(rolls=[0.5])
    breaker = Breaker(Bounds(), clock, Recorder(None, "info", Bounds(), clock))
    verdicts = [breaker.failed(f"live:{number}", 10) for number in range(10)]
    assert verdicts[:9] == [None] * 9
    joined = verdicts[9]
    assert joined is not None
    assert joined.delay_s == 0.2 + 0.5 * 0.2
    assert joined.forgiven == tuple(f"live:{number}" for number in range(10))
    assert breaker.paused


async def test_s4_a_failure_in_a_pause_looks_at_no_other_session(autojump_clock: MockClock) -> None:
    """All that failed before were forgiven when it began; a fleet of ten thousand would pay its square."""
    clock, limits = VirtualClock(), Bounds()
    breaker = Breaker(limits, clock, Recorder(None, "info", limits, clock))
    joined = [breaker.failed(f"live:{number}", 40) for number in range(40)]
    assert joined[8] is None
    first, *others = [each.forgiven for each in joined[9:] if each is not None]
    assert set(first) == {f"live:{number}" for number in range(10)}
    assert [len(each) for each in others] == [1] * 30
