"""A message that is on disk: where it stands, how to wait for what becomes of it, and how to stop that."""

from typing import Final

from actors.core.ids import ChatId, DropReason
from actors.core.lifecycle import UP, SessionPhase
from actors.runtime.control import CancelTurn, Prepare
from actors.runtime.mailbox import Reply
from actors.runtime.ref import Accepted, Moved, Ref, TurnResult
from actors.runtime.refusals import refused
from actors.runtime.registry import Registry
from actors.runtime.sent import Ways
from actors.runtime.services import Services

_RUNS: Final = UP | {SessionPhase.STOPPING}
"""The phases in which a turn may be under way, or come to it: one that is told to stop may have been given time."""

_ENDED_EARLY: Final = {
    SessionPhase.QUARANTINED: DropReason.QUARANTINED,
    SessionPhase.FENCED: DropReason.FENCED,
    SessionPhase.DELETED: DropReason.DELETED_CHAT,
}


class Receipt:
    """A message that is on disk: its place, and the way to its result."""

    __slots__ = ("_receipts", "chat_id", "duplicate", "epoch", "message_id", "seq", "turn")

    def __init__(self, receipts: "Receipts", chat_id: ChatId, accepted: Accepted) -> None:
        """Made by ``Runtime.send``; ``duplicate`` says that the key was known and this is the first receipt again.

        ``turn`` is the turn that the message is in. One that was handed to a running turn which did not take it has a
        turn of its own afterwards; the receipt knows of it once ``result`` has come to it.
        """
        self._receipts = receipts
        self.chat_id = chat_id
        self.message_id = accepted.message_id
        self.turn = accepted.turn
        self.seq = accepted.seq
        self.epoch = accepted.epoch
        self.duplicate = accepted.duplicate

    async def result(self) -> TurnResult:
        """Wait for the turn to end, however that is, and say how.

        Raises UnavailableError if the session is stopped or quarantined first; the message is on disk all the same.
        """
        return await self._receipts.result(self)

    async def cancel(self) -> TurnResult:
        """Stop the turn, queued or running, and say how it ended; a turn that had ended stays as it was.

        What the agent had said is kept. An agent that does not end within the grace is given up. Other messages that
        are in the same turn end with it.
        """
        self._receipts.cancel(self)
        return await self.result()


class Receipts:
    """What receipts need of their runtime."""

    def __init__(self, services: Services, registry: Registry) -> None:
        """Look sessions up in the registry, and turns of earlier lives in the journal."""
        self._services = services
        self._registry = registry

    def ways_to(self, chat_id: ChatId, accepted: Accepted) -> Ways:
        """Say what can be done about a message that a turn had accepted."""
        receipt = Receipt(self, chat_id, accepted)
        return Ways(receipt.result, receipt.cancel, self._registry.resolve)

    def cancel(self, receipt: Receipt) -> None:
        """Have the turn of a message cancelled by the session that is live now, if one is."""
        ref = self._registry.get(self._registry.resolve(receipt.chat_id))
        if ref is not None and ref.phase in _RUNS:
            known = ref.recent.get(receipt.message_id)
            turn = receipt.turn if known is None else known.turn
            ref.mailbox.post_control((CancelTurn, turn), CancelTurn(turn, Reply()))

    async def result(self, receipt: Receipt) -> TurnResult:
        """Wait for the end of a turn in the session that is live now, or look it up if none is."""
        ref = self._registry.get(self._registry.resolve(receipt.chat_id))
        if ref is not None and ref.phase in UP and ref.state is None:
            ready = Reply()
            ref.mailbox.post_control(ready, Prepare(ready, history=False))
            await ready.wait()
        if ref is not None:
            result = await self._wait(ref, receipt)
            if result is not None:
                return result
        return await self._look_up(ref, receipt)

    async def _wait(self, ref: Ref, receipt: Receipt) -> TurnResult | None:
        """Wait for the turn that the message is in, wherever it moves; None if it is not open, or not any more."""
        while ref.phase in _RUNS:  # nobody would ever be told by one that has ended
            turn = receipt.turn
            reply = ref.wait_turn(turn)
            if reply is None:
                return None
            try:
                answer = await reply.wait()
            finally:
                ref.forget_wait(turn, reply)
            if isinstance(answer, TurnResult):
                return answer
            if not isinstance(answer, Moved):
                return None
            if receipt.message_id not in answer.turns:
                return answer.result
            receipt.turn = answer.turns[receipt.message_id]
        return None

    async def _look_up(self, ref: Ref | None, receipt: Receipt) -> TurnResult:
        """Read how the turn of a message has ended."""
        chat_id, journal = self._registry.resolve(receipt.chat_id), self._services.journal
        found = await journal.find(chat_id, receipt.message_id)
        if found is not None and found.turn != receipt.turn:  # it has moved since the receipt was given
            receipt.turn = found.turn
            return await self.result(receipt)  # in the session that is live now, which may be another one
        if found is None:
            raise refused(DropReason.DELETED_CHAT, chat_id=chat_id)
        if found.status in {"queued", "running"}:
            phase = SessionPhase.ABSENT if ref is None else ref.phase
            reason = _ENDED_EARLY.get(phase, DropReason.STOPPING)
            raise refused(reason, "the session ended before the turn did; the message is on disk", chat_id)
        recorded = await journal.turn(chat_id, found.turn)
        messages = () if recorded is None else recorded.messages
        text = "".join(message.text for message in messages if message.role == "assistant")
        return TurnResult(found.turn, found.status, found.reason, found.error, text)
