"""One canonical text per conversation, so that a recording and what was stored of it can be compared.

A part is (role, kind, payload). The canonical text is, for the parts in order,
``role U+001F kind U+001F payload U+001E``, concatenated; its digest is the SHA-256 of its UTF-8. Nothing is
trimmed or normalised. Only ``canonical_parts`` and ``digest_conversation`` know what a recording is: a stored
transcript feeds the same ``Digest`` with parts of its own.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import attrs

from actors.recordings.model import Conversation, RecordedMessage, Role

Kind = Literal["text", "thinking", "tool_call", "tool_result"]
"""What a part is."""

_UNIT_SEPARATOR: Final = "\x1f"
_RECORD_SEPARATOR: Final = "\x1e"


@attrs.frozen
class Part:
    """A piece of a message in its canonical form."""

    role: Role
    kind: Kind
    payload: str


class Digest:
    """Hashes and counts of the parts of one conversation, added one at a time.

    Memory does not grow with the conversation. The numbers may be read at any time and adding may go on.
    """

    __slots__ = ("_canonical", "_chars", "_messages", "_parts", "_text")

    def __init__(self) -> None:
        """Start with no parts."""
        self._canonical = hashlib.sha256()
        self._text = hashlib.sha256()
        self._messages: Counter[Role] = Counter()
        self._parts: Counter[Kind] = Counter()
        self._chars: Counter[Kind] = Counter()

    def message(self, role: Role) -> None:
        """Count a message; the hashes do not know where messages begin."""
        self._messages[role] += 1

    def part(self, role: Role, kind: Kind, payload: str) -> None:
        """Add a part.

        ``payload`` is the text, or ``canonical_tool_call(...)`` for a tool call. Empty text and empty
        thinking are no part and change nothing; an empty tool result is a part.
        """
        if not _is_part(kind, payload):
            return
        self._canonical.update(_utf8(role + _UNIT_SEPARATOR + kind + _UNIT_SEPARATOR + payload + _RECORD_SEPARATOR))
        if kind == "text":
            self._text.update(_utf8(payload))
        self._parts[kind] += 1
        self._chars[kind] += len(payload)

    @property
    def canonical_sha256(self) -> str:
        """The digest of the canonical text so far, in hexadecimal."""
        return self._canonical.hexdigest()

    @property
    def text_sha256(self) -> str:
        """The digest of all text payloads joined, in hexadecimal: independent of how the parts are cut."""
        return self._text.hexdigest()

    @property
    def messages(self) -> dict[Role, int]:
        """Messages per role; a role without messages has no entry."""
        return dict(self._messages)

    @property
    def parts(self) -> dict[Kind, int]:
        """Parts per kind; a kind without parts has no entry."""
        return dict(self._parts)

    @property
    def chars(self) -> dict[Kind, int]:
        """Code points of the payloads per kind; a kind without parts has no entry."""
        return dict(self._chars)

    @property
    def tool_calls(self) -> int:
        """How many tool calls were asked for."""
        return self._parts["tool_call"]


def digest_conversation(conversation: Conversation) -> Digest:
    """Digest a whole recorded conversation."""
    digest = Digest()
    for message in conversation.messages:
        digest.message(message.role)
        for part in canonical_parts((message,)):
            digest.part(part.role, part.kind, part.payload)
    return digest


def canonical_parts(messages: Iterable[RecordedMessage]) -> Iterator[Part]:
    """Yield the parts of messages in order; within one message thinking, text, tool calls, result."""
    for message in messages:
        for part in _parts_of(message):
            if _is_part(part.kind, part.payload):
                yield part


def canonical_tool_call(name: str, arguments: str) -> str:
    """Write a tool call as a payload: the name and its arguments with sorted keys and no spaces.

    Arguments that are no JSON stay as they are; empty ones are ``{}``. Not guaranteed for arguments nested
    hundreds of levels deep: whether Python can decode those depends on how deep its own stack is then.
    """
    if not arguments:
        return name + _UNIT_SEPARATOR + "{}"
    try:
        written = json.dumps(json.loads(arguments), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError):
        written = arguments
    return name + _UNIT_SEPARATOR + written


def _parts_of(message: RecordedMessage) -> Iterator[Part]:
    yield Part(message.role, "thinking", message.thinking or "")
    yield Part(message.role, "text", message.text or "")
    for call in message.tool_calls:
        yield Part(message.role, "tool_call", canonical_tool_call(call.name, call.arguments))
    if message.result is not None:
        yield Part("tool", "tool_result", message.result.content)


def _is_part(kind: Kind, payload: str) -> bool:
    return bool(payload) or kind in ("tool_call", "tool_result")


def _utf8(text: str) -> bytes:
    # The escapes of recorded arguments can hide a lone surrogate; what could be read must have a digest.
    return text.encode("utf-8", "surrogatepass")
