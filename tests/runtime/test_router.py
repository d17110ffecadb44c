"""An envelope reaches the session it names or is dropped for one reason: counted, logged, kept and told, once each."""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from io import BytesIO

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import (
    ActorsError,
    ConfigurationError,
    DropReason,
    InvalidEnvelopeError,
    Limits,
    OverloadedError,
    RefusedError,
    Runtime,
    Session,
    UnavailableError,
    UnknownChatError,
    agent,
)
from actors.store.memory import MemoryJournal, MemoryStore
from actors.testing import Hang, Raise, ScriptedAgent, VirtualClock, Wait, checked_runtime, records_of
from tests.runtime.by_hand import shut_down

Act = Callable[[Runtime], Awaitable[object]]

BAD_IDS: list[tuple[object, DropReason]] = [
    (None, DropReason.MISSING_ID),
    ("", DropReason.MISSING_ID),
    (" ", DropReason.MISSING_ID),
    ("\t\n", DropReason.MISSING_ID),
    (0, DropReason.WRONG_TYPE),
    ([], DropReason.WRONG_TYPE),
    ({}, DropReason.WRONG_TYPE),
    (b"live:a", DropReason.WRONG_TYPE),
    (object(), DropReason.WRONG_TYPE),
    (type("Lie", (str,), {})("live:a"), DropReason.WRONG_TYPE),
    ("a", DropReason.MALFORMED_ID),
    ("live:", DropReason.MALFORMED_ID),
    ("dead:a", DropReason.MALFORMED_ID),
    ("../x", DropReason.MALFORMED_ID),
    ("live:..", DropReason.MALFORMED_ID),
    ("live:a/b", DropReason.MALFORMED_ID),
    ("live:a\x00", DropReason.MALFORMED_ID),
    ("live:a\n", DropReason.MALFORMED_ID),
    ("live:" + "a" * 252, DropReason.MALFORMED_ID),
    ("live:\u0430", DropReason.MALFORMED_ID),
    ("live:\ud800", DropReason.MALFORMED_ID),
    ("live:nobody", DropReason.UNKNOWN_CHAT),
    ("live:A", DropReason.UNKNOWN_CHAT),
    ("replay:a", DropReason.UNKNOWN_CHAT),
    ("live:gone", DropReason.DELETED_CHAT),
]
"""Addresses that lead nowhere, beside the sessions ``live:a`` and (deleted) ``live:gone``."""


def shown(value: object) -> str:
    """Name a parameter of a test so that it has the same name in every process."""
    return ascii(value)[:40] if type(value) in {str, bytes, int} else type(value).__name__


BAD_TEXTS: list[object] = [None, "", 7, b"bytes", ["text"], "\ud800", "x" * 1001, "\u00e4" * 501]
BAD_KEYS: list[object] = ["", "a/b", 7, b"key", "x" * 129, "\u00e9", " "]
BAD_PAYLOADS: list[object] = [object(), {1, 2, object()}, "x" * 1001, b"x" * 1001, ["x" * 1001], "\ud800", {"a": 1j}]


async def echo(session: Session, payload: object) -> object:
    """Answer with the payload."""
    return payload


async def expect_drop(runtime: Runtime, reason: DropReason, error: type[RefusedError], act: Act) -> None:
    """See one envelope dropped: told at once by its type, counted once, kept once, and nothing brought into being."""
    before, began_s = runtime.statistics(), trio.current_time()
    with pytest.raises(error) as caught:
        await act(runtime)
    after = runtime.statistics()
    assert caught.value.reason == reason
    assert trio.current_time() == began_s, "the sender is told at once"
    assert dict(after.dropped) == {**before.dropped, reason: before.dropped.get(reason, 0) + 1}
    assert after.dead_letters == before.dead_letters + 1
    assert runtime.dead_letters()[-1].reason == reason
    assert after.sessions_known == before.sessions_known
    assert after.closed


def drops_in(log: BytesIO) -> list[str]:
    """List the reasons of the drops that were logged."""
    return [record["reason"] for record in records_of(log) if record["event"] == "envelope.dropped"]


@pytest.mark.rule("promise_2", "promise_path_3", "D3", "pack_7")
@pytest.mark.parametrize(("chat_id", "reason"), BAD_IDS, ids=shown)
@pytest.mark.parametrize("way", ["send", "tell", "tell_nowait", "ask"])
async def test_an_address_that_leads_nowhere_is_dropped_whatever_is_sent_to_it(
    chat_id: object, reason: DropReason, way: str, autojump_clock: MockClock
) -> None:
    """Every kind of envelope and every bad address: one typed error, one count, one dead letter, one record."""
    known = {DropReason.UNKNOWN_CHAT, DropReason.DELETED_CHAT}
    error = UnknownChatError if reason in known else InvalidEnvelopeError
    log = BytesIO()

    async def act(runtime: Runtime) -> None:
        if way == "tell_nowait":
            runtime.tell_nowait(chat_id, "hello")
        else:
            await getattr(runtime, way)(chat_id, "hello")

    async with checked_runtime(agent(ScriptedAgent(), receive=echo), log=log) as runtime:
        await runtime.create("live:a")
        await runtime.delete(await runtime.create("live:gone"))
        await expect_drop(runtime, reason, error, act)
        assert runtime.statistics().sessions_live == 0, "nothing was brought up by it"
    assert drops_in(log) == [reason]


