"""Reminders in a whole runtime: they come when they are due, whoever is in memory, and each tick comes once."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors.core.codec import encode_body
from actors.core.events import MessageAccepted, Missed, ReminderFired
from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.errors import InvalidEnvelopeError, OverloadedError, StoreError, UnknownChatError
from actors.runtime.agent import agent
from actors.runtime.facade import Runtime
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import Fails, FaultyJournal, LosesAnswer, Raise, Say, ScriptedAgent, VirtualClock, Wait, canonical
from actors.testing import checked_runtime as checked

CHAT = ChatId("live:42")
START_S = 1_750_000_000.0
DAY_S = 86_400.0


def clock() -> VirtualClock:
    """Make a clock whose wall time begins at the start of the test."""
    return VirtualClock(7, wall_s=START_S - trio.current_time())


async def texts(journal: MemoryJournal | FaultyJournal, chat_id: ChatId = CHAT) -> list[tuple[str, str]]:
    """Read the messages that reminders sent, by their keys, in order."""
    events = await journal.events(chat_id, 0, 10_000)
    bodies = [event.body for event in events]
    return [(body.message_id, body.text) for body in bodies if isinstance(body, MessageAccepted) and body.sender]


async def ticks(runtime: Runtime, journal: MemoryJournal | FaultyJournal, chat_id: ChatId = CHAT) -> list[float]:
    """Read when each tick of a session was due that has been fired, seconds from the start, in order."""
    events = await journal.events(chat_id, 0, 10_000)
    fired = [event.body.due_s - START_S for event in events if isinstance(event.body, ReminderFired)]
    assert runtime.statistics().ticks <= len(fired)
    return fired


async def test_r2_a_reminder_becomes_a_message_of_its_session(autojump_clock: MockClock) -> None:
    """At its moment, from the sender ``reminder``, under a key of reminder and moment; the turn runs by itself."""
    script, journal = ScriptedAgent(), MemoryJournal()
    async with checked(script, store=journal, clock=clock()) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "Drink.", at_s=START_S + 30.0)
        await trio.sleep(29.0)
        assert script.runs == []
        await trio.sleep(2.0)
        assert script.runs == [(CHAT, 1, 1)]
        assert await texts(journal) == [("tea/1750000030.0", "Drink.")]
        assert await runtime.reminders(CHAT) == ()
        assert (runtime.statistics().ticks, runtime.statistics().reminders) == (1, 0)


@pytest.mark.rule("promise_path_42")
async def test_r2_a_reminder_is_a_row_that_outlives_the_session_and_the_process(autojump_clock: MockClock) -> None:
    """It comes to a session that is not in memory, and in the next life as if nothing had happened."""
    script, store, time = ScriptedAgent(), MemoryStore(), clock()
    first, second = MemoryJournal(store), MemoryJournal(store)
    async with checked(script, store=first, clock=time) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "Drink.", every_s=60.0)
        await runtime.stop(CHAT)
        assert runtime.inspect(CHAT).phase == "absent"
        assert [each.key for each in await runtime.reminders(CHAT)] == ["tea"]
        await trio.sleep(70.0)
        assert await ticks(runtime, first) == [60.0]
        assert runtime.inspect(CHAT).reminders == 1
    async with checked(script, store=second, clock=time) as runtime:
        assert runtime.statistics().reminders == 1
        await trio.sleep(60.0)
        assert await ticks(runtime, second) == [60.0, 120.0]
    assert [run[1:] for run in script.runs] == [(1, 1), (2, 1)]


@pytest.mark.parametrize(
    ("missed", "expected"), [("skip", [630.0]), ("one", [600.0, 630.0]), ("all", [*range(30, 631, 30)])]
)
async def test_r2_what_was_missed_while_nobody_ran_follows_the_policy(
    missed: Missed, expected: list[float], autojump_clock: MockClock
) -> None:
    """A life that begins ten minutes later fires nothing, the newest, or everything that it has missed."""
    script, store, time = ScriptedAgent(), MemoryStore(), clock()
    async with checked(script, store=MemoryJournal(store), clock=time) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "Drink.", at_s=START_S + 30.0, every_s=30.0, missed=missed)
    await trio.sleep(615.0)
    journal, limits = MemoryJournal(store), Limits(reminder_late_s=5.0)
    async with checked(script, store=journal, clock=time, limits=limits) as runtime:
        await trio.sleep(20.0)
        assert await ticks(runtime, journal) == expected
        assert runtime.statistics().ticks_skipped == 21 - len(expected)


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S])
async def test_r2_a_clock_that_jumps_a_day_loses_and_doubles_no_tick(jump_s: float, autojump_clock: MockClock) -> None:
    """Forwards, each missed tick comes, in order; back, the next one waits for its moment to come again."""
    script, journal, time = ScriptedAgent(), MemoryJournal(), clock()
    async with checked(script, store=journal, clock=time, limits=Limits(queue_turns_max=3)) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "Drink.", at_s=START_S + 3600.0, every_s=3600.0, missed="all")
        await trio.sleep(2.5 * 3600.0)
        time.jump(jump_s)
        await trio.sleep(600.0)  # what does not fit into the queue comes a little later
        jumped = [*range(1, 27)] if jump_s > 0 else [1, 2]
        assert await ticks(runtime, journal) == [hour * 3600.0 for hour in jumped]
        time.jump(-jump_s)
        await trio.sleep(DAY_S)
        assert await ticks(runtime, journal) == [hour * 3600.0 for hour in range(1, 27)]
        keys = [key for key, _ in await texts(journal)]
        assert len(keys) == len(set(keys)) == 26


@pytest.mark.parametrize("fault", [Fails(StoreError("full")), LosesAnswer(StoreError("gone"))], ids=["before", "after"])
async def test_r2_a_crash_between_the_moment_and_the_commit_doubles_nothing(
    fault: Fails | LosesAnswer, autojump_clock: MockClock
) -> None:
    """Whether or not the tick had reached the disk, the next life brings it exactly once."""
    script, store, time = ScriptedAgent(), MemoryStore(), clock()
    journal = FaultyJournal(MemoryJournal(store))
    with trio.CancelScope() as process:
        async with checked(script, store=journal, clock=time, open_turns=True) as runtime:
            await runtime.create(CHAT)
            await runtime.remind(CHAT, "tea", "Drink.", at_s=START_S + 30.0)
            journal.plan("commit", fault)
            await trio.sleep(32.0)
            assert script.runs == []
            process.cancel()
            await trio.lowlevel.checkpoint()
    later = MemoryJournal(store)
    async with checked(script, store=later, clock=time) as runtime:
        await trio.sleep(20.0)
        assert await texts(later) == [("tea/1750000030.0", "Drink.")]
        assert await ticks(runtime, later) == [30.0]


async def test_r2_a_reminder_that_is_set_again_does_not_bring_a_tick_again(autojump_clock: MockClock) -> None:
    """One tick for one key and moment, also after it was called off or had come."""
    script, journal = ScriptedAgent(), MemoryJournal()
    async with checked(script, store=journal, clock=clock()) as runtime:
        await runtime.create(CHAT)
        for _ in range(3):
            await runtime.remind(CHAT, "tea", "Drink.", at_s=START_S + 5.0)
            await trio.sleep(10.0)
        assert await texts(journal) == [("tea/1750000005.0", "Drink.")]
        assert await ticks(runtime, journal) == [5.0, 5.0, 5.0]
        assert await runtime.reminders(CHAT) == ()


async def test_a_reminder_that_is_called_off_does_not_come(autojump_clock: MockClock) -> None:
    """And the answer says whether there was one."""
    script = ScriptedAgent()
    async with checked(script, clock=clock()) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "Drink.", every_s=30.0)
        assert await runtime.forget_reminder(CHAT, "tea") is True
        assert await runtime.forget_reminder(CHAT, "tea") is False
        await trio.sleep(100.0)
        assert script.runs == []
        assert runtime.statistics().reminders == 0


async def test_reminders_go_with_their_session(autojump_clock: MockClock) -> None:
    """A deleted session is not woken, in this life or the next, and nobody else's reminder is touched."""
    script, store, time = ScriptedAgent(), MemoryStore(), clock()
    async with checked(script, store=MemoryJournal(store), clock=time) as runtime:
        for chat_id in ("live:gone", "live:kept"):
            await runtime.create(chat_id)
            await runtime.remind(chat_id, "tea", "Drink.", every_s=30.0)
        await runtime.delete("live:gone")
        assert runtime.statistics().reminders == 1
        await trio.sleep(35.0)
    async with checked(script, store=MemoryJournal(store), clock=time) as runtime:
        await trio.sleep(30.0)
        assert runtime.statistics().reminders == 1
    assert [run[0] for run in script.runs] == ["live:kept"] * 2


