"""Places in code are named by file, line and function, and by nothing else."""

import sys

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.runtime.frames import FRAMES_MAX, frames_from, frames_in, is_over, place_in, place_of


def fail(depth: int) -> None:
    """Raise so many calls below."""
    if depth == 0:
        raise ValueError("private")
    fail(depth - 1)


def caught(depth: int) -> ValueError:
    """Return an error with its trace."""
    try:
        fail(depth)
    except ValueError as error:
        return error
    raise AssertionError


async def test_the_place_of_a_task_is_the_line_where_it_waits(autojump_clock: MockClock) -> None:
    """The innermost frame: what an operator must look at."""
    assert place_of(None) == "unknown"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await wait_all_tasks_blocked()
        (task,) = nursery.child_tasks
        file, _, rest = place_of(task).partition(":")
        assert not is_over(task)
        assert file.endswith(".py")
        assert rest.split()[0].isdecimal()
        assert "sleep_forever" in rest or "wait_task_rescheduled" in rest or "_async_yield" in rest
        nursery.cancel_scope.cancel()
    assert is_over(task)


def test_the_frames_of_an_error_are_its_lines_innermost_last() -> None:
    """No value and no text of the error is among them."""
    frames = frames_in(caught(2))
    assert [frame.split()[1] for frame in frames] == ["caught", "fail", "fail", "fail"]
    assert all(frame.startswith("test_frames.py:") for frame in frames)
    assert "private" not in "".join(frames)
    assert place_in(caught(2)) == frames[-1]
    assert place_in(ValueError()) == "unknown"


def test_the_frames_of_a_group_go_on_in_its_first_error() -> None:
    """However deep the groups are."""
    inner = caught(0)
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [inner, KeyError()])])
    assert frames_in(group) == frames_in(inner)


def test_of_many_frames_the_innermost_are_kept() -> None:
    """A recursion without end makes no record without end."""
    assert len(frames_in(caught(FRAMES_MAX * 3))) == FRAMES_MAX


def test_the_frames_of_a_thread_end_where_they_are_told_to() -> None:
    """What called that function is the machinery's own."""

    def inner() -> tuple[str, ...]:
        return frames_from(sys._getframe(), "test_the_frames_of_a_thread_end_where_they_are_told_to")  # noqa: SLF001

    assert [frame.split()[1] for frame in inner()] == ["inner"]
    assert frames_from(None, "x") == ()
