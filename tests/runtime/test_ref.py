"""The ref outlives every incarnation: what is on disk is published through it, and who waits is answered from it."""

import pytest
import trio
from trio.testing import MockClock

from actors import Limits
from actors.core.envelope import Origin
from actors.core.events import Event, EventBody, MessageAccepted, PartKind, TextAppended, TurnEnded, TurnStarted
from actors.core.ids import ChatId
from actors.core.lifecycle import PartStatus, SessionPhase, TurnStatus
from actors.core.state import SessionState, fold
from actors.core.transcript import Transcript
from actors.runtime.broadcast import Outbox
from actors.runtime.mailbox import Budget, Reply
from actors.runtime.ref import RECENT_MAX, Accepted, Ref, TurnResult

CHAT = ChatId("live:a")

ACCEPTED = (MessageAccepted("a", 1, "one"), MessageAccepted("b", 2, "two"))
STARTED = TurnStarted(1, 1)
ENDED = TurnEnded(1, 1, TurnStatus.COMPLETED)


def said(text: str, offset: int = 0, message: int = 0, kind: PartKind = "text") -> TextAppended:
    """Say something in the first turn."""
    return TextAppended(1, 1, message, 0, kind, offset, text, PartStatus.COMPLETE)


class Life:
    """A ref, and the disk that it hears from."""

    def __init__(self, *, transcript: bool = False) -> None:
        """Begin with a session that was created and has two messages."""
        self.ref = Ref(CHAT, Limits(), Budget(1 << 30))
        self.ref.transcript = Transcript() if transcript else None
        self.state = SessionState(CHAT)
        self.commit(*ACCEPTED)

    def commit(self, *bodies: EventBody) -> list[Outbox]:
        """Have events written in one group."""
        first = self.state.seq + 1
        self.state = fold(self.state, bodies)
        events = tuple(Event(CHAT, first + number, 1, 0.0, body) for number, body in enumerate(bodies))
        return self.ref.committed(events, self.state)

    def wait(self, turn: int) -> Reply:
        """Wait for a turn that is open."""
        reply = self.ref.wait_turn(turn)
        assert reply is not None
        assert not reply.done
        return reply


async def result(reply: Reply) -> TurnResult:
    """Read an answer that is there."""
    assert reply.done
    answer = await reply.wait()
    assert isinstance(answer, TurnResult)
    return answer


def test_a_ref_begins_absent_and_moves_by_the_table() -> None:
    """A step that is not in it cannot happen."""
    ref = Ref(CHAT, Limits(), Budget(1 << 30))
    assert (ref.phase, ref.incarnation, ref.seq, ref.state) == (SessionPhase.ABSENT, 0, 0, None)
    ref.move("activate")
    ref.move("recovered")
    assert ref.phase is SessionPhase.ACTIVE
    with pytest.raises(AssertionError, match="that is active cannot erased"):
        ref.move("erased")
    assert ref.phase is SessionPhase.ACTIVE


def test_what_is_on_disk_becomes_the_state_that_others_see() -> None:
    """State, number and messages go together."""
    life = Life(transcript=True)
    life.commit(STARTED, said("hello"), ENDED)
    assert (life.ref.state, life.ref.seq) == (life.state, 5)
    assert life.ref.transcript is not None
    assert [message.text for message in life.ref.transcript.messages()] == ["one", "hello", "two"]


def test_subscribers_get_what_was_written_and_the_slow_ones_are_named() -> None:
    """Whoever commits accounts for those that were cut."""
    life = Life()
    quick, slow = Outbox(CHAT, 2, 10, 1 << 20), Outbox(CHAT, 2, 1, 1 << 20)
    life.ref.broadcast.attach(quick)
    life.ref.broadcast.attach(slow)
    assert life.commit(STARTED) == []
    assert life.commit(ENDED) == [slow]
    items = [quick.take(life.ref.broadcast) for _ in range(2)]
    assert [item.body for item in items if isinstance(item, Event)] == [STARTED, ENDED]
    assert len(life.ref.broadcast) == 1


@pytest.mark.parametrize("turn", [1, 2])
def test_a_turn_can_be_waited_for_while_it_is_queued_or_runs(turn: int) -> None:
    """From its acceptance to its end."""
    life = Life()
    first = life.wait(turn)
    life.commit(STARTED)
    assert life.wait(turn) is not first, "one slot for each waiter"
    life.commit(TurnEnded(turn, 1, TurnStatus.CANCELLED))
    assert first.done
    assert life.ref.wait_turn(turn) is None, "it has ended: the journal knows how"


