"""A scenario, run again and again: each time a fault happens at the next of its steps, until it ends before the fault.

A step is a task going to sleep, at any checkpoint of any task: everything that runs in between is one step for trio.
So a fault that is swept has happened at every moment at which it can happen, under one order of tasks; other orders are
for ``each_schedule``. After each run the runtime has to come to rest with its sums closed and no task left over, and
what is on the store is judged by ``check_history``.
"""

import copy
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Final

import attrs
import trio
from typing_extensions import override

from actors.core.audit import check_history
from actors.core.limits import Limits
from actors.runtime.agent import Agent
from actors.runtime.facade import Runtime
from actors.runtime.turn import Turn
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing.at_once import crash_now
from actors.testing.checked import checked_runtime, settle
from actors.testing.clock import VirtualClock
from actors.testing.schedules import SEEDABLE, seeded_schedule
from actors.testing.stored import histories

STEPS_MAX: Final = 2000
"""More steps than a scenario of a few messages has; one that has more is not swept to its end unnoticed."""

Act = Callable[[Runtime], Awaitable[object]]
"""Something that a host does with a runtime."""

AnyAgent = Agent | Callable[[Turn], Awaitable[str | None]]


@attrs.frozen
class Cancels:
    """Fault: the act is cancelled, as its caller would be."""


@attrs.frozen
class Crashes:
    """Fault: a session crashes where it stands."""

    chat_id: str


@attrs.frozen
class Kills:
    """Fault: the process ends. What the store holds at that moment is opened by another life, with another agent.

    The tasks of the old life are cancelled, so they may still do what they do before their next checkpoint, which a
    real kill would not let them; ``world`` is called at the moment of the kill, for what a test keeps outside.
    """

    world: Callable[[], object] = attrs.field(default=lambda: None, repr=False)


@attrs.frozen
class Meets:
    """No fault: something else begins at that moment, beside the act; what it raises fails the run."""

    act: Act


Disturbance = Cancels | Crashes | Kills | Meets


@attrs.frozen(kw_only=True)
class Scenario:
    """What is run at each step, on a runtime in memory that is opened for it.

    ``agent`` makes a new agent for each life. ``before`` is done undisturbed, ``act`` is disturbed, and ``after`` is
    done when the act has ended one way or the other, in the life that follows if the process was killed; what they
    raise fails the run, but for what a disturbed act raises that is an expected outcome: of types in ``may_raise``.
    """

    act: Act
    agent: Callable[[], AnyAgent]
    before: Act | None = None
    after: Act | None = None
    limits: Limits | None = None
    may_raise: tuple[type[Exception], ...] = ()


async def sweep(
    scenario: Scenario, fault: Disturbance | None = None, *, seed: int = 0, steps_max: int = STEPS_MAX, every: int = 1
) -> int:
    """Disturb a scenario at every step (``every`` n-th, if it is more than one) and return how many times it was run.

    ``fault`` is ``Cancels()`` if none is given. The schedule comes from ``seed`` where schedules can be seeded. The
    first run that fails ends the sweep; the exception says in a note at which step, under which fault. Raises
    AssertionError also when the scenario has more than ``steps_max`` steps.
    """
    disturbance = Cancels() if fault is None else fault
    for step in range(1, steps_max + 1, every):
        try:
            with seeded_schedule(seed) if SEEDABLE else nullcontext():
                disturbed = await _run(scenario, disturbance, step, seed)
        except BaseException as error:
            error.add_note(f"{disturbance} at step {step}")
            raise
        if not disturbed:
            return (step - 1) // every + 1
    message = f"the scenario has more than {steps_max} steps"
    raise AssertionError(message)


class _KilledError(Exception):
    """Ends a life that was killed; never leaves this module."""


class _At(trio.abc.Instrument):
    """Does something once, when so many steps have been made; whatever it is happens between two steps."""

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        """Count down from a step."""
        self.left = step
        self._action = action

    @property
    def over(self) -> bool:
        """Whether it has been done."""
        return self.left <= 0

    @override
    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self._action()


async def _run(scenario: Scenario, fault: Disturbance, step: int, seed: int) -> bool:
    """Run a scenario once, disturbed at one step; say whether it came to that."""
    store = MemoryStore()
    journal = MemoryJournal(store)
    left: list[MemoryStore] = []
    disturbed = True
    with suppress(_KilledError):
        async with checked_runtime(
            scenario.agent(), store=journal, limits=scenario.limits, clock=VirtualClock(seed), open_turns=True
        ) as runtime:
            if scenario.before is not None:
                await scenario.before(runtime)
            disturbed = await _disturb(scenario, fault, step, runtime, lambda: left.append(_copy(store)))
            if left:
                raise _KilledError
            await _conclude(scenario, runtime, journal)
    if left:
        journal = MemoryJournal(left[0])
        clock = VirtualClock(seed + 1)
        async with checked_runtime(scenario.agent(), store=journal, limits=scenario.limits, clock=clock) as runtime:
            await _conclude(scenario, runtime, journal)
    return disturbed


async def _disturb(
    scenario: Scenario, fault: Disturbance, step: int, runtime: Runtime, keep: Callable[[], None]
) -> bool:
    """Do the act of a scenario and have the fault happen at a step; say whether it did."""
    scope, now = trio.CancelScope(), trio.Event()

    def happen() -> None:
        match fault:
            case Cancels():
                scope.cancel()
            case Crashes(chat_id=chat_id):
                crash_now(runtime, chat_id)
            case Kills(world=world):
                keep()
                world()
                scope.cancel()
            case Meets():
                now.set()

    async def meet(act: Act) -> None:
        await now.wait()
        await act(runtime)

    instrument = _At(step, happen)
    async with trio.open_nursery() as nursery:
        if isinstance(fault, Meets):
            nursery.start_soon(meet, fault.act)
        trio.lowlevel.add_instrument(instrument)
        try:
            with scope:
                try:
                    await scenario.act(runtime)
                except scenario.may_raise:
                    await trio.lowlevel.checkpoint_if_cancelled()
        finally:
            trio.lowlevel.remove_instrument(instrument)
        if not instrument.over:
            nursery.cancel_scope.cancel()
    return instrument.over


async def _conclude(scenario: Scenario, runtime: Runtime, journal: MemoryJournal) -> None:
    """Do what comes after, wait for rest, and judge what is stored."""
    if scenario.after is not None:
        await scenario.after(runtime)
    await settle(runtime)
    wrong = [
        sentence for events in (await histories(journal)).values() for sentence in check_history(events, settled=True)
    ]
    assert not wrong, "\n".join(wrong)


def _copy(store: MemoryStore) -> MemoryStore:
    """Copy what is stored at this moment; nobody owns the copy."""
    return copy.deepcopy(store, {id(store.owner): None})
