"""Every row beside the journal says what the events say, however they were grouped into transactions."""

import random
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import apsw
import hypothesis
import hypothesis.strategies as st
import pytest
import trio

from actors.core.events import (
    AttemptInterrupted,
    AttemptSetAside,
    Event,
    HistoryTruncated,
    MessageAccepted,
    MessageAdded,
    MessageSteered,
    PromptAnswered,
    PromptClosed,
    PromptExpired,
    PromptOpened,
    QueuedEdited,
    QueueReordered,
    ReminderDropped,
    ReminderFired,
    SessionCreated,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
    TurnStarted,
    TurnSuperseded,
)
from actors.core.lifecycle import PartStatus
from actors.store.projections import (
    DELETE_REMINDER,
    INSERT_PART,
    INSERT_TURN,
    UPDATE_PART,
    UPDATE_REMINDER,
    UPDATE_TURN,
    Rows,
)
from tests.store.histories import CHAT, OTHER, Story, append, entries_of, events_of, groups_of, state_of
from tests.store.journal_contract import accepted
from tests.store.places import FilePlace, fill, opened

Table = dict[tuple[object, ...], list[object]]
"""The rows of a table by their keys, without the key of the session."""

KEYS = {"turn": 1, "message": 3, "part": 4, "tool_call": 3, "prompt": 3}
"""How many columns after the session's name a row of each table."""


def rows_of(events: Sequence[Event]) -> dict[str, Table]:
    """Work out the rows of a session, one event after the other."""
    tables: dict[str, Table] = defaultdict(dict)
    turn, message, part, call, prompt = (tables[name] for name in KEYS)
    for event in events:
        seq, body = event.seq, event.body
        match body:
            case MessageAdded():
                message[0, 0, seq] = [seq, body.role, body.message_id, None, None]
                for number, seed in enumerate(body.parts):
                    part[0, 0, seq, number] = [seed.kind, "complete", len(seed.text), seq, seq]
            case MessageAccepted() | MessageSteered() | QueuedEdited() | QueueReordered() | TurnSuperseded():
                add_queue(tables, seq, body)
            case TurnStarted():
                turn[body.turn,][:2] = ["running", body.attempt]
            case AttemptInterrupted():
                turn[body.turn,][:2] = ["queued", body.attempt]
                turn[body.turn,][6] = (turn[body.turn,][6] or body.attempt) if body.keep else None
                open_with(message, body.turn, keep=body.keep)
            case AttemptSetAside():
                turn[body.turn,][6] = None
                open_with(message, body.turn, keep=False)
            case TurnEnded():
                turn[body.turn,][:2] = [body.status, body.attempt]
                turn[body.turn,][3:6] = [seq, body.reason, body.error]
                turn[body.turn,][8] = int(body.hidden or turn[body.turn,][8] == 1)
            case HistoryTruncated():
                cut(tables, body)
            case TextAppended():
                where = (body.turn, body.attempt, body.message)
                message.setdefault(where, [seq, "assistant", "/".join(map(str, where)), None, None])
                row = part.setdefault((*where, body.part), [body.type, "", 0, seq, seq])
                assert row[2] == body.offset
                row[1:] = [body.status, body.offset + len(body.text), row[3], seq]
            case ToolCalled():
                where = (body.turn, body.attempt, body.message)
                message.setdefault(where, [seq, "assistant", "/".join(map(str, where)), None, None])
                part[*where, body.part] = ["tool_call", "complete", len(body.arguments), seq, seq]
                call[body.turn, body.attempt, body.call] = [body.call_id, body.name, "running", seq, None]
            case ToolEnded():
                where = (body.turn, body.attempt, body.message)
                message[where] = [seq, "tool", "/".join(map(str, where)), None, None]
                part[*where, 0] = ["tool_result", "complete", len(body.content), seq, seq]
                row = call[body.turn, body.attempt, body.call]
                row[2:] = [body.status, row[3], seq]
            case PromptOpened():
                prompt[body.turn, body.attempt, body.prompt] = ["open", seq, None, body.expires_at_s]
            case PromptAnswered() | PromptExpired() | PromptClosed():
                (key,) = (key for key in prompt if (key[0], key[2]) == (body.turn, body.prompt))
                status = body.__struct_config__.tag.removeprefix("prompt.")  # type: ignore[union-attr]  # it has one
                prompt[key] = [status, prompt[key][1], seq, prompt[key][3]]
            case _:
                pass
    return tables


def add_queue(
    tables: dict[str, Table],
    seq: int,
    body: MessageAccepted | MessageSteered | QueuedEdited | QueueReordered | TurnSuperseded,
) -> None:
    """Apply what is done to messages of the user and to turns that wait."""
    turn, message, part = (tables[name] for name in ("turn", "message", "part"))
    match body:
        case MessageAccepted():
            there = sum(where[:2] == (body.turn, 0) for where in message)
            if not body.joined:
                turn[body.turn,] = ["queued", 0, seq, None, "", "", None, None, 0, ""]
            if body.moved_from:
                before = sent(message, body.message_id)
                del message[before], part[*before, 0]
            taken = -1 if body.joined == "steer" else None
            message[body.turn, 0, -1 - there] = [seq, "user", body.message_id, taken, None]
            part[body.turn, 0, -1 - there, 0] = ["text", "complete", len(body.text), seq, seq]
        case MessageSteered():
            message[sent(message, body.message_id)][3:] = [body.message, body.attempt]
        case QueuedEdited():
            part[*sent(message, body.message_id), 0][2:] = [len(body.text), seq, seq]
        case QueueReordered():
            for number, place in zip(body.turns, body.places, strict=True):
                turn[number,][7] = place
        case TurnSuperseded():
            turn[body.turn,][9] = "rolled_back" if body.hidden else "superseded"


