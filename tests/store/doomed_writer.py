"""A program that writes to a store until it is killed, and says what was acknowledged.

Each group writes a whole turn to some sessions. The keys name the life, the group and its size, so that whoever reads
the store later can tell which groups are there, and that each is there whole.
"""

import itertools
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw
import trio

from actors.core.events import EventBody, MessageAccepted, SessionCreated, TurnEnded, TurnStarted
from actors.core.ids import ChatId
from actors.core.lifecycle import TurnStatus
from actors.core.state import SessionState
from actors.errors import StoreFencedError
from actors.ports import Append, Committed, Journal
from actors.runtime.clock import Threads
from actors.store.sqlite import SQLiteJournal
from tests.store.histories import append, state_of, text
from tests.store.places import ROWS

CHATS: Final = [ChatId(f"live:{number}") for number in range(8)]
READY: Final = "ready"
FENCED: Final = "fenced"

_ROOT: Final = Path(__file__).resolve().parent.parent.parent


def start(path: Path, seed: int, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start the program as a process of its own; ``before`` is what it is to be run under."""
    command = [*before, sys.executable, "-m", "tests.store.doomed_writer", str(path), str(seed)]
    return subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


async def groups_in(journal: Journal) -> dict[int, list[int]]:
    """List, for each life, the groups that are there, in order; fails if one is there in part."""
    sizes: dict[int, dict[int, int]] = defaultdict(dict)
    found: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for chat_id in CHATS:
        events = await journal.events(chat_id, 0, ROWS)
        for event in events:
            if isinstance(event.body, MessageAccepted):
                life, group, size = (int(number) for number in event.body.message_id.split("-"))
                assert life == event.epoch
                sizes[life][group] = size
                found[life][group] += 1
        assert await journal.load(chat_id) == (state_of(chat_id, events) if events else None)
    assert {life: dict(groups) for life, groups in found.items()} == sizes
    return {life: sorted(groups) for life, groups in sizes.items()}


def _entry(state: SessionState | None, chat_id: ChatId, key: str, life: int, said: str) -> Append:
    """Make a whole turn, and the session if there is none."""
    seq, turn = (0, 1) if state is None else (state.seq, state.turns + 1)
    begun: tuple[EventBody, ...] = (SessionCreated(),) if state is None else ()
    ended = TurnEnded(turn, 1, TurnStatus.COMPLETED)
    accepted = MessageAccepted(key, turn, said)
    return append(chat_id, seq, *begun, accepted, TurnStarted(turn, 1), text(turn, 1, 0, said), ended, epoch=life)


async def _write(path: Path, seed: int) -> None:
    """Write until the end."""
    chance = random.Random(seed)
    connections: list[apsw.Connection] = []
    apsw.connection_hooks.append(connections.append)
    journal = SQLiteJournal(path, Threads())
    life = (await journal.open(takeover=False)).epoch
    connections[0].wal_autocheckpoint(chance.choice((1, 20, 1000)))  # so that death may come while the log is moved
    _say(READY)
    for group in itertools.count():
        chats = chance.sample(CHATS, chance.randint(1, len(CHATS)))
        key = f"{life}-{group}-{len(chats)}"
        said = "x" * chance.choice((1, 100, 10_000))
        entries = [_entry(await journal.load(chat_id), chat_id, key, life, said) for chat_id in chats]
        try:
            outcomes = await journal.commit(entries)
        except StoreFencedError:
            _say(FENCED)
            return
        assert list(outcomes) == [Committed()] * len(entries)
        _say(str(group))


def _say(word: str) -> None:
    """Say something to whoever started this, at once."""
    os.write(1, f"{word}\n".encode())


if __name__ == "__main__":
    trio.run(_write, Path(sys.argv[1]), int(sys.argv[2]))
