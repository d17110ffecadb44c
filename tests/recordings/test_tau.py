"""The two formats of the tau benchmarks, from decoded JSON to conversations."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from actors.errors import RecordingError
from actors.recordings.model import (
    Conversation,
    RecordedMessage,
    RecordedToolCall,
    RecordedToolResult,
)
from actors.recordings.tau import (
    parse_tau2_bench,
    parse_tau_bench,
    recognise_tau2_bench,
    recognise_tau_bench,
)

Raw = Mapping[str, object]

PRIVATE = "my diagnosis"


def tau(*messages: Raw) -> Conversation:
    """Parse one tau-bench trajectory."""
    (conversation,) = parse_tau_bench([{"traj": list(messages)}], "a.json")
    return conversation


def tau2(*messages: Raw, name: str = "s1") -> Conversation:
    """Parse one tau2-bench simulation."""
    (conversation,) = parse_tau2_bench({"simulations": [{"id": name, "messages": list(messages)}]}, "a.json")
    return conversation


def tau_call(call_id: str, arguments: object, name: str = "find") -> Raw:
    """Write a call in the form of tau-bench."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: Raw, text: str | None = None) -> Raw:
    """Write an assistant message that calls tools."""
    return {"role": "assistant", "content": text, "tool_calls": list(calls)}


def timed(*timestamps: str | None) -> Sequence[Raw]:
    """Write user messages with these times."""
    return [{"role": "user", "content": "Hi", "timestamp": timestamp} for timestamp in timestamps]


@pytest.mark.parametrize("value", [[{"traj": []}], [None, {"traj": None}]])
def test_a_list_with_a_trajectory_is_tau_bench(value: object) -> None:
    """One item is enough: what is wrong with the others is then said by name."""
    assert recognise_tau_bench(value)
    assert not recognise_tau2_bench(value)


@pytest.mark.parametrize("value", [{"simulations": []}, {"simulations": None}])
def test_an_object_with_simulations_is_tau2_bench(value: object) -> None:
    """Even if the simulations are wrong: what is wrong with them is then said by name."""
    assert recognise_tau2_bench(value)
    assert not recognise_tau_bench(value)


@pytest.mark.parametrize("value", [None, True, 1, "traj", [], ["traj"], [[]], {}, {"traj": []}])
def test_other_values_are_neither(value: object) -> None:
    """Recognising never raises, whatever the file holds."""
    assert not recognise_tau_bench(value)
    assert not recognise_tau2_bench(value)


def test_a_trajectory_is_named_by_its_place_in_the_file() -> None:
    """The pair of task and trial may repeat; the index cannot."""
    item = {"traj": [], "task_id": 4, "trial": 0}
    assert [conversation.name for conversation in parse_tau_bench([item, item], "a.json")] == ["0", "1"]


def test_a_simulation_is_named_by_its_id() -> None:
    """The id is kept as it is; whether it fits a chat id is for the reader."""
    assert tau2(name="ceee7fc3-5d21").name == "ceee7fc3-5d21"
    assert tau2(name="a/b").name == "a/b"


def test_a_tau_bench_conversation_becomes_values() -> None:
    """System prompt, text, a call and its result arrive as they were recorded."""
    conversation = tau(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is it open?"},
        calling(tau_call("c1", '{"day": "Mon"}')),
        {"role": "tool", "content": "9-18", "tool_call_id": "c1", "name": "find"},
        {"role": "assistant", "content": "Until six."},
    )
    assert conversation.opening == (RecordedMessage("system", "Be brief."),)
    assert conversation.turns[0].user == RecordedMessage("user", "Is it open?")
    assert conversation.turns[0].steps == (
        RecordedMessage("assistant", None, tool_calls=(RecordedToolCall("c1", "find", '{"day": "Mon"}'),)),
        RecordedMessage("tool", None, result=RecordedToolResult("c1", "find", "9-18")),
        RecordedMessage("assistant", "Until six."),
    )


def test_a_tau2_bench_result_gets_its_name_from_the_call() -> None:
    """The format does not repeat the name of the tool, so the call is asked for it."""
    conversation = tau2(
        {"role": "user", "content": "Both, please."},
        calling({"id": "c1", "name": "find", "arguments": {}}, {"id": "c2", "name": "book", "arguments": {}}),
        {"role": "tool", "content": "b", "id": "c2", "requestor": "assistant", "error": False},
        {"role": "tool", "content": "a", "id": "c1", "requestor": "assistant", "error": False},
    )
    results = [message.result for message in conversation.messages if message.result]
    assert results == [RecordedToolResult("c2", "book", "b"), RecordedToolResult("c1", "find", "a")]


