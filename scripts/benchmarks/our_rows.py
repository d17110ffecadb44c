"""The rows that our turns write, given to a bare writer: the limit on the disk that is held against ours."""

from collections.abc import Callable

from actors.store.schema import MIGRATIONS
from scripts.benchmarks.group_commit import Row, Rows, Workload
from scripts.benchmarks.limits_disk import BODY, register_durable


def _columns(count: int) -> str:
    """Name so many columns of a row that travels as JSON."""
    return ", ".join(f"value->>{number}" for number in range(count))


def _row(*values: object) -> Callable[[int, int], list[Row]]:
    """Give a row whose values may be made of the chat and the number of the message."""
    return lambda chat, n: [tuple(value(chat, n) if callable(value) else value for value in values)]


def _chat(chat: int, _: int) -> int:
    return chat + 1


def _next(_: int, n: int) -> int:
    return n + 1


def _key(chat: int, n: int) -> str:
    return f"{chat:032}{n:04}"


def _answer_key(_: int, n: int) -> str:
    return f"{n + 1}/1/0"


INSERT_EVENT = f"INSERT INTO event SELECT {_columns(6)} FROM {{rows}}"  # noqa: S608 - column numbers of ours
INSERT_TURN = (
    "INSERT INTO turn (chat, turn, status, attempt, accepted_seq, ended_seq, reason, error)"  # noqa: S608 - as above
    f" SELECT {_columns(8)} FROM {{rows}}"
)
INSERT_MESSAGE = (
    f"INSERT INTO message (chat, turn, attempt, position, seq, role, message_id) SELECT {_columns(7)} FROM {{rows}}"  # noqa: S608 - column numbers of ours
)
INSERT_PART = f"INSERT INTO part SELECT {_columns(10)} FROM {{rows}}"  # noqa: S608 - column numbers of ours
UPDATE_TURN = (
    "UPDATE turn SET status = 'completed', ended_seq = v.s FROM"
    " (SELECT value->>0 AS c, value->>1 AS n, value->>2 AS s FROM {rows}) AS v WHERE chat = v.c AND turn = v.n"
)
UPDATE_SESSION = (
    "UPDATE session SET seq = v.n, turns = v.t FROM"
    " (SELECT value->>0 AS c, value->>1 AS n, value->>2 AS o, value->>3 AS t"
    " FROM {rows}) AS v WHERE chat = v.c AND seq = v.o"
)

SCHEMA = (
    *(step for migration in MIGRATIONS for step in migration.split(";\n") if step.strip()),
    (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
        " INSERT INTO session (chat, chat_id, seq, turns) SELECT i, 'live:' || i, 0, 0 FROM n"
    ),
)


def _number(times: int, plus: int) -> Callable[[int, int], int]:
    """Give the number of an event: so many a turn, and this one of them."""
    return lambda _, n: times * n + plus


def _events(*rows: Callable[[int, int], list[Row]]) -> Callable[[int, int], list[Row]]:
    """Give several rows."""
    return lambda chat, n: [row for make in rows for row in make(chat, n)]


def _accepted(events: int, status: str) -> tuple[Rows, ...]:
    """Give what accepting a message writes in a session whose turns have so many events; two if it begins at once."""
    begins = events > 1
    written = [_row(_chat, _number(events, number + 1), 1, 1.5, 1, BODY) for number in range(2 if begins else 1)]
    last = _number(events, 2 if begins else 1)
    return (
        Rows(INSERT_EVENT, _events(*written)),
        Rows(INSERT_TURN, _row(_chat, _next, status, 1, _number(events, 1), None, "", "")),
        Rows(INSERT_MESSAGE, _row(_chat, _next, 0, -1, _number(events, 1), "user", _key)),
        Rows(
            INSERT_PART,
            _row(_chat, _next, 0, -1, 0, "text", "complete", len(BODY), _number(events, 1), _number(events, 1)),
        ),
        Rows(UPDATE_SESSION, _row(_chat, last, _number(events, 0), _next)),
    )


ACCEPTED = Workload(SCHEMA, (_accepted(1, "queued"),))
"""What a message writes that waits for its turn: an event, a turn, a message, a part, and the session's number."""

TURN = Workload(
    SCHEMA,
    (
        _accepted(4, "running"),
        (
            Rows(
                INSERT_EVENT,
                _events(*(_row(_chat, _number(4, number), 1, 1.5, 1, BODY) for number in (3, 4))),
            ),
            Rows(INSERT_MESSAGE, _row(_chat, _next, 1, 0, _number(4, 3), "assistant", _answer_key)),
            Rows(
                INSERT_PART,
                _row(_chat, _next, 1, 0, 0, "text", "complete", 120, _number(4, 3), _number(4, 3)),
            ),
            Rows(UPDATE_TURN, _row(_chat, _next, _number(4, 4))),
            Rows(UPDATE_SESSION, _row(_chat, _number(4, 4), _number(4, 2), _next)),
        ),
    ),
)
"""What a turn writes: twelve rows in two commits."""

register_durable("ours", TURN, ACCEPTED)
