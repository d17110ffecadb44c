"""What a full box does with a message of a kind, and what a handler sets aside; the sums are closed at every step."""

import random
from typing import get_args

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.core.envelope import Envelope, Stamp
from actors.core.ids import ChatId, DropReason
from actors.core.overflow import Kind, Overflow
from actors.runtime.mailbox import Budget, Latest, Letter, Mailbox, Reply, Request

CHAT = ChatId("live:a")
ROOMY = 1 << 30
KINDS = {overflow: Kind(overflow, droppable=True) for overflow in get_args(Overflow)}


def letter(payload: object, kind: Overflow | None = None, key: str = "", size_bytes: int = 1) -> Envelope:
    """Make a message of a kind that is named after its policy."""
    return Envelope(CHAT, payload, size_bytes, stamp=None if kind is None else Stamp(kind, key))


def offer(box: Mailbox, payload: object, kind: Overflow, key: str = "", size_bytes: int = 1) -> DropReason | None:
    """Offer a message of a kind."""
    made = letter(payload, kind, key, size_bytes)
    return box.offer(Latest(made) if kind == "coalesce" else made, KINDS[kind])


def box_of(messages: int = 3, size_bytes: int = ROOMY, budget: Budget | None = None, stash: int = 2) -> Mailbox:
    """Make a box with these bounds."""
    return Mailbox(messages, size_bytes, budget or Budget(ROOMY), stash)


def filled(*payloads: object, kind: Overflow | None = None) -> Mailbox:
    """Make a box that is full of these."""
    box = box_of(len(payloads))
    for payload in payloads:
        assert box.put_nowait(letter(payload, kind)) is None
    return box


def payloads(box: Mailbox) -> list[object]:
    """Show what waits in the box."""
    return [each.payload for each in box.messages]


def lost(box: Mailbox) -> list[tuple[object, DropReason]]:
    """Show what gave way."""
    return [(each.payload, reason) for each, reason in box.lost]


def check(box: Mailbox, executed: int = 0) -> None:
    """See that every letter and every byte is accounted for."""
    assert box.admitted == executed + box.dead + box.withdrawn + box.queued
    assert box.dead == len(box.lost)
    held = sum(each.size_bytes for each in (*box.messages, *box.stashed))
    assert box.bytes_held - box.bytes_taken == held
    assert {each for each in box.messages if isinstance(each, Latest)} >= set(box.latest.values())


def test_m3_droppable_kinds_lose_the_oldest_first() -> None:
    """The oldest of the kind makes room, at its cost only; whatever else waits keeps its place."""
    box = box_of(4)
    for payload, kind in (("text", None), ("typing 1", "drop_oldest"), ("note", None), ("typing 2", "drop_oldest")):
        assert box.put_nowait(letter(payload, kind)) is None  # type: ignore[arg-type]  # a literal in a tuple is a str
    assert offer(box, "typing 3", "drop_oldest") is None
    assert payloads(box) == ["text", "note", "typing 2", "typing 3"]
    assert lost(box) == [("typing 1", DropReason.DROPPED)]
    check(box)


def test_m3_a_droppable_kind_takes_no_room_from_others() -> None:
    """If nothing of its kind waits, a full box refuses it: the words of a user are never dropped for it."""
    box = filled(1, 2, 3)
    assert offer(box, "typing", "drop_oldest") is DropReason.MAILBOX_FULL
    assert payloads(box) == [1, 2, 3]
    check(box)


def test_m3_a_kind_that_drops_the_newest_leaves_the_box_as_it_is() -> None:
    """It was not admitted, and its reason says so."""
    box = filled(1, 2, 3)
    assert offer(box, "progress", "drop_newest") is DropReason.DROPPED
    assert (payloads(box), lost(box)) == ([1, 2, 3], [])
    check(box)


@pytest.mark.parametrize("kind", ["wait", "reject", "coalesce"])
def test_m3_a_kind_that_loses_nothing_is_told_that_the_box_is_full(kind: Overflow) -> None:
    """Whether to wait for room is the sender's business."""
    box = filled(1, 2, 3)
    assert offer(box, "new", kind) is DropReason.MAILBOX_FULL
    assert payloads(box) == [1, 2, 3]
    check(box)


