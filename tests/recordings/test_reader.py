"""From the bytes of a file to conversations that the runtime can take."""

import gzip
import json
import pathlib
from collections.abc import Mapping

import pytest

from actors.errors import RecordingError
from actors.recordings import reader
from actors.recordings.canonical import digest_conversation
from actors.recordings.model import Conversation, RecordedMessage
from actors.recordings.reader import FORMATS, read_conversations, read_sample, sample_path

Raw = Mapping[str, object]

PRIVATE = "my diagnosis"
ENDLESS = pathlib.Path("/dev/zero")
HELLO: Raw = {"role": "user", "content": "Hello"}
TAU = [{"traj": [HELLO]}]
TAU2 = {"simulations": [{"id": "s1", "messages": [HELLO]}]}


def written(path: pathlib.Path, content: object) -> pathlib.Path:
    """Write bytes as they are, and any other value as JSON."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(data)
    return path


def refused(path: pathlib.Path, content: object, *, format_name: str | None = None) -> str:
    """Read what must not be readable, and return the text of the error."""
    with pytest.raises(RecordingError) as caught:
        read_conversations(written(path, content), format_name=format_name)
    assert caught.value.hint, "every error says what to do"
    assert str(caught.value).startswith(str(path)), "every error names the file"
    assert PRIVATE not in str(caught.value), "no error repeats what a person wrote"
    return str(caught.value)


def tau2(*messages: Raw) -> object:
    """Write a tau2-bench file with one conversation."""
    return {"simulations": [{"id": "s1", "messages": list(messages)}]}


def call(call_id: str = "c1", text: str | None = None, **arguments: str) -> Raw:
    """Write an assistant message with one call, in the form of tau2-bench."""
    calls = [{"id": call_id, "name": "find", "arguments": arguments}]
    return {"role": "assistant", "content": text, "tool_calls": calls}


def result(call_id: str = "c1", content: str = PRIVATE) -> Raw:
    """Write the result of a call, in the form of tau2-bench."""
    return {"role": "tool", "id": call_id, "content": content}


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """Name a file that does not exist yet."""
    return tmp_path / "recording.json"


@pytest.mark.parametrize(("value", "name"), [(TAU, "0"), (TAU2, "s1")])
def test_the_format_is_found_from_the_content(path: pathlib.Path, value: object, name: str) -> None:
    """Neither the name of the file nor an option is needed."""
    (conversation,) = read_conversations(written(path, value))
    assert conversation == Conversation.from_messages(name, [RecordedMessage("user", "Hello")])


@pytest.mark.parametrize(("value", "format_name"), [(TAU, "tau-bench"), (TAU2, "tau2-bench")])
def test_a_format_may_be_asked_for(path: pathlib.Path, value: object, format_name: str) -> None:
    """Asking for the right one changes nothing."""
    assert read_conversations(written(path, value), format_name=format_name) == read_conversations(path)


def test_no_two_formats_have_one_name() -> None:
    """A format can be asked for by its name alone."""
    assert len({known_format.name for known_format in FORMATS}) == len(FORMATS)


@pytest.mark.parametrize("name", ["recording.json.gz", "recording.json"])
def test_a_compressed_file_is_unpacked_whatever_its_name(tmp_path: pathlib.Path, name: str) -> None:
    """The first bytes tell, not the name."""
    packed = written(tmp_path / name, gzip.compress(json.dumps(TAU2).encode()))
    plain = written(tmp_path / "plain.json", TAU2)
    assert read_conversations(packed) == read_conversations(plain)


def test_a_byte_order_mark_is_no_part_of_the_file(path: pathlib.Path) -> None:
    """Some editors write one before UTF-8."""
    data = b"\xef\xbb\xbf" + json.dumps(TAU2).encode()
    assert len(read_conversations(written(path, data))) == 1


def test_a_recording_without_conversations_is_empty(path: pathlib.Path) -> None:
    """It is no error that nothing was recorded."""
    assert read_conversations(written(path, {"simulations": []})) == ()


def test_conversations_keep_the_order_of_the_file(path: pathlib.Path) -> None:
    """Nothing is sorted on the way."""
    names = ["b", "a", "c"]
    value = {"simulations": [{"id": name, "messages": []} for name in names]}
    assert [conversation.name for conversation in read_conversations(written(path, value))] == names


def test_a_call_without_a_result_is_read(path: pathlib.Path) -> None:
    """Recordings end in the middle, and that is worth replaying too."""
    (conversation,) = read_conversations(written(path, tau2(HELLO, call())))
    assert len(conversation.turns[0].steps) == 1


def test_one_id_may_stand_for_several_calls_of_a_turn(path: pathlib.Path) -> None:
    """Two calls with one id have two results, one after the other or together."""
    one_by_one = tau2(HELLO, call(), result(), call(), result())
    together = tau2(HELLO, call(), call(), result(), result())
    for value in (one_by_one, together):
        (conversation,) = read_conversations(written(path, value))
        assert len(conversation.turns[0].steps) == 4


def test_the_opening_may_hold_calls(path: pathlib.Path) -> None:
    """An assistant may look something up before it greets."""
    (conversation,) = read_conversations(written(path, tau2(call(), result(), HELLO)))
    assert len(conversation.opening) == 2


def test_a_file_that_does_not_exist_is_refused(path: pathlib.Path) -> None:
    """The error says why the system did not open it."""
    with pytest.raises(RecordingError, match="the file cannot be read: No such file"):
        read_conversations(path)


def test_a_folder_is_refused(tmp_path: pathlib.Path) -> None:
    """A recording is one file."""
    with pytest.raises(RecordingError, match="the file cannot be read"):
        read_conversations(tmp_path)


def test_a_path_that_cannot_exist_is_refused() -> None:
    """Python itself refuses it, with an error that is not one of the system."""
    with pytest.raises(RecordingError, match="such a path cannot exist"):
        read_conversations(pathlib.Path("a\0b"))


def test_an_error_about_a_file_name_that_is_no_text_is_text(tmp_path: pathlib.Path) -> None:
    """File names are bytes, and what is printed or logged must be UTF-8."""
    with pytest.raises(RecordingError) as caught:
        read_conversations(tmp_path / "a\udce9.json")
    assert str(caught.value).encode()


def test_a_file_that_is_too_large_is_refused(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is on the file, before anything is decoded."""
    size = len(json.dumps(TAU2))
    monkeypatch.setattr(reader, "FILE_BYTES_MAX", size)
    assert read_conversations(written(path, TAU2))
    monkeypatch.setattr(reader, "FILE_BYTES_MAX", size - 1)
    assert f"holds more than {size - 1} bytes" in refused(path, TAU2)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is on what has to be held, so it counts after unpacking too."""
    monkeypatch.setattr(reader, "FILE_BYTES_MAX", 1000)
    assert "holds more than 1000 bytes" in refused(path, gzip.compress(b" " * 100_000))


@pytest.mark.skipif(not ENDLESS.exists(), reason="this system has no endless file")
def test_a_file_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no size to ask for is read up to the bound and no further."""
    monkeypatch.setattr(reader, "FILE_BYTES_MAX", 1000)
    with pytest.raises(RecordingError, match="holds more than 1000 bytes"):
        read_conversations(ENDLESS)


