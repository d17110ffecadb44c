"""Identities, parsed once at the border and compared byte for byte ever after.

A chat id is ``source:session_id``. ``parse_chat_id`` is the only way to get a ``ChatId``; whoever holds one need not
check it again.
"""

import enum
import hashlib
import re
from typing import Final, NewType

import attrs

ChatId = NewType("ChatId", str)
"""A chat id that has been parsed."""

MessageId = NewType("MessageId", str)
"""An idempotency key of a message, unique within its chat; minted when the sender gives none."""

CHAT_ID_CHARACTERS_MAX: Final = 256
MESSAGE_ID_CHARACTERS_MAX: Final = 128
SIDE_CHANNEL: Final = "side-channel"
CHILD: Final = "child"
_DIGEST_BYTES: Final = 16
"""So many bytes of a digest tell the parents apart whose own ids would make the id of a child too long."""

# A separator (. : -) may stand neither first nor last in the session part; ".." may stand nowhere. A lane is named
# after a session that can exist, so the same holds after "side-channel:".
_CHAT_ID: Final = re.compile(
    r"(?P<source>live|replay|draft):"
    r"(?!(?:side-channel:)*(?:side-channel\Z|[.:-]))(?!.*\.\.)"
    r"[A-Za-z0-9_](?:[A-Za-z0-9_.:-]*[A-Za-z0-9_])?",
    re.ASCII,
)
# No "/" here: ids that the runtime mints inside a turn have one, so the two can never collide.
_MESSAGE_ID: Final = re.compile(r"[A-Za-z0-9_.:-]+", re.ASCII)
_PROMPT_ID: Final = re.compile(r"([^/]+)/([1-9][0-9]{0,17})/(0|[1-9][0-9]{0,17})", re.ASCII)


def retry_key(turn: int, number: int = 0) -> MessageId:
    """Name a message that is accepted again when its turn is retried; no sender's key can be equal to it."""
    return MessageId(f"retry/{turn}/{number}" if number else f"retry/{turn}")


class Source(enum.StrEnum):
    """Where a session comes from: talked to now, read from a recording, or not yet confirmed."""

    LIVE = "live"
    REPLAY = "replay"
    DRAFT = "draft"


class DropReason(enum.StrEnum):
    """Why an envelope was not delivered: the closed set, in the order in which it is checked.

    The last three are of messages that gave way to others; their senders are told nothing.
    """

    MISSING_ID = "missing_id"
    WRONG_TYPE = "wrong_type"
    MALFORMED_ID = "malformed_id"
    UNKNOWN_CHAT = "unknown_chat"
    DELETED_CHAT = "deleted_chat"
    CONFLICT = "conflict"
    STALE_INCARNATION = "stale_incarnation"
    EXPIRED = "expired"
    DUPLICATE = "duplicate"
    INVALID_PAYLOAD = "invalid_payload"
    STOPPING = "stopping"
    QUARANTINED = "quarantined"
    FENCED = "fenced"
    MAILBOX_FULL = "mailbox_full"
    MEMORY_FULL = "memory_full"
    BUSY = "busy"
    QUEUE_FULL = "queue_full"
    REMINDERS_FULL = "reminders_full"
    CHILDREN_FULL = "children_full"
    PARENT_ENDED = "parent_ended"
    NOT_RUNNING = "not_running"
    COALESCED = "coalesced"
    DROPPED = "dropped"
    STASH_FULL = "stash_full"
    PROMPT_UNKNOWN = "prompt_unknown"
    PROMPT_CROSSED = "prompt_crossed"
    PROMPT_ANSWERED = "prompt_answered"
    PROMPT_CLOSED = "prompt_closed"
    PROMPT_EXPIRED = "prompt_expired"
    POISON = "poison"
    TURN_RUNNING = "turn_running"
    BUDGET_SPENT = "budget_spent"


def parse_chat_id(value: object) -> ChatId | DropReason:
    """Parse an address that may be anything.

    Returns the id, or the first reason that applies: ``missing_id`` for None, an empty or a blank string,
    ``wrong_type`` for anything but ``str``, ``malformed_id`` for what does not fit the grammar. Never raises.
    Whether a session with that id exists is not checked here.
    """
    if value is None:
        return DropReason.MISSING_ID
    if type(value) is not str:  # a subclass may lie about its own equality and hash
        return DropReason.WRONG_TYPE
    if not value or value.isspace():
        return DropReason.MISSING_ID
    if len(value) > CHAT_ID_CHARACTERS_MAX or _CHAT_ID.fullmatch(value) is None:
        return DropReason.MALFORMED_ID
    return ChatId(value)


def parse_message_id(value: object) -> MessageId | DropReason:
    """Parse an idempotency key: 1 to 128 characters of ``[A-Za-z0-9_.:-]``.

    Returns the key, ``wrong_type`` for anything but ``str``, or ``malformed_id``. Never raises.
    """
    if type(value) is not str:
        return DropReason.WRONG_TYPE
    if len(value) > MESSAGE_ID_CHARACTERS_MAX or _MESSAGE_ID.fullmatch(value) is None:
        return DropReason.MALFORMED_ID
    return MessageId(value)


@attrs.frozen
class PromptId:
    """Which question is meant: its session, its turn and its number there."""

    chat_id: ChatId
    turn: int
    prompt: int


def make_prompt_id(chat_id: ChatId, turn: int, prompt: int) -> str:
    """Name a question, once and for all: no other question of any session has this name."""
    return f"{chat_id}/{turn}/{prompt}"


def parse_prompt_id(value: object) -> PromptId | DropReason:
    """Parse the name of a question that may be anything.

    Returns what it names, ``wrong_type`` for anything but ``str``, or ``prompt_unknown`` for what no question is named.
    Never raises. Whether there is such a question is not checked here.
    """
    if type(value) is not str:
        return DropReason.WRONG_TYPE
    found = _PROMPT_ID.fullmatch(value)
    chat_id = DropReason.MALFORMED_ID if found is None else parse_chat_id(found[1])
    if found is None or isinstance(chat_id, DropReason):
        return DropReason.PROMPT_UNKNOWN
    return PromptId(chat_id, int(found[2]), int(found[3]))


def source_of(chat_id: ChatId) -> Source:
    """Say where a session comes from."""
    return Source(chat_id.partition(":")[0])


def side_channel_of(chat_id: ChatId) -> str | None:
    """Name the session whose side channel this is, or None if it is a session of its own."""
    _, _, session = chat_id.partition(":")
    lane, _, origin = session.partition(":")
    return origin if lane == SIDE_CHANNEL and origin else None


def child_chat_id(parent: ChatId, turn: int, attempt: int, number: int) -> ChatId:
    """Name the child that an attempt of a turn spawns: a lane of the parent, of the same source.

    The name of the parent stands in it as it is, or as a digest where the id would be too long.
    """
    source, _, session = parent.partition(":")
    lane = f"{source}:{CHILD}:{turn}.{attempt}.{number}:"
    if len(lane) + len(session) > CHAT_ID_CHARACTERS_MAX:
        session = hashlib.blake2b(session.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return ChatId(lane + session)
