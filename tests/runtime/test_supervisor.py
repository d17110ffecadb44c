"""A session that crashes is restarted after a delay or given up, alone, and its messages wait for it in order."""

from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from actors import (
    AskError,
    Event,
    Limits,
    OverloadedError,
    ProgressSignal,
    RefusedError,
    Session,
    TurnEnded,
    UnavailableError,
    agent,
)
from actors.core.ids import ChatId
from actors.core.state import SessionState
from actors.runtime.agent import Agent
from actors.store.memory import MemoryJournal
from actors.testing import (
    Fails,
    FaultyJournal,
    Hang,
    Raise,
    Say,
    ScriptedAgent,
    VirtualClock,
    Wait,
    checked_runtime,
    records_of,
    settle,
)

CHAT = ChatId("live:a")


class Fragile:
    """A handler that raises when it is told to, and notes when it handled what."""

    def __init__(self) -> None:
        """Start with nothing handled."""
        self.handled: list[tuple[float, object]] = []

    async def receive(self, session: Session, payload: object) -> object:
        """Handle a message, or raise."""
        if payload == "raise":
            raise ValueError("private")
        self.handled.append((trio.current_time(), payload))
        return session.incarnation

    def agent(self) -> Agent:
        """Make an agent whose handler this is."""
        return agent(ScriptedAgent(), receive=self.receive)


@pytest.mark.rule("S5", "pitfall_31")
async def test_delays_double_from_the_first_to_the_last(autojump_clock: MockClock) -> None:
    """With the dice at their highest each restart waits twice as long, up to the bound."""
    log = BytesIO()
    fragile = Fragile()
    limits = Limits(restarts_max=6, restart_window_s=1000.0, backoff_first_s=0.5, backoff_last_s=4.0)
    async with checked_runtime(fragile.agent(), limits=limits, clock=VirtualClock(rolls=[1.0] * 6), log=log) as runtime:
        await runtime.create(CHAT)
        moments = []
        for number in range(6):
            await runtime.tell(CHAT, "raise")
            await runtime.tell(CHAT, number)
            await settle(runtime)
            moments.append(trio.current_time())
    delays = [record["delay_s"] for record in records_of(log) if record["event"] == "session.restarting"]
    assert delays == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert [payload for _, payload in fragile.handled] == list(range(6))


@pytest.mark.rule("S5", "pitfall_23", "pitfall_31")
async def test_delays_are_drawn_from_the_whole_range_below_their_ceiling(autojump_clock: MockClock) -> None:
    """Sessions that failed together do not come back together."""
    fragile = Fragile()
    limits = Limits(backoff_first_s=10.0, fleet_sessions_min=1000)  # each on its own
    async with checked_runtime(fragile.agent(), limits=limits) as runtime:
        for number in range(200):
            chat_id = await runtime.create(f"live:{number}")
            await runtime.tell(chat_id, "raise")
            await runtime.tell(chat_id, "after")
        await settle(runtime)
    moments = sorted(at_s for at_s, _ in fragile.handled)
    assert len(moments) == 200
    assert moments[0] < 1.0
    assert moments[-1] > 9.0
    assert moments[-1] <= 10.1
    assert all(sum(low <= at_s < low + 2.5 for at_s in moments) > 25 for low in (0.0, 2.5, 5.0, 7.5))


@pytest.mark.rule("M4", "M8")
async def test_messages_wait_in_order_while_their_session_backs_off(autojump_clock: MockClock) -> None:
    """Up to the bound of the mailbox; those beyond it wait for room or are refused, as everywhere."""
    fragile = Fragile()
    limits = Limits(backoff_first_s=10.0, mailbox_messages_max=3)
    async with checked_runtime(fragile.agent(), limits=limits, clock=VirtualClock(rolls=[1.0])) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "raise")
        await wait_all_tasks_blocked()
        assert runtime.inspect(CHAT).phase == "restarting"
        for number in range(3):
            await runtime.tell(CHAT, number)
        with pytest.raises(OverloadedError):
            runtime.tell_nowait(CHAT, "no room")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.tell, CHAT, 3)
            await wait_all_tasks_blocked()
            assert runtime.inspect(CHAT).waiting_senders == 1
        assert await runtime.ask(CHAT, "who are you?") == 2
    assert [payload for _, payload in fragile.handled] == [0, 1, 2, 3, "who are you?"]
    assert fragile.handled[0][0] == pytest.approx(10.0)


