"""What a person asks of a session's queue, decided and ready to be written with whatever turn begins after it."""

from actors.core.commands import Accept, Begin, Cancel, Retry
from actors.core.decision import Policy
from actors.core.effects import Refusal
from actors.core.events import MessageAccepted
from actors.core.ids import DropReason, retry_key
from actors.ports import Recorded
from actors.runtime.acceptance import first_receipt
from actors.runtime.control import CancelTurn, ControlQueue, RetryTurn
from actors.runtime.group import Group
from actors.runtime.hydration import load_history
from actors.runtime.ref import Accepted, Ref
from actors.runtime.services import Services


async def manage(ref: Ref, services: Services, signal: CancelTurn | ControlQueue | RetryTurn, *, begins: bool) -> Group:
    """Decide a signal; ``begins`` says whether the session may begin a turn now.

    Raises StoreError if something has to be read for it and cannot be.
    """
    state = ref.state
    assert state is not None, "a session has recovered before it hears of anything"
    if begins and state.running is None:  # before the start is on disk: a turn that cannot run is not begun
        await load_history(ref, services)
    group = Group(state)
    now_s = services.clock.wall_s()
    match signal:
        case CancelTurn(turn=turn, reply=reply):
            refusal = group.add(Cancel(turn), services.policy, now_s)
            group.answers.append((reply, refusal is None))
        case ControlQueue():
            settle(group, signal, services.policy, now_s)
        case RetryTurn():
            group.answers.append((signal.reply, await _retry(ref, services, group, signal.turn)))
    if begins:
        group.add(Begin(), services.policy, now_s)
    return group


def settle(group: Group, signal: ControlQueue, policy: Policy, now_s: float) -> None:
    """Decide what needs nothing but the state; who asked is answered when it is on disk."""
    refusal = group.add(signal.command, policy, now_s)
    group.answers.append((signal.reply, refusal))


async def _retry(ref: Ref, services: Services, group: Group, turn: int) -> Accepted | Refusal:
    """Accept the messages of a turn again, once: a turn that was retried before gets the receipt of that."""
    first = await first_receipt(ref, services, retry_key(turn))
    if first is not None:
        return first
    recorded = _ended(await services.journal.turn(ref.chat_id, turn), turn)
    if isinstance(recorded, Refusal):
        return recorded
    said = [message for message in recorded.messages if message.role == "user"]
    messages = []
    for number, message in enumerate(said):
        event = (await services.journal.events(ref.chat_id, message.seq - 1, 1))[0]
        sender = event.body.sender if isinstance(event.body, MessageAccepted) else ""
        messages.append(Accept(retry_key(turn, number), message.text, sender))
    at = len(group.bodies)
    refusal = group.add(Retry(turn, tuple(messages)), services.policy, services.clock.wall_s())
    if refusal is not None:
        return refusal
    group.size_bytes += sum(len(message.text) for message in messages)
    accepted = group.bodies[at]
    assert isinstance(accepted, MessageAccepted), "the first event of a retry accepts a message"
    return Accepted(accepted.message_id, accepted.turn, ref.seq + at + 1, services.epoch)


def _ended(recorded: Recorded | None, turn: int) -> Recorded | Refusal:
    """Refuse to retry what is not there, has not ended, or did all that was asked of it."""
    if recorded is None:
        return Refusal(DropReason.NOT_RUNNING, f"there is no turn {turn}")
    status = recorded.found.status
    if status == "running":
        return Refusal(DropReason.TURN_RUNNING, f"turn {turn} is running")
    if status in {"queued", "completed"}:
        return Refusal(DropReason.NOT_RUNNING, f"turn {turn} is {status}")
    return recorded
