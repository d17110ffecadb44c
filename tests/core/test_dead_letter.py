"""A dead letter says of an envelope what is needed to send it again."""

from actors.core.commands import Accept
from actors.core.dead_letter import Carried, carried_by
from actors.core.envelope import Envelope, Origin, Stamp
from actors.core.ids import ChatId

CHAT = ChatId("live:a")


def test_a_message_that_was_to_be_stored_carries_its_text_sender_and_key() -> None:
    """Its key is what keeps it from being accepted twice."""
    accept = Accept("key", "hello", "anna", minted=True)
    assert carried_by(Envelope(CHAT, accept, 5)) == Carried("hello", "anna", "key")


def test_a_volatile_message_carries_its_payload_origin_and_kind() -> None:
    """As far as it has them."""
    assert carried_by(Envelope(CHAT, [1], 5)) == Carried([1], "", "", "", "")
    envelope = Envelope(CHAT, 7, 5, origin=Origin("anna", message_id="mine"), stamp=Stamp("cursor", "a"))
    assert carried_by(envelope) == Carried(7, "anna", "mine", "cursor", "a")
