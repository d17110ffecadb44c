"""What every decision has in common: nobody speaks for an attempt that is over."""

import attrs

from actors.core.commands import (
    Emit,
)
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal
from actors.core.events import (
    MessageAccepted,
    TurnStarted,
)
from actors.core.ids import DropReason
from actors.core.lifecycle import PartStatus
from actors.core.limits import Limits
from actors.core.session import decide
from actors.core.state import SessionState, fold
from tests.core.deciding import decided, texts
from tests.core.play import CHAT, Die, Play, Send, Start

POLICY = Policy(Limits())
NOW_S = 1000.0
IDLE = SessionState(CHAT, seq=1)
RUNNING = fold(IDLE, (MessageAccepted("m1", 1, "hello"), TurnStarted(1, 1)))

STREAMING, COMPLETE, CUT = PartStatus.STREAMING, PartStatus.COMPLETE, PartStatus.CUT


def test_only_what_the_running_attempt_says_is_written() -> None:
    """An older attempt of the same turn is as late as an older turn, and the refusal names both."""
    play = Play().play([Send(), Die("retry"), Start()])
    late = Emit(1, 1, texts("from the past"))
    assert decide(play.state, late, POLICY, NOW_S) == Refusal(DropReason.NOT_RUNNING, "turn 1 attempt 1 is not running")
    assert decided(play.state, attrs.evolve(late, attempt=2)) == Decision(late.bodies)
