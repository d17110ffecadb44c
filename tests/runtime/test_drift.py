"""Code of one session that speaks for another is stopped where it speaks, counted, and told; the other sees nothing."""

from collections.abc import Awaitable, Callable
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ChatId, DriftError, Limits, Origin, Runtime, Session, Turn, TurnOverError, agent, open_runtime
from actors.runtime.drift import RUNNING, foreign
from actors.runtime.mailbox import Budget
from actors.runtime.ref import Ref
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import ScriptedAgent, VirtualClock, canonical, checked_runtime, records_of

Speak = Callable[[Turn], Awaitable[object]]


async def set_state(turn: Turn) -> None:
    """Replace the state of a turn."""
    turn.state = {"a": 1}


async def no_tool() -> str:
    """Do nothing."""
    return "done"


WAYS: dict[str, Speak] = {
    "write": lambda turn: turn.write("intruder"),
    "write what is not plain": lambda turn: turn.write("\u00e4"),
    "think": lambda turn: turn.think("intruder"),
    "progress": lambda turn: turn.progress("typing"),
    "call": lambda turn: turn.call("tool"),
    "tool": lambda turn: turn.tool("tool", no_tool),
    "ask": lambda turn: turn.ask("why?"),
    "state": set_state,
}
"""Every way in which a turn speaks."""


class Mixed:
    """An agent that keeps every turn where all sessions see it, and does in session a as it is told."""

    def __init__(self, speak: Speak) -> None:
        """Say what session a does with the turn of session b."""
        self.speak = speak
        self.turns: dict[str, Turn] = {}
        self.raised: list[BaseException] = []
        self.go_on = trio.Event()

    async def answer(self, turn: Turn) -> str:
        """Answer a turn; that of b begins to write and waits until a has ended."""
        self.turns[turn.chat_id] = turn
        if turn.chat_id == "live:b":
            await turn.write("begun, ")
            await self.go_on.wait()
            return "ended"
        try:
            await self.speak(self.turns["live:b"])
        except DriftError as error:
            self.raised.append(error)
            raise
        return "not stopped"


async def run(mixed: Mixed, store: MemoryStore, log: BytesIO | None = None, *, alone: bool = False) -> dict[str, int]:
    """Run both sessions, or b alone; return the ends of turns and the drift."""
    clock = VirtualClock(1)
    async with open_runtime(MemoryJournal(store), agent=mixed.answer, log=log, clock=clock) as runtime:
        await runtime.create("live:b")
        last = await runtime.send("live:b", "hello", message_id="key")
        await wait_all_tasks_blocked()
        if not alone:
            await runtime.create("live:a")
            result = await (await runtime.send("live:a", "hello")).result()
            assert (result.status, result.error) == ("failed", "DriftError")
        mixed.go_on.set()
        assert (await last.result()).text == "begun, ended"
        statistics = runtime.statistics()
        assert statistics.closed
        return {"drift": statistics.drift, "crashes": statistics.crashes}


@pytest.mark.parametrize("way", WAYS)
async def test_d4_a_turn_cannot_speak_for_another_session(way: str, autojump_clock: MockClock) -> None:
    """It is stopped at the call, counted once, logged as an alarm; what is stored of the other is as without it."""
    mixed, log, store, untouched = Mixed(WAYS[way]), BytesIO(), MemoryStore(), MemoryStore()
    assert await run(mixed, store, log) == {"drift": 1, "crashes": 1}
    (error,) = mixed.raised
    assert "code of session live:a spoke for another session [chat 'live:b']" in str(error)
    alarms = [record for record in records_of(log) if record["event"] == "session.drift"]
    assert [(each["level"], each["reason"], each["chat_id"], each["kind"]) for each in alarms] == [
        ("error", "live:a", "live:b", "turn")
    ]
    assert await run(Mixed(WAYS[way]), untouched, alone=True) == {"drift": 0, "crashes": 0}
    stored = []
    for each in (store, untouched):
        journal = MemoryJournal(each)
        await journal.open(takeover=False)
        stored.append(await canonical(journal, "live:b"))
        await journal.close()
    assert stored[0] == stored[1]


@pytest.mark.rule("D4")
async def test_a_test_that_has_drift_in_it_fails(autojump_clock: MockClock) -> None:
    """Also if the agent swallows what it is told."""

    async def answer(turn: Turn) -> None:
        if turn.chat_id == "live:b":
            kept.append(turn)
            await go_on.wait()
        else:
            with pytest.raises(DriftError):
                await kept[0].write("intruder")
            go_on.set()

    kept: list[Turn] = []
    go_on = trio.Event()
    with pytest.raises(AssertionError, match="spoke for another 1 times"):
        async with checked_runtime(answer) as runtime:
            for chat_id in ("live:b", "live:a"):
                await runtime.create(chat_id)
                await runtime.send(chat_id, "hello")
                await wait_all_tasks_blocked()


SENDS: dict[str, Callable[[Runtime, Session], Awaitable[object]]] = {
    "tell": lambda runtime, _: runtime.tell("live:b", 1, origin=Origin("live:b")),
    "send": lambda runtime, _: runtime.send("live:b", "hello", sender="live:b"),
    "ask": lambda runtime, session: runtime.ask("live:c", 1, session=session),
}


