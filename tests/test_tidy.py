"""Style kept by test: what the house asks of every file, and no other tool holds."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
TEST_NAME_WORDS_MIN = 4

WITHOUT_TWIN = {"__init__.py", "__main__.py"}
"""Files that hold nothing to test by itself: a surface, and a door to it."""

TESTED_ELSEWHERE: dict[str, str] = {}
"""Modules without a twin of their own, each with where its tests are, and why."""

SURFACES = {"actors/__init__.py", "actors/testing/__init__.py"}
"""The two packages that hosts import names from; inside, each name is imported from where it is defined."""

NAMELESS = {"base", "common", "helper", "helpers", "manager", "managers", "util", "utils"}
"""Names that say where code was put instead of what it is."""

# Built from parts, so that this file passes its own check.
INDEX_HOSTS = {".".join(labels) for labels in (("pypi", "org"), ("files", "pythonhosted", "org"))}
MACHINE_PATHS = re.compile("(?<![\\w.~-])/(work|root|opt)/")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    """List the modules below these folders; there is at least one."""
    found = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert found
    return found


def text_files() -> Iterator[tuple[str, str]]:
    """Give the name and text of every file of the project that is text."""
    kept = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]  # a file in a second worktree
    for folder in ("actors", "tests", "scripts", "docs", ".ci"):
        kept += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    for path in sorted(kept):
        try:
            yield name(path), path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a picture, a database, compiled code


def name(path: Path) -> str:
    """Name a file as the rest of the house does: from the root, with slashes."""
    return path.relative_to(ROOT).as_posix()


def twin(path: Path) -> Path:
    """Tell which file tests this module."""
    folder = path.parent.relative_to(ROOT / "actors")
    return ROOT / "tests" / folder / f"test_{path.name}"


def parse(path: Path) -> ast.Module:
    """Parse a module."""
    return ast.parse(path.read_text("utf-8"), filename=name(path))


def functions(module: ast.Module) -> Iterator[Function]:
    """Give every function and method of a module, nested ones too."""
    return (node for node in ast.walk(module) if isinstance(node, Function))


def lines_without_docstring(function: Function) -> int:
    """Count the lines of a function, from ``def`` to its end, without those of its docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    docstring = function.body[0]
    assert docstring.end_lineno is not None
    return lines - (docstring.end_lineno - docstring.lineno + 1)


def test_every_module_has_its_twin_among_the_tests() -> None:
    """``actors/core/session.py`` is tested by ``tests/core/test_session.py``."""
    offenders = [
        f"{name(path)} wants {name(twin(path))}"
        for path in python_files("actors")
        if path.name not in WITHOUT_TWIN and name(path) not in TESTED_ELSEWHERE
        if not twin(path).is_file()
    ]
    assert not offenders, "\n".join(offenders)


def test_every_exception_to_the_twins_is_still_one() -> None:
    """An exception is taken off the list when its module goes, or gets a twin after all."""
    stale = [module for module in TESTED_ELSEWHERE if not (ROOT / module).is_file() or twin(ROOT / module).is_file()]
    assert not stale, "\n".join(stale)


def test_no_package_holds_code_in_its_init() -> None:
    """But for the surfaces, ``__init__.py`` is a docstring: its primitives, and what it may not know."""
    offenders = []
    for path in python_files("actors"):
        if path.name == "__init__.py" and name(path) not in SURFACES:
            module = parse(path)
            if len(module.body) != 1 or ast.get_docstring(module) is None:
                offenders.append(name(path))
    assert not offenders, "\n".join(offenders)


def test_a_surface_imports_names_and_does_nothing_else() -> None:
    """What is public is gathered there and defined elsewhere."""
    for surface in SURFACES:
        for statement in parse(ROOT / surface).body:
            assert isinstance(
                statement, ast.Expr | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.With
            ), f"{surface}:{statement.lineno}"
            assert not isinstance(statement, ast.Assign) or ast.unparse(statement.targets[0]).startswith("__"), surface


def test_every_module_of_a_large_package_stands_in_one_of_its_rooms() -> None:
    """What a folder with many files holds can be read in its docstring, which names each of them once."""
    for package in ("core", "runtime"):
        folder = ROOT / "actors" / package
        docstring = ast.get_docstring(parse(folder / "__init__.py")) or ""
        rooms = re.findall(r"^- [^:]+: ([\w, ]+)$", docstring, re.MULTILINE)
        named = [module for room in rooms for module in room.split(", ")]
        assert sorted(named) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__"), package


def test_every_module_stays_under_its_size() -> None:
    """A module that grows past the limit holds two ideas."""
    offenders = []
    for path in python_files("actors", "scripts", "tests"):
        lines = len(path.read_text("utf-8").splitlines())
        if lines > MODULE_LINES_MAX:
            offenders.append(f"{name(path)}: {lines} lines")
    assert not offenders, "\n".join(offenders)


def test_every_function_stays_under_its_size() -> None:
    """A function is read in one look; its docstring does not count."""
    offenders = []
    for path in python_files("actors", "scripts", "tests"):
        for function in functions(parse(path)):
            lines = lines_without_docstring(function)
            if lines > FUNCTION_LINES_MAX:
                offenders.append(f"{name(path)}:{function.lineno} {function.name}: {lines} lines")
    assert not offenders, "\n".join(offenders)


def test_every_file_says_in_its_name_what_it_is() -> None:
    """Neither a module nor a folder is named after its being left over."""
    offenders = [
        name(path)
        for path in python_files("actors", "scripts", "tests")
        if NAMELESS & {path.stem.removeprefix("test_"), *path.relative_to(ROOT).parent.parts}
    ]
    assert not offenders, "\n".join(offenders)


def test_every_test_is_a_sentence_with_a_docstring() -> None:
    """The name says what holds, the docstring why it matters."""
    offenders = []
    for path in python_files("tests"):
        for function in functions(parse(path)):
            if not function.name.startswith("test_"):
                continue
            words = function.name.removeprefix("test_").split("_")
            if len(words) < TEST_NAME_WORDS_MIN or ast.get_docstring(function) is None:
                offenders.append(f"{name(path)}:{function.lineno} {function.name}")
    assert not offenders, "\n".join(offenders)


def test_the_lock_names_only_the_public_index() -> None:
    """A lock made behind a mirror would not install anywhere else."""
    lock = (ROOT / "uv.lock").read_text("utf-8")
    assert set(re.findall(r"\w+://([^/\"\s]*)", lock)) == INDEX_HOSTS


def test_no_file_but_the_lock_names_a_package_index() -> None:
    """Where packages come from is for each machine to say."""
    offenders = [
        f"{path} names {host}"
        for path, text in text_files()
        for host in sorted(INDEX_HOSTS)
        if path != "uv.lock" and host in text
    ]
    assert not offenders, "\n".join(offenders)


def test_no_file_names_a_path_of_one_machine() -> None:
    """What is written here runs wherever it is checked out."""
    offenders = [
        f"{path}:{number} {line.strip()[:80]}"
        for path, text in text_files()
        for number, line in enumerate(text.splitlines(), start=1)
        if MACHINE_PATHS.search(line)
    ]
    assert not offenders, "\n".join(offenders)
