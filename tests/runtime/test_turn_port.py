"""What a turn needs of its session is one port, and the outlet of a session fills it."""

import inspect

from actors.runtime.attempt import Outlet
from actors.runtime.turn_port import TurnPort


def test_the_outlet_of_a_session_fills_the_port_of_its_turns() -> None:
    """With the same arguments, so that a turn may be given either."""
    for name, asked in vars(TurnPort).items():
        if inspect.isfunction(asked) and not name.startswith("_"):
            given = getattr(Outlet, name)
            assert list(inspect.signature(given).parameters) == list(inspect.signature(asked).parameters), name
            assert inspect.iscoroutinefunction(given) == inspect.iscoroutinefunction(asked), name
