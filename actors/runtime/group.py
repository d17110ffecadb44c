"""Commands of one session decided one after the other, to be written together."""

from actors.core.commands import Command
from actors.core.decision import Decision, Policy
from actors.core.effects import Effect, Refusal
from actors.core.events import EventBody
from actors.core.session import decide
from actors.core.state import SessionState, fold
from actors.runtime.mailbox import Reply


class Group:
    """Commands decided one after the other, to be written together."""

    __slots__ = ("answers", "bodies", "effects", "keys", "size_bytes", "state")

    def __init__(self, state: SessionState) -> None:
        """Begin from the committed state."""
        self.state = state
        self.bodies: list[EventBody] = []
        self.effects: tuple[Effect, ...] = ()
        self.answers: list[tuple[Reply, object]] = []
        self.keys: set[str] | None = None
        self.size_bytes = 0

    def add(self, command: Command, policy: Policy, now_s: float) -> Refusal | None:
        """Decide a command on what the ones before it come to."""
        decision = decide(self.state, command, policy, now_s)
        if type(decision) is Refusal:
            return decision
        assert isinstance(decision, Decision), "a decision or a refusal"
        self.bodies += decision.bodies
        self.effects += decision.effects
        self.state = fold(self.state, decision.bodies)
        return None


def size_of(body: EventBody) -> int:
    """Estimate what an event of a turn costs to keep."""
    return 100 + sum(len(getattr(body, field, "")) for field in ("text", "content", "arguments"))
