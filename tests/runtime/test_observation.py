"""What a runtime shows of itself is what it is: every count, every bound, and one session at a glance."""

import math
from collections.abc import Callable

import attrs
import pytest
import trio
from trio.testing import MockClock

from actors import Limits, OverloadedError, Runtime, Session, UnknownChatError, agent
from actors.runtime.alarms import Alarms
from actors.runtime.observation import Statistics, inspection, statistics
from actors.runtime.registry import Letters, Registry
from actors.testing import Call, Do, Raise, Say, ScriptedAgent, Wait, checked_runtime, settle
from tests.runtime.by_hand import CHAT, bench


async def nothing(session: Session, payload: object) -> None:
    """Handle a message by waiting a second."""
    await trio.sleep(1.0)


def test_a_session_that_never_lived_is_shown_as_idle() -> None:
    """Nothing is loaded for it."""

    async def look() -> None:
        made = bench()
        shown = inspection(made.ref, 7, trio.current_time())
        assert (shown.chat_id, shown.phase, shown.status, shown.epoch) == (CHAT, "absent", "idle", 7)
        assert (shown.running_turn, shown.running_attempt, shown.cancelling) == (None, None, False)
        numbers = [value for value in attrs.astuple(shown) if type(value) is int]
        assert sum(numbers) == 7, "all but the epoch are nothing"

    trio.run(look)


async def test_a_turn_that_runs_is_shown_with_what_it_waits_for(autojump_clock: MockClock) -> None:
    """Its number, its calls, and the messages behind it."""
    script = ScriptedAgent([Call("look", seconds=5.0)])
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        for text in ("one", "two", "three"):
            await runtime.send(CHAT, text)
        await trio.sleep(1.0)
        shown = runtime.inspect(CHAT)
        assert (shown.phase, shown.status, shown.epoch, shown.incarnation) == ("active", "waiting", runtime.epoch, 1)
        assert (shown.running_turn, shown.running_attempt, shown.open_calls, shown.open_prompts) == (1, 1, 1, 0)
        assert (shown.turns, shown.queued_turns, shown.cancelling) == (3, 2, False)
        assert runtime.statistics().turns_open == 3
        await settle(runtime)
        shown = runtime.inspect(CHAT)
        assert (shown.status, shown.running_turn, shown.open_calls, shown.queued_turns) == ("idle", None, 0, 0)


async def test_a_turn_that_is_being_cancelled_is_shown_as_such(autojump_clock: MockClock) -> None:
    """Until its agent has left."""

    async def stay(_: object) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(3.0)

    async with checked_runtime(ScriptedAgent([Do(stay)])) as runtime:
        await runtime.create(CHAT)
        receipt = await runtime.send(CHAT, "hello")
        await trio.sleep(1.0)
        assert not runtime.inspect(CHAT).cancelling
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receipt.cancel)
            await trio.sleep(1.0)
            assert runtime.inspect(CHAT).cancelling
        assert not runtime.inspect(CHAT).cancelling


async def test_a_box_is_shown_with_its_messages_and_who_waits_for_room(autojump_clock: MockClock) -> None:
    """In messages, bytes and senders; of one session, and of all together."""
    limits = Limits(mailbox_messages_max=2)
    async with checked_runtime(agent(ScriptedAgent(), receive=nothing), limits=limits) as runtime:
        await runtime.create(CHAT)
        async with trio.open_nursery() as nursery:
            await runtime.tell(CHAT, "handled now")
            await trio.sleep(0.5)
            for _ in range(4):
                nursery.start_soon(runtime.tell, CHAT, "x" * 100)
            await trio.sleep(0.1)
            shown = runtime.inspect(CHAT)
            assert (shown.mailbox_messages, shown.waiting_senders) == (2, 2)
            assert shown.mailbox_bytes >= 200
            assert runtime.statistics().mailbox_bytes >= shown.mailbox_bytes
            assert runtime.statistics().letters.queued == 2


async def test_subscribers_are_counted_while_they_are_there(autojump_clock: MockClock) -> None:
    """By session and in all."""
    async with checked_runtime() as runtime:
        await runtime.create(CHAT)
        async with runtime.subscribe(CHAT), runtime.subscribe(CHAT):
            await trio.sleep(0.1)
            assert runtime.inspect(CHAT).subscribers == 2
            assert runtime.statistics().subscribers == 2
        assert runtime.statistics().subscribers == 0


