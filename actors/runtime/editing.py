"""An edit from a message: what it has to know of the history is read, and all of it is decided in one step.

It is done in the session's own task, and nothing else is written meanwhile, so what was read is still true when it is
decided.
"""

from typing import Final

from actors.core.commands import Edit
from actors.core.effects import Refusal
from actors.core.events import MessageAccepted, StateSaved
from actors.core.ids import DropReason
from actors.core.transcript import turn_place
from actors.runtime.control import EditFrom
from actors.runtime.group import Group, size_of
from actors.runtime.hydration import load_history
from actors.runtime.ref import Accepted, Ref
from actors.runtime.services import Services

_NOT_THERE: Final = "is not in the history"


async def edit(ref: Ref, services: Services, signal: EditFrom) -> Group:
    """Decide an edit; whoever asked has it written, and is told with it what the receipt or the refusal is.

    Raises StoreError if the journal cannot be read.
    """
    assert ref.state is not None, "a session has recovered before it hears of anything"
    group = Group(ref.state)
    answer = await _decide(ref, services, signal, group)
    group.answers.append((signal.reply, answer))
    return group


async def _decide(ref: Ref, services: Services, signal: EditFrom, group: Group) -> Accepted | Refusal:
    """Put what the edit comes to into a group, and say what is answered when it is on disk."""
    journal, message, state = services.journal, signal.message, group.state
    known = None if message.minted else await journal.find(ref.chat_id, message.message_id)
    if known is not None:
        services.accounts.counts.duplicates += 1
        return Accepted(message.message_id, known.turn, known.seq, services.epoch, duplicate=True)
    turn = signal.turn
    if isinstance(turn, str):
        found = await journal.find(ref.chat_id, turn)
        if found is None:
            return Refusal(DropReason.INVALID_PAYLOAD, f"message {turn} {_NOT_THERE}")
        turn = found.turn
    recorded = await journal.turn(ref.chat_id, turn)
    if recorded is None or recorded.hidden:
        return Refusal(DropReason.INVALID_PAYLOAD, f"turn {turn} {_NOT_THERE}")
    place = turn_place(recorded.messages[0])
    saved = None
    if state.saved is not None and all(item.turn != turn for item in state.open_turns):
        saved = await _state_before(ref, services, place)
    asking = {prompt.turn for prompt in state.standing.prompts}
    asked = [asked for asked in sorted(asking) if not await _counts(ref, services, asked, place)]
    await load_history(ref, services)
    await _reach_back(ref, services, place)
    refusal = group.add(Edit(turn, place, message, saved, tuple(asked)), services.policy, services.clock.wall_s())
    if refusal is not None:
        return refusal
    group.size_bytes += sum(size_of(body) for body in group.bodies)
    number = next(n for n, body in enumerate(group.bodies) if isinstance(body, MessageAccepted))
    return Accepted(message.message_id, group.state.turns, state.seq + number + 1, services.epoch)


async def _state_before(ref: Ref, services: Services, place: int) -> str | None:
    """Find the state that the agent had when a turn began: the last that a turn before it saved and that counts."""
    journal, rows = services.journal, services.limits.page_rows_max
    until = ref.seq
    while until > 0:
        after = max(0, until - rows)
        page = await journal.events(ref.chat_id, after, until - after)
        for event in reversed(page):
            body = event.body
            if isinstance(body, StateSaved) and (not body.turn or await _counts(ref, services, body.turn, place)):
                return body.state
        until = after
    return None


async def _counts(ref: Ref, services: Services, turn: int, place: int) -> bool:
    """Say whether a turn stands before a place and has not left the history."""
    recorded = await services.journal.turn(ref.chat_id, turn)
    return recorded is not None and not recorded.hidden and turn_place(recorded.messages[0]) < place


async def _reach_back(ref: Ref, services: Services, place: int) -> None:
    """Read further back if what is in memory begins only behind a place: what is left then is what stands before it."""
    transcript, journal, limits = ref.transcript, services.journal, services.limits
    assert transcript is not None, "it was loaded before"
    behind = transcript.first_turn > place
    while transcript.first_turn and behind:
        behind = transcript.first_turn > place  # and one page more, so that something is left
        page = await journal.messages(ref.chat_id, transcript.first_turn, limits.history_messages_max)
        transcript.begin_earlier(page.messages, page.before_turn or 0)