@pytest.mark.parametrize("way", SENDS)
async def test_d4_a_handler_cannot_send_as_another_session(way: str, autojump_clock: MockClock) -> None:
    """Names of people and of the session itself pass; nothing of a stop is counted as sent."""
    sessions: dict[str, Session] = {}
    drift: list[DriftError] = []

    async def receive(session: Session, payload: object) -> None:
        sessions[session.chat_id] = session
        if payload == "speak":
            for origin in (None, Origin(), Origin("anna"), Origin("live:a"), Origin("live:")):
                await runtime.tell("live:c", 1, origin=origin)
            await runtime.send("live:c", "hello", sender="anna")
            sent = runtime.statistics().sent
            try:
                await SENDS[way](runtime, sessions["live:b"])
            except DriftError as error:
                drift.append(error)
            assert runtime.statistics().sent == sent

    async with open_runtime(":memory:", agent=agent(ScriptedAgent(), receive=receive), clock=VirtualClock()) as runtime:
        for name in "abc":
            await runtime.create(f"live:{name}")
        await runtime.tell("live:b", "come up")
        await wait_all_tasks_blocked()
        await runtime.tell("live:a", "speak")
        await trio.sleep(1)
        assert (len(drift), runtime.statistics().drift, runtime.statistics().crashes) == (1, 1, 0)
        assert runtime.statistics().closed


@pytest.mark.rule("D4", "pitfall_25")
async def test_what_a_turn_starts_belongs_to_the_turn(autojump_clock: MockClock) -> None:
    """Tasks of its own speak for it, and 50 sessions that overlap keep their words apart."""

    async def answer(turn: Turn) -> None:
        async def part(number: int) -> None:
            await trio.sleep(0.01 * ((number * 7 + turn.number) % 5))
            await turn.write(f"{turn.chat_id} ")

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(part, number)

    async with checked_runtime(answer) as runtime:
        chats = [await runtime.create(f"live:{number}") for number in range(50)]
        receipts = [await runtime.send(chat, "hello") for _ in range(2) for chat in chats]
        for receipt in receipts:
            assert (await receipt.result()).text == f"{receipt.chat_id} " * 5


async def test_the_host_may_speak_for_any_session(autojump_clock: MockClock) -> None:
    """A task that serves several sessions, and was started outside of all of them, is no drift."""
    send, receive = trio.open_memory_channel[Turn](10)

    async def answer(turn: Turn) -> None:
        await send.send(turn)
        await trio.sleep(1)

    async def serve() -> None:
        async for turn in receive:
            await turn.write(turn.chat_id)

    async with checked_runtime(answer) as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        for name in "ab":
            await runtime.create(f"live:{name}")
            receipt = await runtime.send(f"live:{name}", "hello")
            assert (await receipt.result()).text == f"live:{name}"
        nursery.cancel_scope.cancel()
    assert RUNNING.get() is None


@pytest.mark.parametrize(
    ("running", "named", "told"),
    [
        (None, "live:b", ""),
        ("live:a", "live:a", ""),
        ("live:a", "live:b", "live:a"),
        ("live:a", "draft:a", ""),
        ("live:a", "draft:b", "live:a"),
        ("live:a", "anna", ""),
        ("live:a", "", ""),
        ("live:a", None, ""),
        ("live:a", 7, ""),
    ],
)
async def test_only_an_id_of_another_session_is_foreign(running: str | None, named: object, told: str) -> None:
    """Whatever else a sender may be called; an id that the session had before is its own."""
    token = RUNNING.set(None if running is None else Ref(ChatId(running), Limits(), Budget(1 << 20)))
    try:
        assert foreign(named, {"draft:a": ChatId("live:a"), "draft:b": ChatId("live:b")}) == told
    finally:
        RUNNING.reset(token)


@pytest.mark.rule("D4")
async def test_a_session_that_is_given_another_id_in_a_turn_speaks_for_itself(autojump_clock: MockClock) -> None:
    """Its turn goes on, under the new id, and is no stranger to it."""
    go_on = trio.Event()

    async def answer(turn: Turn) -> None:
        await turn.write("begun, ")
        await go_on.wait()
        await turn.write("gone on, ")
        await turn.think("hm")
        await turn.tool("tool", no_tool)
        await turn.write("ended")

    async with checked_runtime(answer) as runtime:
        draft = await runtime.create("draft:a")
        receipt = await runtime.send(draft, "hello")
        await wait_all_tasks_blocked()
        await runtime.migrate(draft, "live:a")
        go_on.set()
        result = await receipt.result()
        assert (result.ok, result.text) == (True, "begun, gone on, ended")
        assert runtime.statistics().drift == 0


async def test_a_late_task_of_an_ended_turn_is_late_and_no_drift(autojump_clock: MockClock) -> None:
    """Its words go nowhere, as before."""
    kept: list[Turn] = []

    async def answer(turn: Turn) -> None:
        kept.append(turn)

    async with checked_runtime(answer, limits=Limits()) as runtime:
        chat_id = await runtime.create()
        await (await runtime.send(chat_id, "hello")).result()
        with pytest.raises(TurnOverError):
            await kept[0].write("late")
        assert (runtime.statistics().late_output, runtime.statistics().drift) == (1, 0)
