"""Which children have a parent that runs."""

from actors.core.envelope import Origin
from actors.core.ids import ChatId
from actors.runtime.kin import Kin

A, B, C = (ChatId(f"live:child:1.1.{number}:42") for number in (1, 2, 3))


def test_a_child_is_known_from_its_adoption_to_the_end_of_its_parents_turn() -> None:
    """With what caused it."""
    kin, told = Kin(), list[ChatId]()
    kin.part = told.append
    kin.adopt(A, Origin("live:42"))
    kin.adopt(B, Origin("live:43"))
    assert (len(kin), kin.origin_of(A), kin.origin_of(C)) == (2, Origin("live:42"), None)
    kin.release([A])
    assert (len(kin), kin.origin_of(A), kin.origin_of(B)) == (1, None, Origin("live:43"))
    assert told == [A]


def test_a_child_is_told_once() -> None:
    """Whoever is let go a second time, or was never taken up, hears nothing."""
    kin, told = Kin(), list[ChatId]()
    kin.part = told.append
    kin.adopt(A, Origin())
    for _ in range(2):
        kin.release([A, C])
    assert told == [A]
    assert len(kin) == 0


def test_a_runtime_that_has_not_begun_tells_nobody() -> None:
    """Until it says how a child is told."""
    kin = Kin()
    kin.adopt(A, Origin())
    kin.release([A])
    assert len(kin) == 0
