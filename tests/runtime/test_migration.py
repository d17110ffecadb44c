"""A draft is given its authoritative id: at once, whatever it is doing, and never in part."""

from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ChatId,
    ConflictError,
    DeadlockError,
    DropReason,
    Event,
    InvalidEnvelopeError,
    Limits,
    ProgressSignal,
    RefusedError,
    Runtime,
    Session,
    SessionMigrated,
    SessionReady,
    StoreUnavailableError,
    TextSignal,
    Turn,
    UnavailableError,
    UnknownChatError,
    agent,
)
from actors.core.stream import Item
from actors.ports import Alias, Conflict
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Answers,
    Ask,
    Call,
    FaultyJournal,
    Hang,
    Hangs,
    LateWrite,
    Raise,
    Say,
    ScriptedAgent,
    Shield,
    VirtualClock,
    checked_runtime,
    records_of,
    settle,
)
from tests.runtime.viewing import read_all, seqs_of

DRAFT, LIVE, OTHER = ChatId("draft:a"), ChatId("live:a"), ChatId("live:b")


async def test_promise_path_34_all_of_a_draft_moves_while_its_turn_runs(autojump_clock: MockClock) -> None:
    """Its turn, its queue, its question, its viewers and who waits; both ids lead to it afterwards."""
    seen: list[str] = []

    async def assistant(turn: Turn) -> None:
        seen.append(turn.chat_id)
        await turn.write("half ")
        await trio.sleep(1.0)
        await turn.progress("typing")
        await turn.write(await turn.ask("whole?"))
        seen.append(turn.chat_id)

    items: list[Item] = []
    log = BytesIO()
    async with checked_runtime(assistant, log=log) as runtime:
        await runtime.create(DRAFT)
        receipts = [await runtime.send(DRAFT, f"message {number}", message_id=f"k{number}") for number in range(3)]

        async def watch() -> None:
            async with runtime.subscribe(DRAFT, until=receipts[-1]) as stream:
                items.extend(await read_all(stream))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await trio.sleep(0.5)
            assert await runtime.migrate(DRAFT, LIVE) == LIVE
            assert (runtime.inspect(DRAFT).chat_id, runtime.inspect(LIVE).running_turn) == (LIVE, 1)
            again = await runtime.send(DRAFT, "message 1", message_id="k1")
            assert (again.duplicate, again.turn, again.chat_id) == (True, 2, LIVE)
            for number, address in enumerate((DRAFT, LIVE, DRAFT), 1):
                await trio.sleep(2.0)
                await runtime.answer(address, f"{address}/{number}/0", "whole")
            results = [await receipt.result() for receipt in receipts]
        assert [(result.turn, result.text) for result in results] == [(n, "half whole") for n in (1, 2, 3)]
        assert await runtime.history(DRAFT) == await runtime.history(LIVE)
        assert await runtime.sessions() == (LIVE,)
        assert runtime.statistics().aliases == 1
    assert seen == [DRAFT, *[LIVE] * 5]
    assert isinstance(items[0], SessionReady)
    assert items[0].chat_id == DRAFT
    seqs = seqs_of(items)
    assert seqs == list(range(items[0].seq + 1, seqs[-1] + 1)), "its viewer missed nothing"
    moved = next(n for n, item in enumerate(items) if isinstance(item, Event) and type(item.body) is SessionMigrated)
    assert {item.chat_id for item in items[moved:]} == {LIVE}
    assert {type(item) for item in items[moved:]} == {Event, TextSignal, ProgressSignal}
    (record,) = [record for record in records_of(log) if record["event"] == "session.migrated"]
    assert (record["chat_id"], record["old_id"]) == (LIVE, DRAFT)


async def test_promise_path_34_repeating_a_migration_changes_nothing(autojump_clock: MockClock) -> None:
    """One after the other, at once, and in the next life; a creation finds the session by either id."""
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        await runtime.create(DRAFT)
        moved: list[str] = []

        async def migrate() -> None:
            moved.append(await runtime.migrate(DRAFT, LIVE))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(migrate)
        assert moved == [LIVE] * 5
        await runtime.migrate(DRAFT, LIVE)
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        assert await runtime.migrate(DRAFT, LIVE) == LIVE
        assert await runtime.create(DRAFT) == await runtime.create(LIVE) == LIVE
        assert (await (await runtime.send(DRAFT, "hello")).result()).ok
        assert (runtime.statistics().sessions_known, runtime.statistics().aliases) == (1, 1)
    bodies = [type(event.body) for event in store.chats[LIVE].events]
    assert bodies.count(SessionMigrated) == 1


