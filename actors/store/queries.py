"""What can be asked of a store file: rows back to values, on any connection that can read.

Each question is several statements, so whoever asks holds a transaction open around it. Rows that contradict each other
raise StoreCorruptError with the id of their session; other sessions are not looked at.
"""

from collections.abc import Iterator
from typing import Final, NoReturn

import apsw
import attrs

from actors.core.codec import decode_body
from actors.core.commands import Parent
from actors.core.events import (
    Event,
    EventBody,
    HistoryTruncated,
    MessageAccepted,
    PromptAnswered,
    PromptExpired,
    PromptOpened,
    QueuedEdited,
    QueueReordered,
    ReminderSet,
    SessionCreated,
)
from actors.core.ids import ChatId
from actors.core.lifecycle import PromptStatus, TurnStatus
from actors.core.reminder import Reminder
from actors.core.spending import Usage
from actors.core.state import (
    Background,
    OpenCall,
    OpenPart,
    OpenPrompt,
    QueuedTurn,
    RunningTurn,
    SessionState,
    Standing,
    UserMessage,
    opened_by,
    record,
)
from actors.core.transcript import Message, Transcript, turn_place
from actors.errors import StoreCorruptError
from actors.ports import Alias, Appointment, Found, Opened, Page, Recorded

EVENTS_IN_PAGE: Final = 1000
END: Final = 1 << 62
"""Beyond every number of a turn or an event."""


def opening(db: apsw.Connection, epoch: int) -> Opened:
    """Read what a runtime must know of a store before it takes anything; sessions in the order of their creation."""
    chats = frozenset(_chat_ids(db, "SELECT chat_id FROM session"))
    tombstones = frozenset(_chat_ids(db, "SELECT chat_id FROM tombstone"))
    unfinished = (
        "SELECT chat_id FROM session WHERE chat IN (SELECT chat FROM turn WHERE ended_seq IS NULL) ORDER BY chat"
    )
    due = (
        "SELECT chat_id, min(due_s) FROM (SELECT chat, due_s FROM reminder UNION ALL"
        " SELECT chat, expires_at_s FROM prompt WHERE status='open' AND expires_at_s IS NOT NULL"
        ") JOIN session USING (chat) GROUP BY chat ORDER BY chat"
    )
    appointments = tuple(Appointment(ChatId(chat_id), due_s) for chat_id, due_s in db.execute(due))
    numbered = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name='dead_letter'), 0)"
    dead = db.execute(numbered).get
    return Opened(epoch, chats, tombstones, tuple(_chat_ids(db, unfinished)), appointments, aliases(db), dead)


def aliases(db: apsw.Connection) -> tuple[Alias, ...]:
    """Read the ids that sessions had before, in order, with those they have now."""
    rows = db.execute(
        "SELECT alias.chat_id, session.chat_id FROM alias JOIN session USING (chat) ORDER BY alias.chat_id"
    )
    return tuple(Alias(ChatId(chat_id), ChatId(leads_to)) for chat_id, leads_to in rows)


def sessions(db: apsw.Connection, after: str, rows_max: int) -> tuple[ChatId, ...]:
    """Read the ids of sessions in order, after one of them."""
    return tuple(
        _chat_ids(db, "SELECT chat_id FROM session WHERE chat_id > ? ORDER BY chat_id LIMIT ?", after, rows_max)
    )


def children(db: apsw.Connection, chat_id: ChatId, rows_max: int) -> tuple[ChatId, ...]:
    """Read the ids of sessions that turns of a session spawned, in the order of their creation."""
    return tuple(
        _chat_ids(
            db,
            "SELECT chat_id FROM session WHERE parent=(SELECT chat FROM address WHERE chat_id=?) ORDER BY chat LIMIT ?",
            chat_id,
            rows_max,
        )
    )


