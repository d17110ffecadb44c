"""The parts of a runtime, put together by hand: what a session stands on, without a session, a store or a task."""

import math
from collections.abc import Awaitable, Callable
from io import BytesIO

import attrs
import trio

from actors.core.decision import Policy
from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.core.state import QueuedTurn, RunningTurn, SessionState
from actors.runtime.accounting import Accounts
from actors.runtime.agent import Receive, agent
from actors.runtime.attempt import Outlet
from actors.runtime.breaker import Breaker
from actors.runtime.committer import Committer
from actors.runtime.crash_reports import CrashReports
from actors.runtime.dead_letters import DeadLetters
from actors.runtime.deadlines import Deadlines
from actors.runtime.expiry import Expiries
from actors.runtime.facade import Runtime
from actors.runtime.kin import Kin
from actors.runtime.mailbox import Budget
from actors.runtime.monitors import Monitors
from actors.runtime.phases import Phases
from actors.runtime.recorder import Recorder
from actors.runtime.ref import Ref
from actors.runtime.service_group import ServiceGroup
from actors.runtime.services import Checkpoints, Services
from actors.runtime.tracing import Tracing
from actors.runtime.turn import Turn
from actors.runtime.watchdog import Watchdog
from actors.runtime.workers import Workers
from actors.runtime.zombies import Zombies
from actors.store.memory import MemoryJournal
from actors.testing import ScriptedAgent, VirtualClock, records_of

CHAT = ChatId("live:a")


@attrs.define
class Bench:
    """One session's ref and the services it shares; nothing of it runs."""

    ref: Ref
    services: Services
    log: BytesIO
    clock: VirtualClock

    def turn(self, number: int = 1, attempt: int = 1) -> Turn:
        """Begin a turn of the session, which speaks through an outlet."""
        queued = QueuedTurn(number, f"key.{number}", "hello")
        state = SessionState(CHAT, 3, number, RunningTurn(queued, attempt))
        self.ref.state = state
        outlet = Outlet(self.ref, self.services)
        return Turn(outlet, state, self.services.limits, self.clock, self.ref.broadcast)

    def records(self) -> list[str]:
        """Close the log and name its records."""
        self.services.recorder.close()
        return [record["event"] for record in records_of(self.log)]


def bench(
    limits: Limits | None = None,
    *,
    answer: Callable[[Turn], Awaitable[str | None]] | None = None,
    receive: Receive | None = None,
) -> Bench:
    """Put a session's parts together; there must be a trio loop, since its clock is read."""
    bounds = limits or Limits()
    clock, log, journal = VirtualClock(), BytesIO(), MemoryJournal()
    recorder = Recorder(log, "debug", bounds, clock)
    services = Services(
        epoch=1,
        agent=agent(answer or ScriptedAgent(), receive=receive),
        policy=Policy(bounds),
        limits=bounds,
        clock=clock,
        journal=journal,
        committer=Committer(journal, bounds, recorder, lambda _: None),
        recorder=recorder,
        accounts=Accounts(DeadLetters(bounds, clock), recorder),
        checkpoints=Checkpoints(bounds.checkpoint_s, clock),
        deadlines=Deadlines(bounds.turn_s, clock),
        kin=Kin(),
        expiries=Expiries(clock.wall_s, look_s=bounds.expiry_look_s, batch_max=bounds.expiry_batch_max),
        timers=Expiries(clock.now_s, look_s=math.inf, batch_max=bounds.expiry_batch_max),
        cooldowns=Deadlines(bounds.quarantine_s, clock),
        stops=Deadlines(bounds.phase_s, clock),
        zombies=Zombies(bounds.kill_s, clock, recorder),
        crash_reports=CrashReports(journal, bounds, clock, recorder),
        monitors=Monitors(),
        watchdog=Watchdog(bounds, recorder),
        workers=Workers(bounds.offload_threads_max, real=False),
        activations=trio.Semaphore(1),
        breaker=Breaker(bounds, clock, recorder),
        tracing=Tracing(clock, recorder, bounds),
    )
    services.group = ServiceGroup((), bounds, recorder)
    return Bench(Ref(CHAT, bounds, Budget(bounds.memory_bytes_max)), services, log, clock)


async def shut_down(runtime: Runtime, drain_s: float) -> None:
    """Stop a runtime while its block is still open."""
    parts = runtime._services, runtime._registry, runtime._supervisor, runtime._router  # noqa: SLF001 - as its life does
    await Phases(*parts).shut_down(drain_s)
