"""One incarnation of a session: recover, then take one thing at a time, until it ends or crashes.

The order is always the same: decide, write, take over, publish, act. The agent runs in a task of its own, so that a
stop is heard while it thinks; whatever it wants written comes back through the mailbox's inner door.
"""

from functools import partial

import trio

from actors.core.commands import Accept, Begin, Cancel, CloseChild, Finish, Recover
from actors.core.effects import StartTurn, StopTurn, WakePrompt
from actors.core.events import Event
from actors.core.lifecycle import PartStatus, TurnStatus
from actors.core.state import SessionState
from actors.core.supervision import ExitReason, exit_of
from actors.errors import ActorsError, PromptExpiredError, StoreError, TurnOverError
from actors.ports import Append, Committed
from actors.runtime.acceptance import LETTERS_IN_GROUP_MAX, accept, look_up
from actors.runtime.attempt import Outlet, end_of, run_agent
from actors.runtime.committer import Failed, Result
from actors.runtime.control import (
    AnswerPrompt,
    CancelTurn,
    ControlQueue,
    Delete,
    Due,
    EditFrom,
    MigrateTo,
    Order,
    ParentEnded,
    Passivate,
    Prepare,
    RetryTurn,
    Stop,
    Suspend,
)
from actors.runtime.editing import edit
from actors.runtime.frames import is_over
from actors.runtime.group import Group, size_of
from actors.runtime.hydration import load_history, load_state
from actors.runtime.inner import Done, Flush, Written
from actors.runtime.mailbox import Request
from actors.runtime.management import manage, settle
from actors.runtime.migration import migrate
from actors.runtime.publication import publish
from actors.runtime.ref import Accepted, Ref, Tell
from actors.runtime.reminding import remind
from actors.runtime.resting import begin_rest
from actors.runtime.services import Services
from actors.runtime.turn import Turn
from actors.runtime.volatile import Handler


class SessionCrashedError(ActorsError):
    """The agent or a handler raised: the incarnation ends and its supervisor judges. Never leaves the package."""


class SessionLostError(ActorsError):
    """The journal has something else than this incarnation believed: it ends and recovers. Never leaves the package."""


