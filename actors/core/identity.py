"""What may become of the ids of sessions: which migration is carried out, which was, and which is in the way.

A draft has an optimistic id and waits for the authoritative one. Its migration gives it that id; from then on both lead
to it. An id never leads to two sessions, and one that was deleted leads nowhere for ever.
"""

import attrs

from actors.core.commands import Migrate
from actors.core.decision import Decision
from actors.core.effects import Refusal
from actors.core.events import SessionMigrated
from actors.core.ids import ChatId, DropReason, Source, source_of
from actors.core.state import SessionState


@attrs.frozen
class Known:
    """What is known of an id.

    ``leads_to`` is set for one that was migrated, ``taken`` for one that is being created or migrated to just now.
    """

    exists: bool = False
    deleted: bool = False
    leads_to: ChatId | None = None
    taken: bool = False


@attrs.frozen
class Move:
    """Carry the migration out."""


@attrs.frozen
class Moved:
    """It was carried out before: nothing is to be done."""


def judge_migration(old_id: ChatId, new_id: ChatId, old: Known, new: Known) -> Move | Moved | Refusal:
    """Say what a migration comes to, from what is known of both ids; the first thing in the way is named."""
    if source_of(old_id) is not Source.DRAFT or source_of(new_id) is not Source.LIVE:
        return Refusal(DropReason.INVALID_PAYLOAD, "only a draft: session can be migrated, and only to a live: id")
    if old.deleted:
        return Refusal(DropReason.DELETED_CHAT, "")
    if old.leads_to is not None:
        if old.leads_to == new_id:
            return Moved()
        return Refusal(DropReason.CONFLICT, f"the draft was migrated to {old.leads_to}")
    if not old.exists:
        return Refusal(DropReason.UNKNOWN_CHAT, "")
    if new.exists or new.leads_to is not None:
        return Refusal(DropReason.CONFLICT, f"{new_id} is another session")
    if new.deleted:
        return Refusal(DropReason.CONFLICT, f"{new_id} was deleted")
    if new.taken:
        return Refusal(DropReason.CONFLICT, f"{new_id} is being created, or another draft is being migrated to it")
    return Move()


def decide_migrate(state: SessionState, command: Migrate) -> Decision | Refusal:
    """Give a draft its new id, whatever it is doing; doing it again changes nothing."""
    if state.chat_id == command.new_id:
        return Decision(())
    if state.standing.parent is not None:
        return Refusal(DropReason.INVALID_PAYLOAD, "a child has an id of its own for as long as it lives")
    if source_of(state.chat_id) is not Source.DRAFT:
        return Refusal(DropReason.CONFLICT, f"the draft was migrated to {state.chat_id}")
    return Decision((SessionMigrated(state.chat_id, command.new_id),))
