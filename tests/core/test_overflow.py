"""What a full mailbox does with a message is declared by its kind, and nothing is lost that was not declared so."""

import itertools
from typing import Any, get_args

import pytest

from actors import ConfigurationError
from actors.core.overflow import Fate, Kind, Overflow, fate_of

POLICIES: tuple[Overflow, ...] = get_args(Overflow)
LOOSE: Any = Kind
"""The constructor as a caller sees it who checks no types."""


def expected(overflow: Overflow, *, full: bool, same_key: bool, same_kind: bool) -> Fate:
    """Say in other words what the table of the rules says."""
    table = {
        "wait": Fate.WAIT,
        "reject": Fate.REFUSE,
        "coalesce": Fate.WAIT,
        "drop_oldest": Fate.DROP_OLDEST if same_kind else Fate.REFUSE,
        "drop_newest": Fate.DROP_NEWEST,
    }
    if same_key and overflow == "coalesce":
        return Fate.REPLACE
    return table[overflow] if full else Fate.ADMIT


@pytest.mark.parametrize("overflow", POLICIES)
def test_m3_every_policy_decides_every_case(overflow: Overflow) -> None:
    """The whole matrix: five policies, a full box or not, something older of the key or of the kind."""
    for full, same_key, same_kind in itertools.product((False, True), repeat=3):
        fate = fate_of(overflow, full=full, same_key=same_key, same_kind=same_kind)
        assert fate is expected(overflow, full=full, same_key=same_key, same_kind=same_kind)


@pytest.mark.parametrize("overflow", POLICIES)
def test_m3_only_what_is_declared_droppable_may_be_dropped(overflow: Overflow) -> None:
    """The two drops are refused at the declaration; the others say nothing about losses."""
    assert Kind(overflow, droppable=True).overflow == overflow
    if overflow.startswith("drop"):
        with pytest.raises(ConfigurationError, match=f"not droppable has the overflow policy {overflow}"):
            Kind(overflow)
    else:
        assert not Kind(overflow).droppable
    assert Kind(overflow, droppable=True).waits == (overflow in {"wait", "coalesce"})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"overflow": "drop"}, "overflow is 'drop'; give one of wait, reject, coalesce, drop_oldest, drop_newest"),
        ({"overflow": None}, "overflow is None"),
        ({"droppable": 1}, "droppable is int; give True or False"),
    ],
)
def test_a_kind_that_means_nothing_is_refused(options: dict[str, object], told: str) -> None:
    """The text names the field, what was found, and what may be given."""
    with pytest.raises(ConfigurationError, match=told):
        LOOSE(**options)
