"""Deleting: cancel, await the end, answer who waits, erase, leave a tombstone; others keep every byte."""

from collections.abc import Sequence
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    AskError,
    ChatId,
    DropReason,
    Limits,
    RefusedError,
    Runtime,
    Session,
    StoreCorruptError,
    StoreError,
    UnknownChatError,
    agent,
)
from actors.runtime.receipt import Receipt
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Ask,
    Call,
    Fails,
    FaultyJournal,
    Hang,
    Hangs,
    LateWrite,
    Raise,
    Say,
    ScriptedAgent,
    Shield,
    Step,
    VirtualClock,
    Wait,
    canonical,
    checked_runtime,
    records_of,
    settle,
)

CHAT = ChatId("live:a")

STATES: dict[str, Sequence[Step]] = {
    "never activated": [],
    "idle": [Say("ok")],
    "talking": [Say("half"), Hang()],
    "in a tool": [Call("tool", seconds=1e6)],
    "asking a person": [Ask("may I?")],
    "shielded": [Say("half"), Shield(100.0)],
    "restarting": [Wait(0.5), Raise(ValueError)],
    "quarantined": [Wait(0.5), Raise(ValueError)],
    "stopped": [Say("ok")],
}


@pytest.mark.rule("L5", "promise_path_36")
@pytest.mark.parametrize("state", STATES)
async def test_a_session_is_deleted_whatever_it_is_doing(state: str, autojump_clock: MockClock) -> None:
    """With turns queued behind; everybody who waits is answered, nothing is left, and it never comes back."""
    store = MemoryStore()
    script = ScriptedAgent(STATES[state])
    limits = Limits(restarts_max=0 if state == "quarantined" else 5, backoff_first_s=30.0)
    log = BytesIO()
    ends: list[object] = []
    async with checked_runtime(
        script, store=MemoryJournal(store), limits=limits, clock=VirtualClock(rolls=[1.0]), log=log
    ) as runtime:
        await runtime.create(CHAT)
        receipts = []
        if state != "never activated":
            receipts = [await runtime.send(CHAT, f"message {number}") for number in range(3)]
            await trio.sleep(1.0)
        if state == "stopped":
            await runtime.stop(CHAT)

        async def wait_for(receipt: Receipt) -> None:
            try:
                ends.append((await receipt.result()).status)
            except RefusedError as error:
                ends.append(error.reason)

        with trio.fail_after(60.0):
            async with trio.open_nursery() as nursery:
                for receipt in receipts:
                    nursery.start_soon(wait_for, receipt)
                await wait_all_tasks_blocked()
                await runtime.delete(CHAT)
        assert len(ends) == len(receipts)
        assert await runtime.sessions() == ()
        for call in (runtime.send(CHAT, "late"), runtime.create(CHAT), runtime.delete(CHAT), runtime.history(CHAT)):
            with pytest.raises(UnknownChatError) as caught:
                await call
            assert caught.value.reason == "deleted_chat"
        assert not runtime._registry.refs  # noqa: SLF001 - nothing of it is left in memory
    assert CHAT in store.tombstones
    assert CHAT not in store.chats
    assert [record["event"] for record in records_of(log)].count("session.deleted") == 1
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        with pytest.raises(UnknownChatError):
            await runtime.create(CHAT)


@pytest.mark.rule("promise_3", "pack_4")
async def test_deleting_one_session_leaves_the_bytes_of_all_others_as_they_would_have_been(
    autojump_clock: MockClock,
) -> None:
    """B and C stream while A is deleted; they hold the same as in a run without the deletion."""
    stored = []
    for deleting in (False, True):
        journal = MemoryJournal()
        script = ScriptedAgent([Say("words in pieces", pieces=10, every_s=0.2), Call("tool", seconds=1.0), Say("end")])
        async with checked_runtime(script, store=journal) as runtime:
            for chat_id in (CHAT, "live:b", "live:c"):
                await runtime.create(chat_id)
            receipts = [
                await runtime.send(chat_id, "hello", message_id="key") for chat_id in (CHAT, "live:b", "live:c")
            ]
            await trio.sleep(1.05)
            if deleting:
                await runtime.delete(CHAT)
            for receipt in receipts[1:]:
                assert (await receipt.result()).text == "words in piecesend"
            await settle(runtime)
            stored.append([await canonical(journal, chat_id) for chat_id in ("live:b", "live:c")])
    assert stored[0] == stored[1]


@pytest.mark.rule("promise_path_36")
async def test_a_deletion_dead_letters_what_waits_and_answers_who_asked(autojump_clock: MockClock) -> None:
    """A handler that hangs is killed after the grace; asks behind it were not started."""

    async def hang(session: Session, payload: object) -> None:
        await trio.sleep_forever()

    outcomes: list[str] = []
    async with checked_runtime(agent(ScriptedAgent(), receive=hang)) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, "hangs")
        await wait_all_tasks_blocked()
        await runtime.tell(CHAT, "waits")

        async def ask() -> None:
            with pytest.raises(AskError) as caught:
                await runtime.ask(CHAT, "waits too", timeout_s=1000.0)
            outcomes.append(caught.value.outcome)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            await runtime.delete(CHAT)
        assert outcomes == ["not_started"]
        assert [letter.reason for letter in runtime.dead_letters()] == [DropReason.DELETED_CHAT] * 2


