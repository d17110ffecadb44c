"""Lines of a byte stream, bounded: what has no end within its bound is no line."""

import trio

_RECEIVE_BYTES = 65_536


class LineTooLongError(Exception):
    """The other side sent more than a line may have."""


class Lines:
    """Reads lines from a stream."""

    def __init__(self, stream: trio.abc.ReceiveStream, bytes_max: int) -> None:
        """Bound one line in bytes."""
        self._stream = stream
        self._bytes_max = bytes_max
        self._held = bytearray()

    async def next(self) -> bytes | None:
        """Return the next line without its end, or None if there is none; what has no end is not a line.

        Raises LineTooLongError, and trio.BrokenResourceError if the connection breaks.
        """
        looked = 0
        while True:
            end = self._held.find(b"\n", looked)
            if end >= 0:
                line = bytes(self._held[:end])
                del self._held[: end + 1]
                if end > self._bytes_max:
                    raise LineTooLongError
                await trio.lowlevel.checkpoint_if_cancelled()
                return line
            looked = len(self._held)
            if looked > self._bytes_max:
                raise LineTooLongError
            received = await self._stream.receive_some(_RECEIVE_BYTES)
            if not received:
                return None
            self._held += received
