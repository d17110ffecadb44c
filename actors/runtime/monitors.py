"""Who wants to hear of the end of a session: told once, and of a restart only if they asked."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

import attrs
import trio

from actors.core.ids import ChatId
from actors.core.supervision import DownReason


@attrs.frozen
class Down:
    """The end of a session: why, and which incarnation was the last; 0 if none was up."""

    chat_id: str
    reason: DownReason
    incarnation: int


class Monitor:
    """Waits for the end of one session; made by ``Runtime.monitor`` and used in ``async with``."""

    def __init__(self, monitors: "Monitors", chat_id: ChatId, asked: frozenset[DownReason], look: "Look") -> None:
        """Watch from the moment on at which the block is entered."""
        self._monitors = monitors
        self.chat_id = chat_id
        self._asked = asked
        self._look = look
        self._told = trio.Event()
        self._down: Down | None = None

    async def __aenter__(self) -> Self:
        """Begin to watch; a session that is not there is answered for at once."""
        await trio.lowlevel.checkpoint()
        self.chat_id, self._down = self._look(self.chat_id)
        if self._down is None:
            self._monitors.add(self.chat_id, self)
        else:
            self._told.set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no more."""
        self._monitors.remove(self.chat_id, self)

    async def wait(self) -> Down:
        """Wait for the end and return it; there is one, and whoever asks again gets the same."""
        await self._told.wait()
        assert self._down is not None, "the event is set with it"
        return self._down

    def tell(self, down: Down) -> bool:
        """Hear of an end; False if this one was not asked for."""
        if down.reason in _ASKED - self._asked:
            return False
        self._down = down
        self._told.set()
        return True


Look = Callable[[ChatId], tuple[ChatId, Down | None]]
"""Says which id a session has now, and what became of one that is not there to be watched; None if it is."""


class Monitors:
    """The monitors of a runtime, by the session they watch."""

    def __init__(self) -> None:
        """Begin with none."""
        self._watching: dict[str, list[Monitor]] = {}

    def __len__(self) -> int:
        """Count the monitors that have not been told yet."""
        return sum(map(len, self._watching.values()))

    def add(self, chat_id: str, monitor: Monitor) -> None:
        """Have a monitor told of the end of a session."""
        self._watching.setdefault(chat_id, []).append(monitor)

    def remove(self, chat_id: str, monitor: Monitor) -> None:
        """Tell a monitor nothing more."""
        watching = self._watching.get(chat_id, [])
        if monitor in watching:
            watching.remove(monitor)
            if not watching:
                del self._watching[chat_id]

    def rename(self, old_id: ChatId, new_id: ChatId) -> None:
        """Watch a session under its new id."""
        watching = self._watching.pop(old_id, [])
        if watching:
            self._watching.setdefault(new_id, []).extend(watching)
            for monitor in watching:
                monitor.chat_id = new_id

    def tell(self, chat_id: str, reason: DownReason, incarnation: int) -> None:
        """Tell of an end, each monitor once."""
        watching = self._watching.pop(chat_id, None)
        if watching is not None:
            down = Down(chat_id, reason, incarnation)
            left = [monitor for monitor in watching if not monitor.tell(down)]
            if left:
                self._watching[chat_id] = left

    def tell_all(self, reason: DownReason) -> None:
        """Tell everybody who still watches."""
        for chat_id in list(self._watching):
            self.tell(chat_id, reason, 0)


_ASKED = frozenset({DownReason.RESTARTED, DownReason.PASSIVATED})
"""What a monitor hears of only if it asked to."""
