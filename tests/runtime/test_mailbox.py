"""The box takes what fits, in order; who waits is let in in order; who is cancelled leaves nothing behind."""

import random
from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ActorsError, UnavailableError
from actors.core.envelope import Envelope
from actors.core.ids import ChatId, DropReason
from actors.runtime.mailbox import Budget, Letter, Mailbox, Reply, Request
from actors.runtime.refusals import refused

CHAT = ChatId("live:a")
ROOMY = 1 << 30


def letter(number: int = 0, size_bytes: int = 1) -> Envelope:
    """Make a letter that can be told from others."""
    return Envelope(CHAT, number, size_bytes)


def numbers(letters: Sequence[Letter]) -> list[object]:
    """Tell which letters these are."""
    return [each.payload for each in letters]


def box_of(messages: int = 4, size_bytes: int = ROOMY, budget: Budget | None = None) -> Mailbox:
    """Make a box with these bounds."""
    return Mailbox(messages, size_bytes, budget or Budget(ROOMY))


def test_letters_leave_the_box_in_the_order_in_which_they_came() -> None:
    """One total order for each session."""
    box = box_of()
    assert [box.put_nowait(letter(number)) for number in range(4)] == [None] * 4
    assert [box.take().payload for _ in range(4)] == [0, 1, 2, 3]
    assert box.admitted == 4


@pytest.mark.rule("M2")
def test_a_box_takes_as_many_letters_as_its_bound_and_not_one_more() -> None:
    """And again as many when they were taken out."""
    box = box_of(messages=3)
    for _ in range(2):
        assert [box.put_nowait(letter()) for _ in range(4)] == [None, None, None, DropReason.MAILBOX_FULL]
        for _ in range(3):
            box.take()


@pytest.mark.rule("M2")
def test_a_box_takes_as_many_bytes_as_its_bound() -> None:
    """Few large letters may not do what many small ones may not."""
    box = box_of(messages=100, size_bytes=10_000)
    assert box.put_nowait(letter(size_bytes=6000)) is None
    assert box.put_nowait(letter(size_bytes=4001)) is DropReason.MAILBOX_FULL
    assert box.put_nowait(letter(size_bytes=4000)) is None
    assert box.put_nowait(letter(size_bytes=1)) is DropReason.MAILBOX_FULL
    assert box.bytes_held == 10_000
    box.take()
    assert box.put_nowait(letter(size_bytes=6000)) is None


def test_one_letter_larger_than_the_box_is_taken_when_the_box_is_empty() -> None:
    """Whatever passed the bound of one message can be delivered."""
    box = box_of(size_bytes=1000)
    assert box.put_nowait(letter(size_bytes=5000)) is None
    assert box.put_nowait(letter(size_bytes=1)) is DropReason.MAILBOX_FULL
    box.take()
    assert box.bytes_held == 0


def test_all_boxes_share_one_budget_and_give_back_what_they_took() -> None:
    """Memory is bounded by one number, however many sessions there are."""
    budget = Budget(100_000)
    boxes = [box_of(messages=1000, budget=budget) for _ in range(5)]
    admitted = 0
    while boxes[admitted % 5].put_nowait(letter(size_bytes=900)) is None:
        admitted += 1
        assert budget.bytes_reserved <= budget.bytes_max
    assert admitted * 900 <= budget.bytes_max
    assert admitted * 900 >= budget.bytes_max * 0.7, "little is lost by taking shares in steps"
    for box in boxes:
        while box.messages:
            box.take()
    assert budget.bytes_reserved == 0
    assert boxes[0].put_nowait(letter(size_bytes=900)) is None


@pytest.mark.rule("M2")
def test_a_letter_beyond_the_budget_is_refused_for_the_memory_of_all() -> None:
    """The reason tells the sender that another session will not take it either."""
    budget = Budget(8192)
    first, second = box_of(budget=budget), box_of(budget=budget)
    assert first.put_nowait(letter(size_bytes=8000)) is None
    assert second.put_nowait(letter(size_bytes=500)) is DropReason.MEMORY_FULL
    first.close(DropReason.STOPPING)
    assert budget.bytes_reserved == 0
    assert second.put_nowait(letter(size_bytes=500)) is None


