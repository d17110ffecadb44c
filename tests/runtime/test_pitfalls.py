"""What went wrong in other programs of this kind, tried here."""

import time

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ChatId,
    HandlerError,
    Limits,
    MessageAccepted,
    RefusedError,
    Runtime,
    Session,
    StoreError,
    ToolCalled,
    ToolEnded,
    Turn,
    agent,
)
from actors.core.codec import encode_body
from actors.ports import Conflict
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import (
    Answers,
    Do,
    FaultyJournal,
    Hang,
    Hangs,
    Kills,
    Probe,
    Raise,
    SaveState,
    Say,
    Scenario,
    Script,
    ScriptedAgent,
    VirtualClock,
    Wait,
    canonical,
    checked_runtime,
    crash_now,
    histories,
    settle,
    sweep,
)

A, B = "live:a", "live:b"


@pytest.mark.rule("D4", "promise_path_24", "pitfall_25")
async def test_what_a_turn_starts_is_its_own_chats_whoever_holds_it(autojump_clock: MockClock) -> None:
    """An agent that keeps the turn of one chat and writes to it from another: every event names the turn's chat."""
    journal, probe = MemoryJournal(), Probe()
    async with checked_runtime(probe.agent, store=journal) as runtime:
        for chat_id in (A, B):
            await runtime.create(chat_id)
            await runtime.send(chat_id, f"to {chat_id}")
        first, second = await probe.expect(1, chat_id=A), await probe.expect(1, chat_id=B)
        assert first.turn is not None
        assert second.turn is not None
        await first.turn.write("of the first")
        call = await first.turn.call("tool", {})
        second.reply("of the second")
        await call.end("result of the first")
        await trio.sleep(1.0)
        await first.turn.write(", to its end")
        first.reply()
        await settle(runtime)
        found = await histories(journal)
    assert all(event.chat_id == chat_id for chat_id, events in found.items() for event in events)
    stored = {chat_id: "".join(encode_body(event.body) for event in events) for chat_id, events in found.items()}
    assert "of the first" in stored[A]
    assert "to its end" in stored[A]
    assert "of the first" not in stored[B]
    assert "of the second" not in stored[A]
    calls = [event.body for event in found[A] if isinstance(event.body, ToolCalled | ToolEnded)]
    assert [(body.turn, body.attempt, body.call) for body in calls] == [(1, 1, 0)] * 2


async def test_d6_a_full_session_keeps_nobody_else_waiting(autojump_clock: MockClock) -> None:
    """Senders wait for room in one; meanwhile another one takes, and no code of the host runs in a sender's task."""
    handled_in: set[object] = set()

    async def receive(session: Session, payload: object) -> object:
        handled_in.add(trio.lowlevel.current_task())
        await trio.sleep(100.0 if session.chat_id == A else 0.0)
        return payload

    limits = Limits(mailbox_messages_max=2, handler_s=86_400.0)
    async with checked_runtime(agent(ScriptedAgent(), receive=receive), limits=limits) as runtime:
        for chat_id in (A, B):
            await runtime.create(chat_id)
        senders: set[object] = set()

        async def tell(number: int) -> None:
            senders.add(trio.lowlevel.current_task())
            await runtime.tell(A, number)

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(tell, number)
            await wait_all_tasks_blocked()
            assert runtime.inspect(A).waiting_senders == 3
            began_s = trio.current_time()
            for number in range(10):
                assert await runtime.ask(B, number) == number
            assert (await (await runtime.send(B, "hello")).result()).ok
            assert trio.current_time() - began_s < 1.0
        senders.add(trio.lowlevel.current_task())
        await trio.sleep(700.0)
        assert not handled_in & senders


async def test_j2_a_session_takes_nothing_more_while_its_commit_is_open(autojump_clock: MockClock) -> None:
    """Neither the next message nor the turn of the one that is being written."""
    journal, script = FaultyJournal(MemoryJournal()), ScriptedAgent([Say("ok")])
    async with checked_runtime(script, store=journal) as runtime:
        await runtime.create(A)
        async with trio.open_nursery() as nursery:
            journal.plan("commit", Hangs())
            nursery.start_soon(runtime.send, A, "one")
            await wait_all_tasks_blocked()
            nursery.start_soon(runtime.send, A, "two")
            await trio.sleep(60.0)
            assert script.runs == []
            assert runtime.inspect(A).mailbox_messages == 1
            assert journal.calls["commit"] == 2, "the creation, and the one that hangs"
            journal.heal()
        await settle(runtime)
        assert [turn for _, turn, _ in script.runs] == [1, 2]


