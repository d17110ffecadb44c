"""Which children the turns of this life have: who is told when a turn ends, and what a child's work is caused by.

A child lives under a turn that runs in this life of the runtime. One that is not known here has lost its parent.
"""

from collections.abc import Callable, Iterable

from actors.core.envelope import Origin
from actors.core.ids import ChatId


class Kin:
    """The children of all turns that run; each is let go once, when its parent's turn ends."""

    def __init__(self) -> None:
        """Begin with none."""
        self._origins: dict[ChatId, Origin] = {}
        self.part: Callable[[ChatId], None] = lambda _: None
        """Tells a child that its parent's turn has ended."""

    def __len__(self) -> int:
        """Count the children whose parent's turn runs."""
        return len(self._origins)

    def adopt(self, child: ChatId, origin: Origin) -> None:
        """Take a child up, before it comes into being."""
        self._origins[child] = origin

    def origin_of(self, chat_id: ChatId) -> Origin | None:
        """Say what the work of a child is caused by; None for a session that is not one, or has lost its parent."""
        return self._origins.get(chat_id)

    def release(self, children: Iterable[ChatId]) -> None:
        """Let the children of a turn go that has ended; each is told."""
        for child in children:
            if self._origins.pop(child, None) is not None:
                self.part(child)
