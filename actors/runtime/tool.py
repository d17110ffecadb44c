"""A tool as a turn runs it: an async function without arguments, and what came of it."""

from collections.abc import Awaitable, Callable

import attrs

ToolFunction = Callable[[], Awaitable[object]] | Callable[[], object]
"""What a tool does; what it returns is the outcome, an exception is an error outcome."""


@attrs.frozen
class ToolOutcome:
    """What came of a tool call: its text for the model, and whether it is an error."""

    content: str
    ok: bool = True