@pytest.mark.parametrize("left", [2, 5, 20, -1, -9])
def test_compressed_data_that_is_cut_short_is_refused(path: pathlib.Path, left: int) -> None:
    """Wherever the cut is, what was read is not passed on."""
    packed = gzip.compress(json.dumps(TAU2).encode())
    assert "the gzip data is cut short" in refused(path, packed[:left])


def test_compressed_data_that_is_damaged_is_refused(path: pathlib.Path) -> None:
    """A wrong checksum and a wrong stream are both found."""
    packed = bytearray(gzip.compress(json.dumps(TAU2).encode()))
    packed[-8] ^= 0xFF
    assert "the gzip data is damaged" in refused(path, bytes(packed))
    packed[10:20] = b"\xff" * 10
    assert "the gzip data is damaged" in refused(path, bytes(packed))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "no JSON: Expecting value (line 1, column 1)"),
        (f'[{{"traj": ["{PRIVATE}"'.encode(), "no JSON: Expecting ',' delimiter"),
        (f'"{PRIVATE}'.encode(), "no JSON: Unterminated string"),
        (b'{"type": "session"}\n{"type": "message"}\n', "no JSON: Extra data (line 2, column 1)"),
        (PRIVATE.encode() + b"\xff", "no UTF-8: byte 12 cannot stand there"),
        ("[]".encode("utf-16"), "no UTF-8: byte 0 cannot stand there"),
        (b"[" * 100_000, "nested too deep"),
        (b"1" * 5000, "a number with too many digits"),
    ],
)
def test_a_file_that_is_no_json_is_refused(path: pathlib.Path, data: bytes, problem: str) -> None:
    """The error says where the text stops making sense."""
    assert problem in refused(path, data)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({}, "an object"),
        ({"traj": PRIVATE}, "an object"),
        ([], "an array"),
        (PRIVATE, "a string"),
        (1.5, "a number"),
        (True, "a boolean"),
        (None, "null"),
    ],
)
def test_an_unknown_format_is_refused(path: pathlib.Path, value: object, kind: str) -> None:
    """The error names the kind that was found and the formats that would do."""
    text = refused(path, value)
    assert f"the format is unknown: found {kind}, which fits none of tau-bench, tau2-bench" in text


