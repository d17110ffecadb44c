"""Children of a turn: sessions in lanes of their own, which work and fail like any other, and end with it."""

import itertools
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from actors.core.codec import encode_body
from actors.core.commands import OnInterrupted
from actors.core.events import TurnEnded
from actors.core.ids import ChatId, DropReason
from actors.core.limits import Limits
from actors.errors import (
    InvalidEnvelopeError,
    OverloadedError,
    TurnOverError,
    UnavailableError,
    UnknownChatError,
)
from actors.ports import Append
from actors.runtime.agent import Agent, Session, agent
from actors.runtime.sent import Child
from actors.runtime.turn import Turn
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import canonical, checked_runtime

CHAT = ChatId("live:42")
FIRST = ChatId("live:child:1.1.1:42")
SECOND = ChatId("live:child:1.1.2:42")
Answer = Callable[[Turn], Awaitable[str | None]]


class Troupe:
    """An agent that plays the parent it is given, and children that do what their text says."""

    def __init__(self, parent: Answer) -> None:
        """Play this parent."""
        self.parent = parent
        self.ended: list[str] = []
        self.asked: list[object] = []
        self.children: list[Turn] = []

    async def answer(self, turn: Turn) -> str | None:
        """Answer a turn."""
        if turn.parent is None:
            return await self.parent(turn)
        self.children.append(turn)
        try:
            await turn.write(f"{turn.parent.name} began.")
            if turn.text == "hang":
                await trio.sleep_forever()
            elif turn.text == "shield":
                with trio.CancelScope(shield=True):
                    await trio.sleep(60.0)
            elif turn.text == "crash":
                raise ValueError
            elif turn.text == "nest":
                await (await turn.spawn("hang", name="deeper")).result()
            elif turn.text == "down":
                await (await turn.spawn("down")).result()
            return f" Did {turn.text}."
        finally:
            self.ended.append(turn.chat_id)

    async def receive(self, session: Session, payload: object) -> object:
        """Say who is asked what."""
        self.asked.append((session.chat_id, payload, session.origin))
        return f"{session.chat_id} heard {payload}"

    @property
    def agent(self) -> Agent:
        """The agent as the runtime wants it."""
        return agent(self.answer, receive=self.receive)


async def ends_of(journal: MemoryJournal, chat_id: ChatId) -> list[tuple[int, str, str]]:
    """Read how the turns of a session ended."""
    bodies = [event.body for event in await journal.events(chat_id, 0, 1000)]
    return [(body.turn, str(body.status), body.reason) for body in bodies if isinstance(body, TurnEnded)]


async def idle(_: Turn) -> str | None:
    """Play a parent that does nothing."""
    return None


@pytest.mark.rule("promise_path_40", "promise_path_41")
async def test_a_turn_spawns_a_child_and_gets_its_result(autojump_clock: MockClock) -> None:
    """The child is a session of its own, answered by the same agent, which is told whose child it is."""

    async def parent(turn: Turn) -> str:
        child = await turn.spawn("look", name="scout")
        assert (child.name, child.chat_id, child.turn) == ("scout", FIRST, 1)
        return (await child.result()).text

    troupe, journal = Troupe(parent), MemoryJournal()
    async with checked_runtime(troupe.agent, store=journal) as runtime:
        await runtime.create(CHAT)
        result = await (await runtime.send(CHAT, "go")).result()
        assert result.text == "scout began. Did look."
        turn = troupe.children[0]
        assert turn.parent is not None
        assert (turn.parent.chat_id, turn.parent.turn, turn.parent.depth, turn.parent.name) == (CHAT, 1, 1, "scout")
        assert turn.sender == CHAT
        assert await runtime.sessions() == (CHAT, FIRST)
        assert await journal.children(CHAT, 10) == (FIRST,)
        messages = (await runtime.history(FIRST)).messages
        assert [message.text for message in messages] == ["look", "scout began. Did look."]
        assert runtime.statistics().spawned == 1


async def test_a_child_is_addressed_like_any_other_session(autojump_clock: MockClock) -> None:
    """While its parent's turn runs anybody may write to it, watch it, ask it, stop it."""
    go_on = trio.Event()

    async def parent(turn: Turn) -> None:
        await turn.spawn("look", name="scout")
        await go_on.wait()

    troupe = Troupe(parent)
    async with checked_runtime(troupe.agent) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "go")
        await trio.sleep(1.0)
        assert (await (await runtime.send(FIRST, "and this")).result()).text == "scout began. Did and this."
        assert await runtime.ask(FIRST, "well?") == f"{FIRST} heard well?"
        await runtime.stop(FIRST)
        assert (await (await runtime.send(FIRST, "again")).result()).ok
        inspection = runtime.inspect(FIRST)
        assert (inspection.parent, runtime.inspect(CHAT).children, runtime.statistics().children) == (CHAT, 1, 1)
        go_on.set()
        assert (await receipt.result()).ok