def test_a_tool_call_id_used_twice_is_two_calls() -> None:
    """A result belongs to the latest call before it, since providers use their ids again."""
    conversation = tau2(
        {"role": "user", "content": "Find it and book it."},
        calling({"id": "0", "name": "find", "arguments": {}}),
        {"role": "tool", "content": "found", "id": "0"},
        calling({"id": "0", "name": "book", "arguments": {}}),
        {"role": "tool", "content": "booked", "id": "0"},
    )
    calls = [call.name for message in conversation.messages for call in message.tool_calls]
    results = [message.result.name for message in conversation.messages if message.result]
    assert calls == results == ["find", "book"]


def test_arguments_that_were_text_stay_that_text() -> None:
    """Spaces, the order of keys and even broken JSON are what the model wrote."""
    recorded = ['{ "b":1,  "a":2 }', '{"cut": ', ""]
    conversation = tau(calling(*(tau_call("c", arguments) for arguments in recorded)))
    assert [call.arguments for call in conversation.opening[0].tool_calls] == recorded


@pytest.mark.parametrize(
    ("arguments", "written"),
    [({"b": 1, "a": ["é", None]}, '{"b":1,"a":["é",null]}'), ({}, "{}"), (None, "{}")],
)
def test_arguments_that_were_an_object_become_compact_json(arguments: object, written: str) -> None:
    """The order of keys is kept, there are no spaces, and null is an empty object."""
    for conversation in (
        tau(calling(tau_call("c", arguments))),
        tau2(calling({"id": "c", "name": "find", "arguments": arguments})),
    ):
        assert conversation.opening[0].tool_calls[0].arguments == written


@pytest.mark.parametrize("message", [{"role": "assistant"}, {"role": "assistant", "content": None}])
def test_a_message_without_content_has_no_text(message: Raw) -> None:
    """Absent and null are the same, and differ from an empty text."""
    assert tau(message).opening[0].text is None
    assert tau2(message).opening[0].text is None
    assert tau({"role": "assistant", "content": ""}).opening[0].text == ""


@pytest.mark.parametrize("content", [None, ""])
def test_a_tool_that_answered_nothing_has_an_empty_result(content: str | None) -> None:
    """A result is always a text."""
    message = {"role": "tool", "content": content, "tool_call_id": "c", "id": "c"}
    for conversation in (tau(message), tau2(message)):
        result = conversation.opening[0].result
        assert result is not None
        assert result.content == ""


@pytest.mark.parametrize(("word", "role"), [("developer", "system"), ("model", "assistant")])
def test_other_words_for_a_role_are_understood(word: str, role: str) -> None:
    """Providers call the same role by different words."""
    assert tau({"role": word, "content": "Hi"}).opening[0].role == role


def test_times_are_seconds_since_the_first_timed_message() -> None:
    """Pacing needs differences, so the hour of the recording is left behind."""
    conversation = tau2(*timed("2026-03-02T08:00:00.250", "2026-03-02T08:00:01.750", "2026-03-02T08:01:00.25Z"))
    assert [message.at_s for message in conversation.messages] == [0.0, 1.5, 60.0]


def test_a_clock_that_went_back_stands_still() -> None:
    """No message is earlier than the one before it."""
    conversation = tau2(*timed("2026-03-02T08:00:00", "2026-03-02T08:00:09", "2026-03-02T07:00:10"))
    assert [message.at_s for message in conversation.messages] == [0.0, 9.0, 9.0]


def test_a_message_without_a_time_has_none() -> None:
    """Nothing is guessed, not even between two messages with times."""
    conversation = tau2(*timed(None, "2026-03-02T08:00:00", None, "2026-03-02T08:00:09"))
    assert [message.at_s for message in conversation.messages] == [None, 0.0, None, 9.0]


def test_tau_bench_has_no_times() -> None:
    """The format does not record them."""
    assert tau(*timed("2026-03-02T08:00:00")).turns[0].user.at_s is None


def test_the_copy_of_the_provider_is_not_read() -> None:
    """The ``raw_data`` of a message may hold anything, and none of it is part of the conversation."""
    raw = {"role": "assistant", "content": "Hi", "raw_data": {"thinking_blocks": [PRIVATE]}, "cost": None}
    assert tau2(raw).opening == (RecordedMessage("assistant", "Hi"),)


