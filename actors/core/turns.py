"""A turn that has not ended as a value: what waits, what runs, and what is open in it."""

from typing import Final

import attrs

from actors.core.events import AnsweredPrompt
from actors.core.lifecycle import TurnStatus


@attrs.frozen
class Recorded:
    """What a person has answered to a question of this turn, in whichever attempt: nobody is asked that twice."""

    prompt: int
    type: str
    question: str
    choices: tuple[str, ...]
    answer: str


@attrs.frozen
class UserMessage:
    """A message that came into a turn after the one that opened it; ``seq`` is the event that accepted it."""

    message_id: str
    text: str
    sender: str = ""
    deadline_s: float | None = None
    seq: int = 0


@attrs.frozen
class Background:
    """What is known of a turn besides its message; of most turns nothing is.

    ``answers`` is the question of an earlier turn that its message answers; ``recorded`` are the answers it has got.
    What attempts said from ``first_attempt`` on is kept (0: nothing is): so many messages and so many calls; among
    their words stand ``steered``, messages that they have taken.
    """

    answers: AnsweredPrompt | None = None
    recorded: tuple[Recorded, ...] = ()
    first_attempt: int = 0
    messages: int = 0
    calls: int = 0
    steered: tuple[UserMessage, ...] = ()


NOTHING_KNOWN = Background()

SUPERSEDED: Final = "superseded"
"""The reason with which a turn ends that a newer message has put an end to."""

ROLLED_BACK: Final = "rolled_back"
"""The same, for a turn that leaves the transcript as well."""


@attrs.frozen
class QueuedTurn:
    """An accepted message that waits, and the number of the event that accepted it.

    ``attempts`` were begun before and were interrupted; they asked ``prompts`` questions. ``more`` are messages that
    came after it and belong to the same turn. ``place`` is where the turn stands in the order of execution and in the
    transcript: its number, unless the queue was reordered.
    """

    turn: int
    message_id: str
    text: str
    sender: str = ""
    deadline_s: float | None = None
    attempts: int = 0
    seq: int = 0
    prompts: int = 0
    background: Background = NOTHING_KNOWN
    more: tuple[UserMessage, ...] = ()
    place: int = attrs.Factory(lambda queued: queued.turn, takes_self=True)

    @property
    def ended_attempt(self) -> int:
        """The attempt that the end of this turn names while it is queued: the last one that is kept, 0 if none is."""
        return self.attempts if self.background.first_attempt else 0

    @property
    def messages(self) -> tuple[UserMessage, ...]:
        """All messages that open the turn, the first of them first."""
        return (UserMessage(self.message_id, self.text, self.sender, self.deadline_s, self.seq), *self.more)

    @property
    def moved_to(self) -> int:
        """Where the turn stands if that is not the place of its number, else 0; as a message of it says."""
        return 0 if self.place == self.turn else self.place

    @property
    def begun(self) -> bool:
        """Whether an attempt of the turn was under way before."""
        return self.attempts > 0


@attrs.frozen
class OpenPart:
    """The part that is still growing, as far as it is on disk."""

    message: int
    part: int
    type: str
    offset: int


@attrs.frozen
class OpenCall:
    """A tool call without an outcome."""

    call: int
    call_id: str
    name: str


@attrs.frozen
class OpenPrompt:
    """A question that nobody has answered: the number of its turn, its own, and what was asked."""

    turn: int
    prompt: int
    type: str
    question: str
    choices: tuple[str, ...]
    expires_at_s: float | None = None
    default: str | None = None


@attrs.frozen
class RunningTurn:
    """The turn whose attempt is under way. ``messages`` counts those the attempt has on disk.

    ``steering`` are messages that were handed to it and wait to be taken, ``steered`` those that the attempt has taken.
    ``ending`` says how it will end whatever its agent does, since a newer message wants it to: ``superseded`` or
    ``rolled_back``.
    """

    queued: QueuedTurn
    attempt: int
    messages: int = 0
    part: OpenPart | None = None
    calls: tuple[OpenCall, ...] = ()
    calls_total: int = 0
    prompts: tuple[OpenPrompt, ...] = ()
    prompts_total: int = 0
    steering: tuple[UserMessage, ...] = ()
    steered: tuple[UserMessage, ...] = ()
    ending: str = ""

    @property
    def turn(self) -> int:
        """The number of the turn."""
        return self.queued.turn

    @property
    def status(self) -> TurnStatus:
        """Waiting while a tool or a person has not answered, else running."""
        return TurnStatus.WAITING if self.calls or self.prompts else TurnStatus.RUNNING