@pytest.mark.parametrize("how", ["return", "crash", "cancel", "stop", "delete", "deadline", "kill"])
async def test_a_child_ends_with_its_parents_turn_however_that_ends(how: str, autojump_clock: MockClock) -> None:
    """What runs in it is cancelled, what waits there never begins, and nothing is taken any more."""

    async def parent(turn: Turn) -> None:
        await trio.sleep(1.0)  # so that its own time is up before the child's is
        await turn.spawn("hang", name="scout")
        await trio.sleep(10.0 if how in {"return", "crash"} else 1000.0)
        if how == "crash":
            raise ValueError

    async def receive(_: Session, __: object) -> None:
        await trio.sleep_forever()

    troupe, journal = Troupe(parent), MemoryJournal()
    limits = Limits(turn_s=20.0, handler_s=20.0) if how == "deadline" else Limits(handler_s=20.0)
    async with checked_runtime(agent(troupe.answer, receive=receive), store=journal, limits=limits) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "go")
        await trio.sleep(5.0)
        behind = await runtime.send(FIRST, "behind")
        assert troupe.ended == []
        match how:
            case "cancel":
                await receipt.cancel()
            case "stop":
                await runtime.stop(CHAT)
            case "delete":
                await runtime.delete(CHAT)
            case "kill":
                await runtime.tell(CHAT, "a handler that never returns")
            case _:
                pass
        await trio.sleep(30.0)
        assert troupe.ended == [FIRST]
        assert runtime.statistics().children == 0
        if how == "delete":
            assert await runtime.sessions() == ()
            return
        assert sorted(await ends_of(journal, FIRST)) == [
            (1, "cancelled", "parent_ended"),
            (2, "cancelled", "parent_ended"),
        ]
        assert (await behind.result()).reason == "parent_ended"
        with pytest.raises(UnavailableError) as caught:
            await runtime.send(FIRST, "too late")
        assert caught.value.reason == DropReason.PARENT_ENDED
        said = [message.text for message in (await runtime.history(FIRST)).messages]
        assert said == ["hang", "scout began.", "behind"]


async def test_the_children_of_children_end_too(autojump_clock: MockClock) -> None:
    """Down the whole line, the deepest included."""

    async def parent(turn: Turn) -> None:
        await turn.spawn("nest", name="scout")
        await trio.sleep(5.0)

    troupe, journal = Troupe(parent), MemoryJournal()
    async with checked_runtime(troupe.agent, store=journal) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "go")).result()
        await trio.sleep(5.0)
        deepest = ChatId(f"live:child:1.1.1:{FIRST.removeprefix('live:')}")
        assert sorted(troupe.ended) == sorted([FIRST, deepest])
        for chat_id in (FIRST, deepest):
            assert await ends_of(journal, chat_id) == [(1, "cancelled", "parent_ended")]


async def test_a_child_that_does_not_let_go_is_given_up_like_any_turn(autojump_clock: MockClock) -> None:
    """Its parent has ended long before; after the grace its own turn ends without it."""

    async def parent(turn: Turn) -> None:
        await turn.spawn("shield")
        await trio.sleep(1.0)

    troupe, journal = Troupe(parent), MemoryJournal()
    async with checked_runtime(troupe.agent, store=journal) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "go")).result()).ok
        await trio.sleep(4.0)
        assert await ends_of(journal, FIRST) == []
        await trio.sleep(4.0)
        assert await ends_of(journal, FIRST) == [(1, "cancelled", "parent_ended")]
        assert runtime.statistics().abandoned == 1
        await trio.sleep(60.0)


@pytest.mark.parametrize("on_interrupted", ["mark", "retry"])
async def test_after_a_restart_no_child_of_an_earlier_life_runs(
    on_interrupted: OnInterrupted, autojump_clock: MockClock
) -> None:
    """What ran is marked as interrupted, what waited is cancelled; a parent that is tried again has new children."""
    store = MemoryStore()
    spawned: list[str] = []

    async def parent(turn: Turn) -> None:
        child = await turn.spawn("hang" if turn.attempt == 1 else "look", name="scout")
        spawned.append(child.chat_id)
        await child.result()

    troupe = Troupe(parent)
    made = agent(troupe.answer, on_interrupted=on_interrupted)
    with trio.CancelScope() as process:
        async with checked_runtime(made, store=MemoryJournal(store), open_turns=True) as runtime:
            await runtime.create(CHAT)
            await runtime.send(CHAT, "go")
            await trio.sleep(1.0)
            await runtime.send(FIRST, "behind")
            process.cancel()
            await trio.lowlevel.checkpoint()
    journal = MemoryJournal(store)
    async with checked_runtime(made, store=journal) as runtime:
        await trio.sleep(5.0)
        assert await ends_of(journal, FIRST) == [(1, "interrupted", "process_ended"), (2, "cancelled", "parent_ended")]
        with pytest.raises(UnavailableError):
            await runtime.send(FIRST, "too late")
        if on_interrupted == "mark":
            assert spawned == [FIRST]
        assert runtime.statistics().children == 0


