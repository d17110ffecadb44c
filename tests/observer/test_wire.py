"""The words of the observer are read and written without loss, and whatever else comes is a fault and never raises."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.events import Event, MessageAccepted
from actors.core.ids import ChatId
from actors.observer.wire import (
    REQUEST_BYTES_MAX,
    Fault,
    Request,
    read_answer,
    read_item,
    read_request,
    write_end,
    write_fault,
    write_item,
    write_request,
    write_value,
)

REQUESTS = [
    Request(verb="tree"),
    Request(verb="tree", count_max=5),
    Request(verb="statistics"),
    Request(verb="inspect", chat_id="live:a"),
    Request(verb="recent", chat_id="live:a", count_max=20),
    Request(verb="follow", chat_id="live:a", after=7),
    Request(verb="trace", chat_id="live:" + "a" * 200),
]

BAD = [
    b"",
    b"null",
    b"[]",
    b'"tree"',
    b"{}",
    b'{"verb":"stop"}',
    b'{"verb":"delete","chat_id":"live:a"}',
    b'{"verb":"tree","chat_id":7}',
    b'{"verb":"tree","more":1}',
    b'{"verb":"tree","count_max":0}',
    b'{"verb":"tree","count_max":1e9}',
    b'{"verb":"follow","chat_id":"live:a","after":-1}',
    b'{"verb":"follow","chat_id":"live:a","after":"1"}',
    b'{"verb":"inspect"}',
    b'{"verb":"follow","chat_id":""}',
    b'{"verb":"tree"',
    b"\xff\xfe",
    b"GET / HTTP/1.1\r",
    b"[" * 4000,
    b" " * (REQUEST_BYTES_MAX + 1),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request_: request_.verb)
def test_a_request_comes_as_it_was_sent(request_: Request) -> None:
    """One line each, within the bound."""
    line = write_request(request_)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert read_request(line.removesuffix(b"\n")) == request_


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_what_is_no_request_is_a_fault_with_a_remedy(line: bytes) -> None:
    """Nothing that changes a session is among the verbs, and no field is taken that is not known."""
    fault = read_request(line)
    assert isinstance(fault, Fault)
    assert fault.error
    assert fault.hint


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(line: bytes) -> None:
    """Whoever sends noise is told that it is noise."""
    assert isinstance(read_request(line), Fault | Request)


def test_an_answer_says_whether_there_is_a_value() -> None:
    """Or else what is wrong, and what to do."""
    good = read_answer(write_value({"a": 1, "never": math.inf}))
    assert (good.ok, json.loads(bytes(good.value))) == (True, {"a": 1, "never": None})
    bad = read_answer(write_fault(Fault("no session has this chat_id", "create it first")))
    assert (bad.ok, bad.error, bad.hint) == (False, "no session has this chat_id", "create it first")
    with pytest.raises(ValueError, match="JSON"):
        read_answer(b"nothing")


def test_an_item_names_its_kind_and_the_end_its_reason() -> None:
    """Text with line ends and of every script stays in its line."""
    event = Event(ChatId("live:a"), 3, 1, 2.0, MessageAccepted("m", 1, "two\nlines \u4f60\u597d"))
    line = write_item(event)
    assert line.count(b"\n") == 1
    item = read_item(line)
    assert item.item == "Event"
    value = json.loads(bytes(item.value))
    assert (value["seq"], value["body"]["kind"], value["body"]["text"]) == (
        3,
        "message.accepted",
        "two\nlines \u4f60\u597d",
    )
    assert read_item(write_end("the session has ended")).end == "the session has ended"
    with pytest.raises(ValueError, match="JSON"):
        read_item(b"nothing")
