"""Where something runs or has failed, as file, line and function: never a value, and never the text of an exception."""

import inspect
from types import FrameType, TracebackType
from typing import Final

import trio

FRAMES_MAX: Final = 30
"""Innermost frames that are named; what called those is left out."""


def place_of(task: trio.lowlevel.Task | None) -> str:
    """Name the line at which a task waits."""
    place = "unknown"
    if task is not None:
        for frame, line in task.iter_await_frames():
            place = _shown(frame, line)
    return place


def place_in(error: BaseException) -> str:
    """Name the innermost line an error came from."""
    frames = frames_in(error)
    return frames[-1] if frames else "unknown"


def frames_in(error: BaseException) -> tuple[str, ...]:
    """Name the lines an error came through, the innermost last; of a group those of its first error too."""
    frames: list[str] = []
    found: BaseException | None = error
    while found is not None:
        trace: TracebackType | None = found.__traceback__
        while trace is not None:
            frames.append(_shown(trace.tb_frame, trace.tb_lineno))
            trace = trace.tb_next
        found = found.exceptions[0] if isinstance(found, BaseExceptionGroup) else None
    return tuple(frames[-FRAMES_MAX:])


def frames_from(frame: FrameType | None, end: str) -> tuple[str, ...]:
    """Name the lines that a thread is at, from the one called by the function ``end`` on, the innermost last."""
    frames: list[str] = []
    while frame is not None and frame.f_code.co_name != end:
        frames.append(_shown(frame, frame.f_lineno))
        frame = frame.f_back
    return tuple(reversed(frames[:FRAMES_MAX]))


def is_over(task: trio.lowlevel.Task) -> bool:
    """Say whether a task has ended."""
    return inspect.getcoroutinestate(task.coro) == inspect.CORO_CLOSED


def _shown(frame: FrameType, line: int | None) -> str:
    """Show one frame."""
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{line} {frame.f_code.co_name}"
