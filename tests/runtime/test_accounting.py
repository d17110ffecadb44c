"""What was not delivered is counted, kept and logged: once each, in bounded memory, in characters that are safe."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import Limits
from actors.core.dead_letter import DeadLetter
from actors.core.ids import DropReason
from actors.runtime.accounting import Accounts
from actors.runtime.dead_letters import DeadLetters
from actors.runtime.recorder import Recorder
from actors.testing import VirtualClock, records_of

SHOWN: list[tuple[str, object, str]] = [
    ("an id", "live:a", "live:a"),
    ("nothing", None, "None"),
    ("bytes", b"live:a", "b'live:a'"),
    ("lines", "live:a\nlive:b", r"live:a\nlive:b"),
    ("an escape", "live:\x1b[31m", r"live:\x1b[31m"),
    ("half a character", "live:\ud800", r"live:\ud800"),
    ("a long one", "x" * 10_000, "x" * 300),
    ("a long list", ["x"] * 10_000, ascii(["x"] * 100)[:300]),
]


class Books:
    """Accounts with their log."""

    def __init__(self, dead_letters_max: int = 10) -> None:
        """Begin at nothing."""
        clock = VirtualClock()
        self.log = BytesIO()
        self.recorder = Recorder(self.log, "debug", Limits(log_repeats_max=2), clock)
        self.accounts = Accounts(DeadLetters(Limits(dead_letters_max=dead_letters_max), clock), self.recorder)

    def records(self) -> list[dict[str, Any]]:
        """Close the log and read it."""
        self.recorder.close()
        return records_of(self.log)


@pytest.mark.rule("promise_2")
async def test_an_envelope_that_is_refused_is_counted_kept_and_logged(autojump_clock: MockClock) -> None:
    """By its reason, with what it cost and when it was."""
    books = Books()
    await trio.sleep(5.0)
    books.accounts.drop("live:a", DropReason.BUSY, "accept", 70)
    assert books.accounts.counts.dropped == {"busy": 1}
    assert books.accounts.counts.dead == 0
    assert list(books.accounts.dead_letters) == [
        DeadLetter("live:a", DropReason.BUSY, "accept", 70, 1_750_000_005.0, 1)
    ]
    (record,) = books.records()
    assert (record["event"], record["level"], record["chat_id"]) == ("envelope.dropped", "warning", "live:a")
    assert (record["reason"], record["kind"]) == ("busy", "accept")


async def test_an_envelope_that_was_admitted_is_counted_as_dead(autojump_clock: MockClock) -> None:
    """It is not one that was refused: the sums differ."""
    books = Books()
    books.accounts.bury("live:a", DropReason.EXPIRED, "tell", 7)
    assert books.accounts.counts.dead == 1
    assert not books.accounts.counts.dropped
    assert [letter.reason for letter in books.accounts.dead_letters] == [DropReason.EXPIRED]
    assert len(books.records()) == 1


@pytest.mark.parametrize(("what", "chat_id", "shown"), SHOWN, ids=[what for what, _, _ in SHOWN])
@pytest.mark.parametrize("how", ["drop", "bury"])
async def test_an_address_of_any_kind_is_kept_as_safe_text(
    how: str, what: str, chat_id: object, shown: str, autojump_clock: MockClock
) -> None:
    """It may be what was wrong; it must not hold the log's lines or memory hostage."""
    books = Books()
    account: Callable[..., None] = getattr(books.accounts, how)
    account(chat_id, DropReason.WRONG_TYPE, "tell")
    (letter,) = books.accounts.dead_letters
    assert letter.chat_id == shown
    assert letter.chat_id.isascii()
    assert [record["chat_id"] for record in books.records()] == [shown]


async def test_dead_letters_are_kept_up_to_their_bound_and_counted_beyond(autojump_clock: MockClock) -> None:
    """The youngest stay."""
    books = Books(dead_letters_max=3)
    for number in range(10):
        books.accounts.drop(f"live:{number}", DropReason.UNKNOWN_CHAT, "tell")
    assert [letter.chat_id for letter in books.accounts.dead_letters] == ["live:7", "live:8", "live:9"]
    assert books.accounts.counts.dropped == {"unknown_chat": 10}


async def test_a_host_may_keep_no_dead_letters_at_all(autojump_clock: MockClock) -> None:
    """They are counted all the same."""
    books = Books(dead_letters_max=0)
    books.accounts.drop("live:a", DropReason.BUSY, "tell")
    assert not books.accounts.dead_letters
    assert books.accounts.counts.dropped == {"busy": 1}


@pytest.mark.rule("X2", "pitfall_27")
async def test_a_flood_of_one_reason_is_a_few_lines_in_the_log(autojump_clock: MockClock) -> None:
    """Whatever addresses it comes from, and another reason is still heard."""
    books = Books()
    for number in range(100):
        books.accounts.drop(f"live:{number}", DropReason.UNKNOWN_CHAT, "tell")
    books.accounts.drop("live:a", DropReason.BUSY, "tell")
    records = books.records()
    assert [record["reason"] for record in records] == ["unknown_chat", "unknown_chat", "busy", "unknown_chat"]
    assert (records[-1]["event"], records[-1]["count"]) == ("records.suppressed", 98)


@pytest.mark.parametrize("reason", DropReason, ids=str)
async def test_every_reason_is_counted_by_itself(reason: DropReason, autojump_clock: MockClock) -> None:
    """Under the name that the error and the log have for it."""
    books = Books()
    for _ in range(3):
        books.accounts.drop("live:a", reason, "tell")
    assert dict(books.accounts.counts.dropped) == {reason.value: 3}


@pytest.mark.rule("X2", "pitfall_27", "promise_8")
async def test_x2_drops_without_end_are_bounded_lines_and_bounded_memory(autojump_clock: MockClock) -> None:
    """Twenty thousand drops of two reasons over an hour: a few lines a window, with counts, and nothing is lost."""
    clock, log = VirtualClock(), BytesIO()
    limits = Limits(log_repeats_max=10, log_window_s=300.0, dead_letters_max=100)
    recorder = Recorder(log, "info", limits, clock)
    accounts = Accounts(DeadLetters(limits, clock), recorder)
    for number in range(20_000):
        reason = DropReason.MAILBOX_FULL if number % 2 else DropReason.UNKNOWN_CHAT
        accounts.drop(f"live:{number}", reason, "tell")
        if not number % 1000:
            await trio.sleep(180.0)
    recorder.close()
    lines = records_of(log)
    assert len(lines) <= 2 * (10 + 1) * (3600 // 300 + 1)
    told = sum(record.get("count", 1) for record in lines)
    assert told == sum(accounts.counts.dropped.values()) == 20_000
    assert len(accounts.dead_letters) == 100
