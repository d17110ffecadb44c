"""What a host may import is pinned; every name of it is documented, and nothing inside leans on it."""

import ast
from importlib.resources import files
from pathlib import Path
from typing import Final

import pytest

import actors

PACKAGE: Final = Path(actors.__file__).parent

EXPORTS: Final = [
    "ActorsError",
    "Agent",
    "AskError",
    "AskTimeoutError",
    "AttemptInterrupted",
    "ChatId",
    "ConfigurationError",
    "CursorAheadError",
    "DeadLetter",
    "DeadlockError",
    "DropReason",
    "Event",
    "Gap",
    "HandlerError",
    "Inspection",
    "InvalidEnvelopeError",
    "LaggedError",
    "Limits",
    "Message",
    "MessageAccepted",
    "MessageAdded",
    "OverloadedError",
    "Part",
    "ProgressSignal",
    "PromptAnswered",
    "PromptClosed",
    "PromptOpened",
    "Receipt",
    "RecordingError",
    "RefusedError",
    "Reject",
    "Runtime",
    "Seed",
    "SeedPart",
    "Session",
    "SessionCreated",
    "SessionReady",
    "StateSaved",
    "Statistics",
    "StoreCorruptError",
    "StoreError",
    "StoreFencedError",
    "StoreInUseError",
    "StoreSchemaError",
    "StoreUnavailableError",
    "Subscription",
    "SubscriptionError",
    "TextAppended",
    "TextSignal",
    "ToolCall",
    "ToolCalled",
    "ToolEnded",
    "ToolOutcome",
    "Turn",
    "TurnEnded",
    "TurnOverError",
    "TurnResult",
    "TurnStarted",
    "UnavailableError",
    "UnknownChatError",
    "agent",
    "open_runtime",
]
"""The public names; taking one away, or changing what it means, breaks somebody's program."""


def modules() -> list[Path]:
    """List the modules of the package, but not its root."""
    found = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
    assert found
    return found


def leans_on_the_root(node: ast.AST) -> bool:
    """Say whether a statement imports from the root of the package instead of from the module that has the name."""
    inner = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    if isinstance(node, ast.Import):
        return any(alias.name == "actors" for alias in node.names)
    if not isinstance(node, ast.ImportFrom) or node.module != "actors" or node.level:
        return False
    return any(alias.name not in inner for alias in node.names)


def test_the_public_names_are_exactly_these() -> None:
    """Adding or removing one is a decision, and is made here too."""
    assert actors.__all__ == EXPORTS


def test_the_public_names_are_sorted_and_named_once() -> None:
    """A reader finds a name where it belongs."""
    assert sorted(EXPORTS) == EXPORTS
    assert len(set(EXPORTS)) == len(EXPORTS)


@pytest.mark.parametrize("name", EXPORTS)
def test_every_public_name_has_a_docstring_of_its_own(name: str) -> None:
    """One that is only inherited says nothing about the name."""
    value = getattr(actors, name)
    words = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    assert isinstance(words, str)
    assert words.strip()


def test_everything_that_the_root_imports_is_public() -> None:
    """A name that is imported and not exported is there by mistake."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    imported = [
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    assert sorted(imported) == EXPORTS


def test_a_star_import_gives_the_public_names_and_no_others() -> None:
    """Every name of the list is really there."""
    names: dict[str, object] = {}
    exec("from actors import *", names)  # noqa: S102 - a star import stands at the top of a module only
    assert sorted(names.keys() - {"__builtins__"}) == EXPORTS


def test_nothing_inside_the_package_imports_from_its_root() -> None:
    """The root knows every module, so a module that knows the root goes round in a circle."""
    leaning = [
        f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if leans_on_the_root(node)
    ]
    assert not leaning, leaning


@pytest.mark.parametrize(
    ("line", "leans"),
    [
        ("import actors", True),
        ("import actors as package", True),
        ("from actors import Runtime", True),
        ("from actors import errors", False),
        ("from actors.runtime.facade import Runtime", False),
        ("import actors.runtime.facade", False),
    ],
)
def test_the_look_for_imports_of_the_root_finds_them(line: str, leans: bool) -> None:  # noqa: FBT001 - a table
    """A check that finds nothing must be known to be able to."""
    assert any(leans_on_the_root(node) for node in ast.walk(ast.parse(line))) is leans


def test_the_package_says_that_it_is_typed() -> None:
    """Without the marker a host's type checker ignores every annotation."""
    assert files("actors").joinpath("py.typed").is_file()
