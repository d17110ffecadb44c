"""The queue of a session under a person's hands: what may be done to turns that wait, and what not."""

import pytest
from hypothesis import given

from actors.core.commands import Accept, Begin, Clear, EditQueued, Pause, QueueCommand, Reorder, Resume, Retry, Skip
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal
from actors.core.events import MessageAccepted, QueuedEdited, QueueReordered, TurnEnded, TurnStarted
from actors.core.ids import DropReason
from actors.core.lifecycle import TurnStatus
from actors.core.limits import Limits
from actors.core.queueing import waits
from actors.core.session import decide
from actors.core.spending import Allowance
from actors.core.state import QueuedTurn, fold
from tests.core.play import (
    QUEUE_TURNS_MAX,
    Control,
    Die,
    Edit,
    End,
    Play,
    Say,
    Send,
    Start,
    Step,
    Withdraw,
    plays,
    under,
)

DONE = End(TurnStatus.COMPLETED)
THREE: list[Step] = [Send()] * 4


def places(play: Play) -> dict[int, int]:
    """Say where the turns that wait stand, in their order."""
    return {item.turn: item.place for item in play.state.queue}


def begun(play: Play) -> list[int]:
    """List the turns that began, in their order."""
    return [body.turn for body in play.bodies if isinstance(body, TurnStarted)]


def test_a_paused_queue_begins_nothing_and_the_running_turn_goes_on() -> None:
    """Not when a turn ends, nor when a message comes to an idle session, nor after a crash; until it is resumed."""
    play = Play().play([Send(), Send(), Control(Pause()), Say("text", "on"), DONE, Send(), Die("mark"), Start()])
    assert begun(play) == [1]
    assert play.state.status == "queued"
    play.step(Control(Resume()))
    assert begun(play) == [1, 2]
    play.play([DONE, DONE])
    assert begun(play) == [1, 2, 3]


def test_pausing_twice_and_resuming_what_is_not_paused_writes_nothing() -> None:
    """Whoever asks gets what they wanted, and the journal does not repeat itself."""
    play = Play().play([Control(Pause()), Control(Pause()), Control(Resume()), Control(Resume())])
    assert len(play.bodies) == 3


def test_a_message_is_edited_where_it_stands_until_its_turn_begins() -> None:
    """Its text is the only thing that changes; the one in flight is nobody's to edit."""
    play = under("merge").play([Send(), Send(), Send()])
    first, second = play.state.queue[0].messages
    play.ask_core(EditQueued(2, "better", second.message_id))
    play.ask_core(EditQueued(2, "good"))
    assert [message.text for message in play.state.queue[0].messages] == ["good", "better"]
    assert [message.seq for message in play.state.queue[0].messages] == [first.seq, second.seq]
    assert [m.text for m in play.transcript.of_turn(2)] == ["good", "better"]
    play.ask_core(EditQueued(2, "good"))
    assert sum(isinstance(body, QueuedEdited) for body in play.bodies) == 2, "the same text again writes nothing"
    play.step(DONE)
    refused = play.ask_core(EditQueued(2, "late"))
    assert isinstance(refused, Refusal)
    assert refused.reason == "turn_running"


@pytest.mark.parametrize(
    ("turn", "reason"), [(1, "turn_running"), (2, "not_running"), (3, None), (9, "not_running"), (0, "not_running")]
)
def test_only_a_turn_that_waits_and_has_not_begun_can_be_touched(turn: int, reason: str | None) -> None:
    """One runs, one was cancelled, one waits, two are not there."""
    play = Play().play([Send(), Send(), Send(), Withdraw(1)])
    item = waits(play.state, turn)
    assert (item.reason if isinstance(item, Refusal) else None) == reason


def test_a_turn_that_was_begun_before_cannot_be_edited_or_moved() -> None:
    """It stands first, since it was begun first; what it has done once must not be done to another text."""
    play = Play().play([Send(), Send(), Die("retry")])
    for command in (EditQueued(1, "other"), Reorder((2, 1))):
        refused = play.ask_core(command)
        assert isinstance(refused, Refusal)
        assert refused.reason == "turn_running"


def test_turns_take_each_others_places_and_begin_in_that_order() -> None:
    """Those that are not named stay where they are, and so do those that come later."""
    play = Play(policy=Policy(Limits())).play([*THREE, Send()])
    play.ask_core(Reorder((5, 4, 2)))
    assert places(play) == {5: 2, 3: 3, 4: 4, 2: 5}
    play.step(Send())
    assert places(play) == {5: 2, 3: 3, 4: 4, 2: 5, 6: 6}
    play.play([DONE] * 6)
    assert begun(play) == [1, 5, 3, 4, 2, 6]
    shown = [(message.turn, message.place) for message in play.transcript.messages()]
    assert shown == [(1, 0), (5, 2), (3, 0), (4, 0), (2, 5), (6, 0)]


def test_a_turn_that_is_back_at_the_place_of_its_number_stands_there_as_if_never_moved() -> None:
    """Reordering there and back leaves no trace but its events."""
    play = Play().play(THREE)
    play.ask_core(Reorder((4, 3, 2)))
    play.ask_core(Reorder((2, 3, 4)))
    assert places(play) == {2: 2, 3: 3, 4: 4}
    play.play([DONE] * 4)
    assert {message.place for message in play.transcript.messages()} == {0}


def test_an_order_that_stands_already_writes_nothing() -> None:
    """Neither does one of a single turn, or of none."""
    play = Play().play(THREE)
    for turns in ((2, 3, 4), (3,), ()):
        assert play.ask_core(Reorder(turns)) == Decision(())


