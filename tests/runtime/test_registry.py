"""At most one ref for each session, reached the short way only while it is active; no letter is lost count of."""

import pytest

from actors import Limits
from actors.core.envelope import Envelope
from actors.core.ids import ChatId, DropReason
from actors.core.lifecycle import SessionPhase
from actors.runtime.mailbox import Letter
from actors.runtime.ref import Ref
from actors.runtime.registry import Letters, Registry

A, B = ChatId("live:a"), ChatId("live:b")


def registry_of(limits: Limits | None = None) -> Registry:
    """Make a registry that knows two sessions, one of them deleted."""
    return Registry(limits or Limits(), [A], [B])


def letter(size_bytes: int = 10) -> Letter:
    """Make a letter."""
    return Envelope(A, "hello", size_bytes)


def test_a_registry_begins_with_the_ids_of_the_store_and_nothing_live() -> None:
    """Routing needs no look at the disk."""
    registry = registry_of()
    assert (registry.known, registry.deleted) == ({A}, {B})
    assert (list(registry), registry.boxes, registry.get(A)) == ([], {}, None)
    assert registry.letters() == Letters()


def test_a_session_has_one_ref_however_often_it_is_looked_for() -> None:
    """Two of them would be two sessions under one name."""
    registry = registry_of()
    ref = registry.get_or_insert(A)
    assert registry.get_or_insert(A) is registry.get(A) is ref
    assert registry.get_or_insert(ChatId("live:c")) is not ref
    assert len(list(registry)) == 2


def test_sessions_share_one_budget_of_memory() -> None:
    """The bound of the host, not one for each."""
    registry = registry_of(Limits(memory_bytes_max=1 << 20, mailbox_bytes_max=1 << 20))
    first, second = registry.get_or_insert(A), registry.get_or_insert(B)
    assert first.mailbox.put_nowait(letter((1 << 20) - 4096)) is None
    assert second.mailbox.put_nowait(letter(5000)) is DropReason.MEMORY_FULL
    first.mailbox.take()
    assert second.mailbox.put_nowait(letter(5000)) is None


def test_only_an_active_session_is_reached_the_short_way() -> None:
    """Every other phase has something to be checked first."""
    registry = registry_of()
    ref = registry.get_or_insert(A)
    reached = []
    for trigger in ("activate", "recovered", "crash", "activate", "recovered", "stop", "stopped"):
        registry.move(ref, trigger)
        reached.append((str(ref.phase), registry.boxes.get(A) is ref.mailbox))
    assert reached == [
        ("activating", False),
        ("active", True),
        ("restarting", False),
        ("activating", False),
        ("active", True),
        ("stopping", False),
        ("stopped", False),
    ]


@pytest.mark.parametrize("phase", [SessionPhase.QUARANTINED, SessionPhase.FENCED, SessionPhase.STOPPED])
def test_a_session_can_be_forced_out_of_the_short_way(phase: SessionPhase) -> None:
    """Whatever the table says: it is how a bug of ours ends."""
    registry = registry_of()
    ref = registry.get_or_insert(A)
    registry.move(ref, "activate")
    registry.move(ref, "recovered")
    registry.force(ref, phase)
    assert (ref.phase, registry.boxes) == (phase, {})


def test_a_ref_that_was_replaced_cannot_take_the_new_one_away() -> None:
    """The end of an old life may come after the beginning of the next."""
    registry = registry_of()
    old = registry.get_or_insert(A)
    registry.remove(old)
    assert registry.get(A) is None
    new = registry.get_or_insert(A)
    registry.remove(old)
    assert registry.get(A) is new


def test_refs_may_come_and_go_while_they_are_gone_through() -> None:
    """A stop ends sessions while it goes through them."""
    registry = registry_of()
    for number in range(5):
        registry.get_or_insert(ChatId(f"live:{number}"))
    seen: list[Ref] = []
    for ref in registry:
        seen.append(ref)
        registry.remove(ref)
        registry.get_or_insert(ChatId(f"live:next.{ref.chat_id[5:]}"))
    assert [ref.chat_id for ref in seen] == [f"live:{number}" for number in range(5)]


def test_letters_are_counted_over_all_lives_of_a_session() -> None:
    """What a ref counted is kept when it begins anew, and never twice."""
    registry = registry_of()
    ref = registry.get_or_insert(A)
    for _ in range(6):
        assert ref.mailbox.put_nowait(letter()) is None
    taken = [ref.mailbox.take() for _ in range(2)]
    ref.executed, ref.dead = 1, 1
    assert len(taken) == 2
    assert ref.mailbox.withdraw(ref.mailbox.messages[0])
    assert registry.letters() == Letters(admitted=6, executed=1, dead=1, withdrawn=1, queued=3)
    ref.dead += len(ref.mailbox.close(DropReason.STOPPING))
    registry.retire(ref)
    assert registry.letters() == Letters(admitted=6, executed=1, dead=4, withdrawn=1, queued=0)
    assert registry.letters().closed
    registry.remove(ref)
    assert registry.get_or_insert(A).mailbox.put_nowait(letter()) is None
    assert registry.letters() == Letters(admitted=7, executed=1, dead=4, withdrawn=1, queued=1)


def test_adding_up_the_letters_changes_nothing() -> None:
    """It is done at every look."""
    registry = registry_of()
    registry.get_or_insert(A).mailbox.put_nowait(letter())
    assert registry.letters() == registry.letters() == Letters(admitted=1, queued=1)
    assert registry.retired == Letters()


@pytest.mark.rule("X3")
@pytest.mark.parametrize("place", ["executed", "dead", "withdrawn", "queued"])
def test_a_letter_without_its_place_is_noticed(place: str) -> None:
    """The sum is wrong whichever of them is missing."""
    letters = Letters(admitted=4, executed=1, dead=1, withdrawn=1, queued=1)
    assert letters.closed
    setattr(letters, place, 0)
    assert not letters.closed


@pytest.mark.rule("D8")
def test_a_deleted_session_leaves_a_tombstone() -> None:
    """It is known as deleted, and as nothing else."""
    registry = registry_of()
    registry.bury(A)
    assert (registry.known, registry.deleted) == (set(), {A, B})
    registry.bury(ChatId("live:never"))
    assert registry.deleted == {A, B, "live:never"}