def open_with(message: Table, turn: int, *, keep: bool) -> None:
    """Let what was said while an attempt ran open the next one: all of it, or what the attempt has not taken."""
    for where, row in message.items():
        if where[:2] == (turn, 0) and (not keep or row[3] == -1):
            row[3:] = [None, None]


def cut(tables: dict[str, Table], body: HistoryTruncated) -> None:
    """Hide the turns behind a cut, and let what they were handed share their fate."""
    for key, row in tables["turn"].items():
        if int(str(key[0])) <= body.last and int(str(row[7] or key[0])) >= body.place:
            row[8] = 1
            for where, message in tables["message"].items():
                if where[:2] == (key[0], 0) and message[3] == -1:
                    message[3] = None


def sent(message: Table, message_id: str) -> tuple[object, ...]:
    """Find the row of a message that somebody sent."""
    return next(where for where, row in message.items() if row[2] == message_id and where[2] in range(-99, 0))


def rows_in(db: apsw.Connection, chat: int) -> dict[str, Table]:
    """Read the rows of a session."""
    tables: dict[str, Table] = {}
    for name, keys in KEYS.items():
        rows = db.execute(f"SELECT * FROM {name} WHERE chat=?", (chat,))  # noqa: S608 - the names stand above
        tables[name] = {row[1 : 1 + keys]: list(row[1 + keys :]) for row in rows}
    return tables


@pytest.mark.rule("promise_storage_3")
def test_the_rows_are_what_the_events_come_to_one_by_one() -> None:
    """Two sessions in the same groups, several entries of each in one transaction."""

    @hypothesis.given(chance=st.randoms(use_true_random=False), steps=st.integers(0, 30))
    def holds(chance: random.Random, steps: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            trio.run(play, FilePlace(Path(folder)), chance, steps)

    holds()


async def play(place: FilePlace, chance: random.Random, steps: int) -> None:
    """Write two histories in random groups and compare every table."""
    histories = {chat_id: entries_of(chat_id, Story(chance, chat_id).tell(steps)) for chat_id in (CHAT, OTHER)}
    entries = [entry for chat_id in (CHAT, OTHER) for entry in histories[chat_id]]
    entries.sort(key=lambda entry: entry.expected_seq)
    async with opened(place) as (journal, _):
        for group in groups_of(entries, chance):
            await fill(journal, *group)
        with closing(apsw.Connection(str(place.path))) as db:
            for chat_id, history in histories.items():
                events = events_of(history)
                state = state_of(chat_id, events)
                row = db.execute(
                    "SELECT chat, seq, turns, state, overlap, paused FROM session WHERE chat_id=?", (chat_id,)
                ).get
                standing = state.standing
                assert row[1:] == (state.seq, state.turns, state.saved, standing.overlap, standing.paused)
                assert rows_in(db, row[0]) == rows_of(events)


@pytest.mark.rule("promise_storage_6")
def test_a_row_that_an_entry_makes_and_changes_is_written_once() -> None:
    """The common turn costs one row for its turn and one for each part, however many pieces it came in."""
    pieces = [TextAppended(1, 1, 0, 0, "text", n, "x", PartStatus.STREAMING) for n in range(5)]
    end = TextAppended(1, 1, 0, 0, "text", 5, "", PartStatus.COMPLETE)
    rows = Rows()
    rows.add(7, 0, append(CHAT, 0, SessionCreated(), accepted(1), TurnStarted(1, 1), *pieces).events)
    rows.add(7, 8, append(CHAT, 8, end).events)
    assert rows.by_statement[INSERT_TURN] == [("running", 1, None, "", "", 2, 7, 1)]
    assert rows.by_statement[UPDATE_TURN] == []
    assert rows.by_statement[INSERT_PART][1:] == [("streaming", 5, 8, "text", 4, 7, 1, 1, 0, 0)]
    assert rows.by_statement[UPDATE_PART] == [("complete", 0, 9, 7, 1, 1, 0, 0)]
    assert rows.sessions == [(8, 1, None, 7, 0), (9, 0, None, 7, 8)]


def test_many_reminders_of_one_group_cost_one_row_each() -> None:
    """However often they fire in it: the work of a group grows with its events, and not with their square."""
    rows = Rows()
    for chat in range(3):
        fired = [ReminderFired(f"r{number % 2}", number // 2, 1.0, 2.0) for number in range(4)]
        rows.add(chat, 5, append(CHAT, 5, *fired, ReminderDropped("r1")).events)
        assert rows.by_statement[UPDATE_REMINDER] == rows.by_statement[DELETE_REMINDER] == []
    rows.settle()
    assert rows.by_statement[UPDATE_REMINDER] == [(2, 2.0, chat, "r0") for chat in range(3)]
    assert rows.by_statement[DELETE_REMINDER] == [(chat, "r1") for chat in range(3)]
