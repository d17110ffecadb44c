"""Which part of a history goes into a branch: whole turns that have ended, up to one of them, and the state of then.

A running turn is never cut: what it goes on to say would belong to nobody. What the branch begins with is a history of
its own, so nothing that happens to one session reaches the other afterwards.
"""

import attrs

from actors.core.commands import Seed
from actors.core.effects import Refusal
from actors.core.events import Event, SeedPart, StateSaved
from actors.core.ids import DropReason
from actors.core.state import SessionState, evolve
from actors.core.transcript import Message, Transcript


@attrs.frozen
class Prefix:
    """What a branch begins with: the messages up to and with ``turn``, and the agent's state as it was then."""

    turn: int
    seeds: tuple[Seed, ...]
    saved: str | None


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
        first_open = min((queued.turn for queued in self.state.open_turns), default=self.state.turns + 1)
        if turn is None:
            turn = max((message.turn for message in ended if message.turn < first_open), default=0)
        elif turn >= first_open:
            words = "has not ended" if turn <= self.state.turns else "does not exist"
            return Refusal(DropReason.INVALID_PAYLOAD, f"turn {turn} {words}, or stands behind one that has not ended")
        elif turn and all(message.turn != turn for message in ended):
            return Refusal(DropReason.INVALID_PAYLOAD, f"turn {turn} is not in the history")
        kept = [message for message in ended if message.turn <= turn]
        turns = {0, *(message.turn for message in kept)}
        saved = [state for number, state in self._saved.items() if number in turns]
        seeds = tuple(_seed(number, message) for number, message in enumerate(kept))
        return Prefix(turn, seeds, saved[-1] if saved else None)


def _seed(number: int, message: Message) -> Seed:
    """Make of a message one that a history begins with, under a name that no turn of the branch will make."""
    parts = tuple(SeedPart(part.kind, part.text, part.name, part.call_id, part.status) for part in message.parts)  # type: ignore[arg-type]  # a part has one of these kinds
    return Seed(f"seed/{number}", message.role, parts)
