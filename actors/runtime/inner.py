"""What comes through a mailbox's inner door: the words of the session's own turn."""

import attrs

from actors.core.commands import Ask, Emit
from actors.core.lifecycle import TurnStatus
from actors.runtime.mailbox import Reply
from actors.runtime.turn import Turn


@attrs.frozen
class Written:
    """Inner: events of the running turn to be written; ``reply`` is answered when they are.

    ``waiting`` is the slot for a person's answer, if this is a question.
    """

    command: Emit | Ask
    reply: Reply
    waiting: Reply | None = None


@attrs.frozen
class Flush:
    """Inner: take what the turn has said so far to the journal."""

    turn: Turn


@attrs.frozen
class Done:
    """Inner: the agent's task has ended, or was given up (``abandoned``)."""

    turn: Turn
    status: TurnStatus
    reason: str = ""
    error: str = ""
    crash: BaseException | None = None