def test_clearing_ends_all_that_wait_and_skipping_the_next() -> None:
    """Each with its own word; what runs is not touched."""
    play = Play().play([*THREE, Control(Skip()), Control(Clear())])
    ends = [(body.turn, body.status, body.reason) for body in play.bodies if isinstance(body, TurnEnded)]
    assert ends == [(2, "cancelled", "skipped"), (3, "cancelled", "cleared"), (4, "cancelled", "cleared")]
    assert play.state.running is not None
    assert play.state.running.turn == 1


def test_skipping_works_while_the_queue_is_paused() -> None:
    """The order of what waits is a person's to change before they let it go on."""
    play = Play().play([Send(), Send(), Send(), Control(Pause()), DONE, Control(Skip()), Control(Resume())])
    assert begun(play) == [1, 3]


def test_a_retry_is_one_new_turn_with_the_messages_of_the_old_and_keys_of_its_own() -> None:
    """It waits behind all others; the old turn stays as it ended."""
    play = Play().play([Send(), End(TurnStatus.FAILED), Send(), Send()])
    again = Retry(1, (Accept("retry/1", "hello"), Accept("retry/1/1", "and?")))
    outcome = play.ask_core(again)
    assert isinstance(outcome, Decision)
    assert outcome.bodies == (
        MessageAccepted("retry/1", 4, "hello"),
        MessageAccepted("retry/1/1", 4, "and?", joined="merge"),
    )
    assert [item.turn for item in play.state.open_turns] == [2, 3, 4]
    play.play([DONE] * 2)
    assert begun(play) == [1, 2, 3, 4]


def test_a_retry_begins_next_if_nothing_is_before_it_and_is_refused_without_room() -> None:
    """It is a message like others: bounded, and not begun while the queue is paused."""
    play = Play().play([Send(), End(TurnStatus.FAILED)])
    play.ask_core(Retry(1, (Accept("retry/1", "hello"),)))
    play.step(Start())
    assert begun(play) == [1, 2]
    play.play([Send()] * QUEUE_TURNS_MAX)
    refused = play.ask_core(Retry(1, (Accept("retry/1", "hello"),)))
    assert isinstance(refused, Refusal)
    assert refused.reason == "queue_full"
    paused = Play().play([Send(), End(TurnStatus.FAILED), Control(Pause())])
    paused.ask_core(Retry(1, (Accept("retry/1", "hello"),)))
    paused.step(Start())
    assert (begun(paused), places(paused)) == ([1], {2: 2})


@given(plays())
def test_whatever_is_asked_of_a_queue_touches_nothing_that_runs_or_has_run(play: Play) -> None:
    """From edit to skip, the running turn is the same value before and after."""
    waiting = [item.turn for item in play.state.queue if not item.begun]
    commands: list[QueueCommand] = [
        Pause(),
        Resume(),
        Clear(),
        Skip(),
        Reorder(tuple(waiting[::-1])),
        EditQueued(play.state.turns, "new"),
    ]
    for command in commands:
        before = play.state
        outcome = play.ask_core(command)
        assert play.state.running == before.running
        assert play.state.turns == before.turns
        if isinstance(outcome, Refusal):
            assert play.state is before


@given(plays())
def test_a_reordering_permutes_the_places_of_the_turns_it_names(play: Play) -> None:
    """No place is made up, none is lost, and nobody else is moved."""
    for taken in play.taken:
        if isinstance(taken.outcome, Decision):
            for body in taken.outcome.bodies:
                if isinstance(body, QueueReordered):
                    before = {item.turn: item.place for item in taken.before.queue}
                    after = {item.turn: item.place for item in taken.after.queue}
                    assert sorted(before.values()) == list(after.values())
                    assert {turn for turn in before if before[turn] != after[turn]} <= set(body.turns)
                    assert [turn for turn in after if turn in body.turns] == list(body.turns)


def test_an_edit_in_a_play_reaches_every_kind_of_refusal() -> None:
    """The plays that properties are drawn from do edit, and are refused too."""
    play = Play().play([Send(), Edit(0), Send(), Edit(0)])
    outcomes = [taken.outcome for taken in play.taken if isinstance(taken.command, EditQueued)]
    assert isinstance(outcomes[0], Refusal)
    assert isinstance(outcomes[1], Decision)


def test_a_begin_passes_over_what_has_expired() -> None:
    """And begins the first that has not."""
    state = fold(Play().state, (MessageAccepted("a", 1, "a", deadline_s=1.0), MessageAccepted("b", 2, "b")))
    assert state.queue[0] == QueuedTurn(1, "a", "a", deadline_s=1.0, seq=2)
    outcome = Play(state=state).ask_core(Begin())
    assert isinstance(outcome, Decision)
    assert [type(body) for body in outcome.bodies] == [TurnEnded, TurnStarted]


def test_a_retry_is_no_way_round_a_budget() -> None:
    """It begins another turn, so it is refused as a message would be."""
    state = Play().play([Send(), End(TurnStatus.FAILED)]).state
    again = Retry(1, (Accept("retry/1", "hello"),))
    for turns_max, reason in ((1, DropReason.BUDGET_SPENT), (2, None)):
        policy = Policy(Limits(), allowance=Allowance(turns_max=turns_max))
        outcome = decide(state, again, policy, 1000.0)
        assert (outcome.reason if isinstance(outcome, Refusal) else None) == reason
