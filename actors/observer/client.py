"""The side of who looks: asks a runtime through the socket of its store."""

from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trio

from actors.errors import ActorsError, StoreUnavailableError
from actors.observer.lines import Lines, LineTooLongError
from actors.observer.meeting import connect
from actors.observer.wire import Answer, Item, Request, read_answer, read_item, write_request

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""One answer; a session's snapshot may hold thousands of messages."""

ANSWER_S: Final = 10.0


class Client:
    """A connection to a runtime; made by ``look``."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        """Talk through a stream."""
        self._stream = stream
        self._lines = Lines(stream, ANSWER_BYTES_MAX)

    async def __aenter__(self) -> Self:
        """Use it."""
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await trio.aclose_forcefully(self._stream)

    async def ask(self, request: Request) -> Answer:
        """Ask, and return the first line of the answer. Raises StoreUnavailableError if there is none in time."""
        with trio.move_on_after(ANSWER_S):
            try:
                await self._stream.send_all(write_request(request))
                line = await self._lines.next()
                if line is not None:
                    return read_answer(line)
            except (trio.BrokenResourceError, LineTooLongError, ValueError) as error:
                raise _unanswered() from error
        raise _unanswered()

    async def item(self) -> Item | None:
        """Return the next item of a stream, or None when the runtime has gone."""
        try:
            line = await self._lines.next()
            return None if line is None else read_item(line)
        except (trio.BrokenResourceError, LineTooLongError, ValueError):
            return None


async def look(store: Path) -> Client | None:
    """Connect to the runtime that owns a store; None if nobody lets itself be looked at there.

    Raises StoreUnavailableError if that cannot be told: it may be somebody else's.
    """
    try:
        found = await trio.to_thread.run_sync(connect, store, ANSWER_S)
    except OSError as error:
        message = f"the owner of the store cannot be reached: {error.strerror or error}"
        raise StoreUnavailableError(message, hint="look as the user who runs it") from error
    return None if found is None else Client(trio.SocketStream(trio.socket.from_stdlib_socket(found)))


def _unanswered() -> ActorsError:
    """Say that the owner of a store does not answer."""
    message = "the owner of the store does not answer"
    return StoreUnavailableError(message, hint="its loop may be blocked; try again")
