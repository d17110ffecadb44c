"""A probe: an agent whose other end is the test, which awaits what comes and says what is answered, when it likes."""

from collections.abc import Sequence
from typing import Final, Literal

import attrs
import trio

from actors.core.commands import OnInterrupted
from actors.core.ids import ChatId
from actors.runtime.agent import Agent, Overlap, Session, agent
from actors.runtime.turn import Turn

EXPECT_S: Final = 5.0
"""How long a probe waits for a message, on trio's clock."""


@attrs.define(eq=False)
class Got:
    """Something that a probe was given: the message of a turn, or a volatile one; it waits for its answer.

    ``turn`` is the turn of a message, so that the test can write to it, call tools in it, and ask; None for a volatile
    message. ``number`` counts from 1 over everything that the probe was given.
    """

    number: int
    chat_id: ChatId
    kind: Literal["turn", "volatile"]
    payload: object
    turn: Turn | None = None
    answer: object = None
    error: BaseException | None = None
    answered: trio.Event = attrs.Factory(trio.Event)

    def reply(self, answer: object = None) -> None:
        """Let the agent or the handler return this; the first reply counts."""
        if not self.answered.is_set():
            self.answer = answer
            self.answered.set()

    def fail(self, error: BaseException) -> None:
        """Let the agent or the handler raise this; the first reply counts."""
        if not self.answered.is_set():
            self.error = error
            self.answered.set()


class Probe:
    """What stands in an agent's place and is held by a test.

    Give ``probe.agent`` to ``checked_runtime`` or ``open_runtime``. What was given to the agent of any session is in
    ``got``, in the order in which it came, and waits until the test replies; with ``holds=False`` it is answered with
    ``None`` at once and only noted. A message that is never answered keeps its turn open, which the checked runtime
    objects to.
    """

    def __init__(
        self, *, holds: bool = True, overlap: Overlap = "queue", on_interrupted: OnInterrupted = "mark"
    ) -> None:
        """Wait for messages, under these policies."""
        self.holds = holds
        self.got: list[Got] = []
        self.agent: Agent = agent(self._answer, overlap=overlap, on_interrupted=on_interrupted, receive=self._receive)
        self._came = trio.Event()

    def of(self, chat_id: str | None) -> Sequence[Got]:
        """Give what came for one chat, or for all."""
        return [got for got in self.got if chat_id is None or got.chat_id == chat_id]

    async def expect(self, number: int, *, chat_id: str | None = None, within_s: float = EXPECT_S) -> Got:
        """Wait for the n-th message, from 1, of all or of one chat, and return it.

        Raises AssertionError, with what has come instead, when there is none ``within_s`` seconds on trio's clock.
        """
        with trio.move_on_after(within_s):
            while len(self.of(chat_id)) < number:
                await self._came.wait()
        found = self.of(chat_id)
        have = [f"{got.chat_id}: {got.payload!r}" for got in found]
        assert len(found) >= number, f"no message {number} within {within_s} s; there are {len(have)}: {have}"
        return found[number - 1]

    async def expect_no_more(self, *, chat_id: str | None = None, within_s: float = EXPECT_S) -> None:
        """Wait so many seconds on trio's clock; raises AssertionError when something comes meanwhile."""
        before = len(self.of(chat_id))
        await trio.sleep(within_s)
        more = [f"{got.chat_id}: {got.payload!r}" for got in self.of(chat_id)[before:]]
        assert not more, f"nothing was expected, and there came {more}"

    async def _answer(self, turn: Turn) -> str | None:
        """Stand in an agent's place."""
        answer = await self._take(Got(len(self.got) + 1, turn.chat_id, "turn", turn.text, turn))
        return None if answer is None else str(answer)

    async def _receive(self, session: Session, payload: object) -> object:
        """Stand in a handler's place."""
        return await self._take(Got(len(self.got) + 1, session.chat_id, "volatile", payload))

    async def _take(self, got: Got) -> object:
        """Note what came, and wait for the answer."""
        self.got.append(got)
        came, self._came = self._came, trio.Event()
        came.set()
        if self.holds:
            await got.answered.wait()
        if got.error is not None:
            raise got.error
        return got.answer
