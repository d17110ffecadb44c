"""Dead letters as rows: readable with any tool, and a row that is none says so."""

import math
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from actors.errors import StoreCorruptError
from tests.store.dead_letter_contract import bury, letter
from tests.store.places import ROWS, FilePlace, fill, opened


async def test_a_row_can_be_read_with_any_tool(tmp_path: Path) -> None:
    """A payload is JSON, or a blob if it was bytes, or nothing."""
    place = FilePlace(tmp_path)
    payloads = ["text", {"a": [1]}, b"\x00", None]
    async with opened(place) as (journal, _):
        await fill(journal, bury(*[letter(number, payload=payload) for number, payload in enumerate(payloads, 1)]))
    with closing(apsw.Connection(str(place.path))) as db:
        rows = list(db.execute("SELECT number, reason, payload, whole FROM dead_letter ORDER BY number"))
    columns = ['"text"', '{"a":[1]}', b"\x00", None]
    assert rows == [(number, "busy", column, column is not None) for number, column in enumerate(columns, 1)]


async def test_a_payload_that_json_does_not_hold_is_left_out(tmp_path: Path) -> None:
    """The letter is kept, and says that it is not whole."""
    async with opened(FilePlace(tmp_path)) as (journal, _):
        await fill(journal, bury(letter(1, payload=math.inf), letter(2, payload=math.nan), letter(3)))
        found = await journal.dead_letters(None, 0, ROWS)
        assert [(each.payload, each.whole) for each in found] == [(None, False), (None, False), ("hello", True)]


@pytest.mark.parametrize("change", ["reason = 'unheard'", "payload = '{'"])
async def test_a_row_that_is_no_letter_is_named(change: str, tmp_path: Path) -> None:
    """Its number is in the text, so that it can be looked at."""
    place = FilePlace(tmp_path)
    async with opened(place) as (journal, _):
        await fill(journal, bury(letter(1), letter(7)))
        with closing(apsw.Connection(str(place.path))) as db:
            db.execute(f"UPDATE dead_letter SET {change} WHERE number = 7")  # noqa: S608 - changes of ours
        with pytest.raises(StoreCorruptError, match="dead letter 7 cannot be read"):
            await journal.dead_letters(None, 0, ROWS)
        assert len(await journal.dead_letters(None, 0, 1)) == 1
