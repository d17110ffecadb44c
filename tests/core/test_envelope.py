"""What may be carried: texts that can be stored, payloads that nobody else can change."""

import datetime as dt
import enum
import json
import math
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.envelope import (
    Envelope,
    Origin,
    Rejection,
    check_origin,
    check_text,
    clean_text,
    freeze_payload,
    json_text,
)
from actors.core.ids import ChatId, DropReason
from actors.errors import ConfigurationError

KIB = 1024


class Name(str):
    """A str that can carry more than its text."""

    __slots__ = ("secret",)


class Mood(enum.StrEnum):
    """An enumeration of str."""

    GOOD = "good"


class Point(msgspec.Struct):
    """A struct, which JSON can hold if all of its fields are there."""

    x: int


def nested(depth: int) -> object:
    """Build a list in a list, and so on."""
    value: object = []
    for _ in range(depth):
        value = [value]
    return value


def circle() -> object:
    """Build a list that holds itself."""
    value: list[object] = []
    value.append(value)
    return value


def unset() -> Point:
    """Build a struct without its field."""
    point = Point(1)
    del point.x
    return point


NOT_TEXT: tuple[tuple[object, str, str], ...] = (
    (None, "NoneType", "give a str"),
    (0, "int", "give a str"),
    (b"hello", "bytes", "give a str"),
    (bytearray(b"hello"), "bytearray", "give a str"),
    (["hello"], "list", "give a str"),
    (Name("hello"), "Name", "give a str"),
    (Name(), "Name", "give a str"),
    (Mood.GOOD, "Mood", "give a str"),
    ("", "empty str", "give at least one character"),
    ("a" * 17, "str of 17 bytes", "give at most 16 bytes"),
    ("é" * 9, "str of 18 bytes", "give at most 16 bytes"),
    ("🦌" * 5, "str of 20 bytes", "give at most 16 bytes"),
    ("\ud800", "str with a lone surrogate", "clean it with text.encode('utf-8', 'replace').decode()"),
    ("ok \udfff", "str with a lone surrogate", "clean it with text.encode('utf-8', 'replace').decode()"),
)

TEXTS: tuple[tuple[str, int], ...] = (
    ("a", 1),
    (" ", 1),
    ("\x00", 1),
    ("a" * 16, 16),
    ("é" * 8, 16),
    ("🦌" * 4, 16),
    ("\ufeff\u202e\u0301", 8),
)

PASSED: tuple[tuple[object, int], ...] = (
    (None, 8),
    (True, 8),
    (1.5, 8),
    (math.inf, 8),
    (0, 8),
    (-1, 8),
    (2**63, 16),
    ("", 0),
    ("hello", 5),
    ("Où", 3),
    (b"", 0),
    (b"\xff\x00", 2),
)

COPIED: tuple[tuple[object, object], ...] = (
    ([], []),
    ({}, {}),
    ([1, "a", None, True, 1.5], [1, "a", None, True, 1.5]),
    ({"a": {"b": [None]}}, {"a": {"b": [None]}}),
    ((1, (2,)), [1, [2]]),
    ({1: "a"}, {"1": "a"}),
    ([2**64, -(2**63) - 1, 10**30], [2**64, -(2**63) - 1, 10**30]),
    ([Mood.GOOD], ["good"]),
    (Point(1), {"x": 1}),
    (dt.date(2024, 2, 29), "2024-02-29"),
    (["null"], ["null"]),
)

