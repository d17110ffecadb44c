"""A message that finds a turn running, under every policy, in a session that lives: in one step, and over a crash."""

from contextlib import suppress
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from actors import Agent, Event, MessageAccepted, OverloadedError, Receipt, Runtime, Turn, TurnEnded, agent
from actors.core.audit import check_history
from actors.core.ids import ChatId
from actors.runtime.agent import OVERLAPS, Overlap
from actors.runtime.clock import Threads
from actors.store.checks import check_store
from actors.store.memory import MemoryJournal
from actors.store.sqlite import SQLiteJournal
from actors.testing import (
    Call,
    Crashes,
    Do,
    FaultyJournal,
    Hang,
    Hangs,
    Kills,
    SaveState,
    Say,
    Scenario,
    Script,
    ScriptedAgent,
    Shield,
    TakeSteering,
    Wait,
    checked_runtime,
    histories,
    settle,
    sweep,
)

CHAT = ChatId("live:a")
SLOW: Script = [Say("half"), Wait(1.0), TakeSteering(), Say(" done")]


async def run(
    overlap: Overlap, script: Script = SLOW, messages: int = 3, *, apart_s: float = 0.1
) -> tuple[list[tuple[int, str, str, str]], list[tuple[str, str]], ScriptedAgent]:
    """Send messages while the first is answered; return the results, the transcript and the agent."""
    scripted = ScriptedAgent(script)
    async with checked_runtime(agent(scripted, overlap=overlap)) as runtime:
        await runtime.create(CHAT)
        receipts: list[Receipt] = []
        for number in range(messages):
            receipts.append(await runtime.send(CHAT, f"m{number}"))
            await trio.sleep(apart_s)
        results = [await receipt.result() for receipt in receipts]
        page = await runtime.history(CHAT)
    return (
        [(result.turn, result.status, result.reason, result.text) for result in results],
        [(message.role, message.text) for message in page.messages],
        scripted,
    )


@pytest.mark.rule("promise_path_6")
async def test_queue_answers_every_message_in_its_order(autojump_clock: MockClock) -> None:
    """The plain policy: nothing is taken away and nothing joined."""
    results, messages, _ = await run("queue")
    assert [result[:2] for result in results] == [(1, "completed"), (2, "completed"), (3, "completed")]
    assert [role for role, _ in messages] == ["user", "assistant"] * 3


@pytest.mark.rule("promise_path_8")
async def test_t4_interrupt_ends_the_running_turn_only_and_keeps_what_it_had_said(autojump_clock: MockClock) -> None:
    """The session stays up and takes the next message; the one in the middle is interrupted in its turn."""
    results, messages, scripted = await run("interrupt")
    assert results == [
        (1, "interrupted", "superseded", "half"),
        (2, "interrupted", "superseded", "half"),
        (3, "completed", "", "half done"),
    ]
    assert messages == [
        ("user", "m0"),
        ("assistant", "half"),
        ("user", "m1"),
        ("assistant", "half"),
        ("user", "m2"),
        ("assistant", "half done"),
    ]
    assert [turn for _, turn, _ in scripted.runs] == [1, 2, 3]


@pytest.mark.rule("promise_path_9")
async def test_rollback_takes_the_turn_out_of_the_history_as_well(autojump_clock: MockClock) -> None:
    """Neither a page, nor a snapshot, nor the next turn shows it; its events stay."""
    seen: list[list[str]] = []

    async def look(turn: Turn) -> None:
        seen.append([message.text for message in turn.history])

    results, messages, _ = await run("rollback", [Do(look), *SLOW])
    assert [result[:3] for result in results] == [
        (1, "cancelled", "rolled_back"),
        (2, "cancelled", "rolled_back"),
        (3, "completed", ""),
    ]
    assert messages == [("user", "m2"), ("assistant", "half done")]
    assert seen == [["m0"], ["m1"], ["m2"]]