def test_m3_coalescing_keeps_the_latest_at_the_place_of_the_older() -> None:
    """With room and without; each key by itself; what replaced it is all that is handled."""
    box = box_of(4)
    for payload, key in (("a1", "a"), ("b1", "b"), ("a2", "a")):
        assert offer(box, payload, "coalesce", key) is None
    assert box.put_nowait(letter("text")) is None
    assert offer(box, "b2", "coalesce", "b") is None
    assert offer(box, "c1", "coalesce", "c") is None
    assert offer(box, "a3", "coalesce", "a") is None, "a full box too"
    assert payloads(box) == ["a3", "b2", "text", "c1"]
    assert lost(box) == [("a1", DropReason.COALESCED), ("b1", DropReason.COALESCED), ("a2", DropReason.COALESCED)]
    check(box)
    assert box.take().payload == "a3"
    assert offer(box, "a4", "coalesce", "a") is None, "what is being handled is not replaced"
    assert payloads(box) == ["b2", "text", "c1", "a4"]
    check(box, executed=1)


@pytest.mark.parametrize(
    ("kind", "reason"), [("coalesce", DropReason.MAILBOX_FULL), ("drop_oldest", DropReason.MAILBOX_FULL)]
)
def test_what_gives_way_must_make_room_enough(kind: Overflow, reason: DropReason) -> None:
    """A larger message that does not fit is refused, and what would have made room for it stays."""
    box = box_of(3, 10_000)
    assert offer(box, "small", kind, size_bytes=1000) is None
    assert box.put_nowait(letter("text", size_bytes=8500)) is None
    assert offer(box, "fits", kind, size_bytes=1500) is None
    assert offer(box, "large", kind, size_bytes=1501) is reason
    assert sorted(map(str, payloads(box))) == ["fits", "text"]
    check(box)


def test_a_box_without_memory_drops_what_may_be_dropped_and_refuses_the_rest() -> None:
    """The budget of all boxes is one more bound: a droppable message finds room at the cost of its own kind only."""
    budget = Budget(8192)
    box, other = box_of(9, budget=budget), box_of(9, budget=budget)
    assert offer(box, 1, "drop_oldest", size_bytes=4000) is None
    assert other.put_nowait(letter("other", size_bytes=4000)) is None
    assert offer(box, 2, "drop_oldest", size_bytes=4000) is None
    assert offer(box, 3, "drop_newest", size_bytes=4000) is DropReason.DROPPED
    assert offer(box, 4, "reject", size_bytes=4000) is DropReason.MEMORY_FULL
    assert (payloads(box), payloads(other)) == ([2], ["other"])
    check(box)


@pytest.mark.parametrize("kind", get_args(Overflow))
def test_a_closed_box_takes_no_kind(kind: Overflow) -> None:
    """Its reason is told, and nothing gives way."""
    box = filled(1, 2, 3, kind=kind)
    left = box.close(DropReason.STOPPING)
    assert [each.payload for each in left] == [1, 2, 3]
    assert offer(box, "new", kind) is DropReason.STOPPING
    assert (payloads(box), lost(box), box.latest) == ([], [], {})


async def test_m4_senders_that_wait_are_let_in_in_their_order_whatever_their_kind(autojump_clock: MockClock) -> None:
    """Two of one key that wait become one when they are let in, at the place of the first."""
    box = filled(1)
    answers: list[tuple[object, DropReason | None]] = []

    async def send(payload: object, kind: Overflow, key: str = "") -> None:
        made = letter(payload, kind, key)
        answers.append((payload, await box.put(Latest(made) if kind == "coalesce" else made)))

    waiting: list[tuple[object, Overflow]] = [
        ("a1", "coalesce"),
        ("text", "wait"),
        ("a2", "coalesce"),
        ("more", "wait"),
    ]
    async with trio.open_nursery() as nursery:
        for payload, kind in waiting:
            nursery.start_soon(send, payload, kind)
            await wait_all_tasks_blocked()
        assert offer(box, "typing", "drop_oldest") is DropReason.MAILBOX_FULL
        taken = []
        for _ in range(4):
            taken.append(box.take().payload)
            await wait_all_tasks_blocked()
    assert taken == [1, "a1", "text", "a2"], "a place that is taken out can be replaced no more"
    assert payloads(box) == ["more"]
    assert [payload for payload, _ in answers] == ["a1", "text", "a2", "more"]
    check(box, executed=4)


