"""A dead letter: an envelope that was not delivered or not handled, kept so that it can be looked at and sent again."""

import msgspec

from actors.core.commands import Accept
from actors.core.envelope import Envelope
from actors.core.ids import DropReason


class Carried(msgspec.Struct, frozen=True, gc=False):
    """What an envelope carried when it was dropped; of one that was refused, exactly what the sender gave."""

    payload: object
    sender: object = ""
    message_id: object = None
    message_kind: object = ""
    key: object = ""


def carried_by(envelope: Envelope) -> Carried:
    """Say what an envelope that was admitted carries."""
    payload, origin, stamp = envelope.payload, envelope.origin, envelope.stamp
    if isinstance(payload, Accept):
        return Carried(payload.text, payload.sender, payload.message_id)
    sender, message_id = ("", "") if origin is None else (origin.sender, origin.message_id)
    kind, key = ("", "") if stamp is None else (stamp.kind, stamp.key)
    return Carried(payload, sender, message_id, kind, key)


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """An envelope that was not delivered or not handled; ``chat_id`` is shown as text, whatever was given.

    ``kind`` is the door it came to: ``accept`` (of ``send``), ``tell``, ``ask`` or ``control``. ``number`` counts the
    dead letters of a store. ``whole`` says that the payload is here as it was sent, so that it can be sent again; a
    payload that could not be taken, was redacted, or had no room is None or what the redaction made of it.
    ``message_kind`` and ``key`` are those of a volatile message, and empty for others.
    """

    chat_id: str
    reason: DropReason
    kind: str
    size_bytes: int
    at_s: float
    number: int = 0
    payload: object = None
    whole: bool = False
    sender: str = ""
    message_id: str = ""
    message_kind: str = ""
    key: str = ""
