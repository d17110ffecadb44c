"""All that others may hold of a session; it outlives every incarnation.

The ref owns the mailbox, the subscribers, the published number and the waiting callers. State that was committed is
taken over here, by the writer, in commit order, so that an incarnation that dies in between loses nothing.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, Literal

import attrs
import msgspec
import trio

from actors.core.envelope import Origin
from actors.core.events import Event, MessageAccepted, TextAppended, TurnEnded
from actors.core.ids import ChatId
from actors.core.lifecycle import SessionPhase, next_phase
from actors.core.limits import Limits
from actors.core.state import SessionState
from actors.core.supervision import ExitReason
from actors.core.transcript import Transcript
from actors.runtime.broadcast import Broadcast, Outbox
from actors.runtime.mailbox import Budget, Mailbox, Reply

RECENT_MAX: Final = 64
"""Idempotency keys remembered per live session; older ones are looked up in the journal."""

SESSION_BYTES: Final = 8 * 1024
"""What a session at rest holds beside its messages: its entry, its mailbox, its task (measured: scripts/bench.py)."""


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A message that is on disk: its turn, and the number of the event that accepted it."""

    message_id: str
    turn: int
    seq: int
    epoch: int
    duplicate: bool = False


@attrs.frozen
class TurnResult:
    """How a turn ended. ``text`` is what the agent said in it, of all its messages, as far as it got."""

    turn: int
    status: str
    reason: str = ""
    error: str = ""
    text: str = ""

    @property
    def ok(self) -> bool:
        """Whether the turn completed."""
        return self.status == "completed"


@attrs.frozen
class Moved:
    """How a turn ended that was handed messages and has not taken them: they are in turns of their own now."""

    result: TurnResult
    turns: Mapping[str, int]
    """From the id of a message to its turn."""


