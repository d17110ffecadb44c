"""What an agent holds of its turn: it takes what can be kept, refuses the rest, and is worth nothing after its end."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ChatId,
    ConfigurationError,
    Limits,
    ProgressSignal,
    TextSignal,
    ToolCalled,
    ToolOutcome,
    Turn,
    TurnOverError,
)
from actors.core.stream import Item
from actors.store.memory import MemoryJournal
from actors.testing import Do, Raise, Say, ScriptedAgent, checked_runtime, settle

CHAT = ChatId("live:a")

Use = Callable[[Turn], Awaitable[object]]


async def tool() -> str:
    """Return what was asked for."""
    await trio.lowlevel.checkpoint()
    return "found"


async def set_large_state(turn: Turn) -> None:
    """Assign a state that is larger than a message of a thousand bytes may be."""
    turn.state = "x" * 1001


USES: dict[str, Use] = {
    "write": lambda turn: turn.write("late"),
    "think": lambda turn: turn.think("late"),
    "progress": lambda turn: turn.progress("late"),
    "call": lambda turn: turn.call("late"),
    "calls": lambda turn: turn.calls([("late", None, "")]),
    "tool": lambda turn: turn.tool("late", tool),
    "ask": lambda turn: turn.ask("late?"),
}
"""Everything that an agent can do with its turn."""


async def answer_with(use: Use, limits: Limits | None = None) -> tuple[str, str, str]:
    """Run one turn that uses its turn once; return its status, its error and what it said."""
    async with checked_runtime(ScriptedAgent([Do(use)]), limits=limits) as runtime:
        await runtime.create(CHAT)
        result = await (await runtime.send(CHAT, "hello")).result()
        return result.status, result.error, result.text


@pytest.mark.parametrize("how", USES)
async def test_a_turn_that_has_ended_takes_nothing_any_more(how: str, autojump_clock: MockClock) -> None:
    """Each use is told so and counted; nothing of it is written or shown."""
    kept: list[Turn] = []

    async def keep(turn: Turn) -> None:
        kept.append(turn)

    journal = MemoryJournal()
    async with checked_runtime(ScriptedAgent([Do(keep)]), store=journal) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        await settle(runtime)
        before = len(await journal.events(CHAT, 0, 100))
        with pytest.raises(TurnOverError):
            await USES[how](kept[0])
        assert runtime.statistics().late_output == 1
        await trio.sleep(1.0)
        assert len(await journal.events(CHAT, 0, 100)) == before


async def test_a_turn_that_failed_is_over_too(autojump_clock: MockClock) -> None:
    """Whoever catches the error of an agent and goes on gets nowhere."""
    kept: list[Turn] = []

    async def keep(turn: Turn) -> None:
        kept.append(turn)

    async with checked_runtime(ScriptedAgent([Do(keep), Raise(ValueError)])) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        with pytest.raises(TurnOverError):
            await kept[0].write("late")


@pytest.mark.parametrize("text", [None, 7, b"bytes", ["text"], type("Lie", (str,), {})("text")])
@pytest.mark.parametrize("how", ["write", "think"])
async def test_only_text_can_be_said(how: str, text: object, autojump_clock: MockClock) -> None:
    """Anything else is the agent's mistake, and is told to it."""
    status, error, said = await answer_with(lambda turn: getattr(turn, how)(text))
    assert (status, error, said) == ("failed", "ConfigurationError", "")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("a\ud800b", "a?b"),
        ("\U0001f600 \u00e4 \u4e2d", "\U0001f600 \u00e4 \u4e2d"),
        ("\x00\r\n\t\u2028", "\x00\r\n\t\u2028"),
        ("e\u0301", "e\u0301"),
    ],
    ids=ascii,
)
async def test_text_is_kept_as_it_is_but_for_what_no_disk_can_hold(
    text: str, kept: str, autojump_clock: MockClock
) -> None:
    """A lone surrogate becomes a question mark, so that a model cannot stop the journal."""
    assert await answer_with(lambda turn: turn.write(text)) == ("completed", "", kept)


