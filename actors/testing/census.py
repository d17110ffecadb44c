"""What a runtime holds, counted: equal before and after any amount of work, or something was left behind."""

import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Final

import trio

from actors.runtime.facade import Runtime
from actors.testing.checked import settle

_WINDOW_S: Final = 1.0
"""Longer than a text that was shown waits for the disk."""

BOUNDED: Final = frozenset(
    {
        "Accounts.dead_letters", "Alarms._current", "Alarms._letters", "Alarms._totals", "Breaker._failed",
        "CrashReports.kept", "Expiries._heap", "Recorder._windows", "Ref.recent", "Registry.stopped", "Tracing._recent",
    }
)  # fmt: skip
"""What fills up to a bound, or looks back for a time: the bound, or the time, is what is tested there."""
LASTING: Final = frozenset({"Registry.deleted"})
"""What is meant to last: a tombstone for each session that was deleted."""

_MAPS: Final = (dict, set, list, deque)
_OURS: Final = "actors.runtime."


async def census(runtime: Runtime) -> dict[str, int]:
    """Wait until a runtime is at rest and its last window is over, and count everything that could be left behind.

    Every map, set, list and queue that can be reached from the runtime, by the class and the name that hold it; the
    bytes reserved for mailboxes; all tasks of the program, and its threads. Tombstones are left out, and what fills up
    to a bound. Raises AssertionError if the runtime does not come to rest (``settle``).
    """
    await settle(runtime)
    await trio.sleep(_WINDOW_S)
    counts: Counter[str] = Counter()
    seen: set[int] = set()
    left: list[object] = [runtime]
    while left:
        owner = left.pop()
        if id(owner) in seen:
            continue
        seen.add(id(owner))
        for name, value in _attributes(owner):
            place = f"{type(owner).__name__}.{name}"
            if place in BOUNDED | LASTING:
                continue
            if isinstance(value, _MAPS) and not isinstance(value, Counter):
                counts[place] += len(value)
            left += [each for each in _within(value) if type(each).__module__.startswith(_OURS)]
    root = trio.lowlevel.current_root_task()
    assert root is not None, "a census is taken inside trio"
    found = {place: count for place, count in sorted(counts.items()) if count}
    bytes_reserved = runtime._registry.budget.bytes_reserved  # noqa: SLF001 - a census looks into every room
    return found | {"tasks": tasks_below(root), "threads": busy_threads(), "bytes": bytes_reserved}


def tasks_below(task: trio.lowlevel.Task) -> int:
    """Count a task and everything it has started."""
    return 1 + sum(tasks_below(child) for nursery in task.child_nurseries for child in nursery.child_tasks)


def busy_threads() -> int:
    """Count the threads that do something; those that trio keeps for the next work go by themselves."""
    return sum(not thread.name.startswith("Trio thread") for thread in threading.enumerate())


def _attributes(owner: object) -> Iterator[tuple[str, object]]:
    """Give what an object holds by name, in slots or in its dictionary."""
    names = {name for kind in type(owner).__mro__ for name in getattr(kind, "__slots__", ())}
    for name in sorted(names | set(getattr(owner, "__dict__", ()))):
        try:
            yield name, getattr(owner, name)
        except AttributeError:
            continue  # a slot that was never filled


def _within(value: object) -> Iterator[object]:
    """Give a value and, of a collection, what is in it."""
    yield value
    if isinstance(value, Mapping):
        yield from value
        yield from value.values()
    elif isinstance(value, list | deque | set | frozenset | tuple):
        yield from value
