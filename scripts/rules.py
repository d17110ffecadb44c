"""Which test shows which rule: ``docs/reference/rules.md``, written from ``docs/reference/rules.toml`` and the tests.

A test shows a rule when its name begins with the rule's (``test_m3_…`` for M3), or when it carries the mark
``@pytest.mark.rule("M3", "pitfall_4")``. Without an option the page is written. ``--check`` fails when the page or a
test names what does not exist; with ``--exact`` also when the page is not, to the letter, what would be written.
``--strict`` fails when a rule has no test.
"""

import argparse
import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
RULES: Final = ROOT / "docs" / "reference" / "rules.toml"
PAGE: Final = ROOT / "docs" / "reference" / "rules.md"
TESTS: Final = ROOT / "tests"

LIKE_A_RULE: Final = re.compile(r"test_((?:[a-z]|pitfall_|pack_|promise_(?:[a-z]+_)?)\d+)_")
"""How a test is named that means to show a rule."""
LISTED: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LISTED_RULE: Final = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)

HEAD: Final = """\
# Rules and the tests that show them

Every rule of the runtime in a sentence, and the tests that would fail if it did not hold. Written by
`scripts/rules.py` from `rules.toml` and the tests; change those, then run it again. A test shows a rule when its name
begins with the rule's (`test_m3_…`), or when it is marked `@pytest.mark.rule("M3")`.
"""


class Rule(NamedTuple):
    """A rule: its name and its sentence."""

    key: str
    sentence: str


class Group(NamedTuple):
    """Rules that belong together."""

    title: str
    about: str
    rules: tuple[Rule, ...]


class Shown(NamedTuple):
    """A test and a rule that it means to show, which may not exist."""

    test: str
    rule: str


def read_groups(text: str) -> list[Group]:
    """Read the rules from the text of the file that holds them."""
    groups = tomllib.loads(text)["group"]
    return [
        Group(group["title"], group["about"], tuple(Rule(key, words) for key, words in group["rules"].items()))
        for group in groups
    ]


def read_tests(folder: Path) -> tuple[set[str], list[Shown]]:
    """Read all tests below a folder by their places, and what each of them shows, in order and without repeats."""
    places: set[str] = set()
    shown: dict[Shown, None] = {}
    for path in sorted(folder.rglob("*.py")):
        file = path.relative_to(folder.parent).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"), filename=file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                place = f"{file}::{node.name}"
                places.add(place)
                for rule in _shown_by(node):
                    shown.setdefault(Shown(place, rule))
    return places, list(shown)


def unknown(groups: Iterable[Group], shown: Iterable[Shown]) -> list[str]:
    """List the tests that mean to show a rule that there is not."""
    names = {rule.key.lower() for group in groups for rule in group.rules}
    return [f"{one.test} shows {one.rule}, which is no rule" for one in shown if one.rule.lower() not in names]


def not_shown(groups: Iterable[Group], shown: Iterable[Shown]) -> list[Rule]:
    """List the rules without a test."""
    with_test = {one.rule.lower() for one in shown}
    return [rule for group in groups for rule in group.rules if rule.key.lower() not in with_test]


def write_page(groups: Iterable[Group], shown: Iterable[Shown]) -> str:
    """Write the page."""
    groups, shown = list(groups), list(shown)
    lines = [HEAD]
    missing = not_shown(groups, shown)
    if missing:
        lines += ["## Not shown yet", "", ", ".join(f"`{rule.key}`" for rule in missing), ""]
    for group in groups:
        lines += [f"## {group.title}", "", group.about, "", "| Rule | What it says | Shown by |", "|---|---|---|"]
        for rule in group.rules:
            tests = [one.test for one in shown if one.rule.lower() == rule.key.lower()]
            cell = "<br>".join(f"`{test}`" for test in tests) or "-"
            lines.append(f"| `{rule.key}` | {rule.sentence} | {cell} |")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def stale(page: str, groups: Iterable[Group], places: Iterable[str]) -> list[str]:
    """List what a page names though it does not exist: rules and tests."""
    known = {rule.key for group in groups for rule in group.rules}
    tests = set(places)
    wrong = [f"the page has the rule {key}, which is none" for key in LISTED_RULE.findall(page) if key not in known]
    named = {f"{file}::{name}" for file, name in LISTED.findall(page)}
    return wrong + [f"the page names {test}, which does not exist" for test in sorted(named - tests)]


def _shown_by(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Give the rules that a test shows: by its name, then by its marks."""
    named = LIKE_A_RULE.match(function.name)
    if named is not None:
        yield named[1]
    for decorator in function.decorator_list:
        match decorator:
            case ast.Call(func=ast.Attribute(attr="rule"), args=arguments):
                yield from (str(each.value) for each in arguments if isinstance(each, ast.Constant))
            case _:
                pass


def check(*, exact: bool) -> list[str]:
    """List what is wrong with the page and the tests of this project."""
    groups = read_groups(RULES.read_text("utf-8"))
    places, shown = read_tests(TESTS)
    page = PAGE.read_text("utf-8")
    wrong = unknown(groups, shown) + stale(page, groups, places)
    if exact and page != write_page(groups, shown):
        wrong.append("the page is not what the tests say; run scripts/rules.py")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Write or check the page and return the exit code."""
    parser = argparse.ArgumentParser(description="Which test shows which rule.")
    parser.add_argument("--check", action="store_true", help="fail if the page or a test names what does not exist")
    parser.add_argument("--exact", action="store_true", help="with --check: fail if the page is not up to date")
    parser.add_argument("--strict", action="store_true", help="fail if a rule has no test")
    options = parser.parse_args(arguments)
    groups = read_groups(RULES.read_text("utf-8"))
    _, shown = read_tests(TESTS)
    wrong = check(exact=options.exact) if options.check else unknown(groups, shown)
    if options.strict:
        wrong += [f"no test shows {rule.key}: {rule.sentence}" for rule in not_shown(groups, shown)]
    if not options.check and not options.strict:
        PAGE.write_text(write_page(groups, shown), "utf-8")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
