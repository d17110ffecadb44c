"""The words of the observer: a request is one line of JSON, an answer one line or a stream of them.

A request names a ``verb`` and what the verb asks for. An answer is ``{"ok": true, "value": …}`` or ``{"ok": false,
"error": …, "hint": …}``. After a ``follow`` or a ``trace`` come lines with ``item`` (its kind) and ``value``, until
either side closes; a line ``{"end": reason}`` says why the runtime did.
"""

from typing import Annotated, Final, Literal

import msgspec

Verb = Literal["tree", "inspect", "statistics", "follow", "trace", "recent"]
STREAMING: Final = frozenset({"follow", "trace"})
OF_ONE_SESSION: Final = frozenset({"inspect", "follow", "trace", "recent"})

REQUEST_BYTES_MAX: Final = 4096
"""One request; the longest chat id has 256 characters."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked: a verb, the session it is about, and for ``follow`` the number of the last event that is known.

    ``count_max`` bounds the sessions of a tree and the records of ``recent``.
    """

    verb: Verb
    chat_id: str = ""
    after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    count_max: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of an answer, as who looks reads it."""

    ok: bool
    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    hint: str = ""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A further line of a stream, as who looks reads it; ``end`` is the last one's reason."""

    item: str = ""
    value: msgspec.Raw = msgspec.Raw(b"null")
    end: str = ""


class Fault(msgspec.Struct, frozen=True):
    """Why a request cannot be answered, and what to do about it."""

    error: str
    hint: str


_requests: Final = msgspec.json.Decoder(Request)
_answers: Final = msgspec.json.Decoder(Answer)
_items: Final = msgspec.json.Decoder(Item)
_encoder: Final = msgspec.json.Encoder(enc_hook=str)


def read_request(line: bytes) -> Request | Fault:
    """Read a request; never raises, whatever the bytes are."""
    if len(line) > REQUEST_BYTES_MAX:
        return Fault(f"the request has more than {REQUEST_BYTES_MAX} bytes", "send one line of JSON")
    try:
        request = _requests.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Fault(f"the request cannot be read: {error}", 'send {"verb": "tree"} or another verb, and end the line')
    if request.verb in OF_ONE_SESSION and not request.chat_id:
        return Fault(f"{request.verb} is about one session", "add chat_id")
    return request


def write_request(request: Request) -> bytes:
    """Write a request as a line."""
    return _encoder.encode(request) + b"\n"


def write_value(value: object) -> bytes:
    """Write an answer as a line; what JSON has no word for becomes text, and an infinity null."""
    return b'{"ok":true,"value":' + _encoder.encode(value) + b"}\n"


def write_fault(fault: Fault) -> bytes:
    """Write why there is no answer, as a line."""
    return _encoder.encode({"ok": False, "error": fault.error, "hint": fault.hint}) + b"\n"


def write_item(item: object) -> bytes:
    """Write an item of a stream as a line."""
    named = b'{"item":' + _encoder.encode(type(item).__name__)
    return named + b',"value":' + _encoder.encode(item) + b"}\n"


def write_end(reason: str) -> bytes:
    """Write the last line of a stream."""
    return _encoder.encode({"end": reason}) + b"\n"


def read_answer(line: bytes) -> Answer:
    """Read the first line of an answer. Raises ValueError for what is none."""
    return _answers.decode(line)


def read_item(line: bytes) -> Item:
    """Read a further line. Raises ValueError for what is none."""
    return _items.decode(line)
