"""What the control lane carries; it is heard before messages, and while a turn runs."""

import attrs

from actors.core.commands import Answer
from actors.runtime.mailbox import Reply


@attrs.frozen
class Stop:
    """Control: end the incarnation; a running turn is ended as interrupted, for ``reason``."""

    reason: str


@attrs.frozen
class Delete:
    """Control: end the incarnation and erase the session; a running turn is cancelled."""


@attrs.frozen
class CancelTurn:
    """Control: cancel one turn, queued or running; ``reply`` tells at once whether it was open."""

    turn: int
    reply: Reply


@attrs.frozen
class AnswerPrompt:
    """Control: a person's answer to a prompt; ``reply`` is answered when it is on disk."""

    answer: Answer
    reply: Reply


@attrs.frozen
class Prepare:
    """Control: have recovered, and the history at hand if ``history`` says so; ``reply`` is answered then."""

    reply: Reply
    history: bool = True
