"""Which sessions there are: every id the store knows, and at most one ref for each that is live."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import attrs

from actors.core.ids import ChatId
from actors.core.lifecycle import SessionPhase
from actors.core.limits import Limits
from actors.ports import Alias
from actors.runtime.mailbox import Budget, Mailbox
from actors.runtime.ref import Ref


@attrs.define
class Letters:
    """What became of the letters that mailboxes admitted; the first number is the sum of the others."""

    admitted: int = 0
    executed: int = 0
    dead: int = 0
    withdrawn: int = 0
    queued: int = 0

    def add(self, ref: Ref) -> None:
        """Add those of one session."""
        self.admitted += ref.mailbox.admitted
        self.executed += ref.executed
        self.dead += ref.dead + ref.mailbox.dead
        self.withdrawn += ref.mailbox.withdrawn
        self.queued += ref.mailbox.queued

    @property
    def closed(self) -> bool:
        """Whether the sum is right."""
        return self.admitted == self.executed + self.dead + self.withdrawn + self.queued


@attrs.frozen
class Stopped:
    """A session that left memory lately: in which phase, and how it had been; ``at_s`` is on the monotonic clock."""

    chat_id: str
    phase: str
    at_s: float
    incarnation: int
    restarts: int
    last_error: str


class Registry:
    """The directory of ids and the live refs.

    All ids of the store are held in memory (about 150 bytes each), so that routing never waits for the disk.
    """

    def __init__(
        self, limits: Limits, known: Iterable[ChatId], deleted: Iterable[ChatId], aliases: Iterable[Alias] = ()
    ) -> None:
        """Begin with what the store holds."""
        self._limits = limits
        self.known: set[str] = set(known)
        self.deleted: set[str] = set(deleted)
        self.aliases: dict[str, ChatId] = {}
        """From an id that a session had before to the one it has now; looked at only when no session has the id."""
        self._former: dict[str, list[str]] = {}
        for alias in aliases:
            self._lead(alias.chat_id, alias.leads_to)
        self.refs: dict[str, Ref] = {}
        self.boxes: dict[str, Mailbox] = {}
        """The mailboxes of the sessions that are active: the short way in, closed while a session is not."""
        self.away: dict[str, int] = {}
        """How often each session that was put away had come up, so that its next incarnation has a new number."""
        self.inserted: Callable[[Ref], None] = _ignore
        """Is told of every session that comes into memory."""
        self.moved: Callable[[Ref], None] = _ignore
        """Is told of every phase that a session comes to."""
        self.budget = Budget(limits.memory_bytes_max)
        self.retired = Letters()
        self.stopped: deque[Stopped] = deque(maxlen=limits.stopped_shown_max)
        """The sessions that left memory last."""

    def __iter__(self) -> Iterator[Ref]:
        """Go through the live refs."""
        return iter(list(self.refs.values()))

    def get(self, chat_id: str) -> Ref | None:
        """Return the live ref, if there is one."""
        return self.refs.get(chat_id)

    def get_or_insert(self, chat_id: ChatId) -> Ref:
        """Return the one ref of a session; there is no suspension between the look and the insert."""
        ref = self.refs.get(chat_id)
        if ref is None:
            ref = self.refs[chat_id] = Ref(chat_id, self._limits, self.budget)
            ref.incarnation = self.away.get(chat_id, 0)
            self.inserted(ref)
        return ref

    def resolve(self, chat_id: ChatId) -> ChatId:
        """Return the id that the session has now which this one leads to; any other comes back as it is."""
        return self.aliases.get(chat_id, chat_id)

    def rename(self, ref: Ref, new_id: ChatId) -> None:
        """Know a session under its new id only; the old one leads to it. There is no suspension in between."""
        old_id = ref.chat_id
        self.known.discard(old_id)
        self.known.add(new_id)
        self._lead(old_id, new_id)
        if self.refs.get(old_id) is ref:
            self.refs[new_id] = self.refs.pop(old_id)
        if old_id in self.boxes:
            self.boxes[new_id] = self.boxes.pop(old_id)
        ref.rename(new_id)

    def move(self, ref: Ref, trigger: str) -> None:
        """Let a session go to its next phase; only an active one can be reached the short way."""
        ref.move(trigger)
        self.moved(ref)
        if ref.phase is SessionPhase.ACTIVE:
            self.boxes[ref.chat_id] = ref.mailbox
        else:
            self.boxes.pop(ref.chat_id, None)

    def force(self, ref: Ref, phase: SessionPhase) -> None:
        """Put a session into a phase that is not the active one, whatever the table says: the way out of a bug."""
        ref.phase = phase
        self.moved(ref)
        self.boxes.pop(ref.chat_id, None)

    def remove(self, ref: Ref) -> None:
        """Forget a ref that is not live any more."""
        if self.refs.get(ref.chat_id) is ref:
            del self.refs[ref.chat_id]

    def note_end(self, ref: Ref, now_s: float) -> None:
        """Keep for a while what a session was like that has left memory."""
        phase = str(ref.phase)
        self.stopped.append(Stopped(ref.chat_id, phase, now_s, ref.incarnation, ref.restarts, ref.last_error))

    def put_away(self, ref: Ref) -> None:
        """Forget a ref that is at rest: everything of it is on disk, but for the number of its incarnations."""
        self.retire(ref)
        self.remove(ref)
        self.away[ref.chat_id] = ref.incarnation

    def retire(self, ref: Ref) -> None:
        """Add the letters of a ref to those of the refs that were there before, and begin its own anew."""
        self.retired.add(ref)
        box = ref.mailbox
        box.admitted = box.withdrawn = box.dead = ref.executed = ref.dead = 0

    def letters(self) -> "Letters":
        """Add up what became of every letter that was admitted."""
        total = Letters(**attrs.asdict(self.retired))
        for ref in self.refs.values():
            total.add(ref)
        return total

    def bury(self, chat_id: ChatId) -> tuple[str, ...]:
        """Leave a tombstone, also for the ids that led to the session; return all its ids."""
        self.known.discard(chat_id)
        self.away.pop(chat_id, None)
        self.deleted.add(chat_id)
        former = self._former.pop(chat_id, [])
        for alias in former:
            del self.aliases[alias]
            self.deleted.add(alias)
        return chat_id, *former

    def _lead(self, old_id: str, new_id: ChatId) -> None:
        """Let an id, and those that led to it, lead to another."""
        before = [*self._former.pop(old_id, ()), old_id]
        self._former.setdefault(new_id, []).extend(before)
        self.aliases.update(dict.fromkeys(before, new_id))


def _ignore(_: Ref) -> None:
    """Nobody wants to know."""
