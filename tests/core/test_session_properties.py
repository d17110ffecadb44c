"""What holds of a session after any play: checked on the events alone, by rules that do not know ``decide``."""

import copy
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.codec import decode_body, encode_body
from actors.core.commands import Begin, Recover
from actors.core.decision import Decision
from actors.core.effects import Effect, Refusal, StartTurn, StopTurn, WakePrompt
from actors.core.events import (
    AttemptInterrupted,
    AttemptSetAside,
    EventBody,
    MessageAccepted,
    MessageSteered,
    PromptAnswered,
    PromptClosed,
    PromptExpired,
    PromptOpened,
    QueuedEdited,
    QueueReordered,
    StateSaved,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
    TurnStarted,
    TurnSuperseded,
)
from actors.core.lifecycle import TURN_ENDS, PartStatus, ToolStatus, TurnStatus
from actors.core.session import decide
from actors.core.state import ROLLED_BACK, SUPERSEDED, SessionState, evolve, fold, is_held
from tests.core.bodies import KINDS, bodies_of
from tests.core.play import CHAT, POLICIES, Play, plays


def turn_of(body: EventBody) -> int:
    """Name the turn a body speaks of, 0 for the session itself."""
    number = getattr(body, "turn", 0)
    assert isinstance(number, int)
    return number


@pytest.mark.rule("promise_words_8")
@given(plays())
def test_the_number_of_a_session_counts_its_events(play: Play) -> None:
    """Every event is numbered one higher than the one before, from 1, and the state knows the last."""
    assert [event.seq for event in play.events] == list(range(1, len(play.events) + 1))
    assert play.state.seq == len(play.events)
    assert play.state.chat_id == CHAT


@given(plays())
def test_folding_the_journal_gives_the_state_that_was_kept(play: Play) -> None:
    """What is read back from the bytes of the journal and folded from nothing is the state that was kept."""
    read = tuple(decode_body(encode_body(body)) for body in play.bodies)
    assert read == tuple(play.bodies)
    assert fold(SessionState(CHAT), read) == play.state


@given(plays())
def test_deciding_changes_no_state_and_says_the_same_again(play: Play) -> None:
    """The same command in the same state at the same time comes to the same; the state is as it was."""
    for taken in play.taken:
        kept = copy.deepcopy(taken.before)
        assert decide(taken.before, taken.command, play.policy, taken.now_s) == taken.outcome
        assert taken.before == kept


@given(plays())
def test_a_refused_command_leaves_the_state_alone(play: Play) -> None:
    """A refusal is a value: nothing is written and nothing has changed."""
    for taken in play.taken:
        if isinstance(taken.outcome, Refusal):
            assert taken.after is taken.before
            assert taken.outcome.detail


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(play=plays(), data=st.data())
def test_evolving_never_fails_whatever_the_event(kind: type[EventBody], play: Play, data: st.DataObject) -> None:
    """Even an event that makes no sense is counted: a state follows from every journal, right or wrong."""
    body = data.draw(bodies_of(kind))
    after = evolve(play.state, body)
    assert (after.chat_id, after.seq) == (getattr(body, "new_id", CHAT), play.state.seq + 1)


@pytest.mark.rule("promise_1", "promise_words_5")
@given(plays())
def test_every_turn_has_one_end_and_it_is_its_last_event(play: Play) -> None:
    """After its terminal event a turn is silent, but for its questions, which outlive it; one without one is open."""
    ended: set[int] = set()
    accepted: set[int] = set()
    for body in play.bodies:
        turn = turn_of(body)
        later = isinstance(body, PromptAnswered | PromptExpired | PromptClosed)  # of a question that outlived its turn
        assert later or turn not in ended
        if isinstance(body, MessageAccepted):
            accepted.add(turn)
        if isinstance(body, TurnEnded):
            assert body.status in TURN_ENDS
            ended.add(turn)
    assert {queued.turn for queued in play.state.open_turns} == accepted - ended


