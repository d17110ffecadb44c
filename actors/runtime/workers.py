"""Blocking calls beside the loop: in threads, so many at once, and never waited for by who was cancelled.

A thread cannot be ended. When its caller is cancelled it is abandoned: it keeps its place until it returns, and what it
returns goes nowhere.
"""

from collections.abc import Callable
from typing import TypeVar

import attrs
import trio

T = TypeVar("T")


@attrs.define(eq=False)
class _Job:
    """One call; the flags are set by its thread."""

    begun: bool = False
    over: bool = False


@attrs.frozen
class ThreadCounts:
    """Threads that run the host's blocking calls, calls that wait for one, and calls so far.

    Those in use count the abandoned ones too: threads whose callers were cancelled.
    """

    in_use: int
    waiting: int
    abandoned: int
    calls: int


class Workers:
    """The threads of one runtime for the host's blocking code, apart from those of the store.

    At most ``offload_threads_max`` run at once; more wait. When a caller is cancelled its thread is not waited for: it
    cannot be ended, keeps its place until it returns, and is counted as abandoned. On a virtual clock calls are made in
    place, since no thread's time is seen there.
    """

    def __init__(self, threads_max: int, *, real: bool) -> None:
        """Bound the threads; on a clock that is not ``real`` there are none."""
        self._limiter = trio.CapacityLimiter(threads_max)
        self._real = real
        self._abandoned: list[_Job] = []
        self.calls = 0

    @property
    def in_use(self) -> int:
        """Count the threads that run, those that were abandoned among them."""
        return int(self._limiter.borrowed_tokens)

    @property
    def waiting(self) -> int:
        """Count the calls that wait for a thread."""
        return self._limiter.statistics().tasks_waiting

    @property
    def abandoned(self) -> int:
        """Count the threads that run though their callers were cancelled."""
        self._abandoned = [job for job in self._abandoned if not job.over]
        return len(self._abandoned)

    def counts(self) -> ThreadCounts:
        """Show what the threads do now."""
        return ThreadCounts(self.in_use, self.waiting, self.abandoned, self.calls)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function that may block, and return what it returns or raise what it raises."""
        if self._real:
            return await self.run_in_thread(function, *arguments)
        self.calls += 1
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    async def run_in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """The same, in a thread whatever the clock: for code that calls back into the loop."""
        self.calls += 1
        job = _Job()

        def work() -> None:
            job.begun = True
            try:
                answers.append(function(*arguments))  # trio would refuse an awaitable one, if it were returned
            finally:
                job.over = True

        answers: list[T] = []
        try:
            await trio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)
        except trio.Cancelled:
            if job.begun and not job.over:
                self._abandoned.append(job)
            raise
        return answers[0]
