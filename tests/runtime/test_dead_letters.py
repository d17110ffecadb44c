"""What was not delivered is kept with what it carried, in bounds, and seen by whoever watches; on disk too if asked."""

from collections.abc import Callable

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ConfigurationError,
    DeadLetter,
    DropReason,
    Limits,
    OverloadedError,
    Session,
    SubscriptionError,
    agent,
    open_runtime,
)
from actors.core.dead_letter import Carried
from actors.ports import Bury, Committed, Conflict, Entry
from actors.runtime.dead_letters import LETTERS_IN_ENTRY_MAX, DeadLetters, Redact
from actors.store.memory import MemoryJournal
from actors.testing import ScriptedAgent, VirtualClock

DAY_S = 86_400.0


def kept(limits: Limits | None = None, redact: Redact | None = None) -> DeadLetters:
    """Begin with no letter; once there is a disk, they are kept there."""
    return DeadLetters(limits or Limits(), VirtualClock(), redact, keep=True)


def add(
    letters: DeadLetters, payload: object = "hello", reason: DropReason = DropReason.BUSY, **fields: object
) -> None:
    """Keep a letter of a session."""
    chat_id = str(fields.pop("chat_id", "live:a"))
    size = len(payload) if isinstance(payload, str) else 8
    letters.add(chat_id, reason, "tell", size, Carried(payload, **fields))


@attrs.define
class Disk:
    """A writer that answers when the test says so."""

    entries: list[Bury] = attrs.Factory(list)
    waiting: list[Callable[[object], None]] = attrs.Factory(list)

    def submit(self, entry: Entry, _: int, done: Callable[[object], None]) -> None:
        """Take an entry."""
        assert isinstance(entry, Bury)
        self.entries.append(entry)
        self.waiting.append(done)

    def answer(self, result: object) -> None:
        """Say what became of the oldest entry."""
        self.waiting.pop(0)(result)


async def test_x1_a_letter_says_what_was_sent_and_by_whom(autojump_clock: MockClock) -> None:
    """So that it can be looked at and sent again; numbers count up."""
    letters = kept()
    await trio.sleep(5)
    add(letters, {"a": [1]}, sender="anna", message_id="key", message_kind="typing", key="k")
    letters.add("None", DropReason.MISSING_ID, "tell", 0, None)
    first, second = letters
    assert first == DeadLetter(
        "live:a", DropReason.BUSY, "tell", 8, 1_750_000_005.0, 1, {"a": [1]}, whole=True, sender="anna",
        message_id="key", message_kind="typing", key="k",
    )  # fmt: skip
    assert (second.number, second.payload, second.whole) == (2, None, False)


async def test_a_payload_that_cannot_be_taken_is_not_kept_either(autojump_clock: MockClock) -> None:
    """Nothing that its sender could still change, or that is too large, and no field that is no text."""
    letters = kept(Limits(message_bytes_max=100))
    shared = ["a"]
    add(letters, shared, sender=7, message_id=object())
    shared.append("b")
    for payload in (object(), "x" * 101, "\ud800", {1: {2}, "a": object()}):
        add(letters, payload)
    first, *others = letters
    assert (first.payload, first.sender, first.message_id) == (["a"], "", "")
    assert [(each.payload, each.whole) for each in others] == [(None, False)] * 4


async def test_of_a_session_that_was_deleted_nothing_is_kept(autojump_clock: MockClock) -> None:
    """Neither what came after its end, nor what was kept before."""
    letters = kept()
    add(letters)
    add(letters, chat_id="live:b")
    letters.erase(["live:a"])
    add(letters, reason=DropReason.DELETED_CHAT)
    assert [(each.number, each.payload) for each in letters] == [(2, "hello"), (3, None)]


@pytest.mark.rule("X1", "promise_8")
async def test_letters_in_memory_are_bounded_in_number_and_in_bytes(autojump_clock: MockClock) -> None:
    """The oldest go, however large one is."""
    letters = kept(Limits(dead_letters_max=3, dead_letters_bytes_max=5000))
    for number in range(5):
        add(letters, str(number))
    assert [each.payload for each in letters] == ["2", "3", "4"]
    add(letters, "x" * 4000)
    assert [each.payload[:1] for each in letters if isinstance(each.payload, str)] == ["3", "4", "x"]
    add(letters, "y" * 4000)
    assert [each.payload[:1] for each in letters if isinstance(each.payload, str)] == ["y"]
    add(letters, "z" * 6000)
    assert len(letters) == 0
    assert [each.number for each in letters.select()] == []


