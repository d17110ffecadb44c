"""What a runtime has left on its store and in its log, in a form that a test can compare."""

import json
from io import BytesIO
from typing import Any, Final

from actors.core.codec import encode_body
from actors.core.events import Event
from actors.core.ids import ChatId
from actors.ports import Journal

_PAGE_ROWS: Final = 1000


async def canonical(journal: Journal, chat_id: str) -> bytes:
    """Return what is stored of a session, without times and epochs: equal for equal conversations."""
    events = await _events(journal, ChatId(chat_id))
    return "\n".join([f"{event.seq} {encode_body(event.body)}" for event in events]).encode()


async def histories(journal: Journal) -> dict[str, list[Event]]:
    """Read the events of every session of a store, in their order; for ``check_history``."""
    found: dict[str, list[Event]] = {}
    after = ""
    while page := await journal.sessions(after, _PAGE_ROWS):
        for chat_id in page:
            found[chat_id] = await _events(journal, chat_id)
        after = page[-1]
    return found


async def _events(journal: Journal, chat_id: ChatId) -> list[Event]:
    """Read all events of one session."""
    found: list[Event] = []
    while True:
        events = await journal.events(chat_id, found[-1].seq if found else 0, _PAGE_ROWS)
        found += events
        if len(events) < _PAGE_ROWS:
            return found


def records_of(log: BytesIO) -> list[dict[str, Any]]:
    """Read the records that a runtime wrote to a log in memory; look after the runtime has closed."""
    return [json.loads(line) for line in log.getvalue().splitlines()]
