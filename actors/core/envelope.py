"""An envelope: an address and what it carries, immutable from the moment it is admitted."""

import json
from typing import Final

import msgspec

from actors.core.ids import ChatId, DropReason
from actors.errors import ConfigurationError


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Where an envelope comes from, carried along by everything it causes.

    ``call_chain`` holds the chats that wait for its reply, oldest first; an ask to one of them would never end.
    ``message_id`` is the sender's own name for the message, and ``trace`` the context of a trace, as pairs of a name
    and a text; nothing reads it, and it goes on to whatever the message causes.
    """

    sender: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    call_chain: tuple[ChatId, ...] = ()
    message_id: str = ""
    trace: tuple[tuple[str, str], ...] = ()


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """What the border notes on a volatile message that is more than a plain text.

    ``kind`` is one that the agent declared, or empty; ``key`` names what a newer message of the kind replaces;
    ``created_at_s`` is on the runtime's monotonic clock.
    """

    kind: str = ""
    key: str = ""
    created_at_s: float = 0.0


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """An admitted message: who it is for, what it carries, and what it costs to keep.

    ``payload`` is an ``Accept`` for a message that is to be stored; anything else is volatile: handled once if the
    process lives, never stored. ``deadline_s`` is on the runtime's monotonic clock; ``incarnation`` is the life of the
    session the sender means, or None for any; ``size_bytes`` is what the mailbox counts. A plain text has no ``stamp``:
    it is what is sent most, and reading a clock for it would be a twentieth of its cost.
    """

    chat_id: ChatId
    payload: object
    size_bytes: int
    deadline_s: float | None = None
    incarnation: int | None = None
    origin: Origin | None = None
    stamp: Stamp | None = None

    @property
    def kind(self) -> str:
        """The declared kind of the message, or an empty text."""
        return "" if self.stamp is None else self.stamp.kind


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """Why something is not an envelope: the reason, the field, the kind of value found, and the remedy."""

    reason: DropReason
    field: str
    found: str
    remedy: str


def check_origin(origin: object, bytes_max: int) -> int | Rejection:
    """Return the size in bytes of what a sender says of its message, or why it cannot be taken.

    Everything in it is text, and all of it together is at most ``bytes_max`` bytes, so that it cannot carry what the
    payload may not.
    """
    if type(origin) is not Origin:
        return Rejection(DropReason.INVALID_PAYLOAD, "origin", type(origin).__name__, "give an Origin")
    assert isinstance(origin, Origin), "the line above says so"
    trace: object = origin.trace
    chain: object = origin.call_chain
    texts: list[object] = [origin.sender, origin.correlation_id, origin.causation_id, origin.message_id]
    texts += chain if isinstance(chain, tuple) else (None,)
    for pair in trace if isinstance(trace, tuple) else (None,):
        texts += pair if isinstance(pair, tuple) and len(pair) == _PAIR else (None,)
    total = 0
    for each in texts:
        size = check_text(each, bytes_max, field="origin") if each != "" else 0
        if isinstance(size, Rejection):
            return size
        total += size
    if total > bytes_max:
        found = f"an Origin of {total} bytes"
        return Rejection(DropReason.INVALID_PAYLOAD, "origin", found, f"give at most {bytes_max} bytes")
    return total


def check_text(value: object, bytes_max: int, *, field: str = "text") -> int | Rejection:
    """Return the size in bytes of a text that may be stored, or why it may not.

    Refused are: what is not ``str``, the empty string, more than ``bytes_max`` bytes of UTF-8, and a lone surrogate,
    which no journal, wire or log could write.
    """
    if type(value) is not str:
        return Rejection(DropReason.INVALID_PAYLOAD, field, type(value).__name__, "give a str")
    if not value:
        return Rejection(DropReason.INVALID_PAYLOAD, field, "empty str", "give at least one character")
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            remedy = "clean it with text.encode('utf-8', 'replace').decode()"
            return Rejection(DropReason.INVALID_PAYLOAD, field, "str with a lone surrogate", remedy)
    if size > bytes_max:
        return Rejection(DropReason.INVALID_PAYLOAD, field, f"str of {size} bytes", f"give at most {bytes_max} bytes")
    return size


def clean_text(value: str) -> str:
    """Make any text storable: a lone surrogate becomes a question mark, all else stays as it is."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


_PAIR: Final = 2
_FIXED_SIZE: Final = frozenset({float, bool, type(None)})
_UNHOLDABLE: Final = (
    TypeError,
    ValueError,
    AttributeError,
    BufferError,
    OverflowError,
    RecursionError,
    msgspec.MsgspecError,
)
"""What a value that JSON cannot hold may raise while it is written."""


def freeze_payload(value: object, bytes_max: int) -> tuple[object, int] | Rejection:
    """Take a private copy of a JSON-like payload, so that its sender can change nothing any more.

    Returns the payload and its size in bytes. Text, bytes and scalars are immutable and pass as they are; everything
    else goes through JSON once, so a tuple arrives as a list. Refused are values JSON cannot hold, NaN and the
    infinities inside a list or dict among them, and more than ``bytes_max`` bytes.
    """
    kind = type(value)
    if kind in _FIXED_SIZE:
        return value, 8
    if isinstance(value, str):
        # A subclass is refused, even when it is empty: its instances can carry what their sender still changes.
        size = check_text(value, bytes_max, field="payload") if value or kind is not str else 0
        return (value, size) if isinstance(size, int) else size
    frozen: object = value
    if kind is bytes and isinstance(value, bytes):
        size = len(value)
    elif kind is int and isinstance(value, int):
        size = 8 + value.bit_length() // 8
    else:
        try:
            encoded = msgspec.json.encode(value)
            frozen = msgspec.json.decode(encoded)
            if b"null" in encoded:  # what msgspec writes for NaN too, and what json refuses to
                json.dumps(msgspec.to_builtins(value), allow_nan=False)
        except _UNHOLDABLE as error:
            found = f"{kind.__name__} ({type(error).__name__})"
            return Rejection(DropReason.INVALID_PAYLOAD, "payload", found, "give a JSON value, str or bytes")
        size = len(encoded)
    if size > bytes_max:
        remedy = f"give at most {bytes_max} bytes"
        return Rejection(DropReason.INVALID_PAYLOAD, "payload", f"{kind.__name__} of {size} bytes", remedy)
    return frozen, size


def json_text(value: object, field: str) -> str:
    """Write a JSON value as text."""
    try:
        return "{}" if value is None and field == "arguments" else msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        message = f"{field} is {type(value).__name__}, which JSON cannot hold"
        raise ConfigurationError(message, hint="give dicts, lists, str, numbers, bool or None") from error
