"""The page that maps rules to tests is held against both."""

from pathlib import Path

import pytest

from scripts import rules

EXACT = True
"""Whether the page must be, to the letter, what the tests say, with a test for every rule."""

RULES_TEXT = """
[[group]]
title = "Mailbox"
about = "What waits."

[group.rules]
M3 = "Each kind has a policy."
pitfall_4 = "It grows."
"""

TEST_TEXT = '''
import pytest


def test_m3_the_oldest_is_dropped_first() -> None:
    """By its name."""


class TestOfAJournal:
    """Tests of a class count too."""

    @pytest.mark.rule("M3", "pitfall_4")
    async def test_a_flood_is_refused_and_counted(self) -> None:
        """By its mark."""


def no_test() -> None:
    """Not a test."""
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project of one file of tests."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_box.py").write_text(TEST_TEXT, "utf-8")
    return tmp_path


def test_no_test_and_no_page_names_a_rule_or_a_test_that_does_not_exist() -> None:
    """A mark with a slip in it would show nothing, and a page with one would lead nowhere."""
    assert rules.check(exact=EXACT) == []
    groups = rules.read_groups(rules.RULES.read_text("utf-8"))
    assert not (EXACT and rules.not_shown(groups, rules.read_tests(rules.TESTS)[1]))


def test_a_test_shows_rules_by_its_name_and_by_its_marks(project: Path) -> None:
    """However deep it stands."""
    places, shown = rules.read_tests(project / "tests")
    by_name = "tests/test_box.py::test_m3_the_oldest_is_dropped_first"
    by_mark = "tests/test_box.py::test_a_flood_is_refused_and_counted"
    assert places == {by_name, by_mark}
    assert {(one.test, one.rule) for one in shown} == {(by_name, "m3"), (by_mark, "M3"), (by_mark, "pitfall_4")}
    assert rules.not_shown(rules.read_groups(RULES_TEXT), shown) == []


def test_a_rule_without_a_test_stands_at_the_head_of_the_page(project: Path) -> None:
    """Nobody has to look for what is missing."""
    (project / "tests" / "test_box.py").write_text("def test_m3_by_its_name() -> None: ...\n", "utf-8")
    places, shown = rules.read_tests(project / "tests")
    groups = rules.read_groups(RULES_TEXT)
    page = rules.write_page(groups, shown)
    assert page.index("Not shown yet") < page.index("## Mailbox")
    assert [rule.key for rule in rules.not_shown(groups, shown)] == ["pitfall_4"]
    assert "| `pitfall_4` | It grows. | - |" in page
    assert rules.stale(page, groups, places) == []


def test_what_a_page_or_a_test_names_wrongly_is_told(project: Path) -> None:
    """A test that was renamed, a rule that went, and a mark that was never right."""
    groups = rules.read_groups(RULES_TEXT)
    places, shown = rules.read_tests(project / "tests")
    page = rules.write_page(groups, shown)
    assert rules.stale(page, groups[:0], places) == [
        "the page has the rule M3, which is none",
        "the page has the rule pitfall_4, which is none",
    ]
    assert len(rules.stale(page, groups, ())) == 2
    assert rules.unknown(groups, [rules.Shown("a test", "M33")]) == ["a test shows M33, which is no rule"]
    assert not rules.unknown(groups, shown)


def test_the_exact_check_sees_every_letter(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page that nobody wrote again is told from one that is true."""
    (project / "rules.toml").write_text(RULES_TEXT, "utf-8")
    monkeypatch.setattr(rules, "RULES", project / "rules.toml")
    monkeypatch.setattr(rules, "PAGE", project / "rules.md")
    monkeypatch.setattr(rules, "TESTS", project / "tests")
    assert rules.main([]) == 0
    assert rules.main(["--check", "--exact", "--strict"]) == 0
    (project / "rules.md").write_text((project / "rules.md").read_text("utf-8") + "\n", "utf-8")
    assert rules.main(["--check"]) == 0
    assert rules.main(["--check", "--exact"]) == 1
    assert "run scripts/rules.py" in capsys.readouterr().out
    (project / "tests" / "test_box.py").write_text("def test_m3_by_its_name() -> None: ...\n", "utf-8")
    assert rules.main(["--strict"]) == 1
    assert "no test shows pitfall_4" in capsys.readouterr().out
