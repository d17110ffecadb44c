"""Event bodies as bytes: they come back as they were, or not at all."""

import contextlib
import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core import codec
from actors.core.codec import VERSION, decode_body, encode_body
from actors.core.events import (
    EventBody,
    MessageAccepted,
    SessionCreated,
    TextAppended,
    TurnEnded,
    TurnStarted,
)
from actors.core.lifecycle import PartStatus, TurnStatus
from actors.errors import StoreCorruptError
from tests.core.bodies import BODIES, KINDS, bodies_of
from tests.core.play import Play, plays

STARTED = '{"kind":"turn.started","turn":1,"attempt":2}'

GARBAGE: tuple[str | bytes, ...] = (
    "",
    " ",
    "null",
    "[]",
    "1",
    '"turn.started"',
    "{}",
    "{",
    STARTED[:-1],
    STARTED + "}",
    '{"kind":null}',
    '{"kind":1}',
    '{"kind":"turn.begun","turn":1,"attempt":2}',
    '{"kind":"TURN.STARTED","turn":1,"attempt":2}',
    '{"kind":"turn.started"}',
    '{"kind":"turn.started","turn":1}',
    '{"kind":"turn.started","turn":"1","attempt":2}',
    '{"kind":"turn.started","turn":1.5,"attempt":2}',
    '{"kind":"turn.started","turn":NaN,"attempt":2}',
    '{"kind":"turn.started","turn":null,"attempt":2}',
    '{"kind":"turn.ended","turn":1,"attempt":1,"status":"over"}',
    '{"kind":"text.appended","turn":1,"attempt":1,"message":0,"part":0,"type":"song","offset":0,"text":"","status":"cut"}',
    '{"kind":"session.created","x":' + "[" * 100_000 + "]" * 100_000 + "}",
    "\ud800",
    b"\xff\xfe",
    b'{"kind":"state.saved","turn":1,"state":"\xff"}',
    b"\x00",
)

UNWRITABLE: tuple[Callable[[], EventBody], ...] = (
    lambda: MessageAccepted("m1", 1, "\ud800"),
    lambda: MessageAccepted("m1", 1, "hello", sender="\udfff"),
    lambda: MessageAccepted("m1", 1, "hello", sender=object()),  # type: ignore[arg-type]  # what a host may hand in
    lambda: TurnEnded(1, 1, TurnStatus.FAILED, "rejected", "no \ud83e"),
)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_every_body_comes_back_as_it_was(kind: type[EventBody], data: st.DataObject) -> None:
    """Whatever the fields hold, what is decoded equals what was encoded, and is of its kind."""
    body = data.draw(bodies_of(kind))
    decoded = decode_body(encode_body(body))
    assert decoded == body
    assert type(decoded) is kind
    assert decode_body(encode_body(body).encode()) == body


@given(BODIES)
def test_a_body_is_json_with_its_kind(body: EventBody) -> None:
    """The journal can be read with any tool: one object that says what happened first."""
    written = json.loads(encode_body(body))
    assert next(iter(written.items())) == ("kind", type(body).__struct_config__.tag)
    assert set(written) <= {"kind", *type(body).__struct_fields__}


@given(plays())
def test_encoding_is_the_same_every_time(play: Play) -> None:
    """Bytes that were written once are written so again: a repeated commit is recognised by them."""
    for body in play.bodies:
        assert encode_body(decode_body(encode_body(body))) == encode_body(body)


def test_the_bytes_of_a_body_are_pinned() -> None:
    """A field that is renamed or moved breaks every store that exists; then the version is raised and upcast."""
    body = TextAppended(1, 2, 3, 4, "thinking", 5, "Où\n", PartStatus.STREAMING)
    assert encode_body(body) == (
        '{"kind":"text.appended","turn":1,"attempt":2,"message":3,"part":4,"type":"thinking","offset":5,'
        '"text":"Où\\n","status":"streaming"}'
    )
    assert encode_body(SessionCreated()) == '{"kind":"session.created"}'
    assert encode_body(MessageAccepted("m1", 1, "hello")) == (
        '{"kind":"message.accepted","message_id":"m1","turn":1,"text":"hello"}'
    )
    assert VERSION == 1


