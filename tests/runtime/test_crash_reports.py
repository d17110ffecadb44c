"""A failure makes one report: how, where, what was being done and written; nothing that anybody said."""

import json
from io import BytesIO

import trio
from trio.testing import MockClock

from actors import Limits, Session, agent
from actors.core.supervision import ExitReason
from actors.store.memory import MemoryJournal
from actors.testing import (
    Call,
    Fails,
    FaultyJournal,
    Hangs,
    Raise,
    Say,
    ScriptedAgent,
    Step,
    Wait,
    checked_runtime,
    records_of,
    settle,
)

CHAT = "live:a"
PRIVATE = "my secret"


async def test_i4_a_crash_of_a_turn_is_reported_with_all_that_is_known(autojump_clock: MockClock) -> None:
    """Exit, frames, session, incarnation, the last events and a digest; and no word of anybody."""
    log = BytesIO()
    steps: list[Step] = [Say(f"{PRIVATE} too"), Call("look", {"what": PRIVATE}), Raise(ValueError(PRIVATE))]
    async with checked_runtime(ScriptedAgent(steps), log=log, log_level="error") as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, PRIVATE)).result()
        await settle(runtime)
        await trio.sleep(0.1)
        (report,) = runtime.crash_reports()
        assert (report.chat_id, report.incarnation, report.exit, report.error) == (CHAT, 1, "crashed", "ValueError")
        assert report.doing == "turn"
        assert report.frames[-1].startswith("agent.py:")
        assert report.frames[-1].endswith(" _do")
        kinds = [event.kind for event in report.events]
        assert kinds[:3] == ["session.created", "message.accepted", "turn.started"]
        assert kinds[-1] == "turn.ended"
        assert [event.seq for event in report.events] == list(range(1, len(kinds) + 1))
        assert len(report.digest) == 32
    (record,) = [each for each in records_of(log) if each["event"] == "session.crash_report"]
    assert record["exit"] == "crashed"
    assert record["frames"] == list(report.frames)
    assert record["events"][0] == [1, "session.created", 0]
    assert PRIVATE not in json.dumps(records_of(log))


async def test_i4_a_report_names_the_kind_of_message_that_was_handled(autojump_clock: MockClock) -> None:
    """A tell, an ask, or the recovery."""

    async def receive(_: Session, payload: object) -> None:
        raise KeyError(payload)

    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(agent(ScriptedAgent(), receive=receive), store=journal) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "x")
        await settle(runtime)
        journal.plan("load", Fails(OSError()), times=1)
        try:
            await runtime.ask(CHAT, "x")
        except Exception as error:  # noqa: BLE001 - it is the report that matters
            assert type(error).__name__ == "HandlerError"
        await settle(runtime)
        await trio.sleep(0.1)
        assert [(report.doing, report.exit) for report in runtime.crash_reports()] == [
            ("tell", "crashed"),
            ("ask", "crashed"),
            ("recovery", "init_failed"),
        ]


async def test_i4_a_report_reads_only_the_last_events(autojump_clock: MockClock) -> None:
    """However long the history is."""
    scripted = ScriptedAgent([Say("ok")], {(CHAT, 6): [Raise(ValueError)]})
    async with checked_runtime(scripted, limits=Limits(crash_events_max=3)) as runtime:
        await runtime.create(CHAT)
        for _ in range(6):
            await (await runtime.send(CHAT, "hello")).result()
        await trio.sleep(1.0)
        seqs = [event.seq for event in runtime.crash_reports()[0].events]
        assert len(seqs) == 3
        assert seqs == list(range(seqs[0], seqs[0] + 3))


async def test_i4_a_disk_that_hangs_keeps_no_report_back(autojump_clock: MockClock) -> None:
    """It comes without events, after a bounded time; and the session does not wait for it."""
    journal = FaultyJournal(MemoryJournal())
    scripted = ScriptedAgent([Say("ok")], {(CHAT, 1): [Raise(ValueError)]})
    async with checked_runtime(scripted, store=journal) as runtime:
        await runtime.create(CHAT)
        journal.plan("events", Hangs(), times=1)
        await (await runtime.send(CHAT, "hello")).result()
        assert (await (await runtime.send(CHAT, "hello")).result()).text == "ok"
        assert runtime.crash_reports() == ()
        await trio.sleep(10.0)
        (report,) = runtime.crash_reports()
        assert report.events == ()


async def test_i4_reports_are_kept_within_their_bound_and_those_left_out_are_counted(autojump_clock: MockClock) -> None:
    """A storm of crashes costs neither memory nor the disk."""
    journal = FaultyJournal(MemoryJournal())
    limits = Limits(crash_reports_max=2, restarts_max=100, backoff_first_s=0.0)
    async with checked_runtime(ScriptedAgent([Raise(ValueError)]), store=journal, limits=limits) as runtime:
        await runtime.create(CHAT)
        journal.plan("events", Hangs(), times=1)
        for _ in range(5):
            await (await runtime.send(CHAT, "hello")).result()
        await settle(runtime)
        assert runtime.statistics().crash_reports_lost == 3
        await trio.sleep(10.0)
        assert runtime.statistics().crash_reports == 2


async def test_i4_what_waits_when_the_runtime_closes_is_reported_all_the_same(autojump_clock: MockClock) -> None:
    """Without its events."""
    log, journal = BytesIO(), FaultyJournal(MemoryJournal())
    async with checked_runtime(ScriptedAgent([Raise(ValueError)]), store=journal, log=log) as runtime:
        await runtime.create(CHAT)
        journal.plan("events", Hangs())
        await (await runtime.send(CHAT, "hello")).result()
        await settle(runtime)
        journal.heal()
        journal.plan("events", Hangs())
    assert [record["event"] for record in records_of(log)].count("session.crash_report") == 1


async def test_i4_a_journal_that_fails_in_a_way_of_its_own_costs_a_report_its_events_alone(
    autojump_clock: MockClock,
) -> None:
    """The crash of one session ends no service, and so not the runtime."""
    journal = FaultyJournal(MemoryJournal())
    scripted = ScriptedAgent([Say("ok")], {(CHAT, 1): [Raise(ValueError)]})
    async with checked_runtime(scripted, store=journal) as runtime:
        await runtime.create(CHAT)
        journal.plan("events", Fails(RuntimeError("a bug of the journal")), times=1)
        await (await runtime.send(CHAT, "hello")).result()
        await trio.sleep(10.0)
        (report,) = runtime.crash_reports()
        assert report.events == ()
        assert runtime.statistics().service_restarts == 0


async def test_i4_a_report_of_a_session_with_a_full_queue_holds_nobody_up(autojump_clock: MockClock) -> None:
    """What waits in it is read one turn at a time, and others run in between."""
    steps = 0
    async with checked_runtime(ScriptedAgent([Say("ok")], {(CHAT, 1): [Wait(1.0)]})) as runtime:
        await runtime.create(CHAT)
        for number in range(50):
            await runtime.send(CHAT, f"message {number}")
        ref = runtime._registry.get(CHAT)  # noqa: SLF001 - reported by hand, so that the moment is known
        assert ref is not None
        runtime._services.crash_reports.note(ref, ExitReason.CRASHED, ValueError(), "turn")  # noqa: SLF001 - as above
        while not runtime.crash_reports():
            await trio.lowlevel.checkpoint()
            steps += 1
            assert steps < 1000
        assert steps >= 49
        assert len(runtime.crash_reports()[0].digest) == 32
