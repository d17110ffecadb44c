"""Commands of one session that come together are decided one after the other, and written together."""

import pytest

from actors import Limits
from actors.core.commands import Accept, Answer, Begin, Cancel, Command
from actors.core.decision import Policy
from actors.core.effects import Refusal, StartTurn
from actors.core.events import EventBody, MessageAccepted, TextAppended, ToolCalled, ToolEnded, TurnEnded, TurnStarted
from actors.core.ids import ChatId, DropReason
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus
from actors.core.state import SessionState, fold
from actors.runtime.group import Group, size_of

CHAT = ChatId("live:a")
QUEUE = Policy(Limits())
NOW_S = 1000.0

SIZES: list[tuple[str, EventBody, int]] = [
    ("turn ended", TurnEnded(1, 1, TurnStatus.COMPLETED), 0),
    ("text", TextAppended(1, 1, 0, 0, "text", 0, "x" * 500, PartStatus.COMPLETE), 500),
    ("arguments", ToolCalled(1, 1, 0, 0, 0, "id", "look", "x" * 600), 600),
    ("content", ToolEnded(1, 1, 1, 0, ToolStatus.OK, "x" * 700), 700),
]


def group_of(*commands: Command) -> Group:
    """Decide commands on a new session; each is taken."""
    group = Group(SessionState(CHAT, 1))
    for command in commands:
        assert group.add(command, QUEUE, NOW_S) is None
    return group


def test_a_group_begins_with_nothing_to_write() -> None:
    """The state is the committed one until something is decided."""
    state = SessionState(CHAT, 7)
    group = Group(state)
    assert (group.state, group.bodies, group.effects, group.answers) == (state, [], (), [])
    assert (group.keys, group.size_bytes) == (None, 0)


def test_a_command_is_decided_on_what_those_before_it_come_to() -> None:
    """Two messages that come together get two turns, and one of them begins."""
    group = group_of(Accept("a", "first"), Accept("b", "second"), Begin())
    accepted = [body for body in group.bodies if isinstance(body, MessageAccepted)]
    assert [(body.message_id, body.turn) for body in accepted] == [("a", 1), ("b", 2)]
    assert [body.turn for body in group.bodies if isinstance(body, TurnStarted)] == [1]
    assert group.effects == (StartTurn(1, 1),)
    assert group.state.turns == 2


def test_the_state_of_a_group_is_that_of_its_events() -> None:
    """What is in memory after the write is what a later life reads from the disk."""
    group = group_of(Accept("a", "first"), Accept("b", "second"), Cancel(2))
    assert group.state == fold(SessionState(CHAT, 1), tuple(group.bodies))
    assert group.state.seq == 1 + len(group.bodies)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (Answer(9, 0, "yes"), DropReason.PROMPT_UNKNOWN),
        (Accept("b", "late", deadline_s=NOW_S), DropReason.EXPIRED),
    ],
    ids=["an answer to nothing", "a message that is too late"],
)
def test_a_command_that_is_refused_leaves_the_group_as_it_was(command: Command, reason: DropReason) -> None:
    """The others are written all the same."""
    group = group_of(Accept("a", "first"))
    before = group.state, list(group.bodies), group.effects
    refusal = group.add(command, QUEUE, NOW_S)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert (group.state, group.bodies, group.effects) == before


def test_the_policy_of_the_host_is_kept_within_a_group() -> None:
    """A message that finds the one before it in the same group finds a session that is busy."""
    group = Group(SessionState(CHAT, 1))
    reject = Policy(Limits(), "reject")
    assert group.add(Accept("a", "first"), reject, NOW_S) is None
    refusal = group.add(Accept("b", "second"), reject, NOW_S)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DropReason.BUSY


@pytest.mark.parametrize(("what", "body", "text"), SIZES, ids=[what for what, _, _ in SIZES])
def test_the_size_of_an_event_follows_what_it_carries(what: str, body: EventBody, text: int) -> None:
    """Every event costs something; a long text, a result and arguments cost what they are."""
    assert size_of(body) == 100 + text
