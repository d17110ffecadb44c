"""While the journal fails nothing is acknowledged or published, signals still flow, and nothing is lost or doubled."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    Event,
    Limits,
    MessageAccepted,
    ProgressSignal,
    Runtime,
    Session,
    SessionReady,
    StoreCorruptError,
    StoreError,
    StoreFencedError,
    StoreUnavailableError,
    TextSignal,
    TurnEnded,
    UnavailableError,
    agent,
)
from actors.core.ids import ChatId
from actors.runtime.receipt import Receipt
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Answers,
    Call,
    Fails,
    Fault,
    FaultyJournal,
    Hang,
    Hangs,
    LosesAnswer,
    Say,
    ScriptedAgent,
    Wait,
    canonical,
    checked_runtime,
    records_of,
    settle,
)

CHAT = ChatId("live:a")

OUTAGES: dict[str, Fault] = {
    "raises": Fails(),
    "raises what it should not": Fails(ZeroDivisionError()),
    "answers nonsense": Answers(None),
    "hangs": Hangs(),
    "loses its answers": LosesAnswer(OSError()),
}


class Viewer:
    """Somebody who watches a session from the start."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.items: list[object] = []

    @property
    def events(self) -> list[Event]:
        """What was published."""
        return [item for item in self.items if isinstance(item, Event)]

    @property
    def shown(self) -> str:
        """The text that signals showed."""
        return "".join(item.text for item in self.items if isinstance(item, TextSignal))

    async def watch(self, runtime: Runtime, chat_id: str) -> None:
        """Watch until cancelled or cut off."""
        async with runtime.subscribe(chat_id) as stream:
            async for item in stream:
                self.items.append(item)


@asynccontextmanager
async def watching(runtime: Runtime, chat_id: str) -> AsyncIterator[Viewer]:
    """Watch a session while a block runs."""
    viewer = Viewer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(viewer.watch, runtime, chat_id)
        await wait_all_tasks_blocked()
        yield viewer
        nursery.cancel_scope.cancel()


@pytest.mark.rule(
    "promise_words_8", "promise_words_9", "promise_storage_7", "promise_storage_8", "J1", "pitfall_10", "pack_11"
)
@pytest.mark.parametrize("kind", OUTAGES)
async def test_an_outage_holds_back_everything_but_signals_and_ends_by_itself(
    kind: str, autojump_clock: MockClock
) -> None:
    """A turn runs and two messages come while the disk is away; afterwards everything is there, once."""
    journal = FaultyJournal(MemoryJournal())
    script = ScriptedAgent([Say("ok")], {(CHAT, 1): [Wait(1.0), Say("live words", pieces=10, every_s=0.5)]})
    log = BytesIO()
    receipts: list[Receipt] = []
    async with checked_runtime(script, store=journal, log=log) as runtime:
        for chat_id in (CHAT, "live:b"):
            await runtime.create(chat_id)
        receipts.append(await runtime.send(CHAT, "hello", message_id="first"))
        async with watching(runtime, CHAT) as viewer, trio.open_nursery() as nursery:
            journal.plan("commit", OUTAGES[kind])

            async def send(chat_id: str, key: str) -> None:
                receipts.append(await runtime.send(chat_id, "meanwhile", message_id=key))

            nursery.start_soon(send, CHAT, "second")
            nursery.start_soon(send, "live:b", "third")
            await trio.sleep(20.0)
            assert runtime.statistics().degraded
            assert len(receipts) == 1, "nothing was acknowledged"
            assert viewer.events == [], "nothing was published"
            assert viewer.shown == "live words", "signals go on"
            assert ProgressSignal(CHAT, 0, "degraded", "") in viewer.items
            journal.heal()
            with trio.fail_after(30.0):
                while len(receipts) < 3:
                    await trio.sleep(0.1)
                assert (await receipts[0].result()).text == "live words"
                assert [(await receipt.result()).text for receipt in receipts[1:]] == ["ok", "ok"]
            assert not runtime.statistics().degraded
            assert ProgressSignal(CHAT, 0, "recovered", "") in viewer.items
        assert [event.seq for event in viewer.events] == list(
            range(viewer.events[0].seq, runtime.inspect(CHAT).seq + 1)
        )
        assert runtime.statistics().restarts == 0
        check_once([event.body for event in await journal.events(CHAT, 0, 1000)], ["first", "second"])
    events = [record["event"] for record in records_of(log)]
    assert (events.count("store.degraded"), events.count("store.recovered")) == (1, 1)


def check_once(bodies: Sequence[object], keys: list[str]) -> None:
    """See that each message is there once, and each of its turns ended once."""
    assert [body.message_id for body in bodies if isinstance(body, MessageAccepted)] == keys
    ended = [body.turn for body in bodies if isinstance(body, TurnEnded)]
    assert ended == list(range(1, len(keys) + 1))


