"""What a turn has sent or spawned: where it went, and the way to its result."""

from collections.abc import Awaitable, Callable

import attrs

from actors.core.ids import ChatId
from actors.errors import DeadlockError
from actors.runtime.ref import Accepted, TurnResult


@attrs.frozen
class Ways:
    """What can be done about a message that is on disk: wait for the end of its turn, or stop it.

    ``resolve`` says which id leads where now, since an id may change while somebody waits.
    """

    result: Callable[[], Awaitable[TurnResult]]
    cancel: Callable[[], Awaitable[TurnResult]]
    resolve: Callable[[ChatId], ChatId]


class Sent:
    """A message that a turn sent to another session."""

    __slots__ = ("_waiting", "_ways", "chat_id", "message_id", "turn")

    def __init__(self, chat_id: ChatId, accepted: Accepted, ways: Ways, waiting: tuple[ChatId, ...]) -> None:
        """Made by ``Turn.send_chat``; ``waiting`` are the sessions that may wait for the one that sent it, it last."""
        self._ways = ways
        self._waiting = waiting
        self.chat_id = chat_id
        self.message_id = accepted.message_id
        self.turn = accepted.turn

    async def result(self) -> TurnResult:
        """Wait for the turn to end, however that is, and say how.

        Raises DeadlockError, with the path, if the session may be waiting for the one that sent it: the wait would
        never end. Raises UnavailableError if the session is stopped or quarantined first.
        """
        resolve = self._ways.resolve
        if resolve(self.chat_id) in {resolve(each) for each in self._waiting}:
            path = " -> ".join((*self._waiting, self.chat_id))
            message = f"a turn would wait for itself: {path}"
            hint = "do not wait for the result, or send it with runtime.send"
            raise DeadlockError(message, outcome="unknown", chat_id=self.chat_id, hint=hint)
        return await self._ways.result()

    async def cancel(self) -> TurnResult:
        """Stop the turn, queued or running, and say how it ended; what was said is kept."""
        return await self._ways.cancel()


class Child(Sent):
    """A session that a turn spawned, and the first message it was given."""

    __slots__ = ("name",)

    def __init__(self, chat_id: ChatId, accepted: Accepted, ways: Ways, waiting: tuple[ChatId, ...], name: str) -> None:
        """Made by ``Turn.spawn``."""
        super().__init__(chat_id, accepted, ways, waiting)
        self.name = name
