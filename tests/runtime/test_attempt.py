"""Whatever an agent does, its attempt ends in one report; what it says goes out at once and to disk in time."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from actors import Limits, Reject, TurnOverError
from actors.core.commands import Ask, Emit
from actors.core.effects import Refusal
from actors.core.events import Event, MessageAccepted, TextAppended
from actors.core.ids import DropReason
from actors.core.lifecycle import PartStatus, TurnStatus
from actors.core.stream import ProgressSignal, TextSignal
from actors.core.transcript import Transcript
from actors.runtime.attempt import end_of, run_agent, torn_down, without_cancelled, words_of
from actors.runtime.broadcast import Outbox
from actors.runtime.inner import Done, Flush, Written
from actors.runtime.turn import Turn
from actors.testing import Hang, IgnoreCancel, Raise, RaiseStray, Return, Say, Script, ScriptedAgent
from tests.runtime.by_hand import CHAT, Bench, bench

KEY = (1, 1, 0, 0)
ROOMY = 1 << 20


async def attempt(script: Script) -> tuple[Done, Turn]:
    """Run an agent to its end and return its one report."""
    made = bench(answer=ScriptedAgent(script))
    turn = made.turn()
    await run_agent(made.services.agent, turn, made.ref.mailbox)
    done = [item for item in made.ref.mailbox.inner if isinstance(item, Done)]
    assert len(done) == 1
    assert done[0].turn is turn
    return done[0], turn


def reader(made: Bench, items_max: int = 100) -> Outbox:
    """Attach a subscriber to the session."""
    box = Outbox(CHAT, 3, items_max, ROOMY)
    made.ref.broadcast.attach(box)
    return box


def written(made: Bench) -> Written:
    """Take what was posted to be written."""
    item = made.ref.mailbox.inner.pop(0)
    assert isinstance(item, Written)
    return item


class Wordless(Exception):  # noqa: N818 - a name for a test
    """An exception that cannot be shown."""

    @override
    def __str__(self) -> str:
        raise ValueError("no words")


async def test_an_agent_that_returns_has_completed_its_turn(autojump_clock: MockClock) -> None:
    """What it returns are its last words, after what it wrote."""
    done, turn = await attempt([Say("hello "), Return("world")])
    assert (done.status, done.reason, done.error, done.crash) == (TurnStatus.COMPLETED, "", "", None)
    bodies = turn.close(PartStatus.COMPLETE)
    assert [body.text for body in bodies if isinstance(body, TextAppended)] == ["hello world"]


async def test_an_agent_that_returns_nothing_says_nothing(autojump_clock: MockClock) -> None:
    """A turn without a word is a turn all the same."""
    done, turn = await attempt([])
    assert done.status is TurnStatus.COMPLETED
    assert turn.close(PartStatus.COMPLETE) == ()


@pytest.mark.rule("S1", "pitfall_2")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, AssertionError])
async def test_nothing_an_agent_raises_passes_the_barrier(
    error: type[BaseException], autojump_clock: MockClock
) -> None:
    """Of an error only the name is kept: its text may hold what nobody should read."""
    done, _ = await attempt([Raise(error("private"))])
    assert (done.status, done.reason, done.error) == (TurnStatus.FAILED, "crashed", error.__name__)
    assert type(done.crash) is error


@pytest.mark.rule("S8")
async def test_an_agent_that_rejects_has_not_crashed(autojump_clock: MockClock) -> None:
    """Its text is kept, since the host wrote it for that."""
    done, _ = await attempt([Raise(Reject("not today"))])
    assert (done.status, done.reason, done.error, done.crash) == (TurnStatus.FAILED, "rejected", "not today", None)


async def test_a_cancellation_that_belongs_to_no_scope_is_a_crash(autojump_clock: MockClock) -> None:
    """It must not be taken for the runtime's own, or the turn would never end."""
    alone, _ = await attempt([RaiseStray()])
    assert (alone.status, alone.reason, alone.error) == (TurnStatus.FAILED, "crashed", "Cancelled")
    beside, _ = await attempt([RaiseStray(beside=(ValueError(),))])
    assert (beside.status, beside.error) == (TurnStatus.FAILED, "ExceptionGroup")
    assert isinstance(beside.crash, ExceptionGroup)
    assert [type(error) for error in beside.crash.exceptions] == [ValueError], "the cancellation is left out"


async def test_a_state_that_cannot_be_kept_is_the_failure_of_the_agent(autojump_clock: MockClock) -> None:
    """It was fine when it was assigned and was changed afterwards."""

    async def spoil(turn: Turn) -> None:
        state: dict[str, object] = {}
        turn.state = state
        state["bad"] = object()

    made = bench(answer=spoil)
    await run_agent(made.services.agent, made.turn(), made.ref.mailbox)
    (done,) = made.ref.mailbox.inner
    assert isinstance(done, Done)
    assert (done.status, done.error) == (TurnStatus.FAILED, "ConfigurationError")