@pytest.mark.rule("S5")
async def test_failures_that_are_long_past_do_not_count(autojump_clock: MockClock) -> None:
    """A session that fails once a minute is never given up, and its delay starts again."""
    log = BytesIO()
    fragile = Fragile()
    limits = Limits(restarts_max=2, restart_window_s=30.0, backoff_first_s=1.0)
    clock = VirtualClock(rolls=[1.0] * 20)
    async with checked_runtime(fragile.agent(), limits=limits, clock=clock, log=log) as runtime:
        await runtime.create(CHAT)
        for _ in range(20):
            await runtime.tell(CHAT, "raise")
            await trio.sleep(60.0)
        assert runtime.statistics().quarantines == 0
        assert runtime.statistics().restarts == 20
    delays = [record["delay_s"] for record in records_of(log) if record["event"] == "session.restarting"]
    assert set(delays) == {1.0}


@pytest.mark.rule("S3")
async def test_a_budget_that_is_spent_gives_the_session_up_and_nobody_else(autojump_clock: MockClock) -> None:
    """So many restarts in the window and one more failure: quarantined, with what waited accounted for."""
    log = BytesIO()
    fragile = Fragile()
    limits = Limits(restarts_max=3, backoff_first_s=0.1)
    async with checked_runtime(fragile.agent(), limits=limits, log=log) as runtime:
        for chat_id in (CHAT, "live:b"):
            await runtime.create(chat_id)
        for _ in range(4):
            await runtime.tell(CHAT, "raise")
        for number in range(5):
            await runtime.tell(CHAT, number)
        await settle(runtime)
        statistics = runtime.statistics()
        assert (statistics.crashes, statistics.restarts, statistics.quarantines) == (4, 3, 1)
        assert statistics.letters.dead == 5
        assert runtime.inspect(CHAT).phase == "quarantined"
        assert await runtime.ask("live:b", "fine?") == 1
    events = [record["event"] for record in records_of(log)]
    assert events.count("session.quarantined") == 1
    assert not any("private" in str(record) for record in records_of(log))


@pytest.mark.rule("S3", "pitfall_1")
async def test_a_crash_loop_in_one_session_leaves_a_thousand_others_alone(autojump_clock: MockClock) -> None:
    """The budget is each session's own."""
    fragile = Fragile()
    chats = [f"live:{number}" for number in range(1000)]
    async with checked_runtime(fragile.agent(), limits=Limits(restarts_max=3)) as runtime:
        for chat_id in chats:
            await runtime.create(chat_id)
        for round_number in range(4):
            await runtime.tell(chats[0], "raise")
            for chat_id in chats[1:]:
                await runtime.tell(chat_id, round_number)
        await settle(runtime)
        statistics = runtime.statistics()
        assert statistics.phases == {"active": 999, "quarantined": 1}
        assert statistics.activations == 1003
    assert len(fragile.handled) == 999 * 4


@pytest.mark.rule("S3")
async def test_a_released_session_takes_messages_again_with_a_fresh_budget(autojump_clock: MockClock) -> None:
    """Released by command; releasing one that is not in quarantine changes nothing."""
    log = BytesIO()
    fragile = Fragile()
    async with checked_runtime(fragile.agent(), limits=Limits(restarts_max=1), log=log) as runtime:
        await runtime.create(CHAT)
        runtime.release(CHAT)
        for _ in range(2):
            await runtime.tell(CHAT, "raise")
        await settle(runtime)
        with pytest.raises(UnavailableError):
            await runtime.tell(CHAT, "refused")
        runtime.release(CHAT)
        await runtime.tell(CHAT, "raise")
        await runtime.tell(CHAT, "handled")
        await settle(runtime)
        assert runtime.statistics().quarantines == 1
    assert [payload for _, payload in fragile.handled] == ["handled"]
    assert [record["event"] for record in records_of(log)].count("session.released") == 1