async def test_what_was_rolled_back_is_in_no_snapshot_of_any_life(autojump_clock: MockClock) -> None:
    """Whoever subscribes after it sees a session in which it was never asked; the key is known all the same."""
    journal = MemoryJournal()
    for life in range(2):
        slow = agent(ScriptedAgent(SLOW), overlap="rollback")
        async with checked_runtime(slow, store=MemoryJournal(journal.store)) as runtime:
            await runtime.create(CHAT)
            first = await runtime.send(CHAT, "m0", message_id="key.0")
            await trio.sleep(0.1)
            second = await runtime.send(CHAT, "m1", message_id="key.1")
            assert (await second.result()).ok
            assert (await first.result()).reason == "rolled_back"
            assert first.duplicate is (life > 0)
            async with runtime.subscribe(CHAT) as stream:
                ready = await anext(stream)
            assert [message.text for message in ready.messages] == ["m1", "half done"]  # type: ignore[union-attr]


@pytest.mark.rule("promise_path_10")
async def test_latest_leaves_the_running_turn_and_answers_only_the_last_that_waits(autojump_clock: MockClock) -> None:
    """Those between are on disk, with an end that says why."""
    results, _, scripted = await run("latest", messages=4)
    assert results == [
        (1, "completed", "", "half done"),
        (2, "cancelled", "superseded", ""),
        (3, "cancelled", "superseded", ""),
        (4, "completed", "", "half done"),
    ]
    assert [turn for _, turn, _ in scripted.runs] == [1, 4]


@pytest.mark.rule("promise_path_11")
async def test_merge_makes_one_turn_of_the_messages_that_wait(autojump_clock: MockClock) -> None:
    """Their receipts name it and share its fate; the agent reads them all, in their order."""
    texts: list[str] = []

    async def look(turn: Turn) -> None:
        texts.append(turn.text)

    results, messages, _ = await run("merge", [Do(look), *SLOW], messages=4)
    assert [result[:2] for result in results] == [(1, "completed"), *[(2, "completed")] * 3]
    assert texts == ["m0", "m1\n\nm2\n\nm3"]
    assert [text for role, text in messages if role == "user"] == ["m0", "m1", "m2", "m3"]


@pytest.mark.rule("promise_path_12")
async def test_steer_hands_the_message_to_the_running_turn(autojump_clock: MockClock) -> None:
    """It stands where the agent took it, and its receipt gets the result of the turn it steered."""
    results, messages, scripted = await run("steer")
    assert results == [(1, "completed", "", "half done")] * 3
    assert messages == [
        ("user", "m0"),
        ("assistant", "half"),
        ("user", "m1"),
        ("user", "m2"),
        ("assistant", " done"),
    ]
    assert scripted.steering == ["m1", "m2"]


async def test_steering_that_the_agent_does_not_take_becomes_turns_of_its_own(autojump_clock: MockClock) -> None:
    """An agent that knows nothing of steering loses no message, and who waits is told of the turn it came to."""
    results, messages, _ = await run("steer", [Say("half"), Wait(1.0), Say(" done")])
    assert results == [
        (1, "completed", "", "half done"),
        (2, "completed", "", "half done"),
        (3, "completed", "", "half done"),
    ]
    assert [text for role, text in messages if role == "user"] == ["m0", "m1", "m2"]


async def test_a_message_taken_between_a_call_and_its_result_stands_behind_the_result(
    autojump_clock: MockClock,
) -> None:
    """A model may read nothing between the two."""

    async def steer_in_between(turn: Turn) -> None:
        call = await turn.call("find")
        await trio.sleep(1.0)
        assert [message.text for message in await turn.steering()] == ["m1", "m2"]
        await call.end("found")
        assert [message.role for message in turn.history] == ["user", "assistant", "tool", "user", "user"]
        assert await turn.steering() == ()

    results, messages, _ = await run("steer", [Do(steer_in_between), Say("so")])
    assert {result[:2] for result in results} == {(1, "completed")}
    assert [role for role, _ in messages] == ["user", "assistant", "tool", "user", "user", "assistant"]