@pytest.mark.parametrize(
    ("reason", "status", "kept"),
    [
        ("cancelled", TurnStatus.CANCELLED, ""),
        ("deleted", TurnStatus.CANCELLED, ""),
        ("deadline", TurnStatus.FAILED, "deadline"),
        ("stopping", TurnStatus.INTERRUPTED, "stopping"),
    ],
)
@pytest.mark.parametrize("leaving", ["hears it", "swallows it", "raises"])
async def test_a_turn_that_was_cancelled_ends_as_whoever_cancelled_it_says(
    reason: str, status: TurnStatus, kept: str, leaving: str, autojump_clock: MockClock
) -> None:
    """Whatever the agent does on its way out."""

    async def answer(turn: Turn) -> str:
        try:
            await ScriptedAgent([Hang() if leaving == "hears it" else IgnoreCancel()])(turn)
        finally:
            if leaving == "raises":
                raise ValueError("on the way out")
        return "too late"

    made = bench(answer=answer)
    turn = made.turn()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_agent, made.services.agent, turn, made.ref.mailbox)
        await wait_all_tasks_blocked()
        turn.cancel_reason = reason
        turn.scope.cancel()
    (done,) = made.ref.mailbox.inner
    assert done == Done(turn, status, kept)
    assert end_of(turn) == (status, kept)


async def test_an_agent_that_is_torn_down_with_the_runtime_reports_nothing(autojump_clock: MockClock) -> None:
    """The store says that its turn runs, and the next life settles it."""
    made = bench(answer=ScriptedAgent([Hang()]))
    with trio.move_on_after(1.0):
        await run_agent(made.services.agent, made.turn(), made.ref.mailbox)
    assert trio.current_time() == 1.0
    assert not made.ref.mailbox.inner


async def test_a_turn_that_was_given_up_is_not_reported_again(autojump_clock: MockClock) -> None:
    """An abandoned agent that ends after all finds its turn closed."""
    made = bench(answer=ScriptedAgent([Hang()]))
    turn = made.turn()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_agent, made.services.agent, turn, made.ref.mailbox)
        await wait_all_tasks_blocked()
        turn.cancel_reason = "cancelled"
        turn.close(PartStatus.CUT)
        turn.scope.cancel()
    assert not made.ref.mailbox.inner


def test_what_is_left_of_an_error_without_its_cancellations() -> None:
    """Groups are looked into, at any depth."""
    cancelled = trio.Cancelled._create(source="unknown")  # noqa: SLF001 - no other way
    error = ValueError()
    assert without_cancelled(error) is error
    assert without_cancelled(cancelled) is None
    assert without_cancelled(BaseExceptionGroup("", [cancelled, BaseExceptionGroup("", [cancelled])])) is None
    left = without_cancelled(BaseExceptionGroup("", [cancelled, BaseExceptionGroup("", [cancelled, error])]))
    assert isinstance(left, BaseExceptionGroup)
    assert left.split(ValueError)[1] is None


async def test_only_a_cancellation_from_outside_tears_down(autojump_clock: MockClock) -> None:
    """A deadline that has not passed is none."""
    assert not torn_down()
    with trio.CancelScope(deadline=10.0) as scope:  # noqa: ASYNC100 - what is looked at is the scope
        assert not torn_down()
        scope.cancel()
        assert torn_down()
        with trio.CancelScope(shield=True):  # noqa: ASYNC100 - as above
            assert not torn_down()


def test_the_words_of_a_rejection_are_storable_and_short() -> None:
    """Whatever the host made of it: a novel, half a character, or an exception that has no text."""
    assert words_of(Reject("no")) == "no"
    assert words_of(Reject("x" * 1000)) == "x" * 200
    assert words_of(Reject("\ud800")) == "?"
    assert words_of(Wordless()) == ""


async def test_text_is_shown_at_once_and_due_for_the_disk_once(autojump_clock: MockClock) -> None:
    """A reader sees every piece before it is on disk; one checkpoint is asked for however many there are."""
    made = bench(Limits(checkpoint_s=0.25))
    box, turn = reader(made), made.turn()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.services.checkpoints.run)
        for piece in ("a", "b"):
            await turn.write(piece)
            signal = box.take(made.ref.broadcast)
            assert isinstance(signal, TextSignal)
            assert signal.text == piece
        assert not made.ref.mailbox.inner
        await trio.sleep(0.3)
        assert list(made.ref.mailbox.inner) == [Flush(turn)]
        await turn.write("c")
        await trio.sleep(0.3)
        assert list(made.ref.mailbox.inner) == [Flush(turn)], "one is under way"
        nursery.cancel_scope.cancel()


