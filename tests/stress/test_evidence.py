"""A store is read by somebody who had no part in it, and what is not as it should be is named."""

from pathlib import Path

import apsw
import pytest

from actors.core.ids import ChatId
from actors.host import open_runtime
from actors.runtime.agent import agent
from actors.stress.agents import LoadAgent
from actors.stress.evidence import Found, read_store
from actors.stress.ledger import Ledger
from actors.stress.plan import Load, Role, key_of, message_of
from actors.stress.records import Sent, Took

A, B = ChatId("live:stress.00000"), ChatId("live:stress.00001")
LOAD = Load(sessions=2)
ROLES = {A: Role.HEALTHY, B: Role.CRASHING}


async def filled(path: Path, *, sabotage: str = "", told: int = 4) -> Found:
    """Have two sessions of four messages each, and read them; ``told`` of them were acknowledged to the ledger."""
    ledger = Ledger()
    performer = LoadAgent(LOAD, ROLES, sabotage)
    async with open_runtime(path, agent=agent(performer.answer)) as runtime:
        for chat_id in ROLES:
            await runtime.create(chat_id)
            for number in range(1, 5):
                text = message_of(LOAD, chat_id, number)
                await (await runtime.send(chat_id, text, message_id=key_of(number))).result()
                ledger.add(Sent(chat_id, number))
                if number <= told:
                    ledger.add(Took(chat_id, number))
    return await read_store(path, LOAD, ROLES, ledger)


async def test_a_store_that_is_as_it_should_be_is_read_whole(tmp_path: Path) -> None:
    """Every message of every session, and nothing to object to."""
    found = await filled(tmp_path / "stress.db")
    assert (found.touched, found.histories) == ([], [])
    assert {chat_id: stored.ended for chat_id, stored in found.stored.items()} == {A: {1, 2, 3, 4}, B: {1, 2, 3, 4}}
    assert not any(stored.open for stored in found.stored.values())


@pytest.mark.parametrize(
    ("sabotage", "told", "sentence"),
    [("corrupt", 4, "has ('assistant', 'text', 'what nobody wrote')"), ("", 3, "parts and should have")],
)
async def test_a_healthy_transcript_that_is_another_is_named(
    sabotage: str, told: int, sentence: str, tmp_path: Path
) -> None:
    """A word changed, or more than there should be; the faulty session is not judged."""
    found = await filled(tmp_path / "stress.db", sabotage=sabotage, told=told)
    assert len(found.touched) == 1
    assert found.touched[0].startswith(A)
    assert sentence in found.touched[0]


async def test_a_session_that_is_missing_and_a_history_that_cannot_be_are_named(tmp_path: Path) -> None:
    """As after a store that lost rows."""
    path = tmp_path / "stress.db"
    await filled(path)
    with apsw.Connection(str(path)) as db:
        db.execute("UPDATE event SET epoch = 9 WHERE seq = 2")
    missing = {ChatId("live:stress.00009"): Role.HEALTHY}
    found = await read_store(path, LOAD, missing, Ledger())
    assert found.touched == ["live:stress.00009 is not there"]
    assert any("written by epoch 1 after epoch 9" in sentence for sentence in found.histories)
