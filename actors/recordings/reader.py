"""The seam between files of any format and recorded conversations.

Bytes come in here and are checked here: size, compression, encoding, JSON, format. A format turns the decoded
value into conversations; what it yields is then held against the rules that do not depend on the format.
Nothing is repaired: the first fault ends the reading, with an error that says where it is and what to do.
"""

import gzip
import importlib.resources
import io
import json
import pathlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.resources.abc import Traversable
from typing import Final

import attrs

from actors.errors import RecordingError
from actors.recordings.model import (
    Conversation,
    Place,
    RecordedMessage,
    RecordedToolResult,
    is_conversation_name,
)
from actors.recordings.tau import (
    parse_tau2_bench,
    parse_tau_bench,
    recognise_tau2_bench,
    recognise_tau_bench,
)

FILE_BYTES_MAX: Final = 512 * 1024 * 1024
"""Of a file, and of what a compressed one unpacks to. Decoded, it takes several times that in memory."""

_GZIP_MAGIC: Final = b"\x1f\x8b"  # RFC 1952, section 2.3.1


@attrs.frozen
class Format:
    """One kind of file.

    ``recognise`` looks at a decoded JSON value and says whether it is of this kind; it never raises.
    ``parse`` takes that value and what errors are to call the file, and yields conversations in the order of
    the file; it raises RecordingError for a value of a wrong type and need check nothing else.
    """

    name: str
    recognise: Callable[[object], bool]
    parse: Callable[[object, str], Iterator[Conversation]]


FORMATS: Final[tuple[Format, ...]] = (
    Format("tau-bench", recognise_tau_bench, parse_tau_bench),
    Format("tau2-bench", recognise_tau2_bench, parse_tau2_bench),
)
"""Every format that can be read, in the order in which they are tried."""


def read_conversations(path: pathlib.Path, *, format_name: str | None = None) -> tuple[Conversation, ...]:
    """Read all conversations of a file, in its order; a gzip file is unpacked, whatever its name.

    ``path`` is a JSON file in UTF-8 of at most 512 MiB, also when unpacked. ``format_name`` is the name of
    one of ``FORMATS``; None finds the format from the content.

    Raises RecordingError, which names the place and never what a person wrote, if

    - the file cannot be read, is too large, cut short, no UTF-8 or no JSON;
    - the format is unknown, or not the one asked for;
    - a value is missing or of a wrong type;
    - two conversations have one name, or one has a name that no chat id can have;
    - a tool result answers no open call of its turn, or anybody but the assistant calls a tool;
    - a user message has no text, or a system message comes after one;
    - a text holds half of a surrogate pair.

    Not guaranteed: that every call has a result (recordings end in the middle), that call ids are unique,
    even within a turn, and that arguments are JSON.
    """
    # A file name need not be text; an error about it must be.
    file = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    return _conversations(_bytes_of(path, Place(file)), Place(file), format_name)


def read_sample() -> tuple[Conversation, ...]:
    """Read the recording shipped with the package: a dozen short conversations made up for it."""
    return _conversations(_sample().read_bytes(), Place("the sample airline.json"), None)


def sample_path() -> pathlib.Path:
    """Say where the shipped recording lies.

    Not guaranteed to exist if the package was imported from a zip file; ``read_sample`` works there too.
    """
    return pathlib.Path(str(_sample()))


def _sample() -> Traversable:
    return importlib.resources.files("actors.recordings") / "samples" / "airline.json"


def _conversations(data: bytes, place: Place, format_name: str | None) -> tuple[Conversation, ...]:
    try:
        value = _decoded(_text_of(_unpacked(data, place), place), place)
        chosen = _format_of(value, place, format_name)
        return tuple(_checked(chosen.parse(value, place.file), place.file))
    except RecursionError as error:  # decoding goes as deep as the nesting, and so does writing arguments
        raise place.error(
            problem="the file has values nested too deep to be read",
            hint="take the conversation with the deepest one out",
        ) from error


def _bytes_of(path: pathlib.Path, place: Place) -> bytes:
    try:
        with path.open("rb") as file:
            if path.stat().st_size > FILE_BYTES_MAX:
                raise _too_large(place)
            data = file.read(FILE_BYTES_MAX + 1)  # a pipe has no size, and a file may grow meanwhile
    except (OSError, ValueError) as error:  # ValueError: a path with U+0000 in it
        reason = error.strerror if isinstance(error, OSError) else "such a path cannot exist"
        raise place.error(
            problem=f"the file cannot be read: {reason}", hint="check the path and its permissions"
        ) from error
    if len(data) > FILE_BYTES_MAX:
        raise _too_large(place)
    return data


def _unpacked(data: bytes, place: Place) -> bytes:
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(FILE_BYTES_MAX + 1)
    except (OSError, EOFError, zlib.error) as error:
        state = "cut short" if isinstance(error, EOFError) else "damaged"
        raise place.error(problem=f"the gzip data is {state}", hint="fetch the file again") from error
    if len(unpacked) > FILE_BYTES_MAX:
        raise _too_large(place)
    return unpacked


