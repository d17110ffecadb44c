"""What a turn needs of its session: the port that an attempt fills, so that a turn can be tried out alone."""

from typing import Protocol, TypeVar

from actors.core.draft import Segment
from actors.core.envelope import Origin
from actors.core.events import EventBody
from actors.core.spending import Allowance
from actors.core.transcript import History, Message
from actors.errors import DriftError
from actors.runtime.mailbox import Reply
from actors.runtime.question import Question
from actors.runtime.ref import Ref
from actors.runtime.sent import Child, Sent
from actors.runtime.workers import Workers

T_contra = TypeVar("T_contra", contravariant=True)
"""The turn; its module stands above this one."""


class TurnPort(Protocol[T_contra]):
    """What a turn needs of its session, ``ref``; the actor gives it."""

    ref: Ref

    def said(self, turn: T_contra, segment: Segment, size: int) -> None:
        """Show the last piece of a segment at once, and see to its checkpoint."""
        ...

    def progress(self, turn: T_contra, name: str, value: str) -> None:
        """Show something that is not kept."""
        ...

    def drifted(self, turn: T_contra, running: str) -> DriftError:
        """Count output that came from the code of another session, and return its error."""
        ...

    def late(self, turn: T_contra) -> None:
        """Count output that came after the turn had ended."""
        ...

    async def emit(self, turn: T_contra, bodies: tuple[EventBody, ...]) -> None:
        """Write events of the turn and wait until they are on disk."""
        ...

    async def ask(self, turn: T_contra, question: Question, bodies: tuple[EventBody, ...], waiting: Reply) -> int:
        """Open a prompt and return its number once it is on disk; ``waiting`` gets the answer."""
        ...

    async def make_room(self, turn: T_contra) -> None:
        """Wait until more of what the turn has said is on disk."""
        ...

    def steering(self, turn: T_contra) -> tuple[Message, ...]:
        """List the messages that were handed to the turn and that it may take now."""
        ...

    def history(self, turn: T_contra) -> History:
        """Return what went before, and the turn's own messages."""
        ...

    def waits(self, turn: T_contra) -> None:
        """Let the clock of a turn stand still while it waits for a person, and go on when it does not."""
        ...

    def allowance(self) -> Allowance | None:
        """Return what a session may spend."""
        ...

    def workers(self) -> Workers:
        """Return the threads for blocking calls."""
        ...

    def origin(self, turn: T_contra) -> Origin:
        """Say what caused the turn."""
        ...

    async def spawn(self, turn: T_contra, text: object, name: str) -> Child:
        """Bring a child into being and give it a message."""
        ...

    async def send(self, turn: T_contra, chat_id: object, text: object, message_id: object) -> Sent:
        """Have a message accepted by another session."""
        ...

    async def ask_chat(self, turn: T_contra, chat_id: object, payload: object, timeout_s: float | None) -> object:
        """Ask the handler of another session."""
        ...