async def test_names_arguments_and_results_of_tools_are_kept_as_they_can_be(autojump_clock: MockClock) -> None:
    """JSON text as it stands, values as JSON, and nothing that a disk cannot hold."""

    async def use(turn: Turn) -> None:
        await turn.call("n\ud800", {"a": ["\u00e4", 1, None, 2.5, True]}, call_id="id\ud800")
        await turn.call("two", "not even JSON")
        outcome = await turn.tool("three", weird)
        assert outcome == ToolOutcome('{"a": "?"}')

    async def weird() -> object:
        return {"a": "\ud800"}

    journal = MemoryJournal()
    async with checked_runtime(ScriptedAgent([Do(use)]), store=journal) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "hello")).result()).ok
        called = [e.body for e in await journal.events(CHAT, 0, 100) if isinstance(e.body, ToolCalled)]
    assert [(body.name, body.arguments, body.call_id) for body in called] == [
        ("n?", '{"a":["\u00e4",1,null,2.5,true]}', "id?"),
        ("two", "not even JSON", "call_1"),
        ("three", "{}", "call_2"),
    ]


@pytest.mark.parametrize("arguments", [object(), {1: object()}, {"a": {1j}}, {"a": "\ud800"}])
async def test_arguments_that_json_cannot_hold_are_the_agents_mistake(
    arguments: object, autojump_clock: MockClock
) -> None:
    """Nothing of the whole message of calls is made then."""

    async def use(turn: Turn) -> None:
        with pytest.raises(ConfigurationError):
            await turn.calls([("fine", None, ""), ("bad", arguments, "")])
        await turn.write("went on")

    journal = MemoryJournal()
    async with checked_runtime(ScriptedAgent([Do(use)]), store=journal) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "hello")).result()).text == "went on"
        bodies = [event.body for event in await journal.events(CHAT, 0, 100)]
    assert not any(isinstance(body, ToolCalled) for body in bodies)


async def test_a_result_that_is_no_json_is_an_error_outcome(autojump_clock: MockClock) -> None:
    """As if the tool had raised."""

    async def strange() -> object:
        return object()

    async def use(turn: Turn) -> None:
        outcome = await turn.tool("strange", strange)
        await turn.write(f"{outcome.ok} {outcome.content}")

    assert await answer_with(use) == ("completed", "", "False TypeError")


@pytest.mark.parametrize(
    ("first", "then", "seen"),
    [(None, {"n": 1}, {"n": 1}), ({"n": 1}, [1, "two", None], [1, "two", None]), ([], None, None), ("text", 0, 0)],
)
async def test_the_state_is_any_json_value(
    first: object, then: object, seen: object, autojump_clock: MockClock
) -> None:
    """Each turn sees a private copy of what the last one kept."""
    states: list[object] = []

    async def use(turn: Turn) -> None:
        states.append(turn.state)
        turn.state = first if turn.number == 1 else then

    async with checked_runtime(ScriptedAgent([Do(use)])) as runtime:
        await runtime.create(CHAT)
        for _ in range(3):
            assert (await (await runtime.send(CHAT, "hello")).result()).ok
    assert states == [None, first, seen]


async def test_a_state_changed_in_place_is_kept_and_one_that_was_only_looked_at_is_not_written_again(
    autojump_clock: MockClock,
) -> None:
    """A look costs no event."""

    async def use(turn: Turn) -> None:
        if turn.number == 1:
            turn.state = {"list": [1]}
        elif turn.number == 2:
            state = turn.state
            assert isinstance(state, dict)
            state["list"].append(2)
        else:
            assert turn.state == {"list": [1, 2]}

    journal = MemoryJournal()
    async with checked_runtime(ScriptedAgent([Do(use)]), store=journal) as runtime:
        await runtime.create(CHAT)
        for _ in range(4):
            assert (await (await runtime.send(CHAT, "hello")).result()).ok
        kinds = [type(event.body).__name__ for event in await journal.events(CHAT, 0, 100)]
    assert kinds.count("StateSaved") == 2