async def test_text_beyond_the_bound_goes_to_disk_before_the_window_is_over(autojump_clock: MockClock) -> None:
    """What a crash can lose is bounded in bytes too."""
    made = bench(Limits(checkpoint_bytes_max=10))
    turn = made.turn()
    await turn.write("x" * 9)
    assert not made.ref.mailbox.inner
    await turn.write("x")
    assert list(made.ref.mailbox.inner) == [Flush(turn)]


async def test_an_agent_that_runs_ahead_of_the_disk_waits_for_it(autojump_clock: MockClock) -> None:
    """Once room was made it goes on."""
    made = bench(Limits(checkpoint_bytes_max=10, unsaved_bytes_max=20))
    turn = made.turn()
    with trio.move_on_after(1.0) as scope:
        await turn.write("x" * 20)
    assert scope.cancelled_caught
    assert list(made.ref.mailbox.inner) == [Flush(turn)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn.write, "y")
        await wait_all_tasks_blocked()
        assert len(turn.rooms) == 2
        for room in turn.rooms:
            room.set(None)


async def test_progress_is_counted_and_goes_to_whoever_listens(autojump_clock: MockClock) -> None:
    """It is never written."""
    made = bench()
    box, turn = reader(made), made.turn()
    await turn.progress("typing", "now")
    assert box.take(made.ref.broadcast) == ProgressSignal(CHAT, 1, "typing", "now")
    assert made.services.accounts.counts.signals == 1
    assert not made.ref.mailbox.inner


async def test_a_reader_that_is_cut_is_counted_and_logged(autojump_clock: MockClock) -> None:
    """By whichever way the item came that was too much."""
    made = bench()
    turn = made.turn()
    first, second = reader(made, 1), reader(made, 2)
    for _ in range(2):
        await turn.progress("typing")
    assert (first.cut, second.cut, made.services.accounts.counts.lagged) == (True, False, 1)
    await turn.write("text")
    assert (second.cut, made.services.accounts.counts.lagged) == (True, 2)
    assert made.records() == ["subscriber.lagged"] * 2


async def test_words_after_the_end_go_nowhere_and_are_counted(autojump_clock: MockClock) -> None:
    """The agent is told, and so is whoever reads the log."""
    made = bench()
    box, turn = reader(made), made.turn()
    turn.close(PartStatus.COMPLETE)
    for late in (turn.write, turn.think, turn.call, turn.ask):
        with pytest.raises(TurnOverError, match="has ended"):
            await late("late")
    assert made.services.accounts.counts.late_output == 4
    assert box.take(made.ref.broadcast) is None
    assert not made.ref.mailbox.inner
    assert made.records() == ["turn.late_output"] * 4


async def test_a_tool_call_waits_until_it_is_on_disk(autojump_clock: MockClock) -> None:
    """No tool may run that the journal does not know of."""
    made = bench()
    turn = made.turn()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn.call, "look")
        await wait_all_tasks_blocked()
        item = written(made)
        assert isinstance(item.command, Emit)
        assert (item.command.turn, item.command.attempt, len(item.command.bodies)) == (1, 1, 1)
        assert len(nursery.child_tasks) == 1, "it waits"
        item.reply.set(None)


async def test_a_question_gets_the_number_under_which_it_is_on_disk(autojump_clock: MockClock) -> None:
    """The answer finds its way by it."""
    made = bench()
    turn = made.turn()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn.ask, "really?")
        await wait_all_tasks_blocked()
        item = written(made)
        assert item.command == Ask(1, 1, "text", "really?", (), ())
        item.reply.set(7)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1, "it waits for the person now"
        assert item.waiting is not None
        item.waiting.set("yes")


async def test_words_that_the_journal_refused_are_an_error_of_the_agent(autojump_clock: MockClock) -> None:
    """It speaks for a turn or an attempt that is over."""
    made = bench()
    turn = made.turn()
    async with trio.open_nursery() as nursery:

        async def call() -> None:
            with pytest.raises(TurnOverError, match="not written: an old attempt"):
                await turn.call("look")

        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        written(made).reply.set(Refusal(DropReason.NOT_RUNNING, "an old attempt"))


async def test_an_agent_reads_what_went_before_its_own_turn(autojump_clock: MockClock) -> None:
    """Not what was accepted since."""
    made = bench()
    turn = made.turn()
    made.ref.transcript = Transcript()
    for number in (1, 2):
        body = MessageAccepted(f"key.{number}", number, f"message {number}")
        made.ref.transcript.add(Event(CHAT, number, 1, 0.0, body))
    assert [message.text for message in turn.history] == ["message 1"]
