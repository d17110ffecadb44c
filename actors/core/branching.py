"""Which part of a history goes into a branch: whole turns that have ended, up to one of them, and the state of then.

A running turn is never cut: what it goes on to say would belong to nobody. What the branch begins with is a history of
its own, so nothing that happens to one session reaches the other afterwards.
"""

from typing import Final

import attrs

from actors.core.commands import Seed
from actors.core.effects import Refusal
from actors.core.events import Event, SeedPart, StateSaved
from actors.core.ids import DropReason
from actors.core.state import SessionState, evolve
from actors.core.transcript import Message, Transcript, turn_place

_BEHIND: Final = 1 << 62
"""Behind every place."""


@attrs.frozen
class Prefix:
    """What a branch begins with: the messages up to and with ``turn``, and the agent's state as it was then.

    The session's own overlap policy goes with it.
    """

    turn: int
    seeds: tuple[Seed, ...]
    saved: str | None
    overlap: str = ""


@attrs.define
class Prefixes:
    """A history, folded event by event, of which prefixes can be taken."""

    state: SessionState
    _transcript: Transcript = attrs.Factory(Transcript)
    _saved: dict[int, str] = attrs.Factory(dict)

    def add(self, event: Event) -> None:
        """Take one more event, in order."""
        self.state = evolve(self.state, event.body)
        self._transcript.add(event)
        if isinstance(event.body, StateSaved):
            self._saved[event.body.turn] = event.body.state

    @property
    def messages_total(self) -> int:
        """Count the messages of turns that have ended, those from before the first turn included."""
        return len(self._transcript.ended())

    def up_to(self, turn: int | None) -> Prefix | Refusal:
        """Take the prefix that ends with a turn; without one, with the last that no open turn stands before.

        Turn 0 stands for what was there before the first turn.
        """
        ended = self._transcript.ended()
        first_open = min((queued.place for queued in self.state.open_turns), default=_BEHIND)
        before = [message for message in ended if turn_place(message) < first_open]
        if turn is None:
            turn = before[-1].turn if before else 0
        last = next((turn_place(message) for message in before if message.turn == turn), None)
        if turn and last is None:
            ends = any(message.turn == turn for message in ended)
            words = "stands behind one that has not ended" if ends else "is not in the history"
            if any(queued.turn == turn for queued in self.state.open_turns):
                words = "has not ended"
            return Refusal(DropReason.INVALID_PAYLOAD, f"turn {turn} {words}")
        kept = [message for message in before if turn_place(message) <= (last or 0)]
        turns = {0, *(message.turn for message in kept)}
        saved = [state for number, state in self._saved.items() if number in turns]
        seeds = tuple(_seed(number, message) for number, message in enumerate(kept))
        return Prefix(turn, seeds, saved[-1] if saved else None, self.state.standing.overlap)


def _seed(number: int, message: Message) -> Seed:
    """Make of a message one that a history begins with, under a name that no turn of the branch will make."""
    parts = tuple(SeedPart(part.kind, part.text, part.name, part.call_id, part.status) for part in message.parts)  # type: ignore[arg-type]  # a part has one of these kinds
    return Seed(f"seed/{number}", message.role, parts)