async def test_a_tick_waits_behind_a_turn_and_under_reject_is_not_turned_away(autojump_clock: MockClock) -> None:
    """It is queued like any message; the overlap policy is for people."""
    script, journal = ScriptedAgent((Say("ok"),), {(CHAT, 1): (Say("long"), Wait(100.0))}), MemoryJournal()
    async with checked(agent(script, overlap="reject"), store=journal, clock=clock()) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "Drink.", at_s=START_S + 30.0)
        await runtime.send(CHAT, "hello")
        await trio.sleep(50.0)
        assert runtime.inspect(CHAT).queued_turns == 1
        await trio.sleep(60.0)
        assert script.runs == [(CHAT, 1, 1), (CHAT, 2, 1)]


async def test_a_full_queue_puts_ticks_off_and_loses_none(autojump_clock: MockClock) -> None:
    """What does not fit stays due, and comes when there is room, in order."""
    script, journal = ScriptedAgent((Wait(25.0),)), MemoryJournal()
    async with checked(script, store=journal, clock=clock(), limits=Limits(queue_turns_max=2)) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "Drink.", at_s=START_S + 10.0, every_s=10.0, missed="all")
        await trio.sleep(105.0)
        assert runtime.inspect(CHAT).queued_turns == 2
        await runtime.forget_reminder(CHAT, "tea")
        await trio.sleep(100.0)
        fired = await ticks(runtime, journal)
        assert fired == [10.0 * number for number in range(1, len(fired) + 1)]
        assert len(script.runs) == len(fired) > 3


