"""Guards, budgets and time of a running turn: who breaks a bound is stopped, and nobody else notices."""

from collections.abc import Awaitable, Callable
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ConfigurationError, GuardError, Limits, OverloadedError, ToolCall, Turn, agent
from actors.core.ids import ChatId
from actors.runtime.agent import Agent
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import Ask, Hang, Raise, Say, ScriptedAgent, canonical, checked_runtime, records_of, settle

A, B = ChatId("live:a"), ChatId("live:b")


async def hop_for_ever(turn: Turn) -> None:
    """Go round and round, saying something each time."""
    while True:
        await turn.hop()
        await turn.write("x")


async def say_nothing(turn: Turn) -> None:
    """Ask a model that answers with nothing."""
    while True:
        await turn.hop()


async def fail_again(turn: Turn) -> None:
    """Make a call that fails, again and again."""
    while True:
        call: ToolCall = await turn.call("find", {"n": 1})
        await call.end("no", ok=False)


async def call_again(turn: Turn) -> None:
    """Make the same call again and again."""
    while True:
        await (await turn.call("find", {"n": 1})).end("found")


async def ask_again(turn: Turn) -> None:
    """Ask person after person."""
    for number in range(1000):
        with trio.move_on_after(0.1):
            await turn.ask(f"question {number}?")
        turn.asked.add(number)


LOOPS: dict[str, tuple[Callable[[Turn], Awaitable[None]], int]] = {
    "hops": (hop_for_ever, 50),
    "empty_replies": (say_nothing, 4),
    "failing_calls": (fail_again, 3),
    "same_calls": (call_again, 5),
    "prompts": (ask_again, 100),
}


@pytest.mark.parametrize("guard", LOOPS)
async def test_a_loop_ends_its_turn_with_the_name_of_its_guard(guard: str, autojump_clock: MockClock) -> None:
    """It is no crash: the session goes on, and so does every other."""
    loop, _ = LOOPS[guard]

    async def answer(turn: Turn) -> None:
        if turn.text == "loop":
            await loop(turn)
        await turn.write("ok")

    async with checked_runtime(answer) as runtime:
        await runtime.create(A)
        result = await (await runtime.send(A, "loop")).result()
        assert (result.status, result.reason, result.error) == ("failed", guard, "")
        assert (await (await runtime.send(A, "hello")).result()).text == "ok"
        assert runtime.statistics().crashes == 0


async def test_a_turn_that_broke_a_bound_may_do_nothing_more_whatever_it_catches(autojump_clock: MockClock) -> None:
    """Every later use raises the same again, and its end says the same."""
    seen: list[str] = []

    async def stubborn(turn: Turn) -> str:
        await turn.write("some words")
        for _ in range(8):
            try:
                await call_again(turn)
            except GuardError as error:
                seen.append(error.guard)
        for use in (
            lambda: turn.write("x"),
            lambda: turn.think("x"),
            lambda: turn.ask("x?"),
            lambda: turn.progress("typing"),
            turn.hop,
        ):
            with pytest.raises(GuardError):
                await use()
        with pytest.raises(GuardError):
            turn.spend(tokens=1)
        return "never said"

    async with checked_runtime(stubborn) as runtime:
        await runtime.create(A)
        result = await (await runtime.send(A, "hello")).result()
        assert (result.status, result.reason, result.text) == ("failed", "same_calls", "some words")
    assert seen == ["same_calls"] * 8


async def spend(turn: Turn) -> None:
    """Spend as many tokens as the message says."""
    tokens, _, cost = turn.text.partition(" ")
    await turn.write("spending")
    turn.spend(tokens=int(tokens), cost=float(cost or 0.0))
    await turn.write(" spent")


async def two_chats(journal: MemoryJournal, *, greedy: bool) -> None:
    """B works within its budget; A is there too, and spends everything if it is greedy."""
    async with checked_runtime(agent(spend, tokens_max=100, turns_max=6), store=journal) as runtime:
        for chat_id in (A, B):
            await runtime.create(chat_id)
        for number in range(5):
            if greedy:
                try:
                    await (await runtime.send(A, "60", message_id=f"a{number}")).result()
                except OverloadedError as error:
                    assert error.reason == "budget_spent"
            result = await (await runtime.send(B, "19", message_id=f"b{number}")).result()
            assert result.ok
        assert runtime.inspect(B).tokens == 95
        assert runtime.inspect(A).tokens == (120 if greedy else 0)


async def test_pack_23_a_turn_limit_in_one_chat_does_not_touch_another(autojump_clock: MockClock) -> None:
    """A at its limit is refused; what is stored of B is byte for byte what it is without A."""
    quiet, noisy = MemoryJournal(), MemoryJournal()
    await two_chats(quiet, greedy=False)
    await two_chats(noisy, greedy=True)
    stored = []
    for journal in (quiet, noisy):
        reader = MemoryJournal(journal.store)
        await reader.open(takeover=True)
        stored.append(await canonical(reader, B))
    assert stored[0] == stored[1]


async def test_a_budget_outlives_a_restart_and_is_spent_until_it_is_reset(autojump_clock: MockClock) -> None:
    """Of tokens, of cost and of turns; the turn that spends the last of it ends there, with what it had said."""
    made: Agent
    for made, text in (
        (agent(spend, tokens_max=10), "10"),
        (agent(spend, cost_max=0.5), "0 0.5"),
        (agent(spend, turns_max=1), "0"),
    ):
        store = MemoryStore()
        async with checked_runtime(made, store=MemoryJournal(store)) as runtime:
            await runtime.create(A)
            result = await (await runtime.send(A, text)).result()
            by_turns = made.allowance is not None and made.allowance.turns_max is not None
            assert (result.status, result.reason) == (("completed", "") if by_turns else ("failed", "budget"))
            assert result.text == ("spending spent" if by_turns else "spending")
        async with checked_runtime(made, store=MemoryJournal(store)) as runtime:
            with pytest.raises(OverloadedError) as caught:
                await runtime.send(A, "1")
            assert caught.value.reason == "budget_spent"
            await runtime.reset_budget(A)
            assert (await (await runtime.send(A, "1")).result()).ok


