"""Which session's code runs now: known only so that speaking for another session is noticed, never to find one.

Dispatch is by ``chat_id`` alone; nothing looks here to decide where something goes. Code that runs outside of every
session, as the host's own does, may speak for any.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

from actors.core.ids import ChatId, DropReason, parse_chat_id
from actors.errors import DriftError
from actors.runtime.ref import Ref

RUNNING: Final[ContextVar[Ref | None]] = ContextVar("actors_running_session", default=None)
"""The session whose agent or handler runs in this task, or has started it; None outside of them."""


def foreign(named: object, aliases: Mapping[str, ChatId]) -> str:
    """Return the session whose code runs if ``named`` is an id of another one; empty if nothing is wrong.

    ``aliases`` lead from the ids that sessions had before to those they have now.
    """
    running = RUNNING.get()
    if running is None or named == running.chat_id:
        return ""
    parsed = parse_chat_id(named)
    if isinstance(parsed, DropReason) or aliases.get(parsed, parsed) == running.chat_id:
        return ""
    return running.chat_id


def drifted(running: str, spoken_for: object) -> DriftError:
    """Build the error of code that speaks for another session than its own."""
    message = f"code of session {running} spoke for another session"
    hint = "use the turn and the session it was given; start what serves several sessions outside of all of them"
    return DriftError(message, chat_id=spoken_for, hint=hint)
