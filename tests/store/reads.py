"""Everything that can be read of one session, held against what its events say."""

import random
from collections.abc import Sequence

from actors.core.events import Event, HistoryTruncated, MessageAccepted, QueueReordered
from actors.core.transcript import Transcript, turn_place
from actors.ports import Found, Journal, Page, Recorded
from tests.store.histories import CHAT, ends_of, keys_of, messages_of, state_of
from tests.store.places import ROWS


async def all_pages(journal: Journal, rows_max: int) -> list[Page]:
    """Walk the messages from the last page to the first."""
    pages = [await journal.messages(CHAT, None, rows_max)]
    while pages[-1].before_turn is not None:
        pages.append(await journal.messages(CHAT, pages[-1].before_turn, rows_max))
        assert len(pages) < ROWS, "the cursor does not move"
    return pages


async def check_reads(journal: Journal, events: Sequence[Event], chance: random.Random) -> None:
    """Compare what can be read of a session with what its events say."""
    everything = tuple(events)
    assert await journal.events(CHAT, 0, ROWS) == everything
    after, rows_max = chance.randint(0, len(events) + 1), chance.randint(0, 5)
    assert await journal.events(CHAT, after, rows_max) == everything[after:][:rows_max]
    state, ends = state_of(CHAT, events), ends_of(events)
    running = 0 if state.running is None else state.running.turn
    for seq, body in keys_of(events):
        open_turn = Found(body.turn, seq, "running" if body.turn == running else "queued", "", "")
        end = ends.get(body.turn)
        found = open_turn if end is None else Found(body.turn, seq, end.status.value, end.reason, end.error)
        assert await journal.find(CHAT, body.message_id) == found
    messages = messages_of(events)
    rows_max = chance.choice((1, 2, 5, ROWS))
    pages = await all_pages(journal, rows_max)
    assert tuple(message for page in reversed(pages) for message in page.messages) == messages
    for page, older in zip(pages, [*pages[1:], None], strict=True):
        places = {turn_place(message) for message in page.messages} - {0}
        assert len(places) == 1 or sum(message.turn > 0 for message in page.messages) <= rows_max
        assert older is None or page.before_turn == min(places)
        assert older is None or all(turn_place(message) < min(places) for message in older.messages)
    for turn in range(state.turns + 2):
        assert await journal.turn(CHAT, turn) == recorded_of(everything, turn)


def recorded_of(events: Sequence[Event], turn: int) -> Recorded | None:
    """Work out what is recorded of a turn."""
    opening = [event for event in events if isinstance(event.body, MessageAccepted) and event.body.turn == turn]
    if not opening:
        return None
    end, state = ends_of(events).get(turn), state_of(CHAT, events)
    status = "running" if state.running is not None and state.running.turn == turn else "queued"
    found = Found(turn, opening[0].seq, status, "", "")
    if end is not None:
        found = Found(turn, opening[0].seq, end.status.value, end.reason, end.error)
    transcript = Transcript(showing_hidden=True)
    for event in events:
        transcript.add(event)
    messages = tuple(message for message in transcript.messages() if message.turn == turn)
    place, cut = turn, False  # where it stood when the history was cut counts, not where it came to stand after
    for event in events[opening[0].seq :]:
        if isinstance(event.body, QueueReordered):
            place = dict(zip(event.body.turns, event.body.places, strict=True)).get(turn, place)
        elif isinstance(event.body, HistoryTruncated):
            cut = cut or (turn <= event.body.last and place >= event.body.place)
    return Recorded(found, cut or (end is not None and end.hidden), messages)