@pytest.mark.parametrize("way", ["subscribe", "history", "stop", "delete", "inspect", "release", "answer"])
@pytest.mark.parametrize(("chat_id", "reason"), BAD_IDS, ids=shown)
async def test_no_other_call_takes_a_bad_address_either(
    chat_id: object, reason: DropReason, way: str, autojump_clock: MockClock
) -> None:
    """What is asked of a session that is not there is refused with the same reasons, and brings nothing up."""
    async with checked_runtime() as runtime:
        await runtime.create("live:a")
        await runtime.delete(await runtime.create("live:gone"))
        with pytest.raises(RefusedError) as caught:
            match way:
                case "subscribe":
                    async with runtime.subscribe(chat_id):
                        pass
                case "inspect" | "release":
                    getattr(runtime, way)(chat_id)
                case "answer":
                    await runtime.answer(chat_id, f"{chat_id}/1/0", "yes")
                case _:
                    await getattr(runtime, way)(chat_id)
        assert caught.value.reason == reason
        assert runtime.statistics().sessions_known == 1
        assert runtime.statistics().sessions_live == 0


@pytest.mark.parametrize("text", BAD_TEXTS, ids=shown)
async def test_a_text_that_cannot_be_stored_is_refused_before_anything_is_touched(
    text: object, autojump_clock: MockClock
) -> None:
    """The session is not even brought up, and no map grows by it."""
    log = BytesIO()
    store = MemoryStore()
    async with checked_runtime(store=MemoryJournal(store)) as runtime:
        await runtime.create("live:a")
    async with checked_runtime(store=MemoryJournal(store), limits=Limits(message_bytes_max=1000), log=log) as runtime:
        await expect_drop(runtime, DropReason.INVALID_PAYLOAD, InvalidEnvelopeError, lambda it: it.send("live:a", text))
        assert not runtime.statistics().phases, "no ref was made for it"
    assert drops_in(log) == [DropReason.INVALID_PAYLOAD]


@pytest.mark.parametrize("key", BAD_KEYS, ids=shown)
async def test_a_key_that_does_not_fit_its_grammar_is_refused(key: object, autojump_clock: MockClock) -> None:
    """A message id may be left out, but not be wrong."""
    async with checked_runtime() as runtime:
        await runtime.create("live:a")
        await expect_drop(
            runtime,
            DropReason.INVALID_PAYLOAD,
            InvalidEnvelopeError,
            lambda it: it.send("live:a", "hello", message_id=key),
        )


@pytest.mark.parametrize("payload", BAD_PAYLOADS, ids=lambda it: type(it).__name__)
@pytest.mark.parametrize("way", ["tell", "ask"])
async def test_a_payload_that_json_cannot_hold_is_refused(payload: object, way: str, autojump_clock: MockClock) -> None:
    """Volatile messages are copied at the border, so what cannot be copied is not taken."""
    limits = Limits(message_bytes_max=1000)
    async with checked_runtime(agent(ScriptedAgent(), receive=echo), limits=limits) as runtime:
        await runtime.create("live:a")
        await expect_drop(
            runtime,
            DropReason.INVALID_PAYLOAD,
            InvalidEnvelopeError,
            lambda it: getattr(it, way)("live:a", payload),
        )


@pytest.mark.parametrize(
    ("sender", "deadline_s"), [("\ud800", None), (7, None), ("x" * 2000, None), ("", "soon"), ("", math.nan)]
)
async def test_no_other_field_of_a_message_can_break_the_journal(
    sender: object, deadline_s: object, autojump_clock: MockClock
) -> None:
    """A sender with a lone surrogate would be refused by the disk again and again, and hold up everybody's writes."""
    async with checked_runtime(limits=Limits(message_bytes_max=1000)) as runtime:
        await runtime.create("live:a")
        await expect_drop(
            runtime,
            DropReason.INVALID_PAYLOAD,
            InvalidEnvelopeError,
            lambda it: it.send("live:a", "hello", sender=sender, deadline_s=deadline_s),  # type: ignore[arg-type]
        )
        result = await (await runtime.send("live:a", "hello", sender="somebody", deadline_s=None)).result()
        assert result.ok


