"""Every bound has a range, a default inside it, and refuses the rest in words."""

import math
from typing import Final

import attrs
import pytest

from actors.core.limits import MIB, Limits
from actors.errors import ConfigurationError

FIELDS: Final = {field.name: field for field in attrs.fields(Limits)}
COUNTS: Final = [name for name, field in FIELDS.items() if isinstance(field.default, int)]
SECONDS: Final = [name for name, field in FIELDS.items() if isinstance(field.default, float)]

NO_NUMBERS: tuple[object, ...] = (None, "5", b"5", [], True, False, 1j, math.nan, math.inf, -math.inf, -1, 10**30)
UNITS = ("_s", "_bytes_max", "_max", "_min", "_share")


def limits(name: str, value: object) -> Limits:
    """Make limits in which one differs from its default."""
    return Limits(**{name: value})  # type: ignore[arg-type]  # any value may be tried


def bounds_of(name: str) -> tuple[float, float]:
    """Read the range of a limit from what its refusal says."""
    with pytest.raises(ConfigurationError) as caught:
        limits(name, -1)
    _, _, low, _, high = caught.value.hint.rsplit(maxsplit=4)
    return float(low), float(high)


@pytest.mark.parametrize("name", FIELDS)
def test_a_limit_says_its_unit_in_its_name(name: str) -> None:
    """Seconds, bytes, or a number of things that it is the most of."""
    assert name.endswith(UNITS)
    assert name.endswith("_s") is (name in SECONDS and not name.endswith("_share"))


@pytest.mark.parametrize("name", FIELDS)
def test_both_ends_of_the_range_of_a_limit_are_allowed(name: str) -> None:
    """And what is just outside them is not."""
    low, high = bounds_of(name)
    kind = int if name in COUNTS else float
    for value in (kind(low), kind(high)):
        assert getattr(limits(name, value), name) == value
    for value in (kind(low - 1), kind(high + 1)):
        with pytest.raises(ConfigurationError):
            limits(name, value)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_in_range_is_refused_with_field_kind_and_remedy(name: str, value: object) -> None:
    """The error names the limit, what was found, and what to give."""
    with pytest.raises(ConfigurationError) as caught:
        limits(name, value)
    text = str(caught.value)
    assert f"limit {name} is {value!r} of type {type(value).__name__}; give a " in text
    assert " number from " in text


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_a_whole_number(name: str) -> None:
    """Half a message is no bound, nor is one that only looks whole."""
    default: int = getattr(Limits(), name)
    for value in (float(default), default + 0.5):
        with pytest.raises(ConfigurationError, match="give a whole number"):
            limits(name, value)


@pytest.mark.parametrize("name", SECONDS)
def test_seconds_may_be_given_whole(name: str) -> None:
    """An int is a number of seconds too."""
    assert getattr(limits(name, 1), name) == 1


def test_the_defaults_fit_each_other() -> None:
    """A message fits its mailbox and a commit; no first delay is longer than its last; a checkpoint comes in time."""
    default = Limits()
    assert default.message_bytes_max <= default.mailbox_bytes_max <= default.memory_bytes_max
    assert default.message_bytes_max <= default.commit_bytes_max
    assert default.checkpoint_bytes_max <= default.unsaved_bytes_max
    assert default.backoff_first_s <= default.backoff_last_s
    assert default.commit_retry_first_s <= default.commit_retry_last_s


def test_the_defaults_are_those_that_are_promised() -> None:
    """The figures that documents and precedents name."""
    default = Limits()
    assert (default.mailbox_messages_max, default.mailbox_bytes_max) == (64, MIB)
    assert default.memory_bytes_max == 256 * MIB
    assert (default.checkpoint_s, default.checkpoint_bytes_max) == (0.25, 4096)
    assert (default.restarts_max, default.restart_window_s) == (5, 30.0)
    assert (default.backoff_first_s, default.backoff_last_s, default.stable_s) == (0.2, 30.0, 60.0)
    assert (default.quarantine_s, default.ask_s) == (600.0, 5.0)
    assert (default.activations_max, default.dead_letters_max) == (50, 10_000)
    assert (default.log_repeats_max, default.log_window_s) == (10, 300.0)


def test_limits_cannot_be_changed_or_given_by_position() -> None:
    """What ``statistics()`` shows is what holds, and no two limits are confused."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Limits().ask_s = 1.0  # type: ignore[misc]  # the point of the test
    with pytest.raises(TypeError):
        Limits(64)  # type: ignore[call-arg]  # as above


def test_a_limit_that_does_not_exist_is_refused() -> None:
    """A misspelt name never passes silently."""
    with pytest.raises(TypeError, match="mailbox_messages"):
        limits("mailbox_messages", 64)
