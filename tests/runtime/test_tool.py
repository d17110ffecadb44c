"""A tool call has one outcome: what its function returns, or the name of what it raised."""

from collections.abc import Callable

import attrs
import pytest
from trio.testing import MockClock

from actors import ToolCall, ToolOutcome, TurnOverError
from actors.core.ids import ChatId


class Ends:
    """Notes the outcomes, and runs plain functions in place."""

    def __init__(self) -> None:
        """Start with none."""
        self.seen: list[tuple[int, str, bool]] = []
        self.offloaded = 0

    async def end(self, number: int, content: str, ok: bool) -> ToolOutcome:  # noqa: FBT001 - as the turn has it
        """Note an outcome."""
        self.seen.append((number, content, ok))
        return ToolOutcome(content, ok)

    async def offload(self, function: Callable[[], object]) -> object:
        """Call a plain function."""
        self.offloaded += 1
        return function()

    def call(self) -> ToolCall:
        """Make a call."""
        return ToolCall(ChatId("live:a"), 3, "look", end=self.end, offload=self.offload)


async def give() -> object:
    """Return what is no text."""
    return {"found": 1}


async def fail() -> object:
    """Raise with a private text."""
    raise ValueError("private")


@pytest.mark.parametrize(
    ("function", "content", "ok", "offloaded"),
    [
        (give, '{"found": 1}', True, 0),
        (lambda: "text", "text", True, 1),
        (lambda: give(), '{"found": 1}', True, 1),  # noqa: PLW0108 - a plain function that gives an awaitable
        (fail, "ValueError", False, 0),
        (lambda: 1 // 0, "ZeroDivisionError", False, 1),
        (object, "TypeError", False, 1),
    ],
)
async def test_a_function_gives_a_call_its_outcome(
    function: Callable[[], object],
    content: str,
    ok: bool,  # noqa: FBT001 - what is expected
    offloaded: int,
    autojump_clock: MockClock,
) -> None:
    """Async ones are awaited, plain ones offloaded; what raises is an error outcome without its text."""
    ends = Ends()
    assert await ends.call().run(function) == ToolOutcome(content, ok)
    assert ends.seen == [(3, content, ok)]
    assert ends.offloaded == offloaded


async def test_a_call_that_has_its_outcome_gets_no_second_one(autojump_clock: MockClock) -> None:
    """It says which call it was."""
    ends = Ends()
    call = ends.call()
    await call.end("done")
    with pytest.raises(TurnOverError, match=r"tool call 3 \(look\) has its outcome already"):
        await call.end("again")
    assert ends.seen == [(3, "done", True)]


def test_an_outcome_is_good_unless_it_says_otherwise_and_never_changes() -> None:
    """What a model was told stays what it was told."""
    outcome = ToolOutcome("found")
    assert (outcome.ok, outcome) == (True, ToolOutcome("found", ok=True))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(outcome, "content", "other")  # noqa: B010 - the point of the test
