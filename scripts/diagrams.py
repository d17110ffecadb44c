"""Draw the tables of ``actors/core/lifecycle.py`` as Mermaid diagrams into ``docs/reference/lifecycle.md``.

``--check`` writes nothing; the exit code is 1 if the page is stale.
"""

import argparse
import inspect
import sys
import textwrap
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TypeVar

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from actors.core import lifecycle  # noqa: E402 - the project may not be installed where its pictures are drawn

PAGE = ROOT / "docs" / "reference" / "lifecycle.md"

HEAD = """\
# Lifecycles

<!-- Drawn by scripts/diagrams.py from actors/core/lifecycle.py; change the tables there and draw again. -->

What a session, a turn, a part, a tool call and a prompt can come to. An arrow is one step, named by what makes it; a
step that is not drawn cannot happen, and a state that no arrow leaves is an end.
"""


State = TypeVar("State", bound=StrEnum)


class Step(NamedTuple):
    """One entry of a table."""

    before: StrEnum
    trigger: str
    after: StrEnum


class Life(NamedTuple):
    """One table with its states; the first state of the enumeration is where a life begins."""

    title: str
    states: type[StrEnum]
    steps: list[Step]


def lives() -> list[Life]:
    """List the lives in the order of the page."""
    return [
        life("Session", lifecycle.SessionPhase, lifecycle.SESSION),
        life("Turn", lifecycle.TurnStatus, lifecycle.TURN),
        life("Part of a message", lifecycle.PartStatus, lifecycle.PART),
        life("Tool call", lifecycle.ToolStatus, lifecycle.TOOL_CALL),
        life("Prompt", lifecycle.PromptStatus, lifecycle.PROMPT),
    ]


def life(title: str, states: type[State], table: Mapping[tuple[State, str], State]) -> Life:
    """Read one table."""
    return Life(title, states, [Step(before, trigger, after) for (before, trigger), after in table.items()])


def draw() -> str:
    """Draw the whole page."""
    return "\n".join([HEAD, *(section(one) for one in lives())])


def section(one: Life) -> str:
    """Draw one life: its title, a sentence about it, its diagram."""
    return f"## {one.title}\n\n{sentence(one)}\n\n```mermaid\n{diagram(one)}\n```\n"


def sentence(one: Life) -> str:
    """Say what the states are about, where they begin, and where they end."""
    *others, last = [f"`{state}`" for state in ends(one)]
    about = (inspect.getdoc(one.states) or "").splitlines()[0]
    says = f"{about} It begins as `{first(one)}` and ends as {', '.join(others)} or {last}."
    return textwrap.fill(says, 120)


def diagram(one: Life) -> str:
    """Draw the steps of one life."""
    steps = [f"{step.before} --> {step.after}: {step.trigger}" for step in one.steps]
    lines = [f"[*] --> {first(one)}", *steps, *(f"{state} --> [*]" for state in ends(one))]
    return "\n    ".join(["stateDiagram-v2", *lines])


def first(one: Life) -> StrEnum:
    """Name the state in which a life begins."""
    return next(iter(one.states))


def ends(one: Life) -> list[StrEnum]:
    """List the states that nothing leaves; a life has more than one."""
    left = {step.before for step in one.steps}
    return [state for state in one.states if state not in left]


def main(arguments: Sequence[str] | None = None, page: Path = PAGE) -> int:
    """Draw the page, or check it, and return the exit code."""
    parser = argparse.ArgumentParser(description="Draw docs/reference/lifecycle.md from actors/core/lifecycle.py.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is stale")
    options = parser.parse_args(arguments)
    drawn = draw()
    if page.is_file() and page.read_text("utf-8") == drawn:
        print(f"{page.name} is current.")
        return 0
    if options.check:
        print(f"{page.name} is stale; run scripts/diagrams.py.")
        return 1
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(drawn, "utf-8")
    print(f"{page.name} was drawn.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
