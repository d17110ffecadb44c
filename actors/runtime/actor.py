"""One incarnation of a session: recover, then take one thing at a time, until it ends or crashes.

The order is always the same: decide, write, take over, publish, act. The agent runs in a task of its own, so that a
stop is heard while it thinks; whatever it wants written comes back through the mailbox's inner door.
"""

import math
from collections.abc import Callable
from typing import Final

import attrs
import msgspec
import trio
from typing_extensions import override

from actors.core.commands import Accept, Ask, Begin, Cancel, Command, Emit, Finish, Recover
from actors.core.effects import Effect, Refusal, StartTurn, WakePrompt
from actors.core.draft import Segment
from actors.core.envelope import Envelope, clean_text
from actors.core.events import AttemptInterrupted, Event, EventBody, ToolCalled, TurnEnded
from actors.core.ids import DropReason
from actors.core.lifecycle import PartStatus, TurnStatus
from actors.core.session import Decision, Policy, SessionState, decide, fold
from actors.core.stream import ProgressSignal
from actors.core.transcript import History, Transcript
from actors.errors import ActorsError, AskError, HandlerError, Reject, TurnOverError
from actors.ports import Append, Committed
from actors.runtime.agent import Session
from actors.runtime.broadcast import Outbox
from actors.runtime.committer import Failed, Result
from actors.runtime.control import AnswerPrompt, CancelTurn, Delete, Prepare, Stop
from actors.runtime.mailbox import Letter, Reply, Request
from actors.runtime.ref import Accepted, Ref
from actors.runtime.refusals import refused
from actors.runtime.services import Services
from actors.runtime.turn import Turn, TurnPort

LETTERS_IN_GROUP_MAX: Final = 16
"""Messages of one session accepted in one transaction, and handled between two looks at the control lane."""


class SessionCrashedError(ActorsError):
    """The agent or a handler raised: the incarnation ends and its supervisor judges. Never leaves the package."""


class SessionLostError(ActorsError):
    """The journal has something else than this incarnation believed: it ends and recovers. Never leaves the package."""


@attrs.frozen
class _Written:
    """Inner: events of the running turn to be written; ``reply`` is answered when they are."""

    command: Emit | Ask
    reply: Reply


@attrs.frozen
class _Flush:
    """Inner: take what the turn has said so far to the journal."""

    turn: Turn


@attrs.frozen
class _Done:
    """Inner: the agent's task has ended, or was given up (``abandoned``)."""

    turn: Turn
    status: TurnStatus
    reason: str = ""
    error: str = ""
    crash: BaseException | None = None


class _Group:
    """Commands decided one after the other, to be written together."""

    __slots__ = ("answers", "bodies", "effects", "keys", "size_bytes", "state")

    def __init__(self, state: SessionState) -> None:
        """Begin from the committed state."""
        self.state = state
        self.bodies: list[EventBody] = []
        self.effects: tuple[Effect, ...] = ()
        self.answers: list[tuple[Reply, object]] = []
        self.keys: set[str] | None = None
        self.size_bytes = 0

    def add(self, command: Command, policy: Policy, now_s: float) -> Refusal | None:
        """Decide a command on what the ones before it come to."""
        decision = decide(self.state, command, policy, now_s)
        if type(decision) is Refusal:
            return decision
        assert isinstance(decision, Decision), "a decision or a refusal"
        self.bodies += decision.bodies
        self.effects += decision.effects
        self.state = fold(self.state, decision.bodies)
        return None


class _Write:
    """A group on its way to the journal."""

    __slots__ = ("_actor", "_events", "_group")

    def __init__(self, actor: "Actor", group: _Group, events: tuple[Event, ...]) -> None:
        """Belong to the incarnation that decided it."""
        self._actor = actor
        self._group = group
        self._events = events

    def done(self, result: Result) -> None:
        """Take over what is on disk, answer and act; called by the writer, in commit order.

        This happens even if the incarnation was killed meanwhile: what is on disk is published and answered.
        """
        self._actor.written(self._group, self._events, result)


