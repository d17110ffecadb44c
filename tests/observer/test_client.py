"""Who looks finds who lets itself be looked at, and is told what it can do where it finds nobody or no answer."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from actors import StoreUnavailableError, Turn, open_runtime
from actors.observer.client import Client, look
from actors.observer.meeting import meeting_path
from actors.observer.wire import Request


async def answer(turn: Turn) -> str:
    """Answer."""
    return turn.text


async def test_a_runtime_on_a_file_can_be_looked_at_if_its_host_says_so(tmp_path: Path) -> None:
    """Through a real socket, which goes with it."""
    store = tmp_path / "s.db"
    async with open_runtime(store, agent=answer, observe=True) as runtime:
        chat_id = await runtime.create("live:a")
        await (await runtime.send(chat_id, "hello")).result()
        with trio.fail_after(20.0):
            while (client := await look(store)) is None:
                await trio.sleep(0.01)
        async with client:
            found = await client.ask(Request(verb="inspect", chat_id=chat_id))
        assert found.ok
        assert b'"phase":"active"' in bytes(found.value)
    assert await look(store) is None
    assert not meeting_path(store).exists()


async def test_nobody_can_look_unless_the_host_says_so(tmp_path: Path) -> None:
    """A library opens no door by itself."""
    store = tmp_path / "s.db"
    async with open_runtime(store, agent=answer):
        assert await look(store) is None
        assert not meeting_path(store).exists()


async def test_only_a_file_has_a_place_to_be_looked_at(tmp_path: Path) -> None:
    """A store in memory belongs to its process alone, and runs without a socket."""
    async with open_runtime(":memory:", agent=answer, observe=True) as runtime:
        assert (await (await runtime.send(await runtime.create(), "hello")).result()).ok
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("reply", [b"", b"nonsense\n"], ids=["nothing", "nonsense"])
async def test_an_owner_that_gives_no_answer_is_an_error_with_a_remedy(reply: bytes, autojump_clock: MockClock) -> None:
    """Who looks does not wait for ever."""
    here, there = memory_stream_pair()
    async with Client(here) as client, trio.open_nursery() as nursery:
        if reply:
            nursery.start_soon(there.send_all, reply)
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            await client.ask(Request(verb="tree"))


async def test_a_stream_whose_owner_has_gone_ends_for_who_reads_it(autojump_clock: MockClock) -> None:
    """Its last words come first; noise is an end too."""
    here, there = memory_stream_pair()
    async with Client(here) as client:
        await there.send_all(b'{"item":"Gap","value":{}}\nnoise\n')
        item = await client.item()
        assert item is not None
        assert item.item == "Gap"
        assert await client.item() is None
        await there.aclose()
        assert await client.item() is None
