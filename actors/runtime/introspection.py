"""The verbs that look into sessions and hold them still: answered at once, from what is committed and what is known.

Modelled on OTP's ``sys``; but nothing here waits for a session: one that runs a turn for an hour, or that is about to
be restarted, is shown like any other.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import trio

from actors.core.commands import ReplaceState
from actors.core.effects import Refusal
from actors.core.ids import ChatId, DropReason, parse_chat_id
from actors.core.lifecycle import SessionPhase
from actors.errors import ConfigurationError
from actors.runtime.alarms import Alarms
from actors.runtime.control import Order, Suspend
from actors.runtime.mailbox import Reply
from actors.runtime.observation import Inspection, Statistics, Tree, inspection, statistics, tree
from actors.runtime.ref import Ref
from actors.runtime.refusals import refused
from actors.runtime.registry import Registry
from actors.runtime.resting import passivate
from actors.runtime.router import Router
from actors.runtime.services import Services
from actors.runtime.supervisor import Supervisor
from actors.runtime.tracing import TRACE_RECORDS_MAX, Hook, Trace, TraceRecord


class Introspection:
    """What a runtime shows of its sessions, and how they are put away, kept and suspended."""

    def __init__(
        self, services: Services, registry: Registry, supervisor: Supervisor, router: Router, alarms: Alarms
    ) -> None:
        """Look into the sessions of one runtime."""
        self._alarms = alarms
        self._services = services
        self._registry = registry
        self._supervisor = supervisor
        self._router = router

    def inspect(self, chat_id: object) -> Inspection:
        """Show what a session is doing, at once, also while a turn runs or it is about to be restarted.

        Raises InvalidEnvelopeError or UnknownChatError for the id.
        """
        parsed = self._known(chat_id)
        ref = self._registry.get(parsed)
        if ref is None:
            ref = Ref(parsed, self._services.limits, self._registry.budget)
            ref.incarnation = self._registry.away.get(parsed, 0)
        return inspection(ref, self._services.epoch, self._services.clock.now_s())

    def tree(self, *, sessions_max: int = 1000) -> Tree:
        """Show the supervision tree: services, sessions in memory, and those that left it lately.

        ``sessions_max`` bounds the sessions that are shown: those that do something first. Raises ConfigurationError if
        it is no whole number from 0.
        """
        _check_count(sessions_max, "sessions_max", 0)
        return tree(self._services, self._registry, self._services.clock.now_s(), sessions_max, self._alarms.current)

    def statistics(self) -> Statistics:
        """Show every count and every bound."""
        return statistics(
            self._services, self._registry, sent=self._router.sent, live=self._supervisor.live, alarms=self._alarms
        )

    def trace(self, chat_id: object, *, records_max: int | None = None) -> Trace:
        """Watch the steps of a session as it takes them: phases, control, messages taken, events decided and written.

        ``records_max`` is how many a slow reader may leave unread before it loses the oldest (None: 1,000, or the limit
        ``trace_records_max`` if that is less). What anybody said is in none of them. Use it in ``async with``.

        Raises InvalidEnvelopeError or UnknownChatError for the id, ConfigurationError for a bound that is no whole
        number from 1 to the limit ``trace_records_max``.
        """
        most = self._services.limits.trace_records_max
        chosen = min(TRACE_RECORDS_MAX, most) if records_max is None else records_max
        _check_count(chosen, "records_max", 1, most)
        return Trace(self._services.tracing, self._known(chat_id), chosen, self._registry.resolve)

    def recent(self, chat_id: object, *, records_max: int = 20) -> tuple[TraceRecord, ...]:
        """Show the last steps of a session, oldest first; also of one that is not in memory any more.

        All sessions share a ring of the limit ``recent_records_max``. In it are phases, control signals, refusals, and
        the last event of each commit.
        """
        _check_count(records_max, "records_max", 1)
        return self._services.tracing.recent(self._known(chat_id), records_max)

    def install(self, chat_id: object, hook: Hook) -> None:
        """Have a plain function called for each step of a session, in the session's way: it must return at once.

        A hook that raises is removed, and a log record says so. Raises ConfigurationError for what cannot be called and
        beyond the limit ``hooks_max``.
        """
        found: object = hook
        if not callable(found):
            message = f"hook is {type(hook).__name__}"
            raise ConfigurationError(message, chat_id=chat_id, hint="give a function of a TraceRecord")
        self._services.tracing.install(self._known(chat_id), hook)

    def remove(self, chat_id: object, hook: Hook) -> bool:
        """Take a hook out again; returns whether it was there."""
        return self._services.tracing.remove(self._known(chat_id), hook)

    async def replace_state(self, chat_id: object, value: object) -> None:
        """Put another value in the place of the agent's own state, durably; only with ``open_runtime(debug=True)``.

        ``value`` is a JSON value. Raises ConfigurationError without ``debug`` and for what JSON cannot hold,
        OverloadedError while a turn runs, RefusedError if there is no such session or it takes nothing now.
        """
        services = self._services
        if not services.debug:
            message = "replace_state is for debugging"
            raise ConfigurationError(message, chat_id=chat_id, hint="open_runtime(debug=True)")
        try:
            text = msgspec.json.encode(value).decode()
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            message = f"value is {type(value).__name__}, which JSON cannot hold"
            raise ConfigurationError(message, hint="give dicts, lists, str, numbers, bool or None") from error
        if len(text) > services.limits.message_bytes_max:
            message = f"value has {len(text)} characters of JSON"
            raise ConfigurationError(message, hint="give at most the limit message_bytes_max")
        ref, reply = self._router.reach(chat_id), Reply()
        ref.mailbox.post_control(reply, Order(ReplaceState(text), reply))
        refusal = await reply.wait()
        if isinstance(refusal, Refusal):
            raise refused(refusal.reason, refusal.detail, chat_id)

    def suspend(self, chat_id: object) -> None:
        """Have a session take no more messages until ``resume``; one that is not live is brought up.

        Its mailbox goes on admitting messages up to its bounds. A turn that runs goes on, what is queued on disk
        follows it, and control is heard. It lasts over restarts, until the session is stopped. Raises RefusedError if
        there is no such session or it takes nothing now.
        """
        ref = self._router.reach(chat_id)
        ref.suspended = True
        if ref.phase is SessionPhase.ACTIVE:
            self._registry.move(ref, "suspend")
        ref.mailbox.post_control(Suspend, Suspend(on=True))

    def resume(self, chat_id: object) -> None:
        """Let a suspended session take messages again; nothing happens if it is not suspended."""
        ref = self._registry.get(self._known(chat_id))
        if ref is None or not ref.suspended:
            return
        ref.suspended = False
        if ref.phase is SessionPhase.SUSPENDED:
            self._registry.move(ref, "resume")
        ref.mailbox.post_control(Suspend, Suspend(on=False))

    async def passivate(self, chat_id: object) -> bool:
        """Put a session away: it leaves memory, and comes up again with whatever is sent to it next.

        Returns whether it is out of memory now. It stays if it is not at rest: a message, a turn, a write, a
        subscriber, somebody who waits; and it is up again at once if a message comes meanwhile. Nothing is lost either
        way. Raises InvalidEnvelopeError or UnknownChatError for the id.
        """
        ref = self._registry.get(self._known(chat_id))
        if ref is None:
            await trio.lowlevel.checkpoint()
            return True
        reply = Reply()
        passivate(self._registry, self._services, ref, "asked", reply)
        return bool(await reply.wait())

    @contextmanager
    def keep_alive(self, chat_id: object) -> Iterator[None]:
        """Keep a session in memory while the block runs, however long it is idle; it may still be stopped or deleted.

        A session that is not live is not brought up by it. Raises InvalidEnvelopeError or UnknownChatError for the id.
        """
        ref = self._registry.get_or_insert(self._known(chat_id))
        ref.kept += 1
        try:
            yield
        finally:
            ref.kept -= 1
            ref.active_s = self._services.clock.now_s()

    def _known(self, chat_id: object) -> ChatId:
        """Parse an id and return the one that its session has now, or raise why there is none."""
        parsed = parse_chat_id(chat_id)
        if isinstance(parsed, DropReason):
            raise refused(parsed, chat_id=chat_id)
        parsed = self._registry.resolve(parsed)
        if parsed in self._registry.deleted:
            raise refused(DropReason.DELETED_CHAT, chat_id=chat_id)
        if parsed not in self._registry.known:
            raise refused(DropReason.UNKNOWN_CHAT, chat_id=chat_id)
        return parsed


def _check_count(value: object, name: str, low: int, high: int | None = None) -> None:
    """Refuse what is no whole number within its bounds."""
    if type(value) is not int or value < low or (high is not None and value > high):
        message = f"{name} is {value!r:.40} of type {type(value).__name__}"
        hint = f"give a whole number from {low}" + ("" if high is None else f" to {high}")
        raise ConfigurationError(message, hint=hint)
