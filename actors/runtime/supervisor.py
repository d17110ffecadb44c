"""The only place that starts a session, and the barrier around each: whatever happens inside, siblings do not see it.

Every end of an incarnation becomes an exit reason and is judged by ``core/supervision``: left, restarted after a delay,
or given up. The budget is the session's own.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

import attrs
import trio

from actors.core.ids import ChatId, DropReason
from actors.core.lifecycle import UP, SessionPhase
from actors.core.stream import ProgressSignal
from actors.core.supervision import FORGIVEN_S, DownReason, ExitReason, GiveUp, judge
from actors.errors import ActorsError, StoreCorruptError, StoreFencedError, StoreUnavailableError
from actors.ports import Committed, Erase
from actors.runtime.actor import Actor, SessionCrashedError
from actors.runtime.attempt import torn_down, without_cancelled
from actors.runtime.breaker import Joined
from actors.runtime.closing import close
from actors.runtime.committer import Failed, Result
from actors.runtime.control import Delete, Stop
from actors.runtime.drift import RUNNING
from actors.runtime.frames import place_in
from actors.runtime.mailbox import Reply
from actors.runtime.ref import Ref
from actors.runtime.refusals import refused
from actors.runtime.registry import Registry
from actors.runtime.resting import put_away
from actors.runtime.services import Services

_ENDED = frozenset({SessionPhase.STOPPED, SessionPhase.DELETED, SessionPhase.FENCED, SessionPhase.QUARANTINED})
_LEAVING = frozenset({SessionPhase.STOPPING, SessionPhase.PASSIVATING})

_TASK = "turn"


@attrs.define(eq=False)
class _Life:
    """The task of a session; one that was disowned has nothing to say any more."""

    ref: Ref
    task: trio.lowlevel.Task | None = None
    actor: Actor | None = None
    disowned: bool = False


class Supervisor:
    """Starts sessions and their turns in one nursery, and sees to their ends."""

    def __init__(self, services: Services, registry: Registry, nursery: trio.Nursery) -> None:
        """Take charge of a nursery that the runtime opened."""
        self._services = services
        self._registry = registry
        self._nursery = nursery
        self.live = 0
        services.spawn = self.spawn
        services.moved = self._moved
        if services.agent.receive is not None:
            services.watch_handlers = self.watch
        registry.moved = services.tracing.moved
        services.tracing.attached = self._attach

    @property
    def tasks(self) -> list[str]:
        """Name the tasks of sessions and turns that run now."""
        return sorted(task.name for task in self._nursery.child_tasks)

    def _moved(self, ref: Ref, new_id: ChatId) -> None:
        """Know a session under its new id, whoever watches it and its task too."""
        old_id, life = ref.chat_id, ref.life
        self._registry.rename(ref, new_id)
        self._services.tracing.rename(old_id, new_id)
        self._services.monitors.rename(old_id, new_id)
        if isinstance(life, _Life) and life.task is not None:
            life.task.name = new_id

    def _attach(self, chat_id: ChatId, tracer: object) -> None:
        """Let a session in memory know who is told of its steps."""
        ref = self._registry.get(chat_id)
        if ref is not None:
            ref.tracer = tracer

    def activate(self, ref: Ref) -> None:
        """Bring a session up; its mailbox takes messages from now on."""
        if ref.phase is SessionPhase.QUARANTINED:
            self.release(ref)
        ref.tracer = self._services.tracing.tracers.get(ref.chat_id)
        if ref.chat_id in self._registry.away:
            del self._registry.away[ref.chat_id]
            self._services.accounts.churn.note(self._services.clock.now_s())
        self._registry.move(ref, "activate")
        self._begin(ref)

    def _begin(self, ref: Ref, error: BaseException | None = None) -> None:
        """Start the task of a session; it begins with the judgement of an error if there was one."""
        self.live += 1
        ref.life = life = _Life(ref)
        self._nursery.start_soon(self._live, life, error, name=ref.chat_id)

    def release(self, ref: Ref) -> None:
        """Let a session out of quarantine; it comes up with the next message."""
        self._services.cooldowns.discard(ref)
        self._registry.move(ref, "release")
        ref.failures = ()
        ref.mailbox.reopen()
        self._services.recorder.record("warning", "session.released", chat_id=ref.chat_id)

    def finish(self, ref: Ref) -> None:
        """End a session that has no incarnation: take it out of the registry, erase it if that was asked."""
        self._registry.move(ref, "stop")
        self._begin(ref)

    def release_and_go_on(self, ref: Ref) -> None:
        """Let a session out of quarantine, and have the turns that wait in it go on; nothing if it is not there."""
        if ref.phase is SessionPhase.QUARANTINED and self._registry.get(ref.chat_id) is ref:
            self.release(ref)
            if ref.state is not None and ref.state.open_turns and not self._services.stopping:
                self.activate(ref)

    def expect_end(self, ref: Ref) -> None:
        """See that a session that was told to leave does: after its grace it is killed."""
        if ref.life is not None:
            self._services.stops.add(ref, self.kill)

    def kill(self, ref: Ref) -> None:
        """Cancel a session's task now; if it does not end within ``kill_s`` it is taken out of the way as a zombie."""
        life = ref.life
        if isinstance(life, _Life) and life.actor is not None and ref.scope is not None:
            if not ref.scope.cancel_called:
                self._services.zombies.expect_end(life.actor, partial(self._disown, life, life.actor))
            ref.scope.cancel()

    def _disown(self, life: "_Life", actor: Actor) -> None:
        """Take a task whose incarnation did not end out of the way; the session goes on in another one."""
        ref = life.ref
        if life.disowned or life.actor is not actor or life.task is None:
            return
        life.disowned = True
        self.live -= 1
        actor.leave()
        self._services.zombies.add(life.task, ref.chat_id, ref.incarnation)
        ref.mailbox.renew()
        ref.handling_since_s, ref.overran, ref.scope, ref.last_exit = math.inf, False, None, ExitReason.KILLED
        error = TimeoutError("a handler did not end when it was told to")
        error.__traceback__ = None
        self._begin(ref, error)

    def abandon(self) -> None:
        """Answer everybody who still waits for something, after the nursery of the sessions has closed."""
        self._services.monitors.tell_all(DownReason.FENCED if self._services.fenced else DownReason.SHUTDOWN)
        for ref in self._registry:
            erasing = ref.erasing or any(isinstance(signal, Delete) for signal in ref.mailbox.control.values())
            close(
                self._services, self._registry, ref, DropReason.FENCED if self._services.fenced else DropReason.STOPPING
            )
            ref.broadcast.close()
            for reply in ref.ending:
                if erasing and not ref.erased:
                    message = "the runtime closed before the session was known to be erased"
                    reply.fail(StoreUnavailableError(message, chat_id=ref.chat_id, hint="delete it in the next life"))
                else:
                    reply.set(None)

    def spawn(self, work: Callable[..., Awaitable[None]], *arguments: object, name: str = _TASK) -> None:
        """Run a task beside the sessions; whatever it raises is caught and counted as a bug of ours."""
        self._nursery.start_soon(self._guarded, work, arguments, name=name)

    @trio.lowlevel.enable_ki_protection
    async def watch(self) -> None:
        """End every incarnation whose handler has run for too long; looked at often enough to be a quarter late."""
        limit_s = self._services.limits.handler_s
        while True:
            await trio.sleep(limit_s / 4)
            now_s = trio.current_time()
            for ref in self._registry:
                if now_s - ref.handling_since_s >= limit_s and ref.scope is not None:
                    ref.overran = True
                    self.kill(ref)

    @trio.lowlevel.enable_ki_protection
    async def _guarded(self, work: Callable[..., Awaitable[None]], arguments: tuple[object, ...]) -> None:
        """Run a task behind the barrier."""
        try:
            await work(*arguments)
        except BaseException as error:
            left = without_cancelled(error)
            if left is None and torn_down():
                raise
            self._services.recorder.record("error", "session.crashed", error=type(error).__name__, place="task")

    @trio.lowlevel.enable_ki_protection
    async def _live(self, life: "_Life", error: BaseException | None) -> None:
        """Run one incarnation after another until the session ends, or until this task is disowned."""
        ref = life.ref
        life.task = trio.lowlevel.current_task()
        RUNNING.set(ref)
        try:
            while ref.phase not in _ENDED:
                delay_s = 0.0
                if ref.phase is not SessionPhase.STOPPING:
                    delay_s = await self._incarnation(life) if error is None else self._failed(ref, error)
                    error = None
                if life.disowned:
                    return
                if ref.phase is SessionPhase.RESTARTING:
                    await self._pause(ref, delay_s)
                if ref.phase is SessionPhase.PASSIVATING:
                    await trio.lowlevel.cancel_shielded_checkpoint()  # who has just found the entry gets its word in
                if ref.phase is SessionPhase.PASSIVATING and put_away(self._registry, self._services, ref):
                    return
                if ref.phase is SessionPhase.STOPPING:
                    await self._end(ref)
        except BaseException as raised:
            if without_cancelled(raised) is None and torn_down():
                raise
            if not life.disowned:
                self._give_up(ref, raised)
        finally:
            if not life.disowned:
                self.live -= 1
                ref.life = None
                self._services.stops.discard(ref)

    def _give_up(self, ref: Ref, error: BaseException) -> None:
        """Quarantine a session whose supervision itself has failed, by a bug or a faulty clock: the others go on."""
        counts = self._services.accounts.counts
        counts.crashes += 1
        counts.quarantines += 1
        ref.last_error = type(error).__name__
        ref.last_exit = ExitReason.QUARANTINED
        ref.quarantined_until_s = self._services.clock.now_s() + self._services.limits.quarantine_s
        self._registry.force(ref, SessionPhase.QUARANTINED)
        self._services.recorder.record(
            "error", "session.quarantined", chat_id=ref.chat_id, error=ref.last_error, place=place_in(error)
        )
        close(self._services, self._registry, ref, DropReason.QUARANTINED)
        ending, ref.ending = ref.ending, []
        for reply in ending:
            reply.fail(refused(DropReason.QUARANTINED, chat_id=ref.chat_id))
        self._services.crash_reports.note(ref, ExitReason.QUARANTINED, error, "service")
        self._cool_down(ref)

    def _cool_down(self, ref: Ref) -> None:
        """Have a quarantined session released when its cool-down is over, and tell who watches it."""
        self._services.cooldowns.add(ref, self.release_and_go_on)
        self._services.monitors.tell(ref.chat_id, DownReason.QUARANTINED, ref.incarnation)

    async def _incarnation(self, life: "_Life") -> float:
        """Run one incarnation behind the barrier; return how long to wait before the next."""
        ref, services = life.ref, self._services
        ref.incarnation += 1
        ref.task = trio.lowlevel.current_task()
        services.accounts.counts.activations += 1
        error: BaseException | None = None
        exit_reason = ExitReason.KILLED
        actor = life.actor = Actor(ref, services)
        try:
            with trio.CancelScope() as ref.scope:
                exit_reason = await actor.run(self._hear)
        except BaseException as raised:  # the barrier: every kind, groups included
            error = without_cancelled(raised) or raised
            if isinstance(error, trio.Cancelled) and torn_down():
                ref.last_exit = ExitReason.SHUTDOWN
                raise
            recovering = ref.phase is SessionPhase.ACTIVATING
            exit_reason = ExitReason.INIT_FAILED if recovering else ExitReason.CRASHED
            if isinstance(error, StoreFencedError):
                exit_reason = ExitReason.FENCED
        else:
            if ref.overran and not life.disowned:
                error = TimeoutError("a handler took longer than the limit handler_s")
                exit_reason = ExitReason.CRASHED
        finally:
            life.actor = None
            services.zombies.ended(actor)
        if life.disowned:
            return 0.0
        ref.overran, ref.turn, ref.last_exit = False, None, exit_reason
        if ref.phase in _LEAVING:  # whatever ended it, it was on its way out with all it has on disk
            return 0.0
        if error is not None:
            return self._failed(ref, error, actor.doing)
        self._registry.move(ref, "stop")
        return 0.0

    def _hear(self, ref: Ref, how: Literal["ready", "resting"]) -> None:
        """Hear from an incarnation that it has recovered, or that it ends because its session is at rest."""
        if how == "resting":
            self._registry.move(ref, "passivate")
            return
        if ref.phase is SessionPhase.ACTIVATING:
            self._registry.move(ref, "recovered")
        if ref.phase is SessionPhase.ACTIVE and ref.suspended:
            self._registry.move(ref, "suspend")
        self._services.recorder.record(
            "debug",
            "session.activated",
            chat_id=ref.chat_id,
            epoch=self._services.epoch,
            seq=ref.seq,
            incarnation=ref.incarnation,
        )

    def _failed(self, ref: Ref, error: BaseException, doing: str = "tell") -> float:
        """Judge a crash of a session that was ``doing`` something."""
        services = self._services
        cause = error.__cause__ if isinstance(error, SessionCrashedError) and error.__cause__ else error
        ref.last_error = type(cause).__name__
        counts = services.accounts.counts
        if isinstance(error, StoreFencedError):
            self._registry.move(ref, "fence")
            close(self._services, self._registry, ref, DropReason.FENCED)
            services.monitors.tell(ref.chat_id, DownReason.FENCED, ref.incarnation)
            ref.broadcast.close()
            return 0.0
        services.crash_reports.note(ref, ref.last_exit or ExitReason.CRASHED, cause, doing)
        if isinstance(error, StoreUnavailableError):  # the disk's fault, not the session's
            self._registry.move(ref, "crash")
            delay_s = services.limits.commit_retry_last_s * services.clock.dice()
            services.recorder.limited(
                "warning",
                "session.restarting",
                ref.chat_id,
                chat_id=ref.chat_id,
                error=ref.last_error,
                delay_s=round(delay_s, 3),
            )
            return delay_s
        counts.crashes += 1
        services.recorder.limited(
            "error", "session.crashed", ref.chat_id, chat_id=ref.chat_id, error=ref.last_error, place=place_in(cause)
        )
        now_s = services.clock.now_s()
        joined = None if isinstance(error, StoreCorruptError) else services.breaker.failed(ref.chat_id, self.live)
        if joined is not None:
            return self._join(ref, joined)
        verdict = judge(ref.failures, now_s, services.clock.dice(), services.limits)
        if isinstance(error, StoreCorruptError):
            services.recorder.record("error", "session.corrupt", chat_id=ref.chat_id, error=ref.last_error)
            verdict = GiveUp(now_s + services.limits.quarantine_s)
        if isinstance(verdict, GiveUp):
            counts.quarantines += 1
            ref.quarantined_until_s = verdict.until_s
            ref.last_exit = ExitReason.QUARANTINED
            services.breaker.forget(ref.chat_id)
            self._registry.move(ref, "give_up")
            failures = len(ref.failures) + 1
            services.recorder.record("error", "session.quarantined", chat_id=ref.chat_id, failures=failures)
            ref.broadcast.progress(ProgressSignal(ref.chat_id, 0, "quarantined", ref.last_error))
            close(self._services, self._registry, ref, DropReason.QUARANTINED)
            self._cool_down(ref)
            return 0.0
        ref.failures = verdict.failures
        return self._restart(ref, verdict.delay_s)

    def _join(self, ref: Ref, joined: Joined) -> float:
        """Let a session wait with the fleet; nobody's budget pays for what failed together."""
        ref.failures = (*ref.failures, self._services.clock.now_s())
        for other in filter(None, map(self._registry.get, joined.forgiven)):
            kept = (at_s for at_s in other.failures if FORGIVEN_S < at_s <= joined.since_s)
            other.failures = (FORGIVEN_S, *kept)
        return self._restart(ref, joined.delay_s)

    def _restart(self, ref: Ref, delay_s: float) -> float:
        """Have a new incarnation follow after a delay."""
        self._services.accounts.counts.restarts += 1
        ref.restarts += 1
        self._registry.move(ref, "crash")
        self._services.recorder.limited(
            "warning", "session.restarting", ref.chat_id, chat_id=ref.chat_id, delay_s=round(delay_s, 3)
        )
        self._services.monitors.tell(ref.chat_id, DownReason.RESTARTED, ref.incarnation)
        return delay_s

    async def _pause(self, ref: Ref, delay_s: float) -> None:
        """Wait before a restart; messages gather meanwhile, and a stop is heard."""
        with trio.move_on_after(delay_s):
            while not _told_to_leave(ref):
                await ref.mailbox.park()
        if ref.phase is not SessionPhase.STOPPING:  # as it is when it was told to leave meanwhile
            self._registry.move(ref, "stop" if _told_to_leave(ref) else "activate")

    async def _end(self, ref: Ref) -> None:
        """Take a session out of the registry, and erase it if that was asked."""
        error: ActorsError | None = None
        while ref.writing:  # noqa: ASYNC110 - a ref that goes while its entry is on its way would miss what comes of it
            await trio.sleep(self._services.limits.commit_retry_first_s)
        if ref.erasing or any(isinstance(signal, Delete) for signal in ref.mailbox.control.values()):
            error = await self._erase(ref)
        if ref.erased:
            self._registry.move(ref, "erased")
            ids = self._registry.bury(ref.chat_id)
            self._services.expiries.forget(ref.chat_id)
            self._services.accounts.counts.deleted += 1
            self._services.accounts.dead_letters.erase(ids)
            self._services.recorder.record("info", "session.deleted", chat_id=ref.chat_id)
        else:
            self._registry.move(ref, "stopped")
            self._services.recorder.record("debug", "session.stopped", chat_id=ref.chat_id, seq=ref.seq)
        gone = DropReason.FENCED if self._services.fenced else DropReason.STOPPING
        close(self._services, self._registry, ref, DropReason.DELETED_CHAT if ref.erased else gone)
        self._registry.remove(ref)
        self._services.monitors.tell(ref.chat_id, self._down(ref), ref.incarnation)
        self._registry.note_end(ref, self._services.clock.now_s())
        if ref.erased:
            self._services.tracing.forget(ref.chat_id)
        ref.broadcast.close()
        for reply in ref.ending:
            _ = reply.set(None) if error is None else reply.fail(error)

    def _down(self, ref: Ref) -> DownReason:
        """Say what a monitor of a session that has ended is told."""
        if ref.erased:
            return DownReason.DELETED
        if self._services.fenced:
            return DownReason.FENCED
        return DownReason.SHUTDOWN if self._services.stopping else DownReason.STOPPED

    async def _erase(self, ref: Ref) -> ActorsError | None:
        """Erase a session whose incarnation has ended, its children first; return why it could not be, if so."""
        error = await self._erase_children(ref.chat_id)
        if error is not None:
            return error
        reply = Reply()

        def done(result: Result) -> None:
            reply.set(result)

        self._services.committer.submit(Erase(ref.chat_id, self._services.clock.wall_s()), 0, done)
        result = await reply.wait()
        ref.erased = isinstance(result, Committed)
        return result.error if isinstance(result, Failed) else None

    async def _erase_children(self, chat_id: ChatId) -> ActorsError | None:
        """Erase the sessions that turns of a session spawned, a page at a time; return why one could not be.

        Should the process end between, the parent is still there, and erasing it again goes on with what is left.
        """
        rows_max = self._services.limits.page_rows_max
        try:
            children = await self._services.journal.children(chat_id, rows_max)
            while children and not self._services.fenced:
                refs = [self._registry.get_or_insert(child) for child in children]
                ends = [self.end(child, Delete()) for child in refs]
                for reply in ends:
                    await reply.wait()
                children = await self._services.journal.children(chat_id, rows_max)
        except ActorsError as error:
            return error
        return None

    def end(self, ref: Ref, signal: Stop | Delete) -> Reply:
        """Have a session end; the reply is answered when it has. One that is fenced has ended already.

        It has its grace to leave, is killed after it, and given up if even then it does not end.
        """
        reply = Reply()
        if ref.phase is SessionPhase.FENCED:
            reply.set(None)
            return reply
        ref.ending.append(reply)
        ref.mailbox.post_control(type(signal), signal)
        if ref.phase in UP:
            self._registry.move(ref, "stop")
        elif ref.phase is not SessionPhase.STOPPING:
            self.finish(ref)
        if len(ref.ending) == 1:  # asking again gives it no more time
            self.expect_end(ref)
        return reply


def _told_to_leave(ref: Ref) -> bool:
    """Say whether a stop or a deletion waits on the control lane."""
    return any(isinstance(signal, Stop | Delete) for signal in ref.mailbox.control.values())
