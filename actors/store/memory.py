"""The journal in memory: the verified fake, and the store of programs that need none.

It passes the contract suite of the port and uses no thread, so a virtual clock can drive it. What it holds lives in a
``MemoryStore``, which several journals may open one after another, as processes would open a file.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

import attrs
import msgspec
import trio
from typing_extensions import override

from actors.core.dead_letter import DeadLetter
from actors.core.events import (
    Event,
    EventBody,
    HistoryTruncated,
    MessageAccepted,
    PromptAnswered,
    PromptClosed,
    PromptExpired,
    PromptOpened,
    QueueReordered,
    TurnEnded,
)
from actors.core.ids import ChatId
from actors.core.lifecycle import PromptStatus
from actors.core.state import SessionState, due_s_of, evolve
from actors.core.transcript import Transcript, turn_place
from actors.errors import StoreCorruptError, StoreFencedError, StoreInUseError, StoreUnavailableError
from actors.ports import (
    Alias,
    Appointment,
    Bury,
    Committed,
    Conflict,
    Entry,
    Erase,
    Found,
    Journal,
    Opened,
    Outcome,
    Page,
    Recorded,
    Rename,
)

_BECOMES: Final[Mapping[type[EventBody], PromptStatus]] = MappingProxyType(
    {
        PromptOpened: PromptStatus.OPEN,
        PromptAnswered: PromptStatus.ANSWERED,
        PromptExpired: PromptStatus.EXPIRED,
        PromptClosed: PromptStatus.CLOSED,
    }
)
"""What each event makes of a question."""


@attrs.define
class _Chat:
    """The events of one session and what is folded from them."""

    state: SessionState
    events: list[Event] = attrs.Factory(list)
    ended: dict[int, TurnEnded] = attrs.Factory(dict)
    places: dict[int, int] = attrs.Factory(dict)
    hidden: set[int] = attrs.Factory(set)
    """Turns that have left the transcript, by their end or by a cut: where they stood then counts, not where now."""
    keys: dict[str, tuple[int, int]] = attrs.Factory(dict)
    """From an idempotency key to the turn it names and the number of its acceptance."""

    def add(self, event: Event) -> None:
        """Take one more event."""
        self._note(event)
        self.events.append(event)
        self.state = evolve(self.state, event.body)

    def cut(self, state: SessionState) -> None:
        """Go back to a state this was in."""
        del self.events[state.seq :]
        self.state = state
        self.keys.clear()
        self.ended.clear()
        self.places.clear()
        self.hidden.clear()
        for event in self.events:
            self._note(event)

    def transcript(self, *, showing_hidden: bool = False) -> Transcript:
        """Fold all events into messages."""
        transcript = Transcript(showing_hidden=showing_hidden)
        for event in self.events:
            transcript.add(event)
        return transcript

    def found(self, turn: int, seq: int) -> Found:
        """Say how a turn stands."""
        ended = self.ended.get(turn)
        if ended is not None:
            return Found(turn, seq, ended.status.value, ended.reason, ended.error)
        running = self.state.running is not None and self.state.running.turn == turn
        return Found(turn, seq, "running" if running else "queued", "", "")

    def _note(self, event: Event) -> None:
        """Keep what an event says of a key, or of the end of a turn."""
        body = event.body
        if isinstance(body, MessageAccepted):
            if body.message_id in self.keys and not body.moved_from:
                message = "a key names two messages"
                raise StoreCorruptError(message, chat_id=event.chat_id, hint="look the key up before accepting it")
            self.keys[body.message_id] = (body.turn, event.seq)
            self.places.setdefault(body.turn, body.turn)
        elif isinstance(body, TurnEnded):
            self.ended[body.turn] = body
            self.hidden |= {body.turn} if body.hidden else set()
        elif isinstance(body, QueueReordered):
            self.places |= zip(body.turns, body.places, strict=True)
        elif isinstance(body, HistoryTruncated):
            self.hidden |= {turn for turn, place in self.places.items() if turn <= body.last and place >= body.place}

    def judge(self, expected_seq: int, events: tuple[Event, ...]) -> Outcome | None:
        """Say that events were written already, or do not follow; None if they follow."""
        if self.state.seq == expected_seq:
            return None
        written = tuple(self.events[expected_seq : expected_seq + len(events)])
        return Committed() if written == events else Conflict(self.state.seq)


@attrs.define
class MemoryStore:
    """What outlives the journals that open it."""

    epoch: int = 0
    owner: "MemoryJournal | None" = None
    chats: dict[str, _Chat] = attrs.Factory(dict)
    tombstones: dict[str, float] = attrs.Factory(dict)
    aliases: dict[str, ChatId] = attrs.Factory(dict)
    dead: dict[int, DeadLetter] = attrs.Factory(dict)
    """Dead letters by their number, in order."""
    dead_last: int = 0

    def find(self, chat_id: str) -> _Chat | None:
        """Find a session by its id or by one that it had before."""
        chat = self.chats.get(chat_id)
        return self.chats.get(self.aliases.get(chat_id, "")) if chat is None else chat

    def write(self, entry: Entry, undo: list[Callable[[], None]]) -> Outcome:
        """Write one entry, or say why it does not follow its session; ``undo`` is given the way back."""
        if isinstance(entry, Erase):
            return self._erase(entry, undo)
        if isinstance(entry, Rename):
            return self._rename(entry, undo)
        if isinstance(entry, Bury):
            return self._bury(entry, undo)
        chat = self.chats.get(entry.chat_id)
        if chat is None:
            if entry.expected_seq or entry.chat_id in self.tombstones or entry.chat_id in self.aliases:
                return Conflict(0)
            chat = self.chats[entry.chat_id] = _Chat(SessionState(entry.chat_id))
            undo.append(partial(self._forget, entry.chat_id))
        return chat.judge(entry.expected_seq, entry.events) or self._add(chat, entry.events, undo)

    def _add(self, chat: _Chat, events: tuple[Event, ...], undo: list[Callable[[], None]]) -> Outcome:
        """Write events that follow their session."""
        undo.append(partial(chat.cut, chat.state))
        for event in events:
            chat.add(event)
        return Committed()

    def _erase(self, entry: Erase, undo: list[Callable[[], None]]) -> Outcome:
        """Forget a session under all its ids."""
        undo.append(partial(self._restore, dict(self.chats), dict(self.tombstones), dict(self.aliases)))
        chat_id = self.aliases.get(entry.chat_id, entry.chat_id)
        self.chats.pop(chat_id, None)
        before = [alias for alias, leads_to in self.aliases.items() if leads_to == chat_id]
        for alias in before:
            del self.aliases[alias]
        gone = {*before, chat_id}
        self.tombstones |= dict.fromkeys(gone, entry.at_s)
        undo.append(partial(self._restore_dead, self.dead, self.dead_last))
        self.dead = {number: one for number, one in self.dead.items() if one.chat_id not in gone}
        return Committed()

    def _rename(self, entry: Rename, undo: list[Callable[[], None]]) -> Outcome:
        """Give a session its new id, unless it is taken."""
        new_id = entry.new_chat_id
        chat = self.chats.get(entry.chat_id)
        if chat is None:
            moved = self.chats.get(self.aliases.get(entry.chat_id, ""))
            if moved is None or moved.state.chat_id != new_id:
                return Conflict(0 if moved is None else moved.state.seq)
            return moved.judge(entry.expected_seq, entry.events) or Conflict(moved.state.seq)
        outcome = chat.judge(entry.expected_seq, entry.events)
        if outcome is not None:
            return outcome
        if new_id in self.chats or new_id in self.aliases or new_id in self.tombstones:
            return Conflict(chat.state.seq)
        undo.append(partial(self._restore, dict(self.chats), dict(self.tombstones), dict(self.aliases)))
        undo.append(partial(setattr, chat, "events", chat.events))
        chat.events = [msgspec.structs.replace(event, chat_id=new_id) for event in chat.events]
        del self.chats[entry.chat_id]
        self.chats[new_id] = chat
        self.aliases[entry.chat_id] = new_id
        return self._add(chat, entry.events, undo)

    def _bury(self, entry: Bury, undo: list[Callable[[], None]]) -> Outcome:
        """Keep dead letters and forget others."""
        undo.append(partial(self._restore_dead, self.dead, self.dead_last))
        numbered = {letter.number: letter for letter in entry.letters} | self.dead
        self.dead_last = max(self.dead_last, *numbered, 0)
        kept = [number for number in sorted(numbered) if number > self.dead_last - entry.rows_max]
        gone = set(entry.forget)
        self.dead = {number: numbered[number] for number in kept if number not in gone}
        self.dead = {number: one for number, one in self.dead.items() if one.at_s >= entry.after_s}
        return Committed()

    def _restore_dead(self, dead: dict[int, DeadLetter], last: int) -> None:
        """Keep again what was kept before."""
        self.dead, self.dead_last = dead, last

    def _forget(self, chat_id: ChatId) -> None:
        """Have no such session again."""
        del self.chats[chat_id]

    def _restore(self, chats: dict[str, _Chat], tombstones: dict[str, float], aliases: dict[str, ChatId]) -> None:
        """Hold again what was held before an erasure or a new id."""
        self.chats, self.tombstones, self.aliases = chats, tombstones, aliases


class MemoryJournal(Journal):
    """A journal that keeps everything in memory."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        """Open on a store that may hold something already, or on a new one."""
        self.store = store or MemoryStore()
        self._epoch = 0

    @override
    async def open(self, *, takeover: bool, forget_before_s: float = 0.0) -> Opened:
        await trio.lowlevel.checkpoint()
        store = self.store
        if store.owner is not None and not takeover:
            message = "another runtime owns the store"
            raise StoreInUseError(message, hint="stop it, or open with takeover=True to fence it")
        store.owner = self
        store.epoch += 1
        self._epoch = store.epoch
        store.tombstones = {one: at_s for one, at_s in store.tombstones.items() if at_s >= forget_before_s}
        unfinished = tuple(ChatId(chat_id) for chat_id, chat in store.chats.items() if chat.state.open_turns)
        chats = frozenset(ChatId(chat_id) for chat_id in store.chats)
        tombstones = frozenset(ChatId(chat_id) for chat_id in store.tombstones)
        due = ((chat_id, due_s_of(chat.state)) for chat_id, chat in store.chats.items())
        appointments = tuple(Appointment(ChatId(chat_id), due_s) for chat_id, due_s in due if due_s is not None)
        aliases = tuple(Alias(ChatId(chat_id), store.aliases[chat_id]) for chat_id in sorted(store.aliases))
        return Opened(self._epoch, chats, tombstones, unfinished, appointments, aliases, store.dead_last)

    @override
    async def commit(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        await trio.lowlevel.checkpoint()
        store = self._opened()
        if store.epoch != self._epoch:
            message = f"epoch {self._epoch} was taken over by epoch {store.epoch}"
            raise StoreFencedError(message, hint="open the store again, in one process only")
        undo: list[Callable[[], None]] = []
        try:
            return [store.write(entry, undo) for entry in entries]
        except BaseException:
            for step in reversed(undo):
                step()
            raise

    @override
    async def load(self, chat_id: ChatId) -> SessionState | None:
        await trio.lowlevel.checkpoint()
        chat = self._opened().find(chat_id)
        return None if chat is None else chat.state

    @override
    async def find(self, chat_id: ChatId, message_id: str) -> Found | None:
        await trio.lowlevel.checkpoint()
        chat = self._opened().find(chat_id)
        named = None if chat is None else chat.keys.get(message_id)
        if chat is None or named is None:
            return None
        return chat.found(*named)

    @override
    async def turn(self, chat_id: ChatId, turn: int) -> Recorded | None:
        await trio.lowlevel.checkpoint()
        chat = self._opened().find(chat_id)
        opened = () if chat is None else (event for event in chat.events if _opens(event, turn))
        event = next(iter(opened), None)
        if chat is None or event is None:
            return None
        messages = chat.transcript(showing_hidden=True).messages()
        of_turn = tuple(message for message in messages if message.turn == turn)
        return Recorded(chat.found(turn, event.seq), turn in chat.hidden, of_turn)

    @override
    async def find_prompt(self, chat_id: ChatId, turn: int, prompt: int) -> PromptStatus | None:
        await trio.lowlevel.checkpoint()
        chat = self._opened().find(chat_id)
        status: PromptStatus | None = None
        for event in () if chat is None else chat.events:
            body = event.body
            becomes = _BECOMES.get(type(body))
            if becomes is not None and (getattr(body, "turn", 0), getattr(body, "prompt", 0)) == (turn, prompt):
                status = becomes
        return status

    @override
    async def events(self, chat_id: ChatId, after: int, rows_max: int) -> tuple[Event, ...]:
        await trio.lowlevel.checkpoint()
        chat = self._opened().find(chat_id)
        return () if chat is None else tuple(chat.events[max(after, 0) :][:rows_max])

    @override
    async def messages(self, chat_id: ChatId, before_turn: int | None, rows_max: int) -> Page:
        await trio.lowlevel.checkpoint()
        chat = self._opened().find(chat_id)
        if chat is None:
            return Page((), None)
        before = (1 << 62) if before_turn is None else before_turn
        ended = chat.transcript().ended()
        sizes = Counter(turn_place(message) for message in ended if 0 < turn_place(message) < before)
        places = sorted(sizes, reverse=True)[:rows_max]
        taken: list[int] = []
        rows = 0
        for place in places:
            rows += sizes[place]
            if taken and rows > rows_max:
                break
            taken.append(place)
        whole = len(taken) == len(places) < rows_max
        wanted = {*taken, 0} if whole and before > 0 else set(taken)
        messages = tuple(message for message in ended if turn_place(message) in wanted)
        return Page(messages, None if whole else min(taken, default=0))

    @override
    async def sessions(self, after: str, rows_max: int) -> tuple[ChatId, ...]:
        await trio.lowlevel.checkpoint()
        return tuple(ChatId(chat_id) for chat_id in sorted(self._opened().chats) if chat_id > after)[:rows_max]

    @override
    async def children(self, chat_id: ChatId, rows_max: int) -> tuple[ChatId, ...]:
        await trio.lowlevel.checkpoint()
        store = self._opened()
        parents = ((child, chat.state.standing.parent) for child, chat in store.chats.items())
        now = store.aliases.get
        spawned = (
            ChatId(child)
            for child, parent in parents
            if parent is not None and now(parent.chat_id, parent.chat_id) == now(chat_id, chat_id)
        )
        return tuple(spawned)[:rows_max]

    @override
    async def dead_letters(self, chat_id: str | None, after: int, rows_max: int) -> tuple[DeadLetter, ...]:
        await trio.lowlevel.checkpoint()
        wanted = (one for one in self._opened().dead.values() if chat_id in {None, one.chat_id})
        return tuple([one for one in wanted if one.number > after][:rows_max])

    @override
    async def close(self) -> None:
        await trio.lowlevel.checkpoint()
        self._epoch = 0
        if self.store.owner is self:
            self.store.owner = None

    def _opened(self) -> MemoryStore:
        """Return the store of a journal that was opened."""
        if not self._epoch:
            message = "the store is closed"
            raise StoreUnavailableError(message, hint="open it first")
        return self.store


def _opens(event: Event, turn: int) -> bool:
    """Say whether an event accepts the message that opened a turn."""
    return isinstance(event.body, MessageAccepted) and event.body.turn == turn and not event.body.joined