@pytest.mark.rule("D1")
async def test_a_payload_is_copied_so_that_its_sender_can_change_nothing_any_more(autojump_clock: MockClock) -> None:
    """What the handler sees is what was sent, not what became of it."""
    seen: list[object] = []

    async def keep(session: Session, payload: object) -> None:
        seen.append(payload)

    async with checked_runtime(agent(ScriptedAgent(), receive=keep)) as runtime:
        await runtime.create("live:a")
        payload = {"numbers": [1, 2]}
        await runtime.tell("live:a", payload)
        payload["numbers"].append(3)
    assert seen == [{"numbers": [1, 2]}]


@pytest.mark.rule("pitfall_30")
async def test_an_envelope_for_an_earlier_incarnation_is_dropped_as_stale(autojump_clock: MockClock) -> None:
    """Who means one life of a session does not reach the next."""
    async with checked_runtime(clock=VirtualClock(rolls=[0.0])) as runtime:
        await runtime.create("live:a")
        first = await runtime.send("live:a", "hello", incarnation=0)
        await first.result()
        incarnation = runtime.inspect("live:a").incarnation
        await (await runtime.send("live:a", "hello", incarnation=incarnation)).result()
        await expect_drop(
            runtime,
            DropReason.STALE_INCARNATION,
            UnavailableError,
            lambda it: it.send("live:a", "hello", incarnation=incarnation + 1),
        )


async def test_an_envelope_past_its_deadline_is_dropped_as_expired(autojump_clock: MockClock) -> None:
    """It is dropped at the border, in the mailbox and in the queue: wherever its time runs out."""
    clock = VirtualClock()
    busy = ScriptedAgent(default=[Wait(10.0)])
    async with checked_runtime(agent(busy, receive=echo), clock=clock) as runtime:
        await runtime.create("live:a")
        await expect_drop(
            runtime,
            DropReason.EXPIRED,
            UnavailableError,
            lambda it: it.send("live:a", "hello", deadline_s=clock.wall_s()),
        )
        await expect_drop(
            runtime,
            DropReason.EXPIRED,
            UnavailableError,
            lambda it: it.tell("live:a", "hello", deadline_s=trio.current_time() - 1.0),
        )
        first = await runtime.send("live:a", "first")
        second = await runtime.send("live:a", "second", deadline_s=clock.wall_s() + 5.0)
        assert (await first.result()).ok
        assert (await second.result()).status == "expired"
    assert [run[1] for run in busy.runs] == [1], "what expired was never begun"


@pytest.mark.rule("promise_path_7")
async def test_a_message_that_finds_a_turn_running_is_busy_under_the_policy_reject(autojump_clock: MockClock) -> None:
    """The one that runs is not disturbed by it."""
    log = BytesIO()
    async with checked_runtime(agent(ScriptedAgent([Wait(1.0)]), overlap="reject"), log=log) as runtime:
        await runtime.create("live:a")
        first = await runtime.send("live:a", "first")
        await expect_drop(runtime, DropReason.BUSY, OverloadedError, lambda it: it.send("live:a", "second"))
        assert (await first.result()).ok
        assert (await (await runtime.send("live:a", "third")).result()).turn == 2
    assert drops_in(log) == [DropReason.BUSY]


async def test_a_message_beyond_the_queue_of_its_session_is_refused(autojump_clock: MockClock) -> None:
    """The queue of accepted messages is bounded, and a place in it is free again when a turn begins."""
    limits = Limits(queue_turns_max=2)
    async with checked_runtime(ScriptedAgent([Wait(1.0)]), limits=limits) as runtime:
        await runtime.create("live:a")
        receipts = [await runtime.send("live:a", f"message {number}") for number in range(3)]
        await expect_drop(runtime, DropReason.QUEUE_FULL, OverloadedError, lambda it: it.send("live:a", "more"))
        await receipts[0].result()
        receipts.append(await runtime.send("live:a", "again"))
        assert [(await receipt.result()).turn for receipt in receipts] == [1, 2, 3, 4]


async def test_a_message_to_a_quarantined_session_is_refused_until_it_is_released(autojump_clock: MockClock) -> None:
    """Nothing waits where nothing runs."""
    log = BytesIO()
    broken = ScriptedAgent(scripts={("live:a", 1): [Raise(ValueError)]})
    async with checked_runtime(agent(broken, receive=echo), limits=Limits(restarts_max=0), log=log) as runtime:
        await runtime.create("live:a")
        await (await runtime.send("live:a", "first")).result()
        await trio.sleep(0.1)
        for way in (runtime.send, runtime.tell, runtime.ask):
            await expect_drop(
                runtime,
                DropReason.QUARANTINED,
                UnavailableError,
                lambda _, way=way: way("live:a", "more"),  # type: ignore[misc]  # one kind of call for all three
            )
        runtime.release("live:a")
        assert (await (await runtime.send("live:a", "again")).result()).ok
    assert drops_in(log) == [DropReason.QUARANTINED] * 3