@pytest.mark.rule("S3")
async def test_a_quarantine_is_over_when_it_has_cooled_down(autojump_clock: MockClock) -> None:
    """The next message after it brings the session up."""
    fragile = Fragile()
    async with checked_runtime(fragile.agent(), limits=Limits(restarts_max=0, quarantine_s=600.0)) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "raise")
        await wait_all_tasks_blocked()
        for moment_s in (1.0, 597.0):
            await trio.sleep(moment_s)
            with pytest.raises(UnavailableError):
                await runtime.tell(CHAT, "refused")
        await trio.sleep(3.0)
        await runtime.tell(CHAT, "handled")
    assert [payload for _, payload in fragile.handled] == ["handled"]


async def test_turns_that_were_accepted_outlive_a_quarantine(autojump_clock: MockClock) -> None:
    """Their waiters are told at once; the turns go on when the session is released."""
    script = ScriptedAgent([Say("ok")], {(CHAT, 1): [Wait(1.0), Raise(ValueError)]})
    async with checked_runtime(script, limits=Limits(restarts_max=0)) as runtime:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, f"message {number}") for number in range(3)]
        assert (await receipts[0].result()).status == "failed"
        for _ in range(2):
            with pytest.raises(UnavailableError) as caught:
                await receipts[1].result()
            assert caught.value.reason == "quarantined"
        runtime.release(CHAT)
        assert [(await receipt.result()).text for receipt in receipts[1:]] == ["ok", "ok"]


async def test_viewers_see_a_quarantine_and_what_comes_after_it(autojump_clock: MockClock) -> None:
    """A subscription belongs to the session, not to one of its incarnations."""
    fragile = Fragile()
    items: list[object] = []
    async with checked_runtime(fragile.agent(), limits=Limits(restarts_max=0)) as runtime:
        await runtime.create(CHAT)
        async with runtime.subscribe(CHAT) as stream:
            await runtime.tell(CHAT, "raise")
            await trio.sleep(1.0)
            runtime.release(CHAT)
            receipt = await runtime.send(CHAT, "hello")
            await receipt.result()
            with trio.move_on_after(1.0):
                async for item in stream:
                    items.append(item)
    signals = [item.name for item in items if isinstance(item, ProgressSignal)]
    assert signals == ["quarantined"]
    assert any(isinstance(item, Event) and isinstance(item.body, TurnEnded) for item in items)


async def test_what_waits_for_the_end_of_a_session_that_is_given_up_is_answered(autojump_clock: MockClock) -> None:
    """A stop or a deletion that was asked for in the moment of the last crash does not wait for ever."""
    for verb in ("stop", "delete"):
        fragile = Fragile()
        async with checked_runtime(fragile.agent(), limits=Limits(restarts_max=0)) as runtime:
            await runtime.create(CHAT)
            await runtime.tell(CHAT, "warm")
            await wait_all_tasks_blocked()
            with trio.fail_after(60.0):
                async with trio.open_nursery() as nursery:
                    runtime.tell_nowait(CHAT, "raise")
                    nursery.start_soon(getattr(runtime, verb), CHAT)
            assert runtime.statistics().sessions_known == (1 if verb == "stop" else 0)


async def test_a_session_that_keeps_failing_can_be_stopped_and_deleted_in_every_state(
    autojump_clock: MockClock,
) -> None:
    """While it backs off, and while it is in quarantine."""
    for verb in ("stop", "delete"):
        for restarts_max in (0, 5):
            fragile = Fragile()
            limits = Limits(restarts_max=restarts_max, backoff_first_s=30.0)
            async with checked_runtime(fragile.agent(), limits=limits, clock=VirtualClock(rolls=[1.0])) as runtime:
                await runtime.create(CHAT)
                await runtime.tell(CHAT, "raise")
                await wait_all_tasks_blocked()
                assert runtime.inspect(CHAT).phase == ("quarantined" if restarts_max == 0 else "restarting")
                await getattr(runtime, verb)(CHAT)
                assert trio.current_time() < 1.0
                if verb == "stop":
                    assert await runtime.ask(CHAT, "back?") == 1
                else:
                    with pytest.raises(RefusedError):
                        await runtime.ask(CHAT, "back?")


