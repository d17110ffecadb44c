"""The end of a mailbox: everything in it is answered or becomes a dead letter, and nobody is left waiting."""

from actors.core.commands import Accept
from actors.core.dead_letter import carried_by
from actors.core.envelope import Envelope
from actors.core.ids import DropReason
from actors.errors import ActorsError, AskError
from actors.runtime.control import (
    AnswerPrompt,
    CancelTurn,
    ControlQueue,
    EditFrom,
    MigrateTo,
    Order,
    Passivate,
    Prepare,
    RetryTurn,
)
from actors.runtime.mailbox import Letter, Request
from actors.runtime.ref import Ref
from actors.runtime.refusals import refused
from actors.runtime.registry import Registry
from actors.runtime.services import Services


def close(services: Services, registry: Registry, ref: Ref, reason: DropReason) -> None:
    """Close a session's mailbox for a reason; everything in it is answered or becomes a dead letter."""
    for letter in ref.mailbox.close(reason):
        _settle(services, ref, letter, reason)
    for signal in list(ref.mailbox.control.values()):
        match signal:
            case CancelTurn(reply=reply):
                reply.set(False)
            case (
                AnswerPrompt(reply=reply)
                | ControlQueue(reply=reply)
                | RetryTurn(reply=reply)
                | Order(reply=reply)
                | Prepare(reply=reply)
                | MigrateTo(reply=reply)
                | EditFrom(reply=reply)
            ):
                reply.fail(refused(reason, chat_id=ref.chat_id))
            case Passivate():
                signal.answer(put_away=False)
            case _:
                pass
    ref.mailbox.control.clear()
    ref.mailbox.inner.clear()
    ref.release_waiters()
    registry.retire(ref)


def _settle(services: Services, ref: Ref, letter: Letter, reason: DropReason) -> None:
    """Account for a letter that will not be handled."""
    kind = "tell" if not isinstance(letter, Request) else "accept" if type(letter.payload) is Accept else "ask"
    ref.dead += 1
    envelope = letter if isinstance(letter, Envelope) else letter.envelope
    services.accounts.bury(ref.chat_id, reason, kind, letter.size_bytes, carried_by(envelope))
    if isinstance(letter, Request):
        error: ActorsError = refused(reason, chat_id=ref.chat_id)
        if not isinstance(letter.payload, Accept):
            error = AskError(str(error), outcome="not_started", chat_id=ref.chat_id)
        letter.reply.fail(error)
