"""A group is written together as long as nothing in it conflicts, and says so otherwise."""

from contextlib import closing

import apsw

from actors.core.events import SessionCreated
from actors.ports import Append, Committed, Conflict, Entry, Erase
from actors.store.group import Group
from actors.store.schema import migrate
from tests.store.histories import CHAT, OTHER, append, created
from tests.store.journal_contract import accepted
from tests.store.rename_contract import DRAFT, LIVE, renamed


def test_a_group_without_a_conflict_is_written_together_and_tells_the_keys_it_met() -> None:
    """What was found out once is good for the next transaction, under the ids that sessions have then."""
    with closing(store()) as db:
        assert Group(db, {}).write_together([created(DRAFT)]) is not None
        group = Group(db, {})
        entries: list[Entry] = [created(), renamed(1), append(CHAT, 1, accepted(1))]
        assert group.write_together(entries) == [Committed()] * 3
        keys = {str(chat_id): chat for chat_id, chat in db.execute("SELECT chat_id, chat FROM session")}
        assert group.found == keys
        assert set(keys) == {CHAT, LIVE}


def test_a_group_with_a_conflict_is_not_written_together_but_apart() -> None:
    """Each kind of entry finds out by itself."""
    for bad, outcome in (
        (append(CHAT, 7, accepted(1)), Conflict(1)),
        (append(OTHER, 7, accepted(1)), Conflict(0)),
        (renamed(7), Conflict(1)),
        (renamed(1, CHAT), Conflict(1)),
        (created(DRAFT), Committed()),  # it was written already, as no entry that follows its session was
    ):
        with closing(store()) as db:
            assert Group(db, {}).write_together([created(), created(DRAFT)]) is not None
            db.execute("BEGIN")
            assert Group(db, {}).write_together([append(CHAT, 1, accepted(1)), bad]) is None
            db.execute("ROLLBACK")
            assert Group(db, {}).write_apart([append(CHAT, 1, accepted(1)), bad])[0] == Committed()
            assert Group(db, {}).write_apart([bad]) in ([outcome], [Conflict(2)])


def test_a_key_that_is_known_from_before_is_forgotten_with_the_id() -> None:
    """Or the next entry under the old id would be written to the session that gave it up."""
    with closing(store()) as db:
        keys: dict[str, int] = {}
        group = Group(db, keys)
        assert group.write_together([created(DRAFT), created()]) is not None
        keys.update(group.found)
        assert Group(db, keys).write_together([renamed(1), Erase(CHAT, 1.0)]) is not None
        assert keys == {}
        assert Group(db, keys).write_together([append(DRAFT, 2, accepted(1))]) is None


def test_a_session_is_made_by_its_first_entry_and_by_no_other() -> None:
    """The row of a session is there before its events are."""
    with closing(store()) as db:
        assert Group(db, {}).write_together([Append(CHAT, 0, append(CHAT, 0, SessionCreated()).events)]) is not None
        assert db.execute("SELECT count(*) FROM event").get == 1


def store() -> apsw.Connection:
    """Make a new store in memory."""
    db = apsw.Connection(":memory:")
    db.pragma("foreign_keys", "on")
    migrate(db)
    return db
