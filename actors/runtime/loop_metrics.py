"""What the loop does, counted through trio's instruments: attached when somebody wants to know, and paid for only then.

Each step of each task is counted, so the loop is slower while this is attached.
"""

from collections.abc import Callable

import trio
from typing_extensions import override


class LoopMetrics(trio.abc.Instrument):
    """Counts of one loop since it was attached; ``longest_task`` is the name of the task of the longest step."""

    def __init__(self, busy_s: Callable[[], float]) -> None:
        """Begin at nothing; ``busy_s`` is a clock of real time."""
        self._busy_s = busy_s
        self._began_s = 0.0
        self.steps = 0
        self.busy_s = 0.0
        self.longest_step_s = 0.0
        self.longest_task = ""
        self.scheduled = 0
        self.spawned = 0
        self.exited = 0

    @override
    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.spawned += 1

    @override
    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self.exited += 1

    @override
    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        self.scheduled += 1

    @override
    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._began_s = self._busy_s()

    @override
    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if not self._began_s:  # it was attached in the middle of this one
            return
        took_s = self._busy_s() - self._began_s
        self.steps += 1
        self.busy_s += took_s
        if took_s > self.longest_step_s:
            self.longest_step_s, self.longest_task = took_s, task.name
