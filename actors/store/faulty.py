"""Any journal, with faults that a test plans: it fails, hangs, lies or loses its answers, until it is healed."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar

import attrs
import trio
from typing_extensions import override

from actors.core.dead_letter import DeadLetter
from actors.core.events import Event
from actors.core.ids import ChatId
from actors.core.lifecycle import PromptStatus
from actors.core.state import SessionState
from actors.errors import StoreUnavailableError
from actors.ports import Bury, Entry, Found, Journal, Opened, Outcome, Page, Recorded, Rename

T = TypeVar("T")


def _broken() -> BaseException:
    """Build the error of a disk that does not do its part."""
    return StoreUnavailableError("the disk does not do its part", hint="heal the journal")


@attrs.frozen
class Fails:
    """Fault: nothing is done, and the error is raised."""

    error: BaseException = attrs.Factory(_broken)


@attrs.frozen
class LosesAnswer:
    """Fault: everything is done, and the error is raised all the same."""

    error: BaseException = attrs.Factory(_broken)


@attrs.frozen
class Answers:
    """Fault: nothing is done, and this value is returned."""

    value: Any


@attrs.frozen
class Alters:
    """Fault: it is done, and what it returns is changed by a function."""

    function: Callable[[Any], Any]


@attrs.frozen
class Hangs:
    """Fault: the call waits until the journal is healed, and is done then."""


@attrs.frozen
class Delays:
    """Fault: the call waits so many seconds, and is done then."""

    seconds: float


Fault = Fails | LosesAnswer | Answers | Alters | Hangs | Delays
Operation = Literal[
    "open",
    "commit",
    "load",
    "find",
    "find_prompt",
    "turn",
    "events",
    "messages",
    "sessions",
    "children",
    "dead_letters",
    "close",
]


@attrs.define
class _Plan:
    """A fault and the calls it is for."""

    fault: Fault
    skip: int
    times: int | None
    chat_id: str | None


class FaultyJournal(Journal):
    """Any journal, with faults that a test plans by operation and count, and heals when it likes."""

    def __init__(self, inner: Journal) -> None:
        """Stand before a journal; without a plan everything passes."""
        self.inner = inner
        self.calls: Counter[str] = Counter()
        """How often each operation was called."""
        self.hung = 0
        """How many calls hang now."""
        self.entries: list[Entry] = []
        """Every entry that was handed to the inner journal, in order."""
        self._plans: dict[str, list[_Plan]] = {}
        self._healed = trio.Event()

    def plan(
        self, operation: Operation, fault: Fault, *, skip: int = 0, times: int | None = None, chat_id: str | None = None
    ) -> None:
        """Have a fault happen to an operation: ``skip`` calls from now, ``times`` times (None: until healed).

        With a ``chat_id`` only calls that concern this chat count. The first plan that fits a call is used.
        """
        self._plans.setdefault(operation, []).append(_Plan(fault, skip, times, chat_id))

    def heal(self) -> None:
        """Forget every plan and let whatever hangs go on."""
        self._plans.clear()
        self._healed.set()
        self._healed = trio.Event()

    @override
    async def open(self, *, takeover: bool, forget_before_s: float = 0.0) -> Opened:
        return await self._do("open", (), lambda: self.inner.open(takeover=takeover, forget_before_s=forget_before_s))

    @override
    async def commit(self, entries: Sequence[Entry]) -> Sequence[Outcome]:
        async def commit() -> Sequence[Outcome]:
            self.entries += entries
            return await self.inner.commit(entries)

        concerned = [entry.chat_id for entry in entries if not isinstance(entry, Bury)]
        concerned += [entry.new_chat_id for entry in entries if isinstance(entry, Rename)]
        return await self._do("commit", concerned, commit)

    @override
    async def load(self, chat_id: ChatId) -> SessionState | None:
        return await self._do("load", [chat_id], lambda: self.inner.load(chat_id))

    @override
    async def find(self, chat_id: ChatId, message_id: str) -> Found | None:
        return await self._do("find", [chat_id], lambda: self.inner.find(chat_id, message_id))

    @override
    async def find_prompt(self, chat_id: ChatId, turn: int, prompt: int) -> PromptStatus | None:
        return await self._do("find_prompt", [chat_id], lambda: self.inner.find_prompt(chat_id, turn, prompt))

    @override
    async def turn(self, chat_id: ChatId, turn: int) -> Recorded | None:
        return await self._do("turn", [chat_id], lambda: self.inner.turn(chat_id, turn))

    @override
    async def events(self, chat_id: ChatId, after: int, rows_max: int) -> tuple[Event, ...]:
        return await self._do("events", [chat_id], lambda: self.inner.events(chat_id, after, rows_max))

    @override
    async def messages(self, chat_id: ChatId, before_turn: int | None, rows_max: int) -> Page:
        return await self._do("messages", [chat_id], lambda: self.inner.messages(chat_id, before_turn, rows_max))

    @override
    async def sessions(self, after: str, rows_max: int) -> tuple[ChatId, ...]:
        return await self._do("sessions", (), lambda: self.inner.sessions(after, rows_max))

    @override
    async def children(self, chat_id: ChatId, rows_max: int) -> tuple[ChatId, ...]:
        return await self._do("children", [chat_id], lambda: self.inner.children(chat_id, rows_max))

    @override
    async def dead_letters(self, chat_id: str | None, after: int, rows_max: int) -> tuple[DeadLetter, ...]:
        return await self._do("dead_letters", (), lambda: self.inner.dead_letters(chat_id, after, rows_max))

    @override
    async def close(self) -> None:
        await self._do("close", (), self.inner.close)

    async def _do(self, operation: str, chat_ids: Sequence[str], call: Callable[[], Awaitable[T]]) -> T:
        """Do one call as planned."""
        self.calls[operation] += 1
        match self._planned(operation, chat_ids):
            case Fails(error=error):
                await trio.lowlevel.checkpoint()
                raise error
            case LosesAnswer(error=error):
                await call()
                raise error
            case Answers(value=value):
                await trio.lowlevel.checkpoint()
                answer: T = value
                return answer
            case Alters(function=function):
                altered: T = function(await call())
                return altered
            case Hangs():
                self.hung += 1
                try:
                    await self._healed.wait()
                finally:
                    self.hung -= 1
            case Delays(seconds=seconds):
                await trio.sleep(seconds)
            case None:
                pass
        return await call()

    def _planned(self, operation: str, chat_ids: Sequence[str]) -> Fault | None:
        """Find the fault of a call, and count it."""
        for plan in self._plans.get(operation, ()):
            if plan.chat_id is not None and plan.chat_id not in chat_ids:
                continue
            if plan.skip:
                plan.skip -= 1
            elif plan.times is None:
                return plan.fault
            elif plan.times:
                plan.times -= 1
                return plan.fault
        return None
