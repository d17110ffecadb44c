"""What a load came to: each promise that it put to the test, whether it held, and how that is known."""

from collections.abc import Sequence

import attrs

from actors.stress.ledger import Sums
from actors.stress.measures import MIB, Growth
from actors.stress.records import Closed, Settled

EXAMPLES_MAX = 5


@attrs.frozen
class Finding:
    """One thing that was to be true, and whether it is."""

    what: str
    held: bool
    why: str


@attrs.frozen(kw_only=True)
class Evidence:
    """Everything that a verdict is made of.

    ``touched`` are healthy sessions that are not what their seed says; ``histories`` what cannot be in what is stored;
    ``wrong`` what was seen on the way and must not be; ``settled`` and ``closed`` the last words of the last life, None
    if it did not come to them.
    """

    sums: Sums
    healthy: int
    touched: Sequence[str]
    histories: Sequence[str]
    wrong: Sequence[str]
    growth: Growth | None
    settled: Settled | None
    closed: Closed | None


def judge(evidence: Evidence) -> tuple[Finding, ...]:
    """Say what held and what did not."""
    sums, settled = evidence.sums, evidence.settled
    return (
        Finding("the last life ended by itself", settled is not None and evidence.closed is not None, _ended(evidence)),
        Finding("everything that was sent has its place", sums.closed, _placed(sums)),
        Finding("the sums of the runtime close", settled is not None and settled.closed, _closes(settled)),
        _none_of("no healthy session was touched", evidence.touched, f"{evidence.healthy} are what their seed says"),
        _none_of("every history can have come about", evidence.histories, "numbers, owners, turns and effects agree"),
        _none_of("nothing was seen that must not be", evidence.wrong, "refusals, receipts and streams were right"),
        _memory(evidence.growth),
        _left(evidence.closed),
    )


def _ended(evidence: Evidence) -> str:
    """Say how far the last life came."""
    if evidence.closed is not None:
        return "the runtime was closed in order"
    return "it settled and did not close" if evidence.settled is not None else "it did not come to rest"


def _placed(sums: Sums) -> str:
    """Write the sum of what was sent."""
    refused = sum(sums.refused.values())
    parts = {"executed": sums.executed, "queued": sums.queued, "erased": sums.erased, "refused": refused}
    parts |= {"unknown": sums.unknown, "lost": sums.lost, "uncalled": sums.uncalled}
    text = f"{sums.sent} sent = " + " + ".join(f"{count} {name}" for name, count in parts.items() if count)
    return "; ".join([text, *sums.examples])


def _closes(settled: Settled | None) -> str:
    """Write the sums of the last life."""
    if settled is None:
        return "there are none: the last life did not come to rest"
    return ", ".join(f"{count} {name}" for name, count in settled.sums.items())


def _none_of(what: str, cases: Sequence[str], otherwise: str) -> Finding:
    """Something held if there is no case against it."""
    if not cases:
        return Finding(what, held=True, why=otherwise)
    more = f"; and {len(cases) - EXAMPLES_MAX} more" if len(cases) > EXAMPLES_MAX else ""
    return Finding(what, held=False, why="; ".join(cases[:EXAMPLES_MAX]) + more)


def _memory(growth: Growth | None) -> Finding:
    """Judge memory; a life that was too short for it is not held against anybody."""
    what = "memory is flat after its warm-up"
    if growth is None:
        return Finding(what, held=True, why="no life was long enough to tell")
    early, late = growth.early_bytes / MIB, growth.late_bytes / MIB
    return Finding(what, growth.flat, f"{early:.0f} MiB, then {late:.0f} MiB; {growth.allowed_bytes / MIB:.0f} allowed")


def _left(closed: Closed | None) -> Finding:
    """Judge what the last life left behind in its process."""
    what = "no task is left over"
    if closed is None:
        return Finding(what, held=False, why="the runtime did not close")
    before, after = closed.tasks
    return Finding(what, after <= before, f"{before} tasks before the runtime was opened, {after} after it was closed")