@pytest.mark.rule("T1")
@given(plays())
def test_turns_never_overlap_and_each_attempt_is_counted(play: Play) -> None:
    """One attempt runs at a time, whatever speaks is of that attempt, and attempts are numbered 1, 2, and so on."""
    running: tuple[int, int] | None = None
    attempts: Counter[int] = Counter()
    for body in play.bodies:
        match body:
            case TurnStarted():
                assert running is None
                attempts[body.turn] += 1
                assert body.attempt == attempts[body.turn]
                running = (body.turn, body.attempt)
            case AttemptInterrupted() | TextAppended() | ToolCalled() | ToolEnded() | PromptOpened() | MessageSteered():
                assert running == (body.turn, body.attempt)
            case TurnSuperseded():
                assert running == (body.turn, body.attempt)
            case StateSaved():
                assert running is not None
                assert running[0] == body.turn
            case TurnEnded() if body.attempt and not (body.status is TurnStatus.CANCELLED and running is None):
                assert running == (body.turn, body.attempt)
            case _:
                assert turn_of(body) == 0 or isinstance(
                    body,
                    MessageAccepted
                    | QueuedEdited
                    | TurnEnded
                    | AttemptSetAside
                    | PromptAnswered
                    | PromptExpired
                    | PromptClosed,
                )
        if isinstance(body, AttemptInterrupted | TurnEnded) and running == (body.turn, body.attempt):
            running = None
    state = play.state.running
    assert running == (None if state is None else (state.turn, state.attempt))


@pytest.mark.rule("M4", "promise_path_6")
@given(plays())
def test_turns_are_numbered_and_begun_in_the_order_of_acceptance(play: Play) -> None:
    """First come, first served, unless a person says otherwise: only a reordering puts a turn before an earlier one."""
    accepted = [body.turn for body in play.bodies if isinstance(body, MessageAccepted) and not body.joined]
    assert accepted == list(range(1, len(accepted) + 1))
    waiting: list[int] = []
    for body in play.bodies:
        if isinstance(body, MessageAccepted):
            waiting += [] if body.joined else [body.turn]
        elif isinstance(body, QueueReordered):
            named = iter(body.turns)
            waiting = [next(named) if turn in body.turns else turn for turn in waiting]
        elif isinstance(body, TurnStarted):
            assert waiting[0] == body.turn
        elif isinstance(body, TurnEnded):
            waiting.remove(body.turn)
    assert [queued.turn for queued in play.state.open_turns] == waiting


@pytest.mark.rule("promise_6")
@given(plays())
def test_every_tool_call_has_exactly_one_outcome_before_its_attempt_is_over(play: Play) -> None:
    """A call that the agent left open is sealed; none ends twice, none that was never made ends."""
    running: dict[int, str] = {}
    kept: set[int] = set()
    calls = 0
    for body in play.bodies:
        if isinstance(body, TurnStarted):
            calls = calls if body.turn in kept else 0
            assert not running
        elif isinstance(body, ToolCalled):
            assert body.call == calls
            calls += 1
            running[body.call] = body.call_id
        elif isinstance(body, ToolEnded):
            assert body.status is not ToolStatus.RUNNING
            del running[body.call]
        elif isinstance(body, AttemptSetAside):
            kept.discard(body.turn)
        elif isinstance(body, AttemptInterrupted):
            assert not running
            kept = {body.turn} if body.keep else set()
        elif isinstance(body, TurnEnded) and body.attempt:
            assert not running
    state = play.state.running
    assert list(running) == ([] if state is None else [call.call for call in state.calls])


@given(plays())
def test_every_prompt_is_answered_or_closed_once(play: Play) -> None:
    """The first answer wins; a prompt that nobody answered goes with its turn, unless that was interrupted."""
    opened: list[tuple[int, int]] = []
    named: set[tuple[int, int]] = set()
    for body in play.bodies:
        if isinstance(body, PromptOpened):
            assert (body.turn, body.prompt) not in named, "an answer could be taken for one to another question"
            opened.append((body.turn, body.prompt))
            named.add((body.turn, body.prompt))
        elif isinstance(body, PromptAnswered | PromptExpired | PromptClosed):
            opened.remove((body.turn, body.prompt))
        elif isinstance(body, TurnEnded) and body.status is not TurnStatus.INTERRUPTED:
            assert body.turn not in {turn for turn, _ in opened}
    assert sorted(opened) == sorted((prompt.turn, prompt.prompt) for prompt in play.state.open_prompts)
    assert len(play.state.standing.prompts) <= play.policy.limits.prompts_max


