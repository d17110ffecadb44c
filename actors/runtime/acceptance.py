"""Messages accepted: a key that is known gets its first receipt, the others a turn or a refusal."""

from itertools import islice
from typing import Final

import msgspec

from actors.core.commands import Accept
from actors.core.dead_letter import Carried
from actors.core.events import MessageAccepted
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
        known[key] = await first_receipt(ref, services, key)
    return known


async def first_receipt(ref: Ref, services: Services, key: str) -> Accepted | None:
    """Find the receipt that a key was given first, as its message stands now."""
    first = ref.recent.get(key)
    if first is None:
        found = await services.journal.find(ref.chat_id, key)
        first = None if found is None else Accepted(key, found.turn, found.seq, services.epoch)
    return first


def accept(ref: Ref, services: Services, group: Group, request: Request, first: Accepted | None) -> None:
    """Decide one message: a key that is known gets its first receipt, the others a turn or a refusal."""
    command = request.payload
    assert isinstance(command, Accept), "a durable message is an Accept"
    reply = request.reply
    reply.started = True
    ref.executed += 1
    if ref.tracer is not None:
        services.tracing.detail(ref, "taken", "accept")
    if first is not None:
        services.accounts.counts.duplicates += 1
        reply.set(msgspec.structs.replace(first, duplicate=True))
        return
    at = len(group.bodies)
    refusal = group.add(command, services.policy, services.clock.wall_s())
    if refusal is not None:
        carried = Carried(command.text, command.sender, command.message_id)
        services.accounts.drop(ref.chat_id, refusal.reason, "accept", request.size_bytes, carried)
        services.tracing.step(ref, "refused", str(refusal.reason))
        reply.fail(refused(refusal.reason, refusal.detail, ref.chat_id))
        return
    accepted = group.bodies[at]
    assert isinstance(accepted, MessageAccepted), "whatever else a message brings about comes behind its acceptance"
    origin = request.envelope.origin
    if origin is not None and not accepted.joined:
        ref.note_origin(accepted.turn, origin)
    group.size_bytes += request.size_bytes
    group.answers.append((reply, Accepted(command.message_id, accepted.turn, ref.seq + at + 1, services.epoch)))
