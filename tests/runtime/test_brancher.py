"""A session begins with a copy of another's history, and both go their own ways."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ChatId,
    ConflictError,
    InvalidEnvelopeError,
    Limits,
    RefusedError,
    Runtime,
    Turn,
    UnavailableError,
    UnknownChatError,
)
from actors.store.checks import check_store
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Cancels,
    Kills,
    Meets,
    Scenario,
    canonical,
    checked_runtime,
    settle,
    sweep,
)

CHAT, FORK = ChatId("live:a"), ChatId("live:fork")


async def count(turn: Turn) -> None:
    """Agent: count its turns, and say how many messages it has read."""
    if turn.text == "hang":
        await turn.write("half")
        await trio.sleep_forever()
    state = turn.state
    turn.state = (state if isinstance(state, int) else 0) + 1
    await turn.write(f"{turn.state} of {len(turn.history)}")


async def converse(runtime: Runtime, turns: int = 3) -> None:
    """Hold a conversation."""
    await runtime.create(CHAT, history=[("system", "be brief")])
    for number in range(1, turns + 1):
        await (await runtime.send(CHAT, f"message {number}", message_id=f"k{number}")).result()


async def texts(runtime: Runtime, chat_id: str) -> list[str]:
    """Read what was said in a session."""
    return [message.text for message in (await runtime.history(chat_id)).messages]


async def test_promise_path_38_a_fork_begins_with_a_prefix_and_goes_its_own_way(autojump_clock: MockClock) -> None:
    """History and state are those of then; what is said in one is not heard in the other, to the byte."""
    journal = MemoryJournal()
    async with checked_runtime(count, store=journal) as runtime:
        await converse(runtime)
        before = await canonical(journal, CHAT)
        assert await runtime.fork(CHAT, FORK, after_turn=2) == FORK
        assert await texts(runtime, FORK) == ["be brief", "message 1", "1 of 2", "message 2", "2 of 4"]
        receipt = await runtime.send(FORK, "message 3", message_id="k3")
        assert (receipt.turn, receipt.duplicate) == (1, False), "keys of the other session mean nothing here"
        assert (await receipt.result()).text == "3 of 6"
        assert await canonical(journal, CHAT) == before
        await runtime.delete(CHAT)
        assert len(await texts(runtime, FORK)) == 7
        minted = await runtime.fork(FORK, after_turn=0)
        assert minted.startswith("live:")
        assert await texts(runtime, minted) == ["be brief", "message 1", "1 of 2", "message 2", "2 of 4"]


async def test_promise_path_38_a_fork_from_the_middle_of_a_turn_ends_before_it(autojump_clock: MockClock) -> None:
    """The turn that runs goes on, and is in no fork; asking for it is refused."""
    async with checked_runtime(count, open_turns=True) as runtime:
        await converse(runtime, 1)
        await runtime.send(CHAT, "hang")
        await runtime.send(CHAT, "waits")
        await wait_all_tasks_blocked()
        for turn in (2, 3, 4):
            with pytest.raises(InvalidEnvelopeError) as caught:
                await runtime.fork(CHAT, FORK, after_turn=turn)
            assert caught.value.reason == "invalid_payload"
        assert await runtime.fork(CHAT, FORK) == FORK
        assert await texts(runtime, FORK) == ["be brief", "message 1", "1 of 2"]
        assert runtime.inspect(CHAT).running_turn == 2


@pytest.mark.parametrize(
    ("chat_id", "new", "after_turn", "kind", "reason"),
    [
        ("live:unknown", "live:fork", None, UnknownChatError, "unknown_chat"),
        ("live:deleted", "live:fork", None, UnknownChatError, "deleted_chat"),
        ("live:a", "live:b", None, ConflictError, "conflict"),
        ("live:a", "live:a", None, ConflictError, "conflict"),
        ("live:a", "live:deleted", None, ConflictError, "conflict"),
        ("live:a", "live:", None, InvalidEnvelopeError, "malformed_id"),
        ("live:a", "live:fork", -1, InvalidEnvelopeError, "invalid_payload"),
        ("live:a", "live:fork", True, InvalidEnvelopeError, "invalid_payload"),
        ("live:a", "live:fork", "1", InvalidEnvelopeError, "invalid_payload"),
        ("live:a", "live:fork", 7, InvalidEnvelopeError, "invalid_payload"),
    ],
)
async def test_a_fork_that_cannot_be_is_refused_with_its_reason(
    chat_id: str,
    new: str,
    after_turn: int | None,
    kind: type[RefusedError],
    reason: str,
    autojump_clock: MockClock,
) -> None:
    """And makes nothing."""
    async with checked_runtime(count) as runtime:
        await converse(runtime, 1)
        await runtime.create("live:b")
        await runtime.create("live:deleted")
        await runtime.delete("live:deleted")
        with pytest.raises(kind) as caught:
            await runtime.fork(chat_id, new, after_turn=after_turn)
        assert caught.value.reason == reason
        assert await runtime.sessions() == (CHAT, "live:b")


async def test_a_fork_is_made_once_however_often_it_is_asked_for(autojump_clock: MockClock) -> None:
    """At once, again, in the next life, and by any id that leads to the source."""
    store = MemoryStore()
    async with checked_runtime(count, store=MemoryJournal(store)) as runtime:
        await runtime.create("draft:a")
        for number in range(2):
            await (await runtime.send("draft:a", f"message {number}")).result()
        made: list[str] = []

        async def fork() -> None:
            made.append(await runtime.fork("draft:a", FORK, after_turn=1))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(fork)
        assert made == [FORK] * 5
        await runtime.migrate("draft:a", CHAT)
        assert await runtime.fork(CHAT, FORK, after_turn=1) == FORK
        assert await runtime.fork("draft:a", FORK) == FORK
        with pytest.raises(ConflictError):
            await runtime.fork(CHAT, FORK, after_turn=2)
        assert (await (await runtime.send(FORK, "goes on")).result()).text == "2 of 3"
    async with checked_runtime(count, store=MemoryJournal(store)) as runtime:
        assert await runtime.fork(CHAT, FORK, after_turn=1) == FORK
        assert len(await texts(runtime, FORK)) == 4


async def test_a_history_that_is_too_long_is_not_forked(autojump_clock: MockClock) -> None:
    """The bound is on what is written at once; turns are counted whole."""
    async with checked_runtime(count, limits=Limits(fork_messages_max=4, page_rows_max=3)) as runtime:
        await runtime.create(CHAT)
        for number in range(2):
            await (await runtime.send(CHAT, f"message {number}")).result()
        await runtime.fork(CHAT, FORK)
        await (await runtime.send(CHAT, "one more")).result()
        with pytest.raises(InvalidEnvelopeError, match="fork_messages_max"):
            await runtime.fork(CHAT)
        assert len(await texts(runtime, FORK)) == 4


async def test_a_runtime_that_stops_begins_no_fork(autojump_clock: MockClock) -> None:
    """As it creates nothing."""
    async with checked_runtime(count) as runtime:
        await converse(runtime, 1)
    with pytest.raises((UnavailableError, Exception)) as caught:
        await runtime.fork(CHAT, FORK)
    assert "stop" in str(caught.value) or "closed" in str(caught.value)


@pytest.mark.parametrize("fault", [Cancels(), Kills(), Meets(lambda runtime: runtime.send(CHAT, "m", message_id="m"))])
async def test_a_fork_meets_a_fault_at_every_step_and_is_whole_or_not_there(
    fault: Cancels | Kills | Meets, autojump_clock: MockClock
) -> None:
    """Repeated, it is there once, with all of its history."""

    async def fork(runtime: Runtime) -> None:
        await runtime.fork(CHAT, FORK, after_turn=2)

    async def after(runtime: Runtime) -> None:
        there = FORK in await runtime.sessions()
        assert not there or len(await texts(runtime, FORK)) == 5
        await fork(runtime)
        await settle(runtime)
        assert await texts(runtime, FORK) == ["be brief", "message 1", "1 of 2", "message 2", "2 of 4"]

    assert await sweep(Scenario(agent=lambda: count, before=converse, act=fork, after=after), fault) > 3


async def test_a_fork_that_meets_the_deletion_of_its_source_is_whole_or_refused(autojump_clock: MockClock) -> None:
    """Whichever is first at whatever step."""

    async def fork(runtime: Runtime) -> None:
        try:
            await runtime.fork(CHAT, FORK)
        except UnknownChatError as error:
            assert error.reason == "deleted_chat"

    async def delete(runtime: Runtime) -> None:
        await runtime.delete(CHAT)

    async def after(runtime: Runtime) -> None:
        if FORK in await runtime.sessions():
            assert len(await texts(runtime, FORK)) in {3, 5, 7}

    scenario = Scenario(agent=lambda: count, before=converse, act=fork, after=after)
    assert await sweep(scenario, Meets(delete)) > 3


async def test_pack_5_creating_forking_and_migrating_others_does_not_touch_a_stream(autojump_clock: MockClock) -> None:
    """Forty sessions come, branch, move and go while one talks; what is stored of it is the same."""
    stored = []
    for busy in (False, True):
        journal = MemoryJournal()

        async def talk(turn: Turn) -> None:
            for _ in range(20 if turn.chat_id == CHAT else 1):
                await turn.write("word ")
                await trio.sleep(0.1)

        async with checked_runtime(talk, store=journal) as runtime:
            await runtime.create(CHAT)
            receipt = await runtime.send(CHAT, "talk", message_id="k")
            for number in range(40 if busy else 0):
                chat_id = await runtime.create(f"draft:{number}")
                await runtime.send(chat_id, "hello")
                if number % 2:
                    await runtime.migrate(chat_id, f"live:{number}")
                if number % 4 == 1:
                    await runtime.fork(f"live:{number}")
                if number % 5 == 0:
                    await runtime.delete(chat_id)
                await trio.sleep(0.02)
            assert (await receipt.result()).text == "word " * 20
            await settle(runtime)
            stored.append(await canonical(journal, CHAT))
    assert stored[0] == stored[1]


async def test_a_fork_on_disk_agrees_with_its_events(tmp_path: Path) -> None:
    """Rows, pages and the next life say the same; a part that was cut stays cut."""
    path = tmp_path / "s.db"
    async with checked_runtime(count, store=path, open_turns=True) as runtime:
        await converse(runtime, 1)
        receipt = await runtime.send(CHAT, "hang")
        while not runtime.inspect(CHAT).running_turn:
            await trio.sleep(0.001)
        await trio.sleep(0.05)
        await receipt.cancel()
        await runtime.fork(CHAT, FORK)
        expected = [(message.text, message.parts[0].status) for message in (await runtime.history(FORK)).messages]
        assert expected[-1] == ("half", "cut")
    assert [finding for finding in check_store(path) if not finding.ok] == []
    async with checked_runtime(count, store=path) as runtime:
        messages = (await runtime.history(FORK)).messages
        assert [(message.text, message.parts[0].status) for message in messages] == expected
        assert (await (await runtime.send(FORK, "on")).result()).text == "2 of 6"
