"""One session's mailbox: a bounded door for others, an inner door for its own turn, a lane for control.

A user message is either in the box or was refused; a sender that waits for room is admitted in order, and one that is
cancelled leaves nothing behind. A message leaves the box only when it is about to be handled.
"""

from collections import deque
from typing import Final

import attrs
import outcome
import trio

from actors.core.envelope import Envelope
from actors.core.ids import DropReason
from actors.errors import ActorsError

_PENDING: Final = object()

_RESERVE_BYTES: Final = 4096
"""In what steps a mailbox takes its share of the common budget."""


class Reply:
    """A single-use slot for an answer; what comes after the first is dropped."""

    __slots__ = ("_error", "_task", "_value", "started")

    def __init__(self) -> None:
        """Start with no answer; ``started`` says whether the handler has begun."""
        self._value: object = _PENDING
        self._error: ActorsError | None = None
        self._task: trio.lowlevel.Task | None = None
        self.started = False

    @property
    def done(self) -> bool:
        """Whether the slot has its answer."""
        return self._value is not _PENDING

    def set(self, value: object) -> bool:
        """Answer; False if there was an answer already."""
        if self._value is not _PENDING:
            return False
        self._value = value
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None
        return True

    def fail(self, error: ActorsError) -> bool:
        """Answer with an error, raised where the answer is awaited; False if there was an answer already."""
        if self._value is _PENDING:
            self._error = error
        return self.set(None)

    async def wait(self) -> object:
        """Wait for the answer; one waiter at a time. Raises what ``fail`` was given."""
        if self._value is _PENDING:
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        if self._error is not None:
            raise self._error
        return self._value

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        """Stop waiting."""
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class Request:
    """An envelope whose sender waits for an answer."""

    __slots__ = ("envelope", "payload", "reply", "size_bytes")

    def __init__(self, envelope: Envelope, reply: Reply) -> None:
        """Pair an envelope with the slot for its answer."""
        self.envelope = envelope
        self.payload = envelope.payload
        self.size_bytes = envelope.size_bytes
        self.reply = reply


Letter = Envelope | Request


class Budget:
    """The bytes that all mailboxes of a runtime may hold together; each takes its share in steps."""

    __slots__ = ("bytes_max", "bytes_reserved")

    def __init__(self, bytes_max: int) -> None:
        """Bound the bytes."""
        self.bytes_max = bytes_max
        self.bytes_reserved = 0


@attrs.define
class _Waiting:
    """A sender parked until there is room."""

    task: trio.lowlevel.Task
    letter: Letter