async def test_letters_are_chosen_by_address_and_reason(autojump_clock: MockClock) -> None:
    """By one, by both, or all of them."""
    letters = kept()
    for chat_id, reason in (("live:a", "busy"), ("live:b", "busy"), ("live:a", "expired")):
        add(letters, reason=DropReason(reason), chat_id=chat_id)

    def numbers(chat_id: str | None = None, reason: str | None = None) -> list[int]:
        return [each.number for each in letters.select(chat_id, reason)]

    assert (numbers(), numbers("live:a"), numbers(reason="busy")) == ([1, 2, 3], [1, 3], [1, 2])
    assert (numbers("live:a", DropReason.BUSY), numbers("live:c")) == ([1], [])


@pytest.mark.rule("X1")
async def test_a_host_decides_what_is_kept_of_a_payload(autojump_clock: MockClock) -> None:
    """Before anybody sees it; a function that fails, or returns what cannot be kept, keeps nothing."""
    asked: list[DeadLetter] = []

    def redact(letter: DeadLetter) -> object:
        asked.append(letter)
        match letter.payload:
            case "secret":
                return "redacted"
            case "raise":
                message = "as told"
                raise ValueError(message)
            case "object":
                return object()
            case _:
                pass
        return letter.payload

    letters = kept(redact=redact)
    for payload in ("secret", "raise", "object", "plain"):
        add(letters, payload)
    found = [(each.payload, each.whole) for each in letters]
    assert found == [("redacted", False), (None, False), (None, False), ("plain", True)]
    assert [each.number for each in asked] == [1, 2, 3, 4]
    for wrong in (7, "text"):
        with pytest.raises(ConfigurationError, match="redact is"):
            async with open_runtime(":memory:", agent=ScriptedAgent(), redact=wrong):  # type: ignore[arg-type]
                pass


@pytest.mark.rule("X1")
async def test_whoever_watches_sees_every_letter_from_then_on(autojump_clock: MockClock) -> None:
    """Several may; each gets all of them, and none after it has left."""
    letters = kept()
    add(letters, "before")
    async with letters.watch() as first:
        async with letters.watch() as second:
            add(letters, "both")
            assert (await anext(second)).payload == "both"
        add(letters, "first only")
        assert [(await anext(first)).payload for _ in range(2)] == ["both", "first only"]
        seen: list[object] = []

        async def read() -> None:
            async for letter in first:
                seen.append(letter.payload)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await wait_all_tasks_blocked()
            add(letters, "later")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    add(letters, "nobody")
    assert seen == ["later"]


async def test_a_watcher_that_is_too_slow_is_cut_and_told(autojump_clock: MockClock) -> None:
    """It gets what it was shown until then; nobody else, and no letter, is touched by it."""
    letters = kept(Limits(subscriber_items_max=3, subscribers_max=1))
    async with letters.watch() as feed:
        with pytest.raises(SubscriptionError, match="1 watchers"):
            async with letters.watch():
                pass
        for number in range(10):
            add(letters, number)
        assert [(await anext(feed)).payload for _ in range(3)] == [0, 1, 2]
        with pytest.raises(SubscriptionError, match="too slow"):
            await anext(feed)
    assert len(letters) == 10


async def test_letters_are_written_together_while_one_entry_is_on_its_way(autojump_clock: MockClock) -> None:
    """At most one entry at a time; what does not fit into the next is counted and no more."""
    disk, letters = Disk(), kept(Limits(dead_letter_s=7 * DAY_S, dead_letters_stored_max=50))
    letters.start(41, disk.submit)
    (first,) = disk.entries
    assert (first.letters, first.after_s, first.rows_max) == ((), 1_750_000_000.0 - 7 * DAY_S, 50)
    for number in range(LETTERS_IN_ENTRY_MAX + 5):
        add(letters, number)
    assert (len(disk.entries), letters.lost) == (1, 5)
    disk.answer(Committed())
    assert [each.number for each in disk.entries[1].letters] == list(range(42, 42 + LETTERS_IN_ENTRY_MAX))
    add(letters, "next")
    disk.answer(Committed())
    assert [each.payload for each in disk.entries[2].letters] == ["next"]
    disk.answer(Committed())
    assert (len(disk.entries), letters.stored, letters.lost) == (3, LETTERS_IN_ENTRY_MAX + 1, 5)