class Actor(TurnPort):
    """One incarnation of one session."""

    def __init__(self, ref: Ref, services: Services) -> None:
        """Belong to a ref; nothing runs yet."""
        self._ref = ref
        self._services = services
        self._session = Session(ref.chat_id, ref.incarnation)
        self._turn: Turn | None = None
        self._to_start: StartTurn | None = None
        self._crash: BaseException | None = None
        self._failure: ActorsError | None = None
        self._leaving = ""
        self._alive = True

    async def run(self, ready: Callable[[], None]) -> None:
        """Live until stopped. ``ready`` is called once the session takes messages.

        Raises SessionCrashedError when the agent or a handler raised, SessionLostError when the journal disagrees, and
        StoreError when it cannot be read.
        """
        try:
            await self._recover()
            ready()
            await self._serve()
        finally:
            self._alive = False
            self._ref.mailbox.deaf = False
            turn = self._turn
            if turn is not None:  # killed: what the agent still says goes nowhere
                self._services.deadlines.discard(turn)
                turn.close(PartStatus.CUT)
                turn.scope.cancel()
                self._ref.turn = None

    async def _recover(self) -> None:
        """Read what is open, and settle what an earlier life left running, before anything is taken."""
        ref, services = self._ref, self._services
        while ref.writing:  # an entry of the incarnation before is still on its way
            await trio.sleep(services.limits.commit_retry_first_s)
        if ref.state is None or ref.incarnation > 1:
            async with services.activations:
                state = await services.journal.load(ref.chat_id)
            if state is None:
                message = "the session is not in the journal"
                raise SessionLostError(message, chat_id=ref.chat_id)
            ref.state, ref.seq = state, state.seq
        assert ref.state is not None, "it was loaded above, or it was created in this life"
        running = ref.state.running
        if running is None and not ref.state.queue:
            return
        retry = services.agent.on_interrupted == "retry" and not self._ref.failures
        attempts_max = services.agent.attempts_max or services.limits.attempts_max
        group = _Group(ref.state)
        now_s = services.clock.wall_s()
        if running is not None:
            group.add(Recover(retry=retry, attempts_max=attempts_max), services.policy, now_s)
            services.accounts.counts.interrupted += 1
            services.recorder.record(
                "info", "turn.interrupted", chat_id=ref.chat_id, epoch=services.epoch, turn=running.turn
            )
        group.add(Begin(), services.policy, now_s)
        self._write(group)
        while ref.writing:
            await ref.mailbox.park()

    async def _serve(self) -> None:
        """Take what comes: control first, then the session's own turn, then messages; nothing new while writing."""
        ref = self._ref
        box = ref.mailbox
        while True:
            if self._failure is not None:
                raise self._failure
            if self._to_start is not None and not ref.writing:  # before control, which could not cancel it otherwise
                await self._load_history()
                self._start(self._to_start)
                self._to_start = None
                continue
            if box.control and await self._heed():
                continue
            if not ref.writing:
                box.deaf = False
                if self._crash is not None and self._turn is not None:
                    self._cancel_running("crashed")
                if self._turn is None:
                    if self._crash is not None:
                        message = f"{type(self._crash).__name__} in turn or handler"
                        raise SessionCrashedError(message, chat_id=ref.chat_id) from self._crash
                    if self._leaving and not (box.messages and type(box.messages[0].payload) is not Accept):
                        return
                if box.inner:
                    self._heed_turn()
                    continue
            if box.messages and self._crash is None:
                if type(box.messages[0].payload) is not Accept:
                    await self._handle_volatile()
                    continue
                if not ref.writing and not self._leaving:
                    await self._heed_messages()
                    continue
            box.deaf = ref.writing
            await box.park()

    async def _heed(self) -> bool:
        """Take what waits on the control lane and can be done now; what needs a write waits for the one under way."""
        control = self._ref.mailbox.control
        heeded = False
        for key in list(control):
            signal = control[key]
            match signal:
                case Stop(reason=reason):
                    self._leaving = self._leaving or reason
                    self._cancel_running(reason)
                case Delete():
                    self._leaving = "deleted"
                    self._ref.erasing = True
                    self._cancel_running("deleted")
                case CancelTurn(turn=turn, reply=reply) if self._turn is not None and self._turn.number == turn:
                    self._cancel_running("cancelled")
                    reply.set(True)  # noqa: FBT003 - the answer to "was it open?"
                case _ if self._ref.writing:
                    continue
                case CancelTurn(turn=turn, reply=reply):
                    group = _Group(self._state)
                    refusal = group.add(Cancel(turn), self._services.policy, self._services.clock.wall_s())
                    group.answers.append((reply, refusal is None))
                    self._write(group)
                case AnswerPrompt(answer=answer, reply=reply):
                    group = _Group(self._state)
                    refusal = group.add(answer, self._services.policy, self._services.clock.wall_s())
                    group.answers.append((reply, refusal))
                    self._write(group)
                case Prepare(history=history, reply=reply):
                    if history:
                        await self._load_history()
                    reply.set(None)
                case _:
                    assert signal is None, f"no control signal is {type(signal).__name__}"
            control.pop(key, None)
            heeded = True
        return heeded

    def _heed_turn(self) -> None:
        """Take what the session's own turn wants written, together."""
        inner = self._ref.mailbox.inner
        group = _Group(self._state)
        now_s = self._services.clock.wall_s()
        policy = self._services.policy
        while inner:
            item = inner.popleft()
            match item:
                case _Done() if item.turn is self._turn:
                    self._end_turn(group, item, now_s)
                case _Flush(turn=turn) if turn is self._turn:
                    turn.flushing = False
                    group.size_bytes += turn.unsaved_bytes
                    turn.unsaved_bytes = 0
                    bodies = turn.take_said()
                    if bodies:
                        group.add(Emit(turn.number, turn.attempt, bodies), policy, now_s)
                    group.answers += [(room, None) for room in turn.rooms]
                    turn.rooms.clear()
                case _Written(command=command, reply=reply):
                    before = len(group.bodies)
                    refusal = group.add(command, policy, now_s)
                    group.size_bytes += sum(_size(body) for body in group.bodies[before:])
                    group.answers.append((reply, refusal))
                case _:
                    pass  # words of a turn that is over
        self._write(group)

    async def _heed_messages(self) -> None:
        """Accept the messages that wait, in their order; they are written together."""
        box = self._ref.mailbox
        group = _Group(self._state)
        for _ in range(LETTERS_IN_GROUP_MAX):
            if not box.messages or box.control:
                break
            content = box.messages[0].payload
            if type(content) is not Accept:
                break
            assert isinstance(content, Accept), "its type is Accept"
            if group.keys is not None and content.message_id in group.keys:
                break  # the same key again: it gets the receipt of the first, which must be on disk before
            letter = box.take()
            assert isinstance(letter, Request), "whoever sends a durable message waits for its receipt"
            await self._accept(group, letter, content)
            if box.messages:
                group.keys = group.keys or set()
                group.keys.add(content.message_id)
        self._write(group)

    async def _accept(self, group: _Group, request: Request, command: Accept) -> None:
        """Decide one message: a key that is known gets its first receipt, the others a turn or a refusal."""
        reply = request.reply
        reply.started = True
        first = self._ref.recent.get(command.message_id)
        if first is None and not command.minted:
            found = await self._services.journal.find(self._ref.chat_id, command.message_id)
            if found is not None:
                first = Accepted(command.message_id, found.turn, found.seq, self._services.epoch)
        self._ref.executed += 1
        if first is not None:
            self._services.accounts.counts.duplicates += 1
            reply.set(msgspec.structs.replace(first, duplicate=True))
            return
        refusal = group.add(command, self._services.policy, self._services.clock.wall_s())
        if refusal is not None:
            self._services.accounts.drop(self._ref.chat_id, refusal.reason, "accept", request.size_bytes)
            reply.fail(refused(refusal.reason, refusal.detail, self._ref.chat_id))
            return
        turn = group.state.turns
        effects = group.effects
        started = bool(effects) and effects[-1].turn == turn and type(effects[-1]) is StartTurn
        seq = self._state.seq + len(group.bodies) - started
        group.size_bytes += request.size_bytes
        group.answers.append((reply, Accepted(command.message_id, turn, seq, self._services.epoch)))

    async def _handle_volatile(self) -> None:
        """Handle volatile messages until another kind comes, or control or the turn wants to be heard and can be.

        A message leaves the box when its handler is about to run; the box hears of the room once per batch, or as soon
        as somebody wants it. What needs a write waits for the one under way, and messages go on meanwhile.
        """
        ref, busy_s = self._ref, self._services.clock.busy_s
        box, session, quantum_s = ref.mailbox, self._session, self._services.limits.quantum_s
        receive = self._services.agent.receive
        assert receive is not None, "the router refuses volatile messages without a handler"
        messages, control, inner, waiters = box.messages, box.control, box.inner, box.waiters
        handled = 0
        until_s = busy_s() + quantum_s
        try:
            while messages and (ref.writing or not (control or inner)):
                letter = messages.popleft()
                if type(letter) is not Envelope or letter.deadline_s is not None:
                    messages.appendleft(letter)
                    if type(letter.payload) is Accept:
                        return
                    await self._handle_special(box.take())
                    if busy_s() >= until_s:
                        return
                    continue
                handled += 1
                box.bytes_taken += letter.size_bytes
                if waiters:
                    box.gave()
                session.origin = letter.origin
                await receive(session, letter.payload)
                if busy_s() >= until_s:
                    box.gave()
                    await trio.lowlevel.checkpoint()
                    if control or inner:
                        return
                    until_s = busy_s() + quantum_s
        except Reject:
            pass
        except Exception as error:  # noqa: BLE001 - the border to the host's code; judged by the supervisor
            self._crash = error
        finally:
            ref.executed += handled
            box.gave()

    async def _handle_special(self, letter: Letter) -> None:
        """Handle a volatile message that has a deadline or an asker; whatever happens, the asker is answered."""
        envelope = letter.envelope if isinstance(letter, Request) else letter
        reply = letter.reply if isinstance(letter, Request) else Reply()
        receive = self._services.agent.receive
        assert receive is not None, "the router refuses volatile messages without a handler"
        if envelope.deadline_s is not None and envelope.deadline_s <= self._services.clock.now_s():
            self._expire(envelope)
            message = "the deadline passed while the message waited"
            reply.fail(AskError(message, outcome="not_started", chat_id=envelope.chat_id))
            return
        self._session.origin = envelope.origin
        self._ref.executed += 1
        reply.started = True
        try:
            answer = await receive(self._session, envelope.payload)
        except BaseException as error:
            rejected = isinstance(error, Reject)
            text = f"rejected: {words_of(error)}" if rejected else f"the handler raised {type(error).__name__}"
            failed = HandlerError(text, outcome="unknown", chat_id=envelope.chat_id)
            failed.__cause__ = error if isinstance(error, Exception) else None
            reply.fail(failed)
            if not rejected:
                raise
        else:
            if not reply.set(answer):
                self._services.accounts.counts.late_replies += 1
                self._services.recorder.record("debug", "ask.late_reply", chat_id=envelope.chat_id)

    def _expire(self, letter: Letter) -> None:
        """Account for a volatile message whose deadline passed in the mailbox."""
        self._ref.dead += 1
        self._services.accounts.bury(self._ref.chat_id, DropReason.EXPIRED, "tell", letter.size_bytes)

    def _cancel_running(self, reason: str) -> None:
        """Cancel the running turn, and give it up if it does not end within its grace."""
        turn = self._turn
        if turn is None or turn.cancel_reason:
            return
        turn.cancel_reason = reason
        turn.scope.cancel()
        grace = turn.grace = trio.CancelScope(deadline=trio.current_time() + self._services.limits.cancel_grace_s)

        async def give_up() -> None:
            with grace:
                await trio.sleep_forever()
            if not turn.closed and self._turn is turn:
                place = _place(turn.task)
                self._services.accounts.counts.abandoned += 1
                self._services.recorder.record(
                    "error", "turn.abandoned", chat_id=turn.chat_id, turn=turn.number, place=place
                )
                status, why = _end_of(turn)
                self._ref.mailbox.post_inner(_Done(turn, status, why or "abandoned"))

        self._services.spawn(give_up)

    def _start(self, effect: StartTurn) -> None:
        """Start the agent on its turn, in a task of its own."""
        state = self._state
        running = state.running
        assert running is not None, "a turn is started by the event that makes it running"
        assert running.queued.turn == effect.turn, "effects follow their events"
        turn = Turn(self, state, self._services.limits, self._services.clock, self._ref.broadcast)
        self._turn = turn
        self._ref.turn = turn
        self._services.deadlines.add(turn, self._overdue)
        self._services.spawn(self._answer, turn)
        if self._leaving:  # told to stop while the start of this turn was being written
            self._cancel_running(self._leaving)

    def _overdue(self, turn: Turn) -> None:
        """Cancel a turn whose time is up."""
        if self._turn is turn:
            self._cancel_running("deadline")

    async def _answer(self, turn: Turn) -> None:
        """Run the agent to its end, whatever that is, and report it through the inner door."""
        turn.task = trio.lowlevel.current_task()
        scope = turn.scope
        done = _Done(turn, TurnStatus.COMPLETED)
        try:
            with scope:
                text = await self._services.agent.answer(turn)
                if isinstance(text, str):
                    await turn.write(text)
                turn.changed_state()  # a state that cannot be kept is the agent's failure, not the session's
            if turn.cancel_reason:
                done = _Done(turn, *_end_of(turn))
        except BaseException as error:  # noqa: BLE001 - the barrier: nothing an agent raises passes
            if torn_down():
                return  # the store says running, and recovery settles it
            done = _ended_by(turn, error)
        if not turn.closed:
            self._ref.mailbox.post_inner(done)

    def _end_turn(self, group: _Group, done: _Done, now_s: float) -> None:
        """Put the end of the turn into the group: last words, seals, state, status, and the next turn."""
        turn = done.turn
        self._services.deadlines.discard(turn)
        self._services.accounts.counts.signals += turn.pieces
        completed = done.status is TurnStatus.COMPLETED
        last_words = turn.close(PartStatus.COMPLETE if completed else PartStatus.CUT)
        group.size_bytes += turn.unsaved_bytes
        finish = Finish(
            turn.number,
            turn.attempt,
            done.status,
            last_words,
            turn.changed_state() if completed else None,
            done.reason,
            done.error,
            begin_next=done.crash is None and self._crash is None and not self._leaving,
        )
        self._turn = None
        self._ref.turn = None
        self._crash = self._crash or done.crash
        refusal = group.add(finish, self._services.policy, now_s)
        assert refusal is None, "only the running turn is ended, and only once"

    def _write(self, group: _Group) -> None:
        """Have what was decided written; it is published, answered and acted on when it is on disk."""
        bodies = group.bodies
        if not bodies:
            self._act(group)
            return
        ref, services = self._ref, self._services
        first, at_s, epoch, chat_id = self._state.seq + 1, services.clock.wall_s(), services.epoch, ref.chat_id
        events = tuple([Event(chat_id, first + n, epoch, at_s, body) for n, body in enumerate(bodies)])
        ref.writing = True
        services.committer.submit(
            Append(chat_id, first - 1, events), group.size_bytes, _Write(self, group, events).done
        )

    def written(self, group: _Group, events: tuple[Event, ...], result: Result) -> None:
        """Hear from the writer what became of a group."""
        ref = self._ref
        ref.writing = False
        box = ref.mailbox
        if type(result) is Committed:
            try:
                self._take_over(events, group.state)
                self._act(group)
            except Exception as error:  # noqa: BLE001 - a bug in here is this session's crash, not the writer's
                self._failure = SessionLostError(f"a bug: {type(error).__name__}", chat_id=ref.chat_id)
                self._failure.__cause__ = error
        elif isinstance(result, Failed):
            self._failure = result.error
        else:
            self._failure = SessionLostError(f"the journal has {result}", chat_id=ref.chat_id)
        if self._failure is not None:
            for reply, _ in group.answers:
                reply.fail(self._failure)
        elif not (box.inner or box.messages or box.control or self._to_start or self._crash or self._leaving):
            box.deaf = False
            return
        box.wake()

    def _act(self, group: _Group) -> None:
        """Answer and act, once everything that was decided is on disk."""
        for reply, answer in group.answers:
            if type(answer) is Accepted:
                self._ref.remember(answer)
            reply.set(answer)
        for effect in group.effects:
            if not self._alive:
                break  # the incarnation was killed; the next one settles what was begun
            match effect:
                case StartTurn():
                    if self._ref.transcript is None:
                        self._to_start = effect
                    else:
                        self._start(effect)
                case WakePrompt(prompt=prompt, answer=text):
                    waiting = self._turn and self._turn.prompts.pop(prompt, None)
                    if waiting:
                        waiting.set(text)

    def _take_over(self, events: tuple[Event, ...], state: SessionState) -> None:
        """Take over what is on disk: publish it, count it, log it."""
        recorder = self._services.recorder
        counts = self._services.accounts.counts
        counts.events += len(events)
        for box in self._ref.committed(events, state):
            self._lagged(box)
        for event in events:
            body = event.body
            kind = type(body)
            if kind is TurnEnded:
                assert isinstance(body, TurnEnded), "kind is its type"
                counts.turns[body.status] += 1
                if recorder.informing:
                    self._record_end(event, body)
            elif kind is ToolCalled:
                counts.tool_calls += 1
            elif kind is AttemptInterrupted:
                counts.turns["retried"] += 1
        if recorder.debugging:
            for event in events:
                recorder.record(
                    "debug",
                    "journal.event",
                    chat_id=event.chat_id,
                    epoch=event.epoch,
                    seq=event.seq,
                    turn=getattr(event.body, "turn", 0),
                    kind=event.body.__struct_config__.tag,
                )

    def _record_end(self, event: Event, body: TurnEnded) -> None:
        """Log the end of a turn; the text of a rejection is the agent's and is left out."""
        self._services.recorder.record(
            "info",
            "turn.ended",
            chat_id=event.chat_id,
            epoch=event.epoch,
            seq=event.seq,
            turn=body.turn,
            status=body.status.value,
            reason=body.reason,
            error=body.error if body.reason == "crashed" else "",
        )

    def _lagged(self, box: Outbox) -> None:
        """Account for a subscriber that was cut."""
        self._services.accounts.counts.lagged += 1
        self._services.recorder.limited(
            "warning", "subscriber.lagged", "lagged", chat_id=self._ref.chat_id, seq=box.last_seq
        )

    @property
    def _state(self) -> SessionState:
        """The committed state."""
        state = self._ref.state
        assert state is not None, "an incarnation has recovered before it does anything else"
        return state

    @override
    def said(self, turn: Turn, segment: Segment, size: int) -> None:
        services = self._services
        broadcast = self._ref.broadcast
        if segment is not broadcast.segment or broadcast.hungry:
            for box in broadcast.said(segment, size):
                self._lagged(box)
        if turn.unsaved_bytes >= services.limits.checkpoint_bytes_max:
            self._flush(turn)
        elif not turn.due:
            turn.due = True
            services.checkpoints.add(turn, self._flush)

    @override
    def progress(self, turn: Turn, name: str, value: str) -> None:
        self._services.accounts.counts.signals += 1
        for box in self._ref.broadcast.progress(ProgressSignal(turn.chat_id, turn.number, name, value)):
            self._lagged(box)

    @override
    def late(self, turn: Turn) -> None:
        self._services.accounts.counts.late_output += 1
        self._services.recorder.limited("warning", "turn.late_output", turn.chat_id, turn=turn.number)

    @override
    async def emit(self, turn: Turn, bodies: tuple[EventBody, ...]) -> None:
        reply = Reply()
        self._ref.mailbox.post_inner(_Written(Emit(turn.number, turn.attempt, bodies), reply))
        _check_written(await reply.wait())

    @override
    async def ask(
        self, turn: Turn, kind: str, question: str, choices: tuple[str, ...], bodies: tuple[EventBody, ...]
    ) -> int:
        running = self._state.running
        number = 0 if running is None else running.prompts_total
        reply = Reply()
        command = Ask(turn.number, turn.attempt, kind, question, choices, bodies)
        self._ref.mailbox.post_inner(_Written(command, reply))
        _check_written(await reply.wait())
        return number

    @override
    async def make_room(self, turn: Turn) -> None:
        reply = Reply()
        turn.rooms.append(reply)
        self._flush(turn)
        await reply.wait()

    @override
    def history(self, turn: Turn) -> History:
        transcript = self._ref.transcript
        assert transcript is not None, "it is loaded before the agent starts"
        return transcript.before(turn.number)

    async def _load_history(self) -> None:
        """Read the history of a cold session, once; nothing is written meanwhile, since only this task writes."""
        ref, journal, limits = self._ref, self._services.journal, self._services.limits
        if ref.transcript is not None:
            return
        page = await journal.messages(ref.chat_id, None, limits.history_messages_max)
        first_turn = page.before_turn or 0
        transcript = Transcript(page.messages, messages_max=limits.history_messages_max, first_turn=first_turn)
        open_turns = {queued.turn: queued.seq for queued in self._state.open_turns}
        after = min(open_turns.values(), default=ref.seq + 1) - 1
        while after < ref.seq:
            events = await journal.events(ref.chat_id, after, limits.page_rows_max)
            for event in events:
                if event.seq <= ref.seq and getattr(event.body, "turn", 0) in open_turns:
                    transcript.add(event)
            after = events[-1].seq if events else ref.seq
        ref.transcript = transcript

    def _flush(self, turn: Turn) -> None:
        """Ask for a checkpoint of a turn."""
        if not turn.closed and not turn.flushing and turn.unsaved_bytes:
            turn.flushing = True
            self._ref.mailbox.post_inner(_Flush(turn))


