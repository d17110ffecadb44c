"""The tables of the five lives: what they hold, and that what happens to a session keeps to them."""

import ast
import itertools
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given

from actors.core.decision import Decision
from actors.core.events import (
    MessageAccepted,
    PromptAnswered,
    PromptClosed,
    PromptExpired,
    PromptOpened,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
)
from actors.core.lifecycle import (
    ATTEMPT_ENDS,
    PART,
    PROMPT,
    SESSION,
    TOOL_CALL,
    TURN,
    TURN_ENDS,
    PartStatus,
    PromptStatus,
    SessionPhase,
    ToolStatus,
    TurnStatus,
    next_phase,
)
from actors.core.state import SessionState
from tests.core.play import (
    Call,
    Checkpoint,
    Die,
    End,
    Lapse,
    Pass,
    Play,
    Question,
    Reply,
    Return,
    Say,
    Send,
    Start,
    Step,
    Taken,
    Withdraw,
    plays,
)

RUNTIME = Path(__file__).resolve().parent.parent.parent / "actors" / "runtime"

Table = Mapping[tuple[StrEnum, str], StrEnum]
Move = tuple[StrEnum, StrEnum]

TABLES: dict[str, tuple[Table, type[StrEnum]]] = {
    "session": (SESSION, SessionPhase),  # type: ignore[dict-item]  # a mapping's keys are invariant, and only read here
    "turn": (TURN, TurnStatus),  # type: ignore[dict-item]  # as above
    "part": (PART, PartStatus),  # type: ignore[dict-item]  # as above
    "tool call": (TOOL_CALL, ToolStatus),  # type: ignore[dict-item]  # as above
    "prompt": (PROMPT, PromptStatus),  # type: ignore[dict-item]  # as above
}

ENDS: dict[str, set[str]] = {
    "session": {"stopped", "deleted", "fenced"},
    "turn": {"completed", "failed", "cancelled", "interrupted", "expired"},
    "part": {"complete", "cut"},
    "tool call": {"ok", "error", "cancelled", "interrupted"},
    "prompt": {"answered", "expired", "closed"},
}

TRIGGERS = sorted({trigger for table, _ in TABLES.values() for _, trigger in table})
PHASE_PAIRS = list(itertools.product(SessionPhase, TRIGGERS))

CALL = Call(("a",))
ASK = Question(("yes", "no"))
REACHES: dict[tuple[TurnStatus, str], list[Step]] = {
    (TurnStatus.QUEUED, "start"): [Send(), End(TurnStatus.COMPLETED, begin_next=False), Start()],
    (TurnStatus.QUEUED, "resume"): [ASK, Die("retry"), Start()],
    (TurnStatus.QUEUED, "cancel"): [Send(), Withdraw(0)],
    (TurnStatus.QUEUED, "expire"): [Send(5.0), Pass(5.0), End(TurnStatus.COMPLETED)],
    (TurnStatus.RUNNING, "wait"): [CALL],
    (TurnStatus.RUNNING, "complete"): [End(TurnStatus.COMPLETED)],
    (TurnStatus.RUNNING, "fail"): [End(TurnStatus.FAILED)],
    (TurnStatus.RUNNING, "cancel"): [End(TurnStatus.CANCELLED)],
    (TurnStatus.RUNNING, "interrupt"): [Die("mark")],
    (TurnStatus.RUNNING, "retry"): [Die("retry")],
    (TurnStatus.WAITING, "go_on"): [CALL, ASK, Return(0, ok=True), Reply(0, "yes")],
    (TurnStatus.WAITING, "complete"): [CALL, End(TurnStatus.COMPLETED)],
    (TurnStatus.WAITING, "fail"): [CALL, End(TurnStatus.FAILED)],
    (TurnStatus.WAITING, "cancel"): [ASK, End(TurnStatus.CANCELLED)],
    (TurnStatus.WAITING, "interrupt"): [ASK, End(TurnStatus.INTERRUPTED)],
    (TurnStatus.WAITING, "retry"): [CALL, ASK, Die("retry")],
}
"""For each entry of the turns' table, what comes after the first message so that the last step makes that move."""

