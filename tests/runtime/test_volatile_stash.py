"""What a handler sets aside waits for it, in order: through crashes, within a bound, and accounted for at every end."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    AskError,
    AskTimeoutError,
    ChatId,
    ConfigurationError,
    DropReason,
    HandlerError,
    Limits,
    Reject,
    Session,
    agent,
)
from actors.testing import ScriptedAgent, checked_runtime


class Gate:
    """A handler that sets aside what comes while it is shut, and does what it is told."""

    def __init__(self) -> None:
        """Begin shut."""
        self.open = False
        self.handled: list[object] = []
        self.kept: list[bool] = []
        self.begun: list[object] = []

    async def receive(self, session: Session, payload: object) -> object:
        """Handle a message, or set it aside."""
        self.begun.append(payload)
        match payload:
            case "open":
                self.open = True
                return session.unstash()
            case "crash":
                message = "as told"
                raise ValueError(message)
            case ["fail", str(how)]:
                self.kept.append(session.stash())
                raise (Reject if how == "reject" else ValueError)(how)
            case _:
                pass
        if not self.open:
            self.kept.append(session.stash())
            return "nobody hears this"
        self.handled.append(payload)
        return f"handled {payload}"


async def test_m7_what_is_set_aside_is_handled_later_in_its_order(autojump_clock: MockClock) -> None:
    """Before what came after it; whoever asked is answered then, with what the handler says then."""
    gate = Gate()
    answers: list[object] = []
    async with checked_runtime(agent(ScriptedAgent(), receive=gate.receive)) as runtime, trio.open_nursery() as nursery:
        chat_id = await runtime.create()

        async def ask(payload: object) -> None:
            answers.append(await runtime.ask(chat_id, payload))

        for number in range(3):
            await runtime.tell(chat_id, number)
        nursery.start_soon(ask, "question")
        await wait_all_tasks_blocked()
        assert (gate.handled, answers, gate.kept) == ([], [], [True] * 4)
        assert runtime.statistics().letters.queued == 4
        assert runtime.statistics().closed
        assert runtime.inspect(chat_id).mailbox_messages == 4
        runtime.tell_nowait(chat_id, "open")
        runtime.tell_nowait(chat_id, "last")
        await wait_all_tasks_blocked()
        assert gate.handled == [0, 1, 2, "question", "last"]
        assert answers == ["handled question"]
        assert runtime.statistics().letters.executed == 6


async def test_m7_a_full_stash_fails_the_message_and_not_the_session(autojump_clock: MockClock) -> None:
    """Its asker is told that it was not begun, a tell becomes a dead letter; what was kept is handled all the same."""
    gate = Gate()
    limits = Limits(stash_messages_max=2)
    async with checked_runtime(agent(ScriptedAgent(), receive=gate.receive), limits=limits) as runtime:
        chat_id = await runtime.create()
        for number in range(3):
            await runtime.tell(chat_id, number)
        with pytest.raises(AskError, match="stash_full") as caught:
            await runtime.ask(chat_id, "question")
        assert caught.value.outcome == "not_started"
        assert gate.kept == [True, True, False, False]
        letters = [(letter.reason, letter.kind) for letter in runtime.dead_letters()]
        assert letters == [(DropReason.STASH_FULL, "tell"), (DropReason.STASH_FULL, "ask")]
        assert runtime.statistics().closed
        assert runtime.statistics().crashes == 0
        assert await runtime.ask(chat_id, "open") == 2
        await wait_all_tasks_blocked()
        assert gate.handled == [0, 1]
        letters_now = runtime.statistics().letters
        assert (letters_now.executed, letters_now.dead, letters_now.queued) == (3, 2, 0)


async def test_m8_what_is_set_aside_survives_a_crash_as_the_mailbox_does(autojump_clock: MockClock) -> None:
    """The next incarnation finds it before the messages that waited: nothing it could have waited for is left."""
    gate = Gate()
    async with checked_runtime(agent(ScriptedAgent(), receive=gate.receive)) as runtime:
        chat_id = await runtime.create()
        for payload in (1, 2, "crash", 3):
            await runtime.tell(chat_id, payload)
        await trio.sleep(0.001)
        gate.open = True
        await trio.sleep(60)
        assert runtime.inspect(chat_id).incarnation == 2
        assert gate.handled == [1, 2, 3]
        assert runtime.statistics().letters.executed == 4


@pytest.mark.parametrize(("how", "crashes"), [("reject", 0), ("crash", 1)])
async def test_s7_a_message_that_was_set_aside_and_then_failed_is_not_run_again(
    how: str, crashes: int, autojump_clock: MockClock
) -> None:
    """It would fail again and again; its asker is told at once."""
    gate = Gate()
    async with checked_runtime(agent(ScriptedAgent(), receive=gate.receive)) as runtime:
        chat_id = await runtime.create()
        with pytest.raises(HandlerError):
            await runtime.ask(chat_id, ["fail", how])
        await runtime.tell(chat_id, ["fail", how])
        await trio.sleep(60)
        assert gate.begun == [["fail", how]] * 2
        assert runtime.statistics().crashes == crashes * 2
        assert runtime.statistics().letters.executed == 2
        assert runtime.statistics().letters.queued == 0


async def test_m7_what_is_still_aside_when_the_session_ends_is_accounted_for(autojump_clock: MockClock) -> None:
    """Askers are told, the others are dead letters, and no byte stays behind."""
    gate = Gate()
    async with checked_runtime(agent(ScriptedAgent(), receive=gate.receive)) as runtime, trio.open_nursery() as nursery:
        chat_id = await runtime.create()
        await runtime.tell(chat_id, "note")

        async def ask() -> None:
            with pytest.raises(AskError) as caught:
                await runtime.ask(chat_id, "question")
            assert caught.value.outcome == "not_started"

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        await runtime.stop(chat_id)
        assert [letter.reason for letter in runtime.dead_letters()] == [DropReason.STOPPING] * 2
        assert runtime.statistics().letters.queued == 0
        assert runtime.statistics().closed


async def test_m6_a_message_whose_deadline_passes_while_it_is_aside_is_not_handled(autojump_clock: MockClock) -> None:
    """A tell becomes a dead letter when it comes back; an ask is taken out when its time is up."""
    gate = Gate()
    async with checked_runtime(agent(ScriptedAgent(), receive=gate.receive)) as runtime:
        chat_id = await runtime.create()
        await runtime.tell(chat_id, "late", deadline_s=trio.current_time() + 1)
        with pytest.raises(AskTimeoutError) as caught:
            await runtime.ask(chat_id, "question", timeout_s=2)
        assert caught.value.outcome == "not_started"
        assert runtime.statistics().letters.withdrawn == 1
        assert await runtime.ask(chat_id, "open") == 1
        await wait_all_tasks_blocked()
        assert gate.handled == []
        assert [letter.reason for letter in runtime.dead_letters()] == [DropReason.EXPIRED]
        assert runtime.statistics().closed


async def test_a_message_can_be_set_aside_only_while_it_is_handled(autojump_clock: MockClock) -> None:
    """Twice is once; a session that is made by hand, or kept for later, has nothing to set aside."""
    kept: list[Session] = []

    async def receive(session: Session, payload: object) -> object:
        kept.append(session)
        if payload == "twice" and len(kept) == 1:
            return [session.stash(), session.stash()]
        return session.unstash()

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        chat_id = await runtime.create()
        await runtime.tell(chat_id, "twice")
        assert await runtime.ask(chat_id, "go on") == 1
        await wait_all_tasks_blocked()
        for session in (kept[0], Session(ChatId("live:a"), 1)):
            with pytest.raises(ConfigurationError, match="no message is being handled"):
                session.stash()
        assert Session(ChatId("live:a"), 1).unstash() == 0
        assert runtime.statistics().letters.executed == 2


async def test_a6_a_handler_sees_that_its_asker_has_gone(autojump_clock: MockClock) -> None:
    """What has begun is not withdrawn, but need not go on; what has not begun is withdrawn."""
    seen: list[tuple[object, bool, bool]] = []

    async def receive(session: Session, payload: object) -> object:
        before = session.asker_gone
        await trio.sleep(2)
        seen.append((payload, before, session.asker_gone))
        return payload

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        chat_id = await runtime.create()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: runtime.ask(chat_id, "first", timeout_s=60))
            await wait_all_tasks_blocked()
            with trio.move_on_after(3):
                await runtime.ask(chat_id, "second", timeout_s=60)
            with trio.move_on_after(0.5):
                await runtime.ask(chat_id, "third", timeout_s=60)
            await runtime.tell(chat_id, "fourth")
        await trio.sleep(10)
        assert seen == [("first", False, False), ("second", False, True), ("fourth", False, False)]
        statistics = runtime.statistics()
        assert (statistics.letters.withdrawn, statistics.late_replies) == (1, 1)


async def test_m7_a_message_can_be_set_aside_again_after_it_was_brought_back(autojump_clock: MockClock) -> None:
    """Without a pause in between, too: it is not lost, and whoever asked is told in the end."""
    kept: list[bool] = []
    handled: list[object] = []

    async def receive(session: Session, payload: object) -> object:
        if payload == "unstash":
            return session.unstash()
        if len(kept) < 3:
            kept.append(session.stash())
            return None
        handled.append(payload)
        return f"{payload} at last"

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime, trio.open_nursery() as nursery:
        await runtime.create("live:a")
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await runtime.ask("live:a", "asked"))

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        for payload in ("unstash", "unstash", "unstash"):
            runtime.tell_nowait("live:a", payload)  # one batch
        await wait_all_tasks_blocked()
        assert kept == [True] * 3
        assert (handled, answers) == (["asked"], ["asked at last"])
