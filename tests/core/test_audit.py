"""The checker of histories says nothing of a good one, and objects to whatever is changed in it."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given

from actors.core.audit import check_history
from actors.core.events import (
    AttemptInterrupted,
    Event,
    EventBody,
    MessageAccepted,
    MessageSteered,
    QueuedEdited,
    QueueReordered,
    SessionCreated,
    StateSaved,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
    TurnStarted,
    TurnSuperseded,
)
from actors.core.ids import ChatId
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus
from tests.core.play import Play, plays

CHAT = ChatId("live:a")
OTHER = ChatId("live:b")

BODIES: tuple[EventBody, ...] = (
    SessionCreated(),
    MessageAccepted("m1", 1, "hello"),
    TurnStarted(1, 1),
    TextAppended(1, 1, 0, 0, "text", 0, "hm", PartStatus.COMPLETE),
    ToolCalled(1, 1, 0, 1, 0, "c", "clock", "{}"),
    MessageAccepted("m2", 2, "and then?"),
    ToolEnded(1, 1, 1, 0, ToolStatus.OK, "noon"),
    TurnEnded(1, 1, TurnStatus.COMPLETED),
    TurnStarted(2, 1),
    TurnEnded(2, 1, TurnStatus.FAILED),
)


def history(*bodies: EventBody, chat_id: ChatId = CHAT, epoch: int = 1) -> list[Event]:
    """Number bodies from 1."""
    return [Event(chat_id, seq, epoch, 0.0, body) for seq, body in enumerate(bodies, 1)]


def but(number: int, *bodies: EventBody) -> list[Event]:
    """Give the good history with other bodies in one place."""
    return history(*BODIES[: number - 1], *bodies, *BODIES[number:])


def without(number: int) -> list[Event]:
    """Give the good history without one event, and with its number missing."""
    good = history(*BODIES)
    return [*good[: number - 1], *good[number:]]


def test_a_good_history_has_nothing_wrong() -> None:
    """Alone, mixed with another one, in two lives, and as far as it has come."""
    good = history(*BODIES)
    assert check_history(good, settled=True) == []
    other = history(*BODIES, chat_id=OTHER)
    mixed = [event for pair in zip(good, other, strict=True) for event in pair]
    assert check_history(mixed, settled=True) == []
    later = [msgspec.structs.replace(event, epoch=1 if event.seq < 6 else 4) for event in good]
    assert check_history(later) == []
    for end in range(len(good)):
        assert check_history(good[:end]) == []
    assert check_history([]) == []


def test_an_attempt_that_was_interrupted_may_be_made_again() -> None:
    """Its turn starts a second time, and calls what it called before."""
    call, end = BODIES[4], BODIES[6]
    assert isinstance(call, ToolCalled)
    assert isinstance(end, ToolEnded)
    again = (
        *BODIES[:5],
        AttemptInterrupted(1, 1),
        TurnStarted(1, 2),
        msgspec.structs.replace(call, attempt=2),
        msgspec.structs.replace(end, attempt=2),
        TurnEnded(1, 2, TurnStatus.COMPLETED),
    )
    assert check_history(history(*again), settled=True) == []


BAD: dict[str, tuple[list[Event], str]] = {
    "a gap": (without(4), "event 5 (tool.called) follows number 3"),
    "a repeat": ([*history(*BODIES), history(*BODIES)[-1]], "event 10 (turn.ended) follows number 10"),
    "a beginning in the middle": (history(*BODIES)[1:], "event 2 (message.accepted) follows number 0"),
    "a key twice": (but(6, MessageAccepted("m1", 2, "x")), "accepts the message 'm1' a second time"),
    "turns out of order": (but(2, MessageAccepted("m1", 3, "x")), "accepts turn 2 after turn 3"),
    "an overlap": (but(4, TurnStarted(2, 1)), "starts turn 2, which was not accepted"),
    "two at once": (but(7, TurnStarted(2, 1)), "starts turn 2 while turn 1 runs"),
    "two ends": (but(9, TurnEnded(1, 1, TurnStatus.CANCELLED)), "ends turn 1 a second time"),
    "an end of nothing": (but(9, TurnEnded(7, 1, TurnStatus.CANCELLED)), "ends turn 7, which was not accepted"),
    "a start after the end": (but(9, TurnStarted(1, 2)), "starts turn 1, which has ended"),
    "words after the end": (but(9, BODIES[3]), "belongs to turn 1, which does not run"),
    "a call left open": (but(7, BODIES[3]), "ends turn 1 with 1 calls open"),
    "a call twice": (but(4, BODIES[4]), "makes call 0 of turn 1 a second time"),
    "an outcome twice": (but(8, BODIES[6], BODIES[7]), "ends call 0 of turn 1, which is not open"),
}


@pytest.mark.rule("V5")
@pytest.mark.parametrize("what", BAD)
def test_what_cannot_have_been_is_named_with_its_place(what: str) -> None:
    """Each kind of damage, and the session that has it."""
    events, sentence = BAD[what]
    wrong = check_history(events)
    assert any(sentence in each for each in wrong), wrong
    assert all(each.startswith(f"{CHAT}: event ") for each in wrong)


def test_v5_an_older_owner_that_writes_after_a_newer_one_is_seen() -> None:
    """It was fenced too late, or not at all."""
    events = [msgspec.structs.replace(event, epoch=3 if event.seq == 5 else 2) for event in history(*BODIES)]
    wrong = check_history(events)
    assert [sentence.split(" (")[0] for sentence in wrong] == [f"{CHAT}: event {seq}" for seq in range(6, 11)]
    assert all(sentence.endswith("was written by epoch 2 after epoch 3 had written") for sentence in wrong)


def test_a_turn_without_an_end_is_missed_when_all_should_have_ended() -> None:
    """While things are going on it is no fault."""
    assert check_history(history(*BODIES[:-1])) == []
    assert check_history(history(*BODIES[:-1]), settled=True) == ["live:a: turns [2] have not ended"]


MUTATIONS: dict[str, Callable[[list[Event], int], Sequence[Event]]] = {
    "drop": lambda events, at: events[:at] + events[at + 1 :],
    "repeat": lambda events, at: [*events[: at + 1], events[at], *events[at + 1 :]],
    "swap": lambda events, at: [*events[:at], *reversed(events[at : at + 2]), *events[at + 2 :]],
    "age": lambda events, at: [*events[:at], msgspec.structs.replace(events[at], epoch=0), *events[at + 1 :]],
}


@pytest.mark.rule("V5")
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_no_single_change_of_a_history_goes_unnoticed(mutation: str) -> None:
    """An event dropped, repeated, swapped with the next, or of an older life, in every place but the last."""
    good = history(*BODIES)
    for at in range(1, len(good) - 1):
        assert check_history(MUTATIONS[mutation](good, at)), f"{mutation} at {at}"


@given(plays())
def test_whatever_can_be_played_has_nothing_wrong(play: Play) -> None:
    """Under every policy and whatever is done to the queue; the checker knows nothing of how events are made."""
    assert check_history(play.events) == []


STEERED: tuple[EventBody, ...] = (
    SessionCreated(),
    MessageAccepted("m1", 1, "hello"),
    TurnStarted(1, 1),
    MessageAccepted("m2", 1, "rather", joined="steer"),
    MessageAccepted("m3", 1, "or", joined="steer"),
    MessageSteered(1, 1, 0, "m2"),
    TurnEnded(1, 1, TurnStatus.COMPLETED),
    MessageAccepted("m3", 2, "or", moved_from=1),
    MessageAccepted("m4", 3, "and"),
    QueueReordered((3, 2), (2, 3)),
)


@pytest.mark.parametrize(
    ("number", "body", "objection"),
    [
        (4, MessageAccepted("m2", 2, "rather", joined="merge"), "joins turn 2, which is not open"),
        (6, MessageSteered(1, 1, 0, "m9"), "takes the message 'm9', which turn 1 was not handed"),
        (8, MessageAccepted("m2", 2, "rather", moved_from=1), "moves the message 'm2' away from turn 1, which has it"),
        (8, MessageAccepted("m3", 2, "or"), "accepts the message 'm3' a second time"),
        (7, MessageAccepted("m3", 2, "or", moved_from=1), "moves the message 'm3' away from turn 1, which has it"),
        (10, QueuedEdited(1, "m1", "late"), "touches turn 1, which does not wait"),
        (10, QueueReordered((2, 9), (9, 2)), "touches turn 9, which does not wait"),
        (10, TurnSuperseded(1, 1), "belongs to turn 1, which does not run"),
    ],
)
def test_what_cannot_happen_to_a_queue_or_to_a_message_that_is_handed_over_is_objected_to(
    number: int, body: EventBody, objection: str
) -> None:
    """A message is in one turn at a time, and only what waits is touched."""
    assert check_history(history(*STEERED)) == []
    wrong = check_history(history(*STEERED[: number - 1], body, *STEERED[number:]))
    assert any(objection in sentence for sentence in wrong), wrong


def test_a_state_that_was_replaced_by_hand_while_no_turn_ran_is_no_fault() -> None:
    """It is noted with the last turn; of any other turn, and while one runs, it cannot have been."""
    assert check_history(history(*BODIES, StateSaved(2, "1"))) == []
    assert check_history(history(*BODIES, StateSaved(1, "1"))) != []
    assert check_history(but(6, StateSaved(2, "1"))) != []