@pytest.mark.parametrize("on_interrupted", ["mark", "retry"])
async def test_a_killed_process_leaves_no_child_running(
    on_interrupted: OnInterrupted, autojump_clock: MockClock
) -> None:
    """Cut off at any commit: whatever the disk holds, the next life settles parent and child, and both are at rest."""

    async def parent(turn: Turn) -> None:
        child = await turn.spawn("look", name="scout")
        await child.result()
        await turn.spawn("hang", name="second")

    whole = MemoryStore()
    async with checked_runtime(Troupe(parent).agent, store=MemoryJournal(whole)) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "go")).result()
        await trio.sleep(1.0)
    histories = {chat_id: chat.events for chat_id, chat in whole.chats.items()}
    assert list(histories) == [CHAT, FIRST, SECOND]
    lengths = [range(len(events) + 1) for events in histories.values()]
    for cut in itertools.product(*lengths):
        store = MemoryStore()
        journal = MemoryJournal(store)
        await journal.open(takeover=False)
        for length, (chat_id, events) in zip(cut, histories.items(), strict=True):
            if length:
                await journal.commit([Append(ChatId(chat_id), 0, tuple(events[:length]))])
        await journal.close()
        later = MemoryJournal(store)
        troupe = Troupe(idle)
        made = agent(troupe.answer, on_interrupted=on_interrupted)
        async with checked_runtime(made, store=later) as runtime:
            for chat_id in await runtime.sessions():
                if chat_id != CHAT:
                    with pytest.raises(UnavailableError):
                        await runtime.send(chat_id, "too late")
            await trio.sleep(1.0)
            assert runtime.statistics().turns_open == 0
            assert troupe.children == []


async def test_what_becomes_of_one_child_is_no_other_sessions_business(autojump_clock: MockClock) -> None:
    """A child that crashes, or is deleted, takes neither its parent nor its sibling with it."""

    async def parent(turn: Turn) -> str:
        crashing, going, well = [await turn.spawn(text) for text in ("crash", "hang", "look")]
        await runtime.delete(going.chat_id)
        with pytest.raises(UnknownChatError):
            await going.result()
        return f"{(await crashing.result()).reason} {(await well.result()).status}"

    async with checked_runtime(Troupe(parent).agent) as runtime:
        await runtime.create(CHAT)
        result = await (await runtime.send(CHAT, "go")).result()
        assert (result.status, result.text) == ("completed", "crashed completed")


async def test_the_children_of_one_session_touch_no_other(autojump_clock: MockClock) -> None:
    """What is stored of a bystander is what would be stored without them."""
    kept: list[bytes] = []
    for children in (0, 20):

        async def parent(turn: Turn, number: int = children) -> None:
            for _ in range(number):
                await turn.spawn("crash")
            await trio.sleep(1.0)

        journal = MemoryJournal()
        async with checked_runtime(Troupe(parent).agent, store=journal) as runtime:
            await runtime.create("live:bystander")
            await runtime.create(CHAT)
            receipt = await runtime.send(CHAT, "go")
            for number in range(5):
                await runtime.send("live:bystander", "hello", message_id=f"m{number}")
                await trio.sleep(0.1)
            await receipt.result()
            await trio.sleep(1.0)
            kept.append(await canonical(journal, "live:bystander"))
    assert kept[0] == kept[1]


async def test_children_are_deleted_with_their_parent(autojump_clock: MockClock) -> None:
    """All of them, and theirs, in memory or not; each leaves a tombstone, and nobody else's go."""

    async def parent(turn: Turn) -> None:
        await turn.spawn("nest")
        await turn.spawn("look")
        await trio.sleep(1.0)

    troupe, journal = Troupe(parent), MemoryJournal()
    async with checked_runtime(troupe.agent, store=journal, limits=Limits(page_rows_max=1)) as runtime:
        for chat_id in (CHAT, "live:43"):
            await runtime.create(chat_id)
            await (await runtime.send(chat_id, "go")).result()
        await trio.sleep(1.0)
        await runtime.delete(CHAT)
        left = list(journal.store.chats)
        assert sorted(left) == sorted(
            ["live:43", "live:child:1.1.1:43", "live:child:1.1.2:43", "live:child:1.1.1:child:1.1.1:43"]
        )
        assert len(journal.store.tombstones) == 4
        with pytest.raises(UnknownChatError):
            await runtime.send(FIRST, "hello")


