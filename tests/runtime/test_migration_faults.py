"""A migration in the middle of everything: at every step of others, they at every step of it, and with every fault."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ChatId,
    ConflictError,
    Event,
    MessageAccepted,
    RefusedError,
    Runtime,
    SessionMigrated,
    Turn,
    TurnEnded,
    agent,
)
from actors.core.ids import DropReason
from actors.runtime.agent import Agent
from actors.runtime.receipt import Receipt
from actors.store.memory import MemoryJournal
from actors.testing import (
    Ask,
    Cancels,
    Crashes,
    Fails,
    FaultyJournal,
    Hangs,
    Kills,
    LosesAnswer,
    Meets,
    Say,
    Scenario,
    ScriptedAgent,
    VirtualClock,
    canonical,
    checked_runtime,
    settle,
    sweep,
)
from tests.runtime.viewing import read_all, seqs_of

DRAFT, LIVE, NEIGHBOUR = ChatId("draft:a"), ChatId("live:a"), ChatId("live:neighbour")
KEYS = ["k0", "k1", "k2"]


async def answer(turn: Turn) -> None:
    """Agent: say something, in pieces that take their time."""
    for word in ("one ", "two ", turn.text):
        await turn.write(word)
        await trio.sleep(0.3)


def stubborn() -> Agent:
    """Make an agent whose turns are begun again after a crash."""
    return agent(answer, on_interrupted="retry", attempts_max=1000)


async def begin(runtime: Runtime) -> None:
    """Have a draft with a turn that runs and one that waits, beside a neighbour with a turn."""
    for chat_id in (DRAFT, NEIGHBOUR):
        await runtime.create(chat_id)
        for key in KEYS[:2]:
            await runtime.send(chat_id, key, message_id=key)


async def migrate_and_send(runtime: Runtime) -> None:
    """Migrate the draft while somebody sends to its old id and somebody watches it."""

    async def send() -> None:
        await runtime.send(DRAFT, "k2", message_id="k2")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        nursery.start_soon(runtime.migrate, DRAFT, LIVE)


async def repeat(runtime: Runtime) -> None:
    """Do it all again, and see that everything is there once, under the new id, and the neighbour as it would be."""
    assert await runtime.migrate(DRAFT, LIVE) == LIVE
    receipts = [await runtime.send(address, "k2", message_id="k2") for address in (DRAFT, LIVE)]
    assert receipts[0].turn == receipts[1].turn
    await settle(runtime)
    assert await runtime.sessions() == (LIVE, NEIGHBOUR)
    for chat_id, keys in ((LIVE, KEYS), (DRAFT, KEYS), (NEIGHBOUR, KEYS[:2])):
        messages = (await runtime.history(chat_id)).messages
        assert [message.message_id for message in messages if message.role == "user"] == keys
        answers = [message for message in messages if message.role == "assistant" and message.status == "completed"]
        assert [message.text for message in answers] == [f"one two {keys[message.turn - 1]}" for message in answers]
        assert len(answers) == len(keys) or (chat_id != NEIGHBOUR and runtime.statistics().crashes == 1)


@pytest.mark.parametrize("fault", [Cancels(), Kills(), Crashes(DRAFT), Crashes(LIVE)], ids=str)
async def test_pack_20_an_id_changes_with_a_fault_at_each_step_and_counts_are_conserved(
    fault: Cancels | Kills | Crashes, autojump_clock: MockClock
) -> None:
    """A caller that goes, a process that dies, a session that crashes: all of it has happened, or nothing."""
    scenario = Scenario(agent=stubborn, before=begin, act=migrate_and_send, after=repeat)
    assert await sweep(scenario, fault) > 5


async def test_pack_20_a_disk_that_fails_at_each_commit_loses_no_message_and_no_id(autojump_clock: MockClock) -> None:
    """Whether it does nothing, does it and does not say so, or hangs."""
    for fault in (Fails(), LosesAnswer(), Hangs()):
        for skip in range(6):
            journal = FaultyJournal(MemoryJournal())
            async with checked_runtime(stubborn(), store=journal, clock=VirtualClock(rolls=[0.5])) as runtime:
                await begin(runtime)
                await trio.sleep(0.1)
                journal.plan("commit", fault, skip=skip, times=2)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(migrate_and_send, runtime)
                    await trio.sleep(3.0)
                    journal.heal()
                await repeat(runtime)


async def see(runtime: Runtime) -> None:
    """Read a session by its old id from its first event to the end of its turns, and miss nothing."""
    seen: list[int] = []
    async with runtime.subscribe(DRAFT, after=0) as stream:
        async for item in stream:
            seen += seqs_of([item])
            if isinstance(item, Event) and isinstance(item.body, TurnEnded) and item.body.turn == 2:
                break
    assert seen == list(range(1, len(seen) + 1))


Act = Callable[[Runtime], Awaitable[object]]


def tolerant(act: Act, *reasons: DropReason) -> Act:
    """Do something that may be refused for these reasons."""

    async def do(runtime: Runtime) -> None:
        try:
            await act(runtime)
        except RefusedError as error:
            assert error.reason in reasons, error

    return do


OTHERS: dict[str, Act] = {
    "send": lambda runtime: runtime.send(DRAFT, "hello", message_id="late"),
    "send to the new id": tolerant(lambda runtime: runtime.send(LIVE, "hello"), DropReason.UNKNOWN_CHAT),
    "create the new id": lambda runtime: runtime.create(LIVE),
    "create the old id": lambda runtime: runtime.create(DRAFT),
    "migrate": tolerant(lambda runtime: runtime.migrate(DRAFT, LIVE), DropReason.CONFLICT),
    "migrate elsewhere": tolerant(lambda runtime: runtime.migrate(DRAFT, "live:elsewhere"), DropReason.CONFLICT),
    "delete": tolerant(lambda runtime: runtime.delete(DRAFT), DropReason.DELETED_CHAT),
    "stop": lambda runtime: runtime.stop(DRAFT),
    "watch": see,
    "read": lambda runtime: runtime.history(DRAFT),
}
"""What others do to a draft at the same time."""

_IN_THE_WAY = (DropReason.CONFLICT, DropReason.DELETED_CHAT, DropReason.STOPPING, DropReason.UNKNOWN_CHAT)


@pytest.mark.parametrize("other", OTHERS)
async def test_promise_path_34_whatever_meets_a_migration_each_id_leads_to_at_most_one_session(
    other: str, autojump_clock: MockClock
) -> None:
    """What others do begins at every step of the migration, and it at every step of what they do."""
    kept: list[bytes] = []

    async def after(runtime: Runtime) -> None:
        with suppress(RefusedError):
            async with runtime.subscribe(DRAFT):  # so that it goes on if it was stopped
                pass
        await settle(runtime)
        await check_ids(runtime)
        journal = runtime._services.journal  # noqa: SLF001 - what is stored is judged
        assert isinstance(journal, MemoryJournal)
        kept.append(await canonical(journal, NEIGHBOUR))

    migrate = tolerant(lambda runtime: runtime.migrate(DRAFT, LIVE), *_IN_THE_WAY)
    for act, meets in ((migrate, OTHERS[other]), (OTHERS[other], migrate)):
        scenario = Scenario(agent=lambda: answer, before=begin, act=act, after=after)
        assert await sweep(scenario, Meets(tolerant(meets, *_IN_THE_WAY)), every=7 if other == "watch" else 1) > 0
    assert len(set(kept)) == 1, "the neighbour holds what it would have held"


async def check_ids(runtime: Runtime) -> None:
    """See that every id is that of a session, leads to one, was buried, or is free, and that no event is in two."""
    registry = runtime._registry  # noqa: SLF001 - the directory is what is judged
    journal = runtime._services.journal  # noqa: SLF001 - as above
    assert isinstance(journal, MemoryJournal)
    store = journal.store
    assert registry.known == set(store.chats)
    assert registry.deleted == set(store.tombstones)
    assert registry.aliases == store.aliases
    groups = [set(store.chats), set(store.tombstones), set(store.aliases)]
    assert max(Counter(chat_id for group in groups for chat_id in group).values(), default=1) == 1
    assert set(store.aliases.values()) <= set(store.chats)
    assert set(registry.refs) <= registry.known
    for chat_id, chat in store.chats.items():
        assert {event.chat_id for event in chat.events} == {chat_id}
        assert [event.seq for event in chat.events] == list(range(1, len(chat.events) + 1))
        moves = [event.body.old_id for event in chat.events if isinstance(event.body, SessionMigrated)]
        assert moves == [alias for alias, leads_to in store.aliases.items() if leads_to == chat_id]


class Crowd:
    """People who do everything to three drafts and three ids at once, chosen by chance."""

    def __init__(self, runtime: Runtime, seed: int) -> None:
        """Draw from a seed."""
        self._runtime = runtime
        self._chance = random.Random(seed)
        self._sent = 0
        self.receipts: list[Receipt] = []
        self.viewed: list[list[int]] = []

    async def person(self, steps: int) -> None:
        """Do one thing after another; a refusal is an answer like any other."""
        for _ in range(steps):
            await trio.sleep(self._chance.choice((0, 0, 0.01, 0.5)))
            with suppress(RefusedError):
                await self._step()

    async def _step(self) -> None:
        """Do one thing."""
        number = self._chance.randrange(3)
        draft, live = f"draft:{number}", f"live:{number}"
        address = self._chance.choice((draft, draft, live))
        match self._chance.randrange(12):
            case 0 | 1:
                await self._runtime.create(self._chance.choice((draft, draft, draft, live)))
            case 2 | 3 | 4 | 5:
                self._sent += 1
                self.receipts.append(await self._runtime.send(address, "hello", message_id=f"key-{self._sent}"))
            case 6 | 7:
                await self._runtime.migrate(draft, live if self._chance.random() < 0.8 else "live:0")
            case 8:
                await self._watch(address)
            case 9 | 10:
                await self._answer(address)
            case _:
                if self._chance.random() < 0.3:
                    await self._runtime.delete(address)

    async def _watch(self, address: str) -> None:
        """Watch for a while, and keep what was numbered."""
        seen: list[int] = []
        with trio.move_on_after(1.0):
            async with self._runtime.subscribe(address) as stream:
                async for item in stream:
                    seen += seqs_of([item])
        self.viewed.append(seen)

    async def _answer(self, address: str) -> None:
        """Answer the question of the turn that runs."""
        turn = self._runtime.inspect(address).running_turn
        if turn is not None:
            await self._runtime.answer(address, f"{address}/{turn}/0", "yes")


@pytest.mark.parametrize("seed", range(40))
async def test_promise_path_34_any_interleaving_keeps_every_message_in_exactly_one_session(
    seed: int, autojump_clock: MockClock
) -> None:
    """Sends, migrations, viewers, answers, deletions and creations at random; then everything is counted."""
    journal = MemoryJournal()
    script = ScriptedAgent([Say("words", pieces=3, every_s=0.05), Ask("go on?"), Say("end")])
    async with checked_runtime(script, store=journal, open_turns=True, clock=VirtualClock(seed)) as runtime:
        crowd = Crowd(runtime, seed)
        over = trio.Event()

        async def look() -> None:
            while not over.is_set():
                await check_ids_now(runtime)
                await trio.sleep(0.003)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            async with trio.open_nursery() as people:
                for _ in range(4):
                    people.start_soon(crowd.person, 25)
            over.set()
        await settle(runtime, open_turns=True)
        await check_ids(runtime)
        for seen in crowd.viewed:
            assert seen == list(range(seen[0], seen[0] + len(seen))) if seen else True
        await check_receipts(runtime, journal, crowd.receipts)
        for chat_id in await runtime.sessions():
            await runtime.stop(chat_id)


async def check_ids_now(runtime: Runtime) -> None:
    """See at one moment, also in the middle of things, that no id stands for two things in the directory."""
    registry = runtime._registry  # noqa: SLF001 - the directory is what is judged
    assert not set(registry.aliases) & registry.known
    assert not set(registry.aliases) & registry.deleted
    assert set(registry.aliases.values()) <= registry.known
    for chat_id, ref in registry.refs.items():
        assert ref.chat_id == chat_id
        assert ref.state is None or ref.state.chat_id == chat_id
    for chat_id, box in registry.boxes.items():
        assert registry.refs[chat_id].mailbox is box


async def check_receipts(runtime: Runtime, journal: MemoryJournal, receipts: list[Receipt]) -> None:
    """See that what was acknowledged is in the one session that its address leads to, unless that was deleted."""
    keys = Counter(
        (event.body.message_id, event.body.turn)
        for chat in journal.store.chats.values()
        for event in chat.events
        if isinstance(event.body, MessageAccepted)
    )
    assert set(keys.values()) <= {1}
    for receipt in receipts:
        address = runtime._registry.resolve(receipt.chat_id)  # noqa: SLF001 - as above
        if address in journal.store.chats:
            assert keys[receipt.message_id, receipt.turn] == 1
            found = await journal.find(address, receipt.message_id)
            assert found is not None
            assert (found.turn, found.seq) == (receipt.turn, receipt.seq)
        else:
            assert address in journal.store.tombstones


async def test_promise_3_a_migration_leaves_the_bytes_of_all_others_as_they_would_have_been(
    autojump_clock: MockClock,
) -> None:
    """Two sessions stream while a third is migrated, deleted, and another one refused."""
    stored = []
    for migrating in (False, True):
        journal = MemoryJournal()
        async with checked_runtime(answer, store=journal) as runtime:
            receipts = []
            for chat_id in (DRAFT, "live:b", "live:c"):
                receipts.append(await runtime.send(await runtime.create(chat_id), "hello", message_id="key"))
            await trio.sleep(0.4)
            if migrating:
                with pytest.raises(ConflictError):
                    await runtime.migrate(DRAFT, "live:b")
                await runtime.migrate(DRAFT, LIVE)
                await trio.sleep(0.1)
                await runtime.delete(DRAFT)
            for receipt in receipts[1:]:
                assert (await receipt.result()).text == "one two hello"
            async with runtime.subscribe("live:c", after=0, until=receipts[2]) as stream:
                assert seqs_of(await read_all(stream))[0] == 1
            await settle(runtime)
            stored.append([await canonical(journal, chat_id) for chat_id in ("live:b", "live:c")])
    assert stored[0] == stored[1]
