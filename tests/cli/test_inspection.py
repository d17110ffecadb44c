"""How the sessions of a store stand, for people and for machines."""

from pathlib import Path

import pytest

from actors.cli.inspection import inspect
from actors.errors import StoreUnavailableError, UnknownChatError
from tests.cli.recorded import hanging, living, migrated, records, stored


async def test_every_session_is_a_row_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An id stands whole in its line, so that it can be copied and searched for."""
    chat_ids = ["live:a", f"live:{'b' * 200}"]
    store = await stored(tmp_path / "s.db", *chat_ids)
    assert await inspect(store, None, as_json=False) == 0
    text = capsys.readouterr().out
    assert all(chat_id in text for chat_id in chat_ids)
    assert "2 sessions, owned by no process" in text


async def test_sessions_as_json_tell_status_and_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While a process owns the store it is named, and a turn that waits for a tool is told from one that runs."""
    async with hanging(tmp_path / "s.db", "live:a"):
        await inspect(tmp_path / "s.db", None, as_json=True)
    (found,) = records(capsys.readouterr().out)
    (session,) = found["sessions"]
    assert found["owner"].startswith("process ")
    assert (session["chat_id"], session["status"]) == ("live:a", "waiting")
    assert (session["turns"], session["open_turns"], session["seq"]) == (2, 2, 6)
    assert session["at_s"] > 0


async def test_one_session_is_shown_with_its_turns_and_last_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who looks into a session sees how its turns ended and what happened last, but nothing that was said."""
    store = await stored(tmp_path / "s.db", "live:a")
    await inspect(store, "live:a", as_json=False)
    text = capsys.readouterr().out
    assert "live:a is idle at event 6" in text
    assert "turn.ended" in text
    assert "status=completed" in text
    assert "hello from" not in text


async def test_one_session_as_json_lists_open_turns_and_attempts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows of turns are those of the store."""
    async with hanging(tmp_path / "s.db", "live:a"):
        await inspect(tmp_path / "s.db", "live:a", as_json=True)
    (found,) = records(capsys.readouterr().out)
    assert found["open_turns"] == [1, 2]
    assert [(turn["turn"], turn["status"], turn["attempt"]) for turn in found["turns"]] == [
        (1, "running", 1),
        (2, "queued", 0),
    ]
    last = found["last_events"][-1]
    assert (last["seq"], last["kind"], last["turn"]) == (6, "message.accepted", 2)


async def test_only_the_last_events_of_a_long_session_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The end of the journal is what one looks for."""
    async with living(tmp_path / "s.db", "live:a") as runtime:
        for number in range(10):
            await (await runtime.send("live:a", f"again {number}")).result()
    await inspect(tmp_path / "s.db", "live:a", as_json=True)
    (found,) = records(capsys.readouterr().out)
    assert [event["seq"] for event in found["last_events"]] == list(range(found["seq"] - 19, found["seq"] + 1))


async def test_an_unknown_session_or_store_is_an_error(tmp_path: Path) -> None:
    """Neither is an empty table."""
    with pytest.raises(StoreUnavailableError):
        await inspect(tmp_path / "s.db", None, as_json=False)
    store = await stored(tmp_path / "s.db", "live:a")
    with pytest.raises(UnknownChatError):
        await inspect(store, "live:b", as_json=False)


async def test_a_session_is_looked_at_by_an_id_that_it_had_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is shown has the id that it has now; the list does not show it twice."""
    store = await migrated(tmp_path / "s.db")
    await inspect(store, "draft:a", as_json=True)
    (found,) = records(capsys.readouterr().out)
    assert (found["chat_id"], found["last_events"][-1]["kind"]) == ("live:b", "session.migrated")
    await inspect(store, None, as_json=True)
    (found,) = records(capsys.readouterr().out)
    assert [session["chat_id"] for session in found["sessions"]] == ["live:b"]
