"""What a session has spent, and what it may: counted exactly, each bound on its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.commands import Accept, ResetBudget
from actors.core.decision import Decision, Policy, refuse_spent
from actors.core.effects import Refusal
from actors.core.events import BudgetReset, EventBody, UsageAdded
from actors.core.ids import DropReason
from actors.core.limits import Limits
from actors.core.session import decide
from actors.core.spending import COST_MAX, TOKENS_MAX, TOTAL_MAX, Allowance, Usage, add_usage, checked_usage, millionths
from actors.core.state import SessionState, evolve, fold
from actors.errors import ConfigurationError
from tests.core.play import CHAT

IDLE = SessionState(CHAT, seq=1)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 1000))))
def test_what_was_spent_is_summed_exactly(spent: list[tuple[int, float]]) -> None:
    """In whatever order: there is no rounding but that of each cost to its millionth."""
    state, usage = IDLE, Usage()
    for tokens, cost in spent:
        more = checked_usage(tokens, cost, CHAT)
        usage = usage.plus(more)
        state = evolve(state, UsageAdded(1, more.tokens, more.cost_millionths))
    assert state.standing.usage == usage
    assert usage.tokens == sum(tokens for tokens, _ in spent)
    assert usage.cost_millionths == sum(millionths(cost) for _, cost in spent)


@pytest.mark.parametrize(
    ("allowance", "usage", "turns", "refused"),
    [
        (Allowance(), Usage(10**9, 10**12), 10**6, ""),
        (Allowance(tokens_max=10), Usage(9), 5, ""),
        (Allowance(tokens_max=10), Usage(10), 5, "10 of 10 tokens are spent"),
        (Allowance(cost_millionths_max=1_500_000), Usage(0, 1_499_999), 5, ""),
        (Allowance(cost_millionths_max=1_500_000), Usage(0, 1_500_000), 5, "1.5 of a cost of 1.5 is spent"),
        (Allowance(turns_max=3), Usage(), 2, ""),
        (Allowance(turns_max=3), Usage(), 3, "3 of 3 turns are spent"),
        (Allowance(turns_max=3), Usage(turns_before=3), 5, ""),
    ],
)
def test_promise_path_32_a_session_has_a_budget_of_tokens_and_of_cost(
    allowance: Allowance, usage: Usage, turns: int, refused: str
) -> None:
    """A bound that is reached refuses the next turn, and says which and how much."""
    assert allowance.refuses(usage, turns) == refused


def test_a_message_is_refused_while_the_budget_is_spent_and_taken_once_it_was_reset() -> None:
    """The session is told by one event, and begins to count anew."""
    policy = Policy(Limits(), allowance=Allowance(tokens_max=10, turns_max=100))
    state = evolve(IDLE, UsageAdded(1, 12))
    refused = decide(state, Accept("m", "hello"), policy, 0.0)
    assert refused == Refusal(DropReason.BUDGET_SPENT, "12 of 10 tokens are spent")
    reset = decide(state, ResetBudget(), policy, 0.0)
    assert reset == Decision((BudgetReset(0),))
    state = fold(state, reset.bodies)
    assert refuse_spent(state, policy) is None
    assert isinstance(decide(state, Accept("m", "hello"), policy, 0.0), Decision)


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        (-1, 0.0),
        (True, 0.0),
        (TOKENS_MAX, 0.0),
        (1.0, 0.0),
        ("1", 0.0),
        (0, -0.1),
        (0, float("nan")),
        (0, COST_MAX),
        (0, True),
        (0, "1"),
    ],
)
def test_what_is_no_such_number_is_refused(tokens: object, cost: object) -> None:
    """The agent's mistake, told with what to give."""
    with pytest.raises(ConfigurationError, match="tokens is") as caught:
        checked_usage(tokens, cost, CHAT)
    assert caught.value.hint


def test_a_total_stays_where_counting_stops() -> None:
    """Whatever an agent says it has spent, and however often: no sum becomes a number that cannot be stored."""
    most = checked_usage(TOKENS_MAX - 1, COST_MAX / 2, CHAT)
    assert most.tokens < TOTAL_MAX
    assert most.cost_millionths < TOTAL_MAX
    total = Usage(TOTAL_MAX - 1, TOTAL_MAX - 1, 7).plus(most)
    assert total == Usage(TOTAL_MAX, TOTAL_MAX, 7)
    assert 2 * TOTAL_MAX < 1 << 63


def test_what_was_spent_in_a_row_is_written_as_one_event() -> None:
    """So that what waits to be written does not grow; what was said between stays where it is."""
    bodies: list[EventBody] = []
    for tokens in (1, 2, 3):
        add_usage(bodies, 4, Usage(tokens, 10))
    bodies.append(BudgetReset(1))
    add_usage(bodies, 4, Usage(5))
    assert bodies == [UsageAdded(4, 6, 30), BudgetReset(1), UsageAdded(4, 5, 0)]
