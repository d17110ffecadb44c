"""The outcome of a tool is a value."""

import attrs
import pytest

from actors.runtime.tool import ToolOutcome


def test_an_outcome_is_good_unless_it_says_otherwise_and_never_changes() -> None:
    """What a model was told stays what it was told."""
    outcome = ToolOutcome("found")
    assert (outcome.ok, outcome) == (True, ToolOutcome("found", ok=True))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(outcome, "content", "other")  # noqa: B010 - the point of the test
