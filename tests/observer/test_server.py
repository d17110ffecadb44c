"""Whoever looks in is answered at once; whatever it does, it changes nothing and disturbs nobody."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked
from typing_extensions import override

from actors import ChatId, Limits, Runtime, TurnEnded
from actors.observer.client import Client
from actors.observer.server import Observer, observe
from actors.observer.wire import REQUEST_BYTES_MAX, Request
from actors.runtime.recorder import Recorder
from actors.store.memory import MemoryJournal
from actors.testing import Call, Say, ScriptedAgent, Wait, canonical, checked_runtime, records_of, settle
from tests.runtime.resting import warm

CHAT = ChatId("live:a")


def observer_of(runtime: Runtime) -> Observer:
    """Make the door to a runtime."""
    services = runtime._services  # noqa: SLF001 - as the host puts them together
    return Observer(runtime, services.limits, services.recorder)


@asynccontextmanager
async def looking(runtime: Runtime, observer: Observer | None = None) -> AsyncIterator[tuple[Client, trio.abc.Stream]]:
    """Connect to a runtime through memory."""
    here, there = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon((observer or observer_of(runtime)).serve, there)
        async with Client(here) as client:
            yield client, here
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


def value(raw: msgspec.Raw) -> Any:  # noqa: ANN401 - JSON
    """Read what an answer holds."""
    return json.loads(bytes(raw))


async def test_i2_a_process_that_looks_in_sees_tree_session_and_counts(autojump_clock: MockClock) -> None:
    """One thing after another on one connection, each as the runtime itself shows it."""
    script = ScriptedAgent([Call("tool", seconds=60.0)])
    async with checked_runtime(script) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "secret")
        await trio.sleep(1.0)
        async with looking(runtime) as (client, _):
            tree = value((await client.ask(Request(verb="tree"))).value)
            assert [one["chat_id"] for one in tree["sessions"]] == [CHAT]
            assert tree["sessions"][0]["status"] == "waiting"
            assert {"committer", "passivation"} <= {one["name"] for one in tree["services"]}
            shown = value((await client.ask(Request(verb="inspect", chat_id=CHAT))).value)
            assert shown == json.loads(json.dumps(shown))
            assert (shown["running_turn"], shown["open_calls"]) == (1, 1)
            counts = value((await client.ask(Request(verb="statistics"))).value)
            assert (counts["sent"], counts["limits"]["observers_max"]) == (1, 16)
            recent = value((await client.ask(Request(verb="recent", chat_id=CHAT))).value)
            assert recent[-1]["what"] == "tool.called"
            assert "secret" not in json.dumps([tree, shown, counts, recent])


async def test_what_cannot_be_asked_is_told_and_the_connection_goes_on(autojump_clock: MockClock) -> None:
    """An unknown session, a malformed id: the runtime's own words; nothing was touched."""
    async with checked_runtime() as runtime:
        await warm(runtime, CHAT)
        before = runtime.statistics()
        async with looking(runtime) as (client, _):
            for chat_id in ("live:nobody", "../etc", "x"):
                for verb in ("inspect", "recent"):
                    answer = await client.ask(Request(verb=verb, chat_id=chat_id))
                    assert not answer.ok
                    assert answer.hint
            assert (await client.ask(Request(verb="inspect", chat_id=CHAT))).ok
        for verb in ("follow", "trace"):
            async with looking(runtime) as (client, _):
                answer = await client.ask(Request(verb=verb, chat_id="live:nobody"))  # type: ignore[arg-type]  # as above
                assert not answer.ok
        assert runtime.statistics().sent == before.sent
        assert runtime.statistics().events == before.events


