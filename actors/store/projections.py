"""Events to rows: what each event writes beside itself, as plain tuples in the order of the columns.

Pure. Rows of many entries are collected per statement, so that one statement writes many rows; what an entry both makes
and changes is written once, as it ends up. What is rare and builds on rows that are there is run in the order of the
events, after everything else.
"""

import attrs

from actors.core.codec import VERSION, encode_body
from actors.core.events import (
    AttemptInterrupted,
    AttemptSetAside,
    BudgetReset,
    Event,
    EventBody,
    HistoryTruncated,
    MessageAccepted,
    MessageAdded,
    MessageSteered,
    ParentEnded,
    PromptAnswered,
    PromptClosed,
    PromptExpired,
    PromptOpened,
    QueuedEdited,
    QueuePaused,
    QueueReordered,
    QueueResumed,
    ReminderDropped,
    ReminderFired,
    ReminderSet,
    ReminderSkipped,
    SessionCreated,
    StateSaved,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
    TurnStarted,
    TurnSuperseded,
    UsageAdded,
)
from actors.core.lifecycle import PromptStatus, ToolStatus, TurnStatus
from actors.core.spending import TOTAL_MAX
from actors.core.state import ROLLED_BACK, SUPERSEDED
from actors.core.transcript import made_message_id

Value = int | float | str | None
Row = tuple[Value, ...]

INSERT_EVENT = "INSERT INTO event (chat, seq, epoch, at_s, version, body) VALUES (?,?,?,?,?,?)"
INSERT_TURN = (
    "INSERT INTO turn (status, attempt, ended_seq, reason, error, accepted_seq, chat, turn) VALUES (?,?,?,?,?,?,?,?)"
)
UPDATE_TURN = "UPDATE turn SET status=?, attempt=?, ended_seq=?, reason=?, error=? WHERE chat=? AND turn=?"
UPDATE_KEPT = (  # what attempts said from this one on is kept, or (NULL) nothing is
    "UPDATE turn SET first_attempt = CASE WHEN ?1 IS NULL THEN NULL ELSE coalesce(first_attempt, ?1) END"
    " WHERE chat=?2 AND turn=?3"
)
HIDE_TURN = "UPDATE turn SET hidden=1 WHERE chat=? AND turn=?"
SUPERSEDE_TURN = "UPDATE turn SET ending=? WHERE chat=? AND turn=?"
MOVE_TURN = "UPDATE turn SET place=? WHERE chat=? AND turn=?"
INSERT_MESSAGE = "INSERT INTO message (chat, turn, attempt, position, seq, role, message_id) VALUES (?,?,?,?,?,?,?)"
JOIN_MESSAGE = (  # behind the messages that are there
    "INSERT INTO message (chat, turn, attempt, position, seq, role, message_id, taken)"
    " SELECT ?1, ?2, 0, min(position)-1, ?3, 'user', ?4, ?5 FROM message WHERE chat=?1 AND turn=?2 AND attempt=0"
)
LEAVE_MESSAGE = "DELETE FROM message WHERE chat=? AND message_id=? AND position<0"
STEER_MESSAGE = "UPDATE message SET taken=?, taken_attempt=? WHERE chat=? AND message_id=? AND position<0"
TAKE_NO_MORE = "UPDATE message SET taken=NULL WHERE chat=? AND turn=? AND attempt=0 AND taken < 0"
OPEN_WITH_MESSAGES = (
    "UPDATE message SET taken=NULL, taken_attempt=NULL WHERE chat=? AND turn=? AND attempt=0 AND taken IS NOT NULL"
)
INSERT_PART = (
    "INSERT INTO part (status, characters, last_seq, kind, first_seq, chat, turn, attempt, position, part)"
    " VALUES (?,?,?,?,?,?,?,?,?,?)"
)
JOIN_PART = (
    "INSERT INTO part (status, characters, last_seq, kind, first_seq, chat, turn, attempt, position, part)"
    " SELECT 'complete', ?3, ?4, 'text', ?4, chat, turn, attempt, position, 0"
    " FROM message WHERE chat=?1 AND message_id=?2 AND position<0"
)
EDIT_PART = (
    "UPDATE part SET characters=?3, first_seq=?4, last_seq=?4 FROM message"
    " WHERE message.chat=?1 AND message.message_id=?2 AND message.position<0 AND part.chat=message.chat"
    " AND part.turn=message.turn AND part.attempt=message.attempt AND part.position=message.position"
)
UPDATE_PART = (
    "UPDATE part SET status=?, characters=characters+?, last_seq=?"
    " WHERE chat=? AND turn=? AND attempt=? AND position=? AND part=?"
)
INSERT_CALL = (
    "INSERT INTO tool_call (chat, turn, attempt, call, call_id, name, status, called_seq) VALUES (?,?,?,?,?,?,?,?)"
)
UPDATE_CALL = "UPDATE tool_call SET status=?, ended_seq=? WHERE chat=? AND turn=? AND attempt=? AND call=?"
INSERT_PROMPT = (
    "INSERT INTO prompt (chat, turn, attempt, prompt, status, opened_seq, expires_at_s) VALUES (?,?,?,?,?,?,?)"
)
UPDATE_PROMPT = (  # a prompt of a later attempt may have the same number and may be in the same group
    "UPDATE prompt SET status=?1, ended_seq=?2"
    " WHERE chat=?3 AND turn=?4 AND prompt=?5 AND status='open' AND opened_seq<?2"
)
SET_PARENT = (  # 0 for one that is not there: it was deleted a moment ago
    "UPDATE session SET parent=coalesce((SELECT chat FROM address WHERE chat_id=?), 0) WHERE chat=?"
)
CLOSE_CHILD = "UPDATE session SET closed=1 WHERE chat=?"
PUT_REMINDER = "INSERT OR REPLACE INTO reminder (set_seq, tick, due_s, chat, key) VALUES (?,?,?,?,?)"
UPDATE_REMINDER = "UPDATE reminder SET tick=?, due_s=? WHERE chat=? AND key=?"
DELETE_REMINDER = "DELETE FROM reminder WHERE chat=? AND key=?"
SET_OVERLAP = "UPDATE session SET overlap=? WHERE chat=?"
SET_PAUSED = "UPDATE session SET paused=? WHERE chat=?"
UPDATE_USAGE = (  # one that sets turns_before begins anew; ?5 is where counting stops
    "UPDATE session SET tokens=iif(?3 IS NULL, min(tokens+?1, ?5), 0),"
    " cost_millionths=iif(?3 IS NULL, min(cost_millionths+?2, ?5), 0),"
    " turns_before=coalesce(?3, turns_before) WHERE chat=?4"
)
HIDE_TURNS = "UPDATE turn SET hidden=1 WHERE chat=? AND turn<=? AND coalesce(place,turn)>=?"
LEAVE_STEERING = (  # of a running turn that stands behind a cut
    "UPDATE message SET taken=NULL FROM turn WHERE message.chat=?1 AND taken<0 AND turn.chat=message.chat"
    " AND turn.turn=message.turn AND turn.turn<=?2 AND coalesce(turn.place,turn.turn)>=?3"
)
UPDATE_SESSION = (  # a number stands for no state, NULL for the one that is there
    "UPDATE session SET seq=?1, turns=max(turns,?2),"
    " state=CASE typeof(?3) WHEN 'null' THEN state WHEN 'integer' THEN NULL ELSE ?3 END WHERE chat=?4 AND seq=?5"
)

