"""The formats of the tau-bench and tau2-bench benchmarks.

tau-bench (github.com/sierra-research/tau-bench, ``historical_trajectories/``) is a list of trajectories made
of OpenAI chat messages, without times. tau2-bench (github.com/sierra-research/tau2-bench) is an object whose
``simulations`` hold messages of its own form, some with times; ``raw_data``, the provider's copy, is left.
Here a file becomes values, and a value of a wrong type an error; what the values may say is for the reader.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import attrs
import msgspec

from actors.recordings.model import (
    Conversation,
    Place,
    RecordedMessage,
    RecordedToolCall,
    RecordedToolResult,
    Role,
    is_conversation_name,
)

_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",  # OpenAI's newer word for it
    "user": "user",
    "assistant": "assistant",
    "model": "assistant",  # Google's word for it
    "tool": "tool",
}

_Arguments = str | dict[str, Any] | None
_Decoded = TypeVar("_Decoded")


class _Function(msgspec.Struct):
    name: str
    arguments: _Arguments = None


class _TauCall(msgspec.Struct):
    id: str
    function: _Function


class _TauMessage(msgspec.Struct):
    role: str
    content: str | None = None
    tool_calls: list[_TauCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class _TauTrajectory(msgspec.Struct):
    traj: list[Any]


class _Tau2Call(msgspec.Struct):
    id: str
    name: str
    arguments: _Arguments = None


class _Tau2Message(msgspec.Struct):
    role: str
    content: str | None = None
    tool_calls: list[_Tau2Call] | None = None
    id: str | None = None
    timestamp: str | None = None


class _Tau2Simulation(msgspec.Struct):
    id: str
    messages: list[Any]


class _Tau2File(msgspec.Struct):
    simulations: list[Any]


@attrs.frozen
class _Spoken:
    """What the messages of both formats have in common; ``answered`` is the id of the call a tool answers."""

    role: Role
    content: str | None
    calls: tuple[RecordedToolCall, ...]
    answered: str | None
    tool_name: str | None = None
    at_s: float | None = None


@attrs.define
class _Clock:
    """The time within one conversation.

    A wall clock that went back stands still here: a replay waits for differences, never less than zero.
    """

    _first: datetime | None = None
    _latest_s: float = 0.0

    def at_s(self, timestamp: str | None, place: Place) -> float | None:
        if timestamp is None:
            return None
        try:
            moment = datetime.fromisoformat(timestamp)
        except ValueError:  # not chained: it quotes the string
            raise place.at_field("timestamp").error(
                problem="expected a time in ISO 8601, found a string that is none",
                hint="write it as 2026-01-31T12:00:00, or as null",
            ) from None
        if moment.tzinfo is None:  # the benchmark writes no zone; for differences any will do
            moment = moment.replace(tzinfo=UTC)
        if self._first is None:
            self._first = moment
        self._latest_s = max(self._latest_s, (moment - self._first).total_seconds())
        return self._latest_s


def recognise_tau_bench(value: object) -> bool:
    """Say whether a decoded JSON value looks like a tau-bench file: a list with a trajectory in it."""
    return isinstance(value, list) and any(isinstance(item, dict) and "traj" in item for item in value)


def recognise_tau2_bench(value: object) -> bool:
    """Say whether a decoded JSON value looks like a tau2-bench file: an object with simulations."""
    return isinstance(value, dict) and "simulations" in value


def parse_tau_bench(value: object, file: str) -> Iterator[Conversation]:
    """Yield the conversations of a decoded tau-bench file, each named by its index in the file.

    ``file`` is what errors call the file. Raises RecordingError at the first value of a wrong type.
    """
    for index, item in enumerate(_convert(value, list[Any], Place(file))):
        place = Place(file, str(index))
        trajectory = _convert(item, _TauTrajectory, place)
        spoken = (_tau_message(raw, place.at_message(at)) for at, raw in enumerate(trajectory.traj))
        yield Conversation.from_messages(str(index), _recorded(spoken, place))


def parse_tau2_bench(value: object, file: str) -> Iterator[Conversation]:
    """Yield the conversations of a decoded tau2-bench file, each named by the ``id`` of its simulation.

    ``file`` is what errors call the file. Raises RecordingError at the first value of a wrong type.
    """
    for index, item in enumerate(_convert(value, _Tau2File, Place(file)).simulations):
        place = Place(file, f"at position {index} (counted from 0)")
        simulation = _convert(item, _Tau2Simulation, place)
        if is_conversation_name(simulation.id):
            place = Place(file, simulation.id)
        yield Conversation.from_messages(simulation.id, _recorded(_tau2_messages(simulation, place), place))


def _tau_message(raw: object, place: Place) -> _Spoken:
    message = _convert(raw, _TauMessage, place)
    return _Spoken(
        role=_role(message.role, place),
        content=message.content,
        calls=tuple(
            RecordedToolCall(call.id, call.function.name, _arguments(call.function.arguments))
            for call in message.tool_calls or ()
        ),
        answered=message.tool_call_id,
        tool_name=message.name,
    )


def _tau2_messages(simulation: _Tau2Simulation, place: Place) -> Iterator[_Spoken]:
    clock = _Clock()
    for index, raw in enumerate(simulation.messages):
        here = place.at_message(index)
        message = _convert(raw, _Tau2Message, here)
        yield _Spoken(
            role=_role(message.role, here),
            content=message.content,
            calls=tuple(
                RecordedToolCall(call.id, call.name, _arguments(call.arguments)) for call in message.tool_calls or ()
            ),
            answered=message.id,
            at_s=clock.at_s(message.timestamp, here),
        )


def _recorded(spoken: Iterable[_Spoken], place: Place) -> Iterator[RecordedMessage]:
    names: dict[str, str] = {}  # of tools, by the id of their latest call: tau2 results do not say it again
    for index, message in enumerate(spoken):
        result = None
        if message.role == "tool":
            if message.answered is None:
                raise place.at_message(index).error(
                    problem="expected the id of the tool call that is answered, found null or nothing",
                    hint="give every tool message the id of its call",
                )
            name = names.get(message.answered, "") if message.tool_name is None else message.tool_name
            result = RecordedToolResult(message.answered, name, message.content or "")
        names.update((call.call_id, call.name) for call in message.calls)
        yield RecordedMessage(
            role=message.role,
            text=None if result else message.content,
            tool_calls=message.calls,
            result=result,
            at_s=message.at_s,
        )


def _arguments(value: _Arguments) -> str:
    if value is None:
        return "{}"
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _role(word: str, place: Place) -> Role:
    role = _ROLES.get(word)
    if role is None:  # the word is not shown: in a damaged file anything may stand here
        raise place.at_field("role").error(
            problem="expected a role, found a string that is none",
            hint="use system, user, assistant or tool",
        )
    return role


def _convert(value: object, kind: type[_Decoded], place: Place) -> _Decoded:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        # "Expected `str`, got `int` - at `$.tool_calls[0].id`": kinds and our own names, never a value.
        problem, _, path = str(error).partition(" - at `")
        field = path.rstrip("`").removeprefix("$").removeprefix(".")
        raise place.at_field(field).error(
            problem=problem, hint="correct the recording, or leave the conversation out"
        ) from error