def load(db: apsw.Connection, chat_id: ChatId) -> SessionState | None:
    """Read what is open in a session."""
    row = db.execute(
        "SELECT chat, chat_id, seq, turns, state, parent, closed, overlap, paused,"
        " tokens, cost_millionths, turns_before FROM session"
        " WHERE chat=(SELECT chat FROM address WHERE chat_id=?)",
        (chat_id,),
    ).fetchone()
    if row is None:
        return None
    chat, chat_id, seq, turns, saved, parent, closed, overlap, paused, *used = row
    last = db.execute("SELECT max(seq) FROM event WHERE chat=?", (chat,)).get or 0
    if last != seq:
        _corrupt(chat_id, f"the session ends at {seq}, its journal at {last}")
    running: RunningTurn | None = None
    queued: list[QueuedTurn] = []
    prompts = _open_prompts(db, chat, chat_id)
    unfinished = db.execute(
        "SELECT turn, status, attempt, accepted_seq, first_attempt, coalesce(place, turn) AS place, ending"
        " FROM turn WHERE chat=? AND ended_seq IS NULL ORDER BY place",
        (chat,),
    )
    for turn, status, attempt, accepted_seq, first_attempt, place, ending in unfinished:
        waits = status == TurnStatus.QUEUED.value
        if not waits and running is not None:
            _corrupt(chat_id, f"turns {running.turn} and {turn} both run")
        begun_before = attempt if waits else attempt - 1
        said = _said(db, chat, turn, accepted_seq, chat_id)
        item = _queued(db, chat, turn, begun_before, said, place)
        body = _body_at(db, chat, accepted_seq, chat_id)
        if isinstance(body, MessageAccepted) and body.answers is not None:
            item = attrs.evolve(item, background=Background(body.answers))
        if attempt:
            item = _with_answers(db, chat, _with_words(db, chat, item, first_attempt), chat_id)
        steered = tuple(message for taken, message in said if taken is not None and taken >= 0)
        if waits:
            if steered:
                item = attrs.evolve(item, background=attrs.evolve(item.background, steered=steered))
            queued.append(item)
        else:
            own = tuple(prompt for prompt in prompts if prompt.turn == turn)
            running = attrs.evolve(
                _running(db, chat, item, attempt, own),
                steering=tuple(message for taken, message in said if taken is not None and taken < 0),
                steered=steered,
                ending=ending,
            )
    standing = Standing(
        overlap,
        bool(paused),
        reminders=_reminders(db, chat, chat_id),
        parent=None if parent is None else _parent(db, chat, chat_id),
        closed=bool(closed),
        prompts=tuple(prompt for prompt in prompts if running is None or prompt.turn != running.turn),
        usage=Usage(*used),
    )
    return SessionState(chat_id, seq, turns, running, tuple(queued), saved, standing)


def _queued(
    db: apsw.Connection, chat: int, turn: int, attempts: int, said: list[tuple[int | None, UserMessage]], place: int
) -> QueuedTurn:
    """Make the value of a turn that has not ended, with the messages that opened it."""
    first = said[0][1]
    asked = 0 if not attempts else db.execute(_ASKED_BEFORE, (chat, turn, attempts)).get
    more = tuple(message for taken, message in said[1:] if taken is None)
    return QueuedTurn(
        turn,
        first.message_id,
        first.text,
        first.sender,
        first.deadline_s,
        attempts,
        first.seq,
        asked,
        more=more,
        place=place,
    )


def _said(
    db: apsw.Connection, chat: int, turn: int, accepted_seq: int, chat_id: ChatId
) -> list[tuple[int | None, UserMessage]]:
    """Read what a user has said in a turn, the message that opened it first, each with where it was taken."""
    first = _accepted(db, chat, turn, accepted_seq, chat_id)
    said: list[tuple[int | None, UserMessage]] = [(None, first)]
    for taken, seq, text_seq in db.execute(_SAID, (chat, turn)):
        message = first if seq == accepted_seq else _accepted(db, chat, turn, seq, chat_id)
        if text_seq != seq:
            edited = _body_at(db, chat, text_seq, chat_id)
            if not isinstance(edited, QueuedEdited) or edited.turn != turn:
                _corrupt(chat_id, f"a message of turn {turn} points to an event that does not edit it")
            message = attrs.evolve(message, text=edited.text)
        if seq == accepted_seq:
            said[0] = (None, message)
        else:
            said.append((taken, message))
    return said


_SAID = """
    SELECT taken, message.seq, first_seq FROM message JOIN part USING (chat, turn, attempt, position)
    WHERE message.chat=? AND message.turn=? AND message.attempt=0 AND position<0 ORDER BY position DESC
"""


def _accepted(db: apsw.Connection, chat: int, turn: int, seq: int, chat_id: ChatId) -> UserMessage:
    """Read a message from the event that accepted it."""
    body = _body_at(db, chat, seq, chat_id)
    if not isinstance(body, MessageAccepted) or body.turn != turn:
        _corrupt(chat_id, f"turn {turn} points to an event that does not accept it")
    return UserMessage(body.message_id, body.text, body.sender, body.deadline_s, seq)


_ASKED_BEFORE = "SELECT count(*) FROM prompt WHERE chat=? AND turn=? AND attempt<=?"


