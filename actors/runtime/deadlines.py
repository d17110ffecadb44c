"""Things whose time will be up, all after the same while, so that they wait in the order in which they came."""

import math
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

from actors.ports import Clock

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Tells that the time of something is up; the limit is the same for all."""

    def __init__(self, limit_s: float, clock: Clock) -> None:
        """Start with nothing."""
        self._limit_s = limit_s
        self._clock = clock
        self._due: dict[T, tuple[float, Callable[[T], None]]] = {}
        self._scope = trio.CancelScope()

    def __len__(self) -> int:
        """Count those that have time left."""
        return len(self._due)

    def add(self, item: T, overdue: Callable[[T], None]) -> None:
        """Have ``overdue`` called with the item when its time is up; an item that waits begins anew."""
        due = self._due
        if item in due:
            del due[item]  # or it would keep its place in front of those that are due before
        due_s = self._clock.now_s() + self._limit_s
        if not due:
            self._scope.deadline = due_s
        due[item] = due_s, overdue

    def discard(self, item: T) -> None:
        """Forget an item; one that is not known is left alone."""
        self._due.pop(item, None)
        if not self._due:
            self._scope.deadline = math.inf

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            first_s = next((due_s for due_s, _ in self._due.values()), math.inf)
            with trio.CancelScope(deadline=first_s) as self._scope:
                await trio.sleep_forever()
            now_s = self._clock.now_s()
            while self._due:
                item, (due_s, overdue) = next(iter(self._due.items()))
                if due_s > now_s:
                    break
                del self._due[item]
                overdue(item)