@pytest.mark.rule("promise_storage_8")
@pytest.mark.parametrize("kind", OUTAGES)
async def test_a_store_that_fails_at_every_other_commit_holds_the_same_as_one_that_never_does(
    kind: str, autojump_clock: MockClock
) -> None:
    """The conversation is the same, byte for byte."""
    stored = []
    for faulty in (False, True):
        journal = FaultyJournal(MemoryJournal())
        script = ScriptedAgent([Say("one "), Call("tool"), Say("two")])
        async with checked_runtime(script, store=journal) as runtime:
            await runtime.create(CHAT)
            for number in range(5):
                if faulty and kind != "hangs":
                    journal.plan("commit", OUTAGES[kind], skip=number % 3, times=1 + number % 2)
                receipt = await runtime.send(CHAT, f"message {number}", message_id=f"key.{number}")
                assert (await receipt.result()).ok
            await settle(runtime)
            stored.append(await canonical(journal.inner, CHAT))
    assert stored[0] == stored[1]


async def test_text_runs_ahead_of_a_hung_disk_only_as_far_as_it_may(autojump_clock: MockClock) -> None:
    """Then the writer waits, memory stays bounded, and it goes on when the disk is back."""
    journal = FaultyJournal(MemoryJournal())
    said = [0]

    async def talk(turn: object) -> None:
        for _ in range(200):
            await turn.write("x" * 100)  # type: ignore[attr-defined]  # a turn
            said[0] += 100

    limits = Limits(unsaved_bytes_max=2000, checkpoint_bytes_max=500)
    async with checked_runtime(talk, store=journal, limits=limits) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "talk")
        journal.plan("commit", Hangs())
        await trio.sleep(100.0)
        assert 1900 <= said[0] <= 2 * 2000, "what is being written, and as much again"
        journal.heal()
        assert len((await receipt.result()).text) == 20_000


async def test_several_writers_of_one_turn_all_go_on_when_the_disk_is_back(autojump_clock: MockClock) -> None:
    """Each of them waited for room."""
    journal = FaultyJournal(MemoryJournal())

    async def talk(turn: object) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(write_much, turn)

    async def write_much(turn: object) -> None:
        for _ in range(50):
            await turn.write("x" * 100)  # type: ignore[attr-defined]  # a turn

    limits = Limits(unsaved_bytes_max=1000, checkpoint_bytes_max=500)
    async with checked_runtime(talk, store=journal, limits=limits) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "talk")
        journal.plan("commit", Hangs())
        await trio.sleep(10.0)
        journal.heal()
        with trio.fail_after(10.0):
            assert len((await receipt.result()).text) == 25_000


async def test_a_snapshot_during_an_outage_shows_what_everybody_has_seen(autojump_clock: MockClock) -> None:
    """Text that is on its way to the disk is neither missing in the middle nor there twice."""
    journal = FaultyJournal(MemoryJournal())
    script = ScriptedAgent([Say("abcdefghij", pieces=10, every_s=1.0), Wait(1.0)])
    async with checked_runtime(script, store=journal) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "spell")
        await trio.sleep(3.5)
        journal.plan("commit", Hangs())
        await trio.sleep(4.0)
        async with runtime.subscribe(CHAT) as stream:
            ready = await anext(stream)
            assert isinstance(ready, SessionReady)
            assert ready.running is not None
            assert ready.running.messages[-1].text == "abcdefg"
            journal.heal()
            text = "abcdefg"
            async for item in stream:
                if isinstance(item, TextSignal):
                    assert item.offset == len(text)
                    text += item.text
                if isinstance(item, Event) and isinstance(item.body, TurnEnded):
                    break
        assert text == "abcdefghij"
        assert (await receipt.result()).text == text


@pytest.mark.rule("promise_path_1")
async def test_creating_and_deleting_wait_for_the_disk_and_are_done_once(autojump_clock: MockClock) -> None:
    """Also when the caller does not wait with them, and asks again."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        journal.plan("commit", Fails())
        with trio.move_on_after(5.0) as scope:
            await runtime.create(CHAT, history=[("system", "be short")])
        assert scope.cancelled_caught
        assert runtime.statistics().sessions_known == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.create, CHAT)
            nursery.start_soon(runtime.create, CHAT)
            await trio.sleep(5.0)
            journal.heal()
        assert (await (await runtime.send(CHAT, "hello")).result()).ok
        journal.plan("commit", Fails())
        with trio.move_on_after(5.0):
            await runtime.delete(CHAT)
        assert runtime.statistics().sessions_known == 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.delete, CHAT)
            await trio.sleep(5.0)
            journal.heal()
        assert runtime.statistics().sessions_known == 0
        assert await journal.load(CHAT) is None


async def test_an_outage_during_the_shutdown_does_not_hold_it_up(autojump_clock: MockClock) -> None:
    """It ends within its bounds; what could not be written is settled by the next life."""
    store = MemoryStore()
    journal = FaultyJournal(MemoryJournal(store))
    limits = Limits(drain_s=2.0, phase_s=3.0)
    began_s = 0.0
    async with checked_runtime(ScriptedAgent([Hang()]), store=journal, limits=limits, open_turns=True) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "hello")
        began_s = trio.current_time()
        await settle(runtime, open_turns=True)
        journal.plan("commit", Hangs())
    assert trio.current_time() - began_s <= 2.0 + 3 * 3.0 + 1.0
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        assert runtime.statistics().turns == {"interrupted": 1}


@pytest.mark.rule("promise_path_4", "pitfall_12")
@pytest.mark.parametrize("kind", OUTAGES)
async def test_a_lost_answer_to_a_sender_is_settled_by_sending_again(kind: str, autojump_clock: MockClock) -> None:
    """Cancelled while the outcome is unknown; the key tells afterwards, and there is one message."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        await runtime.create(CHAT)
        journal.plan("commit", OUTAGES[kind])
        with trio.move_on_after(3.0):
            await runtime.send(CHAT, "hello", message_id="key")
        journal.heal()
        receipt = await runtime.send(CHAT, "hello", message_id="key")
        assert (await receipt.result()).ok
        await settle(runtime)
        check_once([event.body for event in await journal.events(CHAT, 0, 1000)], ["key"])


