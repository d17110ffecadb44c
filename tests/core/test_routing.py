"""Where an envelope goes: every view of a session, and the one order of the checks."""

import itertools

import attrs
import pytest

from actors.core.ids import ChatId, DropReason
from actors.core.lifecycle import SessionPhase
from actors.core.routing import Activate, Deliver, Drop, View, route

CHAT = ChatId("live:42")
NOW_S = 1000.0

LIVE = View(exists=True, deleted=False, phase=SessionPhase.ACTIVE, incarnation=3, stopping=False)

PHASES: dict[SessionPhase, Deliver | Activate | Drop] = {
    SessionPhase.ABSENT: Activate(CHAT),
    SessionPhase.ACTIVATING: Deliver(CHAT),
    SessionPhase.ACTIVE: Deliver(CHAT),
    SessionPhase.SUSPENDED: Deliver(CHAT),
    SessionPhase.PASSIVATING: Deliver(CHAT),
    SessionPhase.RESTARTING: Deliver(CHAT),
    SessionPhase.QUARANTINED: Drop(DropReason.QUARANTINED),
    SessionPhase.STOPPING: Drop(DropReason.STOPPING),
    SessionPhase.STOPPED: Activate(CHAT),
    SessionPhase.DELETED: Drop(DropReason.DELETED_CHAT),
    SessionPhase.FENCED: Drop(DropReason.FENCED),
}
"""What each phase comes to, when nothing before it speaks."""

ORDER = (
    DropReason.UNKNOWN_CHAT,
    DropReason.DELETED_CHAT,
    DropReason.STALE_INCARNATION,
    DropReason.EXPIRED,
    DropReason.STOPPING,
)
"""The checks before the phase, in their order; that a chat was deleted is known only of one that is not there."""

MATRIX = list(itertools.product(itertools.product([False, True], repeat=len(ORDER)), SessionPhase))


def view_of(wrong: dict[DropReason, bool], phase: SessionPhase) -> View:
    """Make a view in which these checks would fail."""
    deleted = wrong[DropReason.DELETED_CHAT]
    return View(
        exists=not deleted and not wrong[DropReason.UNKNOWN_CHAT],
        deleted=deleted,
        phase=phase,
        incarnation=3,
        stopping=wrong[DropReason.STOPPING],
    )


@pytest.mark.rule("D3")
@pytest.mark.parametrize(("flags", "phase"), MATRIX)
def test_the_first_check_that_fails_gives_the_reason(flags: tuple[bool, ...], phase: SessionPhase) -> None:
    """Every set of failing checks in every phase: one order, so the same envelope always gets the same reason."""
    wrong = dict(zip(ORDER, flags, strict=True))
    wrong[DropReason.UNKNOWN_CHAT] &= not wrong[DropReason.DELETED_CHAT]
    decision = route(
        CHAT,
        view_of(wrong, phase),
        now_s=NOW_S,
        deadline_s=NOW_S if wrong[DropReason.EXPIRED] else None,
        incarnation=2 if wrong[DropReason.STALE_INCARNATION] else None,
    )
    first = next((reason for reason in ORDER if wrong[reason]), None)
    assert decision == (PHASES[phase] if first is None else Drop(first))


@pytest.mark.rule("D3")
def test_the_order_of_the_checks_is_the_order_of_the_reasons() -> None:
    """The closed set is written down in the order in which it is checked, and each phase's reason comes after."""
    reasons = list(DropReason)
    places = [reasons.index(reason) for reason in ORDER]
    assert places == sorted(places)
    assert reasons.index(DropReason.STOPPING) < reasons.index(DropReason.QUARANTINED) < reasons.index(DropReason.FENCED)


def test_every_reason_that_routing_can_give_is_in_the_matrix() -> None:
    """What the checks and the phases give, and no other reason."""
    drops = {decision.reason for decision in PHASES.values() if isinstance(decision, Drop)}
    assert drops | set(ORDER) == {
        DropReason.UNKNOWN_CHAT,
        DropReason.DELETED_CHAT,
        DropReason.STALE_INCARNATION,
        DropReason.EXPIRED,
        DropReason.STOPPING,
        DropReason.QUARANTINED,
        DropReason.FENCED,
    }
    assert set(PHASES) == set(SessionPhase)


def test_an_unknown_chat_is_dropped_and_never_brought_up() -> None:
    """Nothing that is not in the store gets state."""
    view = attrs.evolve(LIVE, exists=False, phase=SessionPhase.ABSENT)
    assert route(CHAT, view, now_s=NOW_S) == Drop(DropReason.UNKNOWN_CHAT)


def test_a_deleted_chat_is_dropped_even_while_it_is_still_there() -> None:
    """A tombstone wins over everything, so that nothing resurrects."""
    assert route(CHAT, attrs.evolve(LIVE, deleted=True), now_s=NOW_S) == Drop(DropReason.DELETED_CHAT)


@pytest.mark.parametrize(("incarnation", "delivered"), [(None, True), (3, True), (2, False), (4, False), (0, False)])
def test_an_envelope_for_another_incarnation_is_stale(incarnation: int | None, *, delivered: bool) -> None:
    """A sender that means one life of a session gets that one or none; without a number, any."""
    decision = route(CHAT, LIVE, now_s=NOW_S, incarnation=incarnation)
    assert decision == (Deliver(CHAT) if delivered else Drop(DropReason.STALE_INCARNATION))


@pytest.mark.parametrize(
    ("deadline_s", "delivered"), [(None, True), (NOW_S + 0.001, True), (NOW_S, False), (NOW_S - 1, False), (0.0, False)]
)
def test_an_envelope_is_expired_at_its_deadline(deadline_s: float | None, *, delivered: bool) -> None:
    """At the deadline it is too late; an envelope without one never expires."""
    decision = route(CHAT, LIVE, now_s=NOW_S, deadline_s=deadline_s)
    assert decision == (Deliver(CHAT) if delivered else Drop(DropReason.EXPIRED))


def test_nothing_is_delivered_while_the_runtime_stops() -> None:
    """Not to a session that is live, nor to one that would have to be brought up."""
    for phase in (SessionPhase.ACTIVE, SessionPhase.ABSENT):
        view = attrs.evolve(LIVE, phase=phase, stopping=True)
        assert route(CHAT, view, now_s=NOW_S) == Drop(DropReason.STOPPING)


@pytest.mark.parametrize(("phase", "expected"), PHASES.items())
def test_each_phase_comes_to_one_decision(phase: SessionPhase, expected: Deliver | Activate | Drop) -> None:
    """Up: delivered. Not there: brought up. Anything else: dropped with the phase's own reason."""
    assert route(CHAT, attrs.evolve(LIVE, phase=phase), now_s=NOW_S) == expected


@pytest.mark.rule("D2")
def test_a_decision_names_the_chat_that_was_addressed() -> None:
    """There is no default and no substitute: what goes in comes out."""
    other = ChatId("live:side-channel:42")
    assert route(other, LIVE, now_s=NOW_S) == Deliver(other)
    assert route(other, attrs.evolve(LIVE, phase=SessionPhase.ABSENT), now_s=NOW_S) == Activate(other)
