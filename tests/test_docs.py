"""The documentation is held against the code: its programs run, its links lead somewhere, its tables say what is true.

Marks of a fenced block, after its language: ``runnable`` is run, alone, in a folder that the page has for itself;
``file=NAME`` is saved there. A ``text output`` block is what the program before it printed. In a ``console runnable``
block a line that begins with ``$`` is a command and what follows is its output; ``...`` stands for any text.
"""

import ast
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import attrs
import msgspec
import pytest

import actors
from actors import ports, testing
from actors.cli.app import app
from actors.core.events import EventBody
from actors.core.ids import DropReason
from actors.errors import ActorsError, ConfigurationError
from actors.runtime.introspection import Introspection
from actors.runtime.refusals import refused
from actors.runtime.registry import Letters
from actors.store.schema import MIGRATIONS
from actors.telemetry import KEYS, RECORDS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if path.parent.name != "changes")]

GENERATED = {
    "docs/reference/figures.md": "scripts/bench.py",
    "docs/reference/lifecycle.md": "scripts/diagrams.py",
    "docs/reference/rules.md": "scripts/rules.py",
}
"""Pages that a script writes, and may not have written yet."""

RULES_PAGE = "docs/reference/rules.md"

NOT_FOR_HOSTS = {
    "changed_state", "close", "take_bodies", "take_said", "with_unsaved",  # of a turn, for its session
}  # fmt: skip
"""Methods of public classes that are not public themselves."""

FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
RUN_S_MAX = 60
KILLED = -9


class Block(NamedTuple):
    """A fenced block of a page: its language, its marks, its text and the line it stands on."""

    language: str
    marks: frozenset[str]
    body: str
    line: int

    @property
    def file(self) -> str | None:
        """The file it is to be saved as, if it is."""
        return next((mark.removeprefix("file=") for mark in self.marks if mark.startswith("file=")), None)


def name(page: Path) -> str:
    """Name a page from the root of the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """Give the fenced blocks of a page."""
    text = page.read_text("utf-8")
    for match in FENCE.finditer(text):
        language, *marks = match["info"].split() or [""]
        yield Block(language, frozenset(marks), match["body"], text.count("\n", 0, match.start()) + 1)


def prose(page: Path) -> str:
    """Give a page without its fenced blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def table(page: Path, first: str, *, under: str = "") -> list[list[str]]:
    """Give the rows of every table on a page whose first column has this title, below a heading if one is named."""
    text = prose(page)
    if under:
        text = re.split(rf"^#+ {re.escape(under)}$", text, flags=re.MULTILINE)[1]
        text = re.split(r"^#+ ", text, flags=re.MULTILINE)[0]
    rows: list[list[str]] = []
    within = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if cells and within and not set("".join(cells)) <= set("-: "):
            rows.append(cells)
        within = bool(cells) and (within or cells[0] == first)
    assert rows, f"{name(page)} has no table of {first} {under}"
    return rows


