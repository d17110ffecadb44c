"""What a store holds, as lines of JSON, also while somebody else works on it."""

from pathlib import Path

import pytest
import trio

from actors.cli.export import add_message, export
from actors.core.transcript import Message, Part
from actors.errors import StoreSchemaError, StoreUnavailableError, UnknownChatError
from actors.host import open_runtime
from actors.recordings.canonical import Digest, digest_conversation
from actors.recordings.reader import read_sample
from tests.cli.recorded import echo, hanging, living, migrated, records, stored


async def test_every_message_is_a_line_in_the_order_of_ids_and_turns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seeds first, then turn after turn; every line can be read without the ones before."""
    store = await stored(tmp_path / "s.db", "live:b", "live:a")
    assert await export(store, (), canonical=False) == 0
    lines = records(capsys.readouterr().out)
    assert [(line["chat_id"], line["turn"], line["role"]) for line in lines] == [
        ("live:a", 0, "system"),
        ("live:a", 1, "user"),
        ("live:a", 1, "assistant"),
        ("live:b", 0, "system"),
        ("live:b", 1, "user"),
        ("live:b", 1, "assistant"),
    ]
    assert lines[1] == {
        "chat_id": "live:a",
        "seq": 3,
        "message_id": "m1",
        "role": "user",
        "parts": [{"kind": "text", "text": "hello from live:a"}],
        "turn": 1,
        "status": "completed",
    }


async def test_chosen_sessions_only_are_written_and_each_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever names a session twice gets it once, and in the order of ids."""
    store = await stored(tmp_path / "s.db", "live:a", "live:b", "live:c")
    await export(store, ("live:c", "live:a", "live:c"), canonical=True)
    assert [line["chat_id"] for line in records(capsys.readouterr().out)] == ["live:a", "live:c"]


@pytest.mark.parametrize("chat_id", ["live:nobody", "not an id", ""])
async def test_an_unknown_session_is_an_error_before_anything_is_written(
    chat_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half an export must not look like a whole one."""
    store = await stored(tmp_path / "s.db", "live:a")
    with pytest.raises(UnknownChatError, match="no such session"):
        await export(store, ("live:a", chat_id), canonical=False)
    assert capsys.readouterr().out == ""


async def test_open_turns_are_there_as_far_as_they_are_on_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A running turn, its open call and a queued message are read while their owner works on them."""
    async with hanging(tmp_path / "s.db", "live:a"):
        await export(tmp_path / "s.db", (), canonical=False)
    lines = records(capsys.readouterr().out)
    assert [(line["turn"], line["role"], line["status"]) for line in lines] == [
        (1, "user", "running"),
        (1, "assistant", "running"),
        (2, "user", "queued"),
    ]
    assert lines[1]["parts"] == [
        {"kind": "text", "text": "let me see"},
        {"kind": "tool_call", "text": '{"at":"first"}', "name": "look", "call_id": "call_0"},
    ]


async def test_an_export_does_not_disturb_the_owner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The store is read while its owner holds the lock, and the owner goes on writing."""
    async with living(tmp_path / "s.db", "live:a") as runtime:
        await export(tmp_path / "s.db", (), canonical=True)
        assert (await (await runtime.send("live:a", "still there?")).result()).ok
        await export(tmp_path / "s.db", (), canonical=True)
    before, after = records(capsys.readouterr().out)
    assert before["messages"] == {"system": 1, "user": 1, "assistant": 1}
    assert after["messages"] == {"system": 1, "user": 2, "assistant": 2}


async def test_a_long_history_is_written_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Events come in pages, and no page is forgotten."""
    async with open_runtime(tmp_path / "s.db", agent=echo) as runtime:
        await runtime.create("live:a")
        for number in range(600):
            await (await runtime.send("live:a", f"message {number}")).result()
    await export(tmp_path / "s.db", (), canonical=False)
    lines = records(capsys.readouterr().out)
    assert [line["parts"][0]["text"] for line in lines if line["role"] == "user"] == [
        f"message {number}" for number in range(600)
    ]
    assert len(lines) == 1200
    assert [line["seq"] for line in lines] == sorted(line["seq"] for line in lines)


async def test_a_canonical_line_counts_and_digests_as_a_recording_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same words give the same line, whether they were recorded or stored."""
    recorded = read_sample()[0]
    expected = digest_conversation(recorded)
    async with open_runtime(tmp_path / "s.db", agent=echo) as runtime:
        await runtime.create("live:a", history=[("user", "hi"), ("assistant", "hello")])
    await export(tmp_path / "s.db", (), canonical=True)
    (line,) = records(capsys.readouterr().out)
    digest = Digest()
    for role, text in (("user", "hi"), ("assistant", "hello")):
        digest.message("user" if role == "user" else "assistant")
        digest.part("user" if role == "user" else "assistant", "text", text)
    assert line == {
        "chat_id": "live:a",
        "messages": {"user": 1, "assistant": 1},
        "parts": {"text": 2},
        "tool_calls": 0,
        "chars": {"text": 7},
        "canonical_sha256": digest.canonical_sha256,
        "text_sha256": digest.text_sha256,
    }
    assert line["canonical_sha256"] != expected.canonical_sha256


def test_an_outcome_that_nobody_gave_is_no_part_of_the_digest() -> None:
    """A recording that ends in the middle of a call has no result there, and neither has what was stored of it."""
    call = Message("1/1/0", "assistant", (Part("tool_call", "{}", "look", "c1"),), 1, 1, 4)
    seal = Message("1/1/1", "tool", (Part("tool_result", "cancelled", "look", "c1", "cancelled"),), 1, 1, 5)
    with_seal, without = Digest(), Digest()
    for message in (call, seal):
        add_message(with_seal, message)
    add_message(without, call)
    assert with_seal.canonical_sha256 == without.canonical_sha256
    assert with_seal.messages == without.messages == {"assistant": 1}


async def test_a_store_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    """Whoever mistypes a path must not get an empty success, nor a new file."""
    with pytest.raises(StoreUnavailableError, match="no store"):
        await export(tmp_path / "s.db", (), canonical=False)
    assert list(await trio.Path(tmp_path).iterdir()) == []


async def test_a_file_that_is_no_store_is_an_error(tmp_path: Path) -> None:
    """It is told apart from a store that is empty."""
    (tmp_path / "s.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StoreSchemaError, match="no store or is damaged"):
        await export(tmp_path / "s.db", (), canonical=False)


async def test_a_session_is_chosen_by_an_id_that_it_had_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is written once, under the id that it has now."""
    store = await migrated(tmp_path / "s.db")
    await export(store, ("draft:a", "live:b"), canonical=False)
    assert {line["chat_id"] for line in records(capsys.readouterr().out)} == {"live:b"}
    await export(store, ("draft:a", "live:b", "draft:a"), canonical=True)
    assert len(records(capsys.readouterr().out)) == 1
