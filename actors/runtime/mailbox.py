"""One session's mailbox: a bounded door for others, an inner door for its own turn, a lane for control.

A user message is either in the box or was refused; a sender that waits for room is admitted in order, and one that is
cancelled leaves nothing behind. A message leaves the box only when it is about to be handled, or gives way to another
of a kind that allows it (``core/overflow`` decides).
"""

from collections import deque
from typing import Final

import attrs
import outcome
import trio

from actors.core.envelope import Envelope
from actors.core.ids import DropReason
from actors.core.overflow import Fate, Kind, fate_of
from actors.errors import ActorsError

_PENDING: Final = object()

_NO_ROOM: Final = frozenset({None, DropReason.MAILBOX_FULL, DropReason.MEMORY_FULL})

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

    __slots__ = ("envelope", "payload", "reply", "sent_s", "size_bytes")

    def __init__(self, envelope: Envelope, reply: Reply, sent_s: float = -1.0) -> None:
        """Pair an envelope with the slot for its answer; ``sent_s`` is when it was sent, on the monotonic clock."""
        self.sent_s = sent_s
        self.envelope = envelope
        self.payload = envelope.payload
        self.size_bytes = envelope.size_bytes
        self.reply = reply


class Latest:
    """A place in the box for the latest message of a kind and key; a newer one takes the place of the one in it."""

    __slots__ = ("envelope", "key", "payload", "size_bytes")

    def __init__(self, envelope: Envelope) -> None:
        """Hold the first one."""
        stamp = envelope.stamp
        self.key = ("", "") if stamp is None else (stamp.kind, stamp.key)
        self.hold(envelope)

    def hold(self, envelope: Envelope) -> None:
        """Hold this one from now on."""
        self.envelope = envelope
        self.payload = envelope.payload
        self.size_bytes = envelope.size_bytes


