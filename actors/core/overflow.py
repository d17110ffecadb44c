"""Kinds of volatile messages, and what a mailbox does with a message of a kind: the whole decision, as a value.

A kind is declared by the host, so that a message can be lost only where somebody has said that it may be.
"""

import enum
from typing import Final, Literal, get_args

import attrs

from actors.errors import ConfigurationError

Overflow = Literal["wait", "reject", "coalesce", "drop_oldest", "drop_newest"]
"""What becomes of a message that finds the mailbox full; ``coalesce`` applies to one that finds room too."""

KIND_CHARACTERS_MAX: Final = 64
KEY_CHARACTERS_MAX: Final = 256

_OVERFLOWS: Final = get_args(Overflow)
_DROPS: Final = frozenset({"drop_oldest", "drop_newest"})
_WAITS: Final = frozenset({"wait", "coalesce"})


@attrs.frozen
class Kind:
    """One kind of volatile message: what a full mailbox does with it, and whether it may be dropped.

    ``wait``: its sender waits for room, in order. ``reject``: it is refused. ``coalesce``: it replaces the message of
    its kind and key that still waits, at the place of the older one; if none does and the box is full, its sender
    waits. ``drop_oldest``: the oldest waiting message of its kind makes room for it. ``drop_newest``: it is dropped
    itself, and its sender is not told.

    Raises ConfigurationError for an unknown policy, and for a drop of a kind that is not ``droppable``.
    """

    overflow: Overflow = "wait"
    droppable: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse what is no policy, and a loss that nobody has allowed."""
        given: tuple[object, object] = self.overflow, self.droppable
        if given[0] not in _OVERFLOWS:
            message = f"overflow is {self.overflow!r:.80}"
            raise ConfigurationError(message, hint=f"give one of {', '.join(_OVERFLOWS)}")
        if type(given[1]) is not bool:
            message = f"droppable is {type(self.droppable).__name__}"
            raise ConfigurationError(message, hint="give True or False")
        if self.overflow in _DROPS and not self.droppable:
            message = f"a kind that is not droppable has the overflow policy {self.overflow}"
            raise ConfigurationError(message, hint="declare it droppable=True, or choose wait, reject or coalesce")

    @property
    def waits(self) -> bool:
        """Whether a sender waits for room if there is none."""
        return self.overflow in _WAITS


class Fate(enum.Enum):
    """What becomes of a message on its arrival at a mailbox."""

    ADMIT = "admit"
    """It is put at the end."""
    REPLACE = "replace"
    """It takes the place of an older one of its key."""
    DROP_OLDEST = "drop_oldest"
    """The oldest of its kind is dropped, and it is put at the end."""
    DROP_NEWEST = "drop_newest"
    """It is dropped."""
    WAIT = "wait"
    """Its sender waits for room."""
    REFUSE = "refuse"
    """Its sender is told that there is no room."""


def fate_of(overflow: Overflow, *, full: bool, same_key: bool, same_kind: bool) -> Fate:
    """Decide about a message that arrives.

    ``full`` says that there is no room for it, in messages or in bytes; ``same_key`` that a message of its kind and key
    waits in the box, and ``same_kind`` that one of its kind does.
    """
    if overflow == "coalesce" and same_key:
        return Fate.REPLACE
    if not full:
        return Fate.ADMIT
    match overflow:
        case "wait" | "coalesce":
            return Fate.WAIT
        case "reject":
            return Fate.REFUSE
        case "drop_newest":
            return Fate.DROP_NEWEST
        case "drop_oldest":
            return Fate.DROP_OLDEST if same_kind else Fate.REFUSE
