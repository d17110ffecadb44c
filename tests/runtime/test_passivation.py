"""A session at rest leaves memory and comes back for the next message: nothing is lost, and order holds."""

from collections.abc import Sequence
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ChatId, Limits, Session, agent
from actors.core.limits import MIB
from actors.core.passivation import Choice, Facts, choose
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Ask,
    Call,
    Delays,
    FaultyJournal,
    Flood,
    Hang,
    Say,
    ScriptedAgent,
    canonical,
    checked_runtime,
    records_of,
    settle,
)
from tests.runtime.resting import Listener, resident, warm

CHAT = ChatId("live:a")


# ── P1: the triggers ─────────────────────────────────────────────────────────────────────────────


async def test_p1_an_idle_session_leaves_memory_after_its_time(autojump_clock: MockClock) -> None:
    """Not before, and what it has said is all there when it is asked again."""
    log = BytesIO()
    async with checked_runtime(log=log) as runtime:
        await warm(runtime, CHAT)
        await trio.sleep(890.0)
        assert resident(runtime) == {CHAT}
        await trio.sleep(20.0)
        assert resident(runtime) == set()
        assert runtime.inspect(CHAT).phase == "absent"
        assert (await (await runtime.send(CHAT, "again")).result()).ok
        assert [message.turn for message in (await runtime.history(CHAT)).messages] == [1, 1, 2, 2]
        assert runtime.inspect(CHAT).incarnation == 2, "an old number never names a new life"
    (record,) = [record for record in records_of(log) if record["event"] == "session.passivated"]
    assert (record["chat_id"], record["reason"]) == (CHAT, "idle")


async def test_p1_a_session_that_was_created_and_never_spoken_to_leaves_too(autojump_clock: MockClock) -> None:
    """Registering costs no memory for longer than being idle does."""
    async with checked_runtime(limits=Limits(idle_s=60.0)) as runtime:
        await runtime.create(CHAT, history=[("system", "be short")])
        await trio.sleep(130.0)
        assert resident(runtime) == set()
        assert (await (await runtime.send(CHAT, "hello")).result()).ok
        assert len((await runtime.history(CHAT)).messages) == 3


async def test_p1_beyond_the_cap_the_least_recently_used_leave(autojump_clock: MockClock) -> None:
    """Three have room; of five the two leave that nobody used for longest."""
    async with checked_runtime(limits=Limits(sessions_live_max=3, residency_s=5.0)) as runtime:
        await warm(runtime, *[f"live:{number}" for number in range(5)])
        for number in (1, 3, 0):
            await trio.sleep(1.0)
            await (await runtime.send(f"live:{number}", "again")).result()
        await trio.sleep(30.0)
        assert resident(runtime) == {"live:0", "live:1", "live:3"}


async def test_p1_above_the_high_mark_of_memory_sessions_leave_to_the_low_one(autojump_clock: MockClock) -> None:
    """What they hold is estimated from their transcripts."""
    limits = Limits(sessions_bytes_max=MIB, residency_s=1.0, history_messages_max=2000)
    chats = [f"live:{number}" for number in range(10)]
    async with checked_runtime(ScriptedAgent([Flood(100, "x" * 1000)]), limits=limits) as runtime:
        await warm(runtime, *chats)
        await trio.sleep(70.0)
        assert 6 <= len(resident(runtime)) <= 7, "0.75 MiB of about 110 kB each"
        assert resident(runtime) == set(chats[-len(resident(runtime)) :]), "the least recently used left"


async def test_p1_a_session_is_put_away_when_it_is_asked_to_be(autojump_clock: MockClock) -> None:
    """The answer says whether it is out of memory; residency does not hold against a request."""
    async with checked_runtime() as runtime:
        await warm(runtime, CHAT)
        assert await runtime.passivate(CHAT)
        assert resident(runtime) == set()
        assert await runtime.passivate(CHAT), "it is out of memory already"
        await runtime.create("live:b")
        assert await runtime.passivate("live:b"), "it was never up"
        assert runtime.statistics().passivations == 2


# ── P2: what idle means ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", [Hang(), Call("tool", seconds=1e6), Ask("well?")], ids=["runs", "calls", "asks"])
async def test_p2_a_session_with_a_turn_stays(step: Hang | Call | Ask, autojump_clock: MockClock) -> None:
    """Whatever its turn waits for, and however long."""
    async with checked_runtime(ScriptedAgent([step]), limits=Limits(turn_s=86400.0)) as runtime:
        await runtime.create(CHAT)
        receipts = [await runtime.send(CHAT, text) for text in ("hello", "queued")]
        await trio.sleep(5000.0)
        assert resident(runtime) == {CHAT}
        assert not await runtime.passivate(CHAT)
        for receipt in reversed(receipts):
            await receipt.cancel()
        await settle(runtime)
        assert await runtime.passivate(CHAT)


