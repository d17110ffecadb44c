"""Volatile messages: handled one at a time in their order, also while a turn runs or a write is under way."""

import math

import trio
from typing_extensions import override

from actors.core.commands import Accept
from actors.core.dead_letter import carried_by
from actors.core.envelope import Envelope
from actors.core.ids import DropReason
from actors.errors import AskError, HandlerError, Reject
from actors.runtime.agent import Desk, Receive, Session
from actors.runtime.attempt import words_of
from actors.runtime.mailbox import Letter, Reply, Request
from actors.runtime.ref import Ref
from actors.runtime.refusals import refused
from actors.runtime.services import Services
from actors.runtime.timers import Timers
from actors.runtime.workers import Workers


class Handler(Desk):
    """Hands one incarnation's volatile messages to the agent's handler."""

    __slots__ = ("_aside", "_aside_at", "_gone", "_ref", "_services", "_session", "_timers", "doing")

    def __init__(self, ref: Ref, services: Services) -> None:
        """Belong to an incarnation; its handler gets a session with a memory of its own.

        What an earlier incarnation had set aside comes first: whatever it waited for is forgotten.
        """
        self._ref = ref
        self._services = services
        self._session = Session(ref.chat_id, ref.incarnation, self)
        self._timers: Timers | None = None
        self._aside: Letter | None = None
        self._aside_at = 0
        self._gone = False
        self.doing = "tell"
        """The kind of the message whose handler raised."""
        ref.mailbox.bring_back()

    async def handle(self) -> Exception | None:
        """Handle volatile messages until another kind comes, or control or the turn wants to be heard and can be.

        A message leaves the box when its handler is about to run; the box hears of the room once per batch, or as soon
        as somebody wants it. What needs a write waits for the one under way, and messages go on meanwhile. Returns what
        a handler raised.
        """
        ref, busy_s = self._ref, self._services.clock.busy_s
        box, session, quantum_s = ref.mailbox, self._session, self._services.limits.quantum_s
        receive = self._services.agent.receive
        assert receive is not None, "the router refuses volatile messages without a handler"
        if ref.tracer is not None:  # looked at once a batch, so that nothing is paid for it per message
            receive = self._traced(receive)
        messages, control, inner, waiters = box.messages, box.control, box.inner, box.waiters
        until_s = busy_s() + quantum_s
        session.chat_id = ref.chat_id  # it may have been migrated
        ref.handling_since_s = ref.active_s = trio.current_time()
        try:
            while messages and (ref.writing or not (control or inner)):
                letter = messages.popleft()
                if type(letter) is not Envelope or letter.deadline_s is not None:
                    messages.appendleft(letter)
                    if type(letter.payload) is Accept:
                        return None
                    self._aside = None
                    await self._handle_special(box.take())
                else:
                    ref.executed += 1
                    box.bytes_taken += letter.size_bytes
                    if waiters:
                        box.gave()
                    session.letter = letter
                    await receive(session, letter.payload)
                if busy_s() >= until_s:
                    box.gave()
                    await trio.lowlevel.checkpoint()
                    if control or inner:
                        return None
                    waiters = box.waiters
                    until_s = busy_s() + quantum_s
                    session.chat_id = ref.chat_id
                    ref.handling_since_s = trio.current_time()
        except Reject:
            self._take_back(session.letter)
        except Exception as error:  # noqa: BLE001 - the border to the host's code; judged by the supervisor
            self._take_back(session.letter)
            self.doing = "ask" if isinstance(session.letter, Request) else "tell"
            return error
        finally:
            session.letter = self._aside = None
            if not self._gone:  # or this is what is left of an earlier incarnation
                ref.handling_since_s = math.inf
            if box.bytes_taken:
                box.gave()
        return None

    def leave(self) -> None:
        """Answer who still waits for the handler: its incarnation has ended, and what it still does goes nowhere."""
        self._gone = True
        if self._timers is not None:
            self._timers.close()
        letter = self._session.letter
        if isinstance(letter, Request):
            message = "the handler did not end when it was told to"
            letter.reply.fail(HandlerError(message, outcome="unknown", chat_id=self._ref.chat_id))

    def _traced(self, receive: Receive) -> Receive:
        """Note each message that is taken, before it is handled."""

        async def noted(session: Session, payload: object) -> object:
            self._services.tracing.detail(self._ref, "taken", "tell")
            return await receive(session, payload)

        return noted

    async def _handle_special(self, letter: Letter) -> None:
        """Handle a volatile message that has a deadline or an asker; whatever happens, the asker is answered."""
        envelope = letter if isinstance(letter, Envelope) else letter.envelope
        reply = letter.reply if isinstance(letter, Request) else Reply()
        receive = self._services.agent.receive
        assert receive is not None, "the router refuses volatile messages without a handler"
        if envelope.deadline_s is not None and envelope.deadline_s <= self._services.clock.now_s():
            self._expire(envelope, "ask" if isinstance(letter, Request) else "tell")
            message = "the deadline passed while the message waited"
            reply.fail(AskError(message, outcome="not_started", chat_id=envelope.chat_id))
            return
        self._session.letter = letter
        self._ref.executed += 1
        if self._ref.tracer is not None:
            self._services.tracing.detail(self._ref, "taken", "ask" if isinstance(letter, Request) else "tell")
        reply.started = True
        try:
            answer = await receive(self._session, envelope.payload)
        except BaseException as error:
            self._take_back(letter)
            rejected = isinstance(error, Reject)
            text = f"the handler raised {type(error).__name__}"
            if isinstance(error, Reject):
                text = f"rejected: {words_of(error)}"
            failed = HandlerError(text, outcome="unknown", chat_id=envelope.chat_id)
            failed.__cause__ = error if isinstance(error, Exception) else None
            reply.fail(failed)
            if not rejected:
                raise
        else:
            if self._aside is letter:  # whoever asked is answered when it is handled, or told why it is not
                reply.started = False
            elif not reply.set(answer):
                self._services.accounts.counts.late_replies += 1
                self._services.recorder.record("debug", "ask.late_reply", chat_id=envelope.chat_id)

    @override
    def set_aside(self, letter: Letter) -> bool:
        if self._gone:
            return False
        box, ref = self._ref.mailbox, self._ref
        # Also told apart by how many were handled: what was brought back may be set aside again in the same batch.
        if letter is self._aside and ref.executed == self._aside_at:
            return any(each is letter for each in (*box.stashed, *box.messages))
        ref.executed -= 1
        self._aside, self._aside_at = letter, ref.executed
        if box.set_aside(letter):
            return True
        self._ref.dead += 1
        kind = "ask" if isinstance(letter, Request) else "tell"
        envelope = letter if isinstance(letter, Envelope) else letter.envelope
        size_bytes, carried = envelope.size_bytes, carried_by(envelope)
        self._services.accounts.bury(self._ref.chat_id, DropReason.STASH_FULL, kind, size_bytes, carried)
        if isinstance(letter, Request):
            error = refused(DropReason.STASH_FULL, chat_id=self._ref.chat_id)
            letter.reply.fail(AskError(str(error), outcome="not_started", chat_id=self._ref.chat_id))
        return False

    @override
    def workers(self) -> Workers:
        return self._services.workers

    @override
    def bring_back(self) -> int:
        return 0 if self._gone else self._ref.mailbox.bring_back()

    @override
    def start_timer(self, key: object, payload: object, every_s: object, after_s: object) -> None:
        if self._timers is None:
            self._timers = Timers(self._ref, self._services)
        self._timers.start(key, payload, every_s, after_s)

    @override
    def stop_timer(self, key: object) -> bool:
        return self._timers is not None and self._timers.stop(key)

    def _take_back(self, letter: Letter | None) -> None:
        """Count a message as handled whose handler set it aside and then failed all the same: it is not run again."""
        if letter is not None and letter is self._aside and self._ref.mailbox.forget(letter):
            self._ref.executed += 1

    def _expire(self, envelope: Envelope, kind: str) -> None:
        """Account for a volatile message whose deadline passed in the mailbox."""
        self._ref.dead += 1
        size_bytes, carried = envelope.size_bytes, carried_by(envelope)
        self._services.accounts.bury(self._ref.chat_id, DropReason.EXPIRED, kind, size_bytes, carried)
