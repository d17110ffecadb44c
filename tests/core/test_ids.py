"""Which ids there are, byte for byte, and which there are not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from actors.core.ids import (
    CHAT_ID_CHARACTERS_MAX,
    ChatId,
    DropReason,
    Source,
    child_chat_id,
    parse_chat_id,
    parse_message_id,
    side_channel_of,
    source_of,
)
from actors.core.transcript import made_message_id

MISSING, WRONG, MALFORMED = DropReason.MISSING_ID, DropReason.WRONG_TYPE, DropReason.MALFORMED_ID


class Name(str):
    """A str that claims to equal everything."""

    __slots__ = ()

    @override
    def __eq__(self, other: object) -> bool:
        """Lie."""
        return True

    __hash__ = str.__hash__


INVALID: tuple[tuple[object, DropReason], ...] = (
    (None, MISSING),
    ("", MISSING),
    (" ", MISSING),
    ("   ", MISSING),
    ("\t", MISSING),
    ("\r\n", MISSING),
    ("\u00a0\u2003", MISSING),
    (0, WRONG),
    (1, WRONG),
    (False, WRONG),
    (1.5, WRONG),
    ([], WRONG),
    (["live:42"], WRONG),
    ({}, WRONG),
    ((), WRONG),
    (object(), WRONG),
    (b"live:42", WRONG),
    (b"", WRONG),
    (bytearray(b"live:42"), WRONG),
    (Source.LIVE, WRONG),
    (Name("live:42"), WRONG),
    (Name(""), WRONG),
    ("live", MALFORMED),
    ("live:", MALFORMED),
    (":42", MALFORMED),
    ("42", MALFORMED),
    ("chat:42", MALFORMED),
    ("LIVE:42", MALFORMED),
    ("Live:42", MALFORMED),
    ("live;42", MALFORMED),
    (" live:42", MALFORMED),
    ("live:42 ", MALFORMED),
    ("live:4 2", MALFORMED),
    ("live:42\n", MALFORMED),
    ("live:42\x00", MALFORMED),
    ("live:\x0042", MALFORMED),
    ("live:\ud800", MALFORMED),
    ("live:é", MALFORMED),
    ("live:４２", MALFORMED),
    ("live:ſ", MALFORMED),
    ("live:a/b", MALFORMED),
    ("live:a\\b", MALFORMED),
    ("live:a%2e", MALFORMED),
    ("a/b", MALFORMED),
    ("../x", MALFORMED),
    ("live:../x", MALFORMED),
    ("live:..", MALFORMED),
    ("live:a..b", MALFORMED),
    ("live:a...b", MALFORMED),
    ("live:.", MALFORMED),
    ("live:-", MALFORMED),
    ("live::", MALFORMED),
    ("live:.a", MALFORMED),
    ("live:-a", MALFORMED),
    ("live::a", MALFORMED),
    ("live:a.", MALFORMED),
    ("live:a-", MALFORMED),
    ("live:a:", MALFORMED),
    ("live:side-channel", MALFORMED),
    ("live:side-channel:", MALFORMED),
    ("live:side-channel::42", MALFORMED),
    ("live:side-channel:.42", MALFORMED),
    ("live:side-channel:side-channel", MALFORMED),
    ("draft:side-channel", MALFORMED),
    ("live:" + "a" * 252, MALFORMED),
    ("a" * 257, MALFORMED),
    ("live:" + "a" * 10_000_000, MALFORMED),
)

VALID = (
    "live:42",
    "live:A",
    "live:a",
    "live:_",
    "live:0",
    "replay:airline-0.1",
    "draft:0190b5a2-7c1e-7000-8000-000000000000",
    "live:a:b:c",
    "live:a-.-b",
    "live:a.-:b",
    "live:live:42",
    "live:Side-channel",
    "live:side-channel-2",
    "live:side-channel:42",
    "live:side-channel:live:42",
    "live:" + "a" * 251,
)

ORIGINS = (
    ("live:42", None),
    ("live:side-channel-2", None),
    ("live:a:side-channel:b", None),
    ("live:Side-channel:42", None),
    ("live:side-channel:42", "42"),
    ("live:side-channel:a:b", "a:b"),
    ("live:side-channel:side-channel:42", "side-channel:42"),
)

INVALID_KEYS: tuple[tuple[object, DropReason], ...] = (
    (None, WRONG),
    (0, WRONG),
    (b"m1", WRONG),
    (Name("m1"), WRONG),
    ("", MALFORMED),
    (" ", MALFORMED),
    ("m 1", MALFORMED),
    ("m1\n", MALFORMED),
    ("m\x001", MALFORMED),
    ("é", MALFORMED),
    ("\udc80", MALFORMED),
    ("1/1/0", MALFORMED),
    ("a" * 129, MALFORMED),
)

SOURCES = ("live:", "replay:", "draft:side-channel:", "live:side-channel", "", "x:")
GRAMMAR = re.compile(r"(live|replay|draft):[A-Za-z0-9_.:-]+")


def shown(value: object) -> str:
    """Name a case in the list of tests, the same in every process."""
    return ascii(value)[:40] if isinstance(value, str | bytes) else type(value).__name__


def is_chat_id(value: str) -> bool:
    """Decide by the words of the glossary, without the parser's one expression."""
    source, _, session = value.partition(":")
    while session.startswith("side-channel:"):
        session = session.removeprefix("side-channel:")
    return (
        GRAMMAR.fullmatch(value) is not None
        and source in {"live", "replay", "draft"}
        and len(value) <= 256
        and ".." not in value
        and not session.startswith((".", ":", "-"))
        and not session.endswith((".", ":", "-"))
        and session not in {"", "side-channel"}
    )