async def test_a_message_that_waits_to_be_taken_is_in_the_snapshot(autojump_clock: MockClock) -> None:
    """Under the number of the turn that was handed it, before everything that has a turn of its own."""
    async with checked_runtime(agent(ScriptedAgent(SLOW), overlap="steer")) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "m0")
        await runtime.send(CHAT, "m1")
        async with runtime.subscribe(CHAT) as stream:
            ready = await anext(stream)
        assert [(m.turn, m.text, m.status) for m in ready.queued] == [(1, "m1", "queued")]  # type: ignore[union-attr]
        assert runtime.inspect(CHAT).steering == 1


async def test_a_receipt_cancels_the_turn_that_its_message_is_in_by_now(autojump_clock: MockClock) -> None:
    """Handed to turn 1, moved to turn 2: that one is cancelled, queued as it is."""
    scripted = ScriptedAgent([Hang()], {(CHAT, 1): [Wait(1.0)]})
    async with checked_runtime(agent(scripted, overlap="steer")) as runtime:
        await runtime.create(CHAT)
        first = await runtime.send(CHAT, "m0")
        second, third = await runtime.send(CHAT, "m1"), await runtime.send(CHAT, "m2")
        assert (await first.result()).ok
        assert (await third.cancel()).status == "cancelled"
        assert third.turn == 3
        result = await second.cancel()
        assert (result.turn, result.status) == (2, "cancelled")


async def test_a_session_keeps_its_own_policy_over_lives_and_agents(autojump_clock: MockClock) -> None:
    """It is written with the session; another of the same runtime goes by the agent."""
    store = MemoryJournal().store
    for life in range(2):
        slow = agent(ScriptedAgent(SLOW), overlap="reject")
        async with checked_runtime(slow, store=MemoryJournal(store)) as runtime:
            await runtime.create(CHAT, overlap="latest")
            await runtime.create("live:b")
            for chat_id in (CHAT, "live:b"):
                await runtime.send(chat_id, "m0")
            await trio.sleep(0.1)
            with pytest.raises(OverloadedError) as refused:
                await runtime.send("live:b", "m1")
            assert refused.value.reason == "busy"
            between = await runtime.send(CHAT, "m1")
            assert (await (await runtime.send(CHAT, "m2")).result()).ok
            assert (await between.result()).reason == "superseded", life


async def test_t2_a_turn_that_a_newer_message_ended_leaves_the_agents_state_as_it_was(
    autojump_clock: MockClock,
) -> None:
    """What an agent assigns is saved by completion alone, however far it had come."""
    scripted = ScriptedAgent([SaveState("new"), Wait(1.0)], {(CHAT, 1): [SaveState("old")]})
    policies: tuple[Overlap, ...] = ("interrupt", "rollback")
    for overlap in policies:
        journal = MemoryJournal()
        async with checked_runtime(agent(scripted, overlap=overlap), store=journal) as runtime:
            await runtime.create(CHAT)
            assert (await (await runtime.send(CHAT, "m0")).result()).ok
            scripted.scripts[CHAT, 3] = [Hang()]
            await runtime.send(CHAT, "m1")
            await trio.sleep(0.1)
            third = await runtime.send(CHAT, "m2")
            await trio.sleep(0.1)
            assert journal.store.chats[CHAT].state.saved == '"old"'
            await third.cancel()


@pytest.mark.parametrize("overlap", OVERLAPS)
async def test_t1_turns_of_a_session_never_overlap_under_any_policy(
    overlap: Overlap, autojump_clock: MockClock
) -> None:
    """Not even when an agent will not go: the next begins when the one before has ended, or was given up."""
    running = 0
    most = 0

    async def count(_: object) -> None:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        try:
            await trio.sleep(0.2)
            with trio.CancelScope(shield=True):
                await trio.sleep(0.1)
        finally:
            running -= 1

    async with checked_runtime(agent(ScriptedAgent([Do(count)]), overlap=overlap)) as runtime:
        await runtime.create(CHAT)
        for _ in range(6):
            try:
                await runtime.send(CHAT, "hello")
            except OverloadedError:
                assert overlap == "reject"
            await trio.sleep(0.05)
        await settle(runtime)
    assert (running, most) == (0, 1)


