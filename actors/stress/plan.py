"""Who sends what to whom, and what must come of it: all of it from a seed, so that nobody has to remember it.

Chance is a function of the seed and of names, not of a sequence: whatever one session does, the draws of another are
the same.
"""

import enum
import hashlib
import itertools
import json
from collections.abc import Callable
from typing import Any, Final

import attrs

from actors.core.ids import ChatId
from actors.errors import ConfigurationError

CALL_EVERY: Final = 3
"""Each third message is answered with the help of a tool."""

TOOL: Final = "look_up"

_SHARES_MAX: Final = 0.9


class Role(enum.StrEnum):
    """What is wrong with a session, or with who sends to it; nothing is wrong with the healthy ones."""

    HEALTHY = "healthy"
    CRASHING = "crashing"
    HANGING = "hanging"
    SHIELDED = "shielded"
    BLOCKING = "blocking"
    FLOODED = "flooded"
    DUPLICATE = "duplicate"
    CANCELLING = "cancelling"


def _within(low: float, high: float) -> Callable[[object, "attrs.Attribute[Any]", float], None]:
    """Refuse a number that is not from ``low`` to ``high``, both included."""

    def check(_: object, attribute: "attrs.Attribute[Any]", value: float) -> None:
        if not low <= value <= high:
            name = attribute.name.removesuffix("_s").replace("_", "-")
            message = f"--{name} is {value!r}"
            raise ConfigurationError(message, hint=f"give a number from {low} to {high}")

    return check


def _number(default: float, low: float, high: float) -> Any:  # noqa: ANN401 - attrs gives it the type of its field
    """Declare an option with its default and its range."""
    return attrs.field(default=default, validator=_within(low, high))


@attrs.frozen(kw_only=True)
class Load:
    """How much, how long, and what is wrong with it. Shares are of all sessions, from 0 to 1; times in seconds.

    Raises ConfigurationError for a number out of its range, and when less than a tenth of the sessions is healthy.
    """

    sessions: int = _number(200, 1, 100_000)
    rate: float = _number(200.0, 0.1, 100_000.0)
    message_bytes: int = _number(200, 32, 65_536)
    duration_s: float = _number(10.0, 0.5, 86_400.0)
    count: int = _number(0, 0, 1_000_000)
    subscribers: int = _number(20, 0, 10_000)
    crashing: float = _number(0.0, 0.0, 1.0)
    hanging: float = _number(0.0, 0.0, 1.0)
    shielded: float = _number(0.0, 0.0, 1.0)
    blocking: float = _number(0.0, 0.0, 1.0)
    flooding: float = _number(0.0, 0.0, 1.0)
    duplicate: float = _number(0.0, 0.0, 1.0)
    cancelling: float = _number(0.0, 0.0, 1.0)
    invalid: float = _number(0.0, 0.0, 1.0)
    churn: float = _number(0.0, 0.0, 1000.0)
    passivating: float = _number(0.0, 0.0, 10_000.0)
    kills: int = _number(0, 0, 1000)
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        """Leave some sessions healthy: without them there is nothing to compare."""
        shares = sum(share for _, share in shares_of(self))
        if shares > _SHARES_MAX:
            message = f"the shares of faulty sessions come to {shares:.2f}"
            raise ConfigurationError(message, hint=f"leave at least {1 - _SHARES_MAX:.0%} of the sessions healthy")


ALL_FAULTS: Final = {
    "crashing": 0.05, "hanging": 0.03, "shielded": 0.03, "blocking": 0.01, "flooding": 0.02, "duplicate": 0.05,
    "cancelling": 0.05, "invalid": 0.02, "churn": 5.0, "passivating": 20.0, "kills": 3,
}  # fmt: skip
"""Everything at once, in shares that leave four of five sessions healthy."""


def shares_of(load: Load) -> tuple[tuple[Role, float], ...]:
    """Pair each faulty role with its share of the sessions."""
    return (
        (Role.CRASHING, load.crashing),
        (Role.HANGING, load.hanging),
        (Role.SHIELDED, load.shielded),
        (Role.BLOCKING, load.blocking),
        (Role.FLOODED, load.flooding),
        (Role.DUPLICATE, load.duplicate),
        (Role.CANCELLING, load.cancelling),
    )


def chance(seed: int, *names: object) -> float:
    """Draw a number from 0 up to 1 that depends on the seed and the names alone."""
    digest = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def roles_of(load: Load) -> dict[ChatId, Role]:
    """Give each session its role: as many of each as its share says, at least one if it has any."""
    chats = [ChatId(f"live:stress.{number:05}") for number in range(load.sessions)]
    drawn = sorted(chats, key=lambda chat_id: chance(load.seed, "role", chat_id))
    roles = dict.fromkeys(chats, Role.HEALTHY)
    for role, share in shares_of(load):
        for _ in range(max(round(share * load.sessions), 1) if share else 0):
            if len(drawn) > 1:  # the last one stays healthy
                roles[drawn.pop()] = role
    return roles


def kill_moments(load: Load) -> tuple[float, ...]:
    """Say when the process is killed, in seconds from the beginning of all: not at once, and not at the very end."""
    draws = (0.1 + 0.8 * (number + chance(load.seed, "kill", number)) / load.kills for number in range(load.kills))
    return tuple(draw * load.duration_s for draw in draws)


def draft_of(chat_id: str) -> ChatId:
    """Name the draft that a session which comes and goes began as."""
    return ChatId(chat_id.replace("live:", "draft:", 1))


def key_of(number: int) -> str:
    """Name a message by its number in its session."""
    return f"m{number}"


def number_of(text: str) -> int:
    """Read the number of a message from its text."""
    return int(text.partition(" ")[0])


def message_of(load: Load, chat_id: str, number: int) -> str:
    """Write a message: its number, and words to the size that was asked for."""
    words = hashlib.sha256(repr((load.seed, chat_id, number)).encode()).hexdigest()
    head = f"{number} "
    return head + (words * (load.message_bytes // len(words) + 1))[: max(load.message_bytes - len(head), 1)]


def answer_of(load: Load, chat_id: str, number: int) -> tuple[str, ...]:
    """Write the pieces of the answer to a message."""
    words = hashlib.sha256(repr((load.seed, chat_id, number, "answer")).encode()).hexdigest()
    pieces = 1 + int(chance(load.seed, chat_id, number, "pieces") * 4)
    cuts = [len(words) * cut // pieces for cut in range(pieces + 1)]
    return tuple(words[low:high] for low, high in itertools.pairwise(cuts))


def calls_tool(number: int) -> bool:
    """Say whether a message is answered with the help of a tool."""
    return number % CALL_EVERY == 0


def arguments_of(number: int) -> dict[str, int]:
    """Write the arguments of the call that a message leads to."""
    return {"number": number}


def transcript_of(load: Load, chat_id: str, number: int) -> list[tuple[str, str, str]]:
    """Write what a healthy turn leaves in the transcript: role, kind and text of each part."""
    pieces = answer_of(load, chat_id, number)
    asked = [("user", "text", message_of(load, chat_id, number))]
    if not calls_tool(number):
        return [*asked, ("assistant", "text", "".join(pieces))]
    rest = "".join(pieces[1:])
    return [
        *asked,
        ("assistant", "text", pieces[0]),
        ("assistant", "tool_call", json.dumps(arguments_of(number), separators=(",", ":"))),
        ("tool", "tool_result", f"result of {number}"),
        *([("assistant", "text", rest)] if rest else []),
    ]
