"""The runtime on a real file and real time: what was acknowledged is there, in order, in every later life."""

import random
from pathlib import Path

import pytest
import trio

from actors import ChatId, Event, Limits, RefusedError, Turn, agent
from actors.runtime.clock import SystemClock, Threads
from actors.store.memory import MemoryJournal
from actors.store.sqlite import SQLiteJournal
from actors.testing import (
    Call,
    Do,
    Fails,
    FaultyJournal,
    Hang,
    LosesAnswer,
    Raise,
    SaveState,
    Say,
    Script,
    ScriptedAgent,
    ScriptKey,
    Think,
    canonical,
    checked_runtime,
    settle,
)

CHAT = ChatId("live:a")

QUICK = Limits(checkpoint_s=0.01, backoff_first_s=0.0, commit_retry_first_s=0.001, drain_s=0.2, cancel_grace_s=0.2)
"""Waits of a few milliseconds, since the time is real."""

LIVELY: Script = [Think("hm"), Say("some words", pieces=4), Call("one"), Call("open", result=None), SaveState({"n": 1})]


async def converse(store: SQLiteJournal | MemoryJournal | FaultyJournal, messages: int = 4) -> bytes:
    """Hold a lively conversation and return what is stored of it."""
    scripts: dict[ScriptKey, Script] = {(CHAT, 2): [Say("half"), Raise(ValueError)], (CHAT, 3): [Say("half"), Hang()]}
    async with checked_runtime(ScriptedAgent(LIVELY, scripts), store=store, limits=QUICK) as runtime:
        await runtime.create(CHAT, history=[("system", "be short"), ("assistant", "\u00e4 \U0001f600")])
        for number in range(messages):
            receipt = await runtime.send(
                CHAT, f"message {number} \u4e2d", message_id=f"key.{number}", sender="somebody"
            )
            if number == 2:
                await trio.sleep(0.05)
                await receipt.cancel()
            await receipt.result()
        await settle(runtime)
        return await canonical(store, CHAT)


async def test_a_file_holds_what_memory_holds(tmp_path: Path) -> None:
    """The same conversation on both stores, byte for byte; and on a file that fails now and then."""
    in_memory = await converse(MemoryJournal())
    on_disk = await converse(SQLiteJournal(tmp_path / "one.db", Threads()))
    faulty = FaultyJournal(SQLiteJournal(tmp_path / "two.db", Threads()))
    for skip in range(0, 20, 3):
        faulty.plan("commit", LosesAnswer(OSError()) if skip % 2 else Fails(), skip=skip, times=1)
    failing = await converse(faulty)
    assert [pieces_joined(stored) for stored in (on_disk, failing)] == [pieces_joined(in_memory)] * 2


def pieces_joined(stored: bytes) -> list[str]:
    """Leave out where live text happened to be cut into checkpoints, which real time decides."""
    lines = [line.partition(" ")[2] for line in stored.decode().splitlines()]
    return [line for line in lines if '"kind":"text.appended"' not in line]


async def test_a_file_is_found_again_with_everything_that_was_acknowledged(tmp_path: Path) -> None:
    """Keys, results, state, history and numbers, in three lives."""
    path = tmp_path / "chats.db"
    seen: list[object] = []

    async def look(turn: Turn) -> None:
        seen.append(turn.state)
        turn.state = turn.number

    for life in range(3):
        async with checked_runtime(ScriptedAgent([Do(look), Say("ok")]), store=path, limits=QUICK) as runtime:
            await runtime.create(CHAT)
            receipts = [
                await runtime.send(CHAT, f"message {number}", message_id=f"key.{number}") for number in range(life + 1)
            ]
            assert [receipt.duplicate for receipt in receipts] == [True] * life + [False]
            assert [(await receipt.result()).text for receipt in receipts] == ["ok"] * (life + 1)
            async with runtime.subscribe(CHAT, after=0, until=receipts[-1]) as stream:
                events = [item async for item in stream if isinstance(item, Event)]
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert runtime.epoch == life + 1
    assert seen == [None, 1, 2]


