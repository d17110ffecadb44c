"""What every journal does with what stands in a session beside its turns: a part of the contract."""

from actors.core.events import (
    EventBody,
    ParentEnded,
    ReminderDropped,
    ReminderFired,
    ReminderSet,
    ReminderSkipped,
    SessionCreated,
    TurnStarted,
    UsageAdded,
)
from actors.core.ids import ChatId
from actors.core.spending import TOTAL_MAX, Usage
from actors.core.state import SessionState, fold
from actors.ports import Appointment, Erase, Journal
from tests.store.histories import CHAT, OTHER, append, created
from tests.store.journal_contract import UNKNOWN, Contract, accepted
from tests.store.places import ROWS, Place, fill, opened


class StandingContract(Contract):
    """Reminders, parents and children."""

    async def test_opening_tells_in_which_sessions_something_falls_due(self, place: Place) -> None:
        """A runtime wakes a session at its first moment, without having read it before."""
        two, none = ChatId("live:two"), ChatId("live:none")
        tea, pills = ReminderSet("tea", "Drink.", 50.0, 60.0), ReminderSet("pills", "Take.", 45.5)
        async with opened(place) as (journal, _):
            await fill(
                journal,
                append(two, 0, SessionCreated(), tea, pills),
                append(none, 0, SessionCreated(), tea, ReminderDropped("tea")),
                append(OTHER, 0, SessionCreated(), tea, ReminderFired("tea", 0, 50.0, 110.0)),
            )
        async with opened(place) as (journal, said):
            assert said.appointments == (Appointment(two, 45.5), Appointment(OTHER, 110.0))
            await fill(
                journal,
                append(two, 3, ReminderFired("pills", 0, 45.5), epoch=2),
                append(two, 4, ReminderSkipped("tea", 1, 2, 170.0), epoch=2),
                Erase(OTHER, 9.0),
            )
        async with opened(place) as (_, said):
            assert said.appointments == (Appointment(two, 170.0),)

    async def test_a_session_knows_its_parent_and_is_found_by_it(self, journal: Journal) -> None:
        """The children of one session, and no other's, in the order of their creation; an erased one is not there."""
        kids = [ChatId(f"live:child:1.1.{number}:42") for number in (2, 1, 3)]
        await fill(journal, created(), created(OTHER))
        for number, chat_id in enumerate(kids):
            await fill(journal, append(chat_id, 0, SessionCreated(CHAT, 1, 1, f"kid{number}"), accepted(1)))
        await fill(journal, append(kids[0], 2, ParentEnded()), Erase(kids[2], 5.0))
        assert await journal.children(CHAT, ROWS) == (kids[0], kids[1])
        assert await journal.children(CHAT, 1) == (kids[0],)
        assert await journal.children(OTHER, ROWS) == await journal.children(UNKNOWN, ROWS) == ()
        for chat_id in kids[:2]:
            events = await journal.events(chat_id, 0, ROWS)
            assert await journal.load(chat_id) == fold(SessionState(chat_id), tuple(event.body for event in events))

    async def test_reminders_are_read_as_they_stand(self, journal: Journal) -> None:
        """Set, fired, skipped, dropped and set again, in one group and in several."""
        bodies: list[EventBody] = [
            SessionCreated(),
            ReminderSet("tea", "Drink.", 50.0, 60.0, "all"),
            ReminderSet("pills", "Take.", 45.5),
            ReminderFired("tea", 0, 50.0, 110.0),
            ReminderDropped("pills"),
            ReminderSet("pills", "Take two.", 46.5, None, "skip"),
            ReminderSkipped("tea", 3, 3, 290.0),
            ReminderSet("tea", "Drink.", 50.0, 30.0),
            ReminderFired("pills", 0, 46.5),
        ]
        whole, parted = ChatId("live:whole"), ChatId("live:parted")
        await fill(journal, append(whole, 0, *bodies))
        for seq, body in enumerate(bodies):
            await fill(journal, append(parted, seq, body))
            if seq == len(bodies) // 2:
                assert await journal.load(parted) == fold(SessionState(parted), tuple(bodies[: seq + 1]))
        for chat_id in (whole, parted):
            assert await journal.load(chat_id) == fold(SessionState(chat_id), tuple(bodies))

    async def test_what_a_session_has_spent_is_counted_up_to_what_can_be_stored(self, journal: Journal) -> None:
        """In one group and in several, and the rows say what the events come to."""
        most = UsageAdded(1, TOTAL_MAX, TOTAL_MAX)
        await fill(journal, append(CHAT, 0, SessionCreated(), accepted(1), TurnStarted(1, 1), most, most))
        await fill(journal, append(CHAT, 5, most))
        state = await journal.load(CHAT)
        assert state is not None
        assert state.standing.usage == Usage(TOTAL_MAX, TOTAL_MAX)
