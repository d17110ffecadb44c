"""What becomes of a message that finds its session busy, under every policy, and of the turns that were there."""

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.commands import Accept, Recover
from actors.core.decision import Decision, Policy
from actors.core.effects import Refusal, StopTurn
from actors.core.events import EventBody, MessageAccepted, MessageSteered, TurnEnded, TurnStarted, TurnSuperseded
from actors.core.lifecycle import TurnStatus
from actors.core.limits import Limits
from actors.core.overlap import messages_waiting, to_be_taken
from actors.core.session import decide
from actors.core.state import SessionState, UserMessage, fold
from tests.core import test_session_matrix as plain
from tests.core import test_session_matrix_queue as rare
from tests.core.play import (
    OVERLAPS,
    QUEUE_TURNS_MAX,
    Die,
    End,
    Pass,
    Play,
    Send,
    Start,
    Step,
    TakeSteering,
    plays,
    under,
)

DONE = End(TurnStatus.COMPLETED)
ACCEPTED = "MessageAccepted"

STATES: dict[str, SessionState] = {**plain.STATES, **rare.STATES}

BUSY: dict[str, dict[str, str]] = {
    "queue": dict.fromkeys(STATES, ACCEPTED),
    "reject": dict.fromkeys(STATES, "refused: busy"),
    "interrupt": {
        **dict.fromkeys(STATES, f"{ACCEPTED} TurnSuperseded !StopTurn"),
        **dict.fromkeys(("queued", "paused", "begun before", "held", "superseded", "rolled back"), ACCEPTED),
    },
    "rollback": {
        **dict.fromkeys(STATES, f"{ACCEPTED} TurnSuperseded !StopTurn"),
        **dict.fromkeys(("queued", "paused", "begun before", "held", "superseded", "rolled back"), ACCEPTED),
    },
    "latest": {
        **dict.fromkeys(STATES, ACCEPTED),
        **dict.fromkeys(
            ("queued", "crowded", "begun before", "superseded", "rolled back"), f"{ACCEPTED} TurnEnded:cancelled"
        ),
        **dict.fromkeys(
            ("paused", "paused while a turn runs", "reordered"), f"{ACCEPTED} TurnEnded:cancelled TurnEnded:cancelled"
        ),
    },
    "merge": {
        **dict.fromkeys(STATES, ACCEPTED),
        **dict.fromkeys(
            (
                "queued",
                "crowded",
                "paused",
                "paused while a turn runs",
                "reordered",
                "begun before",
                "superseded",
                "rolled back",
            ),
            f"{ACCEPTED}:merge",
        ),
    },
    "steer": {
        **dict.fromkeys(STATES, f"{ACCEPTED}:steer"),
        **dict.fromkeys(("queued", "paused", "begun before", "held", "superseded", "rolled back"), ACCEPTED),
    },
}
"""What a message comes to in each state in which a turn runs or waits."""

CELLS = [(overlap, state) for overlap in OVERLAPS for state in STATES if state not in {"idle", "unanswered"}]


def word(value: object) -> str:
    """Name an event or an effect, with how a message joined or a turn ended."""
    name = type(value).__name__
    more = getattr(value, "joined", "") or getattr(value, "status", "")
    return f"{name}:{more}" if more else name


@pytest.mark.parametrize(("overlap", "state"), CELLS)
@pytest.mark.rule("promise_path_13")
def test_a_message_to_a_busy_session_comes_to_what_its_policy_says(overlap: str, state: str) -> None:
    """In one decision: the message first, then what becomes of the others, then what is to be done."""
    outcome = decide(STATES[state], plain.HELLO, Policy(Limits(), overlap=overlap), plain.NOW_S)
    if isinstance(outcome, Refusal):
        assert f"refused: {outcome.reason}" == BUSY[overlap][state]
        return
    words = [*map(word, outcome.bodies), *(f"!{word(effect)}" for effect in outcome.effects)]
    assert " ".join(words) == BUSY[overlap][state]


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_a_message_to_an_idle_session_begins_at_once_under_every_policy(overlap: str) -> None:
    """A policy says nothing where nothing overlaps."""
    play = under(overlap).play([Send()])
    assert [type(body) for body in play.bodies[1:]] == [MessageAccepted, TurnStarted]


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_the_policy_of_a_session_goes_before_that_of_its_agent(overlap: str) -> None:
    """It is written with the session, so a later life of another agent keeps to it."""
    other = "reject" if overlap != "reject" else "queue"
    play = Play(policy=Policy(Limits(), overlap=other), overlap=overlap).play([Send(), Send()])
    alone = Play(policy=Policy(Limits(), overlap=overlap)).play([Send(), Send()])
    assert play.bodies[1:] == alone.bodies[1:]