class Actor:
    """One incarnation of one session."""

    __slots__ = (
        "_alive", "_crash", "_failure", "_handler", "_incarnation", "_leaving", "_outlet", "_ref", "_resting",
        "_services", "_serving", "_turn", "doing",
    )  # fmt: skip

    def __init__(self, ref: Ref, services: Services) -> None:
        """Belong to a ref; nothing runs yet."""
        self._ref = ref
        self._services = services
        self._outlet = Outlet(ref, services)
        self._handler = Handler(ref, services)
        self._turn: Turn | None = None
        self._crash: BaseException | None = None
        self._failure: ActorsError | None = None
        self._leaving = ""
        self._alive = True
        self._serving = False
        self._resting = False
        self._incarnation = ref.incarnation
        self.doing = "recovery"
        """What a crash report says it was at."""

    async def run(self, tell: Tell) -> ExitReason:
        """Live until stopped, and say how it ended.

        ``tell`` is called once the session takes messages, and when it is put away.

        Raises SessionCrashedError when the agent or a handler raised, SessionLostError when the journal disagrees, and
        StoreError when it cannot be read.
        """
        try:
            await self._recover()
            tell(self._ref, "ready")
            self._serving = True
            self.doing = "turn"
            await self._serve()
            if self._resting:
                tell(self._ref, "resting")
                return ExitReason.PASSIVATED
            return exit_of(self._leaving)
        finally:
            self.leave()

    def leave(self) -> None:
        """End for everybody else: what is left of this incarnation, and of its turn, can do nothing any more.

        It may still run: when its task did not end and was given up, the supervisor calls this, and another incarnation
        begins.
        """
        if not self._alive:
            return
        self._alive = self._serving = False
        ref = self._ref
        ref.mailbox.deaf = False
        self._failure = self._failure or SessionLostError("it was given up", chat_id=ref.chat_id)
        for item in ref.mailbox.inner:
            if isinstance(item, Written):  # the turn may be shielded, and would wait for ever
                item.reply.fail(TurnOverError("not written: the turn has ended", chat_id=ref.chat_id))
        ref.mailbox.inner.clear()
        self._handler.leave()
        turn = self._turn
        if turn is not None:  # killed: what the agent still says goes nowhere
            self._services.deadlines.discard(turn)
            turn.close(PartStatus.CUT)
            turn.scope.cancel()
            self._services.kin.release(turn.children)
            ref.turn = None
            self._services.zombies.expect_end(turn, partial(self._given_up, turn))

    def _given_up(self, turn: Turn) -> None:
        """Keep the task of a turn that did not end when it was cancelled."""
        if turn.task is not None and not is_over(turn.task):
            self._services.accounts.counts.abandoned += 1
            self._services.zombies.add(turn.task, turn.chat_id, self._incarnation, turn.number)

    async def _recover(self) -> None:
        """Read what is open, and settle what an earlier life left running, before anything is taken."""
        ref, services = self._ref, self._services
        while ref.writing:  # noqa: ASYNC110 - rare and bounded; there is no one event to wait for
            await trio.sleep(services.limits.commit_retry_first_s)
        if ref.state is None or ref.incarnation > 1:
            state = await load_state(ref, services)
            if state is None:
                message = "the session is not in the journal"
                raise SessionLostError(message, chat_id=ref.chat_id)
            if ref.transcript is not None and state.seq != ref.seq:  # something was written that was not heard of here
                ref.transcript = None
                ref.broadcast.cut()
            ref.state, ref.seq = state, state.seq
        assert ref.state is not None, "it was loaded above, or it was created in this life"
        running = ref.state.running
        standing = ref.state.standing
        orphaned = standing.parent is not None and (standing.closed or services.kin.origin_of(ref.chat_id) is None)
        if running is None and not ref.state.queue and (standing.closed or not orphaned):
            return
        on_interrupted = "mark" if self._ref.failures or orphaned else services.agent.on_interrupted
        attempts_max = services.agent.attempts_max or services.limits.attempts_max
        group = Group(ref.state)
        now_s = services.clock.wall_s()
        if running is not None:
            group.add(Recover(on_interrupted, attempts_max), services.policy, now_s)
            services.accounts.counts.interrupted += 1
            services.recorder.record(
                "info", "turn.interrupted", chat_id=ref.chat_id, epoch=services.epoch, turn=running.turn
            )
        if orphaned:
            group.add(CloseChild(), services.policy, now_s)
        for key, signal in list(ref.mailbox.control.items()):
            if isinstance(signal, CancelTurn) and group.add(Cancel(signal.turn), services.policy, now_s) is None:
                del ref.mailbox.control[key]
                group.answers.append((signal.reply, True))
            elif isinstance(signal, ControlQueue):
                del ref.mailbox.control[key]
                settle(group, signal, services.policy, now_s)
        group.add(Begin(), services.policy, now_s)
        if any(isinstance(effect, StartTurn) for effect in group.effects):
            await load_history(
                self._ref, self._services
            )  # before the start is on disk: a turn that cannot run is not begun
        self._write(group)
        while self._ref.writing:
            await ref.mailbox.park()

    async def _serve(self) -> None:
        """Take what comes: control first, then the session's own turn, then messages; nothing new while writing."""
        ref = self._ref
        box = ref.mailbox
        while True:
            if self._failure is not None:
                raise self._failure
            if box.control and await self._heed():
                if self._resting:
                    return
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
            if box.messages and self._crash is None and (not ref.suspended or self._leaving):
                if type(box.messages[0].payload) is not Accept:
                    self._crash = await self._handler.handle()
                    if self._crash is not None:
                        self.doing = self._handler.doing
                    continue
                if not ref.writing and not self._leaving:
                    await self._heed_messages()
                    continue
            box.deaf = ref.writing
            await box.park()

    async def _heed(self) -> bool:
        """Take what waits on the control lane and can be done now; what needs a write waits for the one under way."""
        services, control = self._services, self._ref.mailbox.control
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
                case Passivate():
                    busy = bool(self._leaving or self._crash is not None or self._turn is not None)
                    self._resting = begin_rest(self._services, self._ref, signal, busy=busy)
                    heeded = True
                    continue
                case CancelTurn(turn=turn, reply=reply) if self._turn is not None and self._turn.number == turn:
                    self._cancel_running("cancelled")
                    reply.set(True)
                case ParentEnded():
                    self._cancel_running("parent_ended")
                    if self._ref.writing:
                        continue
                    self._close_child()
                case Suspend():
                    pass  # the flag is on the ref, where it outlives this incarnation; this is to be heard
                case _ if self._ref.writing or (type(signal) is EditFrom and (self._leaving or self._crash)):
                    continue
                case MigrateTo():
                    migrate(self._ref, services, signal, self.written)
                case Prepare(history=history, reply=reply):
                    if history:
                        await load_history(self._ref, services)
                    self._ref.active_s = trio.current_time()
                    reply.set(None)
                case _:
                    await self._heed_to_write(signal)
            control.pop(key, None)
            heeded = True
            self._services.tracing.step(self._ref, "control", type(signal).__name__)
        return heeded

    async def _heed_to_write(self, signal: object) -> None:
        """Take a control signal that has something written."""
        services, group = self._services, Group(self._state)
        now_s = services.clock.wall_s()
        match signal:
            case CancelTurn() | ControlQueue() | RetryTurn():
                begins = self._turn is None and self._crash is None and not self._leaving
                group = await manage(self._ref, services, signal, begins=begins)
            case AnswerPrompt(answer=command, reply=reply):
                if self._state.standing.prompts:  # the answer may be the message of a turn
                    await load_history(self._ref, services)
                group.answers.append((reply, group.add(command, services.policy, now_s)))
            case Order(command=command, reply=reply):
                group.answers.append((reply, group.add(command, services.policy, now_s)))
            case EditFrom():
                group = await edit(self._ref, services, signal)
            case Due():
                if not self._leaving and self._crash is None:
                    group = await remind(self._ref, services)
            case _:
                assert signal is None, f"no control signal is {type(signal).__name__}"
        self._write(group)

    def _close_child(self) -> None:
        """End what waits, since the parent's turn has ended, and leave unless somebody watches."""
        group = Group(self._state)
        group.add(CloseChild(), self._services.policy, self._services.clock.wall_s())
        self._write(group)
        if not self._ref.broadcast:
            self._leaving = self._leaving or "parent_ended"

    def _heed_turn(self) -> None:
        """Take what the session's own turn wants written, together."""
        inner = self._ref.mailbox.inner
        group = Group(self._state)
        now_s = self._services.clock.wall_s()
        policy = self._services.policy
        flush = False
        while inner:
            item = inner.pop(0)
            match item:
                case Done() if item.turn is self._turn:
                    self._end_turn(group, item, now_s)
                case Flush():
                    flush = True
                case Written(command=command, reply=reply):
                    before = len(group.bodies)
                    answer: object = None
                    if item.waiting is None:
                        answer = group.add(command, policy, now_s)
                    else:
                        answer = self._outlet.asked(self._turn, group, item, now_s)
                    group.size_bytes += sum(size_of(body) for body in group.bodies[before:])
                    group.answers.append((reply, answer))
                case _:
                    pass  # words of a turn that is over
        if flush and self._turn is not None:  # last: what was posted before it was said before what is said by now
            self._outlet.checkpoint(self._turn, group, policy, now_s)
        self._write(group)

    async def _heed_messages(self) -> None:
        """Accept the messages that wait, in their order; they are written together."""
        box = self._ref.mailbox
        # Whatever has to be read is read before a message is taken: one that cannot be accepted now stays in the box.
        if self._ref.transcript is None:
            await load_history(self._ref, self._services)
        known = await look_up(self._ref, self._services)
        if box.inner and any(type(item) is Done for item in box.inner):
            return  # the turn has ended meanwhile, and so before anything that these messages may do to it
        group = Group(self._state)
        for _ in range(LETTERS_IN_GROUP_MAX):
            if not box.messages or box.control:
                break
            content = box.messages[0].payload
            if type(content) is not Accept:
                break
            assert isinstance(content, Accept), "its type is Accept"
            if group.keys is not None and content.message_id in group.keys:
                break  # the same key again: it gets the receipt of the first, which must be on disk before
            if not content.minted and content.message_id not in known:
                break  # it came while the others were looked up
            letter = box.take()
            assert isinstance(letter, Request), "whoever sends a durable message waits for its receipt"
            accept(self._ref, self._services, group, letter, known.get(content.message_id))
            if box.messages:
                group.keys = group.keys or set()
                group.keys.add(content.message_id)
        self._write(group)

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
                self._given_up(turn)
                status, why = end_of(turn)
                self._ref.mailbox.post_inner(Done(turn, status, why or "abandoned"))

        self._services.spawn(give_up)

    def _start(self, effect: StartTurn) -> None:
        """Start the agent on its turn, in a task of its own."""
        state = self._state
        running = state.running
        assert running is not None, "a turn is started by the event that makes it running"
        assert running.queued.turn == effect.turn, "effects follow their events"
        turn = Turn(self._outlet, state, self._services.limits, self._services.clock, self._ref.broadcast)
        self._turn = turn
        self._ref.turn = turn
        self._services.deadlines.add(turn, self._overdue)
        self._services.spawn(run_agent, self._services.agent, turn, self._ref.mailbox, name=turn.chat_id)
        if self._leaving:  # told to stop while the start of this turn was being written
            self._cancel_running(self._leaving)

    def _overdue(self, turn: Turn) -> None:
        """Cancel a turn whose time is up."""
        if self._turn is turn:
            self._cancel_running("deadline")

    def _end_turn(self, group: Group, done: Done, now_s: float) -> None:
        """Put the end of the turn into the group: last words, seals, state, status, and the next turn."""
        turn = done.turn
        self._services.deadlines.discard(turn)
        if turn.children:
            self._services.kin.release(turn.children)
        self._services.accounts.counts.signals += turn.pieces
        completed = done.status is TurnStatus.COMPLETED
        last_words = turn.close(PartStatus.COMPLETE if completed else PartStatus.CUT)
        group.size_bytes += turn.unsaved_bytes
        retries = self._services.agent.retries
        again = done.crash is not None and turn.attempt <= retries
        finish = Finish(
            turn.number,
            turn.attempt,
            done.status,
            last_words,
            turn.changed_state() if completed else None,
            "attempts" if retries and done.crash is not None else done.reason,
            done.error,
            begin_next=done.crash is None and self._crash is None and not self._leaving,
            again=again,
        )
        self._turn = None
        self._ref.turn = None
        self._crash = self._crash or done.crash
        refusal = group.add(finish, self._services.policy, now_s)
        assert refusal is None, "only the running turn is ended, and only once"

    def _write(self, group: Group) -> None:
        """Have what was decided written; it is published, answered and acted on when it is on disk."""
        bodies = group.bodies
        if not bodies:
            self._act(group)
            return
        ref, services = self._ref, self._services
        first, at_s, epoch, chat_id = self._state.seq + 1, services.clock.wall_s(), services.epoch, ref.chat_id
        events = tuple([Event(chat_id, first + n, epoch, at_s, body) for n, body in enumerate(bodies)])
        ref.writing = True
        if ref.tracer is not None:
            for event in events:
                services.tracing.detail(ref, "decided", str(event.body.__struct_config__.tag), event.seq)
        services.committer.submit(
            Append(chat_id, first - 1, events), group.size_bytes, partial(self.written, group, events)
        )

    def written(self, group: Group, events: tuple[Event, ...], result: Result) -> None:
        """Hear from the writer what became of a group: take over what is on disk, answer and act, in commit order.

        This happens even if the incarnation was killed meanwhile: what is on disk is published and answered.
        """
        ref = self._ref
        ref.writing = False
        ref.active_s = trio.current_time()
        box = ref.mailbox
        if type(result) is Committed:
            try:
                publish(self._outlet, events, group.state, self._turn)
                self._act(group)
            except Exception as error:  # noqa: BLE001 - a bug in here is this session's crash, not the writer's
                self._failure = SessionLostError(f"a bug: {type(error).__name__}", chat_id=ref.chat_id)
                self._failure.__cause__ = error
        elif isinstance(result, Failed):
            self._failure = result.error
        else:
            self._failure = SessionLostError(f"the journal has {result}", chat_id=ref.chat_id)
        if self._failure is not None:
            unknown = StoreError("it is not known whether it was written", chat_id=ref.chat_id, hint="send it again")
            told = self._failure if isinstance(self._failure, StoreError) else unknown
            for reply, _ in group.answers:
                reply.fail(told)
        elif self._serving and not (box.inner or box.messages or box.control or self._crash or self._leaving):
            box.deaf = False
            return
        box.wake()

    def _act(self, group: Group) -> None:
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
                    self._start(effect)
                case StopTurn(reason=reason):
                    self._cancel_running(reason)
                case WakePrompt(prompt=prompt, answer=text):
                    waiting = None if self._turn is None else self._turn.prompts.pop(prompt, None)
                    if waiting is not None and text is not None:
                        waiting.set(text)
                    elif waiting is not None:
                        message = "nobody answered in time"
                        waiting.fail(PromptExpiredError(message, chat_id=self._ref.chat_id, hint="give a default"))

    @property
    def _state(self) -> SessionState:
        """The committed state."""
        state = self._ref.state
        assert state is not None, "an incarnation has recovered before it does anything else"
        return state
