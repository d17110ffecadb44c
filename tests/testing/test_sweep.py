"""A sweep disturbs a scenario at every step, and sees what a disturbance leaves behind."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from actors import Runtime, agent
from actors.core.events import TurnStarted
from actors.store.memory import MemoryStore
from actors.testing import (
    Call,
    Cancels,
    Crashes,
    Kills,
    Meets,
    Say,
    Scenario,
    ScriptedAgent,
    sweep,
)
from actors.testing.sweep import Disturbance


def talk() -> ScriptedAgent:
    """Make an agent that takes a few steps."""
    return ScriptedAgent([Say("one two", pieces=2, every_s=0.1), Call("tool", seconds=0.1)])


async def create(runtime: Runtime) -> None:
    """Make a session."""
    await runtime.create("live:a")


async def send(runtime: Runtime) -> None:
    """Send a message and wait for its end."""
    await (await runtime.send("live:a", "hello", message_id="key")).result()


FAULTS: dict[str, Disturbance] = {
    "cancels": Cancels(),
    "crashes": Crashes("live:a"),
    "kills": Kills(),
    "meets": Meets(lambda runtime: runtime.create("live:b")),
}


@pytest.mark.rule("V4")
@pytest.mark.parametrize("fault", FAULTS)
async def test_v4_a_scenario_is_disturbed_at_every_step_until_it_ends_before(
    fault: str, autojump_clock: MockClock
) -> None:
    """The sums, the order and the numbers hold after each; the last run is the one that nothing disturbs."""
    seen: list[str] = []

    async def look(runtime: Runtime) -> None:
        seen.append((await (await runtime.send("live:a", "hello", message_id="key")).result()).status)

    runs = await sweep(Scenario(act=send, agent=talk, before=create, after=look), FAULTS[fault])
    assert runs == len(seen) > 15
    assert set(seen) <= {"completed", "interrupted"}
    assert seen[-1] == "completed"
    assert ("interrupted" in seen) == (fault in {"crashes", "kills"})


@pytest.mark.rule("V4")
async def test_a_kill_leaves_what_was_on_disk_at_that_moment(autojump_clock: MockClock) -> None:
    """From nothing to everything, growing with the step, and in the next life of the store."""
    numbers: list[tuple[int, int]] = []

    async def look(runtime: Runtime) -> None:
        numbers.append((runtime.epoch, runtime.inspect("live:a").seq))

    await sweep(Scenario(act=send, agent=talk, before=create, after=look), Kills())
    assert {epoch for epoch, _ in numbers[:-1]} == {2}
    assert numbers[-1][0] == 1
    assert len({seq for _, seq in numbers}) > 2


def plant_a_task(runtime: Runtime) -> None:
    """Leave a task behind."""
    runtime._services.spawn(trio.sleep_forever)  # noqa: SLF001 - as a bug would


def plant_a_sum(runtime: Runtime) -> None:
    """Lose count of an envelope."""
    runtime._router.sent += 1  # noqa: SLF001 - as a bug would


def plant_a_turn(runtime: Runtime) -> None:
    """Write the start of a turn that nobody has accepted."""
    store: MemoryStore = runtime._services.journal.store  # type: ignore[attr-defined]  # noqa: SLF001 - as a bug would
    events = store.chats["live:a"].events
    events[-1] = type(events[-1])("live:a", events[-1].seq, 1, 0.0, TurnStarted(9, 1))  # type: ignore[arg-type]


DEFECTS: dict[str, tuple[Callable[[Runtime], None], str]] = {
    "a task": (plant_a_task, "tasks run for"),
    "a sum": (plant_a_sum, "the sums are wrong"),
    "an order": (plant_a_turn, "starts turn 9, which was not accepted"),
}


@pytest.mark.rule("V4")
@pytest.mark.parametrize("what", DEFECTS)
async def test_a_sweep_finds_what_one_cancellation_in_many_leaves_behind(what: str, autojump_clock: MockClock) -> None:
    """Planted where a cancellation meets one wait only; it is told with the step and the fault."""
    plant, sentence = DEFECTS[what]

    async def clumsy(runtime: Runtime) -> None:
        await send(runtime)
        try:
            await trio.sleep(1.0)
        except trio.Cancelled:
            plant(runtime)
            raise

    with pytest.raises(AssertionError, match=sentence) as failed:
        await sweep(Scenario(act=clumsy, agent=talk, before=create))
    assert any("Cancels() at step" in note for note in failed.value.__notes__)


async def test_what_a_disturbed_act_may_raise_is_said_beforehand(autojump_clock: MockClock) -> None:
    """Everything else fails the sweep."""

    async def fail(runtime: Runtime) -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError

    assert await sweep(Scenario(act=fail, agent=talk, may_raise=(KeyError,))) > 1
    with pytest.raises(BaseExceptionGroup):
        await sweep(Scenario(act=fail, agent=talk))


async def test_a_scenario_with_too_many_steps_is_not_taken_for_swept(autojump_clock: MockClock) -> None:
    """It says so; taking every third step makes it shorter."""
    with pytest.raises(AssertionError, match="more than 5 steps"):
        await sweep(Scenario(act=send, agent=talk, before=create), steps_max=5)
    runs = await sweep(Scenario(act=send, agent=talk, before=create))
    assert await sweep(Scenario(act=send, agent=talk, before=create), every=3) == -(-(runs - 1) // 3) + 1


async def test_an_agent_with_policies_can_be_swept_too(autojump_clock: MockClock) -> None:
    """A new one for each life: a killed process takes its agent with it."""
    made: list[object] = []

    def make() -> object:
        made.append(agent(talk(), on_interrupted="retry"))
        return made[-1]

    async def look(runtime: Runtime) -> None:
        result = await (await runtime.send("live:a", "hello", message_id="key")).result()
        assert (result.status, result.text) == ("completed", "one two")

    runs = await sweep(Scenario(act=send, agent=make, before=create, after=look), Kills())  # type: ignore[arg-type]  # it makes agents
    assert len(made) == 2 * (runs - 1) + 1
