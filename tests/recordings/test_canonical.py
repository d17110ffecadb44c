"""The canonical text of a conversation and its digest."""

import hashlib
from collections.abc import Iterable

import pytest

from actors.recordings.canonical import (
    Digest,
    Part,
    canonical_parts,
    canonical_tool_call,
    digest_conversation,
)
from actors.recordings.model import (
    Conversation,
    RecordedMessage,
    RecordedToolCall,
    RecordedToolResult,
)

CALL = RecordedToolCall("c1", "find", '{"b": 1, "a": [2]}')
MESSAGES = (
    RecordedMessage("system", "Be brief."),
    RecordedMessage("user", "Où ? 🦌"),
    RecordedMessage("assistant", "I look.", thinking="Where?", tool_calls=(CALL, CALL)),
    RecordedMessage("tool", None, result=RecordedToolResult("c1", "find", "")),
    RecordedMessage("assistant", "Là."),
)


def parts_of(*messages: RecordedMessage) -> list[Part]:
    """List the parts of some messages."""
    return list(canonical_parts(messages))


def digest_of(parts: Iterable[Part]) -> Digest:
    """Add parts to a new digest."""
    digest = Digest()
    for part in parts:
        digest.part(part.role, part.kind, part.payload)
    return digest


def test_the_canonical_text_is_written_as_specified() -> None:
    """Role, kind and payload are joined by U+001F, and each part ends with U+001E."""
    written = "user\x1ftext\x1fOù ?\x1eassistant\x1ftool_call\x1ffind\x1f{}\x1e"
    digest = Digest()
    digest.part("user", "text", "Où ?")
    digest.part("assistant", "tool_call", canonical_tool_call("find", ""))
    assert digest.canonical_sha256 == hashlib.sha256(written.encode()).hexdigest()


def test_the_text_digest_does_not_know_how_the_text_was_cut() -> None:
    """A text in two parts and the same text in one have one text digest and two canonical ones."""
    whole = digest_of([Part("assistant", "text", "Until six.")])
    cut = digest_of([Part("assistant", "text", "Until "), Part("assistant", "text", "six.")])
    assert whole.text_sha256 == cut.text_sha256 == hashlib.sha256(b"Until six.").hexdigest()
    assert whole.canonical_sha256 != cut.canonical_sha256


def test_the_text_digest_holds_text_only() -> None:
    """Thinking, calls and results change the canonical digest and leave the text digest alone."""
    text = digest_of([Part("user", "text", "Hi")])
    more = digest_of(
        [
            Part("user", "text", "Hi"),
            Part("assistant", "thinking", "Hm"),
            Part("assistant", "tool_call", "find\x1f{}"),
            Part("tool", "tool_result", "found"),
        ]
    )
    assert more.text_sha256 == text.text_sha256
    assert more.canonical_sha256 != text.canonical_sha256


def test_a_digest_may_be_read_in_the_middle() -> None:
    """Reading a digest does not end it: the end is the same as without the look."""
    watched, unwatched = Digest(), Digest()
    for part in canonical_parts(MESSAGES):
        watched.part(part.role, part.kind, part.payload)
        assert watched.canonical_sha256
        assert watched.text_sha256
        unwatched.part(part.role, part.kind, part.payload)
    assert watched.canonical_sha256 == unwatched.canonical_sha256


def test_the_order_of_parts_matters() -> None:
    """Two parts that change places change the digest."""
    parts = parts_of(*MESSAGES)
    assert digest_of(parts).canonical_sha256 != digest_of(reversed(parts)).canonical_sha256


def test_nothing_is_trimmed_or_normalised() -> None:
    """A space at the end, or é written as two characters, is another conversation."""
    texts = ["é", "é ", "e\u0301"]
    assert len({digest_of([Part("user", "text", text)]).canonical_sha256 for text in texts}) == len(texts)


def test_a_message_gives_thinking_then_text_then_calls() -> None:
    """Within one message the kinds have a fixed order, and each call is a part of its own."""
    kinds = [part.kind for part in parts_of(MESSAGES[2])]
    assert kinds == ["thinking", "text", "tool_call", "tool_call"]


@pytest.mark.parametrize("text", [None, ""])
def test_a_message_without_text_gives_no_text_part(text: str | None) -> None:
    """An empty text and no text are told apart by the recording, and by the canonical text they are not."""
    assert parts_of(RecordedMessage("assistant", text, thinking="")) == []


def test_an_empty_tool_result_is_a_part() -> None:
    """That a tool answered nothing is part of the conversation."""
    assert parts_of(MESSAGES[3]) == [Part("tool", "tool_result", "")]


def test_empty_text_and_thinking_leave_a_digest_alone() -> None:
    """The rule holds for whoever feeds the digest, not only for recordings."""
    digest = digest_of([Part("user", "text", ""), Part("assistant", "thinking", "")])
    assert digest.canonical_sha256 == Digest().canonical_sha256
    assert digest.parts == {}


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ('{"b": 1, "a": {"d": [1, 2.50], "c": null}}', '{"a":{"c":null,"d":[1,2.5]},"b":1}'),
        ('{"name":"\\u7f8e\\u54b2"}', '{"name":"美咲"}'),
        ("", "{}"),
        ("{}", "{}"),
        ("null", "null"),
        ('"text"', '"text"'),
        ('{"cut": ', '{"cut": '),
        ("  ", "  "),
        ("1" * 5000, "1" * 5000),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_arguments_are_written_in_one_way(arguments: str, written: str) -> None:
    """JSON has sorted keys and no spaces, what is no JSON stays, and nothing is an empty object."""
    assert canonical_tool_call("find", arguments) == f"find\x1f{written}"


def test_half_of_a_surrogate_pair_in_arguments_has_a_digest() -> None:
    """The escape is plain text where it was recorded, and only decoding it lays the half bare."""
    payload = canonical_tool_call("find", '{"a":"\\ud83d"}')
    digest = digest_of([Part("assistant", "tool_call", payload)])
    written = b'assistant\x1ftool_call\x1ffind\x1f{"a":"\xed\xa0\xbd"}\x1e'
    assert digest.canonical_sha256 == hashlib.sha256(written).hexdigest()


def test_a_conversation_is_counted() -> None:
    """Messages count per role, parts and code points per kind, and an empty result counts as a part."""
    digest = digest_conversation(Conversation.from_messages("0", MESSAGES))
    assert digest.messages == {"system": 1, "user": 1, "assistant": 2, "tool": 1}
    assert digest.parts == {"text": 4, "thinking": 1, "tool_call": 2, "tool_result": 1}
    assert digest.chars == {"text": 25, "thinking": 6, "tool_call": 40, "tool_result": 0}
    assert digest.tool_calls == 2


def test_a_conversation_and_its_parts_have_one_digest() -> None:
    """A store that feeds neutral parts gets what the recording got."""
    conversation = Conversation.from_messages("0", MESSAGES)
    whole, parts = digest_conversation(conversation), digest_of(canonical_parts(conversation.messages))
    assert whole.canonical_sha256 == parts.canonical_sha256
    assert whole.text_sha256 == parts.text_sha256
    assert (whole.parts, whole.chars, whole.tool_calls) == (parts.parts, parts.chars, parts.tool_calls)


def test_the_counts_that_are_handed_out_are_copies() -> None:
    """Whoever changes them changes nothing of the digest."""
    digest = digest_of([Part("user", "text", "Hi")])
    digest.parts.clear()
    assert digest.parts == {"text": 1}