@pytest.mark.rule("M4")
async def test_senders_that_wait_are_let_in_in_the_order_of_their_arrival(autojump_clock: MockClock) -> None:
    """And whoever comes later does not overtake them."""
    box, order = box_of(messages=1), list[object]()

    async def sender(number: int) -> None:
        assert await box.put(letter(number)) is None
        order.append(number)

    assert box.put_nowait(letter(0)) is None
    async with trio.open_nursery() as nursery:
        for number in range(1, 6):
            nursery.start_soon(sender, number)
            await wait_all_tasks_blocked()
        assert box.waiting == 5
        for number in range(6):
            assert box.take().payload == number
            assert box.put_nowait(letter(99)) is DropReason.MAILBOX_FULL or number == 5, "nobody jumps the queue"
            await wait_all_tasks_blocked()
    assert order == [1, 2, 3, 4, 5]


async def test_a_large_letter_that_waits_holds_back_the_small_ones_behind_it(autojump_clock: MockClock) -> None:
    """Order is kept although a later one would fit."""
    box = box_of(messages=10, size_bytes=10_000)
    assert box.put_nowait(letter(0, 9000)) is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.put, letter(1, 5000))
        await wait_all_tasks_blocked()
        nursery.start_soon(box.put, letter(2, 10))
        await wait_all_tasks_blocked()
        assert box.put_nowait(letter(3, 10)) is DropReason.MAILBOX_FULL
        assert box.take().payload == 0
        await wait_all_tasks_blocked()
        assert numbers(box.messages) == [1, 2]


@pytest.mark.rule("D7", "M5")
async def test_a_sender_that_is_cancelled_leaves_nothing_behind_and_lets_the_next_one_in(
    autojump_clock: MockClock,
) -> None:
    """A large letter that is withdrawn by its sender makes room for those behind it."""
    box = box_of(messages=10, size_bytes=10_000)
    assert box.put_nowait(letter(0, 9000)) is None
    with trio.move_on_after(1.0):
        await box.put(letter(1, 5000))
    assert box.waiting == 0
    assert box.put_nowait(letter(3, 10)) is None
    assert numbers(box.messages) == [0, 3]
    assert box.admitted == 2


async def test_cancelling_the_first_that_waits_lets_in_those_who_fit(autojump_clock: MockClock) -> None:
    """They do not wait for a letter that nobody sends any more."""
    box = box_of(messages=10, size_bytes=10_000)
    assert box.put_nowait(letter(0, 9000)) is None
    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def large() -> None:
            with first:
                await box.put(letter(1, 5000))

        nursery.start_soon(large)
        await wait_all_tasks_blocked()
        nursery.start_soon(box.put, letter(2, 10))
        await wait_all_tasks_blocked()
        first.cancel()
        await wait_all_tasks_blocked()
    assert numbers(box.messages) == [0, 2]


async def test_a_letter_can_be_withdrawn_until_it_is_taken(autojump_clock: MockClock) -> None:
    """Its room is given to who waits."""
    box = box_of(messages=2)
    letters = [letter(number) for number in range(3)]
    assert [box.put_nowait(each) for each in letters[:2]] == [None, None]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(box.put, letters[2])
        await wait_all_tasks_blocked()
        assert box.withdraw(letters[0])
        assert not box.withdraw(letters[0])
        await wait_all_tasks_blocked()
    assert numbers(box.messages) == [1, 2]
    assert not box.withdraw(letter(77))
    assert (box.admitted, box.withdrawn) == (3, 1)


async def test_closing_a_box_tells_everybody_who_waits_and_returns_what_is_left(autojump_clock: MockClock) -> None:
    """The reason of the closing is what senders hear, now and later, until it is opened again."""
    budget = Budget(ROOMY)
    box, answers = box_of(messages=1, budget=budget), list[DropReason | None]()

    async def sender() -> None:
        answers.append(await box.put(letter(1)))

    assert box.put_nowait(letter(0)) is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender)
        nursery.start_soon(sender)
        await wait_all_tasks_blocked()
        assert numbers(box.close(DropReason.QUARANTINED)) == [0]
    assert answers == [DropReason.QUARANTINED] * 2
    assert box.put_nowait(letter()) is DropReason.QUARANTINED
    assert await box.put(letter()) is DropReason.QUARANTINED
    assert (box.bytes_held, budget.bytes_reserved, box.waiting) == (0, 0, 0)
    box.reopen()
    assert box.put_nowait(letter()) is None