async def test_p2_a_session_that_somebody_watches_stays(autojump_clock: MockClock) -> None:
    """Until its last subscriber has left."""
    async with checked_runtime() as runtime:
        await warm(runtime, CHAT)
        async with runtime.subscribe(CHAT):
            assert not await runtime.passivate(CHAT)
            await trio.sleep(5000.0)
            assert resident(runtime) == {CHAT}
        await trio.sleep(1000.0)
        assert resident(runtime) == set()


async def test_p2_a_session_that_is_kept_alive_stays(autojump_clock: MockClock) -> None:
    """For as long as the block runs, also if it never was up."""
    async with checked_runtime() as runtime:
        await warm(runtime, CHAT)
        await runtime.create("live:b")
        with runtime.keep_alive(CHAT), runtime.keep_alive(CHAT), runtime.keep_alive("live:b"):
            assert not await runtime.passivate(CHAT)
            await trio.sleep(5000.0)
            assert resident(runtime) == {CHAT, "live:b"}
        await trio.sleep(1000.0)
        assert resident(runtime) == set()


async def test_p2_a_handler_and_the_messages_behind_it_are_work(autojump_clock: MockClock) -> None:
    """The request waits for the handler, and is withdrawn for what is queued."""
    listener = Listener(seconds=10.0)
    async with checked_runtime(listener.agent()) as runtime:
        await warm(runtime, CHAT)
        for number in range(3):
            await runtime.tell(CHAT, number)
        await wait_all_tasks_blocked()
        assert not await runtime.passivate(CHAT)
        await settle(runtime)
        assert listener.heard == [0, 1, 2]
        assert await runtime.passivate(CHAT)