NOT_PAYLOADS: tuple[tuple[Callable[[], object], str], ...] = (
    (object, "object (TypeError)"),
    (lambda: [object()], "list (TypeError)"),
    (lambda: {(1, 2): 3}, "dict (TypeError)"),
    (lambda: len, "builtin_function_or_method (TypeError)"),
    (lambda: 1j, "complex (TypeError)"),
    (lambda: iter([1]), "list_iterator (TypeError)"),
    (lambda: [Name("hello")], "list (TypeError)"),
    (lambda: Name("hello"), "Name"),
    (Name, "Name"),
    (lambda: Mood.GOOD, "Mood"),
    (lambda: "\ud800", "str with a lone surrogate"),
    (lambda: ["\ud800"], "list (UnicodeEncodeError)"),
    (lambda: {"\ud800": 1}, "dict (UnicodeEncodeError)"),
    (lambda: [math.nan], "list (ValueError)"),
    (lambda: {"a": [math.inf]}, "dict (ValueError)"),
    (lambda: (None, -math.inf), "tuple (ValueError)"),
    (lambda: [10**5000], "list (ValueError)"),
    (lambda: nested(10_000), "list (RecursionError)"),
    (circle, "list (RecursionError)"),
    (unset, "Point (AttributeError)"),
    (lambda: memoryview(bytes(8))[::2], "memoryview (BufferError)"),
    (lambda: "a" * (KIB + 1), "str of 1025 bytes"),
    (lambda: bytes(KIB + 1), "bytes of 1025 bytes"),
    (lambda: 1 << 9000, "int of 1133 bytes"),
    (lambda: ["a" * KIB], "list of 1028 bytes"),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(("value", "found", "remedy"), NOT_TEXT)
def test_what_cannot_be_stored_as_text_is_refused_with_field_kind_and_remedy(
    value: object, found: str, remedy: str
) -> None:
    """The rejection names what was found, never the text itself."""
    assert check_text(value, 16, field="answer") == Rejection(DropReason.INVALID_PAYLOAD, "answer", found, remedy)


@pytest.mark.parametrize(("text", "size"), TEXTS)
def test_a_text_is_measured_in_bytes(text: str, size: int) -> None:
    """Everything else that is text may be stored, up to exactly its bound."""
    assert check_text(text, 16) == size == len(text.encode())


@given(st.text(st.characters()))
def test_a_clean_text_can_be_stored(text: str) -> None:
    """A lone surrogate becomes a question mark, and nothing else is touched."""
    clean = clean_text(text)
    assert clean == "".join("?" if "\ud800" <= character <= "\udfff" else character for character in text)
    assert not clean or isinstance(check_text(clean, KIB), int)
    if isinstance(check_text(text, KIB), int):
        assert clean is text or clean == text


@pytest.mark.parametrize(("value", "size"), PASSED)
def test_what_cannot_be_changed_passes_as_it_is(value: object, size: int) -> None:
    """Text, bytes and scalars are not copied; each is measured."""
    frozen = freeze_payload(value, KIB)
    assert isinstance(frozen, tuple)
    assert frozen[0] is value
    assert frozen[1] == size


@pytest.mark.parametrize(("value", "copied"), COPIED)
def test_everything_else_arrives_as_json_would_bring_it(value: object, copied: object) -> None:
    """A tuple arrives as a list, a key that is a number as text; the size is that of the JSON text."""
    assert freeze_payload(value, KIB) == (copied, len(msgspec.json.encode(value)))


@pytest.mark.parametrize(("make", "found"), NOT_PAYLOADS, ids=[found for _, found in NOT_PAYLOADS])
def test_what_is_no_payload_is_refused_and_never_raises(make: Callable[[], object], found: str) -> None:
    """Whatever somebody gives, the answer is a value that names the kind, and says what to give instead."""
    rejection = freeze_payload(make(), KIB)
    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.field, rejection.found) == (DropReason.INVALID_PAYLOAD, "payload", found)
    assert rejection.remedy.startswith(("give", "clean"))


@given(JSON)
def test_a_json_value_arrives_equal_and_private(value: object) -> None:
    """What arrives is what was sent, and no part of it that can be changed is the sender's."""
    frozen = freeze_payload(value, 1 << 30)
    assert isinstance(frozen, tuple)
    assert frozen[0] == value
    assert json.dumps(frozen[0]) == json.dumps(value)
    if isinstance(value, list | dict):
        assert frozen[0] is not value


@pytest.mark.rule("D1")
def test_a_sender_that_changes_its_payload_changes_nothing_any_more() -> None:
    """The copy is deep."""
    value: dict[str, list[int]] = {"a": [1]}
    frozen = freeze_payload(value, KIB)
    value["a"].append(2)
    value["b"] = []
    assert frozen == ({"a": [1]}, 9)


@pytest.mark.parametrize("size", [KIB - 1, KIB, KIB + 1])
def test_a_payload_may_be_as_large_as_its_bound(size: int) -> None:
    """The bound itself is allowed, for text, bytes and JSON alike."""
    values = ["a" * size, bytes(size), ["a" * (size - 4)]]
    assert [isinstance(freeze_payload(value, KIB), tuple) for value in values] == [size <= KIB] * 3


def test_a_nesting_that_json_can_hold_is_taken() -> None:
    """Depth is bounded by the machine, not by taste."""
    assert freeze_payload(nested(200), KIB) == (nested(200), 402)


@pytest.mark.rule("D1")
def test_an_envelope_cannot_be_changed() -> None:
    """From the moment it is admitted, neither it nor where it comes from is altered."""
    origin = Origin(sender="live:1", call_chain=(ChatId("live:1"),))
    envelope = Envelope(ChatId("live:42"), "hello", 5, None, None, origin)
    with pytest.raises(AttributeError):
        envelope.chat_id = ChatId("live:43")  # type: ignore[misc]  # the point of the test
    with pytest.raises(AttributeError):
        origin.sender = ""  # type: ignore[misc]  # as above
    assert (envelope.deadline_s, envelope.incarnation) == (None, None)


@pytest.mark.parametrize("value", [object(), {1, 2}.__iter__(), float, [object()]])
def test_what_json_cannot_hold_is_refused_with_its_kind(value: object) -> None:
    """An agent is told which of its values it was, and what to give instead."""
    with pytest.raises(ConfigurationError, match="which JSON cannot hold") as refused:
        json_text(value, "state")
    assert str(refused.value).startswith(f"state is {type(value).__name__}")
    assert json_text(None, "arguments") == "{}"
    assert json_text(None, "state") == "null"


@pytest.mark.rule("D1")
def test_d1_an_origin_holds_text_within_a_bound() -> None:
    """Its size is that of all of it; what is no text, or too much of it, is refused by its field."""
    origin = Origin("anna", "c", "\u00e4", (ChatId("live:a"),), "m", (("traceparent", "00"),))
    assert check_origin(origin, 100) == 4 + 1 + 2 + 6 + 1 + 11 + 2
    assert check_origin(Origin(), 1) == 0
    for bad in ("anna", Origin("x" * 60, "x" * 60), Origin("\ud800"), Origin(trace=(("a", 7),))):  # type: ignore[arg-type]
        assert isinstance(check_origin(bad, 100), Rejection)
