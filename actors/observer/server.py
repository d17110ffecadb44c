"""The door to a runtime: answers what is asked through the socket of its store, and changes nothing.

A connection asks one thing after another. Each step of it is bounded: how many there are, how long a request is, how
long it may take to come, how long an answer may take to be read. Whatever a connection does, sessions do not notice.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from actors.core.limits import Limits
from actors.errors import ActorsError
from actors.observer.lines import Lines, LineTooLongError
from actors.observer.meeting import Place
from actors.observer.wire import (
    REQUEST_BYTES_MAX,
    STREAMING,
    Fault,
    Request,
    read_request,
    write_end,
    write_fault,
    write_item,
    write_value,
)
from actors.runtime.facade import Runtime
from actors.runtime.recorder import Recorder

_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


async def observe(runtime: Runtime, store: Path, *, limits: Limits, recorder: Recorder) -> None:
    """Answer through the socket of a store until cancelled; where there can be none, say so in the log and return."""
    place = Place(store)
    try:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(place.listen()))
    except OSError as error:
        recorder.record("warning", "observer.unavailable", error=type(error).__name__)
        return
    observer = Observer(runtime, limits, recorder)
    try:
        await trio.serve_listeners(observer.serve, [listener])
    except Exception as error:  # noqa: BLE001 - the border of a server: sessions go on without being looked at
        recorder.record("warning", "observer.unavailable", error=type(error).__name__)
    finally:
        place.close()


class Observer:
    """Answers questions about one runtime."""

    def __init__(self, runtime: Runtime, limits: Limits, recorder: Recorder) -> None:
        """Look at a runtime, within its limits."""
        self._runtime = runtime
        self._limits = limits
        self._recorder = recorder
        self._connections = 0

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Answer one connection until it ends; nothing that happens on it is raised."""
        self._connections += 1
        try:
            if self._connections > self._limits.observers_max:
                fault = Fault(f"{self._limits.observers_max} are looking already", "try again later")
                await self._send(stream, write_fault(fault))
            else:
                await self._converse(stream)
        except _GONE:
            pass  # whoever looked has gone
        except Exception as error:  # noqa: BLE001 - the border of a server
            self._recorder.limited("warning", "observer.failed", type(error).__name__, error=type(error).__name__)
        finally:
            self._connections -= 1
            await trio.aclose_forcefully(stream)

    async def _converse(self, stream: trio.abc.Stream) -> None:
        """Answer one request after another."""
        lines = Lines(stream, REQUEST_BYTES_MAX)
        while True:
            with trio.move_on_after(self._limits.observer_s):
                try:
                    line = await lines.next()
                except LineTooLongError:
                    line = b"x" * (REQUEST_BYTES_MAX + 1)
                if line is None:
                    return
                request = read_request(line)
                if isinstance(request, Fault):
                    await self._send(stream, write_fault(request))
                    return  # where the next request begins cannot be known
                if request.verb not in STREAMING:
                    await self._send(stream, self._answer(request))
                    continue
                break
            return  # it took too long
        await self._stream(stream, lines, request)

    def _answer(self, request: Request) -> bytes:
        """Answer what needs one line."""
        try:
            match request.verb:
                case "tree":
                    return write_value(self._runtime.tree(sessions_max=request.count_max))
                case "statistics":
                    return write_value(self._runtime.statistics())
                case "recent":
                    return write_value(self._runtime.recent(request.chat_id, records_max=request.count_max))
                case _:
                    return write_value(self._runtime.inspect(request.chat_id))
        except ActorsError as error:
            return write_fault(_fault(error))

    async def _stream(self, stream: trio.abc.Stream, lines: Lines, request: Request) -> None:
        """Send what a session does as it does it, until it ends or whoever looks has gone."""
        show = self._follow if request.verb == "follow" else self._trace
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_gone, lines, nursery.cancel_scope)
            await show(stream, request)
            nursery.cancel_scope.cancel()

    async def _follow(self, stream: trio.abc.Stream, request: Request) -> None:
        """Send the items of a subscription, after how the session stands."""
        begun = False
        try:
            async with self._runtime.subscribe(request.chat_id, after=request.after) as items:
                await self._send(stream, write_value(self._runtime.inspect(request.chat_id)))
                begun = True
                async for item in items:
                    await self._send(stream, write_item(item))
            await self._send(stream, write_end("the session has ended"))
        except ActorsError as error:
            await self._send(stream, write_end(str(error)) if begun else write_fault(_fault(error)))

    async def _trace(self, stream: trio.abc.Stream, request: Request) -> None:
        """Send the steps of a session, after how it stands."""
        try:
            trace = self._runtime.trace(request.chat_id)
            shown = self._runtime.inspect(request.chat_id)
        except ActorsError as error:
            await self._send(stream, write_fault(_fault(error)))
            return
        async with trace as records:
            await self._send(stream, write_value(shown))
            async for record in records:
                await self._send(stream, write_item(record))

    async def _send(self, stream: trio.abc.Stream, line: bytes) -> None:
        """Send a line; whoever does not take it in time is cut."""
        with trio.move_on_after(self._limits.observer_s):
            await stream.send_all(line)
            return
        raise trio.BrokenResourceError


async def _until_gone(lines: Lines, scope: trio.CancelScope) -> None:
    """End a stream when its reader has gone, or says anything: there is nothing to be said meanwhile."""
    with suppress(*_GONE, LineTooLongError):
        await lines.next()
    scope.cancel()


def _fault(error: ActorsError) -> Fault:
    """Say an error of the package in the words of the wire."""
    return Fault(str(error), error.hint)
