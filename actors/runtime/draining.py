"""A session that is told to end and may finish first what it has: nothing more is taken, what is there goes on."""

from typing import Final

import trio

from actors.core.lifecycle import UP, SessionPhase
from actors.runtime.ref import Ref
from actors.runtime.registry import Registry

POLL_S: Final = 0.005
_BEGINNING: Final = frozenset({SessionPhase.ACTIVATING, SessionPhase.RESTARTING})
_AT_WORK: Final = frozenset(
    {SessionPhase.ACTIVE, SessionPhase.ACTIVATING, SessionPhase.SUSPENDED, SessionPhase.STOPPING}
)


async def drain(registry: Registry, ref: Ref, within_s: float) -> None:
    """Take nothing more in a session, and wait until it has finished what it has, at most so many seconds.

    New sends are refused as ``stopping`` at once, or once a session that is about to begin has begun. Queued turns run.
    A session that is not up has nothing to finish.
    """
    with trio.move_on_after(within_s):
        while ref.phase in _BEGINNING:  # noqa: ASYNC110 - as below
            await trio.sleep(POLL_S)
        if ref.phase in UP:
            registry.move(ref, "stop")
        while registry.get(ref.chat_id) is ref and _has_work(ref):  # noqa: ASYNC110 - rare and bounded; there is no one event to wait for
            await trio.sleep(POLL_S)


def is_busy(ref: Ref) -> bool:
    """Say whether a session has something under way that a short wait may see to its end."""
    return ref.phase in _AT_WORK and _is_moving(ref)


def _has_work(ref: Ref) -> bool:
    """Say whether a session that is told to end is not done yet: also with turns that wait for their start."""
    return _is_moving(ref) or bool(ref.state is not None and ref.state.open_turns)


def _is_moving(ref: Ref) -> bool:
    """Say whether anything of a session is on its way."""
    box = ref.mailbox
    waiting = box.messages and not ref.suspended  # one that is suspended will not come to them
    return bool(ref.turn or ref.writing or waiting or box.inner or box.control or not box.parked)
