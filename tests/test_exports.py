"""The surface is pinned: what is public is listed here, described there, and can be imported by everybody."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import actors
from actors import ports, testing

PACKAGE = Path(actors.__file__).parent

SURFACE = {
    "ActorsError",
    "Agent",
    "Alarm",
    "AlarmKind",
    "AnsweredPrompt",
    "AskError",
    "AskTimeoutError",
    "AttemptInterrupted",
    "BudgetReset",
    "ChatId",
    "Child",
    "ConfigurationError",
    "ConflictError",
    "CrashReport",
    "CursorAheadError",
    "DeadLetter",
    "DeadLetterFeed",
    "DeadlockError",
    "Down",
    "DownReason",
    "DriftError",
    "DropReason",
    "Event",
    "EventFacts",
    "ExitReason",
    "Gap",
    "GuardError",
    "HandlerError",
    "HistoryTruncated",
    "Inspection",
    "InvalidEnvelopeError",
    "Kind",
    "LaggedError",
    "Limits",
    "LoopMetrics",
    "Message",
    "MessageAccepted",
    "MessageAdded",
    "Monitor",
    "Origin",
    "MessageSteered",
    "OverloadedError",
    "Parent",
    "ParentEnded",
    "Part",
    "ProgressSignal",
    "PromptAnswered",
    "PromptClosed",
    "PromptExpired",
    "PromptExpiredError",
    "PromptOpened",
    "PromptView",
    "Quarantined",
    "Queue",
    "QueuePaused",
    "QueueReordered",
    "QueueResumed",
    "QueuedEdited",
    "Receipt",
    "RecordingError",
    "RefusedError",
    "Reject",
    "Reminder",
    "ReminderDropped",
    "ReminderFired",
    "ReminderSet",
    "ReminderSkipped",
    "Runtime",
    "Seed",
    "SeedPart",
    "Sent",
    "ServiceLostError",
    "Session",
    "SessionCreated",
    "ServiceView",
    "SessionMigrated",
    "SessionReady",
    "SessionView",
    "StateSaved",
    "Statistics",
    "StoppedView",
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
    "ThreadTurn",
    "ToolCall",
    "ToolCalled",
    "ToolEnded",
    "ToolOutcome",
    "Trace",
    "TraceRecord",
    "Tree",
    "Turn",
    "TurnEnded",
    "TurnOverError",
    "TurnResult",
    "TurnStarted",
    "TurnSuperseded",
    "UnavailableError",
    "UnknownChatError",
    "UsageAdded",
    "Zombie",
    "agent",
    "open_runtime",
}
"""Every public name; a change of this list is a change that users notice, and brings a fragment."""

TOOLS = {
    "Alters",
    "Answers",
    "Ask",
    "Call",
    "Cancels",
    "Crashes",
    "Delays",
    "Do",
    "Fails",
    "Fault",
    "FaultyJournal",
    "Flood",
    "Got",
    "Hang",
    "Hangs",
    "IgnoreCancel",
    "Kills",
    "LateWrite",
    "LosesAnswer",
    "Meets",
    "Probe",
    "Raise",
    "RaiseStray",
    "Return",
    "SaveState",
    "Say",
    "Scenario",
    "Script",
    "ScriptKey",
    "ScriptedAgent",
    "Shield",
    "Step",
    "TakeSteering",
    "Think",
    "VirtualClock",
    "Wait",
    "canonical",
    "census",
    "check_history",
    "checked_runtime",
    "crash_now",
    "each_schedule",
    "fence_now",
    "histories",
    "passivate_and_wait",
    "records_of",
    "seeded_schedule",
    "settle",
    "sweep",
    "unsettled",
}
"""Every public name of the tools for tests."""


def public_objects() -> dict[str, object]:
    """Collect everything that is public and can have a docstring, by its full name."""
    found: dict[str, object] = {}
    for module in (actors, ports, testing):
        names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        for name in names:
            value = getattr(module, name)
            named = getattr(value, "__module__", "").startswith("actors") or name in TOOLS | SURFACE
            if named and (inspect.isclass(value) or inspect.isfunction(value)):
                found[f"{module.__name__}.{name}"] = value
    return found


def members(kind: type) -> list[str]:
    """Name the public methods and properties that a class defines itself and does not document."""
    own = {
        name: value
        for name, value in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    }
    return [name for name, value in own.items() if not inspect.getdoc(value) and not documented_above(kind, name)]


def documented_above(kind: type, name: str) -> bool:
    """Say whether the class that asks for a method describes it."""
    return any(inspect.getdoc(vars(base).get(name)) for base in kind.__mro__[1:] if name in vars(base))


def test_the_surface_is_exactly_what_is_pinned_here() -> None:
    """Nothing is added or lost by accident."""
    assert set(actors.__all__) == SURFACE
    assert actors.__all__ == sorted(actors.__all__), "in order, so that a change is one line"
    assert set(testing.__all__) == TOOLS


@pytest.mark.parametrize("name", sorted(SURFACE))
def test_every_public_name_can_be_imported_from_the_root(name: str) -> None:
    """As users do."""
    assert getattr(actors, name) is not None


def test_every_public_name_has_a_description() -> None:
    """Classes and functions, and what classes offer."""
    missing = []
    for name, value in public_objects().items():
        if not inspect.getdoc(value):
            missing.append(name)
        if inspect.isclass(value):
            missing += [f"{name}.{member}" for member in members(value)]
    assert not missing, "\n".join(missing)


def test_every_public_name_says_where_it_comes_from() -> None:
    """What is public is defined in the package, and its errors are in one tree."""
    for name, value in public_objects().items():
        assert str(getattr(value, "__module__", "actors")).startswith("actors"), name
    errors = [getattr(actors, name) for name in SURFACE if name.endswith("Error")]
    assert all(issubclass(error, actors.ActorsError) for error in errors)
    assert not issubclass(actors.Reject, actors.ActorsError)


def test_nothing_inside_imports_from_the_root() -> None:
    """Each name comes from where it is defined, so that a change of the surface cannot make a circle."""
    offenders = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            roots: list[str] = []
            if isinstance(node, ast.ImportFrom):
                roots = [node.module or ""]
            elif isinstance(node, ast.Import):
                roots = [alias.name for alias in node.names]
            if "actors" in roots:
                offenders.append(f"{path.relative_to(PACKAGE)}: {ast.unparse(node)}")
    assert not offenders, "\n".join(offenders)


def test_the_package_says_that_it_is_typed() -> None:
    """So that a host's type checker believes it."""
    assert (PACKAGE / "py.typed").is_file()


def test_every_module_of_the_package_can_be_imported_alone() -> None:
    """In any order; no module needs another to have been imported before it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "__main__.py":
            continue
        name = ".".join(("actors", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        assert importlib.import_module(name).__doc__, f"{name} says what it is"