def find(db: apsw.Connection, chat_id: ChatId, message_id: str) -> Found | None:
    """Read what became of the message with a key."""
    row = db.execute(
        "SELECT turn.turn, message.seq, turn.status, turn.reason, turn.error"
        " FROM message JOIN turn USING (chat, turn)"
        " WHERE chat=(SELECT chat FROM address WHERE chat_id=?) AND message_id=? AND position<0",
        (chat_id, message_id),
    ).fetchone()
    return None if row is None else Found(*row)


def find_prompt(db: apsw.Connection, chat_id: ChatId, turn: int, prompt: int) -> PromptStatus | None:
    """Read where a question stands."""
    found = db.execute(
        "SELECT status FROM address JOIN prompt USING (chat) WHERE chat_id=? AND turn=? AND prompt=?"
        " ORDER BY attempt DESC LIMIT 1",  # an older version gave questions of two attempts the same number
        (chat_id, turn, prompt),
    ).get
    return None if found is None else PromptStatus(found)


def events(db: apsw.Connection, chat_id: ChatId, after: int, rows_max: int) -> tuple[Event, ...]:
    """Read events of a session."""
    found = _chat(db, chat_id)
    return () if found is None else stored(db, found[0], min(max(after, 0), END), rows_max, found[1])


def messages(db: apsw.Connection, chat_id: ChatId, before_turn: int | None, rows_max: int) -> Page:
    """Read whole ended turns, newest first, until the page is full; fold their events into messages."""
    found = _chat(db, chat_id)
    if found is None:
        return Page((), None)
    chat, chat_id = found
    before = END if before_turn is None else min(max(before_turn, 0), END)
    turns = db.execute(_ENDED, (chat, before, rows_max))
    taken: dict[int, tuple[int, int]] = {}
    places: list[int] = []
    rows = 0
    whole = True
    for place, turn, accepted_seq, ended_seq, made in turns:
        rows += made
        if taken and rows > rows_max:
            whole = False
            break
        taken[turn] = (accepted_seq, ended_seq)
        places.append(place)
    whole = whole and len(taken) < rows_max
    seeds = _seeds(db, chat, chat_id) if whole and before > 0 else ()
    later = _messages(db, chat, taken, chat_id) if taken else ()
    return Page((*seeds, *later), None if whole else min(places, default=0))


_COLUMNS = """
    turn, accepted_seq, ended_seq, (SELECT count(*) FROM message
        WHERE message.chat=turn.chat AND message.turn=turn.turn AND (message.attempt=0
            OR message.attempt BETWEEN coalesce(turn.first_attempt, turn.attempt) AND turn.attempt))
    FROM turn WHERE chat=?1 AND ended_seq IS NOT NULL AND hidden=0
"""
_ENDED = f"""
    SELECT turn AS stands, {_COLUMNS} AND place IS NULL AND turn<?2
    UNION ALL SELECT place, {_COLUMNS} AND place IS NOT NULL AND place<?2
    ORDER BY stands DESC LIMIT ?3
"""
"""The turns that have ended before a place, the last first: the moved ones by their index, the others by number."""


def turn(db: apsw.Connection, chat_id: ChatId, number: int) -> Recorded | None:
    """Read one turn, whether it has ended or not."""
    known = _chat(db, chat_id) if 0 < number < END else None
    row = None if known is None else db.execute(_ONE_TURN, (known[0], number)).fetchone()
    if known is None or row is None:
        return None
    chat, chat_id = known
    accepted_seq, ended_seq, status, reason, error, hidden = row
    found = Found(number, accepted_seq, status, reason, error)
    last = ended_seq or db.execute("SELECT max(seq) FROM event WHERE chat=?", (chat,)).get or 0
    transcript = Transcript(showing_hidden=True)
    for event in _between(db, chat, accepted_seq - 1, last, chat_id):
        if getattr(event.body, "turn", None) == number or isinstance(event.body, QueueReordered | HistoryTruncated):
            transcript.add(event)
    return Recorded(found, bool(hidden), transcript.messages())


_ONE_TURN = """
    SELECT accepted_seq, ended_seq, status, reason, error, hidden FROM turn WHERE chat=? AND turn=?
"""


