"""How a session at rest leaves memory: asked between two messages, and gone once nothing has come meanwhile."""

from actors.core.lifecycle import SessionPhase
from actors.core.passivation import Reason
from actors.core.supervision import DownReason
from actors.runtime.control import Passivate
from actors.runtime.mailbox import Reply
from actors.runtime.ref import Ref
from actors.runtime.registry import Registry
from actors.runtime.services import Services

_ASKABLE = frozenset({SessionPhase.ACTIVATING, SessionPhase.ACTIVE, SessionPhase.PASSIVATING})


def passivate(registry: Registry, services: Services, ref: Ref, reason: Reason, reply: Reply | None = None) -> None:
    """Have a session put away if it is at rest; ``reply`` is told whether it was.

    One that has no incarnation leaves at once; one that has decides in its own task, between two messages.
    """
    if ref.phase is SessionPhase.ABSENT and ref.at_rest:
        _leave(registry, services, ref, reason)
    elif ref.phase in _ASKABLE:
        asked = ref.mailbox.control.get(Passivate)
        signal = asked if isinstance(asked, Passivate) else Passivate(reason)
        if reply is not None:
            signal.replies.append(reply)
        ref.mailbox.post_control(Passivate, signal)
        return
    if reply is not None:
        reply.set(registry.get(ref.chat_id) is not ref)


def begin_rest(services: Services, ref: Ref, signal: Passivate, *, busy: bool) -> bool:
    """Say whether an incarnation that hears a request ends for a while; else the request is withdrawn.

    The request stays on the control lane until the supervisor has seen to it.
    """
    services.tracing.step(ref, "control", type(signal).__name__)
    del ref.mailbox.control[Passivate]
    if busy or not ref.at_rest:
        signal.answer(put_away=False)
        return False
    ref.mailbox.control[Passivate] = signal
    return True


def put_away(registry: Registry, services: Services, ref: Ref) -> bool:
    """Let a session leave memory whose incarnation has ended, or bring it up again for what came meanwhile (P3)."""
    signal = ref.mailbox.control.pop(Passivate, None)
    assert isinstance(signal, Passivate), "an incarnation leaves its request for its supervisor"
    ref.scope = None
    gone = ref.at_rest
    if gone:
        registry.move(ref, "put_away")
        _leave(registry, services, ref, signal.reason)
    else:
        registry.move(ref, "activate")
    signal.answer(put_away=gone)
    return gone


def _leave(registry: Registry, services: Services, ref: Ref, reason: Reason) -> None:
    """Take a session out of memory, count it and log it."""
    registry.put_away(ref)
    registry.note_end(ref, services.clock.now_s())
    services.accounts.counts.passivations += 1
    services.monitors.tell(ref.chat_id, DownReason.PASSIVATED, ref.incarnation)
    services.recorder.record("debug", "session.passivated", chat_id=ref.chat_id, seq=ref.seq, reason=reason)
