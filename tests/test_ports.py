"""The seams a host may replace: whoever fills one says so by name, fills all of it, and keeps to its signatures."""

import copy
import importlib
import inspect
import pkgutil

import attrs
import pytest

import actors
from actors import ports
from actors.core.ids import ChatId
from actors.ports import (
    Alias,
    Append,
    Appointment,
    Bury,
    Clock,
    Committed,
    Conflict,
    Erase,
    Found,
    Journal,
    Offload,
    Opened,
    Page,
    Recorded,
    Rename,
)
from actors.runtime.agent import Desk
from actors.runtime.attempt import Outlet
from actors.runtime.clock import SystemClock, Threads
from actors.runtime.family import Family
from actors.runtime.services import FamilyPort
from actors.runtime.turn_port import TurnPort
from actors.runtime.volatile import Handler
from actors.store.faulty import FaultyJournal
from actors.store.memory import MemoryJournal
from actors.store.sqlite import SQLiteJournal
from actors.testing import VirtualClock

ADAPTERS: dict[type, set[type]] = {
    Journal: {MemoryJournal, SQLiteJournal, FaultyJournal},
    Clock: {SystemClock, VirtualClock},
    Offload: {Threads},
    TurnPort: {Outlet},
    FamilyPort: {Family},
    Desk: {Handler},
}
"""Every port, and every adapter of it."""

PAIRS = [(port, adapter) for port, adapters in ADAPTERS.items() for adapter in adapters]
PAIRS.sort(key=lambda pair: (pair[0].__name__, pair[1].__name__))

ASKED: dict[type, set[str]] = {
    Journal: {
        "open",
        "commit",
        "load",
        "find",
        "find_prompt",
        "turn",
        "events",
        "messages",
        "sessions",
        "children",
        "dead_letters",
        "close",
    },
    Clock: {"now_s", "wall_s", "busy_s", "dice", "mint_id"},
    Offload: {"run"},
}
"""What the ports of the host ask for."""

VALUES = [
    Append(ChatId("live:a"), 0, ()),
    Erase(ChatId("live:a"), 0.0),
    Rename(ChatId("draft:a"), ChatId("live:a"), 1, ()),
    Alias(ChatId("draft:a"), ChatId("live:a")),
    Bury((), (), 0.0, 1),
    Committed(),
    Conflict(3),
    Appointment(ChatId("live:a"), 1.0),
    Opened(1, frozenset(), frozenset(), ()),
    Found(1, 2, "completed", "", ""),
    Recorded(Found(1, 2, "completed", "", ""), hidden=False, messages=()),
    Page((), None),
]

adapters = pytest.mark.parametrize(
    ("port", "adapter"), PAIRS, ids=[f"{port.__name__}-{adapter.__name__}" for port, adapter in PAIRS]
)


def methods(port: type) -> set[str]:
    """Name what a port asks for."""
    return {name for name, value in vars(port).items() if inspect.isfunction(value) and not name.startswith("_")}


def classes() -> set[type]:
    """List every class that the package defines."""
    found: set[type] = set()
    for module in pkgutil.walk_packages(actors.__path__, "actors."):
        if not module.name.endswith("__main__"):
            members = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
            found |= {kind for _, kind in members if kind.__module__.startswith("actors.")}
    return found


def protocols() -> set[type]:
    """List the protocols among them."""
    return {kind for kind in classes() if getattr(kind, "_is_protocol", False)}


def test_the_ports_of_the_package_are_those_that_are_known_here() -> None:
    """A new seam is tested like the others."""
    assert protocols() == set(ADAPTERS)


def test_every_class_that_fills_a_port_inherits_it_by_name() -> None:
    """Whoever changes the port finds them all; a port of one method is too small to tell by its shape."""
    for port in (Journal, Clock, TurnPort):
        shaped = {kind for kind in classes() - protocols() if all(hasattr(kind, name) for name in methods(port))}
        assert {kind.__name__ for kind in shaped} == {kind.__name__ for kind in ADAPTERS[port]}
        assert all(port in kind.__mro__ for kind in shaped)


@pytest.mark.parametrize("port", list(ADAPTERS), ids=lambda port: str(port.__name__))
def test_every_class_that_inherits_a_port_is_a_known_adapter(port: type) -> None:
    """None is outside of the contract suites without being seen here."""
    assert {kind for kind in classes() - protocols() if port in kind.__mro__} == ADAPTERS[port]


@adapters
def test_no_adapter_leaves_a_part_of_its_port_undone(port: type, adapter: type) -> None:
    """What it inherited from the port would answer None without a word."""
    left = [name for name in sorted(methods(port)) if getattr(adapter, name) is getattr(port, name)]
    assert not left


@adapters
def test_every_adapter_can_be_called_as_its_port_says(port: type, adapter: type) -> None:
    """With the same names, defaults and kinds of parameters; async where the port is."""
    for name in methods(port):
        asked, given = getattr(port, name), getattr(adapter, name)
        assert inspect.iscoroutinefunction(given) == inspect.iscoroutinefunction(asked), name
        if not inspect.isbuiltin(given):
            wanted, offered = (inspect.signature(each).parameters.values() for each in (asked, given))
            assert [(one.name, one.kind) for one in offered] == [(one.name, one.kind) for one in wanted], name


@pytest.mark.parametrize("port", list(ASKED), ids=lambda port: str(port.__name__))
def test_a_port_asks_for_what_hosts_have_built_and_not_more(port: type) -> None:
    """A method more breaks every adapter that somebody else wrote."""
    assert methods(port) == ASKED[port]
    for name in methods(port):
        assert (getattr(port, name).__doc__ or "").strip().endswith("."), name


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_goes_through_a_port_cannot_be_changed(value: attrs.AttrsInstance) -> None:
    """Both sides may keep it; equal ones are equal."""
    assert value == copy.deepcopy(value)
    for field in attrs.fields(type(value)):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(value, field.name, None)


def test_every_value_of_the_ports_is_among_those_that_are_tested() -> None:
    """A new one is frozen too."""
    defined = {kind for kind in classes() if kind.__module__ == ports.__name__ and attrs.has(kind)}
    assert defined == {type(value) for value in VALUES}