async def test_a_budget_that_is_reset_while_a_turn_runs_counts_for_it_too(autojump_clock: MockClock) -> None:
    """It begins anew from there."""
    go = trio.Event()

    async def answer(turn: Turn) -> None:
        turn.spend(tokens=8)
        await turn.write("x")
        await go.wait()
        turn.spend(tokens=8)

    async with checked_runtime(agent(answer, tokens_max=10)) as runtime:
        await runtime.create(A)
        receipt = await runtime.send(A, "hello")
        await wait_all_tasks_blocked()
        await trio.sleep(1.0)
        await runtime.reset_budget(A)
        go.set()
        assert (await receipt.result()).ok
        assert runtime.inspect(A).tokens == 8


@pytest.mark.parametrize(
    "options",
    [{"turn_s": 0}, {"turn_s": True}, {"tokens_max": 0}, {"tokens_max": 1.5}, {"cost_max": 0.0}, {"turns_max": "1"}],
    ids=str,
)
def test_a_bound_that_is_none_is_refused(options: dict[str, object]) -> None:
    """With its name and its value."""
    (name,) = options
    with pytest.raises(ConfigurationError, match=f"{name} is"):
        agent(spend, **options)  # type: ignore[call-overload]  # on purpose


async def test_t3_a_turn_that_takes_too_long_is_ended_and_its_time_is_its_agents(autojump_clock: MockClock) -> None:
    """Measured from the start of the turn, whatever the runtime's own limit is."""
    async with checked_runtime(agent(ScriptedAgent([Say("half"), Hang()]), turn_s=5.0)) as runtime:
        await runtime.create(A)
        began_s = trio.current_time()
        result = await (await runtime.send(A, "hello")).result()
        assert (result.status, result.reason, result.text) == ("failed", "deadline", "half")
        assert trio.current_time() - began_s == pytest.approx(5.0, abs=0.1)


async def test_pack_18_a_session_that_is_old_takes_a_turn_and_a_turn_may_take_long(autojump_clock: MockClock) -> None:
    """The time of a turn begins with it, not with its session; being asked how it is does not end it."""

    async def answer(turn: Turn) -> None:
        for _ in range(10):
            await trio.sleep(50.0)
            await turn.write("x")

    async with checked_runtime(agent(answer, turn_s=600.0)) as runtime:
        await runtime.create(A)
        assert (await (await runtime.send(A, "hello")).result()).ok
        await trio.sleep(31 * 60.0)
        receipt = await runtime.send(A, "again")
        for _ in range(40):
            await trio.sleep(10.0)
            assert runtime.inspect(A).running_turn == 2
        assert (await receipt.result()).text == "x" * 10


async def test_the_time_of_a_turn_stands_still_while_it_waits_for_a_person(autojump_clock: MockClock) -> None:
    """Nobody is given a time that was not asked for; what it had left before, it has left after."""
    script = ScriptedAgent([Ask("may I?"), Hang()])
    async with checked_runtime(agent(script, turn_s=10.0)) as runtime:
        await runtime.create(A)
        receipt = await runtime.send(A, "hello")
        await trio.sleep(80_000.0)
        assert runtime.inspect(A).status == "waiting"
        await runtime.answer(A, f"{A}/1/0", "yes")
        began_s = trio.current_time()
        assert (await receipt.result()).reason == "deadline"
        assert trio.current_time() - began_s == pytest.approx(10.0, abs=0.1)


async def test_s7_a_turn_whose_agent_raises_is_tried_again_as_often_as_was_said_and_then_is_poison(
    autojump_clock: MockClock,
) -> None:
    """By default it is not; the last failure is told to who waits, kept as a dead letter, and the session goes on."""
    for retries, attempts, reason in ((0, 1, "crashed"), (2, 3, "attempts")):
        script = ScriptedAgent([Say("half"), Raise(ValueError)], {(A, 2): [Say("ok")]})
        log = BytesIO()
        async with checked_runtime(agent(script, retries=retries), log=log) as runtime:
            await runtime.create(A)
            result = await (await runtime.send(A, "poison")).result()
            assert (result.status, result.reason, result.error, result.text) == ("failed", reason, "ValueError", "half")
            assert (await (await runtime.send(A, "hello")).result()).text == "ok"
            letters = [(letter.reason, letter.kind) for letter in runtime.dead_letters()]
            assert letters == ([("poison", "turn")] if retries else [])
            assert runtime.statistics().turns.get("retried", 0) == retries
        assert [run for run in script.runs if run[1] == 1] == [(A, 1, number) for number in range(1, attempts + 1)]
        dropped = [record for record in records_of(log) if record["event"] == "envelope.dropped"]
        assert len(dropped) == bool(retries)


async def test_s7_a_turn_that_succeeds_at_last_shows_nothing_of_the_attempts_before(autojump_clock: MockClock) -> None:
    """Its text is that of the last attempt, and it has one end."""
    script = ScriptedAgent([Say("new")], {(A, 1, 1): [Say("old"), Raise(ValueError)]})
    async with checked_runtime(agent(script, retries=1), limits=Limits(backoff_first_s=0.0)) as runtime:
        await runtime.create(A)
        result = await (await runtime.send(A, "hello")).result()
        assert (result.status, result.text) == ("completed", "new")
        await settle(runtime)
        assert [message.text for message in (await runtime.history(A)).messages] == ["hello", "new"]