@pytest.mark.rule("pack_7")
@pytest.mark.parametrize(("value", "reason"), INVALID, ids=shown)
def test_what_is_no_chat_id_gets_the_first_reason_that_applies(value: object, reason: DropReason) -> None:
    """Nothing is repaired, trimmed or lowered, and nothing raises."""
    assert parse_chat_id(value) is reason


@pytest.mark.rule("promise_words_1")
@pytest.mark.parametrize("value", VALID, ids=lambda value: value[:40])
def test_a_chat_id_is_taken_byte_for_byte(value: str) -> None:
    """What is parsed is what was given."""
    assert parse_chat_id(value) is value


@pytest.mark.rule("promise_words_4")
@given(st.text(st.sampled_from("aZ09_.:-/é \x00\ud800"), max_size=12), st.sampled_from(SOURCES))
def test_the_parser_agrees_with_the_grammar(session: str, source: str) -> None:
    """On any text the one expression and the words of the grammar come to the same."""
    value = source + session
    assert (parse_chat_id(value) == value) is is_chat_id(value)


@given(st.one_of(st.none(), st.integers(), st.floats(), st.binary(), st.lists(st.text()), st.text(st.characters())))
def test_parsing_gives_an_id_or_a_reason_and_never_raises(value: object) -> None:
    """Anything may be handed in as an address."""
    for parsed in (parse_chat_id(value), parse_message_id(value)):
        assert parsed is value or parsed in {MISSING, WRONG, MALFORMED}


@pytest.mark.rule("promise_words_2")
@given(st.from_regex(GRAMMAR, fullmatch=True).filter(is_chat_id))
def test_a_parsed_id_names_its_source_and_keeps_its_kind(value: str) -> None:
    """The source is what stands before the first colon."""
    parsed = parse_chat_id(value)
    assert not isinstance(parsed, DropReason)
    assert source_of(parsed) == value[: value.index(":")]


@pytest.mark.parametrize("source", Source)
def test_every_source_can_have_sessions(source: Source) -> None:
    """The three sources are all there are, and each is its own word."""
    parsed = parse_chat_id(f"{source}:42")
    assert not isinstance(parsed, DropReason)
    assert source_of(parsed) is source


