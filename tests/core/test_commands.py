"""The closed union of what may be asked of a session."""

from typing import get_args

import attrs
import msgspec
import pytest

from actors.core.commands import SEALED_CONTENT, Accept, Command, Create, Emit, Finish, Recover
from actors.core.lifecycle import ToolStatus, TurnStatus

KINDS: tuple[type[Command], ...] = get_args(Command)
FROM_OUTSIDE = {
    "Create", "Edit", "Accept", "Begin", "Answer", "Expire", "ResetBudget", "Cancel", "Recover",
    "Pause", "Resume", "EditQueued", "Reorder", "Clear", "Skip", "Retry",
    "SetReminder", "DropReminder", "Remind", "CloseChild", "Migrate",
    "ReplaceState",
}  # fmt: skip
"""What others ask, so it speaks for no attempt."""


def fields_of(kind: type[Command]) -> list[str]:
    """List the fields of a command, attrs or struct."""
    if issubclass(kind, msgspec.Struct):
        return list(kind.__struct_fields__)
    return [field.name for field in attrs.fields(kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_attempt_asks_says_for_which_attempt_it_speaks(kind: type[Command]) -> None:
    """So that what an old attempt still says is recognised; nobody else knows of attempts."""
    named = {"turn", "attempt"} <= set(fields_of(kind))
    assert named is (kind.__name__ not in FROM_OUTSIDE)


@pytest.mark.parametrize(
    "command",
    [
        Create(),
        Accept("m1", "hello"),
        Emit(1, 1, ()),
        Finish(1, 1, TurnStatus.COMPLETED),
        Recover("retry", attempts_max=1),
    ],
)
def test_a_command_cannot_be_changed(command: Command) -> None:
    """What is decided is what was asked."""
    with pytest.raises(AttributeError):
        setattr(command, fields_of(type(command))[0], None)


def test_a_finish_begins_the_next_turn_unless_told_otherwise() -> None:
    """The common end: nothing more was said, no state, and the next turn in the same commit."""
    finish = Finish(1, 1, TurnStatus.COMPLETED)
    assert (finish.bodies, finish.state, finish.reason, finish.error, finish.begin_next) == ((), None, "", "", True)


def test_every_outcome_that_seals_a_call_has_words_for_the_model() -> None:
    """An open call is sealed as cancelled, interrupted or failed, and a model is told which in a sentence."""
    assert set(SEALED_CONTENT) == {ToolStatus.CANCELLED, ToolStatus.INTERRUPTED, ToolStatus.ERROR}
    assert all(content.endswith(".") for content in SEALED_CONTENT.values())
    assert len(set(SEALED_CONTENT.values())) == len(SEALED_CONTENT)
