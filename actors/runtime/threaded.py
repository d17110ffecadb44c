"""A turn as a plain function sees it, in a thread of its own: the same verbs, as calls that block that thread alone.

Each call goes to the loop and comes back. One that is made after the turn was cancelled raises ``trio.Cancelled``, or
``TurnOverError`` if the turn has ended: the function should let it pass.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar

import trio

from actors.core.transcript import Message
from actors.runtime.tool import ToolOutcome
from actors.runtime.turn import Turn

T = TypeVar("T")

ThreadAnswer = Callable[["ThreadTurn"], str | None]
"""Answers one turn in a thread; a text it returns is written as its last words."""


class ThreadTurn:
    """One turn, for an agent that is a plain function; good until the function returns."""

    __slots__ = ("_turn", "attempt", "chat_id", "number", "sender", "text")

    def __init__(self, turn: Turn) -> None:
        """Stand for a turn in another thread."""
        self._turn = turn
        self.chat_id = turn.chat_id
        self.number = turn.number
        self.attempt = turn.attempt
        self.text = turn.text
        self.sender = turn.sender

    @property
    def history(self) -> Sequence[Message]:
        """Every message of ended turns before, and this turn's own, as they are now."""
        return _sync(lambda: tuple(self._turn.history))

    @property
    def state(self) -> object:
        """The agent's own state of this session, a JSON value; what is assigned is kept if the turn completes."""
        return _sync(lambda: self._turn.state)

    @state.setter
    def state(self, value: object) -> None:
        def assign() -> None:
            self._turn.state = value

        _sync(assign)

    def write(self, text: str) -> None:
        """Answer with a piece of text; see ``Turn.write``."""
        _run(self._turn.write, text)

    def think(self, text: str) -> None:
        """Show a piece of thinking; see ``Turn.think``."""
        _run(self._turn.think, text)

    def progress(self, name: str, value: str = "") -> None:
        """Show something that is not kept; see ``Turn.progress``."""
        _run(self._turn.progress, name, value)

    def tool(
        self, name: str, function: Callable[[], object], arguments: object = None, *, call_id: str = ""
    ) -> ToolOutcome:
        """Put a tool call on disk, run ``function`` in this thread, and write its outcome; see ``Turn.tool``."""

        async def begin() -> Callable[[str, bool], Awaitable[ToolOutcome]]:
            call = await self._turn.call(name, arguments, call_id=call_id)
            return lambda content, ok: call.end(content, ok=ok)

        end = _run(begin)
        try:
            result = function()
            content = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        except Exception as error:  # noqa: BLE001 - a tool's failure is an outcome, not the turn's
            return _run(end, type(error).__name__, False)  # noqa: FBT003 - the call's own part
        return _run(end, content, True)  # noqa: FBT003 - as above

    def ask(
        self,
        question: str,
        *,
        kind: Literal["permission", "choice", "text"] = "text",
        choices: Sequence[str] = (),
    ) -> str:
        """Ask a person and wait for the answer; see ``Turn.ask``."""

        async def ask() -> str:
            return await self._turn.ask(question, kind=kind, choices=choices)

        return _run(ask)


def answer_in_thread(function: ThreadAnswer) -> Callable[[Turn], Awaitable[str | None]]:
    """Make an agent of a plain function: each of its turns runs in a thread."""

    async def answer(turn: Turn) -> str | None:
        return await turn.workers.run_in_thread(function, ThreadTurn(turn))

    return answer


def _run(function: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """Call an async function on the loop, unless the turn was cancelled."""
    trio.from_thread.check_cancelled()
    return trio.from_thread.run(function, *arguments)


def _sync(function: Callable[[], T]) -> T:
    """Call a function on the loop, unless the turn was cancelled."""
    trio.from_thread.check_cancelled()
    return trio.from_thread.run_sync(function)
