"""What a session has spent, and what it may: tokens, cost and turns, counted exactly.

Cost is counted in millionths of whatever unit the host reckons in: sums of decimal fractions do not come out even.
"""

from typing import Final

import attrs

from actors.core.events import EventBody, UsageAdded
from actors.errors import ConfigurationError

MILLIONTHS: Final = 1_000_000
COST_MAX: Final = 1e12
"""Beyond it a cost could not be counted to its millionth."""
TOKENS_MAX: Final = 10**15
TOTAL_MAX: Final = 1 << 60
"""Where counting stops: two of it are a number that a store can still hold, so no sum fails."""


@attrs.frozen
class Usage:
    """What a session has spent since its budget was set anew, when it had accepted ``turns_before`` turns."""

    tokens: int = 0
    cost_millionths: int = 0
    turns_before: int = 0

    def plus(self, more: "Usage") -> "Usage":
        """Add what was spent besides; a total stays where counting stops."""
        tokens = min(self.tokens + more.tokens, TOTAL_MAX)
        return Usage(tokens, min(self.cost_millionths + more.cost_millionths, TOTAL_MAX), self.turns_before)

    @property
    def cost(self) -> float:
        """The cost in the host's unit."""
        return self.cost_millionths / MILLIONTHS


NOTHING_SPENT: Final = Usage()


@attrs.frozen
class Allowance:
    """What each session of a runtime may spend; None is no bound."""

    tokens_max: int | None = None
    cost_millionths_max: int | None = None
    turns_max: int | None = None

    def spent(self, usage: Usage) -> str:
        """Say what of tokens and cost is used up, empty if nothing is."""
        if self.tokens_max is not None and usage.tokens >= self.tokens_max:
            return f"{usage.tokens} of {self.tokens_max} tokens are spent"
        if self.cost_millionths_max is not None and usage.cost_millionths >= self.cost_millionths_max:
            return f"{usage.cost:g} of a cost of {self.cost_millionths_max / MILLIONTHS:g} is spent"
        return ""

    def refuses(self, usage: Usage, turns: int) -> str:
        """Say why a session that has accepted so many turns may not begin another, empty if it may."""
        begun = turns - usage.turns_before
        if self.turns_max is not None and begun >= self.turns_max:
            return f"{begun} of {self.turns_max} turns are spent"
        return self.spent(usage)


def millionths(cost: float) -> int:
    """Turn a cost into millionths, to the nearest."""
    return round(cost * MILLIONTHS)


def checked_usage(tokens: object, cost: object, chat_id: object) -> Usage:
    """Make a usage of what a turn says it has spent. Raises ConfigurationError for what is no such number."""
    counted = type(tokens) is int and 0 <= tokens < TOKENS_MAX
    if not counted or isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < COST_MAX:
        message = f"tokens is {tokens!r:.40} and cost is {cost!r:.40}"
        raise ConfigurationError(message, chat_id=chat_id, hint="give a whole number and a number, both from 0")
    assert isinstance(tokens, int), "it was counted above"
    return Usage(tokens, millionths(cost))


def add_usage(bodies: list[EventBody], turn: int, more: Usage) -> None:
    """Add what a turn has spent to what it has not had written yet; an agent that only spends fills no memory."""
    last = bodies[-1] if bodies else None
    if isinstance(last, UsageAdded):
        del bodies[-1]
        more = more.plus(Usage(last.tokens, last.cost_millionths))
    bodies.append(UsageAdded(turn, more.tokens, more.cost_millionths))
