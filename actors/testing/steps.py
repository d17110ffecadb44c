"""What an agent may do in a turn, right or wrong: the closed vocabulary of scripts."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import attrs
import trio

from actors.runtime.turn import Turn


@attrs.frozen
class Say:
    """Write a text in so many pieces, ``every_s`` seconds before each."""

    text: str
    pieces: int = 1
    every_s: float = 0.0


@attrs.frozen
class Think:
    """Show a piece of thinking."""

    text: str


@attrs.frozen
class Call:
    """Call a tool that takes ``seconds``; without a result the call is left open. It is ended ``times`` times."""

    name: str
    arguments: object = None
    result: str | None = "done"
    ok: bool = True
    seconds: float = 0.0
    times: int = 1


@attrs.frozen
class Ask:
    """Ask a person; the answer is kept in ``ScriptedAgent.answers``."""

    question: str
    kind: Literal["permission", "choice", "text"] = "text"
    choices: tuple[str, ...] = ()
    expires_s: float | None = None
    default: str | None = None


@attrs.frozen
class TakeSteering:
    """Take the messages that were handed to the turn; their texts are kept in ``ScriptedAgent.steering``."""


@attrs.frozen
class Wait:
    """Wait so many seconds, or for an event that the test sets."""

    until: float | trio.Event


@attrs.frozen
class Raise:
    """Raise an exception, given as an instance or a type: of any kind, groups included."""

    error: BaseException | type[BaseException]


@attrs.frozen
class RaiseStray:
    """Raise a ``trio.Cancelled`` that belongs to no scope any more: alone, or in a group beside other errors."""

    beside: tuple[BaseException, ...] = ()
    grouped: bool = False


@attrs.frozen
class Hang:
    """Wait for ever; a cancellation is heard."""


@attrs.frozen
class Shield:
    """Wait so many seconds without hearing a cancellation."""

    seconds: float


@attrs.frozen
class IgnoreCancel:
    """Wait to be cancelled, swallow it, stay for ``seconds``, and write ``text`` as if nothing had happened.

    What the writing raises is kept in ``ScriptedAgent.errors`` and swallowed too.
    """

    seconds: float = 0.0
    text: str = ""


@attrs.frozen
class Flood:
    """Write the same piece of text so many times."""

    pieces: int
    text: str = "x"


@attrs.frozen
class SaveState:
    """Replace the agent's state of the session."""

    value: object


@attrs.frozen
class LateWrite:
    """Keep the turn; ``ScriptedAgent.write_late`` writes the text to it, whenever the test calls it."""

    text: str


@attrs.frozen
class Do:
    """Call an async function of the turn: whatever no other step does."""

    function: Callable[[Turn], Awaitable[object]]


@attrs.frozen
class Return:
    """Return a text from the agent; what comes after it in the script is not done."""

    text: str


Step = (
    Say | Think | Call | Ask | Wait | Raise | RaiseStray | Hang | Shield | IgnoreCancel | Flood | SaveState | LateWrite
    | TakeSteering | Do | Return
)  # fmt: skip
"""Something an agent does in a turn."""

Script = Sequence[Step]
ScriptKey = str | tuple[str, int] | tuple[str, int, int]
"""What a script is for: every turn of a chat, one turn of it, or one attempt of one turn."""