def _check_written(refusal: object) -> None:
    """Raise if a turn's events were refused."""
    if isinstance(refusal, Refusal):
        message = f"not written: {refusal.detail}"
        raise TurnOverError(message)


def _end_of(turn: Turn) -> tuple[TurnStatus, str]:
    """Say how a turn ends that was cancelled: by a person, by its deadline, or by the runtime."""
    if turn.cancel_reason in {"cancelled", "deleted"}:
        return TurnStatus.CANCELLED, ""
    if turn.cancel_reason == "deadline":
        return TurnStatus.FAILED, "deadline"
    return TurnStatus.INTERRUPTED, turn.cancel_reason


def _ended_by(turn: Turn, error: BaseException) -> _Done:
    """Say how a turn ends whose agent raised; what it raises after it was cancelled is part of its leaving."""
    if turn.cancel_reason:
        return _Done(turn, *_end_of(turn))
    if isinstance(error, Reject):
        return _Done(turn, TurnStatus.FAILED, "rejected", words_of(error))
    crash = without_cancelled(error) or error
    return _Done(turn, TurnStatus.FAILED, "crashed", type(crash).__name__, crash)


def words_of(error: Exception) -> str:
    """Return the text of a rejection as far as it can be kept, whatever the host made of it."""
    try:
        return clean_text(str(error)[:200])
    except Exception:  # noqa: BLE001 - a text that cannot be made is no text
        return ""


def torn_down() -> bool:
    """Say whether this task is cancelled from outside; a cancellation that is raised otherwise is a stray one."""
    return trio.current_effective_deadline() == -math.inf


def without_cancelled(error: BaseException) -> BaseException | None:
    """Return what is left of an error without the cancellations in it."""
    if isinstance(error, trio.Cancelled):
        return None
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1]
    return error


def _size(body: EventBody) -> int:
    """Estimate what an event of a turn costs to keep."""
    return 100 + len(getattr(body, "text", "")) + len(getattr(body, "content", "")) + len(getattr(body, "arguments", ""))


def _place(task: trio.lowlevel.Task | None) -> str:
    """Name the line at which a task waits."""
    place = "unknown"
    if task is not None:
        for frame, line in task.iter_await_frames():
            place = f"{frame.f_code.co_filename.rpartition('/')[2]}:{line} {frame.f_code.co_name}"
    return place