def test_every_kind_has_a_tag_of_its_own() -> None:
    """The words in every store that exists: the subject, and what happened to it."""
    assert [kind.__struct_config__.tag for kind in KINDS] == [
        "session.created",
        "session.migrated",
        "message.added",
        "message.accepted",
        "message.steered",
        "history.truncated",
        "turn.started",
        "turn.superseded",
        "attempt.interrupted",
        "attempt.set_aside",
        "text.appended",
        "tool.called",
        "tool.ended",
        "prompt.opened",
        "prompt.answered",
        "prompt.expired",
        "prompt.closed",
        "usage.added",
        "budget.reset",
        "state.saved",
        "reminder.set",
        "reminder.dropped",
        "reminder.fired",
        "reminder.skipped",
        "parent.ended",
        "turn.ended",
        "queue.paused",
        "queue.resumed",
        "queued.edited",
        "queue.reordered",
    ]


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: ascii(text)[:40])
def test_what_is_no_body_is_an_error_and_never_skipped(text: str | bytes) -> None:
    """Unknown kinds, missing fields, wrong types and bytes that are no JSON: the store is damaged, and says so."""
    with pytest.raises(StoreCorruptError, match="an event body does not decode") as caught:
        decode_body(text)
    assert caught.value.hint
    assert caught.value.__cause__ is not None


@given(st.binary(max_size=60) | st.text(st.characters(), max_size=60))
def test_arbitrary_bytes_decode_or_are_corrupt(text: str | bytes) -> None:
    """No other error comes out, whatever a row holds."""
    with contextlib.suppress(StoreCorruptError):
        decode_body(text)


@given(BODIES, st.data())
def test_a_body_with_a_flipped_bit_decodes_or_is_corrupt(body: EventBody, data: st.DataObject) -> None:
    """A damaged row is another body or an error of ours, nothing else."""
    written = bytearray(encode_body(body).encode())
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(StoreCorruptError):
        decode_body(bytes(written))


def test_a_field_of_the_future_is_left_aside() -> None:
    """A newer minor version may add a field that has a default; the rest is read."""
    assert decode_body('{"kind":"turn.started","turn":1,"attempt":2,"mood":"good"}') == TurnStarted(1, 2)


@pytest.mark.parametrize("version", [VERSION + 1, 99, 0, -1])
def test_a_version_that_is_not_ours_is_refused(version: int) -> None:
    """A store of the future is left alone, and the error says what would read it."""
    with pytest.raises(StoreCorruptError, match=f"version {version}, this package reads 1 to {VERSION}") as caught:
        decode_body(STARTED, version)
    assert "the version that wrote it" in caught.value.hint


def test_an_older_version_is_brought_up_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step makes of a body what the next version would have written."""

    def to_2(body: dict[str, object]) -> dict[str, object]:
        return {**body, "kind": "turn.started", "turn": body["number"]}

    def to_3(body: dict[str, object]) -> dict[str, object]:
        return {**body, "attempt": 1}

    monkeypatch.setattr(codec, "VERSION", 3)
    monkeypatch.setattr(codec, "UPCASTS", {1: to_2, 2: to_3})
    assert decode_body('{"kind":"turn.begun","number":7}', 1) == TurnStarted(7, 1)
    assert decode_body('{"kind":"turn.started","turn":7}', 2) == TurnStarted(7, 1)
    assert decode_body(STARTED, 3) == TurnStarted(1, 2)
    with pytest.raises(StoreCorruptError):
        decode_body("[]", 1)


def test_there_is_a_step_up_from_every_version_but_the_last() -> None:
    """A version that is raised without its step would make every store unreadable."""
    assert set(codec.UPCASTS) == set(range(1, VERSION))


@pytest.mark.parametrize("make", UNWRITABLE)
def test_a_body_that_cannot_be_written_is_one_sessions_error(make: Callable[[], EventBody]) -> None:
    """It is of a kind that the writer holds against the entry, not against the disk, so that others go on."""
    with pytest.raises(StoreCorruptError, match="an event body does not encode") as caught:
        encode_body(make())
    assert caught.value.hint
    assert caught.value.__cause__ is not None


def test_bodies_cannot_be_changed() -> None:
    """What has happened stays as it was."""
    body = TurnStarted(1, 2)
    with pytest.raises(AttributeError):
        body.turn = 3  # type: ignore[misc]  # the point of the test
    assert hash(body) == hash(msgspec.structs.replace(body))
