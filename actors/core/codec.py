"""Event bodies to bytes and back, with their version.

The journal holds JSON: it can be read with any tool, and msgspec writes it as fast as a binary form. A body of an older
version is brought up by ``UPCASTS`` before it is decoded; a kind that is not known is an error, never skipped.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from actors.core.events import EventBody
from actors.errors import StoreCorruptError

VERSION: Final = 1

UPCASTS: Final[Mapping[int, Callable[[dict[str, object]], dict[str, object]]]] = MappingProxyType({})
"""From a version to the function that turns its bodies into those of the next."""

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(EventBody)


def encode_body(body: EventBody) -> str:
    """Write a body as JSON text.

    Raises StoreCorruptError for a body that JSON cannot hold, so that only the session it belongs to is kept out.
    """
    try:
        return _encoder.encode(body).decode()
    except (TypeError, ValueError, RecursionError) as error:  # a lone surrogate is a ValueError
        message = f"an event body does not encode: {type(error).__name__}"
        raise StoreCorruptError(message, hint="check what is not text or not storable where it comes in") from error


def decode_body(text: str | bytes, version: int = VERSION) -> EventBody:
    """Read a body that was written by ``version``.

    Raises StoreCorruptError for a version from the future, an unknown kind, or a body that does not fit its type.
    """
    if version > VERSION or version < 1:
        message = f"an event body has version {version}, this package reads 1 to {VERSION}"
        raise StoreCorruptError(message, hint="open the store with the version that wrote it")
    try:
        for step in range(version, VERSION):
            text = _encoder.encode(UPCASTS[step](msgspec.json.decode(text, type=dict[str, object])))
        body: EventBody = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        message = f"an event body does not decode: {type(error).__name__}"
        raise StoreCorruptError(message, hint="restore the store from a copy, or delete this session") from error
    return body
