"""The queue of one session as its host holds it: what waits, and what may be done to it before it begins."""

from collections.abc import Sequence

from actors.core.commands import Clear, EditQueued, Pause, QueueCommand, Reorder, Resume, Skip
from actors.core.effects import Refusal
from actors.core.envelope import check_text
from actors.core.ids import ChatId, DropReason, parse_message_id
from actors.core.transcript import Message
from actors.runtime.control import CancelTurn, ControlQueue, Prepare, RetryTurn
from actors.runtime.mailbox import Reply
from actors.runtime.receipt import Receipt, Receipts
from actors.runtime.ref import Accepted
from actors.runtime.refusals import refused
from actors.runtime.router import Router
from actors.runtime.services import Services
from actors.runtime.subscription import queued_messages


class Queue:
    """The turns of one session that wait; made by ``Runtime.queue``.

    Every call brings the session up if need be, and returns when what was asked is on disk. It may be used beside a
    running turn, which none of them touches but ``cancel``. Each raises InvalidEnvelopeError or UnknownChatError for
    the chat, and UnavailableError with the reason ``not_running`` for a turn that is not there or does not wait, or
    ``turn_running`` for one that has begun: the message in flight cannot be edited.
    """

    def __init__(self, router: Router, services: Services, receipts: Receipts, chat_id: ChatId) -> None:
        """Belong to a session."""
        self._router = router
        self._services = services
        self._receipts = receipts
        self.chat_id = chat_id

    async def items(self) -> tuple[Message, ...]:
        """List the messages that wait, in the order in which they will be answered.

        Messages that were handed to the running turn and wait to be taken come first, under its number.
        """
        ref = self._router.reach(self.chat_id)
        if ref.state is None:
            reply = Reply()
            ref.mailbox.post_control(reply, Prepare(reply, history=False))
            await reply.wait()
        assert ref.state is not None, "it has recovered"
        return queued_messages(ref.state)

    async def pause(self) -> None:
        """Begin no turn from now on, in this life and the next; the one that runs goes on, and messages come in."""
        await self._ask(Pause())

    async def resume(self) -> None:
        """Let turns begin again; the next one does at once."""
        await self._ask(Resume())

    async def edit(self, turn: int, text: str, *, message_id: str = "") -> None:
        """Replace the text of a message whose turn has not begun: the one that opened it, or the one that is named."""
        size = check_text(text, self._services.limits.message_bytes_max)
        if not isinstance(size, int):
            raise refused(size.reason, f"{size.field} is {size.found}", self.chat_id, size.remedy)
        if message_id and isinstance(parse_message_id(message_id), DropReason):
            detail = f"message_id is {type(message_id).__name__}"
            raise refused(DropReason.INVALID_PAYLOAD, detail, self.chat_id, "give the id of a message that waits")
        await self._ask(EditQueued(self._number(turn), text, message_id))

    async def reorder(self, turns: Sequence[int]) -> None:
        """Let the turns that are named take each other's places, so that they stand in this order.

        Those that are not named stay where they are. Raises InvalidEnvelopeError if one is named twice.
        """
        await self._ask(Reorder(tuple(self._number(turn) for turn in turns)))

    async def clear(self) -> None:
        """Cancel everything that waits; the running turn goes on."""
        await self._ask(Clear())

    async def skip(self) -> None:
        """Cancel the turn that would begin next."""
        await self._ask(Skip())

    async def cancel(self, turn: int) -> None:
        """Cancel one turn, queued or running; what the agent had said is kept."""
        ref = self._router.reach(self.chat_id)
        reply = Reply()
        ref.mailbox.post_control(reply, CancelTurn(self._number(turn), reply))
        if not await reply.wait():
            raise refused(DropReason.NOT_RUNNING, f"turn {turn} is not open", self.chat_id)

    async def retry(self, turn: int) -> Receipt:
        """Have the messages of a turn answered again that failed, was cancelled, interrupted or expired.

        They become one new turn behind all others, under keys of their own; the old one stays as it is. Doing it again
        gives the first receipt again. Raises OverloadedError if there is no room, or the budget is spent.
        """
        ref = self._router.reach(self.chat_id)
        reply = Reply()
        ref.mailbox.post_control(reply, RetryTurn(self._number(turn), reply))
        accepted = self._check(await reply.wait())
        assert isinstance(accepted, Accepted), "a retry that is not refused is accepted"
        return Receipt(self._receipts, self.chat_id, accepted)

    async def _ask(self, command: QueueCommand) -> None:
        """Have the session do something to its queue."""
        ref = self._router.reach(self.chat_id)
        reply = Reply()
        ref.mailbox.post_control(reply, ControlQueue(command, reply))
        self._check(await reply.wait())

    def _check(self, answer: object) -> object:
        """Raise if a session has refused."""
        if isinstance(answer, Refusal):
            raise refused(answer.reason, answer.detail, self.chat_id)
        return answer

    def _number(self, turn: object) -> int:
        """Check what is given as the number of a turn."""
        if type(turn) is not int or not 0 < turn < _TURN_MAX:
            detail = f"turn is {type(turn).__name__}"
            raise refused(DropReason.INVALID_PAYLOAD, detail, self.chat_id, "give the number of a turn")
        return turn


_TURN_MAX = 1 << 62
"""Beyond every number of a turn that a store can hold."""
