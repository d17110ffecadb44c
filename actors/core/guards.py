"""What a model in a loop does, and where it is stopped: hops, calls that are repeated, replies that are empty.

One ``Guards`` watches one attempt of a turn. It only counts; whoever holds it asks before each step and stops the agent
at the first bound that is broken, for good.
"""

import enum
from collections.abc import Sequence

import attrs

from actors.core.limits import Limits
from actors.core.spending import Allowance, Usage


class Guard(enum.StrEnum):
    """Which bound was broken: the reason with which the turn ends."""

    HOPS = "hops"
    TOOL_CALLS = "tool_calls"
    FAILING_CALLS = "failing_calls"
    SAME_CALLS = "same_calls"
    EMPTY_REPLIES = "empty_replies"
    PROMPTS = "prompts"
    BUDGET = "budget"


@attrs.frozen
class Violation:
    """A bound that was broken, and how, in a sentence without anybody's text."""

    guard: Guard
    detail: str


class Guards:
    """What one attempt has done so far, and the first bound that it has broken."""

    __slots__ = ("_calls", "_empty", "_failed", "_limits", "_marked", "_said", "_same", "_waits", "broken", "hops")

    def __init__(self, limits: Limits) -> None:
        """Start with nothing done."""
        self._limits = limits
        self._marked = False
        self._said = 0
        self._empty = 0
        self._waits = False
        self._calls: dict[int, int] = {}
        self._same: dict[int, int] = {}  # a Counter costs every turn ten times as much to make
        self._failed: dict[int, int] = {}
        self.hops = 0
        self.broken: Violation | None = None

    def hop(self, said: int) -> None:
        """Mark a round of the model; ``said`` counts everything the attempt has said and called by now.

        Rounds that the agent marks are counted; of one that marks none, each batch of calls counts as one.
        """
        if not self._marked:
            self._marked = True
            self.hops = 0
        self._empty = self._empty + 1 if self._waits and said == self._said else 0
        self._said, self._waits = said, True
        if self._empty > self._limits.empty_replies_max:
            self._break(Guard.EMPTY_REPLIES, f"{self._empty} replies of the model in a row are empty")
        self._hop()

    def call(self, calls: Sequence[tuple[str, str]], first: int, *, interactive: bool) -> None:
        """Hear of a batch of calls, each a name and its arguments; the first has the number ``first``.

        ``interactive`` calls talk to a person, who may well be asked the same again.
        """
        if not self._marked:
            self._hop()
        if first + len(calls) > self._limits.tool_calls_max:
            self._break(Guard.TOOL_CALLS, f"a turn may make {self._limits.tool_calls_max} tool calls")
        for number, call in enumerate(() if interactive else calls, first):
            key = hash(call)
            self._calls[number] = key
            same = self._same[key] = self._same.get(key, 0) + 1
            failed = self._failed.get(key, 0)
            if failed >= self._limits.failing_calls_max:
                self._break(Guard.FAILING_CALLS, f"the same call has failed {failed} times")
            if same > self._limits.same_calls_max:
                self._break(Guard.SAME_CALLS, f"the same call was made {same} times")

    def ended(self, number: int, *, ok: bool) -> None:
        """Hear of the outcome of a call."""
        key = self._calls.pop(number, None)
        if key is not None and not ok:
            self._failed[key] = self._failed.get(key, 0) + 1

    def ask(self, asked: int) -> None:
        """Hear that a person is to be asked; ``asked`` counts the questions of this attempt before."""
        if asked >= self._limits.prompts_max:
            self._break(Guard.PROMPTS, f"a turn may ask {self._limits.prompts_max} questions")

    def spend(self, usage: Usage, allowance: Allowance | None) -> None:
        """Hear what the session has spent by now."""
        spent = "" if allowance is None else allowance.spent(usage)
        if spent:
            self._break(Guard.BUDGET, spent)

    def _hop(self) -> None:
        """Count a round."""
        self.hops += 1
        if self.hops > self._limits.hops_max:
            self._break(Guard.HOPS, f"a turn may take {self._limits.hops_max} hops")

    def _break(self, guard: Guard, detail: str) -> None:
        """Note the first bound that is broken."""
        if self.broken is None:
            self.broken = Violation(guard, detail)
