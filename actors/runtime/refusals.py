"""Reasons turned into errors for callers: what happened, and what to do about it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from actors.core.ids import DropReason
from actors.errors import (
    ConflictError,
    InvalidEnvelopeError,
    OverloadedError,
    RefusedError,
    UnavailableError,
    UnknownChatError,
)

_R = DropReason

_ERRORS: Final[Mapping[DropReason, tuple[type[RefusedError], str, str]]] = MappingProxyType(
    {
        _R.MISSING_ID: (InvalidEnvelopeError, "no chat_id was given", "give the id that create() returned"),
        _R.WRONG_TYPE: (InvalidEnvelopeError, "an id is not a str", "give the id that create() returned"),
        _R.MALFORMED_ID: (
            InvalidEnvelopeError,
            "an id does not fit its grammar",
            "a chat_id is live:, replay: or draft: and up to 256 characters of [A-Za-z0-9_.:-] in all",
        ),
        _R.UNKNOWN_CHAT: (UnknownChatError, "no session has this chat_id", "create it first"),
        _R.DELETED_CHAT: (UnknownChatError, "the session was deleted", "create a session with another id"),
        _R.CONFLICT: (ConflictError, "the id belongs to another session", "keep the draft, or choose another id"),
        _R.STALE_INCARNATION: (
            UnavailableError,
            "the incarnation that was meant has ended",
            "send it again without one",
        ),
        _R.EXPIRED: (UnavailableError, "the deadline has passed", "send it again with a later one"),
        _R.DUPLICATE: (InvalidEnvelopeError, "the message is known already", "nothing is to be done"),
        _R.INVALID_PAYLOAD: (InvalidEnvelopeError, "the payload cannot be taken", "see the field"),
        _R.STOPPING: (UnavailableError, "it is stopping", "send it again to the next life"),
        _R.QUARANTINED: (UnavailableError, "the session crashed too often", "release() it, or wait for its cool-down"),
        _R.FENCED: (UnavailableError, "another process has taken the store over", "send it there"),
        _R.MAILBOX_FULL: (OverloadedError, "the mailbox of the session is full", "wait for room, or send less"),
        _R.MEMORY_FULL: (OverloadedError, "the mailboxes together hold all they may", "send less, or raise the limit"),
        _R.BUSY: (OverloadedError, "a turn is running", "send it again when the turn has ended"),
        _R.QUEUE_FULL: (OverloadedError, "too many messages wait for their turn", "send it again later"),
        _R.REMINDERS_FULL: (
            OverloadedError,
            "as many reminders stand in the session as may",
            "forget one, or raise the limit reminders_max",
        ),
        _R.CHILDREN_FULL: (
            OverloadedError,
            "the turn has as many children as it may",
            "spawn fewer, or raise the limit children_max",
        ),
        _R.PARENT_ENDED: (
            UnavailableError,
            "the turn that spawned the session has ended",
            "spawn another one from the turn that runs",
        ),
        _R.TURN_RUNNING: (UnavailableError, "the turn has begun", "cancel it, or let it end"),
        _R.NOT_RUNNING: (UnavailableError, "it is not open any more", "nothing is to be done"),
        _R.COALESCED: (OverloadedError, "a newer message of its key took its place", "nothing is to be done"),
        _R.DROPPED: (OverloadedError, "the mailbox was full, and its kind is droppable", "send less of this kind"),
        _R.STASH_FULL: (OverloadedError, "the handler set too many messages aside", "unstash earlier, or send less"),
        _R.PROMPT_UNKNOWN: (
            InvalidEnvelopeError,
            "the session has asked no such question",
            "give the prompt_id of the event or the snapshot",
        ),
        _R.PROMPT_CROSSED: (
            InvalidEnvelopeError,
            "the question belongs to another chat",
            "answer it there; it can still be answered",
        ),
        _R.PROMPT_ANSWERED: (UnavailableError, "somebody was first", "nothing is to be done"),
        _R.PROMPT_CLOSED: (UnavailableError, "the turn that asked has ended", "nothing is to be done"),
        _R.BUDGET_SPENT: (OverloadedError, "the budget of the session is spent", "reset_budget() it, or raise it"),
        _R.POISON: (UnavailableError, "every attempt to answer the message has failed", "mend what it does"),
        _R.PROMPT_EXPIRED: (UnavailableError, "the time to answer is over", "nothing is to be done"),
    }
)


def refused(reason: DropReason, detail: str = "", chat_id: object = None, hint: str = "") -> RefusedError:
    """Build the error for a reason; ``detail`` and ``hint`` replace the general words."""
    kind, text, remedy = _ERRORS[reason]
    return kind(reason.value, detail or text, chat_id=chat_id, hint=hint or remedy)
