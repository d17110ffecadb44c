"""Where a runtime is put together for a host: the adapters of its ports, chosen from plain values."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Literal

import trio

from actors.core.limits import Limits
from actors.errors import ConfigurationError
from actors.observer.server import observe as observer
from actors.ports import Clock, Journal
from actors.runtime.accounting import Accounts
from actors.runtime.agent import Agent, Answer
from actors.runtime.agent import agent as make_agent
from actors.runtime.clock import SystemClock, Threads
from actors.runtime.dead_letters import DeadLetters, Redact
from actors.runtime.facade import Runtime
from actors.runtime.life import run_runtime
from actors.runtime.recorder import Recorder
from actors.runtime.threaded import ThreadAnswer
from actors.store.memory import MemoryJournal
from actors.store.sqlite import SQLiteJournal

MEMORY: Final = ":memory:"

LogLevel = Literal["debug", "info", "warning", "error"]


@asynccontextmanager
async def open_runtime(  # noqa: PLR0913 - options, all named by the caller
    store: str | Path | Journal,
    *,
    agent: Agent | Answer | ThreadAnswer,
    limits: Limits | None = None,
    log: str | Path | BinaryIO | None = None,
    log_level: LogLevel = "info",
    takeover: bool = False,
    clock: Clock | None = None,
    collector_threshold: int | None = None,
    redact: Redact | None = None,
    keep_dead_letters: bool = False,
    observe: bool = False,
    debug: bool = False,
) -> AsyncIterator[Runtime]:
    """Open a store and run an agent's sessions on it until the block is left.

    ``store`` is the path of a file, ``":memory:"``, or a journal of the host's own. ``agent`` is a function of a turn
    (async, or plain and then run in threads), or what ``actors.agent`` made of one. ``log`` is a path that JSON lines
    are appended to, or an open binary file (None: nothing is written; everything is counted all the same).
    ``takeover`` fences another process that owns the store instead of being refused. ``collector_threshold`` sets the
    first threshold of Python's cyclic collector while the runtime is open (10,000 is a good value with hundreds of
    busy sessions; None leaves the host's setting alone). ``redact`` is called with every dead letter before it is kept
    or shown, and returns what to keep as its payload (None: the payload as it is); it must not wait.
    ``keep_dead_letters`` writes dead letters to the store, for the limit ``dead_letter_s``; without it they are in
    memory only. ``observe`` lets other processes of the same user look in, through the socket ``<store>.sock``,
    as ``actors inspect`` does; they can change nothing, and a store that is no file is not seen. ``debug`` allows
    ``Runtime.replace_state``.

    When the block starts, nothing of an earlier life is running: what was interrupted is marked, what was queued goes
    on. When it ends, running turns get the limit ``drain_s`` to end and are interrupted after it; if the block raised,
    they are interrupted at once.

    Raises ConfigurationError for an option out of its range, StoreInUseError if another process owns the store,
    StoreSchemaError for a newer or a foreign file, StoreUnavailableError if it cannot be opened.
    """
    if collector_threshold is not None and (type(collector_threshold) is not int or collector_threshold < 0):
        message = f"collector_threshold is {collector_threshold!r}"
        raise ConfigurationError(message, hint="give a whole number from 0 (0 switches the collector off), or None")
    if log_level not in ("debug", "info", "warning", "error"):
        message = f"log_level is {log_level!r}"
        raise ConfigurationError(message, hint="give debug, info, warning or error")
    _check_given(agent, redact)
    door = _observer(store, observe=observe)
    given = agent if isinstance(agent, Agent) else make_agent(agent)
    bounds = limits or Limits()
    time = clock or SystemClock()
    sink = Path(log) if isinstance(log, str) else log
    try:
        recorder = Recorder(sink, log_level, bounds, time)
    except OSError as error:
        message = f"the log cannot be opened: {error.strerror}"
        raise ConfigurationError(message, hint="give a path in a folder that exists and is writable") from error
    before = gc.get_threshold()
    try:
        if collector_threshold is not None:
            gc.set_threshold(collector_threshold, *before[1:])
        async with run_runtime(
            _journal(store),
            given,
            limits=bounds,
            clock=time,
            takeover=takeover,
            accounts=Accounts(DeadLetters(bounds, time, redact, keep=keep_dead_letters), recorder),
            debug=debug,
            beside=_nobody if door is None else partial(observer, store=door, limits=bounds, recorder=recorder),
        ) as runtime:
            yield runtime
    finally:
        if collector_threshold is not None:
            gc.set_threshold(*before)
        recorder.summarize()  # here, since a clock of the host's own may not work in another thread
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(recorder.close)


def _check_given(agent: object, redact: object) -> None:
    """Refuse None as an agent, to which it means that a decorator is wanted, and what cannot be called."""
    if redact is not None and not callable(redact):
        message = f"redact is {type(redact).__name__}"
        raise ConfigurationError(message, hint="give a function of a DeadLetter, or None")
    if agent is None:
        message = "agent is None"
        raise ConfigurationError(message, hint="give an async function: async def assistant(turn): ...")


async def _nobody(_: Runtime) -> None:
    """Nobody is to look in."""


def _observer(store: str | Path | Journal, *, observe: bool) -> Path | None:
    """Name the file beside which the socket is to stand, if there is to be one."""
    if not observe or not isinstance(store, str | Path) or str(store) == MEMORY:
        return None
    return Path(store)


def _journal(store: str | Path | Journal) -> Journal:
    """Choose the journal that a value names."""
    if isinstance(store, str | Path):
        return MemoryJournal() if str(store) == MEMORY else SQLiteJournal(store, Threads())
    if not all(callable(getattr(store, name, None)) for name in ("open", "commit", "load", "events", "close")):
        message = f"store is {type(store).__name__}"
        raise ConfigurationError(message, hint='give a path, ":memory:" or a Journal')
    return store
