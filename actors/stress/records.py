"""What one life is told when it begins, and what it tells while it lives: lines of JSON.

A line is written before what it announces is done, so that a kill at any moment leaves nothing that was done and not
announced.
"""

from typing import Any, Final

import attrs
import msgspec

from actors.stress.plan import Load

SABOTAGES: Final = ("", "lose", "corrupt", "hoard", "stray", "miscount")
"""What a test may have go wrong, so that each verdict is seen to object."""


class Job(msgspec.Struct, frozen=True):
    """What one life is to do: with which load, on which store, for how long, and from where on.

    ``following`` is the number of the next message of each session; ``unsettled`` are the messages of earlier lives
    whose outcome nobody knows, and ``doomed`` the sessions that somebody had begun to delete.
    """

    load: dict[str, Any]
    store: str
    life: int
    seconds: float
    log: str | None = None
    sabotage: str = ""
    following: dict[str, int] = {}
    unsettled: dict[str, tuple[int, ...]] = {}
    doomed: tuple[str, ...] = ()

    def load_of(self) -> Load:
        """Build the load again."""
        return Load(**self.load)


class Line(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What all lines share."""


class Begun(Line, frozen=True, tag="begun"):
    """The runtime is open, in this epoch."""

    epoch: int


class Sent(Line, frozen=True, tag="s"):
    """A message is about to be sent, for the first time or again."""

    chat_id: str
    number: int


class Took(Line, frozen=True, tag="t"):
    """The sender of a message got its receipt."""

    chat_id: str
    number: int


class Refused(Line, frozen=True, tag="r"):
    """The sender of a message was told that it is not taken, and why."""

    chat_id: str
    number: int
    reason: str


class Dooms(Line, frozen=True, tag="d"):
    """A session is about to be deleted."""

    chat_id: str


class Buried(Line, frozen=True, tag="b"):
    """A session was deleted."""

    chat_id: str


class Wrong(Line, frozen=True, tag="wrong"):
    """Something was seen that must not be."""

    what: str


class Measured(msgspec.Struct, frozen=True):
    """A histogram on its way."""

    buckets: dict[int, int]
    longest_s: float


class Sampled(Line, frozen=True, tag="sample"):
    """How far a life is: seconds since it began, memory, counts, and all latencies so far by their names."""

    at_s: float
    memory_bytes: int
    counts: dict[str, int]
    latencies: dict[str, Measured]


class Settled(Line, frozen=True, tag="settled"):
    """The load is over and the runtime at rest: whether its sums close, and what they are."""

    closed: bool
    sums: dict[str, int]


class Closed(Line, frozen=True, tag="closed"):
    """The runtime is closed: trio's tasks and the process's descriptors and threads, before it was opened and now."""

    tasks: tuple[int, int]
    descriptors: tuple[int, int]
    threads: tuple[int, int]


AnyLine = Begun | Sent | Took | Refused | Dooms | Buried | Wrong | Sampled | Settled | Closed

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[AnyLine]] = msgspec.json.Decoder(AnyLine)


def encode_line(line: AnyLine) -> bytes:
    """Write a line, its end included."""
    return _encoder.encode(line) + b"\n"


def decode_line(line: bytes) -> AnyLine:
    """Read a line. Raises msgspec.MsgspecError for what is none."""
    return _decoder.decode(line)


def job_of(load: Load, store: str, life: int, seconds: float) -> Job:
    """Make a job for a load."""
    return Job(load=attrs.asdict(load), store=store, life=life, seconds=seconds)
