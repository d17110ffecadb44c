"""Every reason has words: what happened, whose fault it is, and what to do about it."""

import pytest

from actors import (
    ConflictError,
    InvalidEnvelopeError,
    OverloadedError,
    RefusedError,
    UnavailableError,
    UnknownChatError,
)
from actors.core.ids import DropReason
from actors.runtime.refusals import refused

KINDS: dict[type[RefusedError], set[str]] = {
    InvalidEnvelopeError: {
        "missing_id", "wrong_type", "malformed_id", "duplicate", "invalid_payload", "prompt_unknown", "prompt_crossed",
    },
    UnknownChatError: {"unknown_chat", "deleted_chat"},
    ConflictError: {"conflict"},
    OverloadedError: {
        "mailbox_full", "memory_full", "busy", "queue_full", "budget_spent", "reminders_full", "children_full",
        "coalesced", "dropped", "stash_full",
    },
    UnavailableError: {
        "stale_incarnation", "expired", "stopping", "quarantined", "fenced", "not_started", "parent_ended",
        "not_running", "turn_running", "prompt_answered", "prompt_closed", "prompt_expired", "poison",
    },
}  # fmt: skip
"""Whose fault each reason is: a caller decides by it whether to try again."""


@pytest.mark.parametrize("reason", DropReason, ids=str)
def test_every_reason_has_an_error_with_text_and_remedy(reason: DropReason) -> None:
    """A reason without words would be found out when it is needed."""
    error = refused(reason, chat_id="live:a")
    text, _, remedy = str(error).partition(" [chat 'live:a']; ")
    assert text.startswith(f"refused as {reason}: ")
    assert len(text.removeprefix(f"refused as {reason}: ")) > 10
    assert remedy == error.hint
    assert len(remedy) > 10
    assert (error.reason, error.chat_id, error.outcome) == (reason, "live:a", "not_enqueued")


@pytest.mark.parametrize("reason", DropReason, ids=str)
def test_the_kind_of_an_error_says_whose_fault_it_is(reason: DropReason) -> None:
    """Exactly one kind fits each reason."""
    assert [kind for kind, reasons in KINDS.items() if reason in reasons] == [type(refused(reason))]


def test_no_two_reasons_say_the_same() -> None:
    """Whoever reads the text alone knows which it was."""
    texts = [str(refused(reason)).partition(": ")[2].partition("; ")[0] for reason in DropReason]
    assert len(set(texts)) == len(texts)


def test_words_for_the_case_at_hand_replace_the_general_ones() -> None:
    """Each by itself."""
    general = refused(DropReason.INVALID_PAYLOAD)
    detailed = refused(DropReason.INVALID_PAYLOAD, "text is bytes", hint="give a str")
    assert str(detailed) == "refused as invalid_payload: text is bytes; give a str"
    assert refused(DropReason.INVALID_PAYLOAD, "text is bytes").hint == general.hint
    assert str(refused(DropReason.INVALID_PAYLOAD, hint="give a str")) == (
        "refused as invalid_payload: the payload cannot be taken; give a str"
    )


@pytest.mark.parametrize(
    "chat_id", [None, 7, b"live:a", "\ud800", "x" * 10_000], ids=lambda value: type(value).__name__
)
def test_a_refusal_shows_an_address_of_any_kind(chat_id: object) -> None:
    """It is often the address that is wrong."""
    error = refused(DropReason.WRONG_TYPE, chat_id=chat_id)
    assert error.chat_id is chat_id
    assert str(error).isascii()
    assert len(str(error)) < 300
