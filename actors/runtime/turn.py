"""A turn as its agent sees it: what was asked, what went before, and the ways to answer.

A turn is good until its agent returns, raises or is cancelled. What is written to it later goes nowhere and raises
``TurnOverError``, so late output cannot reach another turn.
"""

import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeVar

import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled

from actors.core.commands import Parent
from actors.core.draft import Draft, Segment, with_text
from actors.core.envelope import Origin, clean_text, json_text
from actors.core.events import AnsweredPrompt, EventBody, TextAppended
from actors.core.guards import Guards
from actors.core.ids import ChatId
from actors.core.lifecycle import PartStatus, ToolStatus
from actors.core.limits import Limits
from actors.core.spending import add_usage, checked_usage
from actors.core.state import SessionState
from actors.core.transcript import History, Message
from actors.errors import ConfigurationError, GuardError, TurnOverError
from actors.ports import Clock
from actors.runtime.broadcast import Broadcast
from actors.runtime.drift import RUNNING
from actors.runtime.due import Due
from actors.runtime.mailbox import Reply
from actors.runtime.question import Question, checked
from actors.runtime.sent import Child, Sent
from actors.runtime.tool import ToolCall, ToolFunction, ToolOutcome
from actors.runtime.turn_port import TurnPort
from actors.runtime.workers import Workers

T = TypeVar("T")

_UNSET: Final = object()
_NO_KEYS: Final = frozenset[str]()

running = RUNNING.get  # as it is: it is called for every piece of text


