"""What is rare, made to happen now: a session crashes, or leaves memory; a store is taken over."""

from pathlib import Path
from typing import Final

import trio

from actors.core.ids import ChatId
from actors.core.lifecycle import SessionPhase
from actors.ports import Journal
from actors.runtime.clock import Threads
from actors.runtime.facade import Runtime
from actors.store.faulty import FaultyJournal
from actors.store.memory import MemoryJournal
from actors.store.sqlite import SQLiteJournal

PASSIVATE_S: Final = 60.0
"""How long a session is waited for, on trio's clock: longer than any grace of the default limits."""

_STEP_S: Final = 0.01
_LIVE = frozenset({SessionPhase.ACTIVATING, SessionPhase.ACTIVE})


def crash_now(runtime: Runtime, chat_id: str) -> bool:
    """Crash a session where it stands, as a handler would that ran for too long; False if it is not live.

    Its incarnation ends at its next step, whatever it waits for; its running turn with it. The supervisor judges the
    crash like any other: it costs budget, and the session comes back after its delay or is quarantined.
    """
    ref = runtime._registry.get(ChatId(chat_id))  # noqa: SLF001 - this module looks behind the facade so that tests need not
    if ref is None or ref.scope is None or ref.phase not in _LIVE:
        return False
    ref.overran = True
    ref.scope.cancel()
    return True


async def passivate_and_wait(runtime: Runtime, chat_id: str, *, within_s: float = PASSIVATE_S) -> None:
    """Have a session leave memory as soon as it is at rest, and wait until it has.

    Raises AssertionError when it is not at rest ``within_s`` seconds on trio's clock, and what ``Runtime.passivate``
    raises.
    """
    with trio.move_on_after(within_s):
        while not await runtime.passivate(chat_id):  # noqa: ASYNC110 - it looks from outside
            await trio.sleep(_STEP_S)
        return
    message = f"{chat_id} did not come to rest within {within_s} s: {runtime.inspect(chat_id)}"
    raise AssertionError(message)


async def fence_now(store: Journal | str | Path) -> int:
    """Take a store over, as another process would, and give it up again; return the epoch that this was.

    Whoever owns the store finds out at its next write. ``store`` is a path, or the journal that the runtime was given:
    one in memory, on a file, or faulty before one of these. Raises TypeError for any other journal.
    """
    if isinstance(store, FaultyJournal):
        return await fence_now(store.inner)
    if isinstance(store, MemoryJournal):
        other: Journal = MemoryJournal(store.store)
    elif isinstance(store, str | Path):
        other = SQLiteJournal(store, Threads())
    elif isinstance(store, SQLiteJournal):
        other = SQLiteJournal(store._path, Threads())  # noqa: SLF001 - as above
    else:
        message = f"{type(store).__name__} cannot be taken over from here"
        raise TypeError(message)
    opened = await other.open(takeover=True)
    await other.close()
    return opened.epoch