class Ref:
    """One live session as others see it."""

    __slots__ = (
        "_waiters",
        "active_s",
        "broadcast",
        "chat_id",
        "dead",
        "ending",
        "erased",
        "erasing",
        "executed",
        "failures",
        "handling_since_s",
        "incarnation",
        "kept",
        "last_error",
        "last_exit",
        "life",
        "mailbox",
        "mark",
        "origins",
        "overran",
        "phase",
        "quarantined_until_s",
        "recent",
        "resident_s",
        "restarts",
        "scope",
        "seq",
        "state",
        "suspended",
        "task",
        "tracer",
        "transcript",
        "turn",
        "writing",
    )

    def __init__(self, chat_id: ChatId, limits: Limits, budget: Budget) -> None:
        """Begin as absent."""
        self.chat_id = chat_id
        self.mailbox = Mailbox(limits.mailbox_messages_max, limits.mailbox_bytes_max, budget, limits.stash_messages_max)
        self.broadcast = Broadcast()
        self.phase = SessionPhase.ABSENT
        self.incarnation = 0
        self.state: SessionState | None = None
        self.seq = 0
        self.transcript: Transcript | None = None
        self.turn: object | None = None
        self.writing = False
        self.failures: tuple[float, ...] = ()
        self.restarts = 0
        self.quarantined_until_s = 0.0
        self.last_error = ""
        self.last_exit: ExitReason | None = None
        """How its last incarnation ended; None before any has."""
        self.life: object | None = None
        """The task that lives for it now; the supervisor's own."""
        self.recent: dict[str, Accepted] = {}
        self.executed = 0
        self.origins: dict[int, Origin] | None = None
        """What caused the open turns that something in this process caused, by their numbers; None while none is."""
        self.handling_since_s = math.inf
        """When the handler that runs now was called, at the latest; infinite if none runs."""
        self.overran = False
        self.dead = 0
        self.resident_s = -1.0
        """When the session came into memory, before which it was never; on trio's clock, as the next one."""
        self.active_s = 0.0
        """When it last handled a message, wrote, or was looked at."""
        self.mark: tuple[float, int] | None = None
        """When somebody last looked at a mailbox that waits, and how many it had admitted by then."""
        self.suspended = False
        self.tracer: object | None = None
        """Who is told of each step; None while nobody traces the session."""
        self.task: trio.lowlevel.Task | None = None
        """The task of the incarnation that lives."""
        self.kept = 0
        """How many ask that it stays in memory: subscribers, and who called ``keep_alive``."""
        self.scope: trio.CancelScope | None = None
        self.erasing = False
        self.erased = False
        self.ending: list[Reply] = []
        self._waiters: dict[int, list[Reply]] = {}

    def move(self, trigger: str) -> None:
        """Go to the next phase."""
        self.phase = next_phase(self.phase, trigger)

    @property
    def at_rest(self) -> bool:
        """Whether the session could be put away (P2): nothing is queued, running, being written or waited for."""
        box = self.mailbox
        if box.messages or box.stashed or box.waiters or box.inner or box.control:
            return False
        if self.writing or self.turn is not None or (self.state is not None and self.state.open_turns):
            return False
        return not (self.kept or self.suspended or self._waiters or self.ending or len(self.broadcast))

    @property
    def size_bytes(self) -> int:
        """Estimate the bytes that the session holds in memory; of text it counts characters."""
        transcript = self.transcript
        return SESSION_BYTES + self.mailbox.bytes_held + (0 if transcript is None else transcript.size)

    def rename(self, chat_id: ChatId) -> None:
        """Be known under another id; whatever is shown from now on says so."""
        self.chat_id = chat_id
        self.broadcast.rename(chat_id)

    def note_origin(self, turn: int, origin: Origin) -> None:
        """Keep in mind what caused a turn until it ends."""
        if self.origins is None:
            self.origins = {}
        self.origins[turn] = origin

    def forget_origin(self, turn: int) -> None:
        """Forget what caused a turn, if anything is known of it."""
        if self.origins is not None and self.origins.pop(turn, None) is not None and not self.origins:
            self.origins = None

    def remember(self, accepted: Accepted) -> None:
        """Keep an idempotency key at hand."""
        recent = self.recent
        recent[accepted.message_id] = accepted
        if len(recent) > RECENT_MAX:
            del recent[next(iter(recent))]

    def moved(self, body: MessageAccepted, event: Event) -> None:
        """Have a key that is at hand name the turn that its message is in now."""
        if body.message_id in self.recent:
            self.recent[body.message_id] = Accepted(body.message_id, body.turn, event.seq, event.epoch)

    def committed(self, events: tuple[Event, ...], state: SessionState) -> list[Outbox]:
        """Take over what is on disk now, publish it, answer who waits; return the subscribers that were cut."""
        self.state = state
        self.seq = state.seq
        transcript = self.transcript
        if transcript is not None:
            for event in events:
                transcript.add(event)
        cut = self.broadcast.events(events) if self.broadcast else []
        if self._waiters:
            self._answer(events)
        return cut

    def wait_turn(self, turn: int) -> Reply | None:
        """Return a slot that is answered when a turn ends; None if it is not open here."""
        state = self.state
        if state is None:
            return None
        running = state.running is not None and state.running.turn == turn
        if not running and all(item.turn != turn for item in state.queue):
            return None
        reply = Reply()
        self._waiters.setdefault(turn, []).append(reply)
        return reply

    def forget_wait(self, turn: int, reply: Reply) -> None:
        """Give up a slot."""
        waiting = self._waiters.get(turn)
        if waiting is not None and reply in waiting:
            waiting.remove(reply)
            if not waiting:
                del self._waiters[turn]

    def release_waiters(self) -> None:
        """Wake everybody who waits for a turn, without an answer: the session is gone or given up."""
        waiters, self._waiters = self._waiters, {}
        for replies in waiters.values():
            for reply in replies:
                reply.set(None)

    def _answer(self, events: tuple[Event, ...]) -> None:
        """Answer who waits for a turn that has ended."""
        for event in events:
            body = event.body
            if isinstance(body, TurnEnded) and body.turn in self._waiters:
                text = self._said(body.turn, events)
                result = TurnResult(body.turn, str(body.status), body.reason, body.error, text)
                turns = _moved_from(body.turn, events)
                answer: TurnResult | Moved = Moved(result, turns) if turns else result
                for reply in self._waiters.pop(body.turn):
                    reply.set(answer)
        if not self._waiters:
            self._waiters.clear()  # one that was emptied item by item keeps its table, 160 bytes

    def _said(self, turn: int, events: tuple[Event, ...]) -> str:
        """Join what the agent said in a turn that ends in these events."""
        bodies = [
            body
            for body in (event.body for event in events)
            if isinstance(body, TextAppended) and body.turn == turn and body.type == "text"
        ]
        begun = bool(bodies) and bodies[0].message == bodies[0].part == bodies[0].offset == 0
        if self.transcript is not None and not begun:
            messages = (message for message in self.transcript.ended() if message.turn == turn)
            return "".join(message.text for message in messages if message.role == "assistant")
        return "".join([body.text for body in bodies])


def _moved_from(turn: int, events: tuple[Event, ...]) -> dict[str, int]:
    """Find the messages that have left a turn in these events, and where they are now."""
    bodies = [event.body for event in events]
    return {
        body.message_id: body.turn for body in bodies if isinstance(body, MessageAccepted) and body.moved_from == turn
    }


Tell = Callable[[Ref, Literal["ready", "resting"]], None]
"""Hears from an incarnation that it takes messages, or that it ends because its session is at rest."""