async def test_letters_that_cannot_be_written_are_counted_and_no_more(autojump_clock: MockClock) -> None:
    """The next one tries again; they are still in memory."""
    disk, letters = Disk(), kept()
    letters.start(0, disk.submit)
    disk.answer(Committed())
    add(letters, 1)
    disk.answer(Conflict(0))
    add(letters, 2)
    disk.answer(Committed())
    assert (letters.stored, letters.lost, len(letters)) == (1, 1, 2)


async def test_what_is_forgotten_is_forgotten_on_disk_too(autojump_clock: MockClock) -> None:
    """Also what was about to be written."""
    disk, letters = Disk(), kept()
    letters.start(0, disk.submit)
    for number in range(1, 4):
        add(letters, number)
    letters.discard([2])
    disk.answer(Committed())
    assert [each.number for each in letters] == [1, 3]
    assert ([each.number for each in disk.entries[1].letters], disk.entries[1].forget) == ([1, 3], (2,))
    disk.answer(Committed())
    letters.discard([])
    assert len(disk.entries) == 2


@pytest.mark.rule("X1")
async def test_letters_outlive_the_runtime_if_it_is_asked_to_keep_them(autojump_clock: MockClock) -> None:
    """For as long as the limit says, and numbers go on; without being asked nothing is on disk."""
    store = MemoryJournal().store
    clock = VirtualClock()
    for life, keep in enumerate((True, False, True)):
        limits = Limits(dead_letter_s=7 * DAY_S)
        async with open_runtime(
            MemoryJournal(store), agent=ScriptedAgent(), keep_dead_letters=keep, limits=limits, clock=clock
        ) as runtime:
            with pytest.raises(Exception, match="unknown_chat"):
                await runtime.send("live:nobody", f"life {life}")
            await trio.sleep(1)
            found = await runtime.stored_dead_letters()
            assert [each.payload for each in found] == [["life 0"], ["life 0"], ["life 0", "life 2"]][life]
            assert runtime.dead_letters()[0].number == [1, 2, 2][life]
            statistics = runtime.statistics()
            assert (statistics.dead_letters_stored, statistics.dead_letters_lost) == (int(keep), 0)
            assert await runtime.stored_dead_letters("live:a") == ()
    clock.jump(8 * DAY_S)
    async with open_runtime(
        MemoryJournal(store), agent=ScriptedAgent(), keep_dead_letters=True, clock=clock
    ) as runtime:
        await trio.sleep(1)
        assert await runtime.stored_dead_letters() == ()


@pytest.mark.rule("X2", "pitfall_27")
async def test_x2_a_flood_of_drops_is_a_bounded_number_of_lines_and_letters(autojump_clock: MockClock) -> None:
    """See the twin of the accounts for the lines; here is what is kept of 20,000 of them."""
    letters = kept(Limits(dead_letters_max=100))
    for number in range(20_000):
        add(letters, number)
    assert [each.payload for each in letters] == list(range(19_900, 20_000))


async def test_of_a_session_that_was_deleted_nothing_is_kept_under_an_id_that_it_had_before(
    autojump_clock: MockClock,
) -> None:
    """What a draft was sent is forgotten with the session that came of it."""

    async def receive(_: Session, __: object) -> None:
        await trio.sleep(1.0)

    made = agent(ScriptedAgent(), receive=receive)
    limits = Limits(mailbox_messages_max=1)
    async with open_runtime(MemoryJournal(), agent=made, clock=VirtualClock(), limits=limits) as runtime:
        await runtime.create("draft:a")
        await runtime.tell("draft:a", "handled")
        await wait_all_tasks_blocked()
        runtime.tell_nowait("draft:a", "queued")
        with pytest.raises(OverloadedError):
            runtime.tell_nowait("draft:a", "private")
        await runtime.migrate("draft:a", "live:b")
        assert [letter.payload for letter in runtime.dead_letters()] == ["private"]
        await runtime.delete("live:b")
        assert [letter.payload for letter in runtime.dead_letters() if letter.payload is not None] == []
