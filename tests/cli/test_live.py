"""What a runtime does is shown while it does it: its tree, one of its sessions, and a session as it lives."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from rich.console import Console

from actors.cli.inspection import inspect
from actors.cli.live import follow, live_facts, print_tree, seconds
from actors.errors import ActorsError, ConfigurationError, StoreUnavailableError
from actors.host import open_runtime
from actors.runtime.facade import Runtime
from tests.cli.recorded import echo, hang, records, stored


@asynccontextmanager
async def observed(store: Path, *chat_ids: str, hanging: bool = False) -> AsyncIterator[Runtime]:
    """Open a runtime that lets itself be looked at, with sessions that were spoken to."""
    async with open_runtime(store, agent=hang if hanging else echo, observe=True) as runtime:
        for chat_id in chat_ids:
            await runtime.create(chat_id)
            receipt = await runtime.send(chat_id, "secret question")
            if not hanging:
                await receipt.result()
        with trio.fail_after(20.0):
            while await live_facts(store, None) is None:
                await trio.sleep(0.01)
            while hanging and any(runtime.inspect(chat_id).open_calls == 0 for chat_id in chat_ids):
                await trio.sleep(0.01)
        yield runtime
        for chat_id in chat_ids:
            await runtime.stop(chat_id)


async def test_the_tree_of_a_running_store_is_shown_below_its_sessions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in memory, what it does, and where it waits."""
    async with observed(tmp_path / "s.db", "live:a", "live:b", hanging=True):
        assert await inspect(tmp_path / "s.db", None, as_json=False) == 0
        text = capsys.readouterr().out
        assert "running in epoch 1; services: " in text
        assert "2 sessions in memory of 2" in text
        assert "recorded.py" in text, "the line at which the agent waits"
        await inspect(tmp_path / "s.db", None, as_json=True)
        (found,) = records(capsys.readouterr().out)
        assert {one["chat_id"] for one in found["live"]["sessions"]} == {"live:a", "live:b"}
        assert {one["status"] for one in found["live"]["sessions"]} == {"waiting"}
        assert "secret" not in text + json.dumps(found)


async def test_one_session_of_a_running_store_is_shown_with_its_last_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside its turns and events, which are on disk."""
    async with observed(tmp_path / "s.db", "live:a"):
        await inspect(tmp_path / "s.db", "live:a", as_json=False)
        text = capsys.readouterr().out
        assert "live:a is idle at event 5" in text
        assert "steps" in text
        assert "turn.ended" in text
        await inspect(tmp_path / "s.db", "live:a", as_json=True)
        (found,) = records(capsys.readouterr().out)
        assert found["live"]["phase"] == "active"
        assert found["live"]["recent"][-1]["what"] == "turn.ended"


async def test_a_store_that_nobody_shows_is_read_from_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ever, and JSON says that there is nothing live."""
    store = await stored(tmp_path / "s.db", "live:a")
    assert await live_facts(store, None) is None
    await inspect(store, None, as_json=True)
    (found,) = records(capsys.readouterr().out)
    assert found["live"] is None
    assert [row["chat_id"] for row in found["sessions"]] == ["live:a"]


