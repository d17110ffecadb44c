"""One life of a runtime: open the journal, run its services and sessions, stop in phases, give the journal up."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from actors.core.decision import Policy
from actors.core.limits import Limits
from actors.ports import Clock, Journal
from actors.runtime.accounting import Accounts
from actors.runtime.agent import Agent
from actors.runtime.appointments import Appointments
from actors.runtime.committer import Committer
from actors.runtime.expiry import Expiries
from actors.runtime.facade import Runtime
from actors.runtime.kin import Kin
from actors.runtime.passivation import Passivator
from actors.runtime.phases import Phases
from actors.runtime.recorder import Recorder
from actors.runtime.registry import Registry
from actors.runtime.router import Router
from actors.runtime.services import Checkpoints, Deadlines, Services
from actors.runtime.supervisor import Supervisor


@asynccontextmanager
async def run_runtime(
    journal: Journal,
    agent: Agent,
    *,
    limits: Limits,
    clock: Clock,
    recorder: Recorder,
    takeover: bool = False,
) -> AsyncIterator[Runtime]:
    """Open a journal, run sessions on it until the block is left, and give it up again.

    Leaving the block stops in phases: running turns get ``drain_s``, or nothing if the block raised. Raises what the
    journal's ``open`` raises.
    """
    with trio.CancelScope(shield=True):  # a store that is half open would stay locked by its own process
        opened = await journal.open(takeover=takeover)
    failure: BaseException | None = None
    supervisor: Supervisor | None = None
    try:
        services = assemble(journal, agent, opened.epoch, limits=limits, clock=clock, recorder=recorder)
        registry = Registry(limits, opened.chat_ids, opened.tombstones, opened.aliases)
        async with trio.open_nursery() as services_nursery:
            services_nursery.start_soon(services.committer.run, name="committer")
            services_nursery.start_soon(services.committer.watch, name="committer's watch")
            services_nursery.start_soon(services.checkpoints.run, name="checkpoints")
            services_nursery.start_soon(services.deadlines.run, name="deadlines")
            services_nursery.start_soon(services.expiries.run, name="expiries")
            services_nursery.start_soon(services.timers.run, name="timers")
            async with trio.open_nursery() as sessions_nursery:
                supervisor = Supervisor(services, registry, sessions_nursery)
                services_nursery.start_soon(Passivator(services, registry, supervisor).run, name="passivation")
                router = Router(services, registry, supervisor)
                phases = Phases(services, registry, supervisor, router)
                services.store_changed = phases.store_changed
                appointments = Appointments(services, registry, router)
                services.fall_due = appointments.fall_due
                runtime = Runtime(services, registry, supervisor, router)
                if agent.receive is not None:
                    services_nursery.start_soon(supervisor.watch, name="handlers' watch")
                try:
                    await phases.recover(opened.unfinished)
                    appointments.expect(opened.appointments)
                    recorder.record("info", "runtime.opened", epoch=opened.epoch, sessions=len(opened.chat_ids))
                    yield runtime
                except BaseException as error:  # noqa: BLE001 - raised again below, outside the nurseries
                    failure = error
                with trio.CancelScope(shield=True):
                    await phases.shut_down(limits.drain_s if failure is None else 0.0)
                sessions_nursery.cancel_scope.cancel()
            services_nursery.cancel_scope.cancel()
    finally:
        if supervisor is not None:
            supervisor.abandon()
        with trio.CancelScope(shield=True):
            try:
                with trio.move_on_after(limits.phase_s):
                    await journal.close()
            except BaseException as error:  # noqa: BLE001 - what happened before it is not to be hidden by it
                failure = failure or error
            recorder.record("info", "runtime.closed", epoch=opened.epoch)
    if failure is not None:
        raise failure


def assemble(
    journal: Journal, agent: Agent, epoch: int, *, limits: Limits, clock: Clock, recorder: Recorder
) -> Services:
    """Make what the sessions of a runtime share."""

    def store_changed(what: str) -> None:
        services.store_changed(what)

    services = Services(
        epoch=epoch,
        agent=agent,
        policy=Policy(limits, agent.overlap),
        limits=limits,
        clock=clock,
        journal=journal,
        committer=Committer(journal, limits, recorder, store_changed),
        recorder=recorder,
        accounts=Accounts(limits.dead_letters_max, recorder, clock),
        checkpoints=Checkpoints(limits.checkpoint_s, clock),
        deadlines=Deadlines(limits.turn_s, clock),
        kin=Kin(),
        expiries=Expiries(clock.wall_s, look_s=limits.expiry_look_s, batch_max=limits.expiry_batch_max),
        timers=Expiries(clock.now_s, look_s=math.inf, batch_max=limits.expiry_batch_max),
        activations=trio.Semaphore(limits.activations_max),
    )
    return services
