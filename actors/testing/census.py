"""What a runtime holds, counted: equal before and after any amount of work, or something was left behind."""

import threading
from typing import Final

import trio

from actors.runtime.facade import Runtime
from actors.testing.checked import settle

_WINDOW_S: Final = 1.0
"""Longer than a text that was shown waits for the disk."""


async def census(runtime: Runtime) -> dict[str, int]:
    """Wait until a runtime is at rest and its last window is over, and count everything that could be left behind.

    Maps, mailboxes, waiters, timers, tasks of the whole program and its threads. Raises AssertionError if the runtime
    does not come to rest (``settle``).
    """
    await settle(runtime)
    await trio.sleep(_WINDOW_S)
    registry = runtime._registry  # noqa: SLF001 - a census looks into every room
    services = runtime._services  # noqa: SLF001 - as above
    refs = list(registry.refs.values())
    root = trio.lowlevel.current_root_task()
    assert root is not None, "a census is taken inside trio"
    return {
        "tasks": tasks_below(root),
        "threads": busy_threads(),
        "refs": len(refs),
        "boxes": len(registry.boxes),
        "messages": sum(len(ref.mailbox.messages) for ref in refs),
        "senders": sum(ref.mailbox.waiting for ref in refs),
        "inner": sum(len(ref.mailbox.inner) for ref in refs),
        "control": sum(len(ref.mailbox.control) for ref in refs),
        "bytes": registry.budget.bytes_reserved,
        "subscribers": sum(len(ref.broadcast) + len(ref.broadcast.hungry) for ref in refs),
        "waiters": sum(len(ref._waiters) for ref in refs),  # noqa: SLF001 - as above
        "ending": sum(len(ref.ending) for ref in refs),
        "turns": sum(ref.turn is not None for ref in refs),
        "deadlines": len(services.deadlines),
        "checkpoints": len(services.checkpoints._due),  # noqa: SLF001 - as above
        "kin": len(services.kin),
        "expiries": len(services.expiries),
        "timers": len(services.timers),
        "origins": sum(len(ref.origins or ()) for ref in refs),
        "pending writes": int(not services.committer.idle),
        "creating": len(runtime._directory._creating),  # noqa: SLF001 - as above
    }


def tasks_below(task: trio.lowlevel.Task) -> int:
    """Count a task and everything it has started."""
    return 1 + sum(tasks_below(child) for nursery in task.child_nurseries for child in nursery.child_tasks)


def busy_threads() -> int:
    """Count the threads that do something; those that trio keeps for the next work go by themselves."""
    return sum(not thread.name.startswith("Trio thread") for thread in threading.enumerate())
