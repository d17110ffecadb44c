"""Fixtures for pytest; ``pytest_plugins = ["actors.testing"]`` in a ``conftest.py`` makes them known.

Only this module needs pytest, and the package does without it where there is none.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors.runtime.facade import Runtime
from actors.testing.checked import checked_runtime


@pytest.fixture
def actors_runtime(autojump_clock: MockClock) -> Callable[..., AbstractAsyncContextManager[Runtime]]:
    """Give ``checked_runtime`` on a clock that jumps to the next deadline when nothing can run.

    The test must name ``autojump_clock`` too, since pytest-trio looks for a clock among its arguments only.
    """

    def checked(*arguments: Any, **options: Any) -> AbstractAsyncContextManager[Runtime]:  # noqa: ANN401 - passed on
        assert trio.lowlevel.current_clock() is autojump_clock, "name autojump_clock among the test's arguments"
        return checked_runtime(*arguments, **options)

    return checked