ORDER = (
    INSERT_EVENT,
    INSERT_TURN,
    UPDATE_TURN,
    UPDATE_KEPT,
    INSERT_MESSAGE,
    INSERT_PART,
    UPDATE_PART,
    INSERT_CALL,
    UPDATE_CALL,
    INSERT_PROMPT,
    UPDATE_PROMPT,
    SET_PARENT,
    CLOSE_CHILD,
    PUT_REMINDER,
    UPDATE_REMINDER,
    DELETE_REMINDER,
)
"""Parents before children, so that foreign keys hold at every step."""


@attrs.define
class Rows:
    """The rows of one group of entries, by statement."""

    by_statement: dict[str, list[Row]] = attrs.Factory(lambda: {statement: [] for statement in ORDER})
    sessions: list[Row] = attrs.Factory(list)
    in_sequence: list[tuple[str, Row]] = attrs.Factory(list)
    """Statements that build on one another, to be run one by one after all others."""
    _part: list[Value] | None = None
    _part_key: tuple[int, ...] | None = None
    _reminders: dict[tuple[int, str], "_ReminderRow"] = attrs.Factory(dict)

    def add(self, chat: int, expected_seq: int, events: tuple[Event, ...]) -> None:
        """Add everything that the events of one session write."""
        by_statement = self.by_statement
        written = by_statement[INSERT_EVENT]
        turns: dict[int, list[Value]] = {}
        turns_total = 0
        state: Value = None
        for event in events:
            seq, body = event.seq, event.body
            written.append((chat, seq, event.epoch, event.at_s, VERSION, encode_body(body)))
            match body:
                case TextAppended():
                    self._text(chat, seq, body)
                case MessageAccepted():
                    if body.joined:
                        self._join(chat, seq, body)
                        continue
                    turn = turns_total = body.turn
                    turns[turn] = [TurnStatus.QUEUED, 0, None, "", "", seq]
                    message = (chat, turn, 0, -1, seq, "user", body.message_id)
                    part = ("complete", len(body.text), seq, "text", seq, chat, turn, 0, -1, 0)
                    if body.moved_from:
                        self._move(chat, body.message_id, message, part)
                    else:
                        by_statement[INSERT_MESSAGE].append(message)
                        by_statement[INSERT_PART].append(part)
                case TurnStarted():
                    turns.setdefault(body.turn, _unchanged())[:2] = [TurnStatus.RUNNING, body.attempt]
                case AttemptInterrupted():
                    turns.setdefault(body.turn, _unchanged())[:2] = [TurnStatus.QUEUED, body.attempt]
                    by_statement[UPDATE_KEPT].append((body.attempt if body.keep else None, chat, body.turn))
                    self.in_sequence.append((TAKE_NO_MORE if body.keep else OPEN_WITH_MESSAGES, (chat, body.turn)))
                case TurnEnded():
                    ended: list[Value] = [body.status, body.attempt, seq, body.reason, body.error]
                    turns.setdefault(body.turn, _unchanged())[:5] = ended
                    if body.hidden:
                        self.in_sequence.append((HIDE_TURN, (chat, body.turn)))
                case StateSaved():
                    state = body.state
                case HistoryTruncated():
                    state = _NO_STATE if body.state is None else body.state
                    self.in_sequence.append((HIDE_TURNS, (chat, body.last, body.place)))
                    self.in_sequence.append((LEAVE_STEERING, (chat, body.last, body.place)))
                case _:
                    self._rare(chat, seq, body)
        self._flush_part()
        for turn, values in turns.items():
            statement = INSERT_TURN if len(values) == _NEW_TURN_VALUES else UPDATE_TURN
            by_statement[statement].append((*values, chat, turn))
        self.sessions.append((expected_seq + len(events), turns_total, state, chat, expected_seq))

    def settle(self) -> None:
        """Write down how reminders end up, once, after the last entry: each gets one statement at most."""
        add = self.by_statement
        for place, last in self._reminders.items():
            if last.due_s is None:
                add[DELETE_REMINDER].append(place)
            elif last.set_seq is None:
                add[UPDATE_REMINDER].append((last.tick, last.due_s, *place))
            else:
                add[PUT_REMINDER].append((last.set_seq, last.tick, last.due_s, *place))
        self._reminders.clear()

    def _text(self, chat: int, seq: int, body: TextAppended) -> None:
        """Add a piece of text; pieces of one part that come in one entry are one row."""
        key = (chat, body.turn, body.attempt, body.message, body.part)
        if key == self._part_key and self._part is not None:
            part = self._part
            characters = part[1]
            assert isinstance(characters, int), "the second column counts characters"
            part[:3] = [body.status, characters + len(body.text), seq]
            return
        self._flush_part()
        self._part_key = key
        self._part = [body.status, len(body.text), seq]
        if body.offset == 0:
            if body.part == 0:
                self._message(chat, seq, body.turn, body.attempt, body.message, "assistant")
            self._part += [body.type, seq]

    def _flush_part(self) -> None:
        """Write the row of the part that was growing."""
        if self._part is not None and self._part_key is not None:
            statement = INSERT_PART if len(self._part) == _NEW_PART_VALUES else UPDATE_PART
            self.by_statement[statement].append((*self._part, *self._part_key))
            self._part = self._part_key = None

    def _message(self, chat: int, seq: int, turn: int, attempt: int, position: int, role: str) -> None:
        """Add a message that a turn makes."""
        made = made_message_id(turn, attempt, position)
        self.by_statement[INSERT_MESSAGE].append((chat, turn, attempt, position, seq, role, made))

    def _join(self, chat: int, seq: int, body: MessageAccepted) -> None:
        """Add a message that came into a turn that was there."""
        taken = -1 if body.joined == "steer" else None
        self.in_sequence.append((JOIN_MESSAGE, (chat, body.turn, seq, body.message_id, taken)))
        self.in_sequence.append((JOIN_PART, (chat, body.message_id, len(body.text), seq)))

    def _move(self, chat: int, message_id: str, message: Row, part: Row) -> None:
        """Add a message that was in another turn before; its key can name one row only."""
        self.in_sequence.append((LEAVE_MESSAGE, (chat, message_id)))
        self.in_sequence.append((INSERT_MESSAGE, message))
        self.in_sequence.append((INSERT_PART, part))

    def _queue(self, chat: int, seq: int, body: EventBody) -> None:
        """Add what was done to the queue and to messages of the user."""
        add = self.in_sequence.append
        match body:
            case QueuePaused() | QueueResumed():
                add((SET_PAUSED, (type(body) is QueuePaused, chat)))
            case QueuedEdited():
                add((EDIT_PART, (chat, body.message_id, len(body.text), seq)))
            case QueueReordered():
                for turn, place in zip(body.turns, body.places, strict=True):
                    add((MOVE_TURN, (place, chat, turn)))
            case TurnSuperseded():
                add((SUPERSEDE_TURN, (ROLLED_BACK if body.hidden else SUPERSEDED, chat, body.turn)))
            case MessageSteered():
                add((STEER_MESSAGE, (body.message, body.attempt, chat, body.message_id)))
            case _:
                pass

    def _rare(self, chat: int, seq: int, body: EventBody) -> None:
        """Add what tool calls, prompts and seeds write."""
        add = self.by_statement
        match body:
            case ToolCalled():
                if body.part == 0:
                    self._message(chat, seq, body.turn, body.attempt, body.message, "assistant")
                key = (chat, body.turn, body.attempt, body.message, body.part)
                add[INSERT_PART].append(("complete", len(body.arguments), seq, "tool_call", seq, *key))
                add[INSERT_CALL].append(
                    (chat, body.turn, body.attempt, body.call, body.call_id, body.name, ToolStatus.RUNNING, seq)
                )
            case ToolEnded():
                self._message(chat, seq, body.turn, body.attempt, body.message, "tool")
                key = (chat, body.turn, body.attempt, body.message, 0)
                add[INSERT_PART].append(("complete", len(body.content), seq, "tool_result", seq, *key))
                add[UPDATE_CALL].append((body.status, seq, chat, body.turn, body.attempt, body.call))
            case AttemptSetAside():
                add[UPDATE_KEPT].append((None, chat, body.turn))
                self.in_sequence.append((OPEN_WITH_MESSAGES, (chat, body.turn)))
            case PromptOpened():
                add[INSERT_PROMPT].append(
                    (chat, body.turn, body.attempt, body.prompt, PromptStatus.OPEN, seq, body.expires_at_s)
                )
            case PromptAnswered():
                add[UPDATE_PROMPT].append((PromptStatus.ANSWERED, seq, chat, body.turn, body.prompt))
            case PromptExpired():
                add[UPDATE_PROMPT].append((PromptStatus.EXPIRED, seq, chat, body.turn, body.prompt))
            case PromptClosed():
                add[UPDATE_PROMPT].append((PromptStatus.CLOSED, seq, chat, body.turn, body.prompt))
            case MessageAdded():
                add[INSERT_MESSAGE].append((chat, 0, 0, seq, seq, body.role, body.message_id))
                add[INSERT_PART] += [
                    (
                        "complete" if part.kind == "tool_result" else part.status,
                        len(part.text),
                        seq,
                        part.kind,
                        seq,
                        chat,
                        0,
                        0,
                        seq,
                        number,
                    )
                    for number, part in enumerate(body.parts)
                ]
            case UsageAdded():
                self.in_sequence.append((UPDATE_USAGE, (body.tokens, body.cost_millionths, None, chat, TOTAL_MAX)))
            case BudgetReset():
                self.in_sequence.append((UPDATE_USAGE, (0, 0, body.turns, chat, TOTAL_MAX)))
            case SessionCreated():
                if body.parent:
                    add[SET_PARENT].append((body.parent, chat))
                if body.overlap:
                    self.in_sequence.append((SET_OVERLAP, (body.overlap, chat)))
            case ParentEnded():
                add[CLOSE_CHILD].append((chat,))
            case ReminderSet():
                self._reminders[chat, body.key] = _ReminderRow(seq, 0, body.first_s)
            case ReminderDropped():
                self._reminders[chat, body.key] = _ReminderRow(None, 0, None)
            case ReminderFired() | ReminderSkipped():
                set_before = self._reminders.get((chat, body.key))
                set_seq = None if set_before is None else set_before.set_seq
                self._reminders[chat, body.key] = _ReminderRow(set_seq, body.tick + 1, body.next_s)
            case _:
                self._queue(chat, seq, body)


@attrs.frozen
class _ReminderRow:
    """How a reminder ends up: set by which event of this group, if by one; over if nothing is due."""

    set_seq: int | None
    tick: int
    due_s: float | None


_NO_STATE = 0
_NEW_TURN_VALUES = 6
_NEW_PART_VALUES = 5


def _unchanged() -> list[Value]:
    """Begin the row of a turn that is there already."""
    return [None, 0, None, "", ""]
