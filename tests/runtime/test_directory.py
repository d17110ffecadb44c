"""A session comes into being once, durably, or not at all."""

import re

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ChatId,
    InvalidEnvelopeError,
    Limits,
    Runtime,
    Seed,
    SeedPart,
)
from actors.runtime.directory import SeedLike
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Say,
    ScriptedAgent,
    checked_runtime,
)

CHAT = ChatId("live:a")
BAD_SEEDS: list[SeedLike] = [
    ("king", "hello"),
    ("user", "\ud800"),
    ("user", "x" * 2000),
    ("user", 7),  # type: ignore[list-item]  # on purpose
    Seed("", "user", (SeedPart("text", "hello"),)),
    Seed("x" * 129, "user", (SeedPart("text", "hello"),)),
    Seed("\ud800", "user", (SeedPart("text", "hello"),)),
    Seed("m", "user", (SeedPart("song", "la"),)),  # type: ignore[arg-type]  # on purpose
    Seed("m", "user", (SeedPart("text", "hello", name="\ud800"),)),
    Seed("m", "user", (SeedPart("text", "hello", call_id="\ud800"),)),
]
"""Messages that no history can begin with, some of which no disk could hold."""


async def stop_and_see(runtime: Runtime) -> None:
    """Stop the session and see it gone."""
    await runtime.stop(CHAT)
    assert runtime.statistics().sessions_live == 0


@pytest.mark.rule("promise_path_2")
async def test_a_session_is_created_once_however_often_it_is_asked_for(autojump_clock: MockClock) -> None:
    """One after the other, at the same time, and in the next life."""
    store = MemoryStore()
    made: list[str] = []
    async with checked_runtime(store=MemoryJournal(store)) as runtime:

        async def create(number: int) -> None:
            made.append(await runtime.create(CHAT, history=[("system", f"version {number}")]))

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(create, number)
        assert made == [CHAT] * 10
        assert runtime.statistics().sessions_known == 1
        assert len((await runtime.history(CHAT)).messages) == 1, "the first history stands"
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        assert await runtime.create(CHAT, history=[("system", "late")]) == CHAT
        assert len((await runtime.history(CHAT)).messages) == 1


@pytest.mark.rule("promise_path_2")
async def test_an_id_is_made_for_who_gives_none(autojump_clock: MockClock) -> None:
    """Live, unique, and in the order of their making."""
    async with checked_runtime() as runtime:
        made = [await runtime.create() for _ in range(100)]
        assert len(set(made)) == 100
        assert all(
            re.fullmatch(r"live:[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in made
        )


async def test_a_creation_that_fails_can_be_tried_again(autojump_clock: MockClock) -> None:
    """Nothing of it is left when it is refused for its history."""
    async with checked_runtime(limits=Limits(message_bytes_max=1000)) as runtime:
        for seed in BAD_SEEDS:
            with pytest.raises(InvalidEnvelopeError):
                await runtime.create(CHAT, history=[("system", "fine"), seed])
        assert runtime.statistics().sessions_known == 0
        await runtime.create(CHAT, history=[("system", "fine")])
        assert (await (await runtime.send(CHAT, "hello")).result()).ok


async def test_what_a_history_begins_with_is_there_as_it_was_given(autojump_clock: MockClock) -> None:
    """Roles, parts, names and ids, in order, with turn 0."""
    history: list[SeedLike] = [
        ("system", "be short"),
        Seed("first", "user", (SeedPart("text", "look at a"),)),
        Seed("second", "assistant", (SeedPart("thinking", "hm"), SeedPart("tool_call", "{}", "look", "id-1"))),
        Seed("third", "tool", (SeedPart("tool_result", "", "look", "id-1"),)),
    ]
    async with checked_runtime() as runtime:
        await runtime.create(CHAT, history=history)
        messages = (await runtime.history(CHAT)).messages
    assert [
        (m.message_id, m.role, m.turn, [(p.kind, p.text, p.name, p.call_id) for p in m.parts]) for m in messages
    ] == [
        ("seed/0", "system", 0, [("text", "be short", "", "")]),
        ("first", "user", 0, [("text", "look at a", "", "")]),
        ("second", "assistant", 0, [("thinking", "hm", "", ""), ("tool_call", "{}", "look", "id-1")]),
        ("third", "tool", 0, [("tool_result", "", "look", "id-1")]),
    ]


@pytest.mark.rule("pack_5")
async def test_creating_and_editing_others_does_not_touch_a_stream(autojump_clock: MockClock) -> None:
    """A hundred sessions come and go while one talks."""
    script = ScriptedAgent([Say("ok")], {CHAT: [Say("a long answer in pieces", pieces=20, every_s=0.1)]})
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "talk")
        for number in range(100):
            chat_id = await runtime.create(f"live:{number}")
            await runtime.send(chat_id, "hello")
            if number % 3 == 0:
                await runtime.stop(chat_id)
            if number % 5 == 0:
                await runtime.delete(chat_id)
            await trio.sleep(0.01)
        assert (await receipt.result()).text == "a long answer in pieces"