@pytest.mark.parametrize("value", [object(), {1j}, {"a": object()}])
async def test_a_state_that_json_cannot_hold_is_refused_where_it_is_assigned(
    value: object, autojump_clock: MockClock
) -> None:
    """The state that was there stays."""

    async def use(turn: Turn) -> None:
        turn.state = "kept"
        with pytest.raises(ConfigurationError):
            turn.state = value
        await turn.write(str(turn.state))

    assert await answer_with(use) == ("completed", "", "kept")


@pytest.mark.parametrize(
    "use",
    [
        lambda turn: turn.write("x" * 1001),
        lambda turn: turn.call("tool", "x" * 1001),
        lambda turn: turn.ask("x" * 1001),
        set_large_state,
    ],
    ids=["a piece of text", "arguments", "a question", "a state"],
)
async def test_nothing_larger_than_one_message_may_be_is_taken_in_one_piece(
    use: Use, autojump_clock: MockClock
) -> None:
    """The agent is told the limit by name."""
    status, error, _ = await answer_with(use, Limits(message_bytes_max=1000))
    assert (status, error) == ("failed", "ConfigurationError")


async def test_the_facts_of_a_turn_are_those_of_its_message(autojump_clock: MockClock) -> None:
    """Who asked what, in which session, for which time."""
    facts: list[tuple[object, ...]] = []

    async def use(turn: Turn) -> None:
        facts.append((turn.chat_id, turn.number, turn.attempt, turn.text, turn.sender))
        assert [message.text for message in turn.history[-1:]] == [turn.text]
        assert turn.history[-1].role == "user"
        assert len(turn.history) == len(list(turn.history)) == 2 * turn.number - 1

    async with checked_runtime(ScriptedAgent([Do(use), Say("ok")])) as runtime:
        await runtime.create(CHAT)
        for number in (1, 2):
            assert (await (await runtime.send(CHAT, f"message {number}", sender=f"person {number}")).result()).ok
    assert facts == [(CHAT, 1, 1, "message 1", "person 1"), (CHAT, 2, 1, "message 2", "person 2")]


async def test_progress_is_shown_and_not_kept(autojump_clock: MockClock) -> None:
    """Also words that no disk could hold are made showable."""
    items: list[Item] = []

    async def use(turn: Turn) -> None:
        await turn.progress("typing")
        await turn.progress("tool", "50 \ud800")

    journal = MemoryJournal()
    async with checked_runtime(ScriptedAgent([Do(use), Say("ok")]), store=journal) as runtime:
        await runtime.create(CHAT)
        async with runtime.subscribe(CHAT) as stream:
            await (await runtime.send(CHAT, "hello")).result()
            with trio.move_on_after(1.0):
                async for item in stream:
                    items.append(item)
        stored = str(await journal.events(CHAT, 0, 100))
    shown = [(item.name, item.value) for item in items if isinstance(item, ProgressSignal)]
    assert shown == [("typing", ""), ("tool", "50 ?")]
    assert "typing" not in stored
    assert [item.text for item in items if isinstance(item, TextSignal)] == ["ok"]


@pytest.mark.rule("T5")
async def test_an_agent_that_never_waits_gives_way_all_the_same(autojump_clock: MockClock) -> None:
    """Every so often, by the quantum; with a quantum of nothing at every write."""
    for quantum_s, ways_min in ((0.0, 900), (100e-6, 5)):
        steps = [0]

        async def count(steps: list[int] = steps) -> None:
            while True:
                steps[0] += 1
                await trio.lowlevel.checkpoint()

        async def talk(turn: Turn, count: Callable[[], Awaitable[None]] = count) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(count)
                await trio.lowlevel.checkpoint()
                for _ in range(1000):
                    await turn.write("x")
                nursery.cancel_scope.cancel()

        async with checked_runtime(talk, limits=Limits(quantum_s=quantum_s)) as runtime:
            await runtime.create(CHAT)
            assert (await (await runtime.send(CHAT, "hello")).result()).ok
        assert steps[0] >= ways_min