async def test_a_message_to_a_runtime_that_is_stopping_is_refused(autojump_clock: MockClock) -> None:
    """During the drain, after it, and to sessions that were never up."""
    async with checked_runtime(agent(ScriptedAgent([Wait(1.0)]), receive=echo), open_turns=True) as runtime:
        await runtime.create("live:a")
        await runtime.create("live:b")
        await runtime.send("live:a", "first")

        async def late() -> None:
            await trio.sleep(0.5)
            for chat_id in ("live:a", "live:b"):
                for way in (runtime.send, runtime.tell, runtime.ask):
                    await expect_drop(
                        runtime,
                        DropReason.STOPPING,
                        UnavailableError,
                        lambda _, way=way, chat_id=chat_id: way(chat_id, "late"),  # type: ignore[misc]
                    )

        async with trio.open_nursery() as nursery:
            nursery.start_soon(late)
            await shut_down(runtime, 5.0)
    for way in (runtime.send, runtime.tell, runtime.ask):
        await expect_drop(
            runtime,
            DropReason.STOPPING,
            UnavailableError,
            lambda _, way=way: way("live:a", "too late"),  # type: ignore[misc]  # as above
        )


async def test_a_message_that_finds_no_room_is_refused_or_waits_as_its_sender_says(
    autojump_clock: MockClock,
) -> None:
    """Full in messages, full in bytes, and full in the memory of all sessions together."""
    log = BytesIO()

    async def stuck(session: Session, payload: object) -> None:
        await trio.sleep(5.0)

    limits = Limits(mailbox_messages_max=2, mailbox_bytes_max=700_000, memory_bytes_max=1_048_576)
    async with checked_runtime(agent(ScriptedAgent(), receive=stuck), limits=limits, log=log) as runtime:
        for chat_id in ("live:a", "live:b", "live:c"):
            await runtime.create(chat_id)
            await runtime.tell(chat_id, "keeps the handler busy")
        await wait_all_tasks_blocked()
        for _ in range(2):
            await runtime.tell("live:a", "small")

        def reject(chat_id: str) -> Act:
            return lambda it: it.send(chat_id, "x" * 400_000, overflow="reject")

        await expect_drop(runtime, DropReason.MAILBOX_FULL, OverloadedError, reject("live:a"))
        for chat_id in ("live:b", "live:c"):
            await runtime.tell(chat_id, "x" * 400_000)
        await expect_drop(runtime, DropReason.MAILBOX_FULL, OverloadedError, reject("live:b"))
        await expect_drop(runtime, DropReason.MEMORY_FULL, OverloadedError, lambda it: it.send("live:c", "x" * 290_000))
        assert (await (await runtime.send("live:a", "x" * 200_000)).result()).ok, "whoever waits is let in"
    assert drops_in(log) == ["mailbox_full", "mailbox_full", "memory_full"]


async def test_volatile_messages_need_a_handler_and_do_not_disturb_the_sums(autojump_clock: MockClock) -> None:
    """Without one it is the host's mistake, not an envelope."""
    async with checked_runtime() as runtime:
        await runtime.create("live:a")
        with pytest.raises(ConfigurationError, match="receive="):
            await runtime.tell("live:a", "hello")
        with pytest.raises(ConfigurationError, match="receive="):
            runtime.tell_nowait("live:a", "hello")
        with pytest.raises(ConfigurationError, match="receive="):
            await runtime.ask("live:a", "hello")
        assert runtime.statistics().closed


@pytest.mark.rule("L3", "pitfall_6")
async def test_what_is_waiting_in_a_session_that_is_stopped_becomes_dead_letters(autojump_clock: MockClock) -> None:
    """Each is accounted for, and whoever waits for an answer gets one."""
    log = BytesIO()

    async def hang(session: Session, payload: object) -> None:
        await trio.sleep_forever()

    errors: list[BaseException] = []
    async with checked_runtime(agent(ScriptedAgent([Hang()]), receive=hang), log=log) as runtime:
        await runtime.create("live:a")
        await runtime.tell("live:a", "the handler hangs")
        await trio.sleep(0.1)

        async def call(way: Callable[..., Awaitable[object]], **options: object) -> None:
            try:
                await way("live:a", "waits", **options)
            except ActorsError as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, runtime.send)
            nursery.start_soon(partial(call, runtime.ask, timeout_s=60.0))
            nursery.start_soon(call, runtime.tell)
            await trio.sleep(0.1)
            await runtime.stop("live:a")
        letters = runtime.dead_letters()
    assert len(errors) == 2, "a send and an ask wait for an answer, a tell does not"
    assert sorted(letter.kind for letter in letters) == ["accept", "ask", "tell"]
    assert drops_in(log) == [letter.reason for letter in letters]