async def test_a_crash_is_shown_by_its_name(autojump_clock: MockClock) -> None:
    """With the number of restarts it took."""
    script = ScriptedAgent(scripts={(CHAT, 1): [Raise(ValueError("private"))]})
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        await (await runtime.send(CHAT, "hello")).result()
        await settle(runtime)
        shown = runtime.inspect(CHAT)
        assert (shown.last_error, shown.restarts, shown.incarnation) == ("ValueError", 1, 2)
        counted = runtime.statistics()
        assert (counted.crashes, counted.restarts, counted.quarantines) == (1, 1, 0)


async def test_the_totals_tell_what_has_happened(autojump_clock: MockClock) -> None:
    """Sent, refused, answered, written: each once."""
    script = ScriptedAgent([Say("a", 1), Call("look")])
    async with checked_runtime(script, limits=Limits(queue_turns_max=1)) as runtime:
        await runtime.create(CHAT)
        await runtime.create("live:b")
        await (await runtime.send(CHAT, "hello", message_id="key")).result()
        await runtime.send(CHAT, "hello", message_id="key")
        with pytest.raises(UnknownChatError):
            await runtime.send("live:nobody", "hello")
        shown = runtime.statistics()
        assert (shown.sent, shown.refused, shown.given_up, shown.duplicates) == (3, 1, 0, 1)
        assert shown.letters == Letters(admitted=2, executed=2)
        assert (shown.dropped, shown.dead_letters) == ({"unknown_chat": 1}, 1)
        assert (shown.turns, shown.turns_open, shown.tool_calls) == ({"completed": 1}, 0, 1)
        assert (shown.sessions_known, shown.stopping, shown.degraded) == (2, False, False)
        assert (shown.phases, shown.sessions_live) == ({"active": 1, "absent": 1}, 1)
        assert shown.closed
        assert shown.commit_entries >= shown.commit_groups > 0


@pytest.mark.rule("promise_8")
async def test_every_bound_is_shown_beside_the_counts(autojump_clock: MockClock) -> None:
    """An operator sees how far away a bound is."""
    limits = Limits(mailbox_messages_max=3, turn_s=math.pi)
    async with checked_runtime(limits=limits) as runtime:
        assert runtime.statistics().limits is limits


async def test_a_message_that_found_no_room_is_in_the_sums(autojump_clock: MockClock) -> None:
    """Refused at the door, or given up by a sender that would not wait any longer."""
    limits = Limits(mailbox_messages_max=1)
    async with checked_runtime(agent(ScriptedAgent([Wait(0.0)]), receive=nothing), limits=limits) as runtime:
        await runtime.create(CHAT)
        await runtime.tell(CHAT, 1)
        await trio.sleep(0.5)
        await runtime.tell(CHAT, 2)
        with pytest.raises(OverloadedError):
            runtime.tell_nowait(CHAT, 3)
        with trio.move_on_after(0.1):
            await runtime.tell(CHAT, 4)
        shown = runtime.statistics()
        assert (shown.sent, shown.refused, shown.given_up, shown.letters.admitted) == (4, 1, 1, 2)
        await settle(runtime)
        assert runtime.statistics().closed


@pytest.mark.rule("X3")
@pytest.mark.parametrize(
    ("spoil", "closed"),
    [
        (lambda shown: shown, True),
        (lambda shown: attrs.evolve(shown, sent=11), False),
        (lambda shown: attrs.evolve(shown, refused=2), False),
        (lambda shown: attrs.evolve(shown, given_up=3), False),
        (lambda shown: attrs.evolve(shown, letters=Letters(7, 3, 2, 1, 0)), False),
    ],
    ids=["right", "one too many sent", "refused", "given up", "a letter lost"],
)
async def test_a_sum_that_is_wrong_is_known_to_be_wrong(
    spoil: Callable[[Statistics], Statistics],
    closed: bool,  # noqa: FBT001 - what is expected
    autojump_clock: MockClock,
) -> None:
    """Otherwise the check after every test would prove nothing."""
    made = bench()
    registry = Registry(made.services.limits, (), ())
    empty = statistics(made.services, registry, sent=0, live=0, alarms=Alarms(made.services, registry))
    shown = attrs.evolve(empty, sent=10, refused=1, given_up=2, letters=Letters(7, 3, 2, 1, 1))
    assert spoil(shown).closed is closed


async def test_looking_at_a_runtime_changes_nothing(autojump_clock: MockClock) -> None:
    """What is shown is a copy, and two looks show the same."""

    async def look(runtime: Runtime) -> tuple[Statistics, object]:
        return runtime.statistics(), runtime.inspect(CHAT)

    async with checked_runtime() as runtime:
        await runtime.create(CHAT)
        first = await look(runtime)
        first[0].phases["active"] = 99
        first[0].dropped["nothing"] = 99
        first[0].letters.admitted = 99
        assert await look(runtime) != first
        assert await look(runtime) == await look(runtime)