@pytest.mark.rule("promise_words_1")
def test_ids_that_differ_in_case_are_two_ids() -> None:
    """Compared byte for byte: no folding anywhere."""
    assert parse_chat_id("live:a") != parse_chat_id("live:A")


@pytest.mark.rule("promise_words_3")
@pytest.mark.parametrize(("chat_id", "origin"), ORIGINS)
def test_a_side_channel_names_the_session_it_belongs_to(chat_id: str, origin: str | None) -> None:
    """Only the lane that is called so is one; every other session is its own."""
    assert parse_chat_id(chat_id) == chat_id
    assert side_channel_of(ChatId(chat_id)) == origin


@pytest.mark.parametrize(("value", "reason"), INVALID_KEYS, ids=shown)
def test_what_is_no_message_id_gets_its_reason(value: object, reason: DropReason) -> None:
    """A key is text of the same alphabet, of at most 128 characters."""
    assert parse_message_id(value) is reason


@pytest.mark.parametrize("value", ["1", "a:b.c-d_e", ".", "a" * 128])
def test_a_message_id_is_taken_byte_for_byte(value: str) -> None:
    """Separators may stand anywhere: a key is never a name of anything."""
    assert parse_message_id(value) is value


@given(st.integers(0), st.integers(0), st.integers(0))
def test_no_key_of_a_sender_can_name_a_message_of_a_turn(turn: int, attempt: int, message: int) -> None:
    """The names that turns give their messages are no keys."""
    assert parse_message_id(made_message_id(turn, attempt, message)) is MALFORMED


def test_the_reasons_of_a_drop_are_a_closed_set_of_words() -> None:
    """Counters, log records and errors carry these words; one that is added or renamed is a visible change."""
    assert [str(reason) for reason in DropReason] == [
        "missing_id",
        "wrong_type",
        "malformed_id",
        "unknown_chat",
        "deleted_chat",
        "conflict",
        "stale_incarnation",
        "expired",
        "duplicate",
        "invalid_payload",
        "stopping",
        "quarantined",
        "fenced",
        "mailbox_full",
        "memory_full",
        "busy",
        "queue_full",
        "reminders_full",
        "children_full",
        "parent_ended",
        "not_running",
        "coalesced",
        "dropped",
        "stash_full",
        "prompt_unknown",
        "prompt_crossed",
        "prompt_answered",
        "prompt_closed",
        "prompt_expired",
        "poison",
        "turn_running",
        "budget_spent",
    ]


@pytest.mark.rule("promise_path_40")
@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ("live:42", "live:child:3.1.2:42"),
        ("draft:42", "draft:child:3.1.2:42"),
        ("live:child:1.1.1:42", "live:child:3.1.2:child:1.1.1:42"),
        ("live:side-channel:42", "live:child:3.1.2:side-channel:42"),
    ],
)
def test_a_child_has_a_lane_of_its_parent(parent: str, child: str) -> None:
    """Its id says which attempt of which turn of which session spawned it, as what number."""
    assert child_chat_id(ChatId(parent), 3, 1, 2) == child
    assert parse_chat_id(child) == child


def test_the_id_of_a_child_is_legal_however_long_that_of_its_parent_is() -> None:
    """Where it would not fit, a digest stands for the parent: two parents are never taken for one another."""
    longest = "live:" + "x" * (CHAT_ID_CHARACTERS_MAX - len("live:"))
    ids = {child_chat_id(ChatId(parent), 7, 1, 1) for parent in (longest, longest[:-1] + "y")}
    assert len(ids) == 2
    for child in ids:
        assert parse_chat_id(child) == child
        for number in range(1, 1000, 100):
            parsed = parse_chat_id(child_chat_id(child, 10**9, 10**9, number))
            assert not isinstance(parsed, DropReason)