FAULTS = [
    ({"content": PRIVATE}, "missing required field `role`"),
    ({"role": 1}, "field role: Expected `str`, got `int`"),
    ({"role": PRIVATE}, "field role: expected a role, found a string that is none"),
    ({"role": "user", "content": [PRIVATE]}, "field content: Expected `str | null`, got `array`"),
    ({"role": "user", "content": PRIVATE, "tool_calls": {}}, "field tool_calls: Expected `array | null`"),
    ({"role": "tool", "content": PRIVATE}, "expected the id of the tool call that is answered"),
    ([PRIVATE], "Expected `object`, got `array`"),
    (PRIVATE, "Expected `object`, got `str`"),
    (None, "Expected `object`, got `null`"),
]


@pytest.mark.parametrize(("message", "problem"), FAULTS)
@pytest.mark.parametrize("parse", [tau, tau2])
def test_a_faulty_message_is_named_and_not_quoted(
    parse: Callable[..., Conversation], message: object, problem: str
) -> None:
    """The error says file, conversation, message, field and kind, and never repeats what stood there."""
    name = "0" if parse is tau else "s1"
    with pytest.raises(RecordingError) as caught:
        parse({"role": "user", "content": "Hi"}, message)
    assert str(caught.value).startswith(f"a.json, conversation {name}, message 1 (counted from 0)")
    assert problem in str(caught.value)
    assert caught.value.hint
    assert PRIVATE not in str(caught.value)


def test_a_faulty_tau_bench_call_is_named_down_to_its_field() -> None:
    """Of several calls the error names the one."""
    with pytest.raises(RecordingError, match=r"field tool_calls\[1\]\.function\.arguments: Expected .* got `int`"):
        tau(calling(tau_call("c1", "{}"), tau_call("c2", 5)))
    with pytest.raises(RecordingError, match=r"field tool_calls\[0\]\.function: .*missing required field `name`"):
        tau(calling({"id": "c1", "function": {}}))


def test_a_faulty_tau2_bench_call_is_named_down_to_its_field() -> None:
    """Of several calls the error names the one."""
    with pytest.raises(RecordingError, match=r"field tool_calls\[0\]\.arguments: Expected .* got `array`"):
        tau2(calling({"id": "c1", "name": "find", "arguments": [PRIVATE]}))
    with pytest.raises(RecordingError, match=r"field tool_calls\[0\]: .*missing required field `id`"):
        tau2(calling({"name": "find", "arguments": {}}))


@pytest.mark.parametrize("timestamp", ["", "yesterday", "2026-13-01T00:00:00", "1772438400"])
def test_a_time_that_is_none_is_refused(timestamp: str) -> None:
    """Pacing by a guess would be worse than an error."""
    with pytest.raises(RecordingError, match=r"message 0 .* field timestamp: expected a time in ISO 8601"):
        tau2(*timed(timestamp))


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({}, "a.json, conversation 0: Object missing required field `traj`"),
        ({"traj": {}}, "a.json, conversation 0, field traj: Expected `array`, got `object`"),
        (None, "a.json, conversation 0: Expected `object`, got `null`"),
    ],
)
def test_a_faulty_trajectory_is_named(item: object, problem: str) -> None:
    """A conversation that cannot be read at all is named by its index."""
    with pytest.raises(RecordingError) as caught:
        list(parse_tau_bench([item], "a.json"))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"simulations": None}, "a.json, field simulations: Expected `array`, got `null`"),
        ({"simulations": [{"messages": []}]}, "conversation at position 0 (counted from 0): Object missing"),
        ({"simulations": [{"id": 7, "messages": []}]}, "field id: Expected `str`, got `int`"),
        ({"simulations": [{"id": "s1", "messages": None}]}, "field messages: Expected `array`, got `null`"),
    ],
)
def test_a_faulty_simulation_is_named(value: object, problem: str) -> None:
    """A conversation without a usable id is named by its position."""
    with pytest.raises(RecordingError) as caught:
        list(parse_tau2_bench(value, "a.json"))
    assert problem in str(caught.value)


def test_an_id_that_is_no_name_is_not_quoted() -> None:
    """Where the id could be anything, the error gives the position instead."""
    with pytest.raises(RecordingError) as caught:
        tau2({"role": 1}, name=PRIVATE)
    assert "conversation at position 0 (counted from 0), message 0" in str(caught.value)
    assert PRIVATE not in str(caught.value)