async def followed(store: Path, runtime: Runtime, capsys: pytest.CaptureFixture[str], **options: Any) -> str:  # noqa: ANN401 - those of follow
    """Follow a session through a turn, end it with an interrupt, and return what was printed."""
    codes: list[int] = []

    async def watch() -> None:
        codes.append(await follow(store, "live:a", **options))

    shown = ""
    with trio.fail_after(30.0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            while "live:a" not in shown:
                await trio.sleep(0.01)
                shown += capsys.readouterr().out
            await (await runtime.send("live:a", "hello\nthere")).result()
            while "turn.ended" not in shown:
                await trio.sleep(0.01)
                shown += capsys.readouterr().out
            signal.raise_signal(signal.SIGINT)
    assert codes == [0], "an interrupt is how it is meant to end"
    return shown


async def test_following_shows_what_is_said_and_done_until_an_interrupt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line each, with the words escaped that would break one."""
    async with observed(tmp_path / "s.db", "live:a") as runtime:
        shown = await followed(tmp_path / "s.db", runtime, capsys, verb="follow", as_json=False)
    lines = shown.splitlines()
    assert lines[0] == "live:a is active and idle at event 5"
    assert lines[1] == "snapshot at event 5: 2 messages, idle"
    assert any("message.accepted turn=2 hello\\nthere" in line for line in lines)
    assert any("turn.ended turn=2 attempt=1 status=completed" in line for line in lines)


async def test_following_for_machines_gives_every_item_as_it_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line of JSON each."""
    async with observed(tmp_path / "s.db", "live:a") as runtime:
        shown = records(await followed(tmp_path / "s.db", runtime, capsys, verb="follow", as_json=True))
    assert [one["item"] for one in shown[:2]] == ["Inspection", "SessionReady"]
    events = [one["value"]["seq"] for one in shown if one["item"] == "Event"]
    assert events == list(range(6, 6 + len(events)))


async def test_a_trace_shows_the_steps_and_not_the_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For who may see what a session does, and not what it says."""
    async with observed(tmp_path / "s.db", "live:a") as runtime:
        shown = await followed(tmp_path / "s.db", runtime, capsys, verb="trace", as_json=False)
    assert "taken accept" in shown
    assert "hello" not in shown


async def test_a_follower_ends_when_its_runtime_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has nothing more to wait for, and says why it ends."""
    codes: list[int] = []
    with trio.fail_after(30.0):
        async with trio.open_nursery() as nursery, observed(tmp_path / "s.db", "live:a"):

            async def watch() -> None:
                codes.append(await follow(tmp_path / "s.db", "live:a", verb="follow", as_json=False))

            nursery.start_soon(watch)
            while "snapshot" not in capsys.readouterr().out:
                await trio.sleep(0.01)
    assert codes == [0]
    assert "ended" in capsys.readouterr().err


async def test_what_cannot_be_followed_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    """Nobody who shows the store; a session that is not there."""
    store = await stored(tmp_path / "s.db", "live:a")
    with pytest.raises(StoreUnavailableError, match="observe=True"):
        await follow(store, "live:a", verb="follow", as_json=False)
    async with observed(store):
        with pytest.raises(ActorsError, match="create it first"):
            await follow(store, "live:nobody", verb="follow", as_json=False)
        assert await live_facts(store, "live:nobody") is None


def test_ages_are_shown_in_seconds_or_not_at_all() -> None:
    """What has no age has an empty cell."""
    assert [seconds(value) for value in (None, 0.0, 59.94, 3600.0)] == ["", "0.0 s", "59.9 s", "3600.0 s"]


def test_following_needs_one_session_and_one_way(tmp_path: Path) -> None:
    """The command says so before it looks for anybody."""
    from actors.cli.app import app  # noqa: PLC0415 - the parser is needed here alone

    for tokens in (["--follow"], ["live:a", "--follow", "--trace"]):
        with pytest.raises(ConfigurationError):
            app(["inspect", "--store", str(tmp_path / "s.db"), *tokens], exit_on_error=False)


def test_alarms_and_stalls_are_shown_with_the_session_and_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    """What is out of order is said below the tree; where nothing is, nothing is said."""
    tree = {
        "epoch": 1, "stopping": False, "degraded": False, "services": [], "sessions": [], "sessions_total": 0,
        "sessions_known": 1, "stopped": [], "alarms": [], "stalls": 0, "stall_longest_s": 0.0, "stall_last": "",
    }  # fmt: skip
    print_tree(tree, Console())
    text = capsys.readouterr().out
    assert "alarm" not in text
    assert "held" not in text
    alarm = {"kind": "turn_age", "chat_id": "live:a", "value": 31.0, "limit": 30.0, "place": "agent.py:3 answer"}
    stalls = {"stalls": 2, "stall_longest_s": 0.5, "stall_last": "live:b agent.py:7 block"}
    print_tree({**tree, **stalls, "alarms": [alarm]}, Console())
    text = capsys.readouterr().out
    assert "alarm: turn_age 31 of 30 live:a agent.py:3 answer" in text
    assert "held for too long 2 times: the longest 0.5 s, the latest in live:b agent.py:7 block" in text