@pytest.mark.rule("pitfall_9")
async def test_j3_a_write_of_unknown_outcome_ends_the_incarnation_that_relied_on_it(autojump_clock: MockClock) -> None:
    """The journal has something else than was believed: memory is read again, and nobody is told yes."""
    journal, script = FaultyJournal(MemoryJournal()), ScriptedAgent([Say("ok")])
    async with checked_runtime(script, store=journal) as runtime:
        await runtime.create(A)
        await (await runtime.send(A, "one", message_id="m1")).result()
        before = runtime.inspect(A).incarnation
        loads = journal.calls["load"]
        journal.plan("commit", Answers([Conflict(99)]), times=1)
        with pytest.raises(StoreError):
            await runtime.send(A, "two", message_id="m2")
        receipt = await runtime.send(A, "two", message_id="m2")
        assert (await receipt.result()).ok
        assert runtime.inspect(A).incarnation > before
        assert journal.calls["load"] > loads
        events = (await histories(journal.inner))[A]
    accepted = [event.body.message_id for event in events if isinstance(event.body, MessageAccepted)]
    assert accepted == ["m1", "m2"]


@pytest.mark.rule("promise_path_23")
async def test_j6_an_effect_whose_result_is_unknown_is_shown_so_and_not_repeated(autojump_clock: MockClock) -> None:
    """The process is killed at every step of a call: the intent is on disk before the effect, its key says which."""
    effects: list[tuple[str, int, int]] = []
    kept: list[tuple[str, int, int]] = []

    async def pay(turn: Turn) -> None:
        call = await turn.call("pay", {"amount": 1})
        effects.append((turn.chat_id, turn.number, call.number))
        await trio.sleep(0.1)
        await call.end("paid")

    async def begin(runtime: Runtime) -> None:
        effects.clear()
        kept.clear()
        await runtime.create(A)

    def keep() -> None:
        kept[:] = effects

    async def act(runtime: Runtime) -> None:
        await (await runtime.send(A, "pay", message_id="m1")).result()

    async def look(runtime: Runtime) -> None:
        if runtime.epoch > 1:
            effects[:] = kept  # what the old life did after its end it did not do
        result = await (await runtime.send(A, "pay", message_id="m1")).result()
        events = [event.body for event in (await histories(runtime._services.journal))[A]]  # noqa: SLF001 - what is stored
        called = [body for body in events if isinstance(body, ToolCalled)]
        ended = [body for body in events if isinstance(body, ToolEnded)]
        assert len(effects) <= len(called) <= 1, "nothing happens that is not on disk, and nothing twice"
        assert len(ended) == len(called)
        seen.add((result.status, *(str(body.status) for body in ended)))

    seen: set[tuple[str, ...]] = set()
    await sweep(Scenario(act=act, agent=lambda: ScriptedAgent([Do(pay)]), before=begin, after=look), Kills(keep))
    assert seen == {
        ("completed", "ok"),
        ("interrupted",),  # killed before the intent was on disk: nothing has happened
        ("interrupted", "interrupted"),  # killed between the intent and the result: unknown, and shown so
        ("interrupted", "ok"),  # killed after the result
    }


async def test_pitfall_20_an_epoch_that_goes_backwards_lets_nobody_write(autojump_clock: MockClock) -> None:
    """A store that was put back to an older state belongs to neither life: both are refused."""
    for epoch in (0, 1, 7):
        store = MemoryStore(epoch=4)
        async with checked_runtime(store=MemoryJournal(store), open_turns=True) as runtime:
            await runtime.create(A)
            assert runtime.epoch == 5
            store.epoch = epoch
            with pytest.raises((StoreError, RefusedError)):
                await runtime.send(A, "hello")
            store.epoch = 5
            with pytest.raises(RefusedError, match="fenced"):
                await runtime.send(A, "hello")
        assert len(store.chats[A].events) == 1


@pytest.mark.rule("T2")
async def test_pitfall_29_what_a_failed_attempt_changed_is_unchanged_for_the_next(autojump_clock: MockClock) -> None:
    """Payloads and states that are changed in place and then lost: the next one gets the original."""
    payload = {"items": [1]}
    seen: list[object] = []

    async def receive(session: Session, given: object) -> object:
        assert isinstance(given, dict)
        seen.append([*given["items"]])
        given["items"].append(2)
        raise ValueError

    async def spoil(turn: Turn) -> None:
        assert isinstance(turn.state, dict)
        seen.append([*turn.state["items"]])
        turn.state["items"].append(2)

    script = ScriptedAgent([Do(spoil), Raise(ValueError)], {(A, 1): [SaveState({"items": [1]})]})
    async with checked_runtime(agent(script, receive=receive), limits=Limits(restarts_max=100)) as runtime:
        await runtime.create(A)
        for _ in range(3):
            with pytest.raises(HandlerError):
                await runtime.ask(A, payload, timeout_s=100.0)
        for _ in range(3):
            await (await runtime.send(A, "hello")).result()
    assert seen == [[1]] * 5
    assert payload == {"items": [1]}


