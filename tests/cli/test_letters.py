"""What was not delivered, as a store keeps it: for people without what was said, for machines with it."""

from pathlib import Path

import pytest
import trio

from actors import RefusedError, open_runtime
from actors.cli.letters import show
from actors.errors import ConfigurationError, StoreUnavailableError
from actors.testing import ScriptedAgent
from tests.cli.recorded import records


async def with_letters(path: Path) -> Path:
    """Make a store with three dead letters of two addresses and two reasons."""
    async with open_runtime(path, agent=ScriptedAgent(), keep_dead_letters=True) as runtime:
        await runtime.create("live:a")
        for chat_id, text in (("live:nobody", "the secret"), ("live:a", ""), ("live:nobody", "another")):
            with pytest.raises(RefusedError):
                await runtime.send(chat_id, text, sender="anna", message_id="key-1")
        while runtime.statistics().dead_letters_stored < 3:
            await trio.sleep(0.01)
    return path


async def test_every_letter_is_a_row_without_what_was_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its number is what one sends it again by."""
    assert await show(await with_letters(tmp_path / "s.db"), None, None, as_json=False) == 0
    text = capsys.readouterr().out
    assert "3 dead letters" in text
    assert [text.count(word) for word in ("live:nobody", "unknown_chat", "invalid_payload", "anna", "whole")] == [
        2, 2, 1, 3, 2,
    ]  # fmt: skip
    assert "secret" not in text


@pytest.mark.parametrize(
    ("chat_id", "reason", "numbers"),
    [
        (None, None, [1, 2, 3]),
        ("live:nobody", None, [1, 3]),
        (None, "invalid_payload", [2]),
        ("live:a", "unknown_chat", []),
        ("live:unheard", None, []),
    ],
)
async def test_letters_as_json_are_whole_and_can_be_chosen(
    chat_id: str | None, reason: str | None, numbers: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By address and by reason; an address need not be a session."""
    await show(await with_letters(tmp_path / "s.db"), chat_id, reason, as_json=True)
    (found,) = records(capsys.readouterr().out)
    assert found["owner"] == ""
    assert [letter["number"] for letter in found["dead_letters"]] == numbers
    if 1 in numbers:
        letter = found["dead_letters"][0]
        assert (letter["payload"], letter["whole"], letter["sender"]) == ("the secret", True, "anna")


async def test_many_letters_are_read_in_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are there."""
    monkeypatch.setattr("actors.cli.letters.ROWS", 2)
    await show(await with_letters(tmp_path / "s.db"), None, None, as_json=True)
    (found,) = records(capsys.readouterr().out)
    assert len(found["dead_letters"]) == 3


async def test_an_unknown_reason_or_store_is_an_error(tmp_path: Path) -> None:
    """Neither is an empty table."""
    with pytest.raises(StoreUnavailableError):
        await show(tmp_path / "s.db", None, None, as_json=False)
    store = await with_letters(tmp_path / "s.db")
    with pytest.raises(ConfigurationError, match="--reason is 'unheard'; give one of missing_id"):
        await show(store, None, "unheard", as_json=False)
