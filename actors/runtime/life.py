"""One life of a runtime: open the journal, run its services and sessions, stop in phases, give the journal up."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import trio

from actors.core.decision import Policy
from actors.core.limits import Limits
from actors.ports import Clock, Journal, Opened
from actors.runtime.accounting import Accounts
from actors.runtime.agent import Agent
from actors.runtime.alarms import Alarms
from actors.runtime.appointments import Appointments
from actors.runtime.breaker import Breaker
from actors.runtime.committer import Committer
from actors.runtime.crash_reports import CrashReports
from actors.runtime.deadlines import Deadlines
from actors.runtime.expiry import Expiries
from actors.runtime.facade import Runtime
from actors.runtime.kin import Kin
from actors.runtime.monitors import Monitors
from actors.runtime.passivation import Passivator
from actors.runtime.phases import Phases
from actors.runtime.registry import Registry
from actors.runtime.router import Router
from actors.runtime.service_group import Service, ServiceGroup
from actors.runtime.services import Checkpoints, Services
from actors.runtime.supervisor import Supervisor
from actors.runtime.tracing import Tracing
from actors.runtime.watchdog import Watchdog
from actors.runtime.workers import Workers
from actors.runtime.zombies import Zombies


@asynccontextmanager
async def run_runtime(  # noqa: PLR0913 - the parts of a runtime, all named by the caller
    journal: Journal,
    agent: Agent,
    *,
    limits: Limits,
    clock: Clock,
    accounts: Accounts,
    beside: Callable[[Runtime], Awaitable[None]],
    takeover: bool = False,
    debug: bool = False,
) -> AsyncIterator[Runtime]:
    """Open a journal, run sessions on it until the block is left, and give it up again.

    ``beside`` runs beside the services for as long as they do; it must see to its own failures. Leaving the block stops
    in phases: running turns get ``drain_s``, or nothing if the block raised. Raises what the journal's ``open`` raises.
    """
    with trio.CancelScope(shield=True):  # a store that is half open would stay locked by its own process
        opened = await journal.open(takeover=takeover, forget_before_s=clock.wall_s() - limits.tombstone_s)
    failure: BaseException | None = None
    supervisor: Supervisor | None = None
    try:
        services = assemble(journal, agent, opened, limits=limits, clock=clock, accounts=accounts)
        services.debug = debug
        registry = Registry(limits, opened.chat_ids, opened.tombstones, opened.aliases)
        async with trio.open_nursery() as services_nursery:

            def on_lost() -> None:
                services.committer.close()
                services_nursery.cancel_scope.cancel()

            async with trio.open_nursery() as sessions_nursery:
                supervisor = Supervisor(services, registry, sessions_nursery)
                shell = put_together(services, registry, supervisor)
                services_nursery.start_soon(beside, shell.runtime, name="observer")
                try:
                    await services_nursery.start(services.group.run, on_lost, name="services")
                    await shell.phases.recover(opened.unfinished)
                    shell.appointments.expect(opened.appointments)
                    accounts.recorder.record(
                        "info", "runtime.opened", epoch=opened.epoch, sessions=len(opened.chat_ids)
                    )
                    yield shell.runtime
                except BaseException as error:  # noqa: BLE001 - raised again below, outside the nurseries
                    failure = error
                with trio.CancelScope(shield=True):
                    await shell.phases.shut_down(limits.drain_s if failure is None else 0.0)
                sessions_nursery.cancel_scope.cancel()
            with trio.move_on_after(limits.phase_s, shield=True):
                await services.group.stop()
            services.crash_reports.close()
            services_nursery.cancel_scope.cancel()
        if services.group.lost is not None:
            failure = services.group.lost
    finally:
        if supervisor is not None:
            supervisor.abandon()
        try:
            with trio.move_on_after(limits.phase_s, shield=True):
                await journal.close()
        except BaseException as error:  # noqa: BLE001 - what happened before it is not to be hidden by it
            failure = failure or error
        accounts.recorder.record("info", "runtime.closed", epoch=opened.epoch)
    if failure is not None:
        raise failure


@attrs.frozen
class Shell:
    """The parts that act on sessions from outside."""

    runtime: Runtime
    phases: Phases
    appointments: Appointments


def put_together(services: Services, registry: Registry, supervisor: Supervisor) -> Shell:
    """Make the parts that act on sessions, and let the services know those that they call."""
    router = Router(services, registry, supervisor)
    phases = Phases(services, registry, supervisor, router)
    appointments = Appointments(services, registry, router)
    alarms = Alarms(services, registry)
    services.put_away = Passivator(services, registry).run
    services.store_changed = phases.store_changed
    services.fall_due = appointments.fall_due
    services.watch_alarms = alarms.run
    services.watchdog.chats = registry.known
    services.group = group_of(services)
    return Shell(Runtime(services, registry, supervisor, router, alarms), phases, appointments)


def assemble(
    journal: Journal, agent: Agent, opened: Opened, *, limits: Limits, clock: Clock, accounts: Accounts
) -> Services:
    """Make what sessions share."""
    recorder = accounts.recorder

    def store_changed(what: str) -> None:
        services.store_changed(what)

    services = Services(
        epoch=opened.epoch,
        agent=agent,
        policy=Policy(limits, agent.overlap, allowance=agent.allowance),
        limits=limits,
        clock=clock,
        journal=journal,
        committer=Committer(journal, limits, recorder, store_changed),
        recorder=recorder,
        accounts=accounts,
        checkpoints=Checkpoints(limits.checkpoint_s, clock),
        deadlines=Deadlines(agent.turn_s or limits.turn_s, clock),
        expiries=Expiries(clock.wall_s, look_s=limits.expiry_look_s, batch_max=limits.expiry_batch_max),
        timers=Expiries(clock.now_s, look_s=math.inf, batch_max=limits.expiry_batch_max),
        kin=Kin(),
        cooldowns=Deadlines(limits.quarantine_s, clock),
        stops=Deadlines(limits.cancel_grace_s + limits.phase_s, clock),
        zombies=Zombies(limits.kill_s, clock, recorder),
        crash_reports=CrashReports(journal, limits, clock, recorder),
        monitors=Monitors(),
        watchdog=Watchdog(limits, recorder),
        workers=Workers(limits.offload_threads_max, real=clock.real),
        activations=trio.Semaphore(limits.activations_max),
        breaker=Breaker(limits, clock, recorder),
        tracing=Tracing(clock, recorder, limits),
    )
    accounts.dead_letters.start(opened.dead_letters, services.committer.submit)
    return services


def group_of(services: Services) -> ServiceGroup:
    """Put the services into the order in which they stand on one another."""
    group = [
        Service("committer", services.committer.run),
        Service("committer's watch", services.committer.watch),
        Service("checkpoints", services.checkpoints.run),
        Service("deadlines", services.deadlines.run),
        Service("expiries", services.expiries.run),
        Service("timers", services.timers.run),
        Service("cool-downs", services.cooldowns.run),
        Service("stops", services.stops.run),
        Service("zombies", services.zombies.run),
        Service("crash reports", services.crash_reports.run),
        Service("handlers' watch", services.watch_handlers),
        Service("passivation", services.put_away),
        Service("alarms", services.watch_alarms),
    ]
    if services.clock.real:
        group.append(Service("watchdog", services.watchdog.run))
    return ServiceGroup(group, services.limits, services.recorder)