@pytest.mark.parametrize(
    ("overlap", "status", "reason", "hidden"),
    [("interrupt", "interrupted", "superseded", False), ("rollback", "cancelled", "rolled_back", True)],
)
@pytest.mark.parametrize("end", [DONE, End(TurnStatus.FAILED), End(TurnStatus.CANCELLED), End(TurnStatus.INTERRUPTED)])
def test_t4_a_turn_that_was_superseded_ends_so_whatever_its_agent_makes_of_it(
    overlap: str, status: str, reason: str, end: End, *, hidden: bool
) -> None:
    """The newer message has decided; the state that the agent assigned is not saved, and the next turn begins."""
    play = under(overlap).play([Send(), Send(), attrs.evolve(end, state="{}")])
    ended, begun = play.bodies[-2:]
    assert ended == TurnEnded(1, 1, TurnStatus(status), reason, hidden=hidden)
    assert begun == TurnStarted(2, 1)
    assert play.state.saved is None


@pytest.mark.parametrize("overlap", ["interrupt", "rollback"])
@pytest.mark.parametrize("retry", [True, False])
def test_a_turn_that_was_superseded_is_not_tried_again_after_a_crash(overlap: str, *, retry: bool) -> None:
    """The decision is on disk with the message, so the process may die before the agent has heard of it."""
    play = under(overlap).play([Send(), Send(), Die("retry" if retry else "mark", attempts_max=9)])
    ended = play.bodies[-1]
    assert isinstance(ended, TurnEnded)
    assert ended.reason == ("superseded" if overlap == "interrupt" else "rolled_back")
    assert ended.hidden is (overlap == "rollback")
    assert [item.turn for item in play.state.open_turns] == [2]


def test_a_second_message_does_not_supersede_what_is_ending() -> None:
    """One is enough; the turn that the first of them waits for is not the one that runs."""
    play = under("interrupt").play([Send(), Send(), Send()])
    assert sum(isinstance(body, TurnSuperseded) for body in play.bodies) == 1
    assert [item.turn for item in play.state.open_turns] == [1, 2, 3]


def test_steering_that_was_not_taken_moves_to_turns_of_its_own_in_the_same_commit() -> None:
    """No word of a person is lost: what the turn did not take is asked after it, in its order, each for itself."""
    play = under("steer").play([Send(), Send(), TakeSteering(), Send(), Send(), DONE])
    last = play.taken[-1].outcome
    assert isinstance(last, Decision)
    moved = [body for body in last.bodies if isinstance(body, MessageAccepted)]
    assert [(body.turn, body.moved_from, body.joined) for body in moved] == [(2, 1, ""), (3, 1, "")]
    assert [type(body) for body in last.bodies] == [TurnEnded, MessageAccepted, MessageAccepted, TurnStarted]
    roles = [(message.turn, message.role) for message in play.transcript.messages()]
    assert roles == [(1, "user"), (1, "user"), (2, "user"), (3, "user")]


def test_an_interrupted_attempt_gives_its_steering_to_the_next() -> None:
    """Taken or not, what a person said while it ran opens the turn when it runs again."""
    play = under("steer").play([Send(), Send(), TakeSteering(), Send(), Die("retry"), Start()])
    running = play.state.running
    assert running is not None
    assert len(running.queued.more) == 2
    assert (running.steering, running.steered) == ((), ())
    assert [message.role for message in play.transcript.of_turn(1)] == ["user"] * 3


def test_a_message_to_be_taken_whose_deadline_passed_is_left_to_expire() -> None:
    """It is not handed out late; it moves when the turn ends, and expires before it begins."""
    play = under("steer").play([Send(), Send(5.0), Send(), Pass(10.0)])
    assert play.state.running is not None
    assert len(to_be_taken(play.state.running, play.now_s)) == 1
    play.play([TakeSteering(), DONE])
    assert [body.status for body in play.bodies if isinstance(body, TurnEnded)] == ["completed", "expired"]


