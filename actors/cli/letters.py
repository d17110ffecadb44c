"""``actors dead-letters``: what was not delivered, as far as a store keeps it; it only reads, whoever owns it."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import trio
from rich.table import Table

from actors.cli.inspection import PIPE_COLUMNS
from actors.cli.table import plain_console
from actors.core.dead_letter import DeadLetter
from actors.core.ids import DropReason
from actors.errors import ConfigurationError
from actors.runtime.clock import Threads
from actors.store.checks import owner_of
from actors.store.sqlite import SQLiteJournal

ROWS: Final = 1000
"""Dead letters read at once."""


async def show(store: Path, chat_id: str | None, reason: str | None, *, as_json: bool) -> int:
    """Print the dead letters of a store, of one address or one reason or all, and return the exit code.

    What was sent stands in the JSON only. Raises ConfigurationError for an unknown reason, StoreError if the store
    cannot be read.
    """
    if reason is not None and reason not in set(DropReason):
        message = f"--reason is {reason!r:.40}"
        raise ConfigurationError(message, hint=f"give one of {', '.join(DropReason)}")
    owner = await trio.to_thread.run_sync(owner_of, store)
    letters = [letter for letter in await _read(store, chat_id) if reason in {None, letter.reason}]
    if as_json:
        record = {"store": str(store), "owner": owner, "dead_letters": [_record(letter) for letter in letters]}
        sys.stdout.buffer.write(msgspec.json.encode(record) + b"\n")
        sys.stdout.buffer.flush()
    else:
        _print(letters)
    return 0


async def _read(store: Path, chat_id: str | None) -> list[DeadLetter]:
    """Read every dead letter that is kept."""
    journal = SQLiteJournal(store, Threads())
    await journal.open_reader()
    try:
        letters: list[DeadLetter] = []
        while page := await journal.dead_letters(chat_id, letters[-1].number if letters else 0, ROWS):
            letters += page
        return letters
    finally:
        with trio.CancelScope(shield=True):
            await journal.close()


def _record(letter: DeadLetter) -> dict[str, object]:
    """Write a letter with what it carried; bytes become base64."""
    record: dict[str, object] = msgspec.to_builtins(letter)
    return record


def _print(letters: list[DeadLetter]) -> None:
    """Print a table of letters, without what anybody said."""
    table = Table()
    table.add_column("number", justify="right", no_wrap=True)
    table.add_column("at", no_wrap=True)
    table.add_column("session", overflow="fold")  # half an id would name nothing
    for name in ("reason", "door", "kind", "sender", "message_id"):
        table.add_column(name, no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("payload", no_wrap=True)
    for letter in letters:
        words = (letter.chat_id, letter.reason.value, letter.kind, letter.message_kind, letter.sender)
        kept = "whole" if letter.whole else "" if letter.payload is None else "redacted"
        table.add_row(str(letter.number), _moment(letter.at_s), *words, letter.message_id, str(letter.size_bytes), kept)
    console = plain_console()
    console = console if console.is_terminal else plain_console(width=PIPE_COLUMNS)
    console.print(table)
    console.print(f"{len(letters)} dead letters")


def _moment(at_s: float) -> str:
    """Show a wall time, in UTC."""
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
