"""What a turn has sent or spawned, as its agent holds it."""

import pytest
from trio.testing import MockClock

from actors.core.ids import ChatId
from actors.errors import DeadlockError
from actors.runtime.ref import Accepted, TurnResult
from actors.runtime.sent import Child, Sent, Ways


async def completed() -> TurnResult:
    """Say that the turn completed."""
    return TurnResult(7, "completed")


async def cancelled() -> TurnResult:
    """Say that the turn was cancelled."""
    return TurnResult(7, "cancelled")


ACCEPTED = Accepted("m1", 7, 9, 1)
WAYS = Ways(completed, cancelled, lambda chat_id: chat_id)
A, B = ChatId("live:a"), ChatId("live:b")


async def test_what_was_sent_says_where_it_went_and_what_came_of_it() -> None:
    """Like a receipt."""
    sent = Sent(B, ACCEPTED, WAYS, (A,))
    assert (sent.chat_id, sent.message_id, sent.turn) == ("live:b", "m1", 7)
    assert (await sent.result()).ok
    assert (await sent.cancel()).status == "cancelled"


async def test_a5_a_turn_does_not_wait_for_a_session_that_may_wait_for_it(autojump_clock: MockClock) -> None:
    """The error names the path; what was sent can still be cancelled."""
    sent = Sent(B, ACCEPTED, WAYS, (B, A))
    with pytest.raises(DeadlockError, match="live:b -> live:a -> live:b") as caught:
        await sent.result()
    assert caught.value.outcome == "unknown"
    assert (await sent.cancel()).status == "cancelled"


async def test_a5_another_id_of_the_same_session_is_no_way_round(autojump_clock: MockClock) -> None:
    """A session that was given another id since may be waiting all the same."""
    ways = Ways(completed, cancelled, lambda chat_id: B if chat_id == ChatId("draft:b") else chat_id)
    with pytest.raises(DeadlockError):
        await Sent(B, ACCEPTED, ways, (ChatId("draft:b"), A)).result()


def test_a_child_has_the_name_that_its_parent_gave_it() -> None:
    """Beside all that a message has."""
    assert Child(B, ACCEPTED, WAYS, (A,), "scout").name == "scout"
