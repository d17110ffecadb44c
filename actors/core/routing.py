"""Where an envelope goes, as a value: delivered, activated first, or dropped with the first reason that applies.

Dispatch is by ``chat_id`` alone. There is no default, no current chat and no second look-up; the checks come in one
fixed order, each with a reason of its own.
"""

import attrs

from actors.core.ids import ChatId, DropReason
from actors.core.lifecycle import UP, SessionPhase


@attrs.frozen
class View:
    """What routing may know of the addressed session.

    ``exists`` and ``deleted`` are what the store says; ``phase`` and ``incarnation`` what the registry says;
    ``stopping`` is the state of the runtime.
    """

    exists: bool
    deleted: bool
    phase: SessionPhase
    incarnation: int
    stopping: bool


@attrs.frozen
class Deliver:
    """Put it into the mailbox of the live session."""

    chat_id: ChatId


@attrs.frozen
class Activate:
    """Bring the session up, then deliver; the mailbox takes it meanwhile."""

    chat_id: ChatId


@attrs.frozen
class Drop:
    """Do not deliver."""

    reason: DropReason


_REFUSING = {
    SessionPhase.QUARANTINED: DropReason.QUARANTINED,
    SessionPhase.STOPPING: DropReason.STOPPING,
    SessionPhase.FENCED: DropReason.FENCED,
    SessionPhase.DELETED: DropReason.DELETED_CHAT,
}


def route(
    chat_id: ChatId,
    view: View,
    *,
    now_s: float,
    deadline_s: float | None = None,
    incarnation: int | None = None,
) -> Deliver | Activate | Drop:
    """Decide about one envelope whose id has been parsed; ``now_s`` and ``deadline_s`` are on the same clock."""
    if view.deleted:
        return Drop(DropReason.DELETED_CHAT)
    if not view.exists:
        return Drop(DropReason.UNKNOWN_CHAT)
    if incarnation is not None and incarnation != view.incarnation:
        return Drop(DropReason.STALE_INCARNATION)
    if deadline_s is not None and deadline_s <= now_s:
        return Drop(DropReason.EXPIRED)
    if view.stopping:
        return Drop(DropReason.STOPPING)
    if view.phase in _REFUSING:
        return Drop(_REFUSING[view.phase])
    return Deliver(chat_id) if view.phase in UP else Activate(chat_id)
