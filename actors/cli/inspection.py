"""``actors inspect``: how the sessions of a store stand; it only reads, whoever owns the store.

A process that owns the store and lets itself be looked at is asked too: what is on disk says how sessions stand, and
only their runtime what they do.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs
import msgspec
import trio
from rich.console import Console
from rich.table import Table

from actors.cli.export import chosen
from actors.cli.live import live_facts, print_session, print_tree
from actors.cli.table import plain_console
from actors.core.events import Event, EventBody
from actors.core.ids import ChatId
from actors.runtime.clock import Threads
from actors.store.checks import SessionRow, TurnRow, list_aliases, list_sessions, list_turns, owner_of
from actors.store.sqlite import SQLiteJournal

EVENTS_SHOWN_MAX: Final = 20
PIPE_COLUMNS: Final = 360
"""Room for a chat id of 256 characters and what stands beside it."""

_DETAILS: Final = ("turn", "attempt", "message", "part", "call", "name", "status", "reason")


async def inspect(store: Path, chat_id: str | None, *, as_json: bool) -> int:
    """Print all sessions, or one in detail, and return the exit code.

    Raises UnknownChatError for an id that is not there, StoreError if the store cannot be read.
    """
    sessions = await trio.to_thread.run_sync(list_sessions, store)
    owner = await trio.to_thread.run_sync(owner_of, store)
    if chat_id is None:
        live = await live_facts(store, None)
        if as_json:
            rows = [attrs.asdict(row) for row in sessions]
            _print_json({"store": str(store), "owner": owner, "sessions": rows, "live": live})
        else:
            _print_sessions(sessions, owner)
            if live is not None:
                print_tree(live, _console())
        return 0
    aliases = await trio.to_thread.run_sync(list_aliases, store)
    session = {row.chat_id: row for row in sessions}[chosen(chat_id, [row.chat_id for row in sessions], aliases)]
    turns = await trio.to_thread.run_sync(list_turns, store, session.chat_id)
    events = await _last_events(store, session)
    live = await live_facts(store, session.chat_id)
    if as_json:
        _print_json(
            {
                "store": str(store),
                "owner": owner,
                **attrs.asdict(session),
                "turns": [attrs.asdict(turn) for turn in turns],
                "open_turns": [turn.turn for turn in turns if turn.ended_seq is None],
                "last_events": [_event_record(event) for event in events],
                "live": live,
            }
        )
    else:
        _print_session(session, turns, events, owner)
        if live is not None:
            print_session(live, _console())
    return 0


async def _last_events(store: Path, session: SessionRow) -> tuple[Event, ...]:
    """Read the end of a session's journal."""
    journal = SQLiteJournal(store, Threads())
    await journal.open_reader()
    try:
        after = max(0, session.seq - EVENTS_SHOWN_MAX)
        return await journal.events(ChatId(session.chat_id), after, EVENTS_SHOWN_MAX)
    finally:
        with trio.CancelScope(shield=True):
            await journal.close()


def _event_record(event: Event) -> dict[str, object]:
    """Show an event without what anybody said."""
    body = event.body
    record: dict[str, object] = {
        "seq": event.seq,
        "at_s": event.at_s,
        "epoch": event.epoch,
        "kind": str(body.__struct_config__.tag),
    }
    return record | _details(body)


def _details(body: EventBody) -> dict[str, object]:
    """Take of an event what is not its text."""
    named = {name: getattr(body, name, "") for name in _DETAILS}
    return {name: value for name, value in named.items() if value != ""}


def _print_json(record: dict[str, object]) -> None:
    """Print a JSON object."""
    sys.stdout.buffer.write(msgspec.json.encode(record) + b"\n")
    sys.stdout.buffer.flush()


def _print_sessions(sessions: tuple[SessionRow, ...], owner: str) -> None:
    """Print a table of sessions."""
    table = Table()
    table.add_column("session", overflow="fold")  # half an id would name nothing
    table.add_column("status", no_wrap=True)
    for name in ("turns", "open", "event"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("last event at", no_wrap=True)
    for row in sessions:
        numbers = (str(row.turns), str(row.open_turns), str(row.seq))
        table.add_row(row.chat_id, row.status, *numbers, _moment(row.at_s))
    console = _console()
    console.print(table)
    console.print(f"{len(sessions)} sessions, {_owned(owner)}")


def _print_session(session: SessionRow, turns: tuple[TurnRow, ...], events: tuple[Event, ...], owner: str) -> None:
    """Print one session: how it stands, its turns, its last events."""
    console = _console()
    console.print(f"{session.chat_id} is {session.status} at event {session.seq}, {_owned(owner)}", soft_wrap=True)
    table = Table("turn", "status", "attempt", "accepted at event", "ended at event", "why", title="turns")
    for turn in turns:
        ended = "open" if turn.ended_seq is None else str(turn.ended_seq)
        why = " ".join(filter(None, (turn.reason, turn.error)))
        table.add_row(str(turn.turn), turn.status, str(turn.attempt), str(turn.accepted_seq), ended, why)
    console.print(table)
    table = Table("event", "at", "kind", "details", title=f"last {len(events)} events")
    for event in events:
        details = " ".join(f"{name}={value}" for name, value in _details(event.body).items())
        table.add_row(str(event.seq), _moment(event.at_s), str(event.body.__struct_config__.tag), details)
    console.print(table)


def _console() -> Console:
    """Make the console to print on; what reads a pipe wants a row in one line."""
    console = plain_console()
    return console if console.is_terminal else plain_console(width=PIPE_COLUMNS)


def _owned(owner: str) -> str:
    """Say who owns the store, and so whether what is running there runs."""
    return f"owned by {owner}" if owner else "owned by no process: what is open waits for the next"


def _moment(at_s: float) -> str:
    """Show a wall time, in UTC."""
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