async def test_a_session_that_is_parked_wakes_for_every_kind_of_post(autojump_clock: MockClock) -> None:
    """A message, a control signal, its own turn; and it can be cancelled while it waits."""
    box = box_of()
    posts: list[Callable[[], object]] = [
        lambda: box.put_nowait(letter()),
        lambda: box.post_control("k", "s"),
        lambda: box.post_inner("i"),
    ]
    for post in posts:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.park)
            await wait_all_tasks_blocked()
            post()
    with trio.move_on_after(1.0) as scope:
        await box.park()
    assert scope.cancelled_caught
    box.wake()


def test_a_control_signal_under_the_same_key_is_replaced() -> None:
    """So the control lane cannot grow without bound."""
    box = box_of()
    for number in range(1000):
        box.post_control("stop", number)
    assert box.control == {"stop": 999}


@pytest.mark.rule("M4")
async def test_a_random_history_of_a_box_keeps_its_order_and_its_sums(autojump_clock: MockClock) -> None:
    """Puts, takes, withdrawals and cancelled senders at random: what comes out is what went in, in order."""
    chance = random.Random(7)
    budget = Budget(60_000)
    box, taken, admitted = box_of(messages=5, size_bytes=20_000, budget=budget), list[object](), list[object]()

    async def sender(number: int) -> None:
        with trio.move_on_after(chance.random() * 3):
            if await box.put(letter(number, chance.randrange(1, 9000))) is None:
                admitted.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(500):
            nursery.start_soon(sender, number)
            await trio.sleep(chance.random() * 0.2)
            if box.messages and chance.random() < 0.9:
                taken.append(box.take().payload)
            if box.messages and chance.random() < 0.1:
                gone = chance.choice(list(box.messages))
                assert box.withdraw(gone)
                admitted.remove(gone.payload) if gone.payload in admitted else taken.append(None)
            assert len(box.messages) <= 5
            assert box.bytes_held == sum(each.size_bytes for each in box.messages)
            assert box.bytes_held <= budget.bytes_reserved <= budget.bytes_max
    while box.messages:
        taken.append(box.take().payload)
    assert box.admitted == len([each for each in taken if each is not None]) + box.withdrawn
    assert budget.bytes_reserved == 0
    order = [each for each in taken if isinstance(each, int)]
    assert order == sorted(order), "senders began in the order of their numbers"


@pytest.mark.rule("A3")
async def test_a_reply_takes_one_answer_and_drops_what_comes_after(autojump_clock: MockClock) -> None:
    """A late answer is known to be late."""
    reply = Reply()
    assert reply.set("first")
    assert not reply.set("second")
    assert not reply.fail(ActorsError("third"))
    assert await reply.wait() == "first"
    assert await reply.wait() == "first", "it may be looked at again"


async def test_a_reply_that_failed_raises_where_it_is_awaited(autojump_clock: MockClock) -> None:
    """Whoever waits already is woken by it."""
    reply = Reply()
    error = refused(DropReason.STOPPING)
    async with trio.open_nursery() as nursery:

        async def fail() -> None:
            await trio.sleep(1.0)
            assert reply.fail(error)

        nursery.start_soon(fail)
        with pytest.raises(UnavailableError):
            await reply.wait()
    assert reply.done


async def test_a_waiter_that_is_cancelled_leaves_the_slot_as_it_was(autojump_clock: MockClock) -> None:
    """The answer can still be given, and somebody else can wait for it."""
    reply = Reply()
    with trio.move_on_after(1.0):
        await reply.wait()
    assert not reply.done
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reply.wait)
        await wait_all_tasks_blocked()
        assert reply.set(1)


def test_a_request_shows_what_its_envelope_carries() -> None:
    """The box counts a request as it counts an envelope."""
    request = Request(letter(7, 70), Reply())
    assert (request.payload, request.size_bytes) == (7, 70)


def test_room_that_a_batch_has_made_is_there_before_the_batch_is_over() -> None:
    """A handler that takes long, or writes to its own session, finds the room that was made before it."""
    box = box_of(messages=2, size_bytes=10_000)
    assert [box.put_nowait(letter(number, 5000)) for number in range(2)] == [None, None]
    for _ in range(2):
        box.bytes_taken += box.messages.popleft().size_bytes
    assert [box.put_nowait(letter(number, 5000)) for number in range(3)] == [None, None, DropReason.MAILBOX_FULL]
    assert (box.bytes_held, box.bytes_taken) == (10_000, 0)