@given(plays())
def test_what_persons_answered_is_known_to_the_turn_for_as_long_as_it_is_open(play: Play) -> None:
    """So that nobody is asked again by a later attempt."""
    answers: dict[tuple[int, int], str] = {}
    asked: dict[tuple[int, int], str] = {}
    for body in play.bodies:
        if isinstance(body, PromptOpened):
            asked[body.turn, body.prompt] = body.type
        elif isinstance(body, PromptAnswered | PromptExpired) and body.answer is not None:
            answers[body.turn, body.prompt] = body.answer
    for item in play.state.open_turns:
        expected = {
            prompt: answer
            for (turn, prompt), answer in answers.items()
            if turn == item.turn and asked[turn, prompt] != "recovery"
        }
        assert {recorded.prompt: recorded.answer for recorded in item.background.recorded} == expected


@given(plays())
def test_the_text_of_a_part_has_no_gap_and_ends_with_its_attempt(play: Play) -> None:
    """Pieces of a part join end to end; one part grows at a time; an attempt that is over has none."""
    growing: tuple[int, int] | None = None
    length = 0
    for body in play.bodies:
        if isinstance(body, TextAppended):
            place = (body.message, body.part)
            assert growing in {None, place}
            assert body.offset == (length if growing else 0)
            length = body.offset + len(body.text)
            growing = place if body.status is PartStatus.STREAMING else None
        elif isinstance(body, AttemptInterrupted | TurnEnded) and body.attempt:
            assert growing is None
    part = None if play.state.running is None else play.state.running.part
    assert (growing, length if growing else None) == (
        (None, None) if part is None else ((part.message, part.part), part.offset)
    )


@given(plays())
def test_what_is_to_be_done_follows_from_what_was_written(play: Play) -> None:
    """Every start starts an attempt, every answer wakes its prompt, what is superseded is stopped, and that is all."""
    for taken in play.taken:
        if isinstance(taken.outcome, Decision):
            expected: list[Effect] = []
            for body in taken.outcome.bodies:
                if isinstance(body, TurnStarted):
                    expected.append(StartTurn(body.turn, body.attempt))
                elif isinstance(body, PromptAnswered | PromptExpired):
                    running = taken.before.running
                    if running is not None and running.turn == body.turn:
                        expected.append(WakePrompt(body.turn, body.prompt, body.answer))
                elif isinstance(body, TurnSuperseded):
                    expected.append(StopTurn(body.turn, ROLLED_BACK if body.hidden else SUPERSEDED))
            assert list(taken.outcome.effects) == expected


@given(plays())
def test_the_agents_state_is_the_last_that_was_saved(play: Play) -> None:
    """It is written with the turn that changed it, before the end of that turn, and kept until the next."""
    saved = [body for body in play.bodies if isinstance(body, StateSaved)]
    assert play.state.saved == (saved[-1].state if saved else None)
    for body, following in zip(play.bodies, play.bodies[1:], strict=False):
        if isinstance(body, StateSaved):
            assert isinstance(following, TurnEnded)
            assert (following.turn, following.status) == (body.turn, TurnStatus.COMPLETED)


@given(plays())
def test_recovering_a_second_time_changes_nothing(play: Play) -> None:
    """After one recovery nothing of an earlier life is running, so there is nothing to settle."""
    for policy in POLICIES:
        once = decide(play.state, Recover(policy, 3), play.policy, play.now_s)
        assert isinstance(once, Decision)
        state = fold(play.state, once.bodies)
        assert state.running is None
        assert decide(state, Recover(policy, 3), play.policy, play.now_s) == Decision(())
        assert [queued.place for queued in state.queue] == sorted(queued.place for queued in state.queue)


@given(plays())
def test_beginning_leaves_nobody_waiting_while_nothing_runs(play: Play) -> None:
    """After ``Begin`` a turn runs, the queue is empty or paused, or a person is asked what its first is to become."""
    outcome = decide(play.state, Begin(), play.policy, play.now_s)
    assert isinstance(outcome, Decision)
    state = fold(play.state, outcome.bodies)
    paused = state.standing.paused
    assert state.running is not None or not state.queue or paused or is_held(state, state.queue[0].turn)


@given(plays())
def test_the_queue_stays_within_its_bound(play: Play) -> None:
    """No more messages wait than the limit says, one more if an interrupted attempt waits in front again."""
    for taken in play.taken:
        assert len(taken.after.queue) <= play.policy.limits.queue_turns_max + 1