@pytest.mark.rule("promise_4", "L7")
async def test_what_is_killed_in_the_middle_is_settled_by_the_next_life(tmp_path: Path) -> None:
    """Turns at every stage, in twenty sessions, with the program ending at a random moment."""
    path = tmp_path / "chats.db"
    chance = random.Random(4)
    script = ScriptedAgent([Think("hm"), Say("words " * 20, pieces=10, every_s=0.005), Call("tool", seconds=0.02)])
    acknowledged: dict[str, set[str]] = {f"live:{number}": set() for number in range(20)}
    for life in range(3):
        with trio.move_on_after(0.1 + chance.random() * 0.3):
            async with checked_runtime(script, store=path, limits=QUICK, clock=SystemClock(life)) as runtime:

                async def live(chat_id: str, life: int = life) -> None:
                    await runtime.create(chat_id)
                    for number in range(100):
                        key = f"key.{life}.{number}"
                        try:
                            await runtime.send(chat_id, "hello", message_id=key)
                        except RefusedError:
                            return
                        acknowledged[chat_id].add(key)
                        await trio.sleep(chance.random() * 0.01)

                async with trio.open_nursery() as nursery:
                    for chat_id in acknowledged:
                        nursery.start_soon(live, chat_id)
    async with checked_runtime(ScriptedAgent(), store=path, limits=QUICK) as runtime:
        await settle(runtime)
        for chat_id, keys in acknowledged.items():
            messages, before = list[str](), None
            while True:
                page = await runtime.history(chat_id, before_turn=before)
                messages += [message.message_id for message in page.messages if message.role == "user"]
                before = page.before_turn
                if before is None:
                    break
            assert len(messages) == len(set(messages))
            assert keys <= set(messages), "what was acknowledged is there"


async def test_nothing_that_can_be_sent_can_make_the_disk_refuse_everybody(tmp_path: Path) -> None:
    """Strange text in every field: refused or kept, and a neighbour is answered in between."""
    strange = ["\ud800", "\x00", "\U0010ffff", "'; DROP TABLE event;--", "\u202e", "a" * 1000, '{"kind":"turn.ended"}']

    async def answer(turn: Turn) -> None:
        await turn.write(turn.text)
        call = await turn.call(turn.text, {"a": turn.text}, call_id=turn.text[:50])
        await call.end(turn.text)
        turn.state = {turn.text: turn.text}

    async with checked_runtime(agent(answer), store=tmp_path / "chats.db", limits=QUICK) as runtime:
        for chat_id in (CHAT, "live:b"):
            await runtime.create(chat_id, history=[("user", "'; DROP TABLE session;--")])
        for text in strange:
            for options in ({"text": text}, {"text": "x", "sender": text}, {"text": "x", "message_id": text}):
                try:
                    receipt = await runtime.send(CHAT, **options)  # type: ignore[arg-type]  # fields by name
                except RefusedError:
                    pass
                else:
                    assert (await receipt.result()).ok
            with trio.fail_after(5.0):
                assert (await (await runtime.send("live:b", "fine?")).result()).text == "fine?"
        assert not runtime.statistics().degraded
        assert runtime.statistics().crashes == 0


@pytest.mark.rule("promise_storage_2", "J5")
@pytest.mark.parametrize("sessions", [200])
async def test_many_sessions_write_at_once_in_groups(sessions: int, tmp_path: Path) -> None:
    """One transaction for many, each in its order."""
    async with checked_runtime(store=tmp_path / "chats.db", limits=QUICK) as runtime:

        async def live(chat_id: str) -> None:
            await runtime.create(chat_id)
            for number in range(5):
                assert (await (await runtime.send(chat_id, f"message {number}")).result()).turn == number + 1

        async with trio.open_nursery() as nursery:
            for number in range(sessions):
                nursery.start_soon(live, f"live:{number}")
        statistics = runtime.statistics()
        assert statistics.turns == {"completed": sessions * 5}
        assert statistics.commit_groups < statistics.commit_entries / 2