async def test_a_quarantined_session_gets_its_tick_when_it_is_released(autojump_clock: MockClock) -> None:
    """Late, but not lost, and without a flood of refusals meanwhile."""
    script, journal = ScriptedAgent((Raise(ValueError),)), MemoryJournal()
    limits = Limits(restarts_max=0, quarantine_s=3600.0)
    async with checked(script, store=journal, clock=clock(), limits=limits) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "Drink.", at_s=START_S + 30.0)
        await runtime.send(CHAT, "hello")
        await trio.sleep(60.0)
        assert runtime.inspect(CHAT).phase == "quarantined"
        assert await texts(journal) == []
        assert runtime.statistics().dropped == {}
        script.default = (Say("ok"),)
        runtime.release(CHAT)
        await trio.sleep(20.0)
        assert await texts(journal) == [("tea/1750000030.0", "Drink.")]


async def test_a_thousand_reminders_at_once_do_not_hold_up_a_turn(autojump_clock: MockClock) -> None:
    """They come in batches: a message that is sent in the same moment is answered long before the last of them."""
    script, journal, time = ScriptedAgent(), MemoryJournal(), clock()
    limits = Limits(expiry_batch_max=10)
    async with checked(script, store=journal, clock=time, limits=limits) as runtime:
        crowd = [f"live:{number}" for number in range(1000)]
        for chat_id in crowd:
            await runtime.create(chat_id)
            await runtime.remind(chat_id, "tea", "Drink.", at_s=START_S + 30.0)
        await runtime.create(CHAT)
        await trio.sleep(START_S + 30.0 - time.wall_s())
        receipt = await runtime.send(CHAT, "hello")
        assert (await receipt.result()).ok
        assert runtime.statistics().ticks < 500
        await trio.sleep(10.0)
        assert runtime.statistics().ticks == 1000
        assert sorted(run[0] for run in script.runs) == sorted([*crowd, CHAT])