async def test_pitfall_32_a_reply_given_before_the_end_is_not_overtaken_by_it(autojump_clock: MockClock) -> None:
    """The handler replies and its session dies in the same step; then it dies before it replies."""

    async def receive(session: Session, payload: object) -> object:
        crash_now(runtime, session.chat_id)
        if payload == "die first":
            await trio.lowlevel.checkpoint()
        return payload

    async with checked_runtime(agent(ScriptedAgent(), receive=receive)) as runtime:
        await runtime.create(A)
        await (await runtime.send(A, "warm")).result()
        assert await runtime.ask(A, "reply first", timeout_s=100.0) == "reply first"
        with pytest.raises(HandlerError):
            await runtime.ask(A, "die first", timeout_s=100.0)
        assert runtime.statistics().crashes == 2


@pytest.mark.slow
async def test_pitfall_34_what_an_activation_costs_does_not_grow_with_their_number(autojump_clock: MockClock) -> None:
    """Five thousand sessions are brought up: the last ones as fast as the first, but for noise."""
    async with checked_runtime(ScriptedAgent([]), limits=Limits(activations_max=1000)) as runtime:
        chats = [await runtime.create(f"live:{number}") for number in range(5000)]
        costs_s: list[float] = []

        async def bring_up(chat_id: ChatId) -> None:
            await (await runtime.send(chat_id, "hello")).result()

        for first in range(0, len(chats), 500):
            began_s = time.process_time()
            async with trio.open_nursery() as nursery:
                for chat_id in chats[first : first + 500]:
                    nursery.start_soon(bring_up, chat_id)
            costs_s.append(time.process_time() - began_s)
        assert runtime.statistics().sessions_live == len(chats)
    assert min(costs_s[-3:]) < 3 * max(costs_s[:3]), costs_s


async def test_pack_18_a_session_that_was_idle_for_long_takes_a_turn_that_takes_long(autojump_clock: MockClock) -> None:
    """Half an hour of nothing, then an hour of work, during which it can be looked at and stopped."""
    long: Script = [Say("minutes ", pieces=8, every_s=400.0), Wait(100.0)]
    script = ScriptedAgent([Say("ok")], {(A, 2): long, (A, 3): [Say("half"), Hang()]})
    async with checked_runtime(script) as runtime:
        await runtime.create(A)
        await (await runtime.send(A, "one")).result()
        await trio.sleep(31 * 60.0)
        receipt = await runtime.send(A, "two")
        await trio.sleep(50 * 60.0)
        assert runtime.inspect(A).running_turn == 2
        assert (await receipt.result()).text == "minutes "
        running = await runtime.send(A, "three")
        await trio.sleep(10.0)
        assert (await running.cancel()).text == "half"


@pytest.mark.rule("promise_6")
async def test_promise_path_27_an_id_of_a_tool_call_may_come_again(autojump_clock: MockClock) -> None:
    """In the same turn, in another one, in another chat: every call has its own result, in its place."""

    async def call_twice(turn: Turn) -> None:
        for number in range(2):
            call = await turn.call("tool", {}, call_id="call_1")
            await call.end(f"{turn.chat_id} {turn.number} {number}")

    async with checked_runtime(ScriptedAgent([Do(call_twice)])) as runtime:
        for chat_id in (A, B):
            await runtime.create(chat_id)
            for _ in range(2):
                assert (await (await runtime.send(chat_id, "go")).result()).ok
            page = await runtime.history(chat_id)
            results = [part for message in page.messages for part in message.parts if part.kind == "tool_result"]
            assert [part.text for part in results] == [f"{chat_id} {turn} {call}" for turn in (1, 2) for call in (0, 1)]
            assert {part.call_id for part in results} == {"call_1"}


async def test_promise_words_18_what_somebody_looks_at_changes_nothing(autojump_clock: MockClock) -> None:
    """One viewer that goes to another session after every item: what is stored is what it is without anybody."""

    async def converse(runtime: Runtime, chat_id: str) -> None:
        for number in range(3):
            await (await runtime.send(chat_id, "hello", message_id=f"m{number}")).result()

    async def look_around(runtime: Runtime) -> None:
        places: dict[str, int] = {}
        while True:
            for chat_id in (A, B):
                with trio.move_on_after(0.017):
                    async with runtime.subscribe(chat_id, after=places.get(chat_id)) as stream:
                        async for item in stream:
                            places[chat_id] = getattr(item, "seq", places.get(chat_id, 0))
                            break

    stored: list[list[bytes]] = []
    for watched in (False, True):
        journal = MemoryJournal()
        script = ScriptedAgent([Say("several words", pieces=7, every_s=0.037)])
        async with checked_runtime(script, store=journal, clock=VirtualClock(1)) as runtime:
            for chat_id in (A, B):
                await runtime.create(chat_id)
            async with trio.open_nursery() as viewers:
                if watched:
                    viewers.start_soon(look_around, runtime)
                async with trio.open_nursery() as nursery:
                    for chat_id in (A, B):
                        nursery.start_soon(converse, runtime, chat_id)
                viewers.cancel_scope.cancel()
            stored.append([await canonical(journal, chat_id) for chat_id in (A, B)])
    assert stored[0] == stored[1]
    assert b"turn.started" in stored[0][0]
