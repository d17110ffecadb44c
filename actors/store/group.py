"""A group of entries in the transaction that writes it: together if nothing conflicts, else one after the other.

Whoever uses it has begun the transaction, and rolls it back when a group says that it was not written.
"""

from collections.abc import Sequence
from operator import itemgetter

import apsw

from actors.core.ids import ChatId
from actors.errors import StoreCorruptError
from actors.ports import Append, Bury, Committed, Conflict, Entry, Erase, Outcome, Rename
from actors.store import letters, queries
from actors.store.projections import ORDER, UPDATE_SESSION, Row, Rows


class Group:
    """A group of entries in the transaction that writes it.

    ``found`` are the keys of sessions that were looked up or made here: good for others once this is committed.
    """

    def __init__(self, writer: apsw.Connection, keys: dict[str, int]) -> None:
        """Write through a connection that is in a transaction; ``keys`` are known from before."""
        self._writer = writer
        self._keys = keys
        self.found: dict[str, int] = {}

    def write_together(self, entries: Sequence[Entry]) -> list[Outcome] | None:
        """Write all entries, or say with None that one of them does not follow its session."""
        appends: list[tuple[int, Append | Rename]] = []
        for entry in entries:
            if isinstance(entry, Erase):
                self._erase(entry)  # at once; an entry before it then finds nothing to follow, and none is written
                continue
            if isinstance(entry, Bury):
                letters.write(self._writer, entry)
                continue
            if isinstance(entry, Append):
                chat = self._keys.get(entry.chat_id) or self._key(entry.chat_id)
            else:
                chat = self._rename(entry)
            if chat is None:
                return None
            appends.append((chat, entry))
        # In the order of their keys: neighbours share pages of the indexes, and each is fetched once.
        appends.sort(key=itemgetter(0))
        rows = Rows()
        for chat, append in appends:
            try:
                rows.add(chat, append.expected_seq, append.events)
            except StoreCorruptError as error:
                raise queries.of_session(append.chat_id, error) from error
        return [Committed()] * len(entries) if self._write_rows(rows) else None

    def write_apart(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Write one entry after the other, but for those that conflict or were written before."""
        outcomes: list[Outcome] = []
        for entry in entries:
            outcome = self._check(entry)
            if outcome is None:
                written = self.write_together([entry])
                assert written is not None, "it follows its session, and nobody else writes in this transaction"
            outcomes.append(outcome or Committed())
        return outcomes

    def _write_rows(self, rows: Rows) -> bool:
        """Write rows, unless a session is not where its entry expects it to be."""
        before = self._writer.total_changes()
        _execute(self._writer, UPDATE_SESSION, rows.sessions)
        if self._writer.total_changes() - before != len(rows.sessions):
            return False
        rows.settle()
        for statement in ORDER:
            _execute(self._writer, statement, rows.by_statement[statement])
        for statement, row in rows.in_sequence:
            self._writer.execute(statement, row)
        return True

    def _key(self, chat_id: ChatId) -> int | None:
        """Look the key of a session up, or make the session; None if it was erased, since nothing brings it back."""
        key = self.found.get(chat_id)
        if key is None:
            key = self._writer.execute("SELECT chat FROM session WHERE chat_id=?", (chat_id,)).get
        if key is None:
            key = self._writer.execute(
                "INSERT INTO session (chat_id, seq, turns) SELECT ?1, 0, 0"
                " WHERE NOT EXISTS (SELECT 1 FROM given_up WHERE chat_id=?1) RETURNING chat",
                (chat_id,),
            ).get
        if key is not None:
            self.found[chat_id] = key
        return key

    def _erase(self, entry: Erase) -> None:
        """Remove a session; its rows go with it by their foreign keys. A key is never given to another session."""
        chat, chat_id = self._writer.execute(
            "SELECT chat, chat_id FROM session WHERE chat=(SELECT chat FROM address WHERE chat_id=?)", (entry.chat_id,)
        ).fetchone() or (None, entry.chat_id)
        self._keys.pop(chat_id, None)
        self._writer.execute(
            "INSERT OR REPLACE INTO tombstone SELECT chat_id, ? FROM alias WHERE chat=?", (entry.at_s, chat)
        )
        self._writer.execute(
            "DELETE FROM dead_letter WHERE chat_id IN (SELECT chat_id FROM alias WHERE chat=? UNION ALL SELECT ?)",
            (chat, chat_id),
        )
        self._writer.execute("DELETE FROM session WHERE chat=?", (chat,))
        self._writer.execute("INSERT OR REPLACE INTO tombstone VALUES (?,?)", (chat_id, entry.at_s))

    def _rename(self, entry: Rename) -> int | None:
        """Give a session its new id and return its key; None if it is not where it should be, or the id is taken."""
        self._keys.pop(entry.chat_id, None)
        self.found.pop(entry.chat_id, None)
        chat: int | None = self._writer.execute(
            "UPDATE session SET chat_id=?1 WHERE chat_id=?2 AND seq=?3"
            " AND NOT EXISTS (SELECT 1 FROM session WHERE chat_id=?1)"
            " AND NOT EXISTS (SELECT 1 FROM given_up WHERE chat_id=?1) RETURNING chat",
            (entry.new_chat_id, entry.chat_id, entry.expected_seq),
        ).get
        if chat is not None:
            self._writer.execute("INSERT INTO alias VALUES (?,?)", (entry.chat_id, chat))
            self.found[entry.new_chat_id] = chat
        return chat

    def _check(self, entry: Entry) -> Outcome | None:
        """Say why an entry cannot be written: it conflicts, or it was written already; None if it can."""
        if isinstance(entry, Erase | Bury):
            return None
        row = self._writer.execute("SELECT chat, seq FROM session WHERE chat_id=?", (entry.chat_id,)).fetchone()
        if isinstance(entry, Rename):
            return self._check_rename(entry, row)
        if row is None:
            used = self._writer.execute("SELECT 1 FROM given_up WHERE chat_id=?", (entry.chat_id,)).get
            return Conflict(0) if used or entry.expected_seq else None
        chat, seq = row
        if seq == entry.expected_seq:
            return None
        stored = queries.stored(self._writer, chat, entry.expected_seq, len(entry.events), entry.chat_id)
        return Committed() if stored == entry.events else Conflict(seq)

    def _check_rename(self, entry: Rename, row: tuple[int, int] | None) -> Outcome | None:
        """Say why a session cannot be given its new id, or that it has it; ``row`` is the session under its old id."""
        if row is not None:
            taken = self._writer.execute(
                "SELECT 1 FROM session WHERE chat_id=?1 UNION ALL SELECT 1 FROM given_up WHERE chat_id=?1",
                (entry.new_chat_id,),
            ).get
            return Conflict(row[1]) if taken or row[1] != entry.expected_seq else None
        moved = self._writer.execute(
            "SELECT chat, session.chat_id, seq FROM alias JOIN session USING (chat) WHERE alias.chat_id=?",
            (entry.chat_id,),
        ).fetchone()
        if moved is None:
            return Conflict(0)
        chat, chat_id, seq = moved
        stored = queries.stored(self._writer, chat, entry.expected_seq, len(entry.events), chat_id)
        return Committed() if chat_id == entry.new_chat_id and stored == entry.events else Conflict(seq)


def _execute(db: apsw.Connection, statement: str, rows: list[Row]) -> None:
    """Run one statement for many rows."""
    if rows:
        db.executemany(statement, rows)