@pytest.mark.rule("promise_path_37", "D8", "pitfall_24")
async def test_late_words_of_a_deleted_session_bring_nothing_back(autojump_clock: MockClock) -> None:
    """Neither an agent that does not let go, nor one that kept its turn."""
    store = MemoryStore()
    script = ScriptedAgent([LateWrite("late"), Say("half"), Shield(30.0), Say("late")])
    async with checked_runtime(script, store=MemoryJournal(store)) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "hello")
        await trio.sleep(1.0)
        await runtime.delete(CHAT)
        assert len(await script.write_late()) == 1
        await trio.sleep(60.0)
        assert runtime.statistics().late_output == 2
        assert runtime.statistics().sessions_known == 0
    assert CHAT not in store.chats


async def test_many_who_delete_at_once_delete_once(autojump_clock: MockClock) -> None:
    """Each of them returns, or hears that it is deleted already."""
    async with checked_runtime(ScriptedAgent([Hang()])) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "hello")
        outcomes: list[str] = []

        async def delete() -> None:
            try:
                await runtime.delete(CHAT)
            except UnknownChatError as error:
                outcomes.append(error.reason)
            else:
                outcomes.append("deleted")

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(delete)
                if number > 2:
                    await wait_all_tasks_blocked()
        assert outcomes.count("deleted") >= 1
        assert set(outcomes) <= {"deleted", "deleted_chat"}


async def test_a_stop_and_a_deletion_at_once_delete(autojump_clock: MockClock) -> None:
    """In either order."""
    for first, second in (("stop", "delete"), ("delete", "stop")):
        async with checked_runtime(ScriptedAgent([Hang()])) as runtime:
            await runtime.create(CHAT)
            await runtime.send(CHAT, "hello")
            await wait_all_tasks_blocked()
            async with trio.open_nursery() as nursery:
                for verb in (first, second):
                    nursery.start_soon(getattr(runtime, verb), CHAT)
                    await trio.lowlevel.checkpoint()
            assert runtime.statistics().sessions_known == 0


async def test_a_deletion_that_cannot_be_written_waits_or_is_told(autojump_clock: MockClock) -> None:
    """While the disk is away the session is not deleted; a store that refuses leaves it stopped, not half gone."""
    journal = FaultyJournal(MemoryJournal())
    async with checked_runtime(store=journal) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        journal.plan("commit", Hangs())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.delete, CHAT)
            await trio.sleep(100.0)
            assert runtime.statistics().sessions_known == 1
            journal.heal()
        assert runtime.statistics().sessions_known == 0

        await runtime.create("live:b")
        journal.plan("commit", Fails(StoreCorruptError("rows contradict each other")), times=1)
        with pytest.raises(StoreError):
            await runtime.delete("live:b")
        assert runtime.statistics().sessions_known == 1
        assert (await (await runtime.send("live:b", "hello")).result()).ok
        await runtime.delete("live:b")


async def test_a_send_in_the_moment_of_a_deletion_is_refused_or_its_sender_told(autojump_clock: MockClock) -> None:
    """Swept over every step of the deletion: never a hang, never a session that comes back."""
    for steps in range(20):
        store = MemoryStore()
        async with checked_runtime(ScriptedAgent([Hang()]), store=MemoryJournal(store)) as runtime:
            await runtime.create(CHAT)
            await runtime.send(CHAT, "hello")
            await wait_all_tasks_blocked()
            with trio.fail_after(60.0):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(runtime.delete, CHAT)
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    await send_late(runtime)
        assert CHAT not in store.chats


async def send_late(runtime: Runtime) -> None:
    """Send what may be refused, or whose turn may be cancelled by the deletion."""
    try:
        receipt = await runtime.send(CHAT, "late")
        await receipt.result()
    except RefusedError as error:
        assert error.reason in {"stopping", "deleted_chat"}


async def test_d8_a_deleted_id_is_refused_for_as_long_as_its_tombstone_is_kept(autojump_clock: MockClock) -> None:
    """In every life; when a store is opened after that time, the id is unknown like any other, and can be had anew."""
    store, clock = MemoryStore(), VirtualClock()
    day_s = 86_400.0
    for days, told in ((0, "deleted_chat"), (29, "deleted_chat"), (2, "unknown_chat")):
        clock.jump(days * day_s)
        async with checked_runtime(store=MemoryJournal(store), clock=clock) as runtime:
            if not days:
                await runtime.delete(await runtime.create("live:a"))
            with pytest.raises(UnknownChatError) as caught:
                await runtime.send("live:a", "late")
            assert caught.value.reason == told
            if told == "deleted_chat":
                with pytest.raises(UnknownChatError):
                    await runtime.create("live:a")
            else:
                assert (await (await runtime.send(await runtime.create("live:a"), "new")).result()).ok
