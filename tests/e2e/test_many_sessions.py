"""A hundred thousand sessions on one store, a thousand of them in memory: nothing is lost, and memory is bounded."""

import random
from collections import Counter
from pathlib import Path

import pytest
import trio

from actors import Event, Limits, Session, SessionCreated, Turn, agent, open_runtime
from actors.core.ids import ChatId
from actors.ports import Append
from actors.runtime.clock import Threads
from actors.store.sqlite import SQLiteJournal

pytestmark = pytest.mark.slow

REGISTERED = 100_000
LIVE_MAX = 1_000
CLIENTS = 100
MESSAGES = 40
"""Of each client, to sessions drawn at random."""


async def register(store: Path) -> None:
    """Write the sessions, as a runtime would that had created them."""
    journal = SQLiteJournal(store, Threads())
    opened = await journal.open(takeover=False)
    chats = [ChatId(f"live:{number}") for number in range(REGISTERED)]
    for first in range(0, REGISTERED, 5_000):
        created = [
            Append(chat, 0, (Event(chat, 1, opened.epoch, 0.0, SessionCreated()),))
            for chat in chats[first : first + 5_000]
        ]
        await journal.commit(created)
    await journal.close()


async def echo(turn: Turn) -> str:
    """Answer with how many messages went before, and the text."""
    return f"{len(turn.history)} {turn.text}"


@pytest.mark.rule("P1", "P3", "promise_8")
async def test_a_thousand_of_a_hundred_thousand_sessions_are_in_memory_and_all_can_be_spoken_to(tmp_path: Path) -> None:
    """Every message has its turn in its session, in order, however often that session came and went."""
    store = tmp_path / "s.db"
    await register(store)
    told: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    residents: list[int] = []

    async def receive(session: Session, payload: object) -> None:
        told[session.chat_id] += 1

    limits = Limits(sessions_live_max=LIVE_MAX, residency_s=0.0)
    async with open_runtime(store, agent=agent(echo, receive=receive), limits=limits) as runtime:
        assert runtime.statistics().sessions_known == REGISTERED

        async def client(number: int) -> None:
            chance = random.Random(number)
            for message in range(MESSAGES):
                # A tenth of the messages go to few sessions, so that some are used again and again.
                chosen = chance.randrange(20) if chance.random() < 0.1 else chance.randrange(REGISTERED)
                chat_id = f"live:{chosen}"
                sent[chat_id] += 1
                await runtime.tell(chat_id, "volatile")
                result = await (await runtime.send(chat_id, f"{number}.{message}")).result()
                assert result.ok
                before, _, text = result.text.partition(" ")
                assert text == f"{number}.{message}"
                assert int(before) % 2 == 1, "whole turns before, and the message itself"

        async def watch() -> None:
            while True:
                residents.append(runtime.tree(sessions_max=1).sessions_total)
                await trio.sleep(0.05)

        with trio.fail_after(100.0):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
                async with trio.open_nursery() as clients:
                    for number in range(CLIENTS):
                        clients.start_soon(client, number)
                nursery.cancel_scope.cancel()
        await trio.sleep(1.0)
        statistics = runtime.statistics()
        assert statistics.closed
        assert statistics.turns == {"completed": CLIENTS * MESSAGES}
        assert statistics.dropped == {}
        assert told == sent
        assert statistics.passivations > CLIENTS * MESSAGES / 2
        assert runtime.tree(sessions_max=1).sessions_total <= LIVE_MAX
        assert max(residents) <= LIVE_MAX * 1.5
        for chat_id, count in sent.most_common(20):
            assert len((await runtime.history(chat_id)).messages) == 2 * count
