"""Something else is said in the place of what was said, whatever the session is doing."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ChatId,
    InvalidEnvelopeError,
    Limits,
    RefusedError,
    Runtime,
    SessionReady,
    Turn,
    UnavailableError,
    UnknownChatError,
)
from actors.store.checks import check_store
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Cancels,
    Crashes,
    Kills,
    Meets,
    Scenario,
    canonical,
    checked_runtime,
    settle,
    sweep,
)

CHAT = ChatId("live:a")


async def count(turn: Turn) -> None:
    """Agent: count its turns, and say how many messages it has read; it hangs, shielded or not, if it is told to."""
    if turn.text == "hang":
        await turn.write("half")
        await trio.sleep_forever()
    if turn.text == "shield":
        await turn.write("half")
        with trio.CancelScope(shield=True):
            await trio.sleep(2.0)
    state = turn.state
    turn.state = (state if isinstance(state, int) else 0) + 1
    await turn.write(f"{turn.state} of {len(turn.history)}")


async def converse(runtime: Runtime, turns: int = 3) -> None:
    """Hold a conversation."""
    await runtime.create(CHAT, history=[("system", "be brief")])
    for number in range(1, turns + 1):
        await (await runtime.send(CHAT, f"message {number}", message_id=f"k{number}")).result()


async def texts(runtime: Runtime) -> list[str]:
    """Read what was said."""
    return [message.text for message in (await runtime.history(CHAT)).messages]


EDITED = ["be brief", "message 1", "1 of 2", "in other words", "2 of 4"]


@pytest.mark.parametrize("turn", [2, "k2"])
async def test_promise_path_39_an_edit_goes_on_from_before_the_message(
    turn: int | str, autojump_clock: MockClock
) -> None:
    """For the agent, for pages, for snapshots and in the next life; its state is that of then."""
    store = MemoryStore()
    async with checked_runtime(count, store=MemoryJournal(store)) as runtime:
        await converse(runtime)
        receipt = await runtime.edit(CHAT, turn, "in other words", message_id="edit")
        assert receipt.turn == 4
        assert (await receipt.result()).text == "2 of 4"
        assert await texts(runtime) == EDITED
        again = await runtime.edit(CHAT, turn, "in other words", message_id="edit")
        assert (again.turn, again.seq, again.duplicate) == (4, receipt.seq, True)
        async with runtime.subscribe(CHAT) as stream:
            snapshot = await anext(stream)
            assert isinstance(snapshot, SessionReady)
            assert [message.text for message in snapshot.messages] == EDITED
        for gone in (2, 3, "k2", "k3", 9, "never"):
            with pytest.raises(InvalidEnvelopeError, match="is not in the history"):
                await runtime.edit(CHAT, gone, "too late")
    async with checked_runtime(count, store=MemoryJournal(store)) as runtime:
        assert await texts(runtime) == EDITED
        assert (await (await runtime.send(CHAT, "on")).result()).text == "3 of 6"


@pytest.mark.parametrize("text", ["hang", "shield"])
async def test_promise_path_39_what_runs_behind_the_cut_is_cancelled_and_leaves(
    text: str, autojump_clock: MockClock
) -> None:
    """Also an agent that does not let go; who waits for what was cancelled is told."""
    async with checked_runtime(count) as runtime:
        await converse(runtime, 1)
        running, waiting = await runtime.send(CHAT, text), await runtime.send(CHAT, "waits")
        await wait_all_tasks_blocked()
        receipt = await runtime.edit(CHAT, running.turn, "in other words")
        results = [await each.result() for each in (running, waiting, receipt)]
        assert [(result.status, result.reason) for result in results] == [
            ("cancelled", "rolled_back"),
            ("cancelled", "rolled_back"),
            ("completed", ""),
        ]
        assert await texts(runtime) == EDITED


async def test_an_edit_behind_the_running_turn_lets_it_end_first(autojump_clock: MockClock) -> None:
    """What it leaves is the state that the new turn finds."""
    async with checked_runtime(count) as runtime:
        await converse(runtime, 1)
        running, waiting = await runtime.send(CHAT, "shield"), await runtime.send(CHAT, "waits")
        await wait_all_tasks_blocked()
        receipt = await runtime.edit(CHAT, waiting.turn, "in other words")
        assert ((await running.result()).text, (await receipt.result()).text) == ("half2 of 5", "3 of 6")
        assert (await waiting.result()).status == "cancelled"


@pytest.mark.parametrize(
    ("call", "options", "kind", "reason"),
    [
        (("live:none", 1, "x"), {}, UnknownChatError, "unknown_chat"),
        ((CHAT, 0, "x"), {}, InvalidEnvelopeError, "invalid_payload"),
        ((CHAT, -1, "x"), {}, InvalidEnvelopeError, "invalid_payload"),
        ((CHAT, True, "x"), {}, InvalidEnvelopeError, "invalid_payload"),
        ((CHAT, None, "x"), {}, InvalidEnvelopeError, "invalid_payload"),
        ((CHAT, "", "x"), {}, InvalidEnvelopeError, "invalid_payload"),
        ((CHAT, 1, ""), {}, InvalidEnvelopeError, "invalid_payload"),
        ((CHAT, 1, 7), {}, InvalidEnvelopeError, "invalid_payload"),
        ((CHAT, 1, "x" * 2000), {}, InvalidEnvelopeError, "invalid_payload"),
        ((CHAT, 1, "x"), {"message_id": "a/b"}, InvalidEnvelopeError, "invalid_payload"),
        ((CHAT, 1, "x"), {"sender": "\ud800"}, InvalidEnvelopeError, "invalid_payload"),
    ],
)
async def test_an_edit_that_cannot_be_is_refused_with_its_reason(
    call: tuple[str, int, str],
    options: dict[str, str],
    kind: type[RefusedError],
    reason: str,
    autojump_clock: MockClock,
) -> None:
    """And the history is as it was."""
    journal = MemoryJournal()
    async with checked_runtime(count, store=journal, limits=Limits(message_bytes_max=1000)) as runtime:
        await converse(runtime, 1)
        await settle(runtime)
        before = await canonical(journal, CHAT)
        with pytest.raises(kind) as caught:
            await runtime.edit(*call, **options)
        assert caught.value.reason == reason
        assert await canonical(journal, CHAT) == before
    with pytest.raises(UnavailableError):
        await runtime.edit(CHAT, 1, "too late")


async def test_an_edit_reaches_further_back_than_memory_does(autojump_clock: MockClock) -> None:
    """The agent of the new turn reads what stands before it, though none of that was kept."""
    limits = Limits(history_messages_max=6, page_rows_max=3)
    async with checked_runtime(count, limits=limits) as runtime:
        await converse(runtime, 12)
        receipt = await runtime.edit(CHAT, 3, "in other words")
        result = await receipt.result()
        assert result.text.startswith("3 of ")
        assert int(result.text.split()[-1]) >= 3
        page = await runtime.history(CHAT)
        assert [message.text for message in page.messages][-1] == result.text


@pytest.mark.parametrize(
    "fault",
    [Cancels(), Kills(), Crashes(CHAT), Meets(lambda runtime: runtime.send(CHAT, "m", message_id="m"))],
    ids=["cancels", "kills", "crashes", "meets"],
)
async def test_an_edit_meets_a_fault_at_every_step_and_has_happened_or_not(
    fault: Cancels | Kills | Crashes | Meets, autojump_clock: MockClock
) -> None:
    """Repeated, it is done once: the cut is there, and the new text stands behind it once."""

    async def before(runtime: Runtime) -> None:
        await converse(runtime, 2)
        await runtime.send(CHAT, "shield", message_id="k3")

    async def edit(runtime: Runtime) -> None:
        await runtime.edit(CHAT, 2, "in other words", message_id="edit")

    async def after(runtime: Runtime) -> None:
        await edit(runtime)
        await settle(runtime)
        said = await texts(runtime)
        assert said[:3] == EDITED[:3]
        assert said.count("in other words") == 1
        assert not {"message 2", "shield"} & set(said)

    assert await sweep(Scenario(agent=lambda: count, before=before, act=edit, after=after), fault) > 3


async def test_pack_5_editing_others_does_not_touch_a_stream(autojump_clock: MockClock) -> None:
    """While one talks, others are edited again and again; what is stored of it is the same."""
    stored = []
    for busy in (False, True):
        journal = MemoryJournal()

        async def talk(turn: Turn) -> None:
            for _ in range(20 if turn.chat_id == "live:talks" else 1):
                await turn.write("word ")
                await trio.sleep(0.1)

        async with checked_runtime(talk, store=journal) as runtime:
            receipt = await runtime.send(await runtime.create("live:talks"), "talk", message_id="k")
            await runtime.create(CHAT)
            for number in range(20 if busy else 0):
                await runtime.send(CHAT, f"message {number}")
                await trio.sleep(0.06)
                await runtime.edit(CHAT, 1 + 2 * number, "in other words")
            assert (await receipt.result()).text == "word " * 20
            await settle(runtime)
            stored.append(await canonical(journal, "live:talks"))
    assert stored[0] == stored[1]


async def test_an_edited_session_on_disk_agrees_with_its_events(tmp_path: Path) -> None:
    """Rows, pages and the next life say the same; a second cut stands on the first, and a fork has neither's past."""
    path = tmp_path / "s.db"
    async with checked_runtime(count, store=path) as runtime:
        await converse(runtime)
        await (await runtime.edit(CHAT, 2, "in other words")).result()
        await runtime.send(CHAT, "hang")
        await trio.sleep(0.05)
        await (await runtime.edit(CHAT, 4, "in yet other words")).result()
        expected = await texts(runtime)
        assert expected == ["be brief", "message 1", "1 of 2", "in yet other words", "2 of 4"]
        await runtime.fork(CHAT, "live:fork")
    assert [finding for finding in check_store(path) if not finding.ok] == []
    async with checked_runtime(count, store=path) as runtime:
        assert await texts(runtime) == expected
        assert (await (await runtime.send(CHAT, "on")).result()).text == "3 of 6"
        assert (await (await runtime.send("live:fork", "on")).result()).text == "3 of 6"