async def test_a_turn_has_so_many_children_and_no_more(autojump_clock: MockClock) -> None:
    """The bound is the turn's own, and a refused child comes into being nowhere."""
    refusals: list[str] = []

    async def parent(turn: Turn) -> None:
        for _ in range(3):
            try:
                await turn.spawn("look")
            except OverloadedError as error:
                refusals.append(error.reason)
        await trio.sleep(1.0)

    async with checked_runtime(Troupe(parent).agent, limits=Limits(children_max=2)) as runtime:
        await runtime.create(CHAT)
        for _ in range(2):
            await (await runtime.send(CHAT, "go")).result()
        assert refusals == [DropReason.CHILDREN_FULL] * 2
        assert len(await runtime.sessions()) == 5


async def test_children_of_children_go_so_deep_and_no_deeper(autojump_clock: MockClock) -> None:
    """A child that has too many ancestors is refused to its parent, whose turn fails of it."""

    async def parent(turn: Turn) -> None:
        await (await turn.spawn("down")).result()

    async with checked_runtime(Troupe(parent).agent, limits=Limits(children_depth_max=3)) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "go")).result()
        assert len(await runtime.sessions()) == 4


@pytest.mark.parametrize(
    ("text", "name"), [("", ""), ("\ud800", ""), (7, ""), ("x", "a/b"), ("x", 7), ("x", "y" * 129)]
)
async def test_a_child_that_cannot_be_is_refused_before_it_comes_into_being(
    text: object, name: object, autojump_clock: MockClock
) -> None:
    """Nothing is created, counted or kept for it."""

    async def parent(turn: Turn) -> None:
        with pytest.raises(InvalidEnvelopeError):
            await turn.spawn(text, name=name)  # type: ignore[arg-type]  # as a host may give it
        assert turn.children == ()

    async with checked_runtime(Troupe(parent).agent) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "go")).result()).ok
        assert await runtime.sessions() == (CHAT,)


async def test_a_session_made_by_hand_is_never_taken_for_a_child(autojump_clock: MockClock) -> None:
    """A child gets an id that is free, and one that was deleted is not used again."""

    async def parent(turn: Turn) -> str:
        return (await turn.spawn("look")).chat_id

    async with checked_runtime(Troupe(parent).agent, limits=Limits(children_max=5)) as runtime:
        await runtime.create(CHAT)
        await runtime.create(FIRST)
        assert (await (await runtime.send(CHAT, "go")).result()).text == "live:child:1.1.7:42"
        assert (await (await runtime.send(FIRST, "hello")).result()).ok


async def test_a_turn_that_is_over_spawns_sends_and_asks_nothing(autojump_clock: MockClock) -> None:
    """An agent that was given up cannot reach out of its turn."""
    errors: list[type[BaseException]] = []

    async def parent(turn: Turn) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(20.0)
            for call in (turn.spawn("look"), turn.send_chat("live:43", "x"), turn.ask_chat("live:43", "x")):
                try:
                    await call
                except TurnOverError as error:
                    errors.append(type(error))

    async with checked_runtime(Troupe(parent).agent) as runtime:
        await runtime.create(CHAT)
        await runtime.create("live:43")
        receipt = await runtime.send(CHAT, "go")
        await trio.sleep(1.0)
        await receipt.cancel()
        await trio.sleep(30.0)
        assert errors == [TurnOverError] * 3
        assert await runtime.sessions() == (CHAT, "live:43")


async def test_a_child_can_be_cancelled_by_its_parent(autojump_clock: MockClock) -> None:
    """And what it had said is kept."""

    async def parent(turn: Turn) -> str:
        child: Child = await turn.spawn("hang", name="scout")
        await trio.sleep(1.0)
        result = await child.cancel()
        return f"{result.status}: {result.text}"

    async with checked_runtime(Troupe(parent).agent) as runtime:
        await runtime.create(CHAT)
        assert (await (await runtime.send(CHAT, "go")).result()).text == "cancelled: scout began."


async def test_what_is_stored_of_a_session_of_its_own_has_not_grown(autojump_clock: MockClock) -> None:
    """Only a child says whose it is."""

    async def parent(turn: Turn) -> None:
        await turn.spawn("look", name="scout")

    journal = MemoryJournal()
    async with checked_runtime(Troupe(parent).agent, store=journal) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "go")).result()
        firsts = [encode_body((await journal.events(chat_id, 0, 1))[0].body) for chat_id in (CHAT, FIRST)]
    assert firsts[0] == '{"kind":"session.created"}'
    assert firsts[1] == '{"kind":"session.created","parent":"live:42","parent_turn":1,"depth":1,"name":"scout"}'
