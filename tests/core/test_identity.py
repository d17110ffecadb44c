"""Which migration is carried out, which was, and what is in the way: every case of both ids."""

import itertools

import pytest

from actors.core.commands import Accept, Migrate, Parent
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal
from actors.core.events import SessionMigrated
from actors.core.identity import Known, Move, Moved, decide_migrate, judge_migration
from actors.core.ids import ChatId, DropReason
from actors.core.limits import Limits
from actors.core.session import decide
from actors.core.state import SessionState, Standing, fold

DRAFT, LIVE, OTHER = ChatId("draft:1"), ChatId("live:1"), ChatId("live:2")

OLD = {
    "unknown": Known(),
    "there": Known(exists=True),
    "moved here": Known(leads_to=LIVE),
    "moved elsewhere": Known(leads_to=OTHER),
    "deleted": Known(deleted=True),
}
NEW = {
    "free": Known(),
    "there": Known(exists=True),
    "leads elsewhere": Known(leads_to=OTHER),
    "deleted": Known(deleted=True),
    "being made": Known(taken=True),
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(OLD, NEW)))
def test_promise_path_35_a_migration_is_refused_by_whatever_is_in_its_way(old: str, new: str) -> None:
    """The draft is looked at first; then only an id that nobody has or had will do."""
    verdict = judge_migration(DRAFT, LIVE, OLD[old], NEW[new])
    reason = verdict.reason if isinstance(verdict, Refusal) else None
    expected = {
        "unknown": DropReason.UNKNOWN_CHAT,
        "deleted": DropReason.DELETED_CHAT,
        "moved elsewhere": DropReason.CONFLICT,
        "moved here": None,
        "there": None if new == "free" else DropReason.CONFLICT,
    }
    assert reason == expected[old]
    if reason is None:
        assert verdict == (Moved() if old == "moved here" else Move())


@pytest.mark.parametrize(
    ("old_id", "new_id"),
    [
        ("draft:1", "draft:2"),
        ("draft:1", "replay:2"),
        ("live:1", "live:2"),
        ("replay:1", "live:2"),
        ("live:1", "live:1"),
    ],
)
def test_promise_path_35_only_a_draft_becomes_live(old_id: str, new_id: str) -> None:
    """An id that others may hold for the authoritative one is never given up."""
    verdict = judge_migration(ChatId(old_id), ChatId(new_id), Known(exists=True), Known())
    assert isinstance(verdict, Refusal)
    assert verdict.reason is DropReason.INVALID_PAYLOAD


def test_promise_path_34_a_session_is_migrated_once_and_keeps_everything_but_its_id() -> None:
    """Whatever it is doing; the same migration again comes to nothing, another one is refused."""
    policy = Policy(Limits())
    state = SessionState(DRAFT, 1)
    for number in range(3):
        decision = decide(state, Accept(f"key-{number}", "hello"), policy, 0.0)
        assert isinstance(decision, Decision)
        state = fold(state, decision.bodies)
    decision = decide(state, Migrate(LIVE), policy, 0.0)
    assert decision == Decision((SessionMigrated(DRAFT, LIVE),))
    assert isinstance(decision, Decision)
    moved = fold(state, decision.bodies)
    assert (moved.chat_id, moved.seq) == (LIVE, state.seq + 1)
    assert (moved.running, moved.queue, moved.turns) == (state.running, state.queue, state.turns)
    assert decide_migrate(moved, Migrate(LIVE)) == Decision(())
    refusal = decide_migrate(moved, Migrate(OTHER))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DropReason.CONFLICT


def test_a_child_of_a_draft_is_not_migrated() -> None:
    """Its id is a lane of the id that its parent had, and leads to nothing else."""
    state = SessionState(DRAFT, 1, standing=Standing(parent=Parent(ChatId("draft:0"), 1, 1)))
    refusal = decide_migrate(state, Migrate(LIVE))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is DropReason.INVALID_PAYLOAD
