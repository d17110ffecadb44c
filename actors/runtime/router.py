"""The only way into a mailbox: validate, find the session, bring it up, admit.

Dispatch is by ``chat_id`` alone. The router runs no code of the host and never waits for one session while it holds
something for another.
"""

import math
from typing import Literal

import trio

from actors.core.commands import Accept
from actors.core.dead_letter import Carried, carried_by
from actors.core.envelope import Envelope, Origin, Rejection, Stamp, check_origin, check_text, freeze_payload
from actors.core.ids import ChatId, DropReason, parse_chat_id, parse_message_id
from actors.core.lifecycle import UP, SessionPhase
from actors.core.overflow import KEY_CHARACTERS_MAX, Kind
from actors.core.routing import Activate, Drop, View, route
from actors.errors import AskTimeoutError, ConfigurationError, DeadlockError, RefusedError
from actors.runtime.agent import Session
from actors.runtime.drift import drifted, foreign
from actors.runtime.mailbox import Latest, Letter, Mailbox, Reply, Request
from actors.runtime.ref import Accepted, Ref
from actors.runtime.refusals import refused
from actors.runtime.registry import Registry
from actors.runtime.services import Services
from actors.runtime.supervisor import Supervisor

Overflow = Literal["wait", "reject"]


class Router:
    """Brings envelopes to sessions, or drops them with a reason."""

    def __init__(self, services: Services, registry: Registry, supervisor: Supervisor) -> None:
        """Route among the sessions of one runtime."""
        self._services = services
        self._registry = registry
        self._supervisor = supervisor
        self._refs = registry.refs
        self._counts = services.accounts.counts
        self._ask_s = services.limits.ask_s
        self._text_bytes_max = services.limits.message_bytes_max
        self._give_way_s = 0.0
        self.sent = 0
        """Every envelope that was given to the router, whatever became of it."""
        # The short way is for volatile messages, and there is none without a handler.
        self._boxes = {} if services.agent.receive is None else registry.boxes

    def close(self) -> None:
        """Close the short way: the runtime is stopping."""
        self._boxes = {}

    def tell_nowait(  # noqa: PLR0913 - options, all named by the caller
        self,
        chat_id: object,
        payload: object,
        *,
        deadline_s: float | None = None,
        incarnation: int | None = None,
        origin: Origin | None = None,
        kind: str = "",
        key: str = "",
    ) -> None:
        """Put a volatile message into a mailbox, or raise why not; nothing is waited for."""
        self.sent += 1
        declared = self._declared(kind, key)
        if origin is not None:
            self._check_speaker(getattr(origin, "sender", ""), "tell")
        ref, envelope = self._admit_volatile(chat_id, payload, deadline_s, incarnation, origin, self._stamp(kind, key))
        self._offer(ref, envelope, declared)

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
        """Put a volatile message into a mailbox, waiting in order for room; or raise why not."""
        sent = self.sent = self.sent + 1
        # The common case first: an active session, a short plain text, nothing else. A key of ``boxes`` is a parsed id.
        if type(chat_id) is str and type(payload) is str and deadline_s is None and origin is None and kind == "":
            box = self._boxes.get(chat_id)
            if box is not None and payload.isascii():
                size = len(payload)
                if size <= self._text_bytes_max and box.put_nowait(Envelope(chat_id, payload, size)) is None:  # type: ignore[arg-type]
                    if not sent & _SENT_BETWEEN_LOOKS:
                        await self._give_way()
                    return
        declared = self._declared(kind, key)
        if origin is not None:
            self._check_speaker(getattr(origin, "sender", ""), "tell")
        ref, envelope = self._admit_volatile(chat_id, payload, deadline_s, None, origin, self._stamp(kind, key))
        if declared.waits:
            await self._offer_patiently(ref, envelope, declared, deadline_s)
        else:
            self._offer(ref, envelope, declared)

    async def _give_way(self) -> None:
        """Let others run if senders that find room have held the loop for long."""
        busy_s = self._services.clock.busy_s
        if busy_s() >= self._give_way_s:
            await trio.lowlevel.checkpoint()
            self._give_way_s = busy_s() + self._services.limits.sender_s

    async def ask(
        self,
        chat_id: object,
        payload: object,
        *,
        timeout_s: float | None = None,
        session: Session | None = None,
    ) -> object:
        """Put a volatile message into a mailbox and wait for the reply, at most ``timeout_s`` seconds."""
        seconds = self._ask_s if timeout_s is None else timeout_s
        if not 0 <= seconds < math.inf:
            message = f"timeout_s is {seconds!r}"
            raise ConfigurationError(message, chat_id=chat_id, hint="give a number of seconds from 0")
        deadline_s = self._services.clock.now_s() + seconds
        self.sent += 1
        if session is not None:
            self._check_speaker(session.chat_id, "ask")
            if session.deadline_s is not None:  # whoever waits for this asker waits no longer
                deadline_s = min(deadline_s, session.deadline_s)
        origin = None if session is None else self._chained(session, chat_id)
        box = self._boxes.get(chat_id) if type(chat_id) is str else None
        size = len(payload) if type(payload) is str and payload.isascii() else -1
        if box is not None and 0 <= size <= self._text_bytes_max:
            envelope = Envelope(chat_id, payload, size, deadline_s, None, origin)  # type: ignore[arg-type]  # a key of boxes
        else:
            ref, envelope = self._admit_volatile(chat_id, payload, deadline_s, None, origin, self._stamp("", ""))
            box = ref.mailbox
        reply = Reply()
        request = Request(envelope, reply, deadline_s - seconds)
        with trio.CancelScope(deadline=deadline_s) as scope:
            reason = box.put_nowait(request)
            if reason is DropReason.MAILBOX_FULL:
                reason = await self._put(box, request)
            if reason is not None:
                raise self._dropped(chat_id, reason, "ask", envelope.size_bytes, carried=carried_by(envelope))
            try:
                return await reply.wait()
            finally:
                if not reply.done:
                    box.withdraw(request)
                    reply.set(None)
        assert scope.cancelled_caught, "the block above returns or raises"
        message = f"no reply within {seconds} s"
        if reply.started:
            raise AskTimeoutError(message, outcome="unknown", chat_id=chat_id, hint="the handler may still run")
        outcome: Literal["not_enqueued", "not_started"] = "not_started" if reply.done else "not_enqueued"
        raise AskTimeoutError(message, outcome=outcome, chat_id=chat_id, hint="it can be asked again")

    async def accept(  # noqa: PLR0913 - options, all named by the caller
        self,
        chat_id: object,
        text: object,
        *,
        message_id: object = None,
        sender: str = "",
        deadline_s: float | None = None,
        incarnation: int | None = None,
        overflow: Overflow = "wait",
        origin: Origin | None = None,
    ) -> tuple[Ref, Accepted]:
        """Have a message accepted durably; return its session and its receipt, or raise why not."""
        self.sent += 1
        ref = self._refs.get(chat_id) if type(chat_id) is str and deadline_s is None and incarnation is None else None
        if ref is not None and ref.phase is _ACTIVE and not self._services.stopping:
            parsed = ref.chat_id
        else:
            now_s = self._services.clock.wall_s()
            carried = Carried(text, sender, message_id)
            ref, parsed = self._find(
                chat_id, now_s, "accept", deadline_s=deadline_s, incarnation=incarnation, carried=carried
            )
        key = self._services.clock.mint_id() if message_id is None else parse_message_id(message_id)
        if isinstance(key, DropReason):
            hint = "give 1 to 128 characters of [A-Za-z0-9_.:-] as message_id, or none"
            raise self._dropped(chat_id, DropReason.INVALID_PAYLOAD, "accept", hint=hint, carried=Carried(text, sender))
        size = check_text(text, self._text_bytes_max)
        if isinstance(size, Rejection):
            raise self._rejected(chat_id, size, "accept", Carried(text, sender, key))
        assert isinstance(text, str), "the check above refuses anything else"
        if sender != "":
            self._check_speaker(sender, "accept")
            named = check_text(sender, self._text_bytes_max, field="sender")
            if isinstance(named, Rejection):
                raise self._rejected(chat_id, named, "accept", Carried(text, sender, key))
        if ref is None or ref.phase not in UP:
            ref = self._bring_up(parsed)
        content = Accept(key, text, sender, deadline_s, message_id is None)
        envelope = Envelope(ref.chat_id, content, size + 64, None, None, origin)
        request = Request(envelope, Reply(), self._services.clock.now_s())
        if overflow == "reject":
            reason = ref.mailbox.put_nowait(request)
        else:
            clock = self._services.clock
            wait_until_s = None if deadline_s is None else clock.now_s() + deadline_s - clock.wall_s()
            reason = await self._wait_for_room(ref, request, wait_until_s)
        if reason is not None:
            raise self._dropped(chat_id, reason, "accept", size, carried=Carried(text, sender, key))
        try:
            accepted = await request.reply.wait()
        finally:
            if not request.reply.done and not request.reply.started:
                ref.mailbox.withdraw(request)
        assert isinstance(accepted, Accepted), "a receipt answers an accepted message"
        return ref, accepted

    def reach(self, chat_id: object) -> Ref:
        """Return the live ref of a session, bringing it up if need be, or raise why not; no envelope is counted."""
        ref, parsed = self._find(chat_id, 0.0, "control")
        return self._bring_up(parsed) if ref is None or ref.phase not in UP else ref

    def _admit_volatile(
        self,
        chat_id: object,
        payload: object,
        deadline_s: float | None,
        incarnation: int | None,
        origin: Origin | None,
        stamp: Stamp,
    ) -> tuple[Ref, Envelope]:
        """Check a volatile message and find its session."""
        if self._services.agent.receive is None:
            self.sent -= 1  # the host's mistake is no envelope
            message = "the agent takes no volatile messages"
            raise ConfigurationError(message, hint="give it a handler: agent(answer, receive=handler)")
        now_s = self._services.clock.now_s()
        carried = Carried(payload, getattr(origin, "sender", ""), "", stamp.kind, stamp.key)
        ref, parsed = self._find(
            chat_id, now_s, "tell", deadline_s=deadline_s, incarnation=incarnation, carried=carried
        )
        frozen = freeze_payload(payload, self._text_bytes_max)
        if isinstance(frozen, Rejection):
            raise self._rejected(chat_id, frozen, "tell", carried)
        said = 0 if origin is None else check_origin(origin, self._text_bytes_max)
        if isinstance(said, Rejection):
            raise self._rejected(chat_id, said, "tell", carried)
        if ref is None or ref.phase not in UP:
            ref = self._bring_up(parsed)
        return ref, Envelope(parsed, frozen[0], frozen[1] + said, deadline_s, incarnation, origin, stamp)

    def _declared(self, kind: object, key: object) -> Kind:
        """Find the kind that a sender names, or raise ConfigurationError: the host's mistake is no envelope."""
        if kind == "" and key == "":
            return _PLAIN
        declared = self._services.agent.kinds.get(kind) if isinstance(kind, str) else None
        if declared is None:
            self.sent -= 1
            message = f"kind is {kind!r:.80}"
            names = ", ".join(self._services.agent.kinds) or "none is declared"
            raise ConfigurationError(message, hint=f"declare it: agent(answer, kinds={{...}}); known: {names}")
        keyed = declared.overflow == "coalesce" and type(key) is str and len(key) <= KEY_CHARACTERS_MAX
        if key != "" and not keyed:
            self.sent -= 1
            message = f"key is {key!r:.80}"
            hint = f"give a str of at most {KEY_CHARACTERS_MAX} characters, to a kind that coalesces"
            raise ConfigurationError(message, hint=hint)
        return declared

    def _check_speaker(self, speaker: object, door: str) -> None:
        """Stop code of one session that sends as another, or raise nothing: it is a bug and no envelope."""
        running = foreign(speaker, self._registry.aliases)
        if running:
            self.sent -= 1
            self._services.accounts.drift(running, speaker, door)
            raise drifted(running, speaker)

    def _stamp(self, kind: str, key: str) -> Stamp:
        """Note the kind of a message and when it came."""
        return Stamp(kind, key, self._services.clock.now_s())

    def _offer(self, ref: Ref, envelope: Envelope, kind: Kind) -> None:
        """Put a message of a kind into a mailbox, or raise why not; one that is dropped itself is accounted for."""
        letter = Latest(envelope) if kind.overflow == "coalesce" else envelope
        reason = ref.mailbox.put_nowait(envelope) if kind is _PLAIN else ref.mailbox.offer(letter, kind)
        self._bury_lost(ref)
        if reason is not None:
            error = self._dropped(ref.chat_id, reason, "tell", envelope.size_bytes, carried=carried_by(envelope))
            if reason is not DropReason.DROPPED:
                raise error

    async def _offer_patiently(self, ref: Ref, envelope: Envelope, kind: Kind, deadline_s: float | None) -> None:
        """Put a message of a kind that waits into a mailbox, in order, or raise why not."""
        letter = Latest(envelope) if kind.overflow == "coalesce" else envelope
        reason = ref.mailbox.put_nowait(envelope) if kind is _PLAIN else ref.mailbox.offer(letter, kind)
        if reason is DropReason.MAILBOX_FULL:
            reason = await self._wait_for_room(ref, letter, deadline_s)
        self._bury_lost(ref)
        if reason is not None:
            raise self._dropped(ref.chat_id, reason, "tell", envelope.size_bytes, carried=carried_by(envelope))

    def _bury_lost(self, ref: Ref) -> None:
        """Account for the letters that gave way to others."""
        lost = ref.mailbox.lost
        while lost:
            envelope, reason = lost.pop(0)
            self._services.accounts.bury(ref.chat_id, reason, "tell", envelope.size_bytes, carried_by(envelope))

    def _find(
        self,
        address: object,
        now_s: float,
        kind: str,
        *,
        deadline_s: float | None = None,
        incarnation: int | None = None,
        carried: Carried | None = None,
    ) -> tuple[Ref | None, ChatId]:
        """Find the session an envelope goes to, or raise the first reason why it does not; nothing is touched."""
        chat_id = parse_chat_id(address)
        if isinstance(chat_id, DropReason):
            raise self._dropped(address, chat_id, kind, carried=carried)
        timely = deadline_s is None or _is_finite(deadline_s)
        registry = self._registry
        ref = registry.get(chat_id)
        if ref is None and chat_id in registry.aliases:
            chat_id = registry.aliases[chat_id]
            ref = registry.get(chat_id)
        phase = SessionPhase.ABSENT if ref is None else ref.phase
        if ref is not None and phase is SessionPhase.QUARANTINED:
            now = self._services.clock.now_s()
            phase = SessionPhase.ABSENT if now >= ref.quarantined_until_s else phase
        view = View(
            exists=chat_id in registry.known,
            deleted=chat_id in registry.deleted,
            phase=phase,
            incarnation=0 if ref is None else ref.incarnation,
            stopping=self._services.stopping,
        )
        until_s = deadline_s if timely else None
        decision = route(chat_id, view, now_s=now_s, deadline_s=until_s, incarnation=incarnation)
        if isinstance(decision, Drop):
            fenced = decision.reason is DropReason.STOPPING and self._services.fenced
            reason = DropReason.FENCED if fenced else decision.reason
            raise self._dropped(chat_id, reason, kind, carried=carried)
        if not timely:
            found = f"{deadline_s!r:.40} of type {type(deadline_s).__name__}"
            rejection = Rejection(DropReason.INVALID_PAYLOAD, "deadline_s", found, "give seconds, or none")
            raise self._rejected(address, rejection, kind, carried)
        assert ref is not None or isinstance(decision, Activate), "only a live session is delivered to"
        return ref, chat_id

    def _bring_up(self, chat_id: ChatId) -> Ref:
        """Bring a session up; there is no suspension between the look, the insert and the start."""
        ref = self._registry.get_or_insert(chat_id)
        self._supervisor.activate(ref)
        return ref

    def _chained(self, session: Session, chat_id: object) -> Origin:
        """Extend the chain of chats that wait for one another, or refuse to close it."""
        before = Origin() if session.origin is None else session.origin
        chain = (*before.call_chain, session.chat_id)
        now = self._registry.aliases.get
        if chat_id in chain or (type(chat_id) is str and now(chat_id, chat_id) in [now(each, each) for each in chain]):
            self.sent -= 1
            path = " -> ".join((*chain, str(chat_id)))
            message = f"an ask would wait for itself: {path}"
            raise DeadlockError(message, outcome="not_enqueued", chat_id=chat_id, hint="tell instead of ask")
        return Origin(session.chat_id, before.correlation_id, before.message_id, chain, trace=before.trace)

    async def _wait_for_room(self, ref: Ref, letter: Letter, deadline_s: float | None) -> DropReason | None:
        """Wait for room, at most until the deadline."""
        if deadline_s is None:
            return await self._put(ref.mailbox, letter)
        with trio.CancelScope(deadline=deadline_s):
            return await self._put(ref.mailbox, letter)
        self._counts.given_up -= 1  # it is refused as expired instead
        return DropReason.EXPIRED

    async def _put(self, box: Mailbox, letter: Letter) -> DropReason | None:
        """Put a letter into a mailbox, waiting for room; a sender that is cancelled meanwhile is counted."""
        if type(letter) is not Latest:  # one of those may replace another, which only the box can see to
            reason = box.put_nowait(letter)
            if reason is not DropReason.MAILBOX_FULL:
                return reason
        try:
            return await box.put(letter)
        except trio.Cancelled:
            self._counts.given_up += 1
            raise

    def _dropped(
        self,
        chat_id: object,
        reason: DropReason,
        kind: str,
        size_bytes: int = 0,
        hint: str = "",
        carried: Carried | None = None,
    ) -> RefusedError:
        """Account for a drop and build its error."""
        if kind != "control":
            self._counts.refused += 1
        self._services.accounts.drop(chat_id, reason, kind, size_bytes, carried)
        return refused(reason, chat_id=chat_id, hint=hint)

    def _rejected(
        self, chat_id: object, rejection: Rejection, kind: str, carried: Carried | None = None
    ) -> RefusedError:
        """Account for a payload that cannot be taken and build its error."""
        self._counts.refused += 1
        self._services.accounts.drop(chat_id, rejection.reason, kind, 0, carried)
        detail = f"{rejection.field} is {rejection.found}"
        return refused(rejection.reason, detail, chat_id, rejection.remedy)


def _is_finite(value: object) -> bool:
    """Say whether a value is a number of seconds that can be waited for."""
    return isinstance(value, int | float) and abs(value) < _SECONDS_MAX


_ACTIVE = SessionPhase.ACTIVE

_PLAIN = Kind()
"""What a message is that names no kind: its sender waits for room."""

_SECONDS_MAX = 1e12
"""Beyond it a number of seconds means no time at all; a NaN is beyond it too."""

_SENT_BETWEEN_LOOKS = 63
"""A sender that finds room looks up every 64 messages."""
