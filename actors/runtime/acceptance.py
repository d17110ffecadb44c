"""Messages accepted: a key that is known gets its first receipt, the others a turn or a refusal."""

from itertools import islice
from typing import Final

import msgspec

from actors.core.commands import Accept
from actors.core.effects import StartTurn
from actors.runtime.group import Group
from actors.runtime.mailbox import Request
from actors.runtime.ref import Accepted, Ref
from actors.runtime.refusals import refused
from actors.runtime.services import Services

LETTERS_IN_GROUP_MAX: Final = 16
"""Messages of one session accepted in one transaction, and handled between two looks at the control lane."""


async def look_up(ref: Ref, services: Services) -> dict[str, Accepted | None]:
    """Find the first receipts of the keys that senders gave to the messages at the head of the box."""
    keys = [
        letter.payload.message_id
        for letter in islice(ref.mailbox.messages, LETTERS_IN_GROUP_MAX)
        if type(letter.payload) is Accept and not letter.payload.minted
    ]
    known: dict[str, Accepted | None] = {}
    for key in keys:
        first = ref.recent.get(key)
        if first is None:
            found = await services.journal.find(ref.chat_id, key)
            first = None if found is None else Accepted(key, found.turn, found.seq, services.epoch)
        known[key] = first
    return known


def accept(ref: Ref, services: Services, group: Group, request: Request, first: Accepted | None) -> None:
    """Decide one message: a key that is known gets its first receipt, the others a turn or a refusal."""
    command = request.payload
    assert isinstance(command, Accept), "a durable message is an Accept"
    reply = request.reply
    reply.started = True
    ref.executed += 1
    if first is not None:
        services.accounts.counts.duplicates += 1
        reply.set(msgspec.structs.replace(first, duplicate=True))
        return
    refusal = group.add(command, services.policy, services.clock.wall_s())
    if refusal is not None:
        services.accounts.drop(ref.chat_id, refusal.reason, "accept", request.size_bytes)
        reply.fail(refused(refusal.reason, refusal.detail, ref.chat_id))
        return
    turn = group.state.turns
    origin = request.envelope.origin
    if origin is not None:
        ref.note_origin(turn, origin)
    effects = group.effects
    started = bool(effects) and effects[-1].turn == turn and type(effects[-1]) is StartTurn
    seq = ref.seq + len(group.bodies) - started
    group.size_bytes += request.size_bytes
    group.answers.append((reply, Accepted(command.message_id, turn, seq, services.epoch)))
