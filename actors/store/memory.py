"""The journal in memory: the verified fake, and the store of programs that need none.

It passes the contract suite of the port and uses no thread, so a virtual clock can drive it. What it holds lives in a
``MemoryStore``, which several journals may open one after another, as processes would open a file.
"""

from collections.abc import Sequence

import attrs
import trio
from typing_extensions import override

from actors.core.events import Event, MessageAccepted, TurnEnded
from actors.core.ids import ChatId
from actors.core.session import SessionState, evolve
from actors.core.transcript import Transcript
from actors.errors import StoreFencedError, StoreInUseError, StoreUnavailableError
from actors.ports import Append, Committed, Conflict, Entry, Found, Journal, Opened, Outcome, Page


@attrs.define
class _Chat:
    """The events of one session and what is folded from them."""

    state: SessionState
    events: list[Event] = attrs.Factory(list)
    ended: dict[int, TurnEnded] = attrs.Factory(dict)
    keys: dict[str, MessageAccepted] = attrs.Factory(dict)


@attrs.define
class MemoryStore:
    """What outlives the journals that open it."""

    epoch: int = 0
    owner: "MemoryJournal | None" = None
    chats: dict[str, _Chat] = attrs.Factory(dict)
    tombstones: dict[str, float] = attrs.Factory(dict)


class MemoryJournal(Journal):
    """A journal that keeps everything in memory."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        """Open on a store that may hold something already, or on a new one."""
        self.store = store or MemoryStore()
        self._epoch = 0

    @override
    async def open(self, *, takeover: bool) -> Opened:
        await trio.lowlevel.checkpoint()
        store = self.store
        if store.owner is not None and not takeover:
            message = "another runtime owns the store"
            raise StoreInUseError(message, hint="stop it, or open with takeover=True to fence it")
        store.owner = self
        store.epoch += 1
        self._epoch = store.epoch
        unfinished = tuple(ChatId(chat_id) for chat_id, chat in store.chats.items() if chat.state.open_turns)
        chats = frozenset(ChatId(chat_id) for chat_id in store.chats)
        return Opened(self._epoch, chats, frozenset(ChatId(chat_id) for chat_id in store.tombstones), unfinished)

    @override
    async def commit(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        await trio.lowlevel.checkpoint()
        store = self._opened()
        if store.epoch != self._epoch:
            message = f"epoch {self._epoch} was taken over by epoch {store.epoch}"
            raise StoreFencedError(message, hint="open the store again, in one process only")
        return [self._write(store, entry) for entry in entries]

    @override
    async def load(self, chat_id: ChatId) -> SessionState | None:
        await trio.lowlevel.checkpoint()
        chat = self._opened().chats.get(chat_id)
        return None if chat is None else chat.state

    @override
    async def find(self, chat_id: ChatId, message_id: str) -> Found | None:
        await trio.lowlevel.checkpoint()
        chat = self._opened().chats.get(chat_id)
        accepted = None if chat is None else chat.keys.get(message_id)
        if chat is None or accepted is None:
            return None
        seq = next(event.seq for event in chat.events if event.body is accepted)
        ended = chat.ended.get(accepted.turn)
        if ended is not None:
            return Found(accepted.turn, seq, str(ended.status), ended.reason, ended.error)
        running = chat.state.running is not None and chat.state.running.turn == accepted.turn
        return Found(accepted.turn, seq, "running" if running else "queued", "", "")

    @override
    async def events(self, chat_id: ChatId, after: int, rows_max: int) -> tuple[Event, ...]:
        await trio.lowlevel.checkpoint()
        chat = self._opened().chats.get(chat_id)
        return () if chat is None else tuple(event for event in chat.events if event.seq > after)[:rows_max]

    @override
    async def messages(self, chat_id: ChatId, before_turn: int | None, rows_max: int) -> Page:
        await trio.lowlevel.checkpoint()
        chat = self._opened().chats.get(chat_id)
        if chat is None:
            return Page((), None)
        before = (1 << 62) if before_turn is None else before_turn
        transcript = Transcript()
        for event in chat.events:
            transcript.add(event)
        ended = sorted(transcript.ended(), key=lambda message: message.turn)
        turns = sorted({message.turn for message in ended if 0 < message.turn < before}, reverse=True)[:rows_max]
        taken: list[int] = []
        rows = 0
        for turn in turns:
            rows += sum(message.turn == turn for message in ended)
            if taken and rows > rows_max:
                break
            taken.append(turn)
        whole = len(taken) == len(turns) < rows_max
        wanted = {*taken, 0} if whole and before > 0 else set(taken)
        messages = tuple(message for message in ended if message.turn in wanted)
        return Page(messages, None if whole else min(taken, default=0))

    @override
    async def sessions(self, after: str, rows_max: int) -> tuple[ChatId, ...]:
        await trio.lowlevel.checkpoint()
        return tuple(ChatId(chat_id) for chat_id in sorted(self._opened().chats) if chat_id > after)[:rows_max]

    @override
    async def close(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.store.owner is self:
            self.store.owner = None

    def _opened(self) -> MemoryStore:
        """Return the store of a journal that was opened."""
        if self._epoch == 0:
            message = "the store is closed"
            raise StoreUnavailableError(message, hint="open it first")
        return self.store

    @staticmethod
    def _write(store: MemoryStore, entry: Entry) -> Outcome:
        """Write one entry, or say why it does not follow its session."""
        if not isinstance(entry, Append):
            store.chats.pop(entry.chat_id, None)
            store.tombstones[entry.chat_id] = entry.at_s
            return Committed()
        chat = store.chats.get(entry.chat_id) or _Chat(SessionState(entry.chat_id))
        if chat.state.seq != entry.expected_seq:
            first = entry.expected_seq
            written = tuple(chat.events[first : first + len(entry.events)])
            return Committed() if written == entry.events else Conflict(chat.state.seq)
        store.chats[entry.chat_id] = chat
        for event in entry.events:
            chat.events.append(event)
            chat.state = evolve(chat.state, event.body)
            if isinstance(event.body, TurnEnded):
                chat.ended[event.body.turn] = event.body
            elif isinstance(event.body, MessageAccepted):
                chat.keys[event.body.message_id] = event.body
        return Committed()