SMALL_LIVES: dict[str, list[Step]] = {
    "part": [Say("text", "a"), Checkpoint(), End(TurnStatus.COMPLETED)],
    "part that is cut": [Say("text", "a"), Checkpoint(), Die("mark")],
    "call that returns": [CALL, Return(0, ok=True)],
    "call that raises": [CALL, Return(0, ok=False)],
    "call that is cancelled": [CALL, End(TurnStatus.CANCELLED)],
    "call that is interrupted": [CALL, Die("mark")],
    "prompt that is answered": [ASK, Reply(0, "yes")],
    "prompt that expires": [Question((), 5.0), Pass(5.0), Lapse(0)],
    "prompt that is closed": [ASK, End(TurnStatus.COMPLETED)],
}

PROMPT_ENDS = {
    PromptAnswered: PromptStatus.ANSWERED,
    PromptExpired: PromptStatus.EXPIRED,
    PromptClosed: PromptStatus.CLOSED,
}


def moves_of(table: Table) -> set[Move]:
    """List the moves that a table allows."""
    return {(before, after) for (before, _), after in table.items()}


def start_of(states: type[StrEnum]) -> StrEnum:
    """Name the state in which a life begins: the first of its enumeration."""
    return next(iter(states))


def statuses(state: SessionState) -> dict[int, TurnStatus]:
    """Name the status of every open turn."""
    found = dict.fromkeys((queued.turn for queued in state.queue), TurnStatus.QUEUED)
    return found if state.running is None else {**found, state.running.turn: state.running.status}


def turn_moves(taken: Taken) -> Iterator[Move]:
    """Give the moves that one command made of turns."""
    if not isinstance(taken.outcome, Decision):
        return
    before, after = statuses(taken.before), statuses(taken.after)
    for body in taken.outcome.bodies:
        if isinstance(body, MessageAccepted) and not body.joined:
            before[body.turn] = TurnStatus.QUEUED
        elif isinstance(body, TurnEnded):
            assert body.turn not in after
            after[body.turn] = body.status
    assert before.keys() == after.keys()
    yield from ((status, after[turn]) for turn, status in before.items() if status is not after[turn])


def small_moves(play: Play) -> Iterator[tuple[str, Move]]:
    """Give the moves of parts, calls and prompts, each with the table that must allow it."""
    parts: dict[tuple[int, int, int, int], PartStatus] = {}
    calls: dict[tuple[int, int, int], ToolStatus] = {}
    prompts: dict[tuple[int, int], PromptStatus] = {}
    for body in play.bodies:
        match body:
            case TextAppended():
                place = (body.turn, body.attempt, body.message, body.part)
                yield "part", (parts.get(place, PartStatus.STREAMING), body.status)
                parts[place] = body.status
            case ToolCalled():
                calls[body.turn, body.attempt, body.call] = ToolStatus.RUNNING
            case ToolEnded():
                call = (body.turn, body.attempt, body.call)
                yield "tool call", (calls[call], body.status)
                calls[call] = body.status
            case PromptOpened():
                prompts[body.turn, body.prompt] = PromptStatus.OPEN
            case PromptAnswered() | PromptExpired() | PromptClosed():
                status = PROMPT_ENDS[type(body)]
                yield "prompt", (prompts[body.turn, body.prompt], status)
                prompts[body.turn, body.prompt] = status
            case _:
                pass


@pytest.mark.parametrize("life", TABLES)
def test_a_table_knows_only_the_states_of_its_life(life: str) -> None:
    """Each entry leads from a state of the life to one of the same life, by a word."""
    table, states = TABLES[life]
    for (before, trigger), after in table.items():
        assert {type(before), type(after)} == {states}
        assert trigger.replace("_", "").isalpha()
        assert trigger.islower()


@pytest.mark.parametrize("life", TABLES)
def test_no_two_triggers_make_the_same_move(life: str) -> None:
    """A move has one cause, so two states that follow each other say which."""
    table, _ = TABLES[life]
    assert len(moves_of(table)) == len(table)


@pytest.mark.parametrize("life", TABLES)
def test_every_state_of_a_life_can_be_reached_from_its_first(life: str) -> None:
    """A state that nothing leads to would be a word without a meaning."""
    table, states = TABLES[life]
    reached = {start_of(states)}
    for _ in states:
        reached |= {after for before, after in moves_of(table) if before in reached}
    assert reached == set(states)