async def test_a_supervisor_survives_whatever_a_journal_raises_while_it_restarts(autojump_clock: MockClock) -> None:
    """Faults in the restart path are judged like every other, and the session comes up in the end."""
    journal = FaultyJournal(MemoryJournal())
    fragile = Fragile()
    limits = Limits(restarts_max=10)
    async with checked_runtime(fragile.agent(), store=journal, limits=limits) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "raise")
        for error in (ZeroDivisionError(), KeyboardInterrupt(), SystemExit(), BaseExceptionGroup("g", [ValueError()])):
            journal.plan("load", Fails(error), times=1)
        await runtime.tell(CHAT, "handled")
        await settle(runtime)
        assert runtime.statistics().crashes == 5
    assert [payload for _, payload in fragile.handled] == ["handled"]


class BrokenDice(VirtualClock):
    """A clock of the host's own whose dice raise."""

    @override
    def dice(self) -> float:
        raise ZeroDivisionError


async def test_a_fault_in_the_supervision_of_one_session_costs_that_session_only(autojump_clock: MockClock) -> None:
    """Whatever fails while a crash is being judged, the others go on, and everybody who waits is answered."""
    log = BytesIO()
    fragile = Fragile()
    async with checked_runtime(fragile.agent(), clock=BrokenDice(), log=log) as runtime:
        for chat_id in (CHAT, "live:b"):
            await runtime.create(chat_id)
        await runtime.tell(CHAT, "raise")
        with pytest.raises(AskError):
            await runtime.ask(CHAT, "waits")
        assert runtime.inspect(CHAT).phase == "quarantined"
        assert await runtime.ask("live:b", "fine?") == 1
        runtime.release(CHAT)
        assert await runtime.ask(CHAT, "back?") == 2
    assert [record["error"] for record in records_of(log) if "quarantined" in record["event"]] == ["ZeroDivisionError"]


async def test_a_thousand_activations_at_once_all_come_up(autojump_clock: MockClock) -> None:
    """Not more than so many are read from the disk at the same time."""
    store = MemoryJournal()
    chats = [f"live:{number}" for number in range(1000)]
    async with checked_runtime(store=store) as runtime:
        for chat_id in chats:
            await runtime.create(chat_id)
    loading = [0, 0]

    class Counting(FaultyJournal):
        """Counts the loads that are under way."""

        @override
        async def load(self, chat_id: ChatId) -> SessionState | None:
            loading[0] += 1
            loading[1] = max(loading)
            await trio.sleep(0.01)
            loading[0] -= 1
            return await super().load(chat_id)

    counting = Counting(MemoryJournal(store.store))
    async with checked_runtime(store=counting, limits=Limits(activations_max=20)) as runtime:
        async with trio.open_nursery() as nursery:
            for chat_id in chats:
                nursery.start_soon(runtime.send, chat_id, "hello")
        await settle(runtime)
        assert runtime.statistics().turns == {"completed": 1000}
    assert loading[1] == 20


async def test_the_names_of_tasks_tell_whose_they_are(autojump_clock: MockClock) -> None:
    """One task for each live session, named after it, and one for each running turn."""
    async with checked_runtime(ScriptedAgent([Hang()]), open_turns=True) as runtime:
        for chat_id in (CHAT, "live:b"):
            await runtime.create(chat_id)
        await runtime.send(CHAT, "hello")
        await wait_all_tasks_blocked()
        assert runtime._supervisor.tasks == [CHAT, CHAT]  # noqa: SLF001 - what this is about
