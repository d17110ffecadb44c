"""What the tests of decisions share: a command that is taken, and the events of a part that is said in pieces."""

from actors.core.commands import Command
from actors.core.decision import Decision, Policy
from actors.core.events import EventBody, TextAppended
from actors.core.lifecycle import PartStatus
from actors.core.limits import Limits
from actors.core.session import decide
from actors.core.state import SessionState

POLICY = Policy(Limits())
NOW_S = 1000.0
STREAMING = PartStatus.STREAMING


def decided(state: SessionState, command: Command) -> Decision:
    """Decide a command that is not refused."""
    outcome = decide(state, command, POLICY, NOW_S)
    assert isinstance(outcome, Decision)
    return outcome


def texts(*pieces: str, status: PartStatus = STREAMING) -> tuple[EventBody, ...]:
    """Make the events of a part that is said in pieces."""
    offsets = [len("".join(pieces[:n])) for n in range(len(pieces))]
    return tuple(
        TextAppended(1, 1, 0, 0, "text", offset, piece, status) for offset, piece in zip(offsets, pieces, strict=True)
    )