class Mailbox:
    """The box of one session; it belongs to the registry entry and so survives restarts."""

    __slots__ = (
        "_budget",
        "_bytes_max",
        "_consumer",
        "_messages_max",
        "_reserved",
        "_room",
        "admitted",
        "bytes_held",
        "bytes_taken",
        "closed",
        "control",
        "deaf",
        "inner",
        "messages",
        "waiters",
        "withdrawn",
    )

    def __init__(self, messages_max: int, bytes_max: int, budget: Budget) -> None:
        """Bound the user lane in messages and bytes."""
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._budget = budget
        self._consumer: trio.lowlevel.Task | None = None
        self._reserved = 0
        self._room = messages_max
        self.waiters: deque[_Waiting] = deque()
        self.messages: deque[Letter] = deque()
        self.control: dict[object, object] = {}
        self.inner: deque[object] = deque()
        self.bytes_held = 0
        self.bytes_taken = 0
        """Bytes of letters that were taken out since the box heard of it last."""
        self.admitted = 0
        self.withdrawn = 0
        self.closed: DropReason | None = None
        self.deaf = False

    def put_nowait(self, letter: Letter) -> DropReason | None:
        """Admit a letter, or return why not; whoever waits already goes first."""
        room = self._room
        if room <= 0:
            if self.closed is not None:
                return self.closed
            self.gave()
            room = self._room
            if room <= 0:
                return DropReason.MAILBOX_FULL
        held = self.bytes_held + letter.size_bytes
        if held > self._reserved:
            if self.bytes_taken:  # they are not held any more
                self.gave()
                return self.put_nowait(letter)
            reason = self._reserve(held)
            if reason is not None:
                return reason
        self._room = room - 1
        self.bytes_held = held
        self.admitted += 1
        self.messages.append(letter)
        if self._consumer is not None:
            trio.lowlevel.reschedule(self._consumer)
            self._consumer = None
        return None

    async def put(self, letter: Letter) -> DropReason | None:
        """Admit a letter, waiting for room in the order of arrival; bound the wait with a cancel scope.

        Returns why not if the box is closed, now or while waiting, or if the memory of all boxes is full.
        """
        reason = self.put_nowait(letter)
        if reason is not DropReason.MAILBOX_FULL:
            return reason
        entry = _Waiting(trio.lowlevel.current_task(), letter)
        self.waiters.append(entry)
        self._room = 0

        def abort(_: object) -> trio.lowlevel.Abort:
            self.waiters.remove(entry)
            self._make_room()
            return trio.lowlevel.Abort.SUCCEEDED

        answer = await trio.lowlevel.wait_task_rescheduled(abort)
        assert answer is None or isinstance(answer, DropReason), "whoever wakes a sender says what became of it"
        return answer

    def take(self) -> Letter:
        """Take the oldest letter, and let in who waits for its room."""
        letter = self.messages.popleft()
        self.bytes_taken += letter.size_bytes
        self.gave()
        return letter

    def gave(self) -> None:
        """Note that letters of ``bytes_taken`` bytes were taken out, and let in who waits for their room."""
        self.bytes_held -= self.bytes_taken
        self.bytes_taken = 0
        if not self.messages:
            self._release()
        self._make_room()

    def withdraw(self, letter: Letter) -> bool:
        """Take back a letter that nobody has begun to handle; False if it is not in the box any more."""
        try:
            self.messages.remove(letter)
        except ValueError:
            return False
        self.withdrawn += 1
        self.bytes_taken += letter.size_bytes
        self.gave()
        return True

    def post_inner(self, item: object) -> None:
        """Post from the session's own turn; never refused, and bounded by the one turn that runs.

        A session that is ``deaf`` is not woken for it: it waits for the writer, who wakes it.
        """
        self.inner.append(item)
        if not self.deaf:
            self.wake()

    def post_control(self, key: object, signal: object) -> None:
        """Post a control signal; one that waits already under the same key is replaced."""
        self.control[key] = signal
        self.wake()

    def wake(self) -> None:
        """Wake the session if it is parked."""
        if self._consumer is not None:
            trio.lowlevel.reschedule(self._consumer)
            self._consumer = None

    async def park(self) -> None:
        """Wait until something is posted or somebody wakes the session; only its own task may call this."""
        self._consumer = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._unpark)

    def close(self, reason: DropReason) -> list[Letter]:
        """Refuse everything from now on and return what was in the box; waiting senders are told the reason."""
        self.closed = reason
        self._room = 0
        left = list(self.messages)
        self.messages.clear()
        self.bytes_held = self.bytes_taken = 0
        self._release()
        while self.waiters:
            trio.lowlevel.reschedule(self.waiters.popleft().task, outcome.Value(reason))
        return left

    def reopen(self) -> None:
        """Take letters again."""
        self.closed = None
        self._make_room()

    @property
    def parked(self) -> bool:
        """Whether the session waits for something to be posted; false while it does anything."""
        return self._consumer is not None

    @property
    def waiting(self) -> int:
        """Count the senders that wait for room."""
        return len(self.waiters)

    def _reserve(self, held: int) -> DropReason | None:
        """Take a larger share of the budget of all boxes, or say which bound is in the way."""
        if held > self._bytes_max and self.messages:
            return DropReason.MAILBOX_FULL
        budget = self._budget
        wanted = -(-held // _RESERVE_BYTES) * _RESERVE_BYTES
        if wanted > self._bytes_max:
            wanted = max(self._bytes_max, held)
        more = wanted - self._reserved
        if budget.bytes_reserved + more > budget.bytes_max:
            return DropReason.MEMORY_FULL
        budget.bytes_reserved += more
        self._reserved = wanted
        return None

    def _release(self) -> None:
        """Give the share of the budget back, but for what is held."""
        self._budget.bytes_reserved -= self._reserved - self.bytes_held
        self._reserved = self.bytes_held

    def _make_room(self) -> None:
        """Count the room there is, and let in who waits for it, oldest first; newcomers get what is left."""
        if self.closed is not None:
            return
        self._room = self._messages_max - len(self.messages)
        waiting = self.waiters  # while anybody waits here there is no room for newcomers
        while waiting and self._room > 0:
            reason = self.put_nowait(waiting[0].letter)
            if reason is DropReason.MAILBOX_FULL:
                self._room = 0
                return
            trio.lowlevel.reschedule(waiting.popleft().task, outcome.Value(reason))

    def _unpark(self, _: object) -> trio.lowlevel.Abort:
        """Stop waiting."""
        self._consumer = None
        return trio.lowlevel.Abort.SUCCEEDED
