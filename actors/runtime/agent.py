"""What a host gives the runtime to run: an async function of a turn, with its policies."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Final, Literal, overload

import attrs

from actors.core.envelope import Origin
from actors.core.ids import ChatId
from actors.errors import ConfigurationError
from actors.runtime.turn import Turn

Answer = Callable[[Turn], Awaitable[str | None]]
"""Answers one turn; a text it returns is written as its last words."""

Overlap = Literal["queue", "reject"]
OnInterrupted = Literal["mark", "retry"]

_OVERLAPS: Final = ("queue", "reject")
_ON_INTERRUPTED: Final = ("mark", "retry")


@attrs.define
class Session:
    """What a receive handler sees of its session: its id, and memory that lives as long as the incarnation.

    ``origin`` is that of the message being handled.
    """

    chat_id: ChatId
    incarnation: int
    memory: dict[str, object] = attrs.Factory(dict)
    origin: Origin | None = None


Receive = Callable[[Session, object], Awaitable[object]]
"""Handles one volatile message and returns the reply."""


@attrs.frozen
class Agent:
    """An agent and its policies; made by ``agent``."""

    answer: Answer
    overlap: Overlap = "queue"
    on_interrupted: OnInterrupted = "mark"
    receive: Receive | None = None
    attempts_max: int | None = None


@overload
def agent(
    answer: Answer,
    /,
    *,
    overlap: Overlap = ...,
    on_interrupted: OnInterrupted = ...,
    receive: Receive | None = ...,
    attempts_max: int | None = ...,
) -> Agent: ...
@overload
def agent(
    *,
    overlap: Overlap = ...,
    on_interrupted: OnInterrupted = ...,
    receive: Receive | None = ...,
    attempts_max: int | None = ...,
) -> Callable[[Answer], Agent]: ...
def agent(
    answer: Answer | None = None,
    /,
    *,
    overlap: Overlap = "queue",
    on_interrupted: OnInterrupted = "mark",
    receive: Receive | None = None,
    attempts_max: int | None = None,
) -> Agent | Callable[[Answer], Agent]:
    """Give an async function of a turn its policies; usable as a decorator.

    ``overlap`` says what becomes of a message that finds a turn running: ``queue`` it or ``reject`` it.
    ``on_interrupted`` says what becomes of a turn whose process ended: ``mark`` it as interrupted, or ``retry`` it from
    the start, at most ``attempts_max`` attempts in all (None: the limit of the runtime). ``receive`` handles volatile
    messages (``tell`` and ``ask``), one at a time, also while a turn runs.

    Raises ConfigurationError for anything else.
    """
    if overlap not in _OVERLAPS:
        message = f"overlap is {overlap!r}"
        raise ConfigurationError(message, hint=f"give one of {', '.join(_OVERLAPS)}")
    if on_interrupted not in _ON_INTERRUPTED:
        message = f"on_interrupted is {on_interrupted!r}"
        raise ConfigurationError(message, hint=f"give one of {', '.join(_ON_INTERRUPTED)}")
    if attempts_max is not None and (type(attempts_max) is not int or attempts_max < 1):
        message = f"attempts_max is {attempts_max!r}"
        raise ConfigurationError(message, hint="give a whole number from 1")
    if receive is not None:
        _check_async(receive, "receive")

    def make(function: Answer) -> Agent:
        _check_async(function, "agent")
        return Agent(function, overlap, on_interrupted, receive, attempts_max)

    return make if answer is None else make(answer)


def _check_async(function: object, field: str) -> None:
    """Refuse what cannot be awaited: a plain function would block every session."""
    target = function if inspect.isroutine(function) else getattr(function, "__call__", None)  # noqa: B004 - to look
    if not inspect.iscoroutinefunction(target) and not inspect.iscoroutinefunction(getattr(function, "func", None)):
        kind = "an async generator" if inspect.isasyncgenfunction(target) else type(function).__name__
        message = f"{field} is {kind}"
        raise ConfigurationError(message, hint="give an async function: async def assistant(turn): ...")
