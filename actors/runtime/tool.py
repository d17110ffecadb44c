"""A tool call of a turn: on disk before the tool runs, and ended once."""

import inspect
import json
from collections.abc import Awaitable, Callable

import attrs

from actors.core.envelope import clean_text
from actors.core.ids import ChatId
from actors.errors import TurnOverError

ToolFunction = Callable[[], Awaitable[object]] | Callable[[], object]
"""A tool: async, or plain and then run in a thread."""

End = Callable[[int, str, bool], Awaitable["ToolOutcome"]]
Offload = Callable[[Callable[[], object]], Awaitable[object]]


@attrs.frozen
class ToolOutcome:
    """What came of a tool call: its text for the model, and whether it is an error."""

    content: str
    ok: bool = True


class ToolCall:
    """A tool call that is on disk and waits for its one outcome."""

    def __init__(self, chat_id: ChatId, number: int, name: str, *, end: End, offload: Offload) -> None:
        """Belong to a turn, which writes the outcome and has the threads for plain functions."""
        self._chat_id = chat_id
        self._end = end
        self._offload = offload
        self._open = True
        self.number = number
        self.name = name

    async def end(self, content: str, *, ok: bool = True) -> ToolOutcome:
        """Give the call its outcome and wait until it is on disk.

        Raises TurnOverError if the call has its outcome already or the turn has ended. Content that is not storable as
        UTF-8 is cleaned; content beyond the limit ``message_bytes_max`` is left out, and the outcome is an error that
        says so.
        """
        if not self._open:
            message = f"tool call {self.number} ({self.name}) has its outcome already"
            raise TurnOverError(message, chat_id=self._chat_id)
        self._open = False
        return await self._end(self.number, clean_text(content), ok)

    async def run(self, function: ToolFunction) -> ToolOutcome:
        """Run a function as the tool: what it returns is the outcome, an exception is an error outcome.

        A plain function runs in a thread, see ``Turn.offload``; what it returns is awaited if it can be. A result that
        is not text becomes JSON. The name of the exception is the outcome's content; its text is not, since it may hold
        what the model must not see.
        """
        try:
            made = function() if inspect.iscoroutinefunction(function) else await self._offload(function)
            result = await made if inspect.isawaitable(made) else made
            content = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        except Exception as error:  # noqa: BLE001 - a tool's failure is an outcome, not the turn's
            return await self.end(f"{type(error).__name__}", ok=False)
        return await self.end(content)
