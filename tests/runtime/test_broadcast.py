"""Publishing never waits; text is written once and shown once to each; who falls behind is cut, and nobody else is."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.core.draft import Segment, TextKey
from actors.core.events import Event, SessionCreated
from actors.core.ids import ChatId
from actors.core.stream import Item, ProgressSignal, TextSignal
from actors.runtime.broadcast import Broadcast, Outbox

CHAT = ChatId("live:a")
ROOMY = 1 << 30
EVENT_BYTES = 200
KEY: TextKey = (1, 1, 0, 0)


def event(seq: int) -> Event:
    """Make an event that can be told from others."""
    return Event(CHAT, seq, 1, 0.0, SessionCreated())


def signal(value: str = "x") -> ProgressSignal:
    """Make a signal whose size is that of its value."""
    return ProgressSignal(CHAT, 1, "typing", value)


def segment_at(offset: int = 0, key: TextKey = KEY) -> Segment:
    """Begin a segment of a part."""
    return Segment(key, "text", offset)


def subscriber(broadcast: Broadcast, items_max: int = 100, bytes_max: int = ROOMY, last_seq: int = 0) -> Outbox:
    """Attach a subscriber with these bounds."""
    box = Outbox(CHAT, last_seq, items_max, bytes_max)
    broadcast.attach(box)
    return box


def say(broadcast: Broadcast, segment: Segment, text: str) -> list[Outbox]:
    """Say a piece of text as a turn does: once into the segment, then to everybody."""
    segment.append(text)
    return broadcast.said(segment, len(text))


def drain(box: Outbox, broadcast: Broadcast) -> list[Item]:
    """Take everything a subscriber has not read."""
    items: list[Item] = []
    while (item := box.take(broadcast)) is not None:
        items.append(item)
    return items


def told(items: list[Item]) -> list[int | str | tuple[int, str]]:
    """Say in short what was read: the number of an event, the value of a signal, the offset and text of a text."""
    short: list[int | str | tuple[int, str]] = []
    for item in items:
        match item:
            case Event():
                short.append(item.seq)
            case TextSignal():
                short.append((item.offset, item.text))
            case ProgressSignal():
                short.append(item.value)
            case _:
                pytest.fail(f"an outbox gave {item}")
    return short


def test_events_text_and_signals_come_in_the_order_in_which_they_were_published() -> None:
    """One total order for each session, whatever the kinds of items."""
    broadcast = Broadcast()
    box = subscriber(broadcast)
    first, second = segment_at(), segment_at(2)
    assert broadcast.events((event(1), event(2))) == []
    assert say(broadcast, first, "ab") == []
    assert broadcast.progress(signal("typing")) == []
    assert say(broadcast, second, "cd") == []
    assert broadcast.events((event(3),)) == []
    assert told(drain(box, broadcast)) == [1, 2, (0, "ab"), "typing", (2, "cd"), 3]
    assert box.take(broadcast) is None


def test_pieces_that_were_not_read_yet_are_joined_into_one_signal() -> None:
    """A reader that is slow gets fewer and longer texts, and every character once."""
    broadcast = Broadcast()
    box = subscriber(broadcast)
    segment = segment_at(7, (3, 2, 1, 4))
    for piece in ("Guten ", "", "Tag, ", "世界"):
        assert say(broadcast, segment, piece) == []
    assert drain(box, broadcast) == [TextSignal(CHAT, 3, 2, 1, 4, "text", 7, "Guten Tag, 世界")]


def test_the_last_mark_means_what_is_said_until_it_is_read() -> None:
    """Text said after the mark was left is in it, although nothing was put into the outbox for it."""
    broadcast = Broadcast()
    box = subscriber(broadcast)
    segment = segment_at()
    say(broadcast, segment, "a")
    segment.append("b")
    assert told(drain(box, broadcast)) == [(0, "ab")]


def test_a_mark_that_something_follows_ends_where_the_segment_ended_then() -> None:
    """What is said after an item is shown after it, also if the segment went on."""
    broadcast = Broadcast()
    box = subscriber(broadcast)
    segment = segment_at()
    say(broadcast, segment, "ab")
    broadcast.progress(signal("typing"))
    say(broadcast, segment, "cd")
    assert told(drain(box, broadcast)) == [(0, "ab"), "typing", (2, "cd")]


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_offsets_are_contiguous_however_often_a_reader_reads(every: int) -> None:
    """The texts of a part, put together, are the part, without a hole or a repetition."""
    broadcast = Broadcast()
    box = subscriber(broadcast)
    segment, pieces = segment_at(), [f"<{number}>" for number in range(40)]
    read = list[Item]()
    for number, piece in enumerate(pieces):
        say(broadcast, segment, piece)
        if number % every == 0:
            read += drain(box, broadcast)
        if number % 5 == 4:  # a checkpoint: the part goes on in a new segment
            broadcast.events((event(number),))
            segment = segment_at(segment.offset + segment.length)
    read += drain(box, broadcast)
    texts = [item for item in read if isinstance(item, TextSignal)]
    assert "".join(text.text for text in texts) == "".join(pieces)
    whole = 0
    for text in texts:
        assert text.offset == whole
        whole += len(text.text)
    assert [item.seq for item in read if isinstance(item, Event)] == list(range(4, 40, 5))


def test_a_subscriber_that_comes_mid_segment_sees_what_is_said_from_then_on() -> None:
    """What was said before it came is in its snapshot, so its first offset is where that ends."""
    broadcast = Broadcast()
    early = subscriber(broadcast)
    segment = segment_at(10)
    say(broadcast, segment, "abc")
    late = subscriber(broadcast)
    assert late.take(broadcast) is None
    say(broadcast, segment, "de")
    say(broadcast, segment, "f")
    assert told(drain(late, broadcast)) == [(13, "def")]
    assert told(drain(early, broadcast)) == [(10, "abcdef")]


def test_only_those_without_a_mark_in_the_segment_are_hungry() -> None:
    """A piece of text costs nothing for readers that have not caught up."""
    broadcast = Broadcast()
    quick, slow = subscriber(broadcast), subscriber(broadcast)
    segment = segment_at()
    assert broadcast.hungry == [quick, slow]
    say(broadcast, segment, "a")
    assert broadcast.hungry == []
    assert told(drain(quick, broadcast)) == [(0, "a")]
    assert broadcast.hungry == [quick]
    say(broadcast, segment, "b")
    assert broadcast.hungry == []
    assert told(drain(quick, broadcast)) == [(1, "b")]
    assert told(drain(slow, broadcast)) == [(0, "ab")]
    assert broadcast.hungry == [quick, slow]


def test_a_mark_that_was_closed_makes_its_reader_hungry_no_second_time() -> None:
    """Whoever reads an old mark has a newer item behind it already."""
    broadcast = Broadcast()
    box = subscriber(broadcast)
    first, second = segment_at(), segment_at(1)
    say(broadcast, first, "a")
    say(broadcast, second, "b")
    assert isinstance(box.take(broadcast), TextSignal)
    assert broadcast.hungry == []
    say(broadcast, second, "c")
    assert told(drain(box, broadcast)) == [(1, "bc")]
    assert broadcast.hungry == [box]


def test_a_reader_with_too_many_items_is_cut_and_keeps_its_place() -> None:
    """It is told to resume after the last event it read, and holds no memory any more."""
    broadcast = Broadcast()
    box = subscriber(broadcast, items_max=2, last_seq=4)
    assert broadcast.events((event(5),)) == []
    assert told(drain(box, broadcast)) == [5]
    assert broadcast.events((event(6), event(7))) == []
    assert broadcast.events((event(8), event(9))) == [box]
    assert (box.cut, box.closed, box.last_seq) == (True, False, 5)
    assert box.take(broadcast) is None
    assert (len(broadcast), broadcast.hungry, broadcast.lagged) == (0, [], 1)
    assert broadcast.events((event(10),)) == []


def test_a_reader_with_too_many_bytes_is_cut_by_what_comes_next() -> None:
    """The bound itself still fits; one more is too much."""
    broadcast = Broadcast()
    box = subscriber(broadcast, bytes_max=2 * EVENT_BYTES)
    assert broadcast.events((event(1),)) == []
    assert broadcast.progress(signal("x" * EVENT_BYTES)) == []
    assert broadcast.progress(signal("y")) == [box]
    assert box.cut


def test_what_was_read_makes_room_for_as_much_again() -> None:
    """Every kind of item gives back what it was counted as, however often."""
    broadcast = Broadcast()
    box = subscriber(broadcast, bytes_max=EVENT_BYTES + 20)
    segment = segment_at()
    for number in range(1, 50):
        assert say(broadcast, segment, "x" * 10) == []
        assert broadcast.progress(signal("y" * 10)) == []
        assert broadcast.events((event(number),)) == []
        assert len(drain(box, broadcast)) == 3
    assert box.last_seq == 49
    assert broadcast.progress(signal("y" * (EVENT_BYTES + 20))) == []


def test_text_counts_for_a_reader_once_something_follows_it() -> None:
    """An open mark holds nothing of its own; a closed one is what the reader holds back."""
    broadcast = Broadcast()
    box = subscriber(broadcast, bytes_max=100)
    segment = segment_at()
    assert say(broadcast, segment, "x" * 5000) == []
    assert say(broadcast, segment, "x" * 5000) == []
    assert broadcast.progress(signal("")) == [box]


@pytest.mark.parametrize("bounds", [(1, ROOMY), (100, 5)])
def test_a_mark_can_cut_a_reader_too(bounds: tuple[int, int]) -> None:
    """A new segment is an item, and closes the text before it."""
    broadcast = Broadcast()
    slow, quick = subscriber(broadcast, *bounds), subscriber(broadcast)
    assert say(broadcast, segment_at(), "x" * 6) == []
    assert say(broadcast, segment_at(6), "y") == [slow]
    assert slow.cut
    assert len(broadcast) == broadcast.lagged == 1
    assert told(drain(quick, broadcast)) == [(0, "xxxxxx"), (6, "y")]


def test_cutting_one_reader_takes_nothing_from_the_others() -> None:
    """A slow reader is a matter of its own."""
    broadcast = Broadcast()
    boxes = [subscriber(broadcast, items_max=bound) for bound in (10, 1, 10, 1)]
    assert broadcast.events((event(1), event(2), event(3))) == [boxes[1], boxes[3]]
    assert [box.cut for box in boxes] == [False, True, False, True]
    assert broadcast.lagged == 2
    for box in (boxes[0], boxes[2]):
        assert told(drain(box, broadcast)) == [1, 2, 3]


def test_a_subscriber_that_was_detached_gets_nothing_more() -> None:
    """Detaching is safe twice, and for one that never was there."""
    broadcast = Broadcast()
    gone, stays = subscriber(broadcast), subscriber(broadcast)
    broadcast.detach(gone)
    broadcast.detach(gone)
    broadcast.detach(Outbox(CHAT, 0, 1, 1))
    assert (len(broadcast), broadcast.hungry) == (1, [stays])
    say(broadcast, segment_at(), "a")
    broadcast.events((event(1),))
    assert drain(gone, broadcast) == []
    assert told(drain(stays, broadcast)) == [(0, "a"), 1]
    assert not gone.cut


def test_closing_lets_everybody_read_what_is_left() -> None:
    """A session that ends takes nothing back."""
    broadcast = Broadcast()
    boxes = [subscriber(broadcast) for _ in range(3)]
    broadcast.events((event(1),))
    say(broadcast, segment_at(), "a")
    broadcast.close()
    assert (broadcast.closed, len(broadcast), broadcast.hungry) == (True, 0, [])
    for box in boxes:
        assert (box.closed, box.cut) == (True, False)
        assert told(drain(box, broadcast)) == [1, (0, "a")]


def test_a_subscriber_that_comes_after_the_close_is_closed_at_once() -> None:
    """Nobody waits for a session that has ended."""
    broadcast = Broadcast()
    broadcast.close()
    box = subscriber(broadcast)
    assert box.closed
    assert len(broadcast) == 0


def test_many_subscribers_see_the_same_however_each_reads() -> None:
    """The same characters, events and signals in the same order, with other cuts between the texts."""
    broadcast = Broadcast()
    boxes = [subscriber(broadcast) for _ in range(20)]
    read: list[list[Item]] = [[] for _ in boxes]
    segment = segment_at()
    for step in range(60):
        say(broadcast, segment, f"[{step}]")
        if step % 4 == 3:
            broadcast.progress(signal(f"{step}"))
        if step % 6 == 5:
            broadcast.events((event(step),))
            segment = segment_at(segment.offset + segment.length)
        for number, box in enumerate(boxes):
            if step % (number + 1) == 0:
                read[number] += drain(box, broadcast)
    stories = set[str]()
    for box, items in zip(boxes, read, strict=True):
        items.extend(drain(box, broadcast))
        stories.add("".join(item[1] if isinstance(item, tuple) else f"({item})" for item in told(items)))
    assert len(stories) == 1
    assert broadcast.lagged == 0


def test_publishing_to_nobody_costs_and_keeps_nothing() -> None:
    """A session without readers publishes all the same."""
    broadcast = Broadcast()
    assert say(broadcast, segment_at(), "a") == []
    assert broadcast.progress(signal()) == []
    assert broadcast.events((event(1),)) == []
    assert (len(broadcast), broadcast.lagged) == (0, 0)


@pytest.mark.parametrize("how", ["event", "signal", "text", "cut", "close"])
async def test_a_reader_that_waits_is_woken_by_whatever_happens(how: str, autojump_clock: MockClock) -> None:
    """An item, a cut and the end all end its waiting."""
    broadcast = Broadcast()
    box = subscriber(broadcast, bytes_max=EVENT_BYTES)
    with trio.fail_after(5.0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.wait)
            await wait_all_tasks_blocked()
            match how:
                case "event":
                    broadcast.events((event(1),))
                case "signal":
                    broadcast.progress(signal())
                case "text":
                    say(broadcast, segment_at(), "a")
                case "cut":
                    broadcast.progress(signal("x" * (EVENT_BYTES + 1)))
                case _:
                    broadcast.close()
        await box.wait()
    assert (box.cut, box.closed) == (how == "cut", how == "close")


async def test_waiting_can_be_cancelled_and_begun_again(autojump_clock: MockClock) -> None:
    """A reader that gave up is not woken any more, and one that has something to read still hears a cancellation."""
    broadcast = Broadcast()
    box = subscriber(broadcast)
    with trio.move_on_after(1.0) as scope:
        await box.wait()
    assert scope.cancelled_caught
    broadcast.events((event(1),))
    with trio.CancelScope() as stopped:
        stopped.cancel()
        await box.wait()
    assert stopped.cancelled_caught
    with trio.fail_after(1.0):
        await box.wait()
    assert told(drain(box, broadcast)) == [1]


def test_a_subscriber_that_was_detached_gets_nothing_more_though_it_reads_on() -> None:
    """What it had is still there to be read; reading it does not sign it up again."""
    broadcast, segment = Broadcast(), segment_at()
    box = subscriber(broadcast)
    say(broadcast, segment, "x")
    broadcast.detach(box)
    assert told(drain(box, broadcast)) == [(0, "x")]
    say(broadcast, segment, "y")
    assert told(drain(box, broadcast)) == []