def test_a_turn_that_nobody_knows_is_not_waited_for() -> None:
    """Nor one of a session that is not loaded."""
    assert Life().ref.wait_turn(3) is None
    assert Ref(CHAT, Limits(), Budget(1 << 30)).wait_turn(1) is None


async def test_all_who_wait_are_told_how_their_turn_ended(autojump_clock: MockClock) -> None:
    """Theirs, and no other."""
    life = Life()
    waiting, other = [life.wait(1) for _ in range(3)], life.wait(2)
    life.commit(STARTED, said("hello"), TurnEnded(1, 1, TurnStatus.FAILED, "crashed", "ValueError"))
    for reply in waiting:
        assert await result(reply) == TurnResult(1, "failed", "crashed", "ValueError", "hello")
    assert not other.done


@pytest.mark.parametrize("status", TurnStatus, ids=str)
def test_only_a_turn_that_completed_is_ok(status: TurnStatus) -> None:
    """Whatever it said before it was cut short."""
    assert TurnResult(1, str(status), text="hello").ok is (status is TurnStatus.COMPLETED)


@pytest.mark.parametrize("transcript", [False, True], ids=["history not at hand", "history at hand"])
async def test_a_result_has_what_the_agent_said_in_one_group(
    transcript: bool,  # noqa: FBT001 - a case
    autojump_clock: MockClock,
) -> None:
    """Text of all its messages; no thinking, and nothing of another turn."""
    life = Life(transcript=transcript)
    reply = life.wait(1)
    second = said(" world", message=1)
    life.commit(STARTED, said("hello"), said("hm", message=2, kind="thinking"), second, ENDED)
    assert (await result(reply)).text == "hello world"


async def test_a_result_has_what_was_checkpointed_before_its_last_group(autojump_clock: MockClock) -> None:
    """It is read from the history, since the last events hold only the end of it."""
    life = Life(transcript=True)
    reply = life.wait(1)
    life.commit(STARTED, TextAppended(1, 1, 0, 0, "text", 0, "hello", PartStatus.STREAMING))
    life.commit(said(" world", offset=5), ENDED)
    assert (await result(reply)).text == "hello world"


async def test_a_waiter_that_gives_up_leaves_the_others(autojump_clock: MockClock) -> None:
    """Giving up twice, or what was never waited for, is nothing."""
    life = Life()
    first, second = life.wait(1), life.wait(1)
    for _ in range(2):
        life.ref.forget_wait(1, first)
        life.ref.forget_wait(99, first)
    life.commit(STARTED, ENDED)
    assert not first.done
    assert (await result(second)).ok


async def test_whoever_waits_is_woken_when_the_session_goes(autojump_clock: MockClock) -> None:
    """Without an answer, so that it looks for one elsewhere."""
    life = Life()
    answers: list[object] = []

    async def wait(reply: Reply) -> None:
        answers.append(await reply.wait())

    async with trio.open_nursery() as nursery:
        for turn in (1, 2):
            nursery.start_soon(wait, life.wait(turn))
        await trio.sleep(1.0)
        life.ref.release_waiters()
    assert answers == [None, None]
    life.ref.release_waiters()
    assert not life.wait(1).done, "a new wait begins anew"


def test_a_ref_remembers_the_last_keys_only() -> None:
    """The oldest are looked up on disk; memory does not grow with the history."""
    ref = Ref(CHAT, Limits(), Budget(1 << 30))
    for number in range(RECENT_MAX + 10):
        ref.remember(Accepted(f"key.{number}", number, number, 1))
    assert list(ref.recent) == [f"key.{number}" for number in range(10, RECENT_MAX + 10)]
    assert ref.recent["key.20"].turn == 20


def origins_of(ref: Ref) -> dict[int, Origin] | None:
    """Look at what is known of the causes of turns."""
    return ref.origins


def test_what_caused_a_turn_is_known_until_it_ends() -> None:
    """And a session that nothing in this process caused anything in holds nothing for it."""
    ref = Ref(CHAT, Limits(), Budget(1000))
    assert origins_of(ref) is None
    ref.forget_origin(1)
    ref.note_origin(1, Origin("live:a"))
    ref.note_origin(2, Origin("live:b"))
    ref.forget_origin(1)
    assert origins_of(ref) == {2: Origin("live:b")}
    ref.forget_origin(7)
    ref.forget_origin(2)
    assert origins_of(ref) is None