def test_messages_merge_only_with_those_of_the_same_deadline() -> None:
    """One that has no deadline must not expire with another, nor keep it alive."""
    play = under("merge").play([Send(), Send(), Send(5.0), Send(), Send()])
    waiting = [(item.turn, len(item.messages), item.deadline_s is None) for item in play.state.queue]
    assert waiting == [(2, 1, True), (3, 1, False), (4, 1, True)], "the fifth finds no room"


@pytest.mark.parametrize("overlap", ["queue", "interrupt", "rollback", "merge", "steer"])
def test_no_policy_keeps_more_messages_waiting_than_the_bound(overlap: str) -> None:
    """What joined a turn counts like a turn of its own; beyond the bound a message is refused."""
    play = under(overlap).play([Send()] * (QUEUE_TURNS_MAX + 3))
    assert messages_waiting(play.state) == QUEUE_TURNS_MAX
    refused = [taken.outcome for taken in play.taken if isinstance(taken.outcome, Refusal)]
    assert [outcome.reason for outcome in refused] == ["queue_full"] * 2


def test_latest_never_finds_the_queue_full() -> None:
    """It makes room for itself; but what has begun before is not its to take away."""
    play = under("latest").play([Send()] * 9)
    assert [item.turn for item in play.state.open_turns] == [1, 9]
    play.play([Die("retry"), Send()])
    assert [item.turn for item in play.state.open_turns] == [1, 10]


@st.composite
def crowds(draw: st.DrawFn) -> Play:
    """Draw sends and steps in any interleaving, under any policy, seen to the end of everything."""
    steps: list[Step] = draw(
        st.lists(
            st.sampled_from(
                [Send(), Send(), TakeSteering(), DONE, End(TurnStatus.FAILED), Die("retry", attempts_max=2), Start()]
            ),
            max_size=25,
        )
    )
    play = under(draw(st.sampled_from(OVERLAPS))).play([Send(), *steps, Start()])
    while play.state.running is not None:
        play.play([DONE, Start()])
    return play


def fates(bodies: Sequence[EventBody]) -> dict[str, list[str]]:
    """List for every message what became of it: the ends of the turn that it was in at last."""
    turns: dict[str, int] = {}
    for body in bodies:
        if isinstance(body, MessageAccepted):
            turns[body.message_id] = body.turn
    ends = [body for body in bodies if isinstance(body, TurnEnded)]
    return {key: [str(end.status) for end in ends if end.turn == turn] for key, turn in turns.items()}


@given(crowds())
def test_under_any_policy_and_interleaving_every_accepted_message_has_exactly_one_fate(play: Play) -> None:
    """A key is accepted once, moves only out of a turn that ended without taking it, and ends once."""
    where: dict[str, int] = {}
    taken: set[tuple[str, int]] = set()
    ended: set[int] = set()
    for body in play.bodies:
        if isinstance(body, MessageAccepted):
            assert body.moved_from == where.get(body.message_id, 0)
            assert not body.moved_from or body.moved_from in ended
            assert (body.message_id, body.moved_from) not in taken
            where[body.message_id] = body.turn
        elif isinstance(body, MessageSteered):
            taken.add((body.message_id, body.turn))
        elif isinstance(body, TurnEnded):
            ended.add(body.turn)
    assert all(len(ends) == 1 for ends in fates(play.bodies).values())
    accepted = [
        taken.command
        for taken in play.taken
        if isinstance(taken.command, Accept) and isinstance(taken.outcome, Decision)
    ]
    assert [command.message_id for command in accepted] == list(where)