async def test_the_reminders_of_one_session_touch_no_other(autojump_clock: MockClock) -> None:
    """What is stored of the others is what would be stored without them."""
    kept: list[bytes] = []
    for reminded in (False, True):
        journal = MemoryJournal()
        async with checked(ScriptedAgent(), store=journal, clock=clock()) as runtime:
            for chat_id in ("live:a", CHAT):
                await runtime.create(chat_id)
            if reminded:
                await runtime.remind(CHAT, "tea", "Drink.", every_s=1.0, missed="all")
            await runtime.send("live:a", "hello", message_id="m1")
            await trio.sleep(20.0)
            await runtime.send("live:a", "and?", message_id="m2")
            await trio.sleep(1.0)
            kept.append(await canonical(journal, "live:a"))
            assert bool(await texts(journal)) is reminded
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "neither"),
        ({"at_s": "soon"}, "at_s"),
        ({"at_s": float("nan")}, "at_s"),
        ({"at_s": 1e300}, "at_s"),
        ({"at_s": True}, "at_s"),
        ({"every_s": 0.5}, "reminder_period_s"),
        ({"every_s": -1.0}, "every_s"),
        ({"every_s": float("inf")}, "every_s"),
        ({"every_s": None, "at_s": None}, "neither"),
        ({"every_s": 60.0, "missed": "some"}, "missed"),
        ({"every_s": 60.0, "key": ""}, "key"),
        ({"every_s": 60.0, "key": "a/b"}, "key"),
        ({"every_s": 60.0, "key": 7}, "key"),
        ({"every_s": 60.0, "text": ""}, "text"),
        ({"every_s": 60.0, "text": "\ud800"}, "text"),
        ({"every_s": 60.0, "text": b"x"}, "text"),
    ],
)
async def test_a_reminder_that_makes_no_sense_is_refused_with_its_field(
    options: dict[str, Any], word: str, autojump_clock: MockClock
) -> None:
    """Nothing is written, and nothing is brought up for it."""
    async with checked(clock=clock()) as runtime:
        await runtime.create(CHAT)
        await runtime.stop(CHAT)
        given = {"key": "tea", "text": "Drink.", **options}
        with pytest.raises(InvalidEnvelopeError, match=word) as caught:
            await runtime.remind(CHAT, **given)
        assert caught.value.hint
        assert await runtime.reminders(CHAT) == ()
        assert runtime.inspect(CHAT).phase == "absent"


async def test_the_bound_and_the_address_of_a_reminder_are_checked(autojump_clock: MockClock) -> None:
    """Too many are refused by the session, an unknown session by everybody."""
    async with checked(clock=clock(), limits=Limits(reminders_max=1)) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "a", "x", every_s=60.0)
        with pytest.raises(OverloadedError, match="reminders_max"):
            await runtime.remind(CHAT, "b", "x", every_s=60.0)
        await runtime.remind(CHAT, "a", "y", every_s=60.0)
        for call in (runtime.reminders, lambda chat_id: runtime.forget_reminder(chat_id, "a")):
            with pytest.raises(UnknownChatError):
                await call("live:unknown")
        with pytest.raises(UnknownChatError):
            await runtime.remind("live:unknown", "a", "x", every_s=60.0)
        await runtime.forget_reminder(CHAT, "a")


async def test_what_is_stored_of_a_reminder_is_what_was_asked(autojump_clock: MockClock) -> None:
    """A reminder is one event, a tick is two and a turn; the same moment of a whole number is the same tick."""
    journal = MemoryJournal()
    async with checked(store=journal, clock=clock()) as runtime:
        await runtime.create(CHAT)
        await runtime.remind(CHAT, "tea", "Drink.", at_s=int(START_S) + 5)
        events = await journal.events(CHAT, 0, 10)
        assert encode_body(events[1].body) == (
            '{"kind":"reminder.set","key":"tea","text":"Drink.","first_s":1750000005.0}'
        )
        await trio.sleep(6.0)
        assert await texts(journal) == [("tea/1750000005.0", "Drink.")]
