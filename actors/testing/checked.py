"""A runtime that fails its test for what it leaves behind: a message, a sender, a turn, a task, a sum that is wrong."""

import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

import trio

from actors.core.lifecycle import SessionPhase
from actors.core.limits import Limits
from actors.host import LogLevel, open_runtime
from actors.ports import Clock, Journal
from actors.runtime.agent import Agent
from actors.runtime.facade import Runtime
from actors.runtime.ref import Ref
from actors.runtime.turn import Turn
from actors.store.memory import MemoryJournal
from actors.testing.agent import ScriptedAgent
from actors.testing.clock import VirtualClock

SETTLE_S: Final = 120.0
"""How long ``settle`` waits, on trio's clock: longer than any back-off and any grace of the default limits."""

_STEP_S: Final = 0.01
_SOON_S: Final = 2.0
_LATER_STEP_S: Final = 0.25
"""What is not at rest soon takes its time: it need not be looked at as often."""
_SEEDS: Final = itertools.count(1000)
"""So that two lives on one store do not make the same ids."""


@asynccontextmanager
async def checked_runtime(  # noqa: PLR0913 - the options of open_runtime, and one of its own
    agent: "Agent | ScriptedAgent | Callable[[Turn], Awaitable[str | None]] | None" = None,
    *,
    store: Journal | str | Path | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
    log: str | Path | BinaryIO | None = None,
    log_level: LogLevel = "debug",
    takeover: bool = False,
    keep_dead_letters: bool = False,
    open_turns: bool = False,
) -> AsyncIterator[Runtime]:
    """Open a runtime that is checked when the block is left: in memory and on virtual time, unless told otherwise.

    Before it closes, the runtime is given time to come to rest (``settle``). The test fails with an AssertionError that
    lists everything that did not: a message in a mailbox, a sender that waits, a turn that is open (``open_turns``
    allows those), a subscriber, a task, a sum that is wrong. After it has closed, the sums are checked again. A block
    that raises is not checked.
    """
    journal = MemoryJournal() if store is None else store
    answer = ScriptedAgent() if agent is None else agent
    time = clock or VirtualClock(next(_SEEDS))
    try:
        async with open_runtime(
            journal,
            agent=answer,
            limits=limits,
            log=log,
            log_level=log_level,
            takeover=takeover,
            clock=time,
            keep_dead_letters=keep_dead_letters,
        ) as runtime:
            yield runtime
            await settle(runtime, open_turns=open_turns)
    except BaseException as error:
        # Nobody would notice one from inside: whoever opened the scope that it cancelled has swallowed it.
        torn_down = trio.current_effective_deadline() == -math.inf
        assert torn_down or not _is_cancellation(error), "a cancellation came from inside the runtime"  # noqa: PT017 - not a test, the check of one
        raise
    after = runtime.statistics()
    wrong = [] if after.closed else [f"the sums are wrong after the close: {after}"]
    wrong += [f"{after.mailbox_bytes} bytes are in mailboxes after the close"] if after.mailbox_bytes else []
    wrong += [f"{after.sessions_live} sessions live after the close"] if after.sessions_live else []
    wrong += [f"{after.letters.queued} letters are queued after the close"] if after.letters.queued else []
    wrong += [f"code of a session spoke for another {after.drift} times"] if after.drift else []
    assert not wrong, "\n".join(wrong)


async def settle(runtime: Runtime, *, within_s: float = SETTLE_S, open_turns: bool = False) -> None:
    """Wait until a runtime is at rest: nothing queued, nothing being written, no turn open unless ``open_turns``.

    Raises AssertionError with what is not at rest after ``within_s`` seconds on trio's clock.
    """
    began_s = trio.current_time()
    with trio.move_on_after(within_s):
        while unsettled(runtime, open_turns=open_turns):
            waited_s = trio.current_time() - began_s
            await trio.sleep(_STEP_S if waited_s < _SOON_S else _LATER_STEP_S)
    left = unsettled(runtime, open_turns=open_turns)
    assert not left, "\n".join(["the runtime did not come to rest:", *left])


def unsettled(runtime: Runtime, *, open_turns: bool = False) -> list[str]:
    """List what is not at rest in a runtime, in sentences; nothing if everything is."""
    refs = list(runtime._registry)  # noqa: SLF001 - this module looks behind the facade so that tests need not
    left = [sentence for ref in refs for sentence in _unsettled(ref, open_turns=open_turns)]
    supervisor = runtime._supervisor  # noqa: SLF001 - as above
    turns = sum(ref.turn is not None for ref in refs)
    tasks = len(supervisor.tasks)
    if tasks != supervisor.live + turns:
        left.append(f"{tasks} tasks run for {supervisor.live} sessions and {turns} turns: {supervisor.tasks}")
    statistics = runtime.statistics()
    if not statistics.closed:
        sums = f"sent {statistics.sent}, refused {statistics.refused}, given up {statistics.given_up}"
        left.append(f"the sums are wrong: {sums}, {statistics.letters}")
    return left


def _unsettled(ref: Ref, *, open_turns: bool) -> list[str]:
    """List what is not at rest in one session."""
    box = ref.mailbox
    kept_on_disk = open_turns or ref.phase in {SessionPhase.QUARANTINED, SessionPhase.FENCED}
    turns = () if ref.state is None or kept_on_disk else ref.state.open_turns
    facts = {
        "messages in its mailbox": len(box.messages),
        "messages set aside": len(box.stashed),
        "senders waiting for room": box.waiting,
        "words of its turn to be written": len(box.inner),
        "control signals": len(box.control),
        "writes under way": int(ref.writing),
        "turns open": len(turns),
        "subscribers": len(ref.broadcast),
        "lives about to begin or end": int(ref.phase in _ON_THE_WAY),
        "handlers that run": int(ref.phase is SessionPhase.ACTIVE and not box.parked),
    }
    return [f"{ref.chat_id} has {count} {what}" for what, count in facts.items() if count]


_ON_THE_WAY: Final = frozenset(
    {SessionPhase.ACTIVATING, SessionPhase.PASSIVATING, SessionPhase.RESTARTING, SessionPhase.STOPPING}
)


def _is_cancellation(error: BaseException) -> bool:
    """Say whether an error holds nothing but cancellations."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1] is None
    return isinstance(error, trio.Cancelled)
