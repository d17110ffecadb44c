"""What a model in a loop does, and where it is stopped: each bound on its own, and the first one counts."""

import pytest

from actors.core.guards import Guard, Guards
from actors.core.limits import Limits
from actors.core.spending import Allowance, Usage

LIMITS = Limits(failing_calls_max=2, same_calls_max=3, empty_replies_max=1, tool_calls_max=6, prompts_max=2)
FIND, READ = ("find", "{}"), ("read", '{"n": 1}')


def broken(guards: Guards) -> str:
    """Name the bound that was broken, empty if none was."""
    return "" if guards.broken is None else str(guards.broken.guard)


def test_promise_path_28_a_turn_may_take_so_many_hops_and_no_more() -> None:
    """One more than the bound breaks it; the detail says which bound it was."""
    guards = Guards(Limits(hops_max=4))
    for hop in range(1, 5):
        guards.hop(hop)
        assert (guards.hops, broken(guards)) == (hop, "")
    guards.hop(5)
    assert guards.broken is not None
    assert (guards.broken.guard, guards.broken.detail) == (Guard.HOPS, "a turn may take 4 hops")


def test_a_batch_of_calls_is_a_hop_of_an_agent_that_marks_none() -> None:
    """However many calls it holds; once the agent marks its rounds itself, only those count."""
    guards = Guards(Limits(hops_max=3, tool_calls_max=1000, same_calls_max=1000))
    for number in range(3):
        guards.call([FIND] * 5, 5 * number, interactive=False)
    assert (guards.hops, broken(guards)) == (3, "")
    guards.call([FIND], 15, interactive=False)
    assert broken(guards) == "hops"
    marked = Guards(Limits(hops_max=3, tool_calls_max=1000, same_calls_max=1000))
    for number in range(3):
        marked.hop(number)
        marked.call([FIND], 2 * number, interactive=False)
        marked.call([FIND], 2 * number + 1, interactive=False)
    assert (marked.hops, broken(marked)) == (3, "")


def test_promise_path_29_a_turn_that_makes_the_same_call_again_and_again_is_stopped() -> None:
    """The same is the same tool with the same arguments; others in between change nothing."""
    guards = Guards(LIMITS)
    for number in range(3):
        guards.call([FIND, (f"other {number}", "{}")][:1], number, interactive=False)
        assert broken(guards) == ""
    guards.call([READ], 3, interactive=False)
    assert broken(guards) == ""
    guards.call([FIND], 4, interactive=False)
    assert broken(guards) == "same_calls"


def test_a_call_that_has_failed_so_many_times_is_not_made_again() -> None:
    """Another one is, and one that succeeds never counts as a failure."""
    guards = Guards(LIMITS)
    guards.call([FIND, READ], 0, interactive=False)
    guards.ended(0, ok=False)
    guards.ended(1, ok=True)
    guards.call([FIND, READ], 2, interactive=False)
    guards.ended(2, ok=False)
    guards.ended(3, ok=True)
    guards.call([READ], 4, interactive=False)
    assert broken(guards) == ""
    guards.call([FIND], 5, interactive=False)
    assert broken(guards) == "failing_calls"


def test_a_tool_that_talks_to_a_person_may_be_called_again_and_again() -> None:
    """A person may well be asked the same; only the bound on all calls holds."""
    guards = Guards(LIMITS)
    for number in range(4):
        guards.call([FIND], number, interactive=True)
        guards.ended(number, ok=False)
    assert broken(guards) == ""
    guards.call([FIND] * 3, 4, interactive=True)
    assert broken(guards) == "tool_calls"


@pytest.mark.parametrize(
    ("said", "expected"),
    [([0, 0, 0], "empty_replies"), ([0, 1, 1, 2], ""), ([0, 0, 1, 1], ""), ([3, 3, 3], "empty_replies")],
)
def test_promise_path_30_a_turn_whose_model_answers_with_nothing_is_stopped(said: list[int], expected: str) -> None:
    """More replies in a row without a word or a call than the bound; any word begins the count anew."""
    guards = Guards(LIMITS)
    for total in said:
        guards.hop(total)
    assert broken(guards) == expected


def test_a_turn_may_ask_so_many_questions() -> None:
    """Those that are answered included."""
    guards = Guards(LIMITS)
    for asked in (0, 1):
        guards.ask(asked)
    assert broken(guards) == ""
    guards.ask(2)
    assert broken(guards) == "prompts"


def test_a_budget_that_is_spent_breaks_a_bound_and_none_breaks_without_one() -> None:
    """Whatever was spent last."""
    guards = Guards(LIMITS)
    guards.spend(Usage(10**9, 10**9), None)
    guards.spend(Usage(9, 0), Allowance(tokens_max=10))
    assert broken(guards) == ""
    guards.spend(Usage(10, 0), Allowance(tokens_max=10))
    assert broken(guards) == "budget"


def test_the_first_bound_that_is_broken_counts() -> None:
    """What the agent does after it changes nothing of the reason."""
    guards = Guards(LIMITS)
    guards.ask(2)
    for number in range(20):
        guards.hop(number)
    assert broken(guards) == "prompts"
