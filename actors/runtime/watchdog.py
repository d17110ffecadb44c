"""A thread that looks at the loop and reports a step that holds it for too long, with its place and its session.

It costs the loop nothing: it reads which task trio is running now, and how many steps that task has made, from outside.
When it finds the same step again and again for ``stall_s``, that step is a stall. It touches nothing of trio's. A
process that was stopped and continued, or that did not get the processor, is not a stall of anybody: then the clock of
the world has gone on, and the processor's has not.
"""

import sys
import threading
from collections.abc import Container, Iterator
from typing import Final

import attrs
import trio

from actors.core.limits import Limits
from actors.runtime.clock import MachineTimes, machine_times
from actors.runtime.frames import frames_from
from actors.runtime.recorder import Recorder

LOOKS_IN_STALL: Final = 4
"""How often the loop is looked at within ``stall_s``: every stall longer than that by a quarter is found."""
LATE_LOOKS: Final = 3
"""A look that comes so many periods late says that this thread, too, could not run."""
PARENTS_MAX: Final = 50
JOIN_S: Final = 1.0


@attrs.frozen
class Stall:
    """A step that held the loop: the session whose task it was (empty if it was none), and where."""

    chat_id: str
    place: str
    frames: tuple[str, ...]
    seconds: float


Step = tuple[int, int]
"""One step of one task: who, and how many it had made."""


class Looks:
    """What consecutive looks at the loop come to; pure but for its memory."""

    def __init__(self, stall_s: float) -> None:
        """Begin with no step seen."""
        self._stall_s = stall_s
        self._period_s = stall_s / LOOKS_IN_STALL
        self._step: Step | None = None
        self._since_s = 0.0
        self._last = MachineTimes(0.0, 0.0, 0.0)
        self._first = True
        self._found = False
        self.longest_s = 0.0
        self.suspensions = 0

    def look(self, step: Step | None, times: MachineTimes) -> float | None:
        """Take in one look; return how long the step has lasted when it is found to be a stall, once per stall."""
        last, self._last = self._last, times
        elapsed_s, used_s = times.now_s - last.now_s, times.busy_s - last.busy_s
        late = not self._first and elapsed_s > LATE_LOOKS * self._period_s
        suspended = late and used_s < elapsed_s / 2
        self._first = False
        self.suspensions += suspended
        if step is None or step != self._step:
            self._step, self._found = step, False
            # What began while this thread could not look, on a busy processor, is what kept it from looking.
            self._since_s = last.now_s + self._period_s if late and not suspended else times.now_s
        elif suspended:
            self._since_s += elapsed_s
        lasted_s = times.now_s - self._since_s
        if step is None or lasted_s < self._stall_s:
            return None
        self.longest_s = max(self.longest_s, lasted_s)
        if self._found:
            return None
        self._found = True
        return lasted_s


class Watchdog:
    """Watches the loop that starts it."""

    def __init__(self, limits: Limits, recorder: Recorder) -> None:
        """Nothing is watched yet."""
        self._limits = limits
        self._recorder = recorder
        self._looks = Looks(limits.stall_s)
        self._end = threading.Event()
        self._written: list[float] = []
        self.stalls = 0
        self.last: Stall | None = None
        """The latest stall."""
        self.chats: Container[str] = frozenset()
        """The sessions there are: a task is of the one that it, or the nearest task above it, is named after."""

    @property
    def longest_s(self) -> float:
        """How long the longest stall has lasted, as far as it was seen."""
        return self._looks.longest_s

    @property
    def suspensions(self) -> int:
        """How often the whole process was found not to have run."""
        return self._looks.suspensions

    async def run(self) -> None:
        """Watch until cancelled; a trio whose inner names are not the expected ones is not watched."""
        context = loop_context()
        if context is not None:
            self._end.clear()
            arguments = (context, threading.get_ident())
            thread = threading.Thread(target=self._watch, args=arguments, name="actors watchdog", daemon=True)
            thread.start()
            try:
                await trio.sleep_forever()
            finally:
                self._end.set()
                thread.join(JOIN_S)
        await trio.sleep_forever()

    def _watch(self, context: dict[str, object], ident: int) -> None:
        """Look, again and again, in a thread of its own."""
        while not self._end.wait(self._limits.stall_s / LOOKS_IN_STALL):
            task = context.get("task")
            step = (id(task), task._schedule_points) if isinstance(task, trio.lowlevel.Task) else None  # noqa: SLF001 - trio counts them; see loop_context
            times = machine_times()
            lasted_s = self._looks.look(step, times)
            if lasted_s is not None and isinstance(task, trio.lowlevel.Task):
                self._report(task, ident, lasted_s, times)

    def _report(self, task: trio.lowlevel.Task, ident: int, lasted_s: float, times: MachineTimes) -> None:
        """Count a stall and write its record; the record's time is the machine's, since this is another thread."""
        frames = frames_from(sys._current_frames().get(ident), "unrolled_run")  # noqa: SLF001 - what a profiler does
        chat_id = next((name for name in _names(task) if name in self.chats), "")
        self.stalls += 1
        self.last = Stall(chat_id, frames[-1] if frames else "unknown", frames, lasted_s)
        self._written = [at_s for at_s in self._written if times.now_s - at_s < self._limits.log_window_s]
        if len(self._written) < self._limits.log_repeats_max:
            self._written.append(times.now_s)
            self._recorder.record(
                "warning",
                "loop.stalled",
                at_s=times.wall_s,
                chat_id=chat_id,
                place=self.last.place,
                frames=frames,
                lasted_s=round(lasted_s, 3),
            )


def loop_context() -> dict[str, object] | None:
    """Return the place where this thread's loop notes which task it runs; None if this trio has no such place.

    These are inner names of trio: there is no public way to see a running step from outside that costs the loop
    nothing.
    """
    try:
        from trio._core._run import GLOBAL_RUN_CONTEXT  # noqa: PLC0415 - where it may fail
    except ImportError:
        return None
    context = vars(GLOBAL_RUN_CONTEXT)
    known = "task" in context and hasattr(trio.lowlevel.current_task(), "_schedule_points")
    return context if known else None


def _names(task: trio.lowlevel.Task) -> Iterator[str]:
    """Give the names of a task and of those above it."""
    above: trio.lowlevel.Task | None = task
    for _ in range(PARENTS_MAX):
        if above is None:
            return
        yield above.name
        nursery = above.parent_nursery
        above = None if nursery is None else nursery.parent_task