async def test_p2_a_write_under_way_is_work(autojump_clock: MockClock) -> None:
    """A session whose turn has ended but is not on disk yet is not at rest."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        await warm(runtime, CHAT)
        journal.plan("commit", Delays(5.0), times=2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.send, CHAT, "slow")
            await trio.sleep(1.0)
            assert not await runtime.passivate(CHAT)


async def test_p2_a_session_that_crashed_lately_keeps_its_budget_by_staying(autojump_clock: MockClock) -> None:
    """Else one that crashes whenever it comes up would never be given up."""
    listener = Listener()

    async def receive(session: Session, payload: object) -> object:
        if payload == "raise":
            raise ValueError
        return await listener.receive(session, payload)

    limits = Limits(idle_s=5.0, residency_s=0.0, backoff_last_s=0.1)
    async with checked_runtime(agent(ScriptedAgent(), receive=receive), limits=limits) as runtime:
        await warm(runtime, CHAT)
        await runtime.tell(CHAT, "raise")
        await trio.sleep(30.0)
        assert resident(runtime) == {CHAT}
        await trio.sleep(120.0)
        assert resident(runtime) == set()


# ── P4: nothing to write ─────────────────────────────────────────────────────────────────────────


async def test_p4_putting_a_session_away_writes_nothing_and_needs_no_disk(autojump_clock: MockClock) -> None:
    """All of its state was durable at the end of its turn, so a disk that hangs does not keep it in memory."""
    store = MemoryStore()
    journal = FaultyJournal(MemoryJournal(store))
    async with checked_runtime(store=journal) as runtime:
        await warm(runtime, CHAT)
        before, events = await canonical(journal, CHAT), runtime.statistics().commit_entries
        journal.plan("commit", Delays(1000.0), times=1)
        with trio.fail_after(1.0):
            assert await runtime.passivate(CHAT)
        assert runtime.statistics().commit_entries == events
        journal.heal()
        assert await canonical(journal, CHAT) == before


async def test_p4_the_state_and_the_history_of_an_agent_outlive_its_absence(autojump_clock: MockClock) -> None:
    """A counter that is kept in the state counts on, and the model reads the whole conversation."""
    read: list[int] = []

    async def count(turn: object) -> str:
        turn.state = (turn.state or 0) + 1  # type: ignore[attr-defined]  # a Turn
        read.append(len(turn.history))  # type: ignore[attr-defined]  # as above
        return str(turn.state)  # type: ignore[attr-defined]  # as above

    async with checked_runtime(count) as runtime:
        await runtime.create(CHAT)
        for number in range(1, 4):
            result = await (await runtime.send(CHAT, "count")).result()
            assert result.text == str(number)
            await settle(runtime)
            assert await runtime.passivate(CHAT)
    assert read == [1, 3, 5]


async def test_p4_a_key_is_known_after_its_session_was_away(autojump_clock: MockClock) -> None:
    """The first receipt again, from disk."""
    async with checked_runtime() as runtime:
        await runtime.create(CHAT)
        first = await runtime.send(CHAT, "hello", message_id="key")
        await first.result()
        await settle(runtime)
        assert await runtime.passivate(CHAT)
        again = await runtime.send(CHAT, "hello", message_id="key")
        assert (again.duplicate, again.turn, again.seq) == (True, first.turn, first.seq)


# ── P5: residency and churn ──────────────────────────────────────────────────────────────────────


@pytest.mark.rule("pitfall_28")
async def test_p5_an_access_pattern_just_over_the_cap_does_not_thrash(autojump_clock: MockClock) -> None:
    """Eleven sessions in turn where ten have room, ten messages a second: each stays for its residency at least."""
    limits = Limits(sessions_live_max=10, residency_s=30.0)
    chats = [f"live:{number}" for number in range(11)]
    async with checked_runtime(limits=limits) as runtime:
        for chat_id in chats:
            await runtime.create(chat_id)
        for number in range(3000):
            await (await runtime.send(chats[number % 11], "hello")).result()
            await trio.sleep(0.1)
        statistics = runtime.statistics()
        # 300 s are ten residencies, in each of which every session comes up once at most; unhindered it were 3,000.
        assert statistics.activations <= 11 * 11
        assert statistics.passivations >= 1
        assert statistics.churn <= 2 * 11


async def test_p5_churn_shows_how_many_came_back_within_a_minute(autojump_clock: MockClock) -> None:
    """Only those that had been put away count, and only for a while."""
    async with checked_runtime() as runtime:
        await warm(runtime, *[f"live:{number}" for number in range(5)])
        assert runtime.statistics().churn == 0
        for number in range(5):
            assert await runtime.passivate(f"live:{number}")
        for number in range(3):
            await (await runtime.send(f"live:{number}", "again")).result()
        assert (runtime.statistics().passivations, runtime.statistics().churn) == (5, 3)
        await trio.sleep(80.0)
        assert runtime.statistics().churn == 0


async def test_looking_holds_no_more_than_a_twentieth_of_the_loop(autojump_clock: MockClock) -> None:
    """However fast sessions come and go beyond the cap, a look follows another only after twenty times its time."""
    async with checked_runtime(limits=Limits(sessions_live_max=1, residency_s=0.0)) as runtime:
        await runtime.create(CHAT)
        await trio.sleep(1.0)
        passivator = runtime._registry.inserted.__self__  # type: ignore[attr-defined]  # noqa: SLF001 - the service itself
        looks = 0
        look = passivator.look

        async def counted() -> None:
            nonlocal looks
            looks += 1
            await look()

        passivator.look = counted
        runtime._services.clock.tick_s = 1e-3  # type: ignore[attr-defined]  # noqa: SLF001 - a look takes 1 ms now
        for number in range(100):
            await runtime.create(f"live:{number}")
            await trio.sleep(0.01)
        assert 1 <= looks <= 52
        await trio.sleep(2.0)
        assert len(resident(runtime)) <= 1


async def test_a_session_with_words_left_unsaid_is_untouched(autojump_clock: MockClock) -> None:
    """A turn that streams for most of an hour is not idle, whatever the bounds say."""
    limits = Limits(idle_s=1.0, residency_s=0.0, sessions_live_max=1)
    script = ScriptedAgent([Say("word " * 50, pieces=50, every_s=60.0)])
    async with checked_runtime(script, limits=limits) as runtime:
        await runtime.create(CHAT)
        await runtime.create("live:b")
        result = await (await runtime.send(CHAT, "talk")).result()
        assert result.text == "word " * 50
        assert runtime.statistics().activations == 1


async def test_p1_a_look_that_fails_is_made_up_for(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service starts anew and looks again, though no session has come into memory since."""
    looks = []

    def choose_once_wrong(seen: Sequence[Facts], now_s: float, limits: Limits) -> Choice:
        looks.append(now_s)
        if len(looks) == 1:
            raise ValueError
        return choose(seen, now_s, limits)

    monkeypatch.setattr("actors.runtime.passivation.choose", choose_once_wrong)
    async with checked_runtime(limits=Limits(idle_s=10.0, residency_s=1.0)) as runtime:
        await warm(runtime, CHAT)
        await trio.sleep(200.0)
        assert runtime.statistics().service_restarts == 1
        assert resident(runtime) == set()
