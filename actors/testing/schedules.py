"""Schedules that repeat: trio chooses among tasks that can run by chance, and here that chance comes from a seed.

Trio has no public way to do that, so this module holds two of its private names: the random numbers of its loop and the
switch for an order of tasks that is the same in every process, which its own tests and pytest-trio set. It was tested
with the versions in ``TESTED``; with another one, or where a name is gone, it refuses to be used and the rest of the
package does without it. What has its place by chance or by time in the host's own code, or in threads, is not held.
"""

import random  # noqa: TID251 - trio's own is looked at; nothing is drawn from here
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from actors.errors import ConfigurationError

TESTED: Final = ("0.31", "0.32", "0.33", "0.34", "0.35")
"""The versions of trio for which a seed was seen to repeat a run."""

_RANDOM: Final = "_r"
_SWITCH: Final = "_ALLOW_DETERMINISTIC_SCHEDULING"


def _loop() -> object:
    """Return the module of trio that chooses."""
    return getattr(getattr(trio, "_core", None), "_run", None)


def why_not() -> str:
    """Say why schedules cannot be seeded here; an empty text if they can."""
    version = trio.__version__
    if ".".join(version.split(".")[:2]) not in TESTED:
        return f"schedules are known to repeat with trio {TESTED[0]} to {TESTED[-1]}, and this is {version}"
    missing = [name for name in (_RANDOM, _SWITCH) if not hasattr(_loop(), name)]
    if missing or not isinstance(getattr(_loop(), _RANDOM), random.Random):
        return f"trio {version} has no {' and no '.join(missing or [_RANDOM])} of the kind that is known"
    return ""


SEEDABLE: Final = not why_not()
"""Whether schedules can be seeded with the trio that is installed."""


@contextmanager
def seeded_schedule(seed: int) -> Iterator[None]:
    """Let trio choose by a seed in this block, around ``trio.run`` or inside it; a failure in it names the seed.

    The seed stands on standard error and in the notes of the exception. Blocks may be nested; each gives back what it
    found. Raises ConfigurationError with a version of trio that this was not tested with.
    """
    reason = why_not()
    if reason:
        raise ConfigurationError(reason, hint="install one of them, or do without a seed")
    loop = _loop()
    chance: random.Random = getattr(loop, _RANDOM)
    found, switch = chance.getstate(), getattr(loop, _SWITCH)
    chance.seed(seed)
    setattr(loop, _SWITCH, True)
    try:
        yield
    except BaseException as error:
        if not isinstance(error, trio.Cancelled):
            _tell(error, f"the schedule had the seed {seed}")
        raise
    finally:
        chance.setstate(found)
        setattr(loop, _SWITCH, switch)


async def each_schedule(scenario: Callable[[int], Awaitable[object]], seeds: Iterable[int] = range(20)) -> None:
    """Run a scenario under the schedule of each seed, one after another; it is given the seed.

    The first failure ends it, and names its seed. Raises ConfigurationError as ``seeded_schedule`` does.
    """
    for seed in seeds:
        with seeded_schedule(seed):
            await scenario(seed)


def _tell(error: BaseException, sentence: str) -> None:
    """Say something about a failure, where people and programs look."""
    error.add_note(sentence)
    print(sentence, file=sys.stderr)  # noqa: T201 - a test that fails is read on a terminal
