"""What may be asked of a session and may be refused: the closed union of commands.

``Accept``, ``Answer`` and what is asked of the queue come from outside. The others come from the session's own actor
and its agent, and name the turn and the attempt they speak for, so that what an old attempt still says is recognised
and refused.
"""

from typing import Literal

import attrs
import msgspec

from actors.core.events import EventBody, Missed, SeedPart
from actors.core.ids import ChatId
from actors.core.lifecycle import ToolStatus, TurnStatus

OnInterrupted = Literal["mark", "ask", "retry", "continue"]
"""What becomes of a turn whose process ended; ``core/recovery`` has the table."""


class Seed(msgspec.Struct, frozen=True):
    """A message to put into the history of a session that is being created."""

    message_id: str
    role: str
    parts: tuple[SeedPart, ...]


@attrs.frozen
class Parent:
    """The session and the turn that spawned a session, how many ancestors that has, and what its parent calls it."""

    chat_id: ChatId
    turn: int
    depth: int
    name: str = ""


@attrs.frozen
class Create:
    """Bring a session into being, with the messages it starts from, as a child if there is a parent.

    A fork has the agent's ``state`` too; ``forked_from`` is the session whose history up to turn ``forked_at`` it has.
    ``overlap`` is its own policy, empty if its agent decides.
    """

    seeds: tuple[Seed, ...] = ()
    parent: Parent | None = None
    state: str | None = None
    forked_from: str = ""
    forked_at: int = 0
    overlap: str = ""


@attrs.frozen
class Migrate:
    """Give a draft the id that it was waiting for."""

    new_id: ChatId


class Accept(msgspec.Struct, frozen=True, gc=False):
    """Take a user's message and give it a turn.

    ``deadline_s`` is wall time; a turn that has not begun by then expires. ``minted`` says that the key is new and so
    need not be looked up.
    """

    message_id: str
    text: str
    sender: str = ""
    deadline_s: float | None = None
    minted: bool = False


@attrs.frozen
class Begin:
    """Start the next queued turn, if none runs."""


@attrs.frozen
class Emit:
    """Keep what the running attempt has said or done so far."""

    turn: int
    attempt: int
    bodies: tuple[EventBody, ...]


@attrs.frozen
class Ask:
    """Ask a person something on behalf of the running turn.

    A question that an earlier attempt has asked in the same words is not asked again: it is still open, or has its
    answer. ``taken`` are the numbers of the questions that this attempt has asked itself.
    """

    turn: int
    attempt: int
    type: str
    question: str
    choices: tuple[str, ...]
    bodies: tuple[EventBody, ...]
    expires_at_s: float | None = None
    default: str | None = None
    taken: frozenset[int] = frozenset()


@attrs.frozen
class Answer:
    """Answer an open prompt, of the running turn or of one that was interrupted."""

    turn: int
    prompt: int
    answer: str


@attrs.frozen
class Expire:
    """End a prompt whose time is up; nothing comes of it if it is not, or if it is not open."""

    turn: int
    prompt: int


@attrs.frozen
class Finish:
    """End the running turn: the rest of what it said, its state, its status.

    ``again`` says that the agent failed and is to try once more: only the attempt ends, and its turn is queued again.
    """

    turn: int
    attempt: int
    status: TurnStatus
    bodies: tuple[EventBody, ...] = ()
    state: str | None = None
    reason: str = ""
    error: str = ""
    begin_next: bool = True
    again: bool = False


@attrs.frozen
class ResetBudget:
    """Let the session spend its budget anew."""


@attrs.frozen
class Cancel:
    """Cancel a turn that is still queued."""

    turn: int


@attrs.frozen
class Pause:
    """Begin no turn from here on."""


@attrs.frozen
class Resume:
    """Let turns begin again."""


@attrs.frozen
class EditQueued:
    """Replace the text of a message whose turn has not begun; without an id, of the one that opened the turn."""

    turn: int
    text: str
    message_id: str = ""


@attrs.frozen
class Reorder:
    """Let turns that have not begun take each other's places, so that they stand in this order."""

    turns: tuple[int, ...]


@attrs.frozen
class Clear:
    """Cancel every turn that waits."""


@attrs.frozen
class Skip:
    """Cancel the turn that would begin next."""


@attrs.frozen
class Retry:
    """Accept the messages of a turn that has ended again, as one new turn, under keys made for it."""

    turn: int
    messages: tuple[Accept, ...]


@attrs.frozen
class Edit:
    """Cut the history at a turn, which stands at ``place``, and accept a message in its place.

    ``state`` is the agent's state as it was before the turn; it counts if the turn has ended. ``turns`` are turns at
    the place or behind it that have ended and left a question open.
    """

    turn: int
    place: int
    message: Accept
    state: str | None = None
    turns: tuple[int, ...] = ()


QueueCommand = Pause | Resume | EditQueued | Reorder | Clear | Skip
"""What may be asked of the queue of a session and needs nothing but its state."""


@attrs.frozen
class Recover:
    """Settle a turn that was running when its process ended or its actor crashed, as the policy says.

    Under every policy but ``mark`` it is begun again in some way while fewer than ``attempts_max`` attempts were begun.
    """

    on_interrupted: OnInterrupted
    attempts_max: int


@attrs.frozen
class SetReminder:
    """Have the session told ``text`` at wall time ``at_s`` and every ``every_s`` seconds after, whichever is given.

    Without ``at_s`` the first tick comes ``every_s`` from now, and a reminder that stands with all else equal is left
    as it is.
    """

    key: str
    text: str
    at_s: float | None
    every_s: float | None
    missed: Missed


@attrs.frozen
class DropReminder:
    """Call a reminder off."""

    key: str


@attrs.frozen
class Remind:
    """Fire the ticks that are due, at most ``ticks_max``; the messages of those in ``known`` are there already."""

    ticks_max: int
    known: frozenset[str] = frozenset()


@attrs.frozen
class CloseChild:
    """End what waits in a session whose parent's turn has ended; what runs there is cancelled through its task."""


@attrs.frozen
class ReplaceState:
    """Put another value in the place of the agent's own state, while no turn runs; JSON text. For debugging."""

    state: str


Command = (
    Create
    | Migrate
    | Accept
    | Begin
    | Emit
    | Ask
    | Answer
    | Expire
    | ResetBudget
    | Finish
    | Cancel
    | Recover
    | SetReminder
    | DropReminder
    | Remind
    | CloseChild
    | Pause
    | Resume
    | EditQueued
    | Reorder
    | Clear
    | Skip
    | Retry
    | Edit
    | ReplaceState
)

SEALED_CONTENT: dict[ToolStatus, str] = {
    ToolStatus.CANCELLED: "The call was cancelled before it had a result.",
    ToolStatus.INTERRUPTED: "The process ended before the call had a result; it may or may not have taken effect.",
    ToolStatus.ERROR: "The turn failed before the call had a result.",
}
"""What a model reads in place of the result of a call that never had one."""
