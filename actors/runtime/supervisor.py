"""The only place that starts a session, and the barrier around each: whatever happens inside, siblings do not see it.

Every end of an incarnation becomes an exit reason and is judged by ``core/supervision``: left, restarted after a delay,
or given up. The budget is the session's own.
"""

from collections.abc import Awaitable, Callable

import trio

from actors.core.commands import Accept
from actors.core.ids import ChatId, DropReason
from actors.core.lifecycle import UP, SessionPhase
from actors.core.passivation import Reason
from actors.core.stream import ProgressSignal
from actors.core.supervision import GiveUp, judge
from actors.errors import (
    ActorsError,
    AskError,
    StoreCorruptError,
    StoreFencedError,
    StoreUnavailableError,
)
from actors.ports import Committed, Erase
from actors.runtime.actor import Actor, SessionCrashedError
from actors.runtime.attempt import torn_down, without_cancelled
from actors.runtime.committer import Failed, Result
from actors.runtime.control import (
    AnswerPrompt,
    CancelTurn,
    ControlQueue,
    Delete,
    MigrateTo,
    Order,
    Passivate,
    Prepare,
    RetryTurn,
    Stop,
)
from actors.runtime.mailbox import Letter, Reply, Request
from actors.runtime.ref import Ref
from actors.runtime.refusals import refused
from actors.runtime.registry import Registry
from actors.runtime.services import Services

_ENDED = frozenset({SessionPhase.STOPPED, SessionPhase.DELETED, SessionPhase.FENCED, SessionPhase.QUARANTINED})

_ASKABLE = frozenset({SessionPhase.ACTIVATING, SessionPhase.ACTIVE, SessionPhase.PASSIVATING})

_TASK = "turn"