@pytest.mark.parametrize(
    "noise", [b"\n", b"nonsense\n", b'{"verb":"delete"}\n', b"x" * (REQUEST_BYTES_MAX * 2), os.urandom(200) + b"\n"]
)
async def test_noise_gets_one_fault_and_its_connection_ends(noise: bytes, autojump_clock: MockClock) -> None:
    """Where the next request would begin cannot be known; the next connection is served."""
    async with checked_runtime() as runtime:
        await warm(runtime, CHAT)
        observer = observer_of(runtime)
        async with looking(runtime, observer) as (_, stream):
            await stream.send_all(noise)
            with trio.fail_after(100.0):
                said = b""
                while piece := await stream.receive_some():
                    said += piece
            assert json.loads(said)["ok"] is False
        async with looking(runtime, observer) as (client, _):
            assert (await client.ask(Request(verb="tree"))).ok


async def test_following_gives_the_snapshot_and_everything_after_it(autojump_clock: MockClock) -> None:
    """As any subscriber gets it; when the reader goes, nothing of it is left."""
    async with checked_runtime(ScriptedAgent([Say("a b c", pieces=3, every_s=0.1)])) as runtime:
        await warm(runtime, CHAT)
        async with looking(runtime) as (client, _):
            assert (await client.ask(Request(verb="follow", chat_id=CHAT))).ok
            await runtime.send(CHAT, "again")
            kinds = []
            while True:
                item = await client.item()
                assert item is not None
                kinds.append(item.item)
                if item.item == "Event" and value(item.value)["body"]["kind"] == TurnEnded.__struct_config__.tag:
                    break
            assert kinds[0] == "SessionReady"
            assert "TextSignal" in kinds
            assert len(runtime._registry.refs[CHAT].broadcast) == 1  # noqa: SLF001 - to see that it goes
        assert len(runtime._registry.refs[CHAT].broadcast) == 0  # noqa: SLF001 - as above


async def test_following_after_a_number_begins_behind_it(autojump_clock: MockClock) -> None:
    """Who lost its connection goes on where it was."""
    async with checked_runtime() as runtime:
        await warm(runtime, CHAT)
        async with looking(runtime) as (client, _):
            await client.ask(Request(verb="follow", chat_id=CHAT, after=3))
            item = await client.item()
            assert item is not None
            assert value(item.value)["seq"] == 4


async def test_a_stream_ends_with_its_session_and_says_so(autojump_clock: MockClock) -> None:
    """A session that is deleted has no more to show."""
    async with checked_runtime() as runtime:
        await warm(runtime, CHAT)
        async with looking(runtime) as (client, _):
            await client.ask(Request(verb="follow", chat_id=CHAT))
            await wait_all_tasks_blocked()
            await runtime.delete(CHAT)
            last = None
            while (item := await client.item()) is not None:
                last = item
            assert last is not None
            assert last.end == "the session has ended"


async def test_a_trace_goes_over_the_wire(autojump_clock: MockClock) -> None:
    """Step by step, without what is said; and the session is not brought up by it."""
    async with checked_runtime() as runtime:
        await warm(runtime, CHAT)
        assert await runtime.passivate(CHAT)
        async with looking(runtime) as (client, _):
            shown = value((await client.ask(Request(verb="trace", chat_id=CHAT))).value)
            assert shown["phase"] == "absent"
            await (await runtime.send(CHAT, "hello")).result()
            steps = []
            while "turn.ended" not in steps:
                item = await client.item()
                assert item is not None
                steps.append(value(item.value)["what"])
            assert steps[:3] == ["activating", "active", "accept"]
        await wait_all_tasks_blocked()
        assert runtime._services.tracing.tracers == {}  # noqa: SLF001 - nothing is left of it


async def test_more_than_may_look_at_once_are_told_so(autojump_clock: MockClock) -> None:
    """And may as soon as another has gone."""
    async with checked_runtime(limits=Limits(observers_max=1)) as runtime:
        observer = observer_of(runtime)
        async with looking(runtime, observer) as (client, _):
            assert (await client.ask(Request(verb="tree"))).ok
            async with looking(runtime, observer) as (_, stream):
                assert b"are looking already" in await stream.receive_some()
        async with looking(runtime, observer) as (client, _):
            assert (await client.ask(Request(verb="tree"))).ok


