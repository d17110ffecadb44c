"""What a branch begins with: whole turns that have ended, and the agent's state as it was then."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.branching import Prefix, Prefixes
from actors.core.commands import Create
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal
from actors.core.events import (
    Event,
    EventBody,
    MessageAccepted,
    MessageAdded,
    SeedPart,
    SessionCreated,
    StateSaved,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
    TurnStarted,
)
from actors.core.ids import ChatId, DropReason
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus
from actors.core.limits import Limits
from actors.core.session import decide
from actors.core.state import SessionState, fold
from actors.core.transcript import Message, Transcript, turn_place
from tests.core.play import CHAT, Play, plays

BRANCH = ChatId("live:branch")


def turn(
    number: int, said: str, state: str | None = None, status: TurnStatus = TurnStatus.COMPLETED
) -> list[EventBody]:
    """Go through a turn."""
    saved: list[EventBody] = [] if state is None else [StateSaved(number, state)]
    return [
        MessageAccepted(f"k{number}", number, f"message {number}"),
        TurnStarted(number, 1),
        TextAppended(number, 1, 0, 0, "text", 0, said, PartStatus.COMPLETE),
        *saved,
        TurnEnded(number, 1, status),
    ]


def history(*bodies: EventBody) -> Prefixes:
    """Fold a history."""
    prefixes = Prefixes(SessionState(CHAT))
    for seq, body in enumerate(bodies, 1):
        prefixes.add(Event(CHAT, seq, 1, 0.0, body))
    return prefixes


STORY: list[EventBody] = [
    SessionCreated(),
    MessageAdded("seed/0", "system", (SeedPart("text", "be brief"),)),
    *turn(1, "one", "1"),
    *turn(2, "two", status=TurnStatus.CANCELLED),
    *turn(3, "three", "3"),
]


@pytest.mark.parametrize(
    ("after_turn", "texts", "saved"),
    [
        (0, ["be brief"], None),
        (1, ["be brief", "message 1", "one"], "1"),
        (2, ["be brief", "message 1", "one", "message 2", "two"], "1"),
        (3, ["be brief", "message 1", "one", "message 2", "two", "message 3", "three"], "3"),
        (None, ["be brief", "message 1", "one", "message 2", "two", "message 3", "three"], "3"),
    ],
)
def test_promise_path_38_a_prefix_holds_whole_turns_and_the_state_of_then(
    after_turn: int | None, texts: list[str], saved: str | None
) -> None:
    """A state that a later turn saved is not known to the branch; one that a turn kept is still that of before."""
    prefix = history(*STORY).up_to(after_turn)
    assert isinstance(prefix, Prefix)
    assert prefix.turn == (3 if after_turn is None else after_turn)
    assert [part.text for seed in prefix.seeds for part in seed.parts] == texts
    assert [seed.message_id for seed in prefix.seeds] == [f"seed/{number}" for number in range(len(texts))]
    assert prefix.saved == saved


@pytest.mark.parametrize("after_turn", [4, 5, 6, 99])
def test_promise_path_38_a_turn_that_has_not_ended_is_never_cut(after_turn: int) -> None:
    """Nor is what stands behind it, even if that has ended; without a number the branch ends before it."""
    begun: list[EventBody] = [MessageAccepted("k4", 4, "runs"), TurnStarted(4, 1), MessageAccepted("k5", 5, "waits")]
    prefixes = history(*STORY, *begun, MessageAccepted("k6", 6, "gone"), TurnEnded(6, 0, TurnStatus.CANCELLED))
    refusal = prefixes.up_to(after_turn)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DropReason.INVALID_PAYLOAD
    prefix = prefixes.up_to(None)
    assert isinstance(prefix, Prefix)
    assert prefix.turn == 3


def test_promise_6_a_branch_keeps_calls_with_their_outcomes() -> None:
    """Its history is as legal for a model as the one that it comes from, and says how each call ended."""
    prefix = history(
        SessionCreated(),
        MessageAccepted("k1", 1, "look"),
        TurnStarted(1, 1),
        ToolCalled(1, 1, 0, 0, 0, "id", "find", "{}"),
        ToolEnded(1, 1, 1, 0, ToolStatus.CANCELLED, "cancelled"),
        TurnEnded(1, 1, TurnStatus.CANCELLED),
    ).up_to(None)
    assert isinstance(prefix, Prefix)
    parts = [part for seed in prefix.seeds for part in seed.parts]
    assert [(part.kind, part.name, part.call_id, part.status) for part in parts] == [
        ("text", "", "", "complete"),
        ("tool_call", "find", "id", "complete"),
        ("tool_result", "find", "id", "cancelled"),
    ]


@given(plays(), st.integers(0, 8))
def test_promise_path_38_a_branch_of_any_history_reads_as_its_beginning(play: Play, after_turn: int) -> None:
    """Message by message and part by part; nothing but ended turns is in it, and it can be branched again."""
    prefixes = Prefixes(SessionState(CHAT))
    for event in play.events:
        prefixes.add(event)
    prefix = prefixes.up_to(after_turn)
    if isinstance(prefix, Refusal):
        return
    branch = made(prefix)
    expected = [message for message in play.transcript.ended() if turn_place(message) <= place_of(play, after_turn)]
    assert shown(branch) == shown(expected)
    again = history(*bodies_of(prefix)).up_to(None)
    assert isinstance(again, Prefix)
    assert (again.seeds, again.saved) == (prefix.seeds, prefix.saved)


def bodies_of(prefix: Prefix) -> tuple[EventBody, ...]:
    """Have a session begun with a prefix."""
    command = Create(prefix.seeds, None, prefix.saved, CHAT, prefix.turn)
    decision = decide(SessionState(BRANCH), command, Policy(Limits()), 0.0)
    assert isinstance(decision, Decision)
    assert decision.bodies[0] == SessionCreated(forked_from=CHAT, forked_at=prefix.turn)
    assert fold(SessionState(BRANCH), decision.bodies).saved == prefix.saved
    return decision.bodies


def made(prefix: Prefix) -> Sequence[Message]:
    """Read the history of a session that was begun with a prefix."""
    transcript = Transcript()
    for seq, body in enumerate(bodies_of(prefix), 1):
        transcript.add(Event(BRANCH, seq, 1, 0.0, body))
    return transcript.ended()


def shown(messages: Sequence[Message]) -> list[tuple[object, ...]]:
    """Take of messages what a model reads."""
    return [(message.role, message.parts) for message in messages]


def place_of(play: Play, turn: int) -> int:
    """Say where a turn stands that has ended, 0 for what was there before the first."""
    return next((turn_place(message) for message in play.transcript.ended() if message.turn == turn), 0)
