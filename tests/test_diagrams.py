"""The pictures of the lives are those of the tables."""

import re
from pathlib import Path

import pytest

from scripts.diagrams import PAGE, Life, diagram, draw, ends, first, lives, main, section, sentence

ARROW = re.compile(r"^    (?P<before>[a-z]+) --> (?P<after>[a-z]+): (?P<trigger>[a-z_]+)$", re.MULTILINE)
OTHER = re.compile(r"^(stateDiagram-v2|    \[\*\] --> [a-z]+|    [a-z]+ --> \[\*\])$")


def title(life: Life) -> str:
    """Name a life in the list of tests."""
    return life.title


def test_the_page_of_the_lives_is_not_stale() -> None:
    """Whoever changes a table draws again: ``scripts/diagrams.py``."""
    assert PAGE.read_text("utf-8") == draw()
    assert main(["--check"]) == 0


@pytest.mark.parametrize("life", lives(), ids=title)
def test_every_entry_of_a_table_is_one_arrow_and_nothing_else_is_drawn(life: Life) -> None:
    """An arrow leads from a state to the next and names its trigger."""
    drawn = diagram(life)
    arrows = [(found["before"], found["trigger"], found["after"]) for found in ARROW.finditer(drawn)]
    assert arrows == [(str(step.before), step.trigger, str(step.after)) for step in life.steps]
    assert all(OTHER.match(line) for line in drawn.splitlines() if not ARROW.match(line))


@pytest.mark.parametrize("life", lives(), ids=title)
def test_a_life_is_drawn_from_its_beginning_to_each_of_its_ends(life: Life) -> None:
    """One way in, and one way out for every state that nothing else leaves; the sentence names them too."""
    lines = diagram(life).splitlines()
    assert lines.count(f"    [*] --> {first(life)}") == sum("[*] -->" in line for line in lines) == 1
    assert [line for line in lines if line.endswith("[*]")] == [f"    {state} --> [*]" for state in ends(life)]
    assert all(f"`{state}`" in sentence(life) for state in (first(life), *ends(life)))


@pytest.mark.parametrize("life", lives(), ids=title)
def test_a_section_is_a_title_a_sentence_and_a_diagram(life: Life) -> None:
    """What a reader of the page sees of one life."""
    assert section(life).startswith(f"## {life.title}\n\n{sentence(life)}\n\n```mermaid\nstateDiagram-v2\n")
    assert section(life) in draw()


def test_a_stale_page_fails_the_check_and_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check writes nothing, and says what to run."""
    page = tmp_path / "lifecycle.md"
    assert main(["--check"], page) == 1
    page.write_text("old", "utf-8")
    assert main(["--check"], page) == 1
    assert page.read_text("utf-8") == "old"
    assert "is stale; run scripts/diagrams.py" in capsys.readouterr().out


def test_drawing_makes_the_page_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Drawing twice changes nothing the second time."""
    page = tmp_path / "reference" / "lifecycle.md"
    assert [main([], page), main(["--check"], page), main([], page)] == [0, 0, 0]
    assert page.read_text("utf-8") == draw()
    assert capsys.readouterr().out.split("\n")[:3] == [
        "lifecycle.md was drawn.",
        "lifecycle.md is current.",
        "lifecycle.md is current.",
    ]
