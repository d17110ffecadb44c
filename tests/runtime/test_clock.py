"""Time, ids, dice and threads of the machine: what the runtime may rely on, and what a test may hold."""

import threading
import time
import uuid

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.runtime.clock import SystemClock, Threads
from actors.testing import VirtualClock

LONG_S = 30.0
"""A bound for threads that answer at once if all is well."""


async def test_deadlines_follow_the_clock_of_trio(autojump_clock: MockClock) -> None:
    """So a virtual clock drives the whole runtime."""
    clock = SystemClock()
    assert clock.now_s() == trio.current_time() == 0.0
    await trio.sleep(1000.0)
    assert clock.now_s() == 1000.0


def test_people_are_shown_the_time_of_the_machine() -> None:
    """Seconds since 1970, and no trio is needed to read them."""
    before_s = time.time()
    assert before_s <= SystemClock().wall_s() <= time.time()


def test_busy_time_is_real_and_never_goes_back() -> None:
    """It measures how long a task has held the loop."""
    clock = SystemClock()
    moments = [clock.busy_s() for _ in range(1000)]
    assert moments == sorted(moments)
    assert moments[-1] > moments[0]


def test_dice_are_thrown_between_nought_and_one() -> None:
    """And fall everywhere: jitter that does not spread is none."""
    clock = SystemClock(7)
    throws = [clock.dice() for _ in range(10_000)]
    assert all(0.0 <= throw < 1.0 for throw in throws)
    assert {int(throw * 10) for throw in throws} == set(range(10))
    assert sum(throws) / len(throws) == pytest.approx(0.5, abs=0.05)


def test_dice_from_one_seed_fall_alike_and_from_another_do_not() -> None:
    """A test can be run again; two processes do not retry in step."""
    first, again, other = ([clock.dice() for _ in range(5)] for clock in map(SystemClock, (7, 7, 8)))
    assert first == again
    assert first != other
    assert SystemClock().dice() != SystemClock().dice()


def test_an_id_is_a_uuid_of_version_seven() -> None:
    """As any other tool reads it, in its one canonical spelling."""
    clock = SystemClock()
    for _ in range(1000):
        text = clock.mint_id()
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


async def test_an_id_begins_with_the_milliseconds_of_its_making(autojump_clock: MockClock) -> None:
    """48 bits of them, before the version."""
    clock = VirtualClock(wall_s=1_750_000_000.0)
    assert uuid.UUID(clock.mint_id()).int >> 80 == 1_750_000_000_000
    await trio.sleep(1.5)
    assert uuid.UUID(clock.mint_id()).int >> 80 == 1_750_000_001_500


async def test_ids_sort_in_the_order_of_their_milliseconds(autojump_clock: MockClock) -> None:
    """As text, so that a list of sessions is a list by age."""
    clock = VirtualClock()
    ids: list[str] = []
    for _ in range(200):
        ids.append(clock.mint_id())
        await trio.sleep(0.0011)
    assert ids == sorted(ids)


async def test_ids_of_one_millisecond_differ_in_all_their_random_bits(autojump_clock: MockClock) -> None:
    """74 of them: none is stuck, and no two ids are the same."""
    clock = VirtualClock()
    ids = [uuid.UUID(clock.mint_id()).int for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    ever, always = 0, (1 << 128) - 1
    for value in ids:
        ever |= value
        always &= value
    assert (ever ^ always).bit_count() == 74
    assert ever ^ always == (0xFFF << 64) | ((1 << 62) - 1)


async def test_ids_go_on_being_unique_when_the_time_jumps_back(autojump_clock: MockClock) -> None:
    """They need not sort then, but they must not meet."""
    clock = VirtualClock()
    ids = {clock.mint_id() for _ in range(100)}
    clock.jump(-3600.0)
    ids |= {clock.mint_id() for _ in range(100)}
    assert len(ids) == 200


async def test_work_runs_in_a_thread_and_gives_back_its_result(autojump_clock: MockClock) -> None:
    """The loop is free meanwhile."""
    ran = await Threads().run(threading.get_ident)
    assert ran != threading.get_ident()


async def test_what_work_raises_is_raised_where_it_is_awaited(autojump_clock: MockClock) -> None:
    """As it is."""
    error = OSError(28, "No space left on device")

    def fail() -> None:
        raise error

    with pytest.raises(OSError, match="No space") as caught:
        await Threads().run(fail)
    assert caught.value is error


async def test_work_beyond_the_bound_waits_for_a_thread(autojump_clock: MockClock) -> None:
    """It is done in the end, never more of it at once than there are threads."""
    threads = Threads(2)
    began, let_go = threading.Semaphore(0), threading.Event()
    done: list[int] = []

    def work() -> bool:
        began.release()
        return let_go.wait(LONG_S)

    async def run(number: int) -> None:
        assert await threads.run(work)
        done.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(run, number)
        await wait_all_tasks_blocked()
        assert all(began.acquire(timeout=LONG_S) for _ in range(2))
        assert not began.acquire(blocking=False)
        let_go.set()
    assert sorted(done) == list(range(5))


async def test_work_that_hangs_is_left_behind_when_its_caller_goes(autojump_clock: MockClock) -> None:
    """A disk that hangs must not keep the program from ending; the work still runs to its end."""
    let_go, ended = threading.Event(), threading.Event()

    def hang() -> None:
        assert let_go.wait(LONG_S)
        ended.set()

    with trio.move_on_after(1.0) as scope:
        await Threads().run(hang)
    assert scope.cancelled_caught
    assert not ended.is_set()
    let_go.set()
    assert ended.wait(LONG_S)