async def test_two_of_one_key_that_wait_become_one(autojump_clock: MockClock) -> None:
    """Both senders are told that theirs was taken, and the older is accounted for."""
    box = filled(1, 2)
    async with trio.open_nursery() as nursery:
        for payload in ("a1", "a2"):
            nursery.start_soon(box.put, Latest(letter(payload, "coalesce", "a")))
            await wait_all_tasks_blocked()
        box.bytes_taken += sum(box.messages.popleft().size_bytes for _ in range(2))
        box.gave()
    assert payloads(box) == ["a2"]
    assert lost(box) == [("a1", DropReason.COALESCED)]
    check(box, executed=2)


def test_m7_what_was_set_aside_comes_back_first_and_in_its_order() -> None:
    """Before whatever waits, and with a newcomer the box is as full as its bound says."""
    box = filled(1, 2, 3)
    for _ in range(2):
        assert box.set_aside(box.take())
    assert (payloads(box), box.queued) == ([3], 3)
    for payload in (4, 5):
        assert box.put_nowait(letter(payload)) is None
    assert box.put_nowait(letter(6)) is DropReason.MAILBOX_FULL
    assert box.bring_back() == 2
    assert payloads(box) == [1, 2, 3, 4, 5]
    assert box.put_nowait(letter(6)) is DropReason.MAILBOX_FULL
    for expected in (1, 2, 3):
        assert box.take().payload == expected
    assert box.put_nowait(letter(6)) is None
    assert box.bring_back() == 0
    check(box, executed=3)


def test_m7_the_stash_has_a_capacity_and_the_bytes_of_the_box() -> None:
    """Beyond either bound the message is not kept, and the box is as it was."""
    box = filled(1, 2, 3)
    assert [box.set_aside(box.take()) for _ in range(3)] == [True, True, False]
    assert [each.payload for each in box.stashed] == [1, 2]
    box = box_of(9, 10_000, stash=9)
    assert box.put_nowait(letter("a", size_bytes=6000)) is None
    assert box.set_aside(box.take())
    assert box.put_nowait(letter("b", size_bytes=4000)) is None
    taken = box.take()
    assert box.put_nowait(letter("c", size_bytes=4000)) is None
    assert not box.set_aside(taken), "its room was given away"
    assert box.bytes_held == 10_000


def test_what_was_set_aside_can_be_withdrawn_and_is_left_at_the_end() -> None:
    """Whoever asked may give up; a box that closes hands out the oldest first."""
    box = box_of()
    request = Request(letter("question"), Reply())
    for each in (request, letter("note"), letter("text")):
        assert box.put_nowait(each) is None
    first, second = box.take(), box.take()
    assert box.set_aside(first)
    assert box.set_aside(second)
    assert box.withdraw(request)
    assert not box.withdraw(request)
    check(box)
    assert [each.payload for each in box.close(DropReason.STOPPING)] == ["note", "text"]
    assert box.queued == box.bytes_held == 0


@pytest.mark.parametrize("seed", range(20))
async def test_x3_whatever_kinds_come_every_letter_has_its_place(seed: int, autojump_clock: MockClock) -> None:
    """Seeded senders of every kind, some cancelled while they wait, and a handler that sets aside and brings back."""
    chance, budget, executed = random.Random(seed), Budget(60_000), 0
    box = Mailbox(5, 20_000, budget, 3)

    async def send(number: int) -> None:
        kind: Overflow = chance.choice(get_args(Overflow))
        made = letter(number, kind, chance.choice("ab") if kind == "coalesce" else "", chance.randrange(1, 9000))
        each: Envelope | Latest = Latest(made) if kind == "coalesce" else made
        if box.offer(each, KINDS[kind]) is DropReason.MAILBOX_FULL and KINDS[kind].waits:
            with trio.move_on_after(chance.random() * 3):
                await box.put(each)

    async with trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(send, number)
            await trio.sleep(chance.random() * 0.2)
            if box.messages and chance.random() < 0.7:
                taken: Letter = box.take()
                executed += not (chance.random() < 0.3 and box.set_aside(taken))
            if chance.random() < 0.1:
                box.bring_back()
            check(box, executed)
            assert box.bytes_held <= budget.bytes_reserved <= budget.bytes_max
    box.close(DropReason.STOPPING)
    assert budget.bytes_reserved == 0
