"""An agent is an async function of a turn with its policies; anything else is refused before a runtime knows it."""

import inspect
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final

import attrs
import pytest

from actors import Agent, ConfigurationError, Session, Turn, agent
from actors.core.ids import ChatId

LOOSE: Final[Callable[..., Any]] = agent
"""The same function, for a host that does not check its types."""


async def answer(turn: Turn) -> str | None:
    """Answer nothing."""
    return None


async def receive(session: Session, message: object) -> object:
    """Reply with the message."""
    return message


async def greet(greeting: str, turn: Turn) -> str | None:
    """Answer with a greeting."""
    return greeting


def plain(turn: Turn) -> str | None:
    """Block every session."""
    return None


async def pieces(turn: Turn) -> AsyncIterator[str]:
    """Yield instead of writing."""
    yield "a piece"


class Assistant:
    """An agent with a state of its own."""

    async def __call__(self, _: Turn) -> str | None:
        """Answer nothing."""
        return None

    async def answer(self, _: Turn) -> str | None:
        """Answer nothing either."""
        return None

    @classmethod
    async def answer_for_all(cls, _: Turn) -> str | None:
        """Answer for the class."""
        return None

    @staticmethod
    async def answer_alone(_: Turn) -> str | None:
        """Answer without anything."""
        return None


class Blocking:
    """An object whose call cannot be awaited."""

    def __call__(self, _: Turn) -> str | None:
        """Block every session."""
        return None


class Yielding:
    """An object whose call is an async generator."""

    async def __call__(self, _: Turn) -> AsyncIterator[str]:
        """Yield instead of writing."""
        yield "a piece"


def test_a_function_alone_gets_the_policies_that_lose_nothing() -> None:
    """Messages queue up and an interrupted turn is marked, unless the host says otherwise."""
    assert agent(answer) == Agent(answer, "queue", "mark", None, None)


def test_agent_is_a_decorator_without_parentheses() -> None:
    """What it leaves under the name is the agent, which holds the function."""

    @agent
    async def assistant(turn: Turn) -> str | None:
        return None

    assert isinstance(assistant, Agent)
    assert assistant == agent(assistant.answer)


def test_agent_is_a_decorator_with_empty_parentheses_too() -> None:
    """Both spellings mean the same."""

    @agent()
    async def assistant(turn: Turn) -> str | None:
        return None

    assert assistant == agent(assistant.answer)


def test_a_decorator_with_options_keeps_every_one_of_them() -> None:
    """None of them is lost or changed on the way."""
    options = agent(overlap="reject", on_interrupted="retry", receive=receive, attempts_max=5)
    assert options(answer) == Agent(answer, "reject", "retry", receive, 5)


def test_a_function_with_options_is_the_same_as_the_decorator() -> None:
    """A host may call it where it has no function of its own to decorate."""
    made = agent(answer, overlap="reject", on_interrupted="retry", receive=receive, attempts_max=1)
    assert made == Agent(answer, "reject", "retry", receive, 1)


def test_one_decorator_can_make_many_agents() -> None:
    """The policies are shared and the functions are not."""
    policies = agent(overlap="reject")
    first, second = policies(answer), policies(Assistant())
    assert first.overlap == second.overlap == "reject"
    assert first.answer is answer


def test_an_agent_cannot_be_changed_after_it_was_made() -> None:
    """A runtime that has it may rely on it."""
    made = agent(answer)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.overlap = "reject"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("overlap", "drop", "give one of queue, reject, interrupt, rollback, latest, merge, steer"),
        ("overlap", "QUEUE", "give one of queue, reject, interrupt, rollback, latest, merge, steer"),
        ("overlap", None, "give one of queue, reject, interrupt, rollback, latest, merge, steer"),
        ("overlap", [], "give one of queue, reject, interrupt, rollback, latest, merge, steer"),
        ("on_interrupted", "resume", "give one of mark, ask, retry, continue"),
        ("on_interrupted", "", "give one of mark, ask, retry, continue"),
        ("on_interrupted", None, "give one of mark, ask, retry, continue"),
        ("on_interrupted", 1, "give one of mark, ask, retry, continue"),
        ("attempts_max", 0, "give a whole number from 1"),
        ("attempts_max", -1, "give a whole number from 1"),
        ("attempts_max", True, "give a whole number from 1"),
        ("attempts_max", 2.0, "give a whole number from 1"),
        ("attempts_max", "3", "give a whole number from 1"),
    ],
)
def test_a_wrong_option_is_refused_by_its_name_and_value(option: str, value: object, hint: str) -> None:
    """In both forms, and in the decorator before it has a function."""
    for given in ((), (answer,)):
        with pytest.raises(ConfigurationError) as caught:
            LOOSE(*given, **{option: value})
        assert str(caught.value) == f"{option} is {value!r}; {hint}"
        assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (pieces, "an async generator"),
        (Yielding(), "an async generator"),
        (partial(pieces), "an async generator"),
        ("answer", "str"),
        (42, "int"),
        (agent(answer), "Agent"),
    ],
)
def test_what_cannot_be_called_or_yields_is_refused_as_an_agent(function: object, kind: str) -> None:
    """It would never run at all."""
    for refuse in (LOOSE, LOOSE(overlap="reject")):
        with pytest.raises(ConfigurationError) as caught:
            refuse(function)
        assert str(caught.value) == f"agent is {kind}; give a function: async def assistant(turn): ..."


@pytest.mark.parametrize(
    ("function", "kind"), [(pieces, "an async generator"), (Yielding(), "an async generator"), (7, "int")]
)
def test_what_cannot_be_called_or_yields_is_refused_as_a_handler_too(function: object, kind: str) -> None:
    """The message names the option, not the agent."""
    with pytest.raises(ConfigurationError, match=f"^receive is {kind};"):
        LOOSE(receive=function)


@pytest.mark.parametrize(
    "function",
    [
        Assistant(),
        Assistant().answer,
        Assistant.answer_for_all,
        Assistant.answer_alone,
        partial(greet, "hello"),
        partial(partial(greet), "hello"),
        partial(Assistant().answer),
    ],
)
def test_whatever_gives_a_coroutine_when_called_can_be_an_agent(function: Callable[..., Any]) -> None:
    """An object with an async call, a method, and an async function with some arguments given."""
    assert agent(function).answer is function
    assert agent(answer, receive=function).receive is function


def test_a_session_begins_with_an_empty_memory_of_its_own() -> None:
    """Two sessions never share what their handlers remember."""
    first, second = Session(ChatId("live:a"), 1), Session(ChatId("live:b"), 1)
    first.memory["seen"] = 1
    assert second.memory == {}
    assert first.origin is None


@pytest.mark.parametrize("function", [plain, lambda _: None, Blocking(), partial(plain)])
def test_t6_a_plain_function_is_an_agent_that_is_awaited(function: Callable[..., Any]) -> None:
    """It never runs on the loop: what the runtime is given in its place runs it in a thread."""
    made = LOOSE(function, receive=function)
    assert inspect.iscoroutinefunction(made.answer)
    assert inspect.iscoroutinefunction(made.receive)
    assert made.answer is not function


def test_a_class_is_no_agent_but_its_objects_may_be() -> None:
    """Calling a class would make an object and answer nothing."""
    with pytest.raises(ConfigurationError, match="agent is a class; give an object of it"):
        LOOSE(Assistant)
    assert LOOSE(Assistant()).overlap == "queue"