@pytest.mark.parametrize(
    ("draft", "live", "kind", "reason"),
    [
        ("draft:a", "live:taken", ConflictError, "conflict"),
        ("draft:a", "live:deleted", ConflictError, "conflict"),
        ("draft:a", "live:moved", ConflictError, "conflict"),
        ("draft:moved", "live:free", ConflictError, "conflict"),
        ("draft:unknown", "live:free", UnknownChatError, "unknown_chat"),
        ("draft:deleted", "live:free", UnknownChatError, "deleted_chat"),
        ("live:taken", "live:free", InvalidEnvelopeError, "invalid_payload"),
        ("draft:a", "draft:free", InvalidEnvelopeError, "invalid_payload"),
        ("draft:a", "replay:free", InvalidEnvelopeError, "invalid_payload"),
        ("draft:a", "live:", InvalidEnvelopeError, "malformed_id"),
        ("draft:a", None, InvalidEnvelopeError, "missing_id"),
        (7, "live:free", InvalidEnvelopeError, "wrong_type"),
    ],
)
async def test_promise_path_35_what_is_in_the_way_is_named_and_nothing_changes(
    draft: object, live: object, kind: type[RefusedError], reason: str, autojump_clock: MockClock
) -> None:
    """Every id keeps its session, to the byte."""
    journal = MemoryJournal()
    async with checked_runtime(store=journal) as runtime:
        for chat_id in (DRAFT, "draft:deleted", "live:deleted", "live:taken", "draft:moved"):
            await runtime.create(chat_id)
        await runtime.delete("draft:deleted")
        await runtime.delete("live:deleted")
        await runtime.migrate("draft:moved", "live:moved")
        await (await runtime.send(DRAFT, "hello")).result()
        await settle(runtime)
        before = {chat_id: list(chat.events) for chat_id, chat in journal.store.chats.items()}
        with pytest.raises(kind) as caught:
            await runtime.migrate(draft, live)
        assert caught.value.reason == reason
        assert {chat_id: chat.events for chat_id, chat in journal.store.chats.items()} == before
        assert await runtime.sessions() == (DRAFT, "live:moved", "live:taken")


async def test_d5_creations_and_migrations_at_once_give_an_id_to_one_session(autojump_clock: MockClock) -> None:
    """Swept over every step of either: two drafts and a creation want one id, and exactly one of them has it."""
    outcomes: set[tuple[str, ...]] = set()
    for first in ("draft:a", "draft:b", "create"):
        for steps in range(12):
            async with checked_runtime() as runtime:
                for draft in ("draft:a", "draft:b"):
                    await (await runtime.send(await runtime.create(draft), draft, message_id=draft)).result()
                got: dict[str, str] = {}

                async def ask_for(
                    who: str, *, runtime: Runtime = runtime, got: dict[str, str] = got, target: ChatId = LIVE
                ) -> None:
                    call = runtime.create(target) if who == "create" else runtime.migrate(who, target)
                    try:
                        got[who] = await call
                    except ConflictError:
                        got[who] = "conflict"

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ask_for, first)
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    for other in {"draft:a", "draft:b", "create"} - {first}:
                        nursery.start_soon(ask_for, other)
                winners = [draft for draft in ("draft:a", "draft:b") if got[draft] == LIVE]
                outcomes.add(tuple(winners))
                assert got["create"] == LIVE, "a creation finds whoever has the id"
                assert len(winners) <= 1
                history = (await runtime.history(LIVE)).messages
                assert [message.message_id for message in history if message.role == "user"] == winners
                left = {"draft:a", "draft:b"} - set(winners)
                assert set(await runtime.sessions()) == {LIVE, *left}
    assert outcomes == {("draft:a",), ("draft:b",), ()}


@pytest.mark.parametrize("state", ["quarantined", "stopping", "closed"])
async def test_promise_path_35_a_session_that_takes_nothing_is_not_migrated(
    state: str, autojump_clock: MockClock
) -> None:
    """As it takes no message either; the reason says what to do."""
    script = ScriptedAgent([Say("x"), Raise(ValueError)] if state == "quarantined" else [Shield(2.0)])
    limits = Limits(restarts_max=0, cancel_grace_s=1.0)
    async with checked_runtime(script, limits=limits, clock=VirtualClock(rolls=[1.0]), open_turns=True) as runtime:
        await runtime.create(DRAFT)
        await runtime.send(DRAFT, "hello")
        await trio.sleep(1.0)
        if state == "quarantined":
            with pytest.raises(UnavailableError) as caught:
                await runtime.migrate(DRAFT, LIVE)
            assert caught.value.reason == "quarantined"
            runtime.release(DRAFT)
            assert await runtime.migrate(DRAFT, LIVE) == LIVE
            return
        if state == "stopping":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(runtime.stop, DRAFT)
                await wait_all_tasks_blocked()
                with pytest.raises(UnavailableError) as caught:
                    await runtime.migrate(DRAFT, LIVE)
            assert caught.value.reason == "stopping"
            assert await runtime.migrate(DRAFT, LIVE) == LIVE
            return
    with pytest.raises(UnavailableError):
        await runtime.migrate(DRAFT, LIVE)