def test_a_format_that_does_not_exist_is_refused(path: pathlib.Path) -> None:
    """The error lists those that do."""
    assert "use one of tau-bench, tau2-bench" in refused(path, TAU, format_name="tau3-bench")


def test_a_file_of_another_format_than_asked_for_is_refused(path: pathlib.Path) -> None:
    """The error says what was found instead."""
    text = refused(path, TAU, format_name="tau2-bench")
    assert "expected the format tau2-bench, found tau-bench" in text
    assert "expected the format tau-bench, found null" in refused(path, None, format_name="tau-bench")


def test_a_name_used_twice_is_refused(path: pathlib.Path) -> None:
    """Two conversations cannot share one chat id."""
    one = {"id": "s1", "messages": []}
    assert "conversation s1: the name is used twice" in refused(path, {"simulations": [one, one]})


@pytest.mark.parametrize("name", ["", PRIVATE, "a/b", "a..b", "x" * 201])
def test_a_name_that_fits_no_chat_id_is_refused(path: pathlib.Path, name: str) -> None:
    """The error gives the position, since the name could be anything."""
    value = {"simulations": [{"id": name, "messages": []}]}
    text = refused(path, value)
    assert "conversation at position 0 (counted from 0), field id: the name cannot be part" in text


@pytest.mark.parametrize(
    "messages",
    [
        [HELLO, result()],
        [HELLO, call("c1"), result("c2")],
        [HELLO, call(), result(), result()],
        [HELLO, result(), call()],
        [HELLO, call(), HELLO, result()],
        [result()],
    ],
    ids=[
        "no call",
        "another id",
        "second result",
        "result first",
        "call of an earlier turn",
        "in the opening",
    ],
)
def test_a_tool_result_without_an_open_call_is_refused(path: pathlib.Path, messages: list[Raw]) -> None:
    """Every result answers one call of its own turn, and no call is answered twice."""
    faulty = max(index for index, message in enumerate(messages) if message["role"] == "tool")
    text = refused(path, tau2(*messages))
    assert f"conversation s1, message {faulty} (counted from 0)" in text
    assert "a tool result without an open call of that id in the same turn" in text


def test_a_tool_call_by_the_user_is_refused(path: pathlib.Path) -> None:
    """Some benchmarks let the user act too, and the runtime has no such turn yet."""
    text = refused(path, tau2({**call(), "role": "user", "content": PRIVATE}))
    assert "message 0 (counted from 0), field tool_calls" in text
    assert "tool calls by the role user are not supported by the runtime yet" in text


def test_a_tool_call_by_a_tool_is_refused(path: pathlib.Path) -> None:
    """Only the assistant calls."""
    text = refused(path, tau2(HELLO, call(), {**result(), "tool_calls": call()["tool_calls"]}))
    assert "tool calls by the role tool are not supported" in text


@pytest.mark.parametrize("message", [{"role": "user"}, {"role": "user", "content": None}])
def test_a_user_message_without_text_is_refused(path: pathlib.Path, message: Raw) -> None:
    """There would be nothing to send."""
    assert "field content: expected the text of a user message" in refused(path, tau2(message))


def test_a_system_message_after_a_user_message_is_refused(path: pathlib.Path) -> None:
    """A turn holds what assistant and tools did, and nothing else."""
    text = refused(path, tau2(HELLO, {"role": "system", "content": PRIVATE}))
    assert "message 1 (counted from 0), field role: a system message after a user message" in text