def stored(db: apsw.Connection, chat: int, after: int, rows_max: int, chat_id: ChatId) -> tuple[Event, ...]:
    """Read events of a session by its key; a gap in their numbers is an error."""
    found: list[Event] = []
    for seq, epoch, at_s, version, body in db.execute(
        "SELECT seq, epoch, at_s, version, body FROM event WHERE chat=? AND seq>? ORDER BY seq LIMIT ?",
        (chat, after, rows_max),
    ):
        if seq != after + len(found) + 1:
            _corrupt(chat_id, f"event {after + len(found) + 1} is missing")
        try:
            decoded = decode_body(body, version)
        except StoreCorruptError as error:
            raise of_session(chat_id, error, f"event {seq} cannot be read: ") from error
        found.append(Event(chat_id, seq, epoch, at_s, decoded))
    return tuple(found)


def of_session(chat_id: ChatId, error: StoreCorruptError, where: str = "") -> StoreCorruptError:
    """Say the same of the session it is about."""
    message = f"{where}{str(error).removesuffix(f'; {error.hint}')}"
    return StoreCorruptError(message, chat_id=chat_id, hint=error.hint)


def _corrupt(chat_id: ChatId, message: str) -> NoReturn:
    """Say that the rows of one session contradict each other."""
    raise StoreCorruptError(message, chat_id=chat_id, hint="run `actors doctor` on the store")


def _chat(db: apsw.Connection, chat_id: ChatId) -> tuple[int, ChatId] | None:
    """Find the key of a session, and the id that it has now."""
    row = db.execute(
        "SELECT chat, chat_id FROM session WHERE chat=(SELECT chat FROM address WHERE chat_id=?)", (chat_id,)
    ).fetchone()
    return None if row is None else (row[0], ChatId(row[1]))


def _chat_ids(db: apsw.Connection, statement: str, *values: str | int) -> Iterator[ChatId]:
    """Read ids of sessions."""
    return (ChatId(chat_id) for (chat_id,) in db.execute(statement, values))


def _running(
    db: apsw.Connection, chat: int, queued: QueuedTurn, attempt: int, prompts: tuple[OpenPrompt, ...]
) -> RunningTurn:
    """Read what the running attempt has on disk."""
    key = (chat, queued.turn, attempt)
    part = db.execute(
        "SELECT position, part, kind, characters FROM part"
        " WHERE chat=? AND turn=? AND attempt=? AND status='streaming'",
        key,
    ).fetchone()
    messages_total = db.execute(
        "SELECT 1 + max(coalesce(max(position), -1), (SELECT coalesce(max(taken), -1) FROM message"
        " WHERE chat=?1 AND turn=?2 AND attempt=0)) FROM message WHERE chat=?1 AND turn=?2 AND attempt=?3",
        key,
    ).get
    calls = "SELECT call, call_id, name, status FROM tool_call WHERE chat=? AND turn=? AND attempt=? ORDER BY call"
    called = list(db.execute(calls, key))
    asked = db.execute("SELECT count(*) FROM prompt WHERE chat=? AND turn=? AND attempt=?", key).get
    return RunningTurn(
        queued,
        attempt,
        max(messages_total, queued.background.messages),
        None if part is None else OpenPart(*part),
        tuple(OpenCall(call, call_id, name) for call, call_id, name, status in called if status == "running"),
        queued.background.calls + len(called),
        prompts,
        queued.prompts + asked,
    )


def _parent(db: apsw.Connection, chat: int, chat_id: ChatId) -> Parent:
    """Read which turn spawned a session."""
    body = _body_at(db, chat, 1, chat_id)
    if not isinstance(body, SessionCreated) or not body.parent:
        _corrupt(chat_id, "the session has a parent that its first event does not name")
    return Parent(ChatId(body.parent), body.parent_turn, body.depth, body.name)


def _reminders(db: apsw.Connection, chat: int, chat_id: ChatId) -> tuple[Reminder, ...]:
    """Read the reminders that stand in a session, in the order in which they were set."""
    found: list[Reminder] = []
    for key, seq, tick in db.execute("SELECT key, set_seq, tick FROM reminder WHERE chat=? ORDER BY set_seq", (chat,)):
        body = _body_at(db, chat, seq, chat_id)
        if not isinstance(body, ReminderSet) or body.key != key:
            _corrupt(chat_id, f"a reminder points to event {seq}, which does not set it")
        found.append(Reminder(key, body.text, body.first_s, body.every_s, body.missed, tick, seq))
    return tuple(found)


def _open_prompts(db: apsw.Connection, chat: int, chat_id: ChatId) -> tuple[OpenPrompt, ...]:
    """Read the questions that nobody has answered, by turn and number."""
    asked = db.execute("SELECT opened_seq FROM prompt WHERE chat=? AND status='open' ORDER BY turn, prompt", (chat,))
    return tuple(_prompt_at(db, chat, seq, chat_id) for (seq,) in asked)