async def test_a_migration_that_waits_is_told_when_its_session_ends(autojump_clock: MockClock) -> None:
    """It waits behind a write that hangs; then the session stops, and nothing has changed."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(ScriptedAgent([Hang()]), store=journal) as runtime:
        await runtime.create(DRAFT)
        await runtime.send(DRAFT, "hello")
        await wait_all_tasks_blocked()
        journal.plan("commit", Hangs())
        reasons: list[str] = []

        async def migrate() -> None:
            try:
                await runtime.migrate(DRAFT, LIVE)
            except RefusedError as error:
                reasons.append(error.reason)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.send, DRAFT, "waits for the disk")
            await wait_all_tasks_blocked()
            nursery.start_soon(migrate)
            await wait_all_tasks_blocked()
            nursery.start_soon(runtime.stop, DRAFT)
            await wait_all_tasks_blocked()
            journal.heal()
        assert reasons in (["stopping"], [])
        assert set(await runtime.sessions()) == ({DRAFT} if reasons else {LIVE})


async def test_a_caller_that_goes_before_it_began_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    """And one that goes while it is being written finds it done when it asks again."""
    for hangs_first in (True, False):
        journal = FaultyJournal(MemoryJournal())
        async with checked_runtime(ScriptedAgent(), store=journal) as runtime:
            await runtime.create(DRAFT)
            await (await runtime.send(DRAFT, "hello")).result()
            await settle(runtime)
            journal.plan("commit", Hangs())
            async with trio.open_nursery() as nursery:
                if hangs_first:
                    nursery.start_soon(runtime.send, DRAFT, "in the way")
                    await wait_all_tasks_blocked()
                with trio.move_on_after(1.0) as scope:
                    await runtime.migrate(DRAFT, LIVE)
                assert scope.cancelled_caught
                journal.heal()
            await settle(runtime)
            assert await runtime.sessions() == ((DRAFT,) if hangs_first else (LIVE,))
            assert await runtime.migrate(DRAFT, LIVE) == LIVE


async def test_an_id_that_only_the_journal_knows_is_refused_and_the_draft_goes_on(autojump_clock: MockClock) -> None:
    """The directory is a copy; the store has the last word."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        await runtime.create(DRAFT)
        journal.plan("commit", Answers([Conflict(1)]), times=1)
        with pytest.raises(ConflictError):
            await runtime.migrate(DRAFT, LIVE)
        assert (await (await runtime.send(DRAFT, "hello")).result()).ok
        assert (await runtime.sessions(), runtime.statistics().crashes) == ((DRAFT,), 0)
        assert await runtime.migrate(DRAFT, LIVE) == LIVE


async def test_a_volatile_message_finds_its_session_by_either_id(autojump_clock: MockClock) -> None:
    """The handler is told the new one; a circle of asks is seen through the old one."""
    told: list[str] = []
    circle: list[str] = []

    async def receive(session: Session, payload: object) -> object:
        told.append(session.chat_id)
        if payload == "round":
            try:
                await runtime.ask(DRAFT, "and round", session=session)
            except DeadlockError:
                circle.append("seen")
        return payload

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        await runtime.create(DRAFT)
        await runtime.tell(DRAFT, "one")
        await runtime.migrate(DRAFT, LIVE)
        await runtime.tell(DRAFT, "two")
        runtime.tell_nowait(DRAFT, "three")
        assert [await runtime.ask(address, "x") for address in (DRAFT, LIVE)] == ["x", "x"]
        await runtime.ask(LIVE, "round")
        await settle(runtime)
        assert runtime._supervisor.tasks == [LIVE]  # noqa: SLF001 - its task has its name
    assert told == [DRAFT, *[LIVE] * 5]
    assert circle == ["seen"]


@pytest.mark.parametrize("address", [DRAFT, LIVE])
async def test_d8_a_deleted_draft_is_buried_under_both_its_ids(address: ChatId, autojump_clock: MockClock) -> None:
    """Whichever it is deleted by; nothing of it is left, in this life and the next."""
    store = MemoryStore()
    async with checked_runtime(ScriptedAgent([Say("half"), Hang()]), store=MemoryJournal(store)) as runtime:
        await runtime.create(DRAFT)
        await runtime.send(DRAFT, "hello")
        await runtime.migrate(DRAFT, LIVE)
        await runtime.delete(address)
        await check_buried(runtime)
        assert runtime.statistics().aliases == 0
    assert {DRAFT, LIVE} < set(store.tombstones)
    assert (store.chats, store.aliases) == ({}, {})
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        await check_buried(runtime)