HALF = f"{PRIVATE} \ud83d"


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([{"role": "user", "content": HALF}], "message 0 (counted from 0), field content"),
        ([HELLO, call(text=HALF)], "message 1 (counted from 0), field content"),
        ([HELLO, call(HALF)], "field tool_calls[0].id"),
        ([HELLO, call(day=HALF)], "field tool_calls[0].arguments"),
        ([HELLO, call(**{HALF: "x"})], "field tool_calls[0].arguments"),
        ([HELLO, call(), result(content=HALF)], "message 2 (counted from 0), field content"),
    ],
)
def test_half_of_a_surrogate_pair_is_refused(path: pathlib.Path, messages: list[Raw], field: str) -> None:
    """JSON can say it, UTF-8 cannot, so it is found here and not when it is stored."""
    text = refused(path, tau2(*messages))
    assert field in text
    assert "half of a surrogate pair at character" in text


def test_a_whole_surrogate_pair_is_a_character(path: pathlib.Path) -> None:
    """The two halves of an emoji, each escaped, are read as the one emoji they are."""
    data = json.dumps(tau2({"role": "user", "content": "🦌"})).encode()
    assert b"\\ud83e\\udd8c" in data
    assert read_conversations(written(path, data))[0].turns[0].user.text == "🦌"


def test_an_escaped_half_inside_arguments_that_are_text_is_read(path: pathlib.Path) -> None:
    """Such arguments are plain ASCII, and what they would decode to is for the tool to judge."""
    arguments = '{"day":"\\ud83d"}'
    calls = [{"id": "c1", "function": {"name": "find", "arguments": arguments}}]
    value = [{"traj": [HELLO, {"role": "assistant", "tool_calls": calls}]}]
    (conversation,) = read_conversations(written(path, value))
    assert conversation.turns[0].steps[0].tool_calls[0].arguments == arguments


def test_values_nested_too_deep_to_be_written_are_refused(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments are written again after decoding, and either may reach the end of the stack."""

    def exhausted(*_: object, **__: object) -> str:
        raise RecursionError

    monkeypatch.setattr("actors.recordings.tau.json.dumps", exhausted)
    with pytest.raises(RecordingError, match="nested too deep"):
        read_conversations(written_by_hand(path))


def written_by_hand(path: pathlib.Path) -> pathlib.Path:
    """Write a file with a call without the help of ``json.dumps``."""
    calls = '[{"id": "c1", "name": "find", "arguments": {"a": []}}]'
    messages = f'[{{"role": "assistant", "tool_calls": {calls}}}]'
    return written(path, f'{{"simulations": [{{"id": "s1", "messages": {messages}}}]}}'.encode())


def test_the_shipped_recording_can_be_read() -> None:
    """It is there, it is small, and it is the same by its path and by its name."""
    assert sample_path().stat().st_size < 60_000
    assert read_conversations(sample_path()) == read_sample()
    assert len(read_sample()) == 12


def test_the_shipped_recording_holds_the_troubles_it_was_made_for() -> None:
    """Every trait that the rest of the package is tried against by means of it is in it."""
    sample = read_sample()
    messages = [message for conversation in sample for message in conversation.messages]
    ids = [[c.call_id for m in conversation.messages for c in m.tool_calls] for conversation in sample]
    assert all(2 <= len(conversation.turns) <= 6 for conversation in sample)
    assert any(conversation.opening for conversation in sample)
    assert any(not conversation.opening for conversation in sample)
    assert any(conversation.turns[-1].steps == () for conversation in sample)
    assert any(len(message.tool_calls) == 2 for message in messages)
    assert any(len(set(used)) < len(used) for used in ids)
    assert any(message.result is not None and message.result.content == "" for message in messages)
    assert max(len((message.text or "").encode()) for message in messages) > 5 * 1024
    assert any("美咲" in (message.text or "") for message in messages)
    assert any("👩‍👩‍👧‍👦" in (message.text or "") for message in messages)
    assert all(message.at_s is not None for message in messages)


def test_no_two_shipped_conversations_are_alike() -> None:
    """A mix-up between two of them would show in the digests."""
    digests = {digest_conversation(conversation).canonical_sha256 for conversation in read_sample()}
    assert len(digests) == len(read_sample())