TWO_AT_ONCE: dict[Overlap, list[str]] = {
    "queue": ["completed", "completed"],
    "reject": ["completed", "busy"],
    "interrupt": ["interrupted superseded", "completed"],
    "rollback": ["cancelled rolled_back", "completed"],
    "latest": ["completed", "completed"],
    "merge": ["completed", "completed"],
    "steer": ["completed", "completed"],
}


@pytest.mark.parametrize("overlap", OVERLAPS)
async def test_pack_3_two_sends_in_the_same_tick_under_every_policy_have_one_outcome_each(
    overlap: Overlap, autojump_clock: MockClock
) -> None:
    """Both are decided in one mailbox step, the second on what the first came to; nothing depends on luck."""
    for _ in range(10):
        outcomes: dict[str, str] = {}
        async with checked_runtime(agent(ScriptedAgent([Wait(0.1), Say("ok")]), overlap=overlap)) as runtime:
            await runtime.create(CHAT)

            async def send(name: str, runtime: Runtime = runtime, outcomes: dict[str, str] = outcomes) -> None:
                try:
                    receipt = await runtime.send(CHAT, name)
                    result = await receipt.result()
                    outcomes[name] = f"{receipt.seq} {result.status} {result.reason}".strip()
                except OverloadedError as error:
                    outcomes[name] = f"99 {error.reason}"

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, "one")
                nursery.start_soon(send, "two")
        first, second = sorted(outcomes.values(), key=lambda outcome: int(outcome.split()[0]))
        assert [first.partition(" ")[2], second.partition(" ")[2]] == TWO_AT_ONCE[overlap]


@pytest.mark.parametrize("overlap", OVERLAPS)
async def test_m4_messages_are_answered_in_the_order_of_their_admission_under_every_policy(
    overlap: Overlap, autojump_clock: MockClock
) -> None:
    """Twelve senders at once, and more while turns run: what is answered is answered in the order of the receipts."""
    scripted = ScriptedAgent([Wait(0.05), TakeSteering()])
    journal = MemoryJournal()
    async with checked_runtime(agent(scripted, overlap=overlap), store=journal) as runtime:
        await runtime.create(CHAT)
        seqs: dict[str, int] = {}

        async def send(name: str) -> None:
            try:
                seqs[name] = (await runtime.send(CHAT, name, message_id=name)).seq
            except OverloadedError:
                assert overlap == "reject"

        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(send, f"m{number}")
                if number % 4 == 3:
                    await trio.sleep(0.03)
        await settle(runtime)
        said = [m.message_id for m in (await runtime.history(CHAT)).messages if m.role == "user"]
    begun = [turn for _, turn, _ in scripted.runs]
    assert begun == sorted(set(begun))
    order = sorted(seqs, key=lambda name: seqs[name])
    assert said == [name for name in order if name in said]
    if overlap in {"queue", "interrupt", "merge", "steer", "latest"}:
        assert said == order, "nothing that was accepted is missing"


async def test_an_agent_that_ignores_being_superseded_is_given_up(autojump_clock: MockClock) -> None:
    """The turn ends as the newer message decided, after the grace, and what the agent still says goes nowhere."""
    scripted = ScriptedAgent(scripts={(CHAT, 1): [Shield(60.0), Say("late")]})
    async with checked_runtime(agent(scripted, overlap="interrupt")) as runtime:
        await runtime.create(CHAT)
        first = await runtime.send(CHAT, "m0")
        await trio.sleep(0.1)
        second = await runtime.send(CHAT, "m1")
        assert (await second.result()).text == "ok"
        result = await first.result()
        assert (result.status, result.reason, result.text) == ("interrupted", "superseded", "")
        assert runtime.statistics().abandoned == 1


