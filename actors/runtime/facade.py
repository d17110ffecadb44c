"""The runtime as its host holds it: create, send, subscribe, cancel, stop, delete, and the counts of all of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from actors.core.alarms import Alarm
from actors.core.commands import DropReminder, ResetBudget
from actors.core.dead_letter import DeadLetter
from actors.core.envelope import Origin
from actors.core.events import Missed
from actors.core.ids import ChatId, DropReason, parse_chat_id
from actors.core.lifecycle import SessionPhase
from actors.core.reminder import Reminder
from actors.core.supervision import DownReason
from actors.ports import Page
from actors.runtime.agent import Overlap, Session, check_overlap
from actors.runtime.alarms import Alarms
from actors.runtime.answering import answer_prompt
from actors.runtime.appointments import order, reminder_of
from actors.runtime.brancher import Brancher, Message
from actors.runtime.control import Delete, Stop
from actors.runtime.crash_reports import CrashReport
from actors.runtime.dead_letters import DeadLetterFeed
from actors.runtime.directory import Directory, SeedLike, check_going_on
from actors.runtime.draining import drain
from actors.runtime.family import Family
from actors.runtime.introspection import Introspection
from actors.runtime.loop_metrics import LoopMetrics
from actors.runtime.monitors import Down, Monitor
from actors.runtime.observation import Quarantined, quarantined
from actors.runtime.queue import Queue
from actors.runtime.receipt import Receipt, Receipts
from actors.runtime.refusals import refused
from actors.runtime.registry import Registry
from actors.runtime.resending import Resending
from actors.runtime.router import Overflow, Router
from actors.runtime.services import Services
from actors.runtime.subscription import Subscription
from actors.runtime.supervisor import Supervisor
from actors.runtime.zombies import Zombie


class Runtime(Introspection):
    """Any number of sessions on one store; made by ``open_runtime``."""

    def __init__(
        self, services: Services, registry: Registry, supervisor: Supervisor, router: Router, alarms: Alarms
    ) -> None:
        """Put the pieces together."""
        super().__init__(services, registry, supervisor, router, alarms)
        self._directory = Directory(services, registry, router)
        self._receipts = Receipts(services, registry)
        family = Family(services, registry, router, self._directory, self._receipts.ways_to)
        services.family, services.kin.part = family, family.part
        self._brancher = Brancher(services, registry, self._directory, router)
        self._resending = Resending(services, router)
        # As they are: a call between would be a tenth of what a volatile message costs.
        self.tell = router.tell  # type: ignore[method-assign]  # the same signature, documented below
        self.ask = router.ask  # type: ignore[method-assign]  # as above

    @property
    def epoch(self) -> int:
        """The number of this life on the store."""
        return self._services.epoch

    async def create(
        self, chat_id: object = None, *, history: Sequence[SeedLike] = (), overlap: Overlap | None = None
    ) -> ChatId:
        """Bring a session into being, durably, and return its id; one that exists is left as it is.

        Without an id a ``live:`` one is minted (UUIDv7). ``history`` are the messages it starts from, ``overlap`` its
        own policy for a message that finds a turn running, kept with it; None leaves that to the agent. Raises
        InvalidEnvelopeError for an id that does not fit the grammar or a history that cannot be stored,
        ConfigurationError for a policy that there is none of, UnknownChatError for an id that was deleted,
        UnavailableError when stopping, StoreError if it cannot be written.
        """
        if overlap is not None:
            check_overlap(overlap)
        return await self._directory.create(chat_id, history, overlap=overlap or "")

    async def migrate(self, draft: object, live: object) -> ChatId:
        """Give a ``draft:`` session its authoritative ``live:`` id, durably and at once; return that id.

        Everything stays as it is: history, queue, prompts, subscribers, the running turn, who waits. From then on both
        ids lead to the one session; repeating it changes nothing.

        Raises InvalidEnvelopeError for ids that are not those, UnknownChatError if there is no such draft,
        ConflictError if the live id is another session's, was deleted or is being created, or the draft was migrated
        elsewhere; then nothing has changed. UnavailableError if the session takes nothing now. When the caller is
        cancelled, or StoreError is raised, the outcome is unknown until it is repeated.
        """
        return await self._directory.migrate(draft, live)

    async def fork(self, chat_id: object, new: object = None, *, after_turn: int | None = None) -> ChatId:
        """Begin a new session with a copy of another's history up to a turn, durably, and return its id.

        ``after_turn`` is the last turn that the new one has, 0 for what was there before the first; without it that is
        the last turn which, with all before it, has ended. Whole ended turns are copied, as messages that the new
        session begins with, and the agent's state as it was then; a turn that is running is never cut, and goes on. The
        two are independent from then on. Without ``new`` a ``live:`` id is minted. Repeating it with the same ``new``
        finds the first.

        Raises InvalidEnvelopeError for an id that does not fit the grammar, a turn that has not ended or is not there,
        or a history beyond the limit ``fork_messages_max``; UnknownChatError if there is no such session; ConflictError
        if ``new`` is something else already; StoreError if it cannot be read or written.
        """
        return await self._brancher.fork(self._known(chat_id), new, after_turn)

    async def edit(
        self, chat_id: object, turn: int | str, text: object, *, message_id: object = None, sender: str = ""
    ) -> Receipt:
        """Say something else in the place of what was said in a turn, durably, and return its receipt.

        ``turn`` is a number, or the ``message_id`` of a message of the turn. The history ends before it: the turn and
        all behind it leave the transcript, what runs or waits there is cancelled, and the agent's state is as it was
        before. The new text has a turn of its own. All of it is one commit. ``message_id`` is an idempotency key, as
        in ``send``: repeated with it, the edit is done once.

        Raises InvalidEnvelopeError for what cannot be taken or a turn that is not in the history, UnknownChatError,
        UnavailableError, StoreError as ``send`` does.
        """
        ref, accepted = await self._brancher.edit(chat_id, turn, Message(text, message_id, sender))
        return Receipt(self._receipts, ref.chat_id, accepted)

    async def send(  # noqa: PLR0913 - options, all named by the caller
        self,
        chat_id: object,
        text: object,
        *,
        message_id: object = None,
        sender: str = "",
        deadline_s: float | None = None,
        incarnation: int | None = None,
        overflow: Overflow = "wait",
    ) -> Receipt:
        """Have a user's message accepted, durably, and return its receipt; the turn runs by itself.

        ``message_id`` is an idempotency key: the same key gives the first receipt, however often it is sent.
        ``deadline_s`` is wall time in seconds since 1970; a turn that has not begun by then expires. A full mailbox is
        waited for, in order, or refused (``overflow="reject"``).

        Raises RefusedError with the reason if it is not accepted. When the caller is cancelled, or StoreError is
        raised, the outcome is unknown until it is sent again with the same key.
        """
        ref, accepted = await self._router.accept(
            chat_id,
            text,
            message_id=message_id,
            sender=sender,
            deadline_s=deadline_s,
            incarnation=incarnation,
            overflow=overflow,
        )
        return Receipt(self._receipts, ref.chat_id, accepted)

    def tell_nowait(
        self, chat_id: object, payload: object, *, origin: Origin | None = None, kind: str = "", key: str = ""
    ) -> None:
        """Put a volatile message into a session's mailbox, or raise RefusedError at once; see ``tell``."""
        self._router.tell_nowait(chat_id, payload, origin=origin, kind=kind, key=key)

    async def tell(
        self,
        chat_id: object,
        payload: object,
        *,
        deadline_s: float | None = None,
        origin: Origin | None = None,
        kind: str = "",
        key: str = "",
    ) -> None:
        """Put a volatile message into a session's mailbox, waiting in order for room.

        It is handled by the agent's ``receive``, once, if the process lives; it is never stored. ``payload`` is a JSON
        value, str or bytes, of which the session gets a private copy. ``deadline_s`` is on trio's clock; a message that
        has not been handled by then is not handled. ``kind`` is one that the agent declared, and says what becomes of
        the message in a full mailbox; of a kind that coalesces, a newer message of the same ``key`` takes the place of
        one that still waits.

        Raises RefusedError with the reason, ConfigurationError if the agent has no handler or no such kind.
        """
        await self._router.tell(chat_id, payload, deadline_s=deadline_s, origin=origin, kind=kind, key=key)

    async def ask(
        self, chat_id: object, payload: object, *, timeout_s: float | None = None, session: Session | None = None
    ) -> object:
        """Put a volatile message into a session's mailbox and wait for the handler's reply.

        ``timeout_s`` is how long to wait (the limit ``ask_s`` if None). Inside a handler give its ``session``, so that
        a circle of asks is refused rather than waited for. Raises AskTimeoutError, HandlerError or DeadlockError with
        the outcome class, RefusedError if it was not admitted.
        """
        return await self._router.ask(chat_id, payload, timeout_s=timeout_s, session=session)

    def subscribe(self, chat_id: object, *, after: int | None = None, until: Receipt | None = None) -> Subscription:
        """Watch a session: without ``after`` from a snapshot on, else every event after that number.

        ``until`` ends the stream with the turn of a receipt. Use it in ``async with``.
        """
        return Subscription(self._router, self._services, chat_id, after, None if until is None else until.turn)

    async def answer(self, chat_id: object, prompt_id: object, answer: object) -> None:
        """Answer a question of a session, durably; the first answer wins.

        ``prompt_id`` is that of the event or of the snapshot. A question outlives the process that asked it: if its
        turn has ended meanwhile, the answer becomes the message of a new turn, and ``turn.answers`` names the question.

        Raises RefusedError with the reason, and changes nothing: ``prompt_unknown``, ``prompt_crossed`` (it belongs to
        another chat), ``prompt_answered`` (somebody was first), ``prompt_closed`` (its turn has ended),
        ``prompt_expired``, ``invalid_payload`` (the answer is none of its choices).
        """
        await answer_prompt(
            self._router, self._services, self._registry.resolve, self._known(chat_id), prompt_id, answer
        )

    async def remind(
        self,
        chat_id: object,
        key: object,
        text: object,
        *,
        at_s: float | None = None,
        every_s: float | None = None,
        missed: Missed = "one",
    ) -> None:
        """Have a session told ``text`` at a moment of wall time, durably, whether or not it is in memory then.

        ``at_s`` is the first moment, in seconds since 1970, ``every_s`` the period of a reminder that comes again; with
        a period alone the first moment is one period from now. ``key`` names the reminder in its session: another one
        of the same key replaces it, the same one again changes nothing. Each tick is a message of the sender
        ``reminder`` and enters once for its key and moment. ``missed`` says what becomes of ticks that nobody could
        fire: ``skip`` those later than the limit ``reminder_late_s``, fire the newest ``one``, or ``all``.

        Raises InvalidEnvelopeError, OverloadedError for more than the limit ``reminders_max``, UnknownChatError,
        UnavailableError, StoreError.
        """
        command = reminder_of(chat_id, key, text, self._services.limits, at_s=at_s, every_s=every_s, missed=missed)
        refusal = await order(self._router, chat_id, command)
        if refusal is not None:
            raise refused(refusal.reason, refusal.detail, chat_id)

    async def forget_reminder(self, chat_id: object, key: str) -> bool:
        """Call a reminder off, durably; False if none of this key stands. Raises as ``remind`` does."""
        return await order(self._router, chat_id, DropReminder(key)) is None

    async def reminders(self, chat_id: object) -> tuple[Reminder, ...]:
        """Show the reminders that stand in a session, in the order in which they were set; it is not brought up.

        Raises InvalidEnvelopeError or UnknownChatError for the id, StoreError if it cannot be read.
        """
        parsed = self._known(chat_id)
        ref = self._registry.get(parsed)
        state = None if ref is None else ref.state
        if state is None:
            state = await self._services.journal.load(parsed)
        else:
            await trio.lowlevel.checkpoint()
        return () if state is None else state.standing.reminders

    def queue(self, chat_id: object) -> Queue:
        """Return the queue of a session, to look at and to control.

        Raises InvalidEnvelopeError or UnknownChatError for the id.
        """
        return Queue(self._router, self._services, self._receipts, self._known(chat_id))

    async def reset_budget(self, chat_id: object) -> None:
        """Let a session spend its budget anew, durably. Raises RefusedError for the id, StoreError."""
        await order(self._router, chat_id, ResetBudget())

    async def history(self, chat_id: object, *, before_turn: int | None = None) -> Page:
        """Read a page of messages of ended turns from the journal, the last one first.

        Raises InvalidEnvelopeError or UnknownChatError for the id, StoreError if it cannot be read.
        """
        return await self._services.journal.messages(
            self._known(chat_id), before_turn, self._services.limits.page_rows_max
        )

    async def sessions(self, *, after: str = "") -> tuple[ChatId, ...]:
        """Read a page of session ids in order, after one of them."""
        return await self._services.journal.sessions(after, self._services.limits.page_rows_max)

    async def stop(self, chat_id: object, *, within_s: float = 0.0) -> None:
        """End a session's life in this process; it takes nothing more from now on.

        What runs and what is queued may go on for ``within_s`` seconds. After them a running turn is interrupted, and
        queued ones wait on disk. It comes up again with its next message. Nothing happens if it is not live. When the
        caller is cancelled the time is up at once.
        """
        parsed = self._known(chat_id)
        ref = self._registry.get(parsed)
        if ref is not None and within_s > 0:
            try:
                await drain(self._registry, ref, within_s)
            except trio.Cancelled:
                if ref.phase is SessionPhase.STOPPING:  # or it would take nothing, and never end
                    self._supervisor.end(ref, Stop("stopped"))
                raise
        await self._end(parsed, Stop("stopped"))

    async def delete(self, chat_id: object) -> None:
        """Erase a session and leave a tombstone; a running turn is cancelled first, who waits is answered.

        Nothing brings the id back before its tombstone is older than the limit ``tombstone_s``. Raises UnknownChatError
        if there is no such session, StoreError if it cannot be erased.
        """
        parsed = self._known(chat_id)
        check_going_on(self._services, chat_id)
        if self._registry.get(parsed) is None:
            self._registry.get_or_insert(parsed)
        await self._end(parsed, Delete())

    def release(self, chat_id: object) -> None:
        """Let a session out of quarantine before its cool-down is over; nothing happens if it is not in it.

        Turns that wait go on at once.
        """
        ref = self._registry.get(self._known(chat_id))
        if ref is not None:
            self._supervisor.release_and_go_on(ref)

    def alarms(self) -> tuple[Alarm, ...]:
        """Show what is out of order now, the oldest first; the limits say from when on something is."""
        return self._alarms.current

    @contextmanager
    def loop_metrics(self) -> Iterator[LoopMetrics]:
        """Count what the loop does while the block runs: steps, their times, tasks; it is slower meanwhile."""
        metrics = LoopMetrics(self._services.clock.busy_s)
        trio.lowlevel.add_instrument(metrics)
        try:
            yield metrics
        finally:
            trio.lowlevel.remove_instrument(metrics)

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Show the sessions in quarantine, each with the seconds until it is released by itself."""
        return quarantined(self._services, self._registry)

    def zombies(self) -> tuple[Zombie, ...]:
        """Show the tasks that were told to end and have not, each with the line where it waits."""
        return self._services.zombies.alive()

    def crash_reports(self) -> tuple[CrashReport, ...]:
        """Show the latest crash reports, oldest first; one takes a moment, since it reads what was written last."""
        return tuple(self._services.crash_reports.kept)

    def monitor(self, chat_id: object, *, restarts: bool = False, passivation: bool = False) -> Monitor:
        """Watch for the end of a session: ``async with runtime.monitor(chat_id) as monitor: await monitor.wait()``.

        A monitor is told once: when the session is stopped, deleted, quarantined or fenced, or the runtime closes; on
        request also at its next restart or passivation. For an id without a session it is told at once. A session that
        is only not live has not ended. Raises InvalidEnvelopeError for an id that does not fit the grammar.
        """
        parsed = parse_chat_id(chat_id)
        if isinstance(parsed, DropReason):
            raise refused(parsed, chat_id=chat_id)
        asked = {DownReason.RESTARTED} if restarts else set()
        asked |= {DownReason.PASSIVATED} if passivation else set()
        return Monitor(self._services.monitors, parsed, frozenset(asked), self._absent)

    def dead_letters(self, chat_id: str | None = None, reason: str | None = None) -> tuple[DeadLetter, ...]:
        """Show the dead letters in memory, of one address or one reason or of all, oldest first."""
        return self._services.accounts.dead_letters.select(chat_id, reason)

    async def stored_dead_letters(self, chat_id: str | None = None, *, after: int = 0) -> tuple[DeadLetter, ...]:
        """Read a page of the dead letters on disk, of one address or of all, after a number.

        There are some if a runtime was opened with ``keep_dead_letters``. Raises StoreError if they cannot be read.
        """
        return await self._services.journal.dead_letters(chat_id, after, self._services.limits.page_rows_max)

    def watch_dead_letters(self) -> DeadLetterFeed:
        """Watch every dead letter from now on; use it in ``async with``, and read it with ``async for``."""
        return self._services.accounts.dead_letters.watch()

    async def resend_dead_letter(self, number: int) -> Receipt | None:
        """Send a dead letter again as if it were new, and forget it once it is taken; a receipt if ``send`` sent it.

        A message of ``send`` keeps its ``message_id``, so that it is never accepted twice; a question of ``ask`` is
        told. Raises RefusedError if there is no such letter, if its payload was not kept, or why it is refused again.
        """
        sent = await self._resending.one(number)
        return None if sent is None else Receipt(self._receipts, sent[0].chat_id, sent[1])

    async def resend_dead_letters(self, chat_id: str | None = None, reason: str | None = None) -> tuple[int, ...]:
        """Send dead letters in memory again, of one address or one reason or all; return the numbers that were taken.

        Those whose payload was not kept are left alone. One that is refused again is a new dead letter.
        """
        return await self._resending.many(chat_id, reason)

    def _absent(self, chat_id: ChatId) -> tuple[ChatId, Down | None]:
        """Say which id a session has now, and what became of one that cannot be watched; None if it can."""
        chat_id = self._registry.resolve(chat_id)
        ref = self._registry.get(chat_id)
        reason: DownReason | None = None
        if chat_id not in self._registry.known:
            reason = DownReason.ABSENT
        elif self._services.stopping:
            reason = DownReason.FENCED if self._services.fenced else DownReason.SHUTDOWN
        elif ref is not None and ref.phase is SessionPhase.QUARANTINED:
            reason = DownReason.QUARANTINED
        return chat_id, None if reason is None else Down(chat_id, reason, 0 if ref is None else ref.incarnation)

    async def _end(self, chat_id: ChatId, signal: Stop | Delete) -> None:
        """Have a session end, and wait until it has."""
        ref = self._registry.get(chat_id)
        if ref is None or (ref.life is None and self._services.stopping):
            return  # it is not live, and nobody is there any more who could do something about it
        await self._supervisor.end(ref, signal).wait()