Letter = Envelope | Request | Latest


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
        "_stash_max",
        "admitted",
        "bytes_held",
        "bytes_taken",
        "closed",
        "control",
        "dead",
        "deaf",
        "inner",
        "latest",
        "lost",
        "messages",
        "stashed",
        "waiters",
        "withdrawn",
    )

    def __init__(self, messages_max: int, bytes_max: int, budget: Budget, stash_max: int = 0) -> None:
        """Bound the user lane in messages and bytes, and how many messages may be set aside."""
        self._messages_max = messages_max
        self._stash_max = stash_max
        self._bytes_max = bytes_max
        self._budget = budget
        self._consumer: trio.lowlevel.Task | None = None
        self._reserved = 0
        self._room = messages_max
        # An empty deque takes 760 bytes and an empty list 56: only what can grow long is a deque, and only while used.
        self.waiters: deque[_Waiting] | None = None
        self.messages: deque[Letter] = deque()
        self.latest: dict[tuple[str, str], Latest] = {}
        """Where the messages wait that a newer one of their kind and key replaces."""
        self.stashed: list[Letter] = []
        """What the handler has set aside, oldest first; it survives restarts as all of the box does."""
        self.lost: list[tuple[Envelope, DropReason]] = []
        """What gave way to others, for whoever put them in to account for; counted in ``dead`` already."""
        self.dead = 0
        self.control: dict[object, object] = {}
        self.inner: list[object] = []
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
        reason = self._put(letter)
        if reason is not DropReason.MAILBOX_FULL:
            return reason
        entry = _Waiting(trio.lowlevel.current_task(), letter)
        if self.waiters is None:
            self.waiters = deque()
        self.waiters.append(entry)
        self._room = 0

        def abort(_: object) -> trio.lowlevel.Abort:
            assert self.waiters is not None, "whoever waits is among them"
            self.waiters.remove(entry)
            self._make_room()
            return trio.lowlevel.Abort.SUCCEEDED

        answer = await trio.lowlevel.wait_task_rescheduled(abort)
        assert answer is None or isinstance(answer, DropReason), "whoever wakes a sender says what became of it"
        return answer

    def offer(self, letter: Envelope | Latest, kind: Kind) -> DropReason | None:
        """Admit a letter of a declared kind, at the cost of another where the kind says so; or return why not.

        ``mailbox_full`` is also what a sender is told that may wait; ``dropped`` says that the letter itself gave way.
        """
        full = self._refusal(letter.size_bytes)
        if full not in _NO_ROOM:
            return full
        same_key = type(letter) is Latest and letter.key in self.latest
        older = self._oldest_of(letter) if full is not None and kind.overflow == "drop_oldest" else None
        match fate_of(kind.overflow, full=full is not None, same_key=same_key, same_kind=older is not None):
            case Fate.ADMIT | Fate.REPLACE:
                return self._put(letter)
            case Fate.DROP_OLDEST:
                assert older is not None, "only what is there can be dropped"
                return self._exchange(older, letter)
            case Fate.DROP_NEWEST:
                return DropReason.DROPPED
            case Fate.WAIT | Fate.REFUSE:
                return full

    def set_aside(self, letter: Letter) -> bool:
        """Keep a letter that was taken out until it is brought back; False if there is no room for it."""
        self.gave()
        held = self.bytes_held + letter.size_bytes
        if self.closed is not None or len(self.stashed) >= self._stash_max:
            return False
        if held > self._reserved and self._reserve(held) is not None:
            return False
        self.bytes_held = held
        self.stashed.append(letter)
        return True

    def forget(self, letter: Letter) -> bool:
        """Take out what was just set aside; False if it was not."""
        if not self.stashed or self.stashed[-1] is not letter:
            return False
        self.stashed.pop()
        self.bytes_taken += letter.size_bytes
        self.gave()
        return True

    def bring_back(self) -> int:
        """Put everything that was set aside before the oldest letter, in its order; return how many there were."""
        brought = len(self.stashed)
        if brought:
            self.messages.extendleft(reversed(self.stashed))
            self.stashed.clear()
            self._make_room()
        return brought

    def take(self) -> Letter:
        """Take the oldest letter, and let in who waits for its room."""
        letter = self.messages.popleft()
        if self.latest and type(letter) is Latest and self.latest.get(letter.key) is letter:
            del self.latest[letter.key]
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
        """Take back a letter that waits to be handled, also if it was set aside; False if it is not in the box."""
        try:
            self.messages.remove(letter)
        except ValueError:
            if letter not in self.stashed:
                return False
            self.stashed.remove(letter)
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
        left = [*self.stashed, *self.messages]
        self.messages.clear()
        self.stashed.clear()
        self.latest.clear()
        self.bytes_held = self.bytes_taken = 0
        self._release()
        while self.waiters:
            trio.lowlevel.reschedule(self.waiters.popleft().task, outcome.Value(reason))
        return left

    def reopen(self) -> None:
        """Take letters again."""
        self.closed = None
        self._make_room()

    def renew(self) -> None:
        """Put the letters where whoever still holds the old place does not find them."""
        old = self.messages
        self.messages = deque(old)
        old.clear()
        self._consumer = None

    @property
    def parked(self) -> bool:
        """Whether the session waits for something to be posted; false while it does anything."""
        return self._consumer is not None

    @property
    def waiting(self) -> int:
        """Count the senders that wait for room."""
        return 0 if self.waiters is None else len(self.waiters)

    @property
    def queued(self) -> int:
        """Count the letters that are to be handled, those that were set aside included."""
        return len(self.messages) + len(self.stashed)

    def _put(self, letter: Letter) -> DropReason | None:
        """Admit a letter of any sort, or return why not."""
        if type(letter) is not Latest:
            return self.put_nowait(letter)
        older = self.latest.get(letter.key)
        if older is not None:
            return self._exchange(older, letter)
        reason = self.put_nowait(letter)
        if reason is None:
            self.latest[letter.key] = letter
        return reason

    def _exchange(self, older: Envelope | Latest, letter: Envelope | Latest) -> DropReason | None:
        """Admit a letter for an older one that gives way, at its place if both have one key; or return why not.

        The room is not given to whoever waits: a letter goes and a letter comes.
        """
        held = self.bytes_held - older.size_bytes + letter.size_bytes
        if held > self._reserved:
            reason = self._reserve(held)
            if reason is not None:
                return reason
        self.bytes_held = held
        self.admitted += 1
        self.dead += 1
        if isinstance(older, Latest):
            assert isinstance(letter, Latest), "only a message that replaces others is held against one"
            self.lost.append((older.envelope, DropReason.COALESCED))
            older.hold(letter.envelope)
        else:
            self.lost.append((older, DropReason.DROPPED))
            del self.messages[next(place for place, each in enumerate(self.messages) if each is older)]
            self.messages.append(letter)
        return None

    def _oldest_of(self, letter: Envelope | Latest) -> Envelope | None:
        """Find the oldest message of the kind of a letter; the box is full, so this is off the way of most."""
        kind = letter.kind if isinstance(letter, Envelope) else ""
        return next((each for each in self.messages if type(each) is Envelope and each.kind == kind), None)

    def _refusal(self, size_bytes: int) -> DropReason | None:
        """Say why a letter of this size would not be admitted; None if it would be."""
        self.gave()
        if self.closed is not None:
            return self.closed
        if self._room <= 0:
            return DropReason.MAILBOX_FULL
        held = self.bytes_held + size_bytes
        return None if held <= self._reserved else self._reserve(held)

    def _reserve(self, held: int) -> DropReason | None:
        """Take a larger share of the budget of all boxes, or say which bound is in the way."""
        if held > self._bytes_max and (self.messages or self.stashed):
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
            reason = self._put(waiting[0].letter)
            if reason is DropReason.MAILBOX_FULL:
                self._room = 0
                return
            trio.lowlevel.reschedule(waiting.popleft().task, outcome.Value(reason))

    def _unpark(self, _: object) -> trio.lowlevel.Abort:
        """Stop waiting."""
        self._consumer = None
        return trio.lowlevel.Abort.SUCCEEDED
