"""The steps of a play: what a person, an agent or time may do to a session, as data."""

from typing import Literal

import attrs

from actors.core.commands import OnInterrupted, QueueCommand
from actors.core.events import Missed
from actors.core.lifecycle import TurnStatus

Kind = Literal["text", "thinking"]
FinishStatus = Literal[TurnStatus.COMPLETED, TurnStatus.FAILED, TurnStatus.CANCELLED, TurnStatus.INTERRUPTED]


@attrs.frozen
class Send:
    """A person sends a message, which expires ``patience_s`` from now if it has not begun."""

    patience_s: float | None = None


@attrs.frozen
class Withdraw:
    """A person cancels a turn, counted back from the newest."""

    back: int


@attrs.frozen
class Say:
    """The agent says something; nothing is handed to the journal yet."""

    kind: Kind
    text: str


@attrs.frozen
class Checkpoint:
    """What was said goes to the journal."""


@attrs.frozen
class Call:
    """The agent calls tools, several at once; their ids may repeat."""

    call_ids: tuple[str, ...]


@attrs.frozen
class Return:
    """One of the open calls gets its outcome."""

    pick: int
    ok: bool


@attrs.frozen
class Question:
    """The agent asks a person, who has ``patience_s`` to answer before it expires."""

    choices: tuple[str, ...] = ()
    patience_s: float | None = None
    default: str | None = None


@attrs.frozen
class Reply:
    """A person answers one of the open prompts, or one that is not open if there is none."""

    pick: int
    answer: str


@attrs.frozen
class Lapse:
    """The time to answer one of the open prompts is said to be over."""

    pick: int


@attrs.frozen
class End:
    """The agent's task ends."""

    status: FinishStatus
    state: str | None = None
    begin_next: bool = True
    again: bool = False


@attrs.frozen
class Die:
    """The process ends and comes again: what was not handed to the journal is lost."""

    policy: OnInterrupted
    attempts_max: int = 2


@attrs.frozen
class Start:
    """The next turn is begun, if there is one."""


@attrs.frozen
class Pass:
    """Time passes."""

    seconds: float


@attrs.frozen
class TakeSteering:
    """The agent takes the messages that were handed to its turn."""


@attrs.frozen
class Control:
    """A person asks something of the queue."""

    command: QueueCommand


@attrs.frozen
class Edit:
    """A person edits a message that waits: the one so far back, or one of a turn that has begun."""

    back: int


@attrs.frozen
class Shuffle:
    """A person reorders the turns that wait and have not begun, by turning their order round so far."""

    by: int


@attrs.frozen
class Again:
    """A person has a turn that has ended tried again: the one so far back, if it did not complete."""

    back: int


@attrs.frozen
class Late:
    """An attempt that is over still wants something written."""


@attrs.frozen
class Note:
    """A person sets a reminder, or calls it off if ``in_s`` is None."""

    key: str
    in_s: float | None
    every_s: float | None = None
    missed: Missed = "one"


@attrs.frozen
class Tick:
    """The due ticks are fired, but for those whose messages are in the journal already."""


Step = (
    Send
    | Withdraw
    | Say
    | Checkpoint
    | Call
    | Return
    | Question
    | Reply
    | Lapse
    | TakeSteering
    | End
    | Die
    | Start
    | Pass
    | Late
    | Note
    | Tick
    | Control
    | Edit
    | Shuffle
    | Again
    | Late
)
