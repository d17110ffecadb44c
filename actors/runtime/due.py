"""Something that waits for its moment and may be let go of before, so that what it holds need not wait with it."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Due(Generic[T]):
    """An item and what is to be called with it at a moment."""

    __slots__ = ("call", "due_s", "item")

    def __init__(self, due_s: float, item: T, call: Callable[[T], None]) -> None:
        """Hold the item until then; ``due_s`` is on the clock of whoever waits."""
        self.due_s = due_s
        self.item: T | None = item
        self.call = call

    def let_go(self) -> None:
        """Hold the item no longer: nothing is called when the moment comes."""
        self.item = None