@pytest.mark.rule("pack_11")
async def test_an_entry_the_store_finds_corrupt_costs_its_session_only(autojump_clock: MockClock) -> None:
    """Its sender is told; the session is kept out with a record; the others are written in the same moment."""
    journal = FaultyJournal(MemoryJournal())
    log = BytesIO()
    async with checked_runtime(store=journal, log=log) as runtime:
        for chat_id in (CHAT, "live:b"):
            await runtime.create(chat_id)
        journal.plan("commit", Fails(StoreUnavailableError("wait")), times=1)
        async with trio.open_nursery() as nursery:

            async def send_bad() -> None:
                with pytest.raises(StoreError):
                    await runtime.send(CHAT, "hello")

            async def send_good() -> None:
                assert (await (await runtime.send("live:b", "hello")).result()).ok

            nursery.start_soon(send_bad)
            nursery.start_soon(send_good)
            await wait_all_tasks_blocked()
            journal.plan("commit", Fails(StoreCorruptError("bad")), chat_id=CHAT)
        assert runtime.inspect(CHAT).phase == "quarantined"
    assert [r["chat_id"] for r in records_of(log) if r["event"] == "session.corrupt"] == [CHAT]


async def test_a_runtime_that_is_fenced_stops_everything_with_clear_errors(autojump_clock: MockClock) -> None:
    """Running agents are cancelled, senders and waiters and viewers are told, and nothing more is written."""
    store = MemoryStore()
    journal = FaultyJournal(MemoryJournal(store))
    left: list[str] = []

    async def answer(turn: object) -> None:
        try:
            await trio.sleep_forever()
        finally:
            left.append(turn.chat_id)  # type: ignore[attr-defined]  # a turn

    async def receive(session: Session, payload: object) -> None:
        await trio.sleep_forever()

    log = BytesIO()
    async with checked_runtime(agent(answer, receive=receive), store=journal, log=log, open_turns=True) as runtime:
        for chat_id in (CHAT, "live:idle", "live:other"):
            await runtime.create(chat_id)
        receipts = [await runtime.send(chat_id, "hello") for chat_id in (CHAT, "live:other")]
        async with watching(runtime, CHAT) as viewer, trio.open_nursery() as nursery:
            errors: list[UnavailableError] = []

            async def wait_for(receipt: Receipt) -> None:
                try:
                    await receipt.result()
                except UnavailableError as error:
                    errors.append(error)

            for receipt in receipts:
                nursery.start_soon(wait_for, receipt)
            await wait_all_tasks_blocked()
            await MemoryJournal(store).open(takeover=True)
            with pytest.raises(StoreFencedError):
                await runtime.send("live:idle", "the first to notice")
            await trio.sleep(1.0)
            assert sorted(left) == [CHAT, "live:other"]
            assert [error.reason for error in errors] == ["fenced", "fenced"]
            for call in (runtime.send(CHAT, "late"), runtime.tell(CHAT, "late"), runtime.ask("live:idle", "late")):
                with pytest.raises(UnavailableError) as caught:
                    await call
                assert caught.value.reason == "fenced"
            for call in (runtime.create("live:new"), runtime.delete(CHAT), receipts[0].cancel()):
                with pytest.raises(UnavailableError) as caught:
                    await call
                assert caught.value.reason == "fenced"
            await runtime.stop("live:idle")
        assert ProgressSignal(CHAT, 0, "fenced", "") in viewer.items
        assert runtime.inspect(CHAT).phase in {"fenced", "absent"}
    assert [record["event"] for record in records_of(log)].count("store.fenced") == 1
    bodies = [event.body for event in store.chats[CHAT].events]
    assert not any(isinstance(body, TurnEnded) for body in bodies), "the new owner settles what was running"
