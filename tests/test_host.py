"""A runtime is put together from plain values; a wrong one is told before anything is touched."""

import gc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import ConfigurationError, Limits, StoreInUseError, Turn, agent, open_runtime
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import Hang, Say, ScriptedAgent, VirtualClock, records_of


async def assistant(turn: Turn) -> str:
    """Answer with what was asked."""
    return turn.text


async def generate(turn: Turn) -> Any:  # noqa: ANN401 - an agent nobody can use
    """Yield instead of writing."""
    yield turn.text


async def converse(store: object, **options: Any) -> str:  # noqa: ANN401 - the options of open_runtime
    """Open a runtime, hold one turn, and return what was said."""
    async with open_runtime(store, agent=assistant, **options) as runtime:  # type: ignore[arg-type]  # any store
        await runtime.create("live:a")
        return (await (await runtime.send("live:a", "hello")).result()).text


async def test_a_store_is_named_by_a_path_a_word_or_a_journal(tmp_path: Path) -> None:
    """A file is made where there is none, and found again."""
    path = tmp_path / "chats.db"
    for store in (path, str(path), ":memory:", MemoryJournal()):
        assert await converse(store) == "hello"
    async with open_runtime(path, agent=assistant) as runtime:
        assert len((await runtime.history("live:a")).messages) == 4
        assert runtime.epoch == 3


@pytest.mark.parametrize("store", [None, 7, object(), MemoryStore(), b"chats.db"])
async def test_anything_else_is_not_a_store(store: object, autojump_clock: MockClock) -> None:
    """And it says what one is."""
    with pytest.raises(ConfigurationError, match="store is"):
        await converse(store)


@pytest.mark.parametrize("answer", [generate, None, 7, "assistant"])
async def test_an_agent_is_a_function(answer: Callable[..., Any], autojump_clock: MockClock) -> None:
    """A generator would answer nothing."""
    with pytest.raises(ConfigurationError, match="async"):
        async with open_runtime(":memory:", agent=answer):
            pass


async def test_an_agent_may_be_given_with_its_policies_or_as_an_object(autojump_clock: MockClock) -> None:
    """A function, what ``agent`` made of it, an object that can be called."""
    for answer in (assistant, agent(assistant, overlap="reject"), ScriptedAgent([Say("hello")])):
        async with open_runtime(":memory:", agent=answer) as runtime:
            await runtime.create("live:a")
            assert (await (await runtime.send("live:a", "hello")).result()).text == "hello"


@pytest.mark.parametrize("level", ["INFO", "", None, 20])
async def test_a_log_level_is_one_of_four_words(level: object, autojump_clock: MockClock) -> None:
    """Anything else is told."""
    with pytest.raises(ConfigurationError, match="log_level"):
        await converse(":memory:", log_level=level)


async def test_a_log_is_a_path_or_an_open_file(tmp_path: Path) -> None:
    """A path that cannot be opened is told before the store is touched."""
    for log in (tmp_path / "one.jsonl", str(tmp_path / "two.jsonl")):
        await converse(":memory:", log=log)
        assert len(records_of(BytesIO(Path(log).read_bytes()))) > 2
    memory = BytesIO()
    await converse(":memory:", log=memory)
    assert not memory.closed, "whoever opened a file closes it"
    assert len(records_of(memory)) > 2
    store = MemoryStore()
    with pytest.raises(ConfigurationError, match="log cannot be opened"):
        await converse(MemoryJournal(store), log=tmp_path / "missing" / "log.jsonl")
    assert store.epoch == 0


async def test_limits_and_clock_are_those_that_were_given(autojump_clock: MockClock) -> None:
    """And sensible ones otherwise."""
    limits = Limits(turn_s=7.0)
    async with open_runtime(
        ":memory:", agent=ScriptedAgent([Hang()]), limits=limits, clock=VirtualClock(wall_s=7.0)
    ) as runtime:
        assert runtime.statistics().limits is limits
        await runtime.create("live:a")
        result = await (await runtime.send("live:a", "hello")).result()
        assert (result.status, result.reason) == ("failed", "deadline")
        assert trio.current_time() == pytest.approx(7.0, abs=0.1)
    async with open_runtime(":memory:", agent=assistant) as runtime:
        assert runtime.statistics().limits == Limits()


@pytest.mark.rule("promise_storage_9")
async def test_a_store_in_use_is_refused_or_taken_over(tmp_path: Path) -> None:
    """One owner at a time; the one before is fenced and knows it."""
    path = tmp_path / "chats.db"
    async with open_runtime(path, agent=assistant) as first:
        await first.create("live:a")
        with pytest.raises(StoreInUseError):
            await converse(path)
        async with open_runtime(path, agent=assistant, takeover=True) as second:
            assert (await (await second.send("live:a", "hello")).result()).ok
            with pytest.raises(Exception, match="taken over"):
                await first.send("live:a", "late")
            assert first.statistics().stopping


async def test_the_hosts_collector_is_as_it_was_when_the_block_is_left(autojump_clock: MockClock) -> None:
    """A threshold is changed only when asked for, and only for as long."""
    before = gc.get_threshold()
    async with open_runtime(":memory:", agent=assistant):
        assert gc.get_threshold() == before
    with pytest.raises(KeyError):
        async with open_runtime(":memory:", agent=assistant, collector_threshold=12_345):
            assert gc.get_threshold() == (12_345, *before[1:])
            raise KeyError
    assert gc.get_threshold() == before


async def test_two_runtimes_in_one_program_do_not_know_each_other(autojump_clock: MockClock) -> None:
    """Not even by the same ids."""
    async with (
        open_runtime(":memory:", agent=ScriptedAgent([Say("one")])) as one,
        open_runtime(":memory:", agent=ScriptedAgent([Say("two")])) as two,
    ):
        for runtime in (one, two):
            await runtime.create("live:a")
        assert [(await (await each.send("live:a", "hello")).result()).text for each in (one, two)] == ["one", "two"]
        assert one.statistics().sent == two.statistics().sent == 1
