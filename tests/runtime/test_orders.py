"""A busy hour of everything at once, under many orders of tasks: each is drawn from a seed, and a seed repeats it."""

import random
from contextlib import suppress
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock

from actors import AskError, Limits, RefusedError, Runtime, Session, StoreError, agent
from actors.store.memory import MemoryJournal
from actors.testing import (
    Call,
    Delays,
    Fails,
    FaultyJournal,
    Flood,
    Hang,
    IgnoreCancel,
    LosesAnswer,
    Raise,
    SaveState,
    Say,
    Script,
    ScriptedAgent,
    Shield,
    Think,
    VirtualClock,
    check_history,
    checked_runtime,
    crash_now,
    each_schedule,
    histories,
    records_of,
)

SESSIONS = 6
ACTS = 12
TOLD = (RefusedError, AskError, StoreError)

SCRIPTS: tuple[Script, ...] = (
    [Say("word by word", pieces=4, every_s=0.01)],
    [Think("hm"), Call("tool", seconds=0.02), SaveState({"n": 1}), Say("done")],
    [Say("half"), Raise(ValueError)],
    [Say("half"), Hang()],
    [IgnoreCancel(0.1, "late")],
    [Shield(0.05), Say("ok")],
    [Flood(500)],
    [Call("open", result=None)],
)


async def receive(session: Session, payload: object) -> object:
    """Answer, slowly or never well."""
    await trio.sleep(0.005)
    if payload == "raise":
        raise ValueError
    return payload


class Day:
    """What everybody does, drawn from a seed; each session has draws of its own."""

    def __init__(self, seed: int) -> None:
        """Draw the scripts of all turns."""
        chance = random.Random(seed)
        self.seed = seed
        self.script = ScriptedAgent([Say("ok")])
        for number in range(SESSIONS):
            for turn in range(1, ACTS + 1):
                self.script.scripts[f"live:{number}", turn] = chance.choice(SCRIPTS)

    async def live(self, runtime: Runtime, number: int) -> None:
        """Do a number of things with a session, one after another, some of them at once."""
        chance = random.Random(self.seed * 1000 + number)
        chat_id = await runtime.create(f"live:{number}")
        async with trio.open_nursery() as nursery:
            for act in range(ACTS):
                nursery.start_soon(self.act, runtime, chat_id, chance.randrange(8), f"m{act}")
                await trio.sleep(chance.random() * 0.03)

    async def act(self, runtime: Runtime, chat_id: str, what: int, key: str) -> None:
        """Do one thing."""
        with suppress(*TOLD), trio.move_on_after(2.0):
            match what:
                case 0 | 1 | 2:
                    receipt = await runtime.send(chat_id, "hello", message_id=key)
                    with trio.move_on_after(0.2):
                        await receipt.result()
                        return
                    await receipt.cancel()
                case 3:
                    await runtime.ask(chat_id, "raise" if key == "m3" else key)
                case 4:
                    seen = 0
                    async with runtime.subscribe(chat_id, after=0) as stream:
                        async for item in stream:
                            seq = getattr(item, "seq", seen)
                            assert seq in {seen, seen + 1}
                            seen = seq
                case 5:
                    await runtime.stop(chat_id)
                case 6:
                    crash_now(runtime, chat_id)
                case _:
                    await runtime.passivate(chat_id)


async def spend(seed: int) -> bytes:
    """Spend the day of a seed on a journal that is not always well; return the whole log."""
    day, log = Day(seed), BytesIO()
    chance = random.Random(seed)
    journal = FaultyJournal(MemoryJournal())
    for _ in range(6):
        fault = chance.choice((Fails(), LosesAnswer(), Delays(0.05)))
        journal.plan("commit", fault, skip=chance.randrange(60), times=1)
    limits = Limits(mailbox_messages_max=4, cancel_grace_s=0.05, backoff_first_s=0.01, restarts_max=50, turn_s=5.0)
    performing = agent(day.script, receive=receive)
    async with checked_runtime(performing, store=journal, limits=limits, clock=VirtualClock(seed), log=log) as runtime:
        async with trio.open_nursery() as nursery:
            for number in range(SESSIONS):
                nursery.start_soon(day.live, runtime, number)
        with suppress(*TOLD):
            await runtime.delete("live:0")
        journal.heal()
        for number in range(1, SESSIONS):  # what waits goes on, and ends
            receipt = await runtime.send(f"live:{number}", "last")
            await receipt.result()
        wrong = [line for events in (await histories(journal.inner)).values() for line in check_history(events)]
        assert not wrong, "\n".join(wrong)
    return log.getvalue()


@pytest.mark.rule("V3", "V5", "M4", "J4", "X3")
async def test_whatever_the_order_of_tasks_everything_comes_to_its_end(autojump_clock: MockClock) -> None:
    """Twenty days, each under its own order: histories can have come about, sums close, nothing is left."""
    await each_schedule(spend, range(20))


@pytest.mark.slow
@pytest.mark.rule("V3", "V5")
async def test_many_more_orders_come_to_their_ends_too(autojump_clock: MockClock) -> None:
    """Two hundred that are not among those."""
    await each_schedule(spend, range(1000, 1200))


@pytest.mark.rule("V3", "promise_9")
def test_a_day_is_repeated_by_its_seed_to_the_last_record() -> None:
    """In one process, whatever ran before; another seed is another day."""
    logs: list[bytes] = []

    async def keep(seed: int) -> None:
        logs.append(await spend(seed))

    for seed in (3, 4, 3):
        trio.run(each_schedule, keep, (seed,), clock=MockClock(autojump_threshold=0))
    assert logs[0] == logs[2] != logs[1]
    assert len(records_of(BytesIO(logs[0]))) > 100
