"""The process dies in the middle of whatever it does, and what was acknowledged is there."""

import random
import shutil
from pathlib import Path

import pytest

from tests.store.doomed_writer import READY, groups_in, start
from tests.store.places import FilePlace, opened

LIVES = 12
GROUPS_MAX = 40

LAST_CALLS = {"pwrite64": (1, 2, 3, 7, 19, 33, 40, 50, 84, 130, 377, 987), "fdatasync": (1, 2, 3, 5, 8, 13, 40, 120)}
"""The call of each life that is its last; a new store takes some forty writes to be opened, an old one five."""

pytestmark = pytest.mark.slow


@pytest.mark.rule("promise_1")
async def test_what_was_acknowledged_survives_death_at_any_moment(tmp_path: Path) -> None:
    """Life after life on one store, each killed a random number of groups after it began to write."""
    chance = random.Random(1)
    place = FilePlace(tmp_path)
    survived: dict[int, int] = {}
    for seed in range(LIVES):
        with start(place.path, seed) as doomed:
            assert doomed.stdout is not None
            lines = [doomed.stdout.readline() for _ in range(1 + chance.randint(0, GROUPS_MAX))]
            doomed.kill()
            await check_survivors(place, survived, "".join(lines) + doomed.stdout.read())


@pytest.mark.rule("promise_1")
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("call", LAST_CALLS)
async def test_what_was_acknowledged_survives_death_at_a_call_to_the_disk(call: str, tmp_path: Path) -> None:
    """Life after life on one store, each killed as it makes its n-th write or sync, the opening's included."""
    place = FilePlace(tmp_path)
    trace = tmp_path / "trace"
    survived: dict[int, int] = {}
    for number in LAST_CALLS[call]:
        under = ("strace", "-f", "-o", str(trace), "-e", f"trace={call}")
        with start(place.path, number, (*under, "-e", f"inject={call}:signal=KILL:when={number}")) as doomed:
            said = doomed.communicate()[0]
        if not trace.exists() or "killed by SIGKILL" not in trace.read_text():
            pytest.skip("strace may not trace here")
        await check_survivors(place, survived, said)


async def check_survivors(place: FilePlace, survived: dict[int, int], said: str) -> None:
    """Compare what is there with what a life said before it died, and with what survived the lives before.

    All groups it acknowledged are there, in order, and at most the one it was writing; ``survived`` counts by life.
    """
    ready, *acknowledged = said.split("\n")[:-1] or [""]
    assert ready in {READY, ""}
    async with opened(place) as (journal, opening):
        groups = await groups_in(journal)
    place.check()
    life = opening.epoch - 1
    written = groups.pop(life, [])
    assert written == list(range(len(written)))
    assert len(acknowledged) <= len(written) <= len(acknowledged) + 1
    assert {number: len(earlier) for number, earlier in groups.items()} == survived
    if written:
        survived[life] = len(written)
