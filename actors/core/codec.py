"""Event bodies to bytes and back, with their version.

The journal holds JSON: it can be read with any tool, and msgspec writes it as fast as a binary form. A body of an older
version is brought up by ``UPCASTS`` before it is decoded; a kind that is not known is an error, never skipped.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from actors.core.events import EventBody, SeedPart
from actors.errors import StoreCorruptError

VERSION: Final = 1

UPCASTS: Final[Mapping[int, Callable[[dict[str, object]], dict[str, object]]]] = MappingProxyType({})
"""From a version to the function that turns its bodies into those of the next."""

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(EventBody)
_parts_decoder: Final = msgspec.json.Decoder(tuple[SeedPart, ...])


def encode_body(body: EventBody) -> str:
    """Write a body as JSON text."""
    return _encoder.encode(body).decode()


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
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"an event body does not decode: {type(error).__name__}"
        raise StoreCorruptError(message, hint="restore the store from a copy, or delete this session") from error
