"""Moments of wall time: each comes once, in order, however the clock jumps."""

import itertools

import trio
from trio.testing import MockClock

from actors.runtime.expiry import STALE_MIN, Expiries
from actors.testing import VirtualClock

START_S = 1_750_000_000.0
DAY_S = 86_400.0


class Watched:
    """A service that runs, its clock, and what it called with the time of each call."""

    def __init__(self, nursery: trio.Nursery, *, batch_max: int = 10) -> None:
        """Start the service; it looks at the clock every 10 s."""
        self.clock = VirtualClock(1, wall_s=START_S - trio.current_time())
        self.expiries = Expiries(self.clock.wall_s, look_s=10.0, batch_max=batch_max)
        self.called: list[tuple[object, float]] = []
        nursery.start_soon(self.expiries.run)

    def at(self, key: object, in_s: float) -> None:
        """Set a moment, in seconds from the start."""
        self.expiries.at(key, START_S + in_s, lambda: self.called.append((key, trio.current_time())))

    @property
    def keys(self) -> list[object]:
        """What was called, in order."""
        return [key for key, _ in self.called]


async def test_a_moment_comes_when_its_time_has_come_and_once(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Neither before nor twice; moments come in the order of time, not of setting."""
    watched = Watched(nursery)
    watched.at("later", 30.0)
    watched.at("sooner", 5.0)
    await trio.sleep(4.0)
    assert watched.called == []
    await trio.sleep(100.0)
    assert watched.called == [("sooner", 5.0), ("later", 30.0)]
    assert len(watched.expiries) == 0


async def test_moments_at_one_time_come_in_the_order_they_were_set(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Whatever their keys are, which need not be comparable."""
    watched = Watched(nursery)
    keys = [("a", 1), 7, "b", None]
    for key in keys:
        watched.at(key, 5.0)
    await trio.sleep(6.0)
    assert watched.keys == keys


async def test_a_moment_in_the_past_comes_at_once_but_never_within_the_call(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Whoever sets it has finished first."""
    watched = Watched(nursery)
    watched.at("past", -DAY_S)
    assert watched.called == []
    await trio.testing.wait_all_tasks_blocked()
    assert watched.called == [("past", 0.0)]


async def test_a_key_has_one_moment_and_the_last_one_counts(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Earlier or later: what was set before is replaced."""
    watched = Watched(nursery)
    watched.at("earlier", 20.0)
    watched.at("earlier", 5.0)
    watched.at("later", 5.0)
    watched.at("later", 20.0)
    await trio.sleep(100.0)
    assert watched.called == [("earlier", 5.0), ("later", 20.0)]


async def test_a_forgotten_moment_never_comes(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """And a key that nobody knows can be forgotten."""
    watched = Watched(nursery)
    watched.at("never", 5.0)
    watched.expiries.forget("never")
    watched.expiries.forget("unknown")
    await trio.sleep(100.0)
    assert watched.called == []


async def test_a_jump_of_a_day_forwards_is_noticed_within_a_look(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """What the jump made due comes within ten seconds, once, and in order."""
    watched = Watched(nursery)
    for hour in (3, 1, 2, 30):
        watched.at(hour, hour * 3600.0)
    await trio.sleep(1.0)
    watched.clock.jump(DAY_S)
    await trio.sleep(10.0)
    assert watched.keys == [1, 2, 3]
    await trio.sleep(DAY_S)
    assert watched.keys == [1, 2, 3, 30]


async def test_a_jump_of_a_day_back_doubles_nothing_and_loses_nothing(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """What has come does not come again; what has not waits until wall time is there."""
    watched = Watched(nursery)
    watched.at("before", 5.0)
    watched.at("after", 50.0)
    await trio.sleep(20.0)
    watched.clock.jump(-DAY_S)
    await trio.sleep(DAY_S)
    assert watched.keys == ["before"]
    await trio.sleep(60.0)
    assert watched.called == [("before", 5.0), ("after", DAY_S + 50.0)]


async def test_a_thousand_moments_at_once_leave_room_for_others(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Between two batches every other task runs: nobody waits for the whole crowd."""
    watched = Watched(nursery, batch_max=10)
    for number in range(1000):
        watched.at(number, 5.0)
    await trio.sleep(5.0)
    seen: list[int] = []
    while len(watched.called) < 1000:
        seen.append(len(watched.called))
        await trio.lowlevel.checkpoint()
    assert max(after - before for before, after in itertools.pairwise(seen)) <= 20
    assert watched.keys == list(range(1000))


async def test_what_was_replaced_does_not_pile_up(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A moment that is moved ten thousand times costs no more memory than one that is not."""
    watched = Watched(nursery)
    for number in range(10_000):
        watched.at("moved", 100.0 + number)
        watched.at(("gone", number), 100.0)
        watched.expiries.forget(("gone", number))
    assert len(watched.expiries) == 1
    assert len(watched.expiries._heap) <= STALE_MIN + 2  # noqa: SLF001 - what is counted is inside
    await trio.sleep(20_000.0)
    assert watched.keys == ["moved"]


async def test_a_call_may_set_the_next_moment(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Also of the same key, and also one that has passed."""
    watched = Watched(nursery)
    moments = [5.0, 6.0, 6.0, 4.0]

    def tick() -> None:
        watched.called.append(("tick", trio.current_time()))
        if moments:
            watched.expiries.at("tick", START_S + moments.pop(0), tick)

    watched.expiries.at("tick", START_S + 1.0, tick)
    await trio.sleep(20.0)
    assert [at_s for _, at_s in watched.called] == [1.0, 5.0, 6.0, 6.0, 6.0]