class Supervisor:
    """Starts sessions and their turns in one nursery, and sees to their ends."""

    def __init__(self, services: Services, registry: Registry, nursery: trio.Nursery) -> None:
        """Take charge of a nursery that the runtime opened."""
        self._services = services
        self._registry = registry
        self._nursery = nursery
        self.live = 0
        services.spawn = self.spawn
        services.moved = registry.rename

    @property
    def tasks(self) -> list[str]:
        """Name the tasks of sessions and turns that run now."""
        return sorted(task.name for task in self._nursery.child_tasks)

    def activate(self, ref: Ref) -> None:
        """Bring a session up; its mailbox takes messages from now on."""
        if ref.phase is SessionPhase.QUARANTINED:
            self.release(ref)
        if ref.chat_id in self._registry.away:
            del self._registry.away[ref.chat_id]
            self._services.accounts.churn.note(self._services.clock.now_s())
        self._registry.move(ref, "activate")
        self.live += 1
        self._nursery.start_soon(self._life, ref, name=ref.chat_id)

    def passivate(self, ref: Ref, reason: Reason, reply: Reply | None = None) -> None:
        """Have a session put away if it is at rest; ``reply`` is told whether it was.

        One that has no incarnation leaves at once; one that has decides in its own task, between two messages.
        """
        if ref.phase is SessionPhase.ABSENT and ref.at_rest:
            self._registry.put_away(ref)
            self._note_passivation(ref, reason)
        elif ref.phase in _ASKABLE:
            asked = ref.mailbox.control.get(Passivate)
            signal = asked if isinstance(asked, Passivate) else Passivate(reason)
            if reply is not None:
                signal.replies.append(reply)
            ref.mailbox.post_control(Passivate, signal)
            return
        if reply is not None:
            reply.set(self._registry.get(ref.chat_id) is not ref)

    def release(self, ref: Ref) -> None:
        """Let a session out of quarantine; it comes up with the next message."""
        self._registry.move(ref, "release")
        ref.failures = ()
        ref.mailbox.reopen()
        self._services.recorder.record("warning", "session.released", chat_id=ref.chat_id)

    def finish(self, ref: Ref) -> None:
        """End a session that has no incarnation: take it out of the registry, erase it if that was asked."""
        self._registry.move(ref, "stop")
        self.live += 1
        self._nursery.start_soon(self._life, ref, name=ref.chat_id)

    def abandon(self) -> None:
        """Answer everybody who still waits for something, after the nursery of the sessions has closed."""
        for ref in self._registry:
            erasing = ref.erasing or any(isinstance(signal, Delete) for signal in ref.mailbox.control.values())
            self._close(ref, DropReason.FENCED if self._services.fenced else DropReason.STOPPING)
            ref.broadcast.close()
            for reply in ref.ending:
                if erasing and not ref.erased:
                    message = "the runtime closed before the session was known to be erased"
                    reply.fail(StoreUnavailableError(message, chat_id=ref.chat_id, hint="delete it in the next life"))
                else:
                    reply.set(None)

    def spawn(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task beside the sessions; whatever it raises is caught and counted as a bug of ours."""
        self._nursery.start_soon(self._guarded, work, arguments, name=_TASK)

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
                    ref.scope.cancel()

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
    async def _life(self, ref: Ref) -> None:
        """Run one incarnation after another until the session ends."""
        try:
            while ref.phase not in _ENDED:
                delay_s = 0.0 if ref.phase is SessionPhase.STOPPING else await self._incarnation(ref)
                if ref.phase is SessionPhase.RESTARTING:
                    await self._pause(ref, delay_s)
                if ref.phase is SessionPhase.PASSIVATING:
                    await trio.lowlevel.cancel_shielded_checkpoint()  # who has just found the entry gets its word in
                if ref.phase is SessionPhase.PASSIVATING and self._put_away(ref):
                    return
                if ref.phase is SessionPhase.STOPPING:
                    await self._end(ref)
        except BaseException as error:
            if without_cancelled(error) is None and torn_down():
                raise
            self._give_up(ref, error)
        finally:
            self.live -= 1

    def _give_up(self, ref: Ref, error: BaseException) -> None:
        """Quarantine a session whose supervision itself has failed, by a bug or a faulty clock: the others go on."""
        counts = self._services.accounts.counts
        counts.crashes += 1
        counts.quarantines += 1
        ref.last_error = type(error).__name__
        ref.quarantined_until_s = self._services.clock.now_s() + self._services.limits.quarantine_s
        self._registry.force(ref, SessionPhase.QUARANTINED)
        self._services.recorder.record(
            "error", "session.quarantined", chat_id=ref.chat_id, error=ref.last_error, place=_place(error)
        )
        self._close(ref, DropReason.QUARANTINED)
        ending, ref.ending = ref.ending, []
        for reply in ending:
            reply.fail(refused(DropReason.QUARANTINED, chat_id=ref.chat_id))

    async def _incarnation(self, ref: Ref) -> float:
        """Run one incarnation behind the barrier; return how long to wait before the next."""
        services = self._services
        ref.incarnation += 1
        services.accounts.counts.activations += 1
        error: BaseException | None = None
        try:
            with trio.CancelScope() as ref.scope:
                await Actor(ref, services).run(lambda: self._ready(ref), lambda: self._registry.move(ref, "passivate"))
        except BaseException as raised:  # the barrier: every kind, groups included
            error = without_cancelled(raised) or raised
            if isinstance(error, trio.Cancelled) and torn_down():
                raise
        else:
            if ref.overran:
                error = TimeoutError("a handler took longer than the limit handler_s")
        finally:
            ref.overran = False
            ref.turn = None
        if error is not None and ref.phase is not SessionPhase.STOPPING:
            return self._failed(ref, error)
        if ref.phase is not SessionPhase.STOPPING and ref.phase is not SessionPhase.PASSIVATING:
            self._registry.move(ref, "stop")
        return 0.0

    def _put_away(self, ref: Ref) -> bool:
        """Let a session leave memory whose incarnation has ended, or bring it up again for what came meanwhile (P3)."""
        signal = ref.mailbox.control.pop(Passivate, None)
        assert isinstance(signal, Passivate), "an incarnation leaves its request for its supervisor"
        ref.scope = None
        gone = ref.at_rest
        if gone:
            self._registry.move(ref, "put_away")
            self._registry.put_away(ref)
            self._note_passivation(ref, signal.reason)
        else:
            self._registry.move(ref, "activate")
        signal.answer(put_away=gone)
        return gone

    def _note_passivation(self, ref: Ref, reason: Reason) -> None:
        """Count and log that a session was put away."""
        self._services.accounts.counts.passivations += 1
        self._services.recorder.record("debug", "session.passivated", chat_id=ref.chat_id, seq=ref.seq, reason=reason)

    def _ready(self, ref: Ref) -> None:
        """Note that an incarnation has recovered."""
        if ref.phase is SessionPhase.ACTIVATING:
            self._registry.move(ref, "recovered")
        self._services.recorder.record(
            "debug",
            "session.activated",
            chat_id=ref.chat_id,
            epoch=self._services.epoch,
            seq=ref.seq,
            incarnation=ref.incarnation,
        )

    def _failed(self, ref: Ref, error: BaseException) -> float:
        """Judge a crash."""
        services = self._services
        cause = error.__cause__ if isinstance(error, SessionCrashedError) and error.__cause__ else error
        ref.last_error = type(cause).__name__
        counts = services.accounts.counts
        if isinstance(error, StoreFencedError):
            self._registry.move(ref, "fence")
            self._close(ref, DropReason.FENCED)
            ref.broadcast.close()
            return 0.0
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
            "error", "session.crashed", ref.chat_id, chat_id=ref.chat_id, error=ref.last_error, place=_place(cause)
        )
        now_s = services.clock.now_s()
        verdict = judge(ref.failures, now_s, services.clock.dice(), services.limits)
        if isinstance(error, StoreCorruptError):
            services.recorder.record("error", "session.corrupt", chat_id=ref.chat_id, error=ref.last_error)
            verdict = GiveUp(now_s + services.limits.quarantine_s)
        if isinstance(verdict, GiveUp):
            counts.quarantines += 1
            ref.quarantined_until_s = verdict.until_s
            self._registry.move(ref, "give_up")
            failures = len(ref.failures) + 1
            services.recorder.record("error", "session.quarantined", chat_id=ref.chat_id, failures=failures)
            ref.broadcast.progress(ProgressSignal(ref.chat_id, 0, "quarantined", ref.last_error))
            self._close(ref, DropReason.QUARANTINED)
            return 0.0
        counts.restarts += 1
        ref.restarts += 1
        ref.failures = verdict.failures
        self._registry.move(ref, "crash")
        services.recorder.limited(
            "warning", "session.restarting", ref.chat_id, chat_id=ref.chat_id, delay_s=round(verdict.delay_s, 3)
        )
        return verdict.delay_s

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
            self._registry.bury(ref.chat_id)
            self._services.expiries.forget(ref.chat_id)
            self._services.accounts.counts.deleted += 1
            self._services.recorder.record("info", "session.deleted", chat_id=ref.chat_id)
        else:
            self._registry.move(ref, "stopped")
            self._services.recorder.record("debug", "session.stopped", chat_id=ref.chat_id, seq=ref.seq)
        gone = DropReason.FENCED if self._services.fenced else DropReason.STOPPING
        self._close(ref, DropReason.DELETED_CHAT if ref.erased else gone)
        self._registry.remove(ref)
        ref.broadcast.close()
        for reply in ref.ending:
            _ = reply.set(None) if error is None else reply.fail(error)

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
                ends = [(child, self.end(child, Delete())) for child in refs]
                for child, reply in ends:
                    await self.ended(child, reply)
                children = await self._services.journal.children(chat_id, rows_max)
        except ActorsError as error:
            return error
        return None

    def end(self, ref: Ref, signal: Stop | Delete) -> Reply:
        """Have a session end; the reply is answered when it has. One that is fenced has ended already."""
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
        return reply

    async def ended(self, ref: Ref, reply: Reply) -> None:
        """Wait for the end of a session that was told to end; one that is held up by its handler is cancelled."""
        limits = self._services.limits
        with trio.move_on_after(limits.cancel_grace_s + limits.phase_s):
            await reply.wait()
            return
        if ref.scope is not None:  # a handler that does not return is cancelled; the life of the session does the rest
            ref.scope.cancel()
        await reply.wait()

    def _close(self, ref: Ref, reason: DropReason) -> None:
        """Close the mailbox for a reason; everything in it is answered or becomes a dead letter."""
        for letter in ref.mailbox.close(reason):
            self._settle(ref, letter, reason)
        for signal in list(ref.mailbox.control.values()):
            match signal:
                case CancelTurn(reply=reply):
                    reply.set(False)
                case (
                    AnswerPrompt(reply=reply)
                    | ControlQueue(reply=reply)
                    | RetryTurn(reply=reply)
                    | Order(reply=reply)
                    | Prepare(reply=reply)
                    | MigrateTo(reply=reply)
                ):
                    reply.fail(refused(reason, chat_id=ref.chat_id))
                case Passivate():
                    signal.answer(put_away=False)
                case _:
                    pass
        ref.mailbox.control.clear()
        ref.mailbox.inner.clear()
        ref.release_waiters()
        self._registry.retire(ref)

    def _settle(self, ref: Ref, letter: Letter, reason: DropReason) -> None:
        """Account for a letter that will not be handled."""
        kind = "tell" if not isinstance(letter, Request) else "accept" if type(letter.payload) is Accept else "ask"
        ref.dead += 1
        self._services.accounts.bury(ref.chat_id, reason, kind, letter.size_bytes)
        if isinstance(letter, Request):
            error: ActorsError = refused(reason, chat_id=ref.chat_id)
            if not isinstance(letter.payload, Accept):
                error = AskError(str(error), outcome="not_started", chat_id=ref.chat_id)
            letter.reply.fail(error)


def _place(error: BaseException) -> str:
    """Name the innermost line an error came from."""
    trace = error.__traceback__
    place = "unknown"
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}"
        trace = trace.tb_next
    return place


def _told_to_leave(ref: Ref) -> bool:
    """Say whether a stop or a deletion waits on the control lane."""
    return any(isinstance(signal, Stop | Delete) for signal in ref.mailbox.control.values())
