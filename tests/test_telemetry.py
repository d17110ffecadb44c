"""The contract of log records: what the runtime writes is what their readers know."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from actors.telemetry import KEYS, RECORDS

ACTORS = Path(__file__).resolve().parent.parent / "actors"
WRITERS = {"record": (), "limited": ("reason",)}
"""The methods that write a record, and the keys each adds by itself."""

LEVELS = {"debug", "info", "warning", "error"}


class Written(NamedTuple):
    """One place in the code that writes a record."""

    place: str
    level: ast.expr
    name: ast.expr
    keys: frozenset[str]


def written() -> Iterator[Written]:
    """Find every call that writes a record."""
    for path in sorted(ACTORS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in WRITERS and len(node.args) >= 2:
                keys = {keyword.arg for keyword in node.keywords if keyword.arg is not None}
                added = WRITERS[node.func.attr]
                place = f"{path.relative_to(ACTORS.parent).as_posix()}:{node.lineno}"
                yield Written(place, node.args[0], node.args[1], frozenset({*keys, *added}))


PLACES = list(written())


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_named_by_its_subject_and_what_happened(name: str) -> None:
    """Two lower-case words, and a sentence that says what it means."""
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", name)
    assert RECORDS[name]
    assert not RECORDS[name].endswith(".")


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_key_is_one_word_or_ends_in_its_unit(key: str) -> None:
    """Lower case, so that every reader finds it under the same name."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)?", key)


@pytest.mark.parametrize("one", PLACES, ids=lambda one: one.place)
def test_a_record_that_is_written_is_in_the_contract(one: Written) -> None:
    """Its name, its level and its keys are known to whoever reads it; a name that is passed on was checked before."""
    if isinstance(one.name, ast.Constant):
        assert one.name.value in RECORDS
    if isinstance(one.level, ast.Constant):
        assert one.level.value in LEVELS
    assert one.keys <= KEYS


def test_every_record_of_the_contract_is_written_somewhere() -> None:
    """A name that nobody writes would be looked for in vain."""
    names = {one.name.value for one in PLACES if isinstance(one.name, ast.Constant)}
    assert set(RECORDS) - names == set()


def test_no_key_could_carry_what_a_person_wrote() -> None:
    """A log can be handed on without anybody's words in it."""
    assert not KEYS & {"text", "content", "message", "answer", "question", "arguments", "state", "payload", "sender"}


def test_the_contract_cannot_be_changed_while_running() -> None:
    """Writers and readers hold the same names."""
    with pytest.raises(TypeError):
        RECORDS["turn.vanished"] = ""  # type: ignore[index]  # the point of the test
    assert isinstance(KEYS, frozenset)
