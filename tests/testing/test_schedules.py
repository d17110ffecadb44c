"""One seed, one schedule: in this process and in any other."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from actors.errors import ConfigurationError
from actors.testing import each_schedule, schedules, seeded_schedule

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """
import hashlib, io, sys, trio
from trio.testing import MockClock
from actors.testing import *

async def main(log):
    script = ScriptedAgent([Say("a b c", pieces=3, every_s=0.1), Call("t", seconds=0.2)],
                           {("live:3", 2): [Raise(ValueError)], ("live:4", 1): [Hang()]})
    async with checked_runtime(script, clock=VirtualClock(5), log=log) as runtime:
        async def converse(chat_id):
            await runtime.create(chat_id)
            receipts = [await runtime.send(chat_id, f"m{n}", message_id=f"m{n}") for n in range(3)]
            await trio.sleep(0.3)
            crash_now(runtime, "live:1")
            await receipts[0].cancel()
            await receipts[2].result()
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(converse, f"live:{number}")

for seed in (1, 1, 2):
    log = io.BytesIO()
    with seeded_schedule(seed):
        trio.run(main, log, clock=MockClock(autojump_threshold=0))
    print(hashlib.sha256(log.getvalue()).hexdigest(), len(log.getvalue()))
"""


def lines_of(hash_seed: int) -> list[str]:
    """Run the program in a process whose hashes differ from those of others."""
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.rule("V3", "promise_9")
def test_v3_a_seed_repeats_every_record_of_a_run_in_any_process() -> None:
    """Sessions that crash, hang, are cancelled and talk at once: the log is the same to the byte."""
    here, there = lines_of(1), lines_of(2)
    assert here == there
    assert here[0] == here[1]
    assert here[0] != here[2]


async def order_of(seed: int) -> list[int]:
    """Have ten tasks note in which order they run."""
    order: list[int] = []

    async def note(number: int) -> None:
        for _ in range(3):
            order.append(number)
            await trio.lowlevel.checkpoint()

    with seeded_schedule(seed):
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(note, number)
    return order


@pytest.mark.rule("V3")
async def test_a_schedule_can_be_seeded_inside_a_run(autojump_clock: MockClock) -> None:
    """As often as one likes; another seed is another order."""
    assert await order_of(7) == await order_of(7)
    assert len({tuple(await order_of(seed)) for seed in range(10)}) > 5


async def test_a_block_gives_back_what_it_found(autojump_clock: MockClock) -> None:
    """Nested ones too, and when they fail."""
    chance: random.Random = trio._core._run._r  # noqa: SLF001 - what is held
    before = chance.getstate()
    with pytest.raises(KeyError), seeded_schedule(1), seeded_schedule(2):
        raise KeyError
    assert chance.getstate() == before


@pytest.mark.rule("V3", "promise_9")
async def test_a_failure_names_its_seed(capsys: pytest.CaptureFixture[str], autojump_clock: MockClock) -> None:
    """On standard error and in its notes; the seeds before it passed, and those after it are not run."""
    ran: list[int] = []

    async def fail_at_three(seed: int) -> None:
        ran.append(seed)
        assert seed != 3

    with pytest.raises(AssertionError) as failed:
        await each_schedule(fail_at_three)
    assert ran == [0, 1, 2, 3]
    assert failed.value.__notes__ == ["the schedule had the seed 3"]
    assert capsys.readouterr().err == "the schedule had the seed 3\n"


async def test_a_cancelled_scenario_is_not_a_failure(
    capsys: pytest.CaptureFixture[str], autojump_clock: MockClock
) -> None:
    """Whoever cancels it knows why."""

    async def hang(seed: int) -> None:
        await trio.sleep_forever()

    with trio.move_on_after(1.0) as scope:
        await each_schedule(hang)
    assert scope.cancelled_caught
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("version", "missing", "sentence"),
    [
        ("0.99.1", "", "this is 0.99.1"),
        (trio.__version__, "_r", "has no _r of the kind that is known"),
        (trio.__version__, "_ALLOW_DETERMINISTIC_SCHEDULING", "has no _ALLOW_DETERMINISTIC_SCHEDULING"),
    ],
)
def test_another_trio_is_refused_with_a_remedy(
    version: str, missing: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody believes that a run will repeat when it will not."""
    monkeypatch.setattr(trio, "__version__", version)
    if missing:
        monkeypatch.delattr(f"trio._core._run.{missing}")
    with pytest.raises(ConfigurationError, match=sentence), seeded_schedule(1):
        pass
    assert schedules.SEEDABLE
