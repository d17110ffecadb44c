"""The tree of errors, and what each of them says."""

import inspect
import re
from collections.abc import Iterator

import pytest

from actors import errors
from actors.core.ids import DropReason
from actors.errors import (
    ActorsError,
    AskError,
    AskTimeoutError,
    ConflictError,
    CursorAheadError,
    DeadlockError,
    HandlerError,
    InvalidEnvelopeError,
    LaggedError,
    OutcomeClass,
    OverloadedError,
    RefusedError,
    Reject,
    StoreInUseError,
    SubscriptionError,
    TurnOverError,
    UnavailableError,
    UnknownChatError,
)

BRANCH = re.compile(r"^ {4}(?P<bars>[│ ]*)(?:[├└]── )?(?P<name>\w+Error)(?P<says> .*)?$")
REFUSALS = (InvalidEnvelopeError, UnknownChatError, ConflictError, OverloadedError, UnavailableError)
ASKS = (AskTimeoutError, HandlerError, DeadlockError)

SHOWN: tuple[tuple[object, str], ...] = (
    ("live:42", "'live:42'"),
    ("", "''"),
    (0, "0"),
    (b"live:42", "b'live:42'"),
    (["live:42"], "['live:42']"),
    ("live:\n42", r"'live:\n42'"),
    ("live:\x1b[31m", r"'live:\x1b[31m'"),
    ("live:\ud800", r"'live:\ud800'"),
    ("live:é\u202e", r"'live:\xe9\u202e'"),
    ("a" * 78, "'" + "a" * 78 + "'"),
    ("a" * 79, "'" + "a" * 76 + "..."),
    ("a" * 10_000, "'" + "a" * 76 + "..."),
)


def drawn() -> Iterator[tuple[str, str | None, str]]:
    """Read the tree in the docstring: each error, the one above it, and what is said of it."""
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = BRANCH.match(line)
        if found is not None:
            depth = 0 if "── " not in line else 1 + len(found["bars"]) // 4
            above[depth] = found["name"]
            yield found["name"], above.get(depth - 1), (found["says"] or "").strip()


def real() -> dict[str, type[ActorsError]]:
    """List the errors that the module defines."""
    return {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, ActorsError) and kind.__module__ == errors.__name__
    }


def test_the_tree_that_is_drawn_is_the_tree_there_is() -> None:
    """Every error stands in the drawing, once, below the error it derives from."""
    parents = [(name, parent) for name, parent, _ in drawn()]
    assert len(parents) == len(dict(parents))
    bases = {name: kind.__base__ for name, kind in real().items()}
    assert dict(parents) == {
        name: base.__name__ if base is not None and issubclass(base, ActorsError) else None
        for name, base in bases.items()
    }


def test_every_error_is_described_where_it_is_drawn_and_where_it_is_defined() -> None:
    """Nobody has to guess when it is raised, or by whose fault: each says it in words of its own."""
    docs = {name: kind.__doc__ or "" for name, kind in real().items()}
    assert len(set(docs.values())) == len(docs)
    for name, parent, says in drawn():
        assert parent is None or says
        assert docs[name].strip().endswith(".")


def test_reject_stands_outside_the_tree() -> None:
    """An agent that says no has not failed, so nobody who catches errors catches it."""
    assert not issubclass(Reject, ActorsError)
    assert "Reject" not in real()
    assert str(Reject("not today")) == "not today"


def test_an_error_is_built_from_what_happened_where_and_what_to_do() -> None:
    """The text names all three, and the fields keep them."""
    error = StoreInUseError("another process owns the file", chat_id="live:42", hint="stop it")
    assert str(error) == "another process owns the file [chat 'live:42']; stop it"
    assert (error.chat_id, error.hint) == ("live:42", "stop it")


@pytest.mark.parametrize(
    ("chat_id", "hint", "text"),
    [
        (None, "", "it broke"),
        (None, "mend it", "it broke; mend it"),
        ("live:42", "", "it broke [chat 'live:42']"),
    ],
)
def test_what_is_not_known_is_left_out_of_the_text(chat_id: object, hint: str, text: str) -> None:
    """No empty brackets and no dangling semicolon."""
    error = ActorsError("it broke", chat_id=chat_id, hint=hint)
    assert str(error) == text
    assert (error.chat_id, error.hint) == (chat_id, hint)


@pytest.mark.parametrize(("chat_id", "shown"), SHOWN, ids=lambda value: ascii(value)[:30])
def test_an_address_of_any_type_is_shown_safely(chat_id: object, shown: str) -> None:
    """A bad one is reported too: in one line, in ASCII, and never longer than a line can be."""
    error = TurnOverError("it has ended", chat_id=chat_id)
    assert str(error) == f"it has ended [chat {shown}]"
    assert str(error).isascii()
    assert error.chat_id is chat_id


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("reason", DropReason)
def test_a_refusal_carries_its_reason_in_field_and_text(kind: type[RefusedError], reason: DropReason) -> None:
    """A machine reads the field, a person the text; nothing was enqueued."""
    error = kind(reason.value, "it is so", chat_id="live:42", hint="do this")
    assert str(error) == f"refused as {reason}: it is so [chat 'live:42']; do this"
    assert (error.reason, error.outcome) == (reason, "not_enqueued")
    assert isinstance(error, RefusedError)


@pytest.mark.parametrize("kind", ASKS)
@pytest.mark.parametrize("outcome", ["not_enqueued", "not_started", "unknown"])
def test_an_ask_that_failed_says_what_is_known_of_it(kind: type[AskError], outcome: OutcomeClass) -> None:
    """Whether the handler can have run decides whether it can be asked again."""
    error = kind("no reply", outcome=outcome, chat_id="live:42", hint="ask again")
    assert str(error) == f"no reply (outcome: {outcome}) [chat 'live:42']; ask again"
    assert error.outcome == outcome


def test_a_reader_that_was_cut_is_told_where_to_resume() -> None:
    """The number is a field, and the text says how to use it."""
    error = LaggedError(chat_id="live:42", resume_after=7)
    assert error.resume_after == 7
    assert str(error) == "the subscriber was too slow and was cut [chat 'live:42']; subscribe again with after=7"
    assert isinstance(error, SubscriptionError)


def test_the_cause_of_an_error_stays_with_it() -> None:
    """Raised from its cause, it shows both."""
    cause = OSError(28, "No space left on device")
    with pytest.raises(ActorsError) as caught:
        raise CursorAheadError("not there yet") from cause
    assert caught.value.__cause__ is cause
