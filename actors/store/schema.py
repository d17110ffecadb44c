"""The tables, as numbered migrations: each step and its number are one transaction.

``event`` is the truth. Every other table is a projection written in the same transaction: ``message`` and ``part`` say
where a text stands in the journal rather than repeat it, so each row of a conversation is written once. The queue is
the turns that are queued, and the idempotency keys are a unique index over the messages that were sent (they stand at
positions -1, -2, … of their turn; what a turn makes counts from 0, and seeds bring ids of their own), so neither can
disagree. A turn stands at the place of its number unless ``place`` says another; ``ending`` is how it will end if
that is decided while it runs. ``taken`` is of a message that was handed to a running turn: the ordinal at which
``taken_attempt`` has taken it, or -1 while it waits for that.

Tables have rowids and their keys are indexes beside them: the rows of all sessions are appended at one place, where
clustered tables would change a page of its own for each session (a fifth more work for the writer, for 7 % less disk).
"""

from typing import Final

import apsw

from actors.errors import StoreSchemaError

APPLICATION_ID: Final = 0x61637472  # "actr": tells our files from other SQLite databases

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE owner (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        epoch INTEGER NOT NULL
    ) STRICT;
    INSERT INTO owner VALUES (1, 0);

    CREATE TABLE session (
        chat INTEGER PRIMARY KEY AUTOINCREMENT,
        chat_id TEXT NOT NULL UNIQUE,
        seq INTEGER NOT NULL,
        turns INTEGER NOT NULL,
        state TEXT
    ) STRICT;

    CREATE TABLE event (
        chat INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        at_s REAL NOT NULL,
        version INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX event_by_seq ON event (chat, seq);

    CREATE TABLE turn (
        chat INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
        turn INTEGER NOT NULL,
        status TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        accepted_seq INTEGER NOT NULL,
        ended_seq INTEGER,
        reason TEXT NOT NULL,
        error TEXT NOT NULL,
        PRIMARY KEY (chat, turn)
    ) STRICT;
    CREATE INDEX turn_unfinished ON turn (chat, turn) WHERE ended_seq IS NULL;
    CREATE VIEW queue AS
        SELECT session.chat_id, turn.turn, turn.accepted_seq, turn.attempt
        FROM turn JOIN session USING (chat) WHERE turn.status = 'queued';

    CREATE TABLE message (
        chat INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
        turn INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        position INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        role TEXT NOT NULL,
        message_id TEXT NOT NULL,
        PRIMARY KEY (chat, turn, attempt, position)
    ) STRICT;
    CREATE UNIQUE INDEX message_by_key ON message (chat, message_id) WHERE position = -1;

    CREATE TABLE part (
        chat INTEGER NOT NULL,
        turn INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        position INTEGER NOT NULL,
        part INTEGER NOT NULL,
        kind TEXT NOT NULL,
        status TEXT NOT NULL,
        characters INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        PRIMARY KEY (chat, turn, attempt, position, part),
        FOREIGN KEY (chat, turn, attempt, position) REFERENCES message ON DELETE CASCADE
    ) STRICT;

    CREATE TABLE tool_call (
        chat INTEGER NOT NULL,
        turn INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        call INTEGER NOT NULL,
        call_id TEXT NOT NULL,
        name TEXT NOT NULL,
        status TEXT NOT NULL,
        called_seq INTEGER NOT NULL,
        ended_seq INTEGER,
        PRIMARY KEY (chat, turn, attempt, call),
        FOREIGN KEY (chat, turn) REFERENCES turn ON DELETE CASCADE
    ) STRICT;

    CREATE TABLE prompt (
        chat INTEGER NOT NULL,
        turn INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        prompt INTEGER NOT NULL,
        status TEXT NOT NULL,
        opened_seq INTEGER NOT NULL,
        ended_seq INTEGER,
        PRIMARY KEY (chat, turn, attempt, prompt),
        FOREIGN KEY (chat, turn) REFERENCES turn ON DELETE CASCADE
    ) STRICT;

    CREATE TABLE tombstone (
        chat_id TEXT PRIMARY KEY,
        deleted_at_s REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE session ADD COLUMN overlap TEXT NOT NULL DEFAULT '';
    ALTER TABLE session ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;

    ALTER TABLE session ADD COLUMN parent INTEGER;
    ALTER TABLE session ADD COLUMN closed INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX session_by_parent ON session (parent) WHERE parent IS NOT NULL;

    CREATE TABLE reminder (
        chat INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
        key TEXT NOT NULL,
        set_seq INTEGER NOT NULL,
        tick INTEGER NOT NULL,
        due_s REAL NOT NULL,
        PRIMARY KEY (chat, key)
    ) STRICT;

    CREATE TABLE alias (
        chat_id TEXT PRIMARY KEY,
        chat INTEGER NOT NULL REFERENCES session ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX alias_by_chat ON alias (chat);
    CREATE VIEW address AS SELECT chat_id, chat FROM session UNION ALL SELECT chat_id, chat FROM alias;
    CREATE VIEW given_up AS SELECT chat_id FROM tombstone UNION ALL SELECT chat_id FROM alias;
    ALTER TABLE session ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE session ADD COLUMN cost_millionths INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE session ADD COLUMN turns_before INTEGER NOT NULL DEFAULT 0;

    ALTER TABLE turn ADD COLUMN first_attempt INTEGER;

    ALTER TABLE prompt ADD COLUMN expires_at_s REAL;
    CREATE INDEX prompt_open ON prompt (chat, turn, prompt) WHERE status = 'open';
    ALTER TABLE turn ADD COLUMN place INTEGER;
    ALTER TABLE turn ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE turn ADD COLUMN ending TEXT NOT NULL DEFAULT '';
    CREATE INDEX turn_moved ON turn (chat, place) WHERE place IS NOT NULL;
    ALTER TABLE message ADD COLUMN taken INTEGER;
    ALTER TABLE message ADD COLUMN taken_attempt INTEGER;
    DROP INDEX message_by_key;
    CREATE UNIQUE INDEX message_by_key ON message (chat, message_id) WHERE position < 0;

    CREATE TABLE dead_letter (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        chat_id TEXT NOT NULL,
        reason TEXT NOT NULL,
        kind TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        at_s REAL NOT NULL,
        payload ANY,
        whole INTEGER NOT NULL,
        sender TEXT NOT NULL,
        message_id TEXT NOT NULL,
        message_kind TEXT NOT NULL,
        key TEXT NOT NULL
    ) STRICT;
    CREATE INDEX dead_letter_by_chat ON dead_letter (chat_id, number);
    CREATE INDEX dead_letter_by_time ON dead_letter (at_s);
    """,
)


def migrate(connection: apsw.Connection) -> None:
    """Bring a database up to the newest step; one that is there already is left alone.

    Raises what ``schema_version`` raises.
    """
    version = schema_version(connection)
    for step in range(version, len(MIGRATIONS)):
        with connection:
            connection.execute(MIGRATIONS[step])
            connection.pragma("user_version", step + 1)
            connection.pragma("application_id", APPLICATION_ID)


def schema_version(connection: apsw.Connection) -> int:
    """Say to which step a database has come; a new one has 0.

    Raises StoreSchemaError for a file written by a newer version, and for a database that is not ours.
    """
    version = _number(connection, "user_version")
    application = _number(connection, "application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if application != APPLICATION_ID and (application or version or tables):
        message = "the file is an SQLite database, but not a store of this package"
        raise StoreSchemaError(message, hint="give the path of a new file")
    if version > len(MIGRATIONS):
        message = f"the store has schema {version}, this package knows up to {len(MIGRATIONS)}"
        raise StoreSchemaError(message, hint="install the version of the package that wrote it, or a newer one")
    return version


def _number(connection: apsw.Connection, pragma: str) -> int:
    """Read a pragma that is a number."""
    value = connection.pragma(pragma)
    assert isinstance(value, int), f"PRAGMA {pragma} answers a number"
    return value
