"""What a store holds after a load, read by somebody who had no part in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from actors.core.audit import check_history
from actors.core.events import Event, MessageAccepted, TurnEnded
from actors.core.ids import ChatId
from actors.core.transcript import Message
from actors.ports import Journal
from actors.runtime.clock import Threads
from actors.store.sqlite import SQLiteJournal
from actors.stress.ledger import Ledger, Stored
from actors.stress.plan import Load, Role, number_of, transcript_of

PAGE_ROWS = 1000


@attrs.define
class Found:
    """What was found: the messages of each session, sessions that are not as they should be, impossible histories."""

    stored: dict[str, Stored] = attrs.Factory(dict)
    touched: list[str] = attrs.Factory(list)
    histories: list[str] = attrs.Factory(list)


async def read_store(store: Path, load: Load, roles: Mapping[ChatId, Role], ledger: Ledger) -> Found:
    """Read every session of a store, and hold the healthy ones against their seed."""
    journal = SQLiteJournal(store, Threads())
    await journal.open_reader()
    found = Found()
    try:
        after = ""
        while page := await journal.sessions(after, PAGE_ROWS):
            for chat_id in page:
                events = await _events(journal, chat_id)
                healthy = roles.get(chat_id) is Role.HEALTHY
                found.histories += check_history(events, settled=healthy)  # one in quarantine has turns that wait
                found.stored[chat_id] = _stored(events)
                if healthy:
                    found.touched += _differences(load, chat_id, await _messages(journal, chat_id), ledger)
            after = page[-1]
    finally:
        await journal.close()
    missing = [chat_id for chat_id, role in roles.items() if role is Role.HEALTHY and chat_id not in found.stored]
    found.touched += [f"{chat_id} is not there" for chat_id in missing]
    return found


def _stored(events: Sequence[Event]) -> Stored:
    """List the messages of a session by their numbers."""
    numbers: dict[int, int] = {}
    ended: set[int] = set()
    for event in events:
        match event.body:
            case MessageAccepted(turn=turn, text=text):
                numbers[turn] = number_of(text)
            case TurnEnded(turn=turn):
                ended.add(turn)
            case _:
                pass
    return Stored(
        frozenset(number for turn, number in numbers.items() if turn in ended),
        frozenset(number for turn, number in numbers.items() if turn not in ended),
    )


def _differences(load: Load, chat_id: ChatId, messages: Sequence[Message], ledger: Ledger) -> list[str]:
    """Hold a healthy transcript against what the seed and the senders say, part by part; at most one sentence."""
    found = [(message.role, part.kind, part.text) for message in messages for part in message.parts]
    expected = [part for number in sorted(ledger.taken_by(chat_id)) for part in transcript_of(load, chat_id, number)]
    if found == expected:
        return []
    at = next((at for at, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        return [f"{chat_id} has {len(found)} parts and should have {len(expected)}"]
    return [f"{chat_id} has {found[at]!r:.80} and should have {expected[at]!r:.80}"]


async def _events(journal: Journal, chat_id: ChatId) -> list[Event]:
    """Read all events of a session."""
    found: list[Event] = []
    while True:
        events = await journal.events(chat_id, found[-1].seq if found else 0, PAGE_ROWS)
        found += events
        if len(events) < PAGE_ROWS:
            return found


async def _messages(journal: Journal, chat_id: ChatId) -> list[Message]:
    """Read the whole transcript of a session, oldest first."""
    pages: list[tuple[Message, ...]] = []
    before: int | None = None
    while True:
        page = await journal.messages(chat_id, before, PAGE_ROWS)
        pages.append(page.messages)
        before = page.before_turn
        if before is None:
            return [message for messages in reversed(pages) for message in messages]
