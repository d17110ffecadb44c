"""Lines are found wherever the pieces of a stream end, and one without an end is not waited for for ever."""

import pytest
import trio
from trio.testing import MemoryReceiveStream

from actors.observer.lines import Lines, LineTooLongError


def stream_of(*pieces: bytes) -> MemoryReceiveStream:
    """Make a stream that gives these pieces and ends."""
    stream = MemoryReceiveStream()
    for piece in pieces:
        stream.put_data(piece)
    stream.put_eof()
    return stream


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
async def test_lines_come_whole_whatever_the_pieces(size: int) -> None:
    """Empty ones too; what has no end when the stream ends is no line."""
    data = b"one\n\nthree\nleft"
    send, receive = trio.testing.memory_stream_one_way_pair()
    found = []
    async with trio.open_nursery() as nursery:

        async def feed() -> None:
            for start in range(0, len(data), size):
                await send.send_all(data[start : start + size])
            await send.aclose()

        nursery.start_soon(feed)
        lines = Lines(receive, 100)
        while (line := await lines.next()) is not None:
            found.append(line)
    assert found == [b"one", b"", b"three"]


@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_a_line_beyond_its_bound_is_refused(end: bytes) -> None:
    """Whether it has an end or not: it is not held to find out."""
    lines = Lines(stream_of(b"x" * 101 + end), 100)
    with pytest.raises(LineTooLongError):
        await lines.next()


async def test_a_line_of_exactly_its_bound_is_read() -> None:
    """The bound is what is allowed."""
    assert await Lines(stream_of(b"x" * 100 + b"\n"), 100).next() == b"x" * 100
