"""A verdict is good only if everything held, and each thing can fail by itself."""

import attrs
import pytest

from actors.stress.ledger import Sums
from actors.stress.measures import MIB, Growth
from actors.stress.records import Closed, Settled
from actors.stress.verdict import Evidence, judge

SUMS = Sums(sent=3, executed=2, queued=0, erased=0, refused={"busy": 1}, unknown=0, lost=0, uncalled=0)
GOOD = Evidence(
    sums=SUMS,
    healthy=10,
    touched=(),
    histories=(),
    wrong=(),
    growth=Growth(50 * MIB, 51 * MIB, 10 * MIB),
    settled=Settled(closed=True, sums={"sent": 3}),
    closed=Closed((3, 3), (9, 9), (1, 1)),
)

FAILING = {
    "the last life ended by itself": {"closed": None},
    "everything that was sent has its place": {"sums": attrs.evolve(SUMS, executed=1, lost=1, examples=("one",))},
    "the sums of the runtime close": {"settled": Settled(closed=False, sums={"sent": 3})},
    "no healthy session was touched": {"touched": ["live:a"] * 7},
    "every history can have come about": {"histories": ["live:a: event 3"]},
    "nothing was seen that must not be": {"wrong": ["something"]},
    "memory is flat after its warm-up": {"growth": Growth(50 * MIB, 90 * MIB, 10 * MIB)},
    "no task is left over": {"closed": Closed((3, 4), (9, 9), (1, 1))},
}


def test_good_evidence_makes_a_good_verdict() -> None:
    """Every finding held, each with its figures; memory that cannot be judged is not held against anybody."""
    findings = judge(GOOD)
    assert all(finding.held for finding in findings)
    assert {finding.what for finding in findings} == set(FAILING)
    assert "3 sent = 2 executed + 1 refused" in [finding.why for finding in findings]
    assert all(finding.held for finding in judge(attrs.evolve(GOOD, growth=None)))


@pytest.mark.parametrize("what", FAILING)
def test_each_finding_can_fail_by_itself(what: str) -> None:
    """And the others stand, but for those that follow from it."""
    findings = judge(attrs.evolve(GOOD, **FAILING[what]))  # type: ignore[arg-type]  # by name
    failed = {finding.what for finding in findings if not finding.held}
    follows = {"no task is left over"} if what == "the last life ended by itself" else set()
    assert failed == {what} | follows


def test_a_life_that_came_to_nothing_fails_what_it_was_to_show() -> None:
    """Neither rest nor end: the sums are not known and tasks are not counted."""
    failed = {finding.what for finding in judge(attrs.evolve(GOOD, settled=None, closed=None)) if not finding.held}
    assert failed == {
        "the last life ended by itself",
        "the sums of the runtime close",
        "no task is left over",
    }


def test_of_many_cases_a_few_are_named_and_the_rest_counted() -> None:
    """So that a verdict can be read."""
    finding = next(each for each in judge(attrs.evolve(GOOD, touched=["x"] * 12)) if not each.held)
    assert finding.why == "x; x; x; x; x; and 7 more"