@given(crowds())
def test_under_any_policy_every_word_of_a_person_stands_in_the_transcript_once(play: Play) -> None:
    """But for what was rolled back, which a person wanted to be gone."""
    hidden = {body.turn for body in play.bodies if isinstance(body, TurnEnded) and body.hidden}
    turns = {body.message_id: body.turn for body in play.bodies if isinstance(body, MessageAccepted)}
    shown = [message.message_id for message in play.transcript.messages() if message.role == "user"]
    assert sorted(shown) == sorted(key for key, turn in turns.items() if turn not in hidden)


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_m4_turns_begin_in_the_order_of_admission_under_every_policy(overlap: str) -> None:
    """Whatever a policy takes away or joins, what is left keeps its order, also over a death in between."""
    steps: list[Step] = [Send(), Send(), Send(), Die("retry"), Start(), Send(), DONE, Send(), Start(), DONE, Start()]
    play = under(overlap).play(steps)
    while play.state.running is not None:
        play.play([DONE, Start()])
    begun = [body.turn for body in play.bodies if isinstance(body, TurnStarted)]
    assert begun == sorted(begun)
    opening = [body.turn for body in play.bodies if isinstance(body, MessageAccepted) and not body.joined]
    assert opening == sorted(opening)
    said = [m.seq for m in play.transcript.messages() if m.role == "user"]
    assert said == sorted(said)


@given(plays())
def test_m4_turns_stand_in_the_order_in_which_they_begin(play: Play) -> None:
    """Their places say so, whatever was reordered meanwhile; and no two stand at the same one."""
    places = [item.place for item in play.state.open_turns]
    assert places == sorted(set(places))
    reordered = {turn: place for body in play.bodies for turn, place in moves(body)}
    begun = [body.turn for body in play.bodies if isinstance(body, TurnStarted)]
    assert [reordered.get(turn, turn) for turn in begun] == sorted(reordered.get(turn, turn) for turn in begun)


def moves(body: EventBody) -> list[tuple[int, int]]:
    """List the turns that an event moves, with their places."""
    return list(zip(getattr(body, "turns", ()), getattr(body, "places", ()), strict=True))


@given(plays("interrupt", "rollback", "steer"))
def test_recovery_leaves_no_message_in_the_air(play: Play) -> None:
    """After it nothing waits to be taken by a turn that is gone, and nothing that was superseded runs again."""
    running = play.state.running
    for retry in (True, False):
        outcome = decide(play.state, Recover("retry" if retry else "mark", 9), play.policy, play.now_s)
        assert isinstance(outcome, Decision)
        state = fold(play.state, outcome.bodies)
        assert state.running is None
        kept = {message.message_id for item in state.queue for message in item.messages}
        waiting: tuple[UserMessage, ...] = () if running is None else running.steering
        assert {message.message_id for message in waiting} <= kept
        if running is not None and running.ending:
            assert all(item.turn != running.turn for item in state.queue)


def test_what_is_to_be_stopped_says_why() -> None:
    """The shell cancels the agent's task with the reason that its turn will end with."""
    for overlap, reason in (("interrupt", "superseded"), ("rollback", "rolled_back")):
        outcome = under(overlap).play([Send(), Send()]).taken[-1].outcome
        assert isinstance(outcome, Decision)
        assert outcome.effects == (StopTurn(1, reason),)


def test_messages_of_an_attempt_that_is_set_aside_open_the_next_in_the_order_of_acceptance() -> None:
    """In whichever order they were taken: one whose time had passed when the others were taken stays before them."""
    play = under("steer").play([Send(), Send(patience_s=1.0), Send(), Pass(2.0), TakeSteering()])
    running = play.state.running
    assert running is not None
    assert [message.seq for message in (*running.steered, *running.steering)] == [5, 4]
    play.step(Die("retry"))
    assert [message.seq for message in play.state.queue[0].messages] == [2, 4, 5]


@pytest.mark.rule("M4")
@pytest.mark.parametrize("last", [End(TurnStatus.COMPLETED), Die("mark")])
def test_m4_what_a_turn_was_handed_and_did_not_take_begins_before_what_was_accepted_later(last: Step) -> None:
    """Though that was given its own turn first, since the running one had been handed all it may be."""
    play = under("steer").play([Send()] * 3 + [TakeSteering()] + [Send()] * 2 + [last, Start(), DONE, DONE])
    queued, moved = [body for body in play.bodies if isinstance(body, MessageAccepted)][4:]
    assert (queued.turn, moved.turn, moved.moved_from) == (2, 3, 1)
    assert [body.turn for body in play.bodies if isinstance(body, TurnStarted)] == [1, 3, 2]