def codes(cell: str) -> list[str]:
    """Give what stands in backquotes in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def by_first(rows: Iterable[list[str]]) -> dict[str, list[str]]:
    """Give rows by what stands in backquotes in their first cell."""
    return {codes(row[0])[0]: row for row in rows}


def fields_of(kind: type) -> list[str]:
    """Name the fields of a value."""
    if issubclass(kind, msgspec.Struct):
        return list(kind.__struct_fields__)
    assert attrs.has(kind), kind
    return [field.name for field in attrs.fields(kind)]


def call_of(called: str, function: Callable[..., object]) -> str:
    """Write a signature as the reference does: with defaults and without types."""
    signature = inspect.signature(function)
    shown = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    return f"{called}{signature.replace(parameters=shown, return_annotation=inspect.Signature.empty)}"


def public(module: object) -> list[str]:
    """Name what a module offers."""
    offered = getattr(module, "__all__", None)
    if isinstance(offered, list):
        return offered
    own = module.__name__  # type: ignore[attr-defined]  # modules have names
    found = {key: getattr(value, "__module__", "") for key, value in vars(module).items()}
    return [key for key, module_name in found.items() if module_name == own and not key.startswith("_")]


# ── programs ─────────────────────────────────────────────────────────────────────────────────────


class Folder:
    """Where the programs of a page run, one after another."""

    def __init__(self, path: Path) -> None:
        """Put commands in place that run this Python and this checkout."""
        self.path = path / "page"
        self.path.mkdir()
        commands = path / "commands"
        commands.mkdir()
        for command, arguments in {"python": "", "actors": " -m actors"}.items():
            script = commands / command
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{arguments} "$@"\n', "utf-8")
            script.chmod(0o755)
        self.environment = {
            "PATH": f"{commands}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            "PYTHONWARNINGS": "error",
            "COLUMNS": "100",
            "TERM": "dumb",
        }

    def run(self, arguments: list[str], line: int) -> str:
        """Run a program; return what it printed, and a last line if it was killed, as a shell does."""
        done = subprocess.run(
            arguments, cwd=self.path, env=self.environment, capture_output=True, timeout=RUN_S_MAX, check=False
        )
        assert done.returncode in {0, KILLED}, f"line {line}, exit code {done.returncode}:\n{done.stderr.decode()}"
        return done.stdout.decode() + ("Killed\n" if done.returncode == KILLED else "")

    def run_console(self, block: Block) -> None:
        """Run the commands of a block and compare what they print."""
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.body, flags=re.MULTILINE):
            check_output(self.run(shlex.split(command), block.line), expected, block.line)


def check_output(printed: str, expected: str, line: int) -> None:
    """Hold what was printed against what a page says."""
    pattern = re.escape(expected.strip()).replace(re.escape("..."), ".*")
    assert re.fullmatch(pattern, printed.strip(), re.DOTALL), f"line {line} printed:\n{printed}\nand not:\n{expected}"


def runnable(page: Path) -> bool:
    """Say whether something on a page is to be run."""
    return any("runnable" in block.marks for block in blocks(page))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name)
def test_the_programs_of_a_page_run_and_print_what_it_says(page: Path, tmp_path: Path) -> None:
    """Whoever copies a program from the documentation has a program that works."""
    folder = Folder(tmp_path)
    printed: str | None = None
    for number, block in enumerate(blocks(page)):
        if block.file is not None:
            (folder.path / block.file).write_text(block.body, "utf-8")
        if "output" in block.marks:
            assert printed is not None, f"line {block.line}: no program stands before this output"
            check_output(printed, block.body, block.line)
        elif block.language == "console" and "runnable" in block.marks:
            folder.run_console(block)
        elif "runnable" in block.marks:
            script = folder.path / (block.file or f"program_{number}.py")
            script.write_text(block.body, "utf-8")
            pytest_file = script.name.startswith("test_")
            arguments = ["-m", "pytest", "-q", "-c", os.devnull, script.name] if pytest_file else [script.name]
            printed = folder.run([sys.executable, *arguments], block.line)


def test_every_program_of_the_documentation_is_python() -> None:
    """What does not run at least has the grammar of the language."""
    for page in PAGES:
        for block in blocks(page):
            if block.language == "python":
                try:
                    compile(block.body, name(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                except SyntaxError as error:
                    pytest.fail(f"{name(page)}:{block.line} {error}")


# ── links and commands ───────────────────────────────────────────────────────────────────────────


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as links do."""
    titles = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Give the links of a page that stay in the project: the file and the place in it."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page)) + re.findall(r'(?:src|href)="([^"]+)"', prose(page))
    for link in found:
        if "://" not in link:
            file, _, place = link.partition("#")
            yield ((page.parent / file).resolve() if file else page), place


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """A reader who follows a link arrives."""
    for target, place in links(page):
        assert target.is_relative_to(ROOT), f"{target} is outside the project"
        if not target.exists():
            assert name(target) in GENERATED, f"{name(page)} links to {name(target)}"
        elif place:
            assert place in anchors(target), f"{name(page)} links to {name(target)}#{place}"


def test_the_map_leads_to_every_page() -> None:
    """No page is there that nobody finds."""
    reached = {target for target, _ in links(DOCS / "index.md")}
    missing = [name(page) for page in PAGES[1:] if page not in reached and page != DOCS / "index.md"]
    assert not missing, "\n".join(missing)


def options_of(command: str) -> set[str]:
    """Name the options of a command of the command line."""
    arguments = app[command].assemble_argument_collection()
    return {option for argument in arguments for option in argument.names if option.startswith("--")}


def commands() -> set[str]:
    """Name the commands of the command line."""
    return {command for command in app if not command.startswith("-")}


def test_every_command_and_option_is_in_the_reference_and_no_other() -> None:
    """The page of the command line is the command line."""
    page = REFERENCE / "cli.md"
    assert set(re.findall(r"^## `actors ([\w-]+)`$", page.read_text("utf-8"), flags=re.MULTILINE)) == commands()
    for command in commands():
        rows = by_first(table(page, "Option", under=f"`actors {command}`"))
        assert {option.split()[0] for option in rows} == options_of(command), command


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    """Commands of ours, scripts of the project and the ids of tests are those that there are."""
    text = page.read_text("utf-8")
    for command, rest in re.findall(r"(?:`|^\$ |^)actors ([a-z][a-z-]*)\b([^`\n]*)", text, flags=re.MULTILINE):
        assert command in commands(), f"{name(page)} names actors {command}"
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert option in options_of(command) | {"--help"}, f"{name(page)} names actors {command} {option}"
    for script in re.findall(r"\bscripts/[\w.]+", text):
        assert (ROOT / script).exists() or script in GENERATED.values(), f"{name(page)} names {script}"
    if name(page) == RULES_PAGE:
        return  # it is written from the tests, and held against them by a test of its own
    for file, test in re.findall(r"\b(tests/[\w/]+(?:\.py)?)(?:::(\w+))?", text):
        assert (ROOT / file).exists(), f"{name(page)} names {file}"
        assert not test or f"def {test}(" in (ROOT / file).read_text("utf-8"), f"{name(page)} names {file}::{test}"


def test_the_readme_shows_a_picture_and_leaves_room_for_the_figures() -> None:
    """The picture is there, and the figures have a place that a script can find."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "docs/images/run.svg" in readme
    assert re.search(r"<!-- figures -->.*<!-- /figures -->", readme, flags=re.DOTALL)


# ── the reference ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("module", [actors, ports, testing], ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(module: object) -> None:
    """What a host may use, it can look up."""
    named = set(re.findall(r"`([A-Za-z_]+)[`(]", (REFERENCE / "api.md").read_text("utf-8")))
    missing = [key for key in public(module) if key not in named and key != "T"]
    assert not missing, "\n".join(missing)


def test_every_signature_in_the_reference_is_that_of_the_code() -> None:
    """Calls are written as they are, with their defaults, and no method of a public class is left out."""
    text = (REFERENCE / "api.md").read_text("utf-8")
    wanted = [call_of(key, getattr(actors, key)) for key in ("agent", "open_runtime")]
    wanted += [
        call_of(key, getattr(testing, key))
        for key in public(testing)
        if inspect.isfunction(getattr(testing, key)) or key in {"FaultyJournal", "ScriptedAgent", "VirtualClock"}
    ]
    runtime_classes = (actors.Runtime, Introspection, actors.Receipt, actors.Session, actors.Turn, actors.ToolCall)
    classes: tuple[type, ...] = (*runtime_classes, ports.Journal, ports.Clock, ports.Offload)
    wanted += [
        call_of(key, value)
        for kind in classes
        for key, value in vars(kind).items()
        if inspect.isfunction(value) and not key.startswith("_") and key not in NOT_FOR_HOSTS
    ]
    missing = [call for call in wanted if f"`{call}`" not in text]
    assert not missing, "\n".join(missing)


def test_every_value_in_the_reference_has_the_fields_of_the_code() -> None:
    """Fields are named in their order."""
    events = REFERENCE / "events.md"
    found: Mapping[str, object] = vars(actors) | vars(ports) | vars(testing)
    for key, fields, *_ in [*table(REFERENCE / "api.md", "Name"), *table(events, "Value"), *table(events, "Signal")]:
        kind = found[codes(key)[0]]
        assert isinstance(kind, type), key
        assert fields_of(kind) == codes(fields), key


def test_the_page_of_events_names_every_kind_with_its_fields() -> None:
    """The journal can be read with this page beside it."""
    rows = by_first(table(REFERENCE / "events.md", "Kind"))
    kinds = {kind.__struct_config__.tag: kind for kind in EventBody.__args__}
    assert set(rows) == set(kinds)
    for tag, row in rows.items():
        assert codes(row[1]) == [kinds[tag].__name__]
        assert codes(row[2]) == fields_of(kinds[tag]), tag
    assert list(by_first(table(REFERENCE / "events.md", "Field", under="Event"))) == fields_of(actors.Event)


def number(text: str) -> float:
    """Read a number as the table of limits writes it."""
    digits, _, unit = text.partition(" ")
    size = {"": 1, "s": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]
    return float(digits.replace(",", "")) * size


def test_the_page_of_limits_is_the_limits() -> None:
    """Each limit has the default and the range that the page says, and the unit that its name says."""
    rows = by_first(table(REFERENCE / "limits.md", "Limit"))
    limits = {field.name: field for field in attrs.fields(actors.Limits)}
    assert list(rows) == list(limits)
    for key, (_, default, low, high, why) in rows.items():
        assert number(default) == limits[key].default, key
        assert why, key
        kind: Callable[[float], Any] = int if limits[key].type is int else float
        step = 1 if kind is int else 1e-4
        for good in (number(low), number(high)):
            assert getattr(actors.Limits(**{key: kind(good)}), key) == good
        for bad in (number(low) - step, number(high) + step):
            with pytest.raises(ConfigurationError):
                actors.Limits(**{key: kind(bad)})
        assert default.endswith(" s") == key.endswith("_s"), key


def written_records() -> dict[str, tuple[set[str], set[str]]]:
    """Read from the code which records are written: their levels and their keys."""
    found: dict[str, tuple[set[str], set[str]]] = {key: (set(), set()) for key in RECORDS}
    for path in (ROOT / "actors").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="record" | "limited" as how),
                    args=[level, ast.Constant(value=str(key)), *_],
                    keywords=keywords,
                ):
                    levels, keys = found[key]
                    levels |= {str(level.value)} if isinstance(level, ast.Constant) else set()
                    keys |= {keyword.arg for keyword in keywords if keyword.arg is not None}
                    keys |= {"reason"} if how == "limited" else set()
                case _:
                    pass
    return found


def test_the_page_of_log_records_is_what_is_written() -> None:
    """Names, levels and keys are those of the code, and every key of the contract is explained."""
    rows = by_first(table(REFERENCE / "log-records.md", "Name"))
    written = written_records()
    assert set(rows) == set(RECORDS)
    for key, (_, level, keys, _) in rows.items():
        assert {level} == written[key][0], key
        assert set(codes(keys)) == written[key][1], key
    assert set(by_first(table(REFERENCE / "log-records.md", "Key"))) == KEYS


def test_the_page_of_drop_reasons_is_the_closed_set() -> None:
    """Every reason is there, in the order of the code, with its error."""
    rows = by_first(table(REFERENCE / "drop-reasons.md", "Reason"))
    assert list(rows) == [reason.value for reason in DropReason]
    for reason in DropReason:
        assert codes(rows[reason][1]) == [type(refused(reason)).__name__], reason


def test_the_page_of_errors_names_every_error_in_its_place() -> None:
    """The tree on the page is the tree of the code."""
    tree: list[str] = []

    def walk(kind: type[ActorsError]) -> None:
        tree.append(kind.__name__)
        for inner in kind.__subclasses__():
            if inner.__module__ == "actors.errors":
                walk(inner)

    walk(ActorsError)
    page = REFERENCE / "errors.md"
    drawn = re.findall(r"\w+Error", next(block.body for block in blocks(page) if block.language == "text"))
    assert drawn == tree
    assert list(by_first(table(page, "Error"))) == tree


def test_the_pages_of_counts_and_columns_name_each_of_them() -> None:
    """Statistics, inspections and tables of the store are explained field by field."""
    page = REFERENCE / "statistics.md"
    counted = [*fields_of(actors.Statistics), *fields_of(Letters), *fields_of(actors.Inspection)]
    assert [codes(row[0])[0] for row in table(page, "Field")] == counted
    with apsw.Connection(":memory:") as connection:
        for step in MIGRATIONS:
            connection.execute(step)
        tables = [str(row[0]) for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for key in tables:
            if key.startswith("sqlite_"):
                continue
            columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({key})")]
            assert list(by_first(table(REFERENCE / "store.md", "Column", under=f"`{key}`"))) == columns, key
