"""The fixture is there where pytest is, and is missed nowhere else."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from trio.testing import MockClock

from actors import ChatId
from actors.testing import (
    Say,
    ScriptedAgent,
    Wait,
    actors_runtime,
)

assert callable(actors_runtime), "a fixture that is imported is found by pytest"

CHAT = ChatId("live:a")


async def test_the_fixture_gives_checked_runtimes_on_a_clock_that_jumps(
    autojump_clock: MockClock,
    actors_runtime: Callable[..., Any],
) -> None:
    """As a host would use it."""
    async with actors_runtime(ScriptedAgent([Wait(1000.0), Say("ok")])) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "hello")).result()).text == "ok"


async def test_the_fixture_refuses_a_clock_that_does_not_jump(
    actors_runtime: Callable[..., Any],
) -> None:
    """A test that forgot to name the clock would wait for real time."""
    with pytest.raises(AssertionError, match="autojump_clock"):
        actors_runtime()


def test_a_program_that_uses_the_package_does_not_import_pytest() -> None:
    """The tools are for tests; a host that runs pays nothing for them."""
    program = (
        "import sys, actors, actors.host; assert 'pytest' not in sys.modules and 'actors.testing' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_tools_work_without_pytest() -> None:
    """A host may test with something else; only the fixture is missing then."""
    program = (
        "import sys; sys.modules['pytest'] = None; import actors.testing as t;"
        " assert not hasattr(t, 'actors_runtime') and t.checked_runtime"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
