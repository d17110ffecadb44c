"""Dead letters as rows: written with the events of a group, read from outside as well.

A payload is JSON text, or a blob if it was bytes; so any tool can read it.
"""

import math
from typing import Final

import apsw
import msgspec

from actors.core.dead_letter import DeadLetter
from actors.core.ids import DropReason
from actors.errors import StoreCorruptError
from actors.ports import Bury
from actors.store.queries import END

_COLUMNS: Final = (
    "number, chat_id, reason, kind, size_bytes, at_s, payload, whole, sender, message_id, message_kind, key"
)
_INSERT: Final = f"INSERT OR IGNORE INTO dead_letter ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608 - names of ours
_FORGET: Final = "DELETE FROM dead_letter WHERE number=?"
_FORGET_MANY: Final = (
    "DELETE FROM dead_letter WHERE number <= (SELECT seq FROM sqlite_sequence WHERE name='dead_letter') - ?"
)
_FORGET_OLD: Final = "DELETE FROM dead_letter WHERE at_s < ?"

_encoder: Final = msgspec.json.Encoder()

Row = tuple[int, str, str, str, int, float, str | bytes | None, int, str, str, str, str]


def write(db: apsw.Connection, entry: Bury) -> None:
    """Keep dead letters and forget others, in the transaction that is open."""
    db.executemany(_INSERT, [_row(letter) for letter in entry.letters])
    db.executemany(_FORGET, [(number,) for number in entry.forget])
    db.execute(_FORGET_MANY, (entry.rows_max,))
    db.execute(_FORGET_OLD, (entry.after_s,))


def read(db: apsw.Connection, chat_id: str | None, after: int, rows_max: int) -> tuple[DeadLetter, ...]:
    """Read dead letters in the order of their numbers.

    Raises StoreCorruptError for a row that is none.
    """
    where = "number > ?2" if chat_id is None else "chat_id = ?1 AND number > ?2"
    statement = f"SELECT {_COLUMNS} FROM dead_letter WHERE {where} ORDER BY number LIMIT ?3"  # noqa: S608 - as above
    return tuple(_letter(row) for row in db.execute(statement, (chat_id, min(max(after, 0), END), rows_max)))


def _row(letter: DeadLetter) -> Row:
    """Write a letter as a row."""
    payload = letter.payload
    text = payload if payload is None or isinstance(payload, bytes) else _json_text(payload)
    whole = int(letter.whole and (text is not None or payload is None))
    head = letter.number, letter.chat_id, letter.reason.value, letter.kind, letter.size_bytes, letter.at_s
    return (*head, text, whole, letter.sender, letter.message_id, letter.message_kind, letter.key)


def _json_text(payload: object) -> str | None:
    """Write a payload as JSON; None for the few that were taken and that JSON does not hold, NaN among them."""
    if isinstance(payload, float) and not math.isfinite(payload):
        return None
    try:
        return _encoder.encode(payload).decode()
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
        return None


def _letter(row: Row) -> DeadLetter:
    """Read a letter from a row."""
    number, chat_id, reason, kind, size_bytes, at_s, text, whole, *rest = row
    try:
        payload = msgspec.json.decode(text) if isinstance(text, str) else text
        return DeadLetter(chat_id, DropReason(reason), kind, size_bytes, at_s, number, payload, bool(whole), *rest)
    except (msgspec.MsgspecError, ValueError) as error:
        message = f"dead letter {number} cannot be read: {type(error).__name__}"
        raise StoreCorruptError(message, hint="run `actors doctor` on the store") from error