async def check_buried(runtime: Runtime) -> None:
    """See that nothing takes either id any more."""
    for chat_id in (DRAFT, LIVE):
        for call in (runtime.send(chat_id, "late"), runtime.create(chat_id), runtime.history(chat_id)):
            with pytest.raises(UnknownChatError) as caught:
                await call
            assert caught.value.reason == "deleted_chat"
    with pytest.raises(ConflictError):
        await runtime.migrate(await runtime.create(f"draft:{runtime.epoch}"), LIVE)
    await runtime.delete(f"draft:{runtime.epoch}")


async def test_pitfall_24_late_words_of_a_migrated_draft_bring_neither_id_back(autojump_clock: MockClock) -> None:
    """It is deleted in the middle of a tool call, by its old id, and its agent speaks afterwards."""
    script = ScriptedAgent([LateWrite("late"), Call("tool", seconds=1e6)])
    store = MemoryStore()
    async with checked_runtime(script, store=MemoryJournal(store)) as runtime:
        await runtime.create(DRAFT)
        receipt = await runtime.send(DRAFT, "hello")
        await wait_all_tasks_blocked()
        await runtime.migrate(DRAFT, LIVE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receipt.result)
            await runtime.delete(DRAFT)
        assert len(await script.write_late()) == 1
        with pytest.raises(UnknownChatError):
            await runtime.send(DRAFT, "late")
        assert runtime.statistics().dropped == {DropReason.DELETED_CHAT: 1}
    assert store.chats == {}


async def test_pitfall_30_an_old_address_never_reaches_a_new_session(autojump_clock: MockClock) -> None:
    """Neither by an id that was given up, nor by the incarnation that somebody meant."""
    async with checked_runtime(ScriptedAgent()) as runtime:
        await runtime.create(DRAFT)
        await (await runtime.send(DRAFT, "hello")).result()
        meant = runtime.inspect(DRAFT).incarnation
        await runtime.migrate(DRAFT, LIVE)
        assert (await (await runtime.send(DRAFT, "the same life", incarnation=meant)).result()).ok
        await runtime.stop(DRAFT)
        with pytest.raises(UnavailableError) as caught:
            await runtime.send(DRAFT, "meant for another life", incarnation=meant)
        assert caught.value.reason == "stale_incarnation"
        await runtime.delete(LIVE)
        for address in (DRAFT, LIVE):
            with pytest.raises(UnknownChatError):
                await runtime.create(address)
        await runtime.create(OTHER)
        with pytest.raises(UnknownChatError):
            await runtime.send(DRAFT, "an old message", message_id="old")
        assert (await runtime.history(OTHER)).messages == ()


async def test_a_prompt_that_was_open_in_a_draft_is_answered_under_its_new_id(autojump_clock: MockClock) -> None:
    """And by whoever still has the old one; the first answer wins as ever."""
    for address in (DRAFT, LIVE):
        async with checked_runtime(ScriptedAgent([Ask("may I?")])) as runtime:
            await runtime.create(DRAFT)
            receipt = await runtime.send(DRAFT, "hello")
            await wait_all_tasks_blocked()
            await runtime.migrate(DRAFT, LIVE)
            await runtime.answer(address, f"{address}/1/0", "yes")
            with pytest.raises(RefusedError):
                await runtime.answer(DRAFT, f"{DRAFT}/1/0", "no")
            assert (await receipt.result()).ok


async def test_an_opening_reads_where_old_ids_lead(autojump_clock: MockClock) -> None:
    """So that routing never asks the disk."""
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        await runtime.create(DRAFT)
        await runtime.migrate(DRAFT, LIVE)
    journal = MemoryJournal(store)
    assert (await journal.open(takeover=False)).aliases == (Alias(DRAFT, LIVE),)
    await journal.close()
    with pytest.raises(StoreUnavailableError):
        await journal.load(DRAFT)


async def test_a_reminder_that_was_set_in_a_draft_comes_once_under_its_new_id(autojump_clock: MockClock) -> None:
    """In this life and in the next, whether or not the session is in memory."""
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store), clock=VirtualClock(wall_s=1000.0)) as runtime:
        await runtime.create(DRAFT)
        await runtime.remind(DRAFT, "tea", "drink it", at_s=1010.0)
        await runtime.remind(DRAFT, "again", "and again", every_s=60.0)
        await runtime.migrate(DRAFT, LIVE)
        await runtime.stop(LIVE)
        await trio.sleep(70.0)
        texts = [message.text for message in (await runtime.history(DRAFT)).messages if message.role == "user"]
        assert texts == ["drink it", "and again"]
        assert [reminder.key for reminder in await runtime.reminders(DRAFT)] == ["again"]
        await runtime.delete(DRAFT)
        await trio.sleep(200.0)
        assert runtime.statistics().sessions_known == 0