def _prompt_at(db: apsw.Connection, chat: int, seq: int, chat_id: ChatId) -> OpenPrompt:
    """Read one question."""
    body = _body_at(db, chat, seq, chat_id)
    if not isinstance(body, PromptOpened):
        _corrupt(chat_id, f"a prompt points to event {seq}, which does not open it")
    return opened_by(body)


def _with_words(db: apsw.Connection, chat: int, item: QueuedTurn, first_attempt: int | None) -> QueuedTurn:
    """Read how much of what earlier attempts have said is kept."""
    if first_attempt is None:
        return item
    kept = (chat, item.turn, first_attempt, item.attempts)
    messages_total, calls_total = db.execute(
        "SELECT max((SELECT coalesce(max(position), -1) + 1 FROM message"
        " WHERE chat=?1 AND turn=?2 AND attempt BETWEEN ?3 AND ?4), (SELECT coalesce(max(taken), -1) + 1 FROM message"
        " WHERE chat=?1 AND turn=?2 AND attempt=0 AND taken_attempt BETWEEN ?3 AND ?4)),"
        " (SELECT count(*) FROM tool_call WHERE chat=?1 AND turn=?2 AND attempt BETWEEN ?3 AND ?4)",
        kept,
    ).get
    background = attrs.evolve(item.background, first_attempt=first_attempt, messages=messages_total, calls=calls_total)
    return attrs.evolve(item, background=background)


def _with_answers(db: apsw.Connection, chat: int, item: QueuedTurn, chat_id: ChatId) -> QueuedTurn:
    """Read what persons have answered to the questions of a turn, in the order in which they did."""
    answered = db.execute(
        "SELECT opened_seq, ended_seq FROM prompt WHERE chat=? AND turn=? AND status IN ('answered', 'expired')"
        " ORDER BY ended_seq",
        (chat, item.turn),
    )
    for opened_seq, ended_seq in list(answered):
        prompt, ended = _prompt_at(db, chat, opened_seq, chat_id), _body_at(db, chat, ended_seq, chat_id)
        if not isinstance(ended, PromptAnswered | PromptExpired):
            _corrupt(chat_id, f"a prompt points to event {ended_seq}, which does not answer it")
        if ended.answer is not None and prompt.type != "recovery":
            item = record(item, prompt, ended.answer)
    return item


def _body_at(db: apsw.Connection, chat: int, seq: int, chat_id: ChatId) -> EventBody:
    """Read one event body."""
    found = stored(db, chat, seq - 1, 1, chat_id)
    if not found:
        _corrupt(chat_id, f"event {seq} is missing")
    return found[0].body


def _seeds(db: apsw.Connection, chat: int, chat_id: ChatId) -> tuple[Message, ...]:
    """Fold what stands before the first turn into messages."""
    first = db.execute("SELECT accepted_seq FROM turn WHERE chat=? ORDER BY turn LIMIT 1", (chat,)).get
    last = db.execute("SELECT max(seq) FROM event WHERE chat=?", (chat,)).get if first is None else first - 1
    transcript = Transcript()
    for event in _between(db, chat, 0, last or 0, chat_id):
        transcript.add(event)
    return transcript.messages()


def _messages(
    db: apsw.Connection, chat: int, turns: dict[int, tuple[int, int]], chat_id: ChatId
) -> tuple[Message, ...]:
    """Fold the events of some ended turns, from the first that was accepted to the last that ended, into messages."""
    transcript = Transcript()
    first = min(accepted_seq for accepted_seq, _ in turns.values())
    last = max(ended_seq for _, ended_seq in turns.values())
    for event in _between(db, chat, first - 1, last, chat_id):
        if getattr(event.body, "turn", None) in turns or type(event.body) is QueueReordered:
            transcript.add(event)
    try:
        ended = transcript.ended()
    except (KeyError, IndexError):
        _corrupt(chat_id, f"the events of turns {min(turns)} to {max(turns)} do not follow each other")
    if {message.turn for message in ended} != set(turns):
        _corrupt(chat_id, f"a turn of {min(turns)} to {max(turns)} has no end among its events")
    return tuple(sorted(ended, key=turn_place))


def _between(db: apsw.Connection, chat: int, after: int, last: int, chat_id: ChatId) -> Iterator[Event]:
    """Read the events after one number up to another, in pages."""
    while after < last:
        page = stored(db, chat, after, min(EVENTS_IN_PAGE, last - after), chat_id)
        if not page:
            _corrupt(chat_id, f"event {after + 1} is missing")
        yield from page
        after = page[-1].seq