@pytest.mark.parametrize("life", TABLES)
def test_a_life_ends_in_exactly_the_states_that_nothing_leaves(life: str) -> None:
    """The ends are those that are promised, and every other state can still come to one."""
    table, states = TABLES[life]
    ends = set(states) - {before for before, _ in moves_of(table)}
    assert {str(end) for end in ends} == ENDS[life]
    ending = set(ends)
    for _ in states:
        ending |= {before for before, after in moves_of(table) if after in ending}
    assert ending == set(states)


def test_the_ends_of_turns_are_named_beside_their_table() -> None:
    """Five ends, and all but ``expired`` can come to a turn that runs."""
    assert {str(end) for end in TURN_ENDS} == ENDS["turn"]
    assert {str(end) for end in ATTEMPT_ENDS} == ENDS["turn"] - {"expired"}


@pytest.mark.parametrize("life", TABLES)
def test_a_table_cannot_be_changed(life: str) -> None:
    """What may happen is decided in one place."""
    table, states = TABLES[life]
    with pytest.raises(TypeError):
        table[start_of(states), "vanish"] = start_of(states)  # type: ignore[index]  # the point of the test


@pytest.mark.rule("L1")
@pytest.mark.parametrize(("phase", "trigger"), PHASE_PAIRS)
def test_a_session_moves_as_its_table_says_and_in_no_other_way(phase: SessionPhase, trigger: str) -> None:
    """Every phase meets every trigger of every life: what is not in the table is a bug, and says so."""
    following = SESSION.get((phase, trigger))
    if following is not None:
        assert next_phase(phase, trigger) is following
        return
    with pytest.raises(AssertionError, match=f"a session that is {phase} cannot {trigger}"):
        next_phase(phase, trigger)


def test_the_runtime_moves_sessions_by_every_trigger_of_the_table() -> None:
    """What the runtime's ``move`` is told are the triggers of the table, no more and no fewer."""
    told = {
        argument.value
        for path in RUNTIME.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "move"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert told == {trigger for _, trigger in SESSION}


@pytest.mark.rule("promise_words_5")
@given(plays())
def test_a_turn_moves_only_as_its_table_says(play: Play) -> None:
    """One command moves a turn by one entry of the table, or not at all; a new one is queued before it starts."""
    for taken in play.taken:
        for move in turn_moves(taken):
            assert move in moves_of(TABLES["turn"][0])


@given(plays())
def test_parts_calls_and_prompts_move_only_as_their_tables_say(play: Play) -> None:
    """Each event about one of them is an entry of its table."""
    for life, move in small_moves(play):
        assert move in moves_of(TABLES[life][0])


def test_there_is_a_way_to_every_entry_of_the_turns_table() -> None:
    """An entry that is added must be given its way."""
    assert set(REACHES) == set(TURN)


@pytest.mark.parametrize(("state", "trigger"), REACHES)
def test_every_entry_of_the_turns_table_is_made_by_a_command(state: TurnStatus, trigger: str) -> None:
    """The table holds no move that the core cannot make."""
    play = Play().play([Send(), *REACHES[state, trigger]])
    assert (state, TURN[state, trigger]) in set(turn_moves(play.taken[-1]))


def test_every_entry_of_the_small_tables_is_made_by_an_event() -> None:
    """Parts, calls and prompts come to every move that their tables hold."""
    seen = {found for steps in SMALL_LIVES.values() for found in small_moves(Play().play([Send(), *steps]))}
    expected = {(life, move) for life in ("part", "tool call", "prompt") for move in moves_of(TABLES[life][0])}
    assert seen == expected


@pytest.mark.parametrize("status", sorted(set(TurnStatus) - ATTEMPT_ENDS))
def test_an_attempt_cannot_end_in_a_status_that_is_not_its_end(status: TurnStatus) -> None:
    """That a turn which runs becomes queued, running, waiting or expired by its end would be a bug of the shell."""
    play = Play().play([Send()])
    with pytest.raises(AssertionError, match=f"a turn that runs cannot become {status}"):
        play.step(End(status))  # type: ignore[arg-type]  # the point of the test
