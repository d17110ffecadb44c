"""What every journal does with dead letters and tombstones: a suite beside ``JournalContract`` for each twin."""

import pytest

from actors.core.dead_letter import DeadLetter
from actors.core.ids import ChatId, DropReason
from actors.errors import StoreFencedError
from actors.ports import Bury, Committed, Conflict, Erase, Journal
from tests.store.histories import CHAT, OTHER, TEXTS, append, created
from tests.store.journal_contract import Contract, accepted
from tests.store.places import ROWS, Place, fill, numbers, opened

MANY = 1_000_000


def letter(number: int, chat_id: str = CHAT, *, at_s: float = 100.0, payload: object = "hello") -> DeadLetter:
    """Make a letter."""
    return DeadLetter(chat_id, DropReason.BUSY, "accept", 5, at_s, number, payload, payload is not None)


def bury(*letters: DeadLetter, forget: tuple[int, ...] = (), after_s: float = 0.0, rows_max: int = MANY) -> Bury:
    """Make an entry that keeps letters."""
    return Bury(letters, forget, after_s, rows_max)


async def kept(journal: Journal, chat_id: str | None = None) -> list[int]:
    """Number the letters that are kept."""
    return [each.number for each in await journal.dead_letters(chat_id, 0, ROWS)]


class DeadLetterContract(Contract):
    """Dead letters and tombstones in the store."""

    @pytest.mark.rule("X1")
    async def test_a_letter_comes_back_as_it_was(self, place: Place) -> None:
        """Whatever was sent, to the byte, in the next life too."""
        payloads = [*TEXTS, b"\x00\xff", None, 7, 1.5, True, [1, {"a": [None]}], {"text": "ünï"}, 1 << 60]
        letters = [letter(number, payload=payload) for number, payload in enumerate(payloads, 1)]
        named = {"sender": "anna", "message_id": "key", "message_kind": "typing", "key": "a"}
        letters.append(DeadLetter("None", DropReason.MISSING_ID, "tell", 9, 1.5, 99, "x", whole=True, **named))
        async with opened(place) as (journal, said):
            assert said.dead_letters == 0
            await fill(journal, bury(*letters))
        async with opened(place) as (journal, said):
            assert said.dead_letters == 99
            assert await journal.dead_letters(None, 0, ROWS) == tuple(letters)

    @pytest.mark.rule("X1")
    async def test_letters_are_read_by_address_and_in_pages(self, journal: Journal) -> None:
        """In the order of their numbers; an address need not be one of a session."""
        await fill(journal, bury(letter(1), letter(2, OTHER), letter(3), letter(4, "nowhere"), letter(5)))
        assert await kept(journal) == [1, 2, 3, 4, 5]
        assert (await kept(journal, CHAT), await kept(journal, "nowhere")) == ([1, 3, 5], [4])
        page = await journal.dead_letters(None, 1, 2)
        assert [each.number for each in page] == [2, 3]
        assert [each.number for each in await journal.dead_letters(CHAT, 3, 5)] == [5]
        assert await journal.dead_letters("live:unknown", 0, ROWS) == ()

    @pytest.mark.rule("X1")
    async def test_what_is_too_old_or_too_many_or_sent_again_is_forgotten(self, journal: Journal) -> None:
        """By age, by number, and by name; their numbers are not given again."""
        await fill(journal, bury(*[letter(number, at_s=100.0 + number) for number in range(1, 11)]))
        await fill(journal, bury(after_s=103.0))
        assert await kept(journal) == list(range(3, 11))
        await fill(journal, bury(forget=(5, 7, 99)))
        assert await kept(journal) == [3, 4, 6, 8, 9, 10]
        await fill(journal, bury(letter(11, at_s=200.0), rows_max=4))
        assert await kept(journal) == [8, 9, 10, 11]
        await fill(journal, bury(letter(12, at_s=5.0), after_s=50.0, rows_max=4), bury(forget=(8, 9, 10, 11)))
        assert await kept(journal) == []

    async def test_numbers_go_on_in_the_next_life_even_if_no_letter_is_left(self, place: Place) -> None:
        """A number names one letter of a store, for as long as anybody may have noted it."""
        async with opened(place) as (journal, _):
            await fill(journal, bury(letter(41)), bury(forget=(41,)))
        async with opened(place) as (_, said):
            assert said.dead_letters == 41

    async def test_the_same_letters_again_are_kept_once(self, journal: Journal) -> None:
        """A lost answer is settled by writing again."""
        group = bury(letter(1), letter(2))
        await fill(journal, group)
        await fill(journal, group)
        await fill(journal, bury(letter(2, payload="other"), letter(3)))
        assert [each.payload for each in await journal.dead_letters(None, 0, ROWS)] == ["hello"] * 3

    async def test_letters_are_written_beside_the_events_of_sessions(self, journal: Journal) -> None:
        """One group holds both, and an entry that conflicts costs the letters nothing."""
        outcomes = await journal.commit([created(), bury(letter(1)), append(CHAT, 7, accepted(1)), bury(letter(2))])
        assert [type(outcome) for outcome in outcomes][:2] == [Committed, Committed]
        assert outcomes[3] == Committed()
        assert (await kept(journal), await numbers(journal, CHAT)) == ([1, 2], [1])

    async def test_the_letters_of_a_session_are_erased_with_it(self, journal: Journal) -> None:
        """Nothing that was said to it stays."""
        await fill(journal, created(), created(OTHER), bury(letter(1), letter(2, OTHER), letter(3)))
        await fill(journal, Erase(CHAT, 5.0))
        assert await kept(journal) == [2]

    async def test_a_life_that_was_taken_over_keeps_no_letters(self, journal: Journal, place: Place) -> None:
        """The store is another's."""
        async with opened(place, takeover=True) as (taker, _):
            with pytest.raises(StoreFencedError):
                await journal.commit([bury(letter(1))])
            assert await kept(taker) == []

    async def test_d8_an_opening_forgets_the_tombstones_from_before_a_moment(self, place: Place) -> None:
        """Whoever keeps the id of a session that long finds it unknown; later tombstones stay."""
        old, new = ChatId("live:old"), ChatId("live:new")
        async with opened(place) as (journal, _):
            await fill(journal, created(old), created(new), Erase(old, 5.0), Erase(new, 6.0))
        journal = place.journal()
        said = await journal.open(takeover=False, forget_before_s=6.0)
        assert said.tombstones == {new}
        await fill(journal, created(old))
        assert list(await journal.commit([created(new)])) == [Conflict(0)]
        await journal.close()
        async with opened(place) as (_, said):
            assert said.chat_ids == {old}
            assert said.tombstones == {new}
