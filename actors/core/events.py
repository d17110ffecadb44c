"""What has happened to a session: the closed union of events.

An event is durable and numbered ``(chat_id, seq)`` from 1. Its body says what happened; the epoch is the life of the
runtime that wrote it. Bodies are msgspec structs, so that the journal's bytes and the types cannot drift apart.
Positions inside a turn are ordinals from 0: ``message`` counts the messages the turn has made, ``part`` the parts of
that message, ``call`` the tool calls of the attempt; ``offset`` counts characters. A turn's number is its identity; its
*place* says where it stands, and is the same number unless the queue was reordered.
"""

from typing import Literal

import msgspec

from actors.core.ids import ChatId, make_prompt_id
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus

Role = Literal["system", "user", "assistant", "tool"]
PartKind = Literal["text", "thinking"]
Missed = Literal["skip", "one", "all"]
"""What becomes of ticks of a reminder that were missed: none is fired late, the newest is, or each one is."""
PromptKind = Literal["permission", "choice", "text", "recovery"]


class Body(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True, gc=False):
    """What all bodies share: they are frozen, and tagged by kind."""


class SeedPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a message that was there before the first turn: a system prompt, a greeting, what was forked."""

    kind: Literal["text", "thinking", "tool_call", "tool_result"]
    text: str
    name: str = ""
    call_id: str = ""
    status: str = "complete"


class AnsweredPrompt(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The question that a message answers, whose turn had ended before it was answered."""

    turn: int
    prompt: int
    type: PromptKind
    question: str


class SessionCreated(Body, frozen=True, tag="session.created", gc=False):
    """The session exists from here on.

    ``parent`` is the session whose turn ``parent_turn`` spawned it, empty for a session of its own; ``depth`` counts
    its ancestors, and ``name`` is what its parent calls it. ``forked_from`` is the session whose history up to turn
    ``forked_at`` it begins with, empty if it is no fork. ``overlap`` is its own policy for a message that finds a turn
    running, empty if its agent decides.
    """

    parent: str = ""
    parent_turn: int = 0
    depth: int = 0
    name: str = ""
    forked_from: str = ""
    forked_at: int = 0
    overlap: str = ""


class SessionMigrated(Body, frozen=True, tag="session.migrated", gc=False):
    """The session has another id from here on; the old one leads to it for ever."""

    old_id: ChatId
    new_id: ChatId


class MessageAdded(Body, frozen=True, tag="message.added"):
    """A message that no turn made was put into the history at creation."""

    message_id: str
    role: Role
    parts: tuple[SeedPart, ...]


class MessageAccepted(Body, frozen=True, tag="message.accepted", gc=False):
    """A user's message is on disk and has a turn: one of its own, which is queued, or one that was there before.

    ``answers`` is the question of an earlier turn that this message is the answer to. ``joined`` says how it came into
    a turn that was there: merged into one that waits, or handed to the one that runs, which is to take it.
    ``moved_from`` is the turn that was to take it and ended before; it has another one now.
    """

    message_id: str
    turn: int
    text: str
    sender: str = ""
    deadline_s: float | None = None
    answers: AnsweredPrompt | None = None
    joined: Literal["", "merge", "steer"] = ""
    moved_from: int = 0


class MessageSteered(Body, frozen=True, tag="message.steered", gc=False):
    """The running attempt has taken a message that was handed to it, which stands at this ordinal of the turn."""

    turn: int
    attempt: int
    message: int
    message_id: str


class TurnSuperseded(Body, frozen=True, tag="turn.superseded", gc=False):
    """A newer message ends the running turn: it is being cancelled, and ends whatever its agent still makes of it.

    ``hidden`` says that the turn is to leave the transcript.
    """

    turn: int
    attempt: int
    hidden: bool = False


class QueuePaused(Body, frozen=True, tag="queue.paused", gc=False):
    """No turn begins from here on; the one that runs goes on."""


class QueueResumed(Body, frozen=True, tag="queue.resumed", gc=False):
    """Turns begin again."""


class QueuedEdited(Body, frozen=True, tag="queued.edited", gc=False):
    """The text of a message whose turn has not begun was replaced."""

    turn: int
    message_id: str
    text: str


class QueueReordered(Body, frozen=True, tag="queue.reordered"):
    """Turns that wait have taken each other's places, given in the order in which they stand now."""

    turns: tuple[int, ...]
    places: tuple[int, ...]


class HistoryTruncated(Body, frozen=True, tag="history.truncated", gc=False):
    """The history ends before a turn from here on: it and every turn at its place or behind leave the transcript.

    ``first`` is the turn; turns up to number ``last`` are meant, and stay in the journal. ``state`` is the agent's
    state as it was before the turn, and is from here on.
    """

    first: int
    place: int
    last: int
    state: str | None = None


class TurnStarted(Body, frozen=True, tag="turn.started", gc=False):
    """The agent is about to run; counted before it runs, so that a crash counts too."""

    turn: int
    attempt: int


class AttemptInterrupted(Body, frozen=True, tag="attempt.interrupted", gc=False):
    """The process ended during this attempt, or its agent raised ``error``; the turn is queued again.

    What the attempt said is set aside, unless ``keep`` says that the next attempt goes on after it.
    """

    turn: int
    attempt: int
    keep: bool = False
    error: str = ""


class AttemptSetAside(Body, frozen=True, tag="attempt.set_aside", gc=False):
    """What the attempts of a queued turn had said, up to this one, is set aside: the turn begins anew."""

    turn: int
    attempt: int