def _too_large(place: Place) -> RecordingError:
    return place.error(
        problem=f"the file holds more than {FILE_BYTES_MAX} bytes", hint="split it into several recordings"
    )


def _text_of(data: bytes, place: Place) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:  # not chained: it carries the whole file
        raise place.error(
            problem=f"the file is no UTF-8: byte {error.start} cannot stand there", hint="save it as UTF-8"
        ) from None


def _decoded(text: str, place: Place) -> object:
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as error:  # not chained: it carries the whole file
        raise place.error(
            problem=f"the file is no JSON: {error.msg} (line {error.lineno}, column {error.colno})",
            hint="a recording is one JSON value; the file may be cut short or of another kind",
        ) from None
    except ValueError as error:  # Python refuses to read integers of more than 4300 digits
        raise place.error(problem="the file has a number with too many digits", hint="write it as a string") from error
    return value


def _format_of(value: object, place: Place, format_name: str | None) -> Format:
    known = ", ".join(known_format.name for known_format in FORMATS)
    fitting = [known_format for known_format in FORMATS if known_format.recognise(value)]
    found = " or ".join(fitting_format.name for fitting_format in fitting) or _kind(value)
    if format_name is None:
        if not fitting:
            raise place.error(
                problem=f"the format is unknown: found {found}, which fits none of {known}",
                hint="convert it to one of these",
            )
        return fitting[0]
    for fitting_format in fitting:
        if fitting_format.name == format_name:
            return fitting_format
    if all(known_format.name != format_name for known_format in FORMATS):
        raise place.error(problem="no format has the name that was asked for", hint=f"use one of {known}")
    raise place.error(
        problem=f"expected the format {format_name}, found {found}",
        hint="ask for no format to have it found from the content",
    )


def _kind(value: object) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "an array"
        case str():
            return "a string"
        case None:
            return "null"
        case bool():
            return "a boolean"
        case _:
            return "a number"


def _checked(conversations: Iterable[Conversation], file: str) -> Iterator[Conversation]:
    names: set[str] = set()
    for index, conversation in enumerate(conversations):
        if not is_conversation_name(conversation.name):
            raise Place(file, f"at position {index} (counted from 0)", field="id").error(
                problem="the name cannot be part of a chat id",
                hint="use 1 to 200 of A-Z a-z 0-9 _ . - with neither . nor - first or last, and no ..",
            )
        place = Place(file, conversation.name)
        if conversation.name in names:
            raise place.error(problem="the name is used twice", hint="give each conversation its own id")
        names.add(conversation.name)
        _check_messages(conversation, place)
        yield conversation


def _check_messages(conversation: Conversation, place: Place) -> None:
    open_calls: Counter[str] = Counter()
    user_has_spoken = False
    for index, message in enumerate(conversation.messages):
        here = place.at_message(index)
        _check_unicode(message, here)
        if message.role == "user":
            user_has_spoken = True
            open_calls.clear()  # a turn ends with its calls: a result that comes later belongs to none
        _check_role(message, here, user_has_spoken=user_has_spoken)
        open_calls.update(call.call_id for call in message.tool_calls)
        if message.result is not None:
            _check_result(message.result, here, open_calls)


def _check_role(message: RecordedMessage, here: Place, *, user_has_spoken: bool) -> None:
    if message.tool_calls and message.role != "assistant":
        raise here.at_field("tool_calls").error(
            problem=f"tool calls by the role {message.role} are not supported by the runtime yet",
            hint="leave the conversation out",
        )
    if message.role == "system" and user_has_spoken:
        raise here.at_field("role").error(
            problem="a system message after a user message is not supported by the runtime yet",
            hint="move it to the start, or leave the conversation out",
        )
    if message.role == "user" and message.text is None:
        raise here.at_field("content").error(
            problem="expected the text of a user message, found null or nothing",
            hint="give it a text, or leave the message out",
        )


def _check_result(result: RecordedToolResult, here: Place, open_calls: Counter[str]) -> None:
    # Counted, not remembered: one id may stand for several calls, and each of them has its own result.
    if not open_calls[result.call_id]:
        raise here.error(
            problem="a tool result without an open call of that id in the same turn",
            hint="put the call before its result, once for each, or leave the result out",
        )
    open_calls[result.call_id] -= 1


def _check_unicode(message: RecordedMessage, here: Place) -> None:
    for field, text in _texts(message):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:  # not chained: it carries the whole text
            raise here.at_field(field).error(
                problem=f"half of a surrogate pair at character {error.start}, which the runtime refuses",
                hint="write the whole character, or U+FFFD in its place",
            ) from None


def _texts(message: RecordedMessage) -> Iterator[tuple[str, str]]:
    yield "content", message.text or ""
    yield "thinking", message.thinking or ""
    for index, call in enumerate(message.tool_calls):
        yield f"tool_calls[{index}].id", call.call_id
        yield f"tool_calls[{index}].name", call.name
        yield f"tool_calls[{index}].arguments", call.arguments
    if message.result is not None:
        yield "id of the answered call", message.result.call_id
        yield "name of the answered call", message.result.name
        yield "content", message.result.content