class Turn:
    """What a user said being answered, attempt by attempt; ``text`` joins several messages by an empty line."""

    __slots__ = (
        "_bodies",
        "_broadcast",
        "_busy_s",
        "_checkpoint_bytes",
        "_give_way_s",
        "_message_bytes_max",
        "_port",
        "_quantum_s",
        "_standing",
        "_state",
        "_taken",
        "_unsaved_bytes_max",
        "answers",
        "asked",
        "attempt",
        "began_s",
        "cancel_reason",
        "chat_id",
        "children",
        "closed",
        "continued",
        "draft",
        "due",
        "flushing",
        "grace",
        "guards",
        "number",
        "pieces",
        "prompts",
        "reports",
        "rooms",
        "saved_state",
        "scope",
        "sender",
        "speaker",
        "task",
        "text",
        "unsaved_bytes",
        "unwritten",
        "usage",
    )

    def __init__(
        self, port: "TurnPort[Turn]", session: SessionState, limits: Limits, clock: Clock, broadcast: Broadcast
    ) -> None:
        """Begin the attempt that is running; made by the session."""
        running = session.running
        assert running is not None, "a turn is started by the event that makes it running"
        self._port = port
        self.speaker = port.ref
        self._busy_s = clock.busy_s
        self._quantum_s = limits.quantum_s
        self._give_way_s = clock.busy_s() + limits.quantum_s
        self._unsaved_bytes_max = limits.unsaved_bytes_max
        self._checkpoint_bytes = limits.checkpoint_bytes_max
        self._message_bytes_max = limits.message_bytes_max
        self.guards = Guards(limits)
        self._broadcast = broadcast
        self._bodies: list[EventBody] = []
        self._state: object = _UNSET
        self._taken = _NO_KEYS
        self.chat_id = session.chat_id
        self.number = running.queued.turn
        self.attempt = running.attempt
        self.began_s = clock.now_s()
        queued = running.queued
        self.text = "\n\n".join([said.text for said in queued.messages]) if queued.more else queued.text
        self.sender = running.queued.sender
        self.answers: AnsweredPrompt | None = running.queued.background.answers
        """The question of an earlier turn that this turn's message answers, if it does."""
        self.saved_state = session.saved
        self._standing = session.standing
        self.usage = session.standing.usage
        """What the session has spent, this turn included."""
        self.children: tuple[ChatId, ...] = ()
        """The children that this attempt has spawned; they end with it."""
        self.draft = Draft(self.number, self.attempt, messages=running.messages, calls=running.calls_total)
        self.continued = running.queued.background.first_attempt > 0
        """Whether what an earlier attempt had said stands in the history, to be gone on with."""
        self.scope = trio.CancelScope()
        self.grace: trio.CancelScope | None = None
        self.task: trio.lowlevel.Task | None = None
        self.cancel_reason = ""
        self.closed = False
        self.due: Due[Turn] | None = None
        self.flushing = False
        self.unsaved_bytes = 0
        self.pieces = 0
        self.reports = 0  # how often progress was shown
        self.unwritten: deque[TextAppended] = deque()
        """Text that was handed over and is not on disk yet, in order; the session takes it out when it is."""
        self.prompts: dict[int, Reply] = {}  # who waits for which answer
        self.asked = set[int]()  # the questions of this attempt; the session puts them in
        self.rooms: list[Reply] = []

    @property
    def history(self) -> History:
        """What a model reads: every message before, and this turn's own, the user's first."""
        return self._port.history(self)

    @property
    def parent(self) -> Parent | None:
        """Which turn spawned this session, and what it calls it; None in a session of its own."""
        return self._standing.parent

    @property
    def origin(self) -> Origin:
        """What caused this turn: its sender, what it belongs to, and the sessions that may wait for it."""
        return self._port.origin(self)

    @property
    def state(self) -> object:
        """The agent's own state of this session: a JSON value, a private copy.

        What is assigned here is committed with the turn if it completes, and forgotten otherwise. None at first.
        """
        if self._state is not _UNSET:
            return self._state
        self._state = None if self.saved_state is None else json.loads(self.saved_state)
        return self._state

    @state.setter
    def state(self, value: object) -> None:
        """Replace the state. Raises ConfigurationError if JSON cannot hold the value."""
        self._encode_state(value)
        self._check_speaker()
        self._state = value

    async def write(self, text: str) -> None:
        """Answer with a piece of text: shown at once, on disk within the checkpoint window.

        Raises TurnOverError after the turn has ended, ConfigurationError for what is not text. A lone surrogate becomes
        a question mark.
        """
        segment = self.draft.segment
        plain = type(text) is str and text.isascii() and len(text) < self._checkpoint_bytes
        if plain and running() is self.speaker and segment is not None and segment.kind == "text" and not self.closed:
            self._add(segment, text)
        else:
            self._say("text", text)
        if self.unsaved_bytes < self._unsaved_bytes_max and self._busy_s() < self._give_way_s:
            await checkpoint_if_cancelled()
        else:
            await self._breathe()

    async def think(self, text: str) -> None:
        """Show a piece of thinking; otherwise like ``write``."""
        self._say("thinking", text)
        await self._breathe()

    async def progress(self, name: str, value: str = "") -> None:
        """Show something that is not kept: typing, the progress of a tool. ``name`` is a short word."""
        self._check_open()
        self.reports += 1
        self._port.progress(self, name, clean_text(value))
        await self._breathe()

    async def hop(self) -> int:
        """Mark a round of the model, before it is asked; return its number, from 1.

        Raises GuardError for one round more than the limit ``hops_max``, and after more replies that were empty, with
        neither text nor a call, than the limit ``empty_replies_max``. Without marks each batch of calls is a round.
        """
        self._check_open()
        self.guards.hop(self.pieces + self.draft.calls)
        self._check_guards()
        await self._breathe()
        return self.guards.hops

    def spend(self, *, tokens: int = 0, cost: float = 0.0) -> None:
        """Count what the model has cost; it is written with what the turn says next, or with its end.

        ``cost`` is in whatever unit the host reckons in, kept to its millionth. Raises GuardError once the session has
        spent its budget, ConfigurationError for what is no such number.
        """
        self._check_open()
        more = checked_usage(tokens, cost, self.chat_id)
        add_usage(self._bodies, self.number, more)
        self.usage = self.usage.plus(more)
        self.guards.spend(self.usage, self._port.allowance())
        self._check_guards()

    async def call(
        self, name: str, arguments: object = None, *, call_id: str = "", interactive: bool = False
    ) -> ToolCall:
        """Put a tool call on disk before the tool runs, and return it; give it its outcome with ``end`` or ``run``.

        ``arguments`` is a JSON value, or a str that is taken as JSON text as it stands. ``call_id`` is the model's own
        id and may repeat. Whatever the turn leaves open is sealed when it ends. An ``interactive`` tool talks to a
        person, and may be called again and again.
        """
        return (await self.calls([(name, arguments, call_id)], interactive=interactive))[0]

    async def calls(self, calls: Sequence[tuple[str, object, str]], *, interactive: bool = False) -> list[ToolCall]:
        """Put several tool calls of one message on disk together: each a name, its arguments, its id.

        Raises GuardError for more calls than the limit ``tool_calls_max``, for a call that was made ``same_calls_max``
        times or has failed ``failing_calls_max`` times with the same arguments, and for a round too many (``hop``).
        """
        self._check_open()
        clean = []
        for name, arguments, call_id in calls:
            text = arguments if isinstance(arguments, str) else json_text(arguments, "arguments")
            self._check_size(text, "arguments")
            clean.append((clean_text(call_id), clean_text(name), clean_text(text)))
        self.guards.call([each[1:] for each in clean], self.draft.calls, interactive=interactive)
        self._check_guards()
        made = [self._made(self.draft.call(*each, self._bodies), each[1]) for each in clean]
        await self._port.emit(self, self.take_bodies())
        return made

    async def tool(
        self,
        name: str,
        function: ToolFunction,
        arguments: object = None,
        *,
        call_id: str = "",
        interactive: bool = False,
    ) -> ToolOutcome:
        """Call a tool and run it: ``call`` followed by ``run``."""
        call = await self.call(name, arguments, call_id=call_id, interactive=interactive)
        return await call.run(function)

    async def ask(
        self,
        question: str,
        *,
        kind: Literal["permission", "choice", "text"] = "text",
        choices: Sequence[str] = (),
        expires_s: float | None = None,
        default: str | None = None,
    ) -> str:
        """Ask a person, and wait for the answer; the first answer wins.

        Without ``expires_s`` (seconds) the question waits for as long as the turn lives. With it, it ends by then: with
        ``default`` as the answer, or with PromptExpiredError. A question that an earlier attempt of this turn has asked
        in the same words is not asked again: this waits for its answer, or returns the one it has got.

        Raises TurnOverError after the turn has ended, ConfigurationError for an unknown kind, a time that is none, or a
        default that could not be an answer.
        """
        self._check_open()
        asked = checked(
            Question(kind, question, tuple(choices), expires_s, default), self.chat_id, self._message_bytes_max
        )
        self.guards.ask(len(self.asked))
        self._check_guards()
        self.draft.close(PartStatus.COMPLETE, self._bodies)
        waiting = Reply()
        number = await self._port.ask(self, asked, self.take_bodies(), waiting)
        self._port.waits(self)
        try:
            answer = await waiting.wait()
        except trio.Cancelled:  # whoever asks the same again finds it: still open, or answered meanwhile
            self.prompts.pop(number, None)
            self.asked.discard(number)
            raise
        finally:
            self._port.waits(self)
        assert isinstance(answer, str), "prompts are answered with text"
        return answer

    async def spawn(self, text: str, *, name: str = "") -> Child:
        """Start a session of its own in a lane of this one, give it a message, and return it once that is on disk.

        The same agent answers it: there ``turn.parent`` says who spawned it, and under which ``name`` (up to 128 of
        ``[A-Za-z0-9_.:-]``). It ends with this turn, however that is: what is open in it then is cancelled. Raises
        OverloadedError beyond the limits ``children_max`` and ``children_depth_max``, InvalidEnvelopeError,
        UnavailableError, StoreError, and TurnOverError after the turn has ended.
        """
        self._check_open()
        return await self._port.spawn(self, text, name)

    async def send_chat(self, chat_id: object, text: str, *, message_id: object = None) -> Sent:
        """Have a message accepted by another session, durably; it says that this turn caused it.

        Raises as ``Runtime.send`` does, and TurnOverError after the turn has ended.
        """
        self._check_open()
        return await self._port.send(self, chat_id, text, message_id)

    async def ask_chat(self, chat_id: object, payload: object, *, timeout_s: float | None = None) -> object:
        """Ask the handler of another session, and wait for its reply.

        Raises DeadlockError with the path if that session may be waiting for this one; otherwise as ``Runtime.ask``
        does, and TurnOverError after the turn has ended.
        """
        self._check_open()
        return await self._port.ask_chat(self, chat_id, payload, timeout_s)

    async def steering(self) -> tuple[Message, ...]:
        """Take the messages that were sent to this turn since the last time (``overlap="steer"``); waits for none.

        They are in ``history`` from then on, behind what was said so far, and share the turn's fate. What is not taken
        when the turn ends becomes a turn of its own. Raises TurnOverError after the turn has ended.
        """
        await checkpoint()
        self._check_open()
        waiting = tuple(said for said in self._port.steering(self) if said.message_id not in self._taken)
        for said in waiting:
            self._taken |= {said.message_id}
            self.draft.steer(said.message_id, self._bodies)
        if waiting:
            await self._port.emit(self, self.take_bodies())
        return waiting

    async def offload(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a plain function that may block, in a thread, and return what it returns; see ``Workers``.

        Raises what the function raises, and TurnOverError after the turn has ended.
        """
        self._check_open()
        return await self.workers.run(function, *arguments)

    @property
    def workers(self) -> Workers:
        """The threads of the runtime."""
        return self._port.workers()

    def take_bodies(self) -> tuple[EventBody, ...]:
        """Hand over the events that wait to be written."""
        if not self._bodies:
            return ()
        bodies = tuple(self._bodies)
        self._bodies.clear()
        self.unwritten += [body for body in bodies if type(body) is TextAppended]
        return bodies

    def with_unsaved(self, messages: tuple[Message, ...], seq: int) -> tuple[Message, ...]:
        """Show the turn's messages with all that was said and is not on disk yet: on its way there, or still here."""
        for body in (*self.unwritten, *self._bodies):
            if type(body) is TextAppended and body.text:
                key = body.turn, body.attempt, body.message, body.part
                messages = with_text(messages, key, body.type, body.text, seq)
        return self.draft.with_unsaved(messages, seq)

    def take_said(self) -> tuple[EventBody, ...]:
        """Hand over everything said so far; the growing part goes on."""
        self.draft.checkpoint(self._bodies)
        return self.take_bodies()

    def close(self, status: PartStatus) -> tuple[EventBody, ...]:
        """End the turn for its agent and hand over its last words."""
        self.closed = True
        if self.due is not None:
            self.due.let_go()
        self.draft.close(status, self._bodies)
        for reply in self.prompts.values():
            reply.fail(TurnOverError("the turn ended before the prompt was answered", chat_id=self.chat_id))
        self.prompts.clear()
        for room in self.rooms:
            room.set(None)
        self.rooms.clear()
        if self.grace is not None:
            self.grace.cancel()
        return self.take_bodies()

    def changed_state(self) -> str | None:
        """Return the state as JSON text if the agent has changed it, else None."""
        if self._state is _UNSET:
            return None
        text = self._encode_state(self._state)
        return None if text == self.saved_state else text

    def _say(self, kind: Literal["text", "thinking"], text: str) -> None:
        """Check and pass on a piece of text."""
        self._check_open()
        if type(text) is not str:
            message = f"a turn was given {type(text).__name__} to write"
            raise ConfigurationError(message, chat_id=self.chat_id, hint="write str")
        self._check_size(text, "a piece of text")
        if not text.isascii():
            text = clean_text(text)
        if text:
            if self.draft.segment is None or self.draft.segment.kind != kind:
                self.draft.begin(kind, self._bodies)
            assert self.draft.segment is not None, "it has just begun"
            self._add(self.draft.segment, text)

    def _add(self, segment: Segment, text: str) -> None:
        """Add a piece to the growing part; readers that stand in the segment see it without being told."""
        size = len(text)
        segment.pieces.append(text)
        segment.length += size
        self.pieces += 1
        unsaved = self.unsaved_bytes = self.unsaved_bytes + size
        broadcast = self._broadcast
        if broadcast.hungry or segment is not broadcast.segment or not self.due or unsaved >= self._checkpoint_bytes:
            self._port.said(self, segment, size)

    async def _breathe(self) -> None:
        """Give way, or wait if the turn has said more than the disk can follow."""
        if self.unsaved_bytes >= self._unsaved_bytes_max:
            await self._port.make_room(self)
        else:
            await checkpoint()
            self._give_way_s = self._busy_s() + self._quantum_s

    def _made(self, number: int, name: str) -> ToolCall:
        """Hand out a call that is on disk, with the ways to run and to end it."""
        return ToolCall(self.chat_id, number, name, end=self._end_call, offload=self.offload)

    async def _end_call(self, number: int, content: str, ok: bool) -> ToolOutcome:  # noqa: FBT001 - the turn's own part
        """Write the outcome of a call."""
        self._check_open()
        size_bytes = len(content) if content.isascii() else len(content.encode())
        if size_bytes > self._message_bytes_max:
            content = f"The result has {size_bytes} bytes, and at most {self._message_bytes_max} can be kept."
            ok = False
        self.guards.ended(number, ok=ok)
        self.draft.result(number, ToolStatus.OK if ok else ToolStatus.ERROR, content, self._bodies)
        await self._port.emit(self, self.take_bodies())
        return ToolOutcome(content, ok)

    def _check_open(self) -> None:
        """Refuse to be used after the end, and by another session."""
        self._check_speaker()
        if self.closed:
            self._port.late(self)
            message = f"turn {self.number} has ended"
            raise TurnOverError(message, chat_id=self.chat_id, hint="return from the agent when it is cancelled")
        self._check_guards()

    def _check_speaker(self) -> None:
        """Refuse to be used by the code of another session."""
        other = running()
        if other is not self.speaker and other is not None:
            raise self._port.drifted(self, other.chat_id)

    def _check_guards(self) -> None:
        """Refuse to go on once a bound is broken."""
        broken = self.guards.broken
        if broken is not None:
            self.draft.close(PartStatus.CUT, self._bodies)  # so that what is written next is looked at
            hint = "let it end the turn; raise the limit if the agent needs more"
            raise GuardError(str(broken.guard), broken.detail, chat_id=self.chat_id, hint=hint)

    def _encode_state(self, value: object) -> str:
        """Write a state as JSON text."""
        text = json_text(value, "state")
        self._check_size(text, "state")
        return text

    def _check_size(self, text: str, field: str) -> None:
        """Refuse what is too large to be written in one piece."""
        if len(text) > self._message_bytes_max:
            message = f"{field} has {len(text)} characters"
            hint = f"give at most {self._message_bytes_max}, the limit message_bytes_max"
            raise ConfigurationError(message, chat_id=self.chat_id, hint=hint)