class TextAppended(Body, frozen=True, tag="text.appended", gc=False):
    """A part grew by some text, or (with no text) ended."""

    turn: int
    attempt: int
    message: int
    part: int
    type: PartKind
    offset: int
    text: str
    status: PartStatus


class ToolCalled(Body, frozen=True, tag="tool.called", gc=False):
    """The agent called a tool; on disk before the tool runs. ``arguments`` is JSON text as the agent gave it."""

    turn: int
    attempt: int
    message: int
    part: int
    call: int
    call_id: str
    name: str
    arguments: str


class ToolEnded(Body, frozen=True, tag="tool.ended", gc=False):
    """A tool call has its one outcome; ``message`` is the ordinal of the tool message this makes."""

    turn: int
    attempt: int
    message: int
    call: int
    status: ToolStatus
    content: str


class PromptOpened(Body, frozen=True, tag="prompt.opened"):
    """A person was asked: by the agent, or (``recovery``) by the runtime about an attempt that was interrupted.

    ``expires_at_s`` is wall time in seconds; by then ``default`` is the answer, or nobody answers any more.
    """

    turn: int
    attempt: int
    prompt: int
    type: PromptKind
    question: str
    choices: tuple[str, ...] = ()
    expires_at_s: float | None = None
    default: str | None = None


class PromptAnswered(Body, frozen=True, tag="prompt.answered", gc=False):
    """The first answer to a prompt; there is no second."""

    turn: int
    prompt: int
    answer: str


class PromptExpired(Body, frozen=True, tag="prompt.expired", gc=False):
    """The time to answer is over; ``answer`` is the default that counts now, if the question had one."""

    turn: int
    prompt: int
    answer: str | None = None


class PromptClosed(Body, frozen=True, tag="prompt.closed", gc=False):
    """The turn ended before anybody answered."""

    turn: int
    prompt: int


class UsageAdded(Body, frozen=True, tag="usage.added", gc=False):
    """The turn has spent so much; ``cost_millionths`` is in millionths of the host's unit."""

    turn: int
    tokens: int = 0
    cost_millionths: int = 0


class BudgetReset(Body, frozen=True, tag="budget.reset", gc=False):
    """The session may spend its budget anew; it had accepted so many turns."""

    turns: int


class StateSaved(Body, frozen=True, tag="state.saved", gc=False):
    """The agent's own state of this session, as JSON text, committed with its turn."""

    turn: int
    state: str


class ReminderSet(Body, frozen=True, tag="reminder.set", gc=False):
    """The session is to be told ``text`` at ``first_s`` (wall time), and every ``every_s`` seconds after if given.

    A reminder of the same key that stood before is replaced.
    """

    key: str
    text: str
    first_s: float
    every_s: float | None = None
    missed: Missed = "one"


class ReminderDropped(Body, frozen=True, tag="reminder.dropped", gc=False):
    """The reminder was called off."""

    key: str


class ReminderFired(Body, frozen=True, tag="reminder.fired", gc=False):
    """A tick, counted from 0, was fired once and for ever; the message that it becomes is in the same commit.

    ``due_s`` is its moment and ``next_s`` that of the next tick; None if there is none, and the reminder is over.
    """

    key: str
    tick: int
    due_s: float
    next_s: float | None = None


class ReminderSkipped(Body, frozen=True, tag="reminder.skipped", gc=False):
    """Ticks were missed and left out, as the reminder says: ``count`` of them, the last one numbered ``tick``."""

    key: str
    tick: int
    count: int
    next_s: float | None = None


class ParentEnded(Body, frozen=True, tag="parent.ended", gc=False):
    """The turn that spawned the session has ended; the session takes no message from here on."""


class TurnEnded(Body, frozen=True, tag="turn.ended", gc=False):
    """The one terminal event of a turn, and its last.

    ``reason`` is a word from a closed list where the status alone does not say it; ``error`` names the exception.
    ``hidden`` says that the turn leaves the transcript; its events stay.
    """

    turn: int
    attempt: int
    status: TurnStatus
    reason: str = ""
    error: str = ""
    hidden: bool = False


EventBody = (
    SessionCreated
    | SessionMigrated
    | MessageAdded
    | MessageAccepted
    | MessageSteered
    | HistoryTruncated
    | TurnStarted
    | TurnSuperseded
    | AttemptInterrupted
    | AttemptSetAside
    | TextAppended
    | ToolCalled
    | ToolEnded
    | PromptOpened
    | PromptAnswered
    | PromptExpired
    | PromptClosed
    | UsageAdded
    | BudgetReset
    | StateSaved
    | ReminderSet
    | ReminderDropped
    | ReminderFired
    | ReminderSkipped
    | ParentEnded
    | TurnEnded
    | QueuePaused
    | QueueResumed
    | QueuedEdited
    | QueueReordered
)
"""Everything that can have happened."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One numbered event of one session.

    ``at_s`` is wall time in seconds since 1970, for people; nothing is ordered by it.
    """

    chat_id: ChatId
    seq: int
    epoch: int
    at_s: float
    body: EventBody

    @property
    def prompt_id(self) -> str:
        """The id of the question that this event is about: what ``answer`` wants. Empty for every other event."""
        body = self.body
        if isinstance(body, PromptOpened | PromptAnswered | PromptExpired | PromptClosed):
            return make_prompt_id(self.chat_id, body.turn, body.prompt)
        return ""