async def test_who_says_nothing_is_not_waited_for(autojump_clock: MockClock) -> None:
    """Neither at the beginning nor after an answer."""
    async with checked_runtime(limits=Limits(observer_s=5.0)) as runtime, looking(runtime) as (client, stream):
        assert (await client.ask(Request(verb="tree"))).ok
        began_s = trio.current_time()
        assert await stream.receive_some() == b""
        assert trio.current_time() - began_s == pytest.approx(5.0, abs=0.1)


class Deaf(trio.abc.Stream):
    """A connection whose other side asks one thing and reads nothing."""

    def __init__(self, request: bytes) -> None:
        """Ask this."""
        self._request = request
        self.closed = False

    @override
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Give the request, then nothing for ever."""
        if self._request:
            request, self._request = self._request, b""
            return request
        await trio.sleep_forever()
        raise AssertionError

    @override
    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Never take anything."""
        await trio.sleep_forever()

    @override
    async def wait_send_all_might_not_block(self) -> None:
        """Never be ready."""
        await trio.sleep_forever()

    @override
    async def aclose(self) -> None:
        """Note that it was cut."""
        self.closed = True
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("verb", ["tree", "follow", "trace"])
async def test_a_client_that_never_reads_is_cut(verb: str, autojump_clock: MockClock) -> None:
    """The sessions it followed have not waited for it."""
    async with checked_runtime(limits=Limits(observer_s=5.0)) as runtime:
        await warm(runtime, CHAT)
        deaf = Deaf(json.dumps({"verb": verb, "chat_id": CHAT}).encode() + b"\n")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(observer_of(runtime).serve, deaf)
            for _ in range(10):
                assert (await (await runtime.send(CHAT, "hello")).result()).ok
            with trio.fail_after(20.0):
                while not deaf.closed:
                    await trio.sleep(0.1)
        await settle(runtime)


async def test_nobody_can_tell_a_session_that_was_looked_at_from_another(autojump_clock: MockClock) -> None:
    """Its history is the same, byte for byte."""
    kept = []
    for looked in (False, True):
        journal = MemoryJournal()
        async with checked_runtime(ScriptedAgent([Say("ok", pieces=3, every_s=0.1)]), store=journal) as runtime:
            await runtime.create(CHAT)
            async with looking(runtime) as (client, _):
                if looked:
                    await client.ask(Request(verb="trace", chat_id=CHAT))
                for number in range(5):
                    await (await runtime.send(CHAT, f"message {number}", message_id=f"key.{number}")).result()
            kept.append(await canonical(journal, CHAT))
    assert kept[0] == kept[1]


async def test_a_socket_that_cannot_be_made_is_told_in_the_log_and_nothing_else(tmp_path: Path) -> None:
    """Sessions run without anybody looking."""
    log = BytesIO()
    async with checked_runtime() as runtime:
        services = runtime._services  # noqa: SLF001 - as the host puts them together
        recorder = Recorder(log, "info", services.limits, services.clock)
        await observe(runtime, tmp_path / "missing" / "s.db", limits=services.limits, recorder=recorder)
        recorder.close()
    assert [record["event"] for record in records_of(log)] == ["observer.unavailable"]


async def test_who_waits_for_a_turn_of_a_minute_is_answered_at_once(autojump_clock: MockClock) -> None:
    """The answer does not wait for the session."""
    async with checked_runtime(ScriptedAgent([Wait(60.0)])) as runtime:
        await runtime.create(CHAT)
        await runtime.send(CHAT, "hello")
        async with looking(runtime) as (client, _):
            began_s = trio.current_time()
            assert (await client.ask(Request(verb="inspect", chat_id=CHAT))).ok
            assert trio.current_time() == began_s
