"""What the control lane carries; it is heard before messages, and while a turn runs."""

import attrs

from actors.core.commands import (
    Accept,
    Answer,
    DropReminder,
    Migrate,
    QueueCommand,
    ReplaceState,
    ResetBudget,
    SetReminder,
)
from actors.core.passivation import Reason
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
class ControlQueue:
    """Control: do something to the queue; ``reply`` is answered when it is on disk, with a refusal or None."""

    command: QueueCommand
    reply: Reply


@attrs.frozen
class RetryTurn:
    """Control: accept the messages of a turn that has ended again; ``reply`` gets a receipt or a refusal."""

    turn: int
    reply: Reply


@attrs.frozen
class AnswerPrompt:
    """Control: a person's answer to a prompt; ``reply`` is answered when it is on disk."""

    answer: Answer
    reply: Reply


@attrs.frozen
class Order:
    """Control: have a command decided and written; ``reply`` is answered with its refusal, or None once it is done."""

    command: SetReminder | DropReminder | ResetBudget | ReplaceState
    reply: Reply


@attrs.frozen
class Due:
    """Control: look what has fallen due in the session."""


@attrs.frozen
class ParentEnded:
    """Control: the turn that spawned the session has ended; what runs there is cancelled, and nothing more is taken."""


@attrs.frozen
class Prepare:
    """Control: have recovered, and the history at hand if ``history`` says so; ``reply`` is answered then."""

    reply: Reply
    history: bool = True


@attrs.define
class Passivate:
    """Control: end the incarnation if it is at rest, and keep the session on disk only; else the request is withdrawn.

    ``replies`` are told whether the session was put away.
    """

    reason: Reason
    replies: list[Reply] = attrs.Factory(list)

    def answer(self, *, put_away: bool) -> None:
        """Tell everybody who asked."""
        for reply in self.replies:
            reply.set(put_away)


@attrs.frozen
class MigrateTo:
    """Control: give the session another id; ``reply`` is answered, with a refusal or None, when that is on disk."""

    command: Migrate
    reply: Reply


@attrs.frozen
class EditFrom:
    """Control: cut the history at a turn, or at that of a message, and accept another message in its place.

    ``reply`` is answered with what is accepted, or with a refusal.
    """

    turn: int | str
    message: Accept
    reply: Reply


@attrs.frozen
class Suspend:
    """Control: take no message until further notice, or (``on`` is false) take them again."""

    on: bool