def mixed(overlap: Overlap) -> Agent:
    """Make an agent that says something, calls a tool, and takes what it is handed now and then."""
    script: Script = [Say("half"), Wait(0.1), TakeSteering(), Call("tool", seconds=0.1), Wait(0.1), Say("done")]
    return agent(ScriptedAgent(script), overlap=overlap, on_interrupted="retry" if overlap == "steer" else "mark")


async def crowd(runtime: Runtime, chat_id: str = CHAT) -> None:
    """Send five messages while turns run."""
    for number in range(5):
        with suppress(OverloadedError):  # under the policy that refuses
            await runtime.send(chat_id, f"m{number}", message_id=f"key.{number}")
        await trio.sleep(0.07)


async def create(runtime: Runtime) -> None:
    """Make a session."""
    await runtime.create(CHAT)


@pytest.mark.parametrize("fault", [Kills(), Crashes(CHAT)], ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("overlap", OVERLAPS)
async def test_a_crash_at_any_step_of_any_policy_leaves_a_legal_session_and_loses_no_message(
    overlap: Overlap, fault: Kills | Crashes, autojump_clock: MockClock
) -> None:
    """The process or the session goes at every seventh step; all that was accepted has one end, and is there once."""

    async def look(runtime: Runtime) -> None:
        await runtime.create(CHAT)
        await settle(runtime)
        journal = runtime._services.journal  # noqa: SLF001 - to read what is stored
        events = (await histories(journal)).get(CHAT, ())
        keys = {event.body.message_id: event.body.turn for event in events if isinstance(event.body, MessageAccepted)}
        ends = [event.body.turn for event in events if isinstance(event.body, TurnEnded)]
        assert sorted(set(keys.values())) == sorted(ends)
        hidden = {event.body.turn for event in events if isinstance(event.body, TurnEnded) and event.body.hidden}
        shown = [m.message_id for m in (await runtime.history(CHAT)).messages if m.role == "user"]
        assert sorted(shown) == sorted(key for key, turn in keys.items() if turn not in hidden)

    scenario = Scenario(act=crowd, agent=lambda: mixed(overlap), before=create, after=look)
    assert await sweep(scenario, fault, every=7) > 5


@pytest.mark.parametrize("overlap", OVERLAPS)
async def test_a_file_that_is_left_at_any_commit_of_any_policy_is_sound_and_goes_on(
    overlap: Overlap, tmp_path: Path
) -> None:
    """The same on a file: rows and events agree wherever it was left, and the next life ends every turn."""
    for number, commits in enumerate(range(1, 16, 3)):
        path = tmp_path / f"{number}.db"
        journal = FaultyJournal(SQLiteJournal(path, Threads()))
        script: Script = [Say("half"), Wait(0.02), TakeSteering(), Wait(0.02)]
        with trio.move_on_after(10.0) as scope:
            async with checked_runtime(agent(ScriptedAgent(script), overlap=overlap), store=journal) as runtime:
                await runtime.create(CHAT)
                journal.plan("commit", Hangs(), skip=commits)
                for name in ("one", "two", "three", "four"):
                    with trio.move_on_after(0.3) as waited:
                        try:
                            await runtime.send(CHAT, name, message_id=name)
                        except OverloadedError:
                            assert overlap == "reject"
                        await trio.sleep(0.01)
                    if waited.cancelled_caught:
                        break
                await trio.sleep(0.1)
                scope.cancel()
        assert [finding for finding in check_store(path) if not finding.ok] == []
        async with checked_runtime(agent(ScriptedAgent(), overlap=overlap), store=path) as runtime:
            await settle(runtime)
        assert [finding for finding in check_store(path) if not finding.ok] == []
        reader = SQLiteJournal(path, Threads())
        await reader.open(takeover=False)
        events: tuple[Event, ...] = await reader.events(CHAT, 0, 10_000)
        await reader.close()
        assert check_history(events, settled=True) == []
