"""Things whose time will be up, all after the same while, so that they wait in the order in which they came."""

import math
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

from actors.ports import Clock

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Tells that the time of something is up; the limit is the same for all.

    It stands still for what is held: a turn that waits for a person is given no time that nobody asked for.
    """

    def __init__(self, limit_s: float, clock: Clock) -> None:
        """Start with nothing."""
        self._limit_s = limit_s
        self._clock = clock
        self._due: dict[T, tuple[float, Callable[[T], None]]] = {}
        self._later: dict[T, tuple[float, Callable[[T], None]]] = {}
        """Those that were held: they do not stand in the order of their starts any more. There are few of them."""
        self._held: dict[T, tuple[float, Callable[[T], None]]] = {}
        """Those whose time stands still, with what is left of it."""
        self._scope = trio.CancelScope()

    def __len__(self) -> int:
        """Count those that have time left."""
        return len(self._due) + len(self._later) + len(self._held)

    def hold(self, item: T, *, held: bool) -> None:
        """Let the time of an item stand still, or go on; nothing happens to one that is not known, or does already."""
        now_s = self._clock.now_s()
        if held:
            found = self._due.pop(item, None) or self._later.pop(item, None)
            if found is not None:
                self._held[item] = found[0] - now_s, found[1]
            return
        found = self._held.pop(item, None)
        if found is not None:
            self._later[item] = found[0] + now_s, found[1]
            self._scope.deadline = -math.inf  # look again

    def add(self, item: T, overdue: Callable[[T], None]) -> None:
        """Have ``overdue`` called with the item when its time is up; an item that waits begins anew."""
        due = self._due
        if item in due:
            del due[item]  # or it would keep its place in front of those that are due before
        due_s = self._clock.now_s() + self._limit_s
        if not due and not self._later:
            self._scope.deadline = due_s
        due[item] = due_s, overdue

    def discard(self, item: T) -> None:
        """Forget an item; one that is not known is left alone."""
        if self._due.pop(item, None) is None and (self._later or self._held):
            self._later.pop(item, None)
            self._held.pop(item, None)
        if not self._due and not self._later:
            self._scope.deadline = math.inf

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            first_s = next((due_s for due_s, _ in self._due.values()), math.inf)
            if self._later:
                first_s = min(first_s, *(due_s for due_s, _ in self._later.values()))
            with trio.CancelScope(deadline=first_s) as self._scope:
                await trio.sleep_forever()
            now_s = self._clock.now_s()
            while self._due:
                item, (due_s, overdue) = next(iter(self._due.items()))
                if due_s > now_s:
                    break
                del self._due[item]
                overdue(item)
            for item, (due_s, overdue) in list(self._later.items()):
                if due_s <= now_s and self._later.pop(item, None) is not None:
                    overdue(item)
