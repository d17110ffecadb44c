"""What falls due at a moment of time: one heap and one task for all of it, on wall time or on trio's clock.

Wall time may jump. So the task never sleeps for longer than ``look_s`` before it looks at the clock again: what a jump
forwards makes due is noticed within that time, and what a jump back takes away waits for its moment to come again.
"""

import heapq
import math
from collections.abc import Callable
from typing import Final

import attrs
import trio

STALE_MIN: Final = 64
"""So many entries that were replaced may lie in the heap before it is made anew, and as many again as are in use."""


@attrs.frozen(order=True)
class _Entry:
    """One moment; entries of one moment fall due in the order in which they were set."""

    due_s: float
    number: int
    key: object = attrs.field(order=False)
    call: Callable[[], None] = attrs.field(order=False)


class Expiries:
    """Calls back when the time has come to a moment; each key has one moment at most."""

    def __init__(self, time_s: Callable[[], float], *, look_s: float, batch_max: int) -> None:
        """Read the time from ``time_s`` at least every ``look_s`` seconds; call at most ``batch_max`` at once."""
        self._time_s = time_s
        self._look_s = look_s
        self._batch_max = batch_max
        self._heap: list[_Entry] = []
        self._set: dict[object, _Entry] = {}
        self._numbers = 0
        self._scope = trio.CancelScope()

    def __len__(self) -> int:
        """Count the moments that have not come."""
        return len(self._set)

    def at(self, key: object, due_s: float, call: Callable[[], None]) -> None:
        """Have ``call`` called once the time is ``due_s`` or later; another moment of the same key is replaced.

        ``call`` must neither wait nor raise. A moment that has passed comes at once, never within this call.
        """
        self._numbers += 1
        entry = self._set[key] = _Entry(due_s, self._numbers, key, call)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._scope.deadline = -math.inf  # it is the next one now: look again
        self._tidy()

    def forget(self, key: object) -> None:
        """Let the moment of a key pass unheard; a key that is not known is left alone."""
        self._set.pop(key, None)
        self._tidy()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._call_due()
            with trio.CancelScope(deadline=trio.current_time() + self._wait_s()) as self._scope:
                await trio.sleep_forever()

    def _call_due(self) -> None:
        """Call what is due, oldest first, as much as one batch holds."""
        now_s = self._time_s()
        for _ in range(self._batch_max):
            entry = self._first()
            if entry is None or entry.due_s > now_s:
                return
            heapq.heappop(self._heap)
            del self._set[entry.key]
            entry.call()

    def _wait_s(self) -> float:
        """Say how long to wait before the next look; nothing is left to wait for after a full batch."""
        entry = self._first()
        if entry is None:
            return math.inf
        return min(max(entry.due_s - self._time_s(), 0.0), self._look_s)

    def _first(self) -> _Entry | None:
        """Return the next entry that was not replaced or forgotten."""
        heap = self._heap
        while heap and self._set.get(heap[0].key) is not heap[0]:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def _tidy(self) -> None:
        """Make the heap anew once most of it is stale."""
        if len(self._heap) > 2 * len(self._set) + STALE_MIN:
            self._heap = [entry for entry in self._heap if self._set.get(entry.key) is entry]
            heapq.heapify(self._heap)
