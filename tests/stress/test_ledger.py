"""What senders heard is held against what the store has; every message has one place, and each wrong one is seen."""

import pytest

from actors.stress.ledger import Ledger, Stored, Sums
from actors.stress.records import AnyLine, Buried, Dooms, Refused, Sent, Took

A = "live:a"
NOTHING = Stored(frozenset())


def sums_of(*lines: AnyLine, ended: set[int] | None = None, open_turns: set[int] | None = None) -> Sums:
    """Add lines about one session, and hold them against what the store has of it."""
    ledger = Ledger()
    for line in lines:
        ledger.add(line)
    store = {} if ended is None else {A: Stored(frozenset(ended), frozenset(open_turns or ()))}
    return ledger.sums(store)


GOOD: dict[str, tuple[Sums, str]] = {
    "taken and done": (sums_of(Sent(A, 1), Took(A, 1), ended={1}), "executed"),
    "taken and open": (sums_of(Sent(A, 1), Took(A, 1), ended=set(), open_turns={1}), "queued"),
    "killed before the receipt, sent again": (sums_of(Sent(A, 1), Sent(A, 1), Took(A, 1), ended={1}), "executed"),
    "killed before the receipt, done": (sums_of(Sent(A, 1), ended={1}), "executed"),
    "killed, and refused when sent again though done": (
        sums_of(Sent(A, 1), Sent(A, 1), Refused(A, 1, "quarantined"), ended={1}),
        "executed",
    ),
    "deleted afterwards": (sums_of(Sent(A, 1), Took(A, 1), Dooms(A), Buried(A)), "erased"),
    "killed, and deleted when sent again": (
        sums_of(Sent(A, 1), Dooms(A), Buried(A), Sent(A, 1), Refused(A, 1, "deleted_chat")),
        "refused",
    ),
    "refused": (sums_of(Sent(A, 1), Refused(A, 1, "busy"), ended=set()), "refused"),
    "refused, sent again and taken": (
        sums_of(Sent(A, 1), Refused(A, 1, "busy"), Sent(A, 1), Took(A, 1), ended={1}),
        "executed",
    ),
}

BAD: dict[str, tuple[Sums, str]] = {
    "acknowledged and not there": (sums_of(Sent(A, 1), Took(A, 1), ended=set()), "lost"),
    "acknowledged by a session that is gone undeleted": (sums_of(Sent(A, 1), Took(A, 1)), "lost"),
    "never settled": (sums_of(Sent(A, 1), ended=set()), "unknown"),
    "refused and there": (sums_of(Sent(A, 1), Refused(A, 1, "busy"), ended={1}), "uncalled"),
    "never sent and there": (sums_of(Sent(A, 1), Took(A, 1), ended={1, 2}), "uncalled"),
}


@pytest.mark.parametrize("what", GOOD)
def test_a_message_that_has_its_place_closes_the_sum(what: str) -> None:
    """One sent, one in its place."""
    sums, place = GOOD[what]
    found = {
        "executed": sums.executed,
        "queued": sums.queued,
        "erased": sums.erased,
        "refused": sum(sums.refused.values()),
    }
    assert found == {**dict.fromkeys(found, 0), place: 1}
    assert sums.sent == 1
    assert sums.closed
    assert sums.examples == ()


@pytest.mark.rule("X3")
@pytest.mark.parametrize("what", BAD)
def test_a_message_without_its_place_is_seen_and_named(what: str) -> None:
    """Lost, of unknown fate, or out of nowhere."""
    sums, place = BAD[what]
    assert not sums.closed
    assert getattr(sums, place) == 1
    assert any(A in example for example in sums.examples)


def test_the_next_life_is_told_where_to_go_on_and_what_to_settle() -> None:
    """The next number of each session, what nobody knows of, and what was being deleted."""
    ledger = Ledger()
    for line in (
        Sent(A, 1), Took(A, 1), Sent(A, 2), Sent(A, 3), Refused(A, 3, "busy"),
        Sent("live:b", 7), Took("live:b", 7), Dooms("live:b"), Dooms("live:c"), Buried("live:c"),
    ):  # fmt: skip
        ledger.add(line)
    assert ledger.following() == {A: 4, "live:b": 8}
    assert ledger.unsettled() == {A: (2,)}
    assert ledger.doomed() == ("live:b",)
    assert ledger.taken_by(A) == {1}
    assert ledger.taken_by("live:nobody") == frozenset()


def test_only_a_few_examples_are_named() -> None:
    """A lost disk would otherwise fill the terminal."""
    ledger = Ledger()
    for number in range(100):
        ledger.add(Sent(A, number))
        ledger.add(Took(A, number))
    sums = ledger.sums({A: NOTHING})
    assert sums.lost == 100
    assert len(sums.examples) == 5
