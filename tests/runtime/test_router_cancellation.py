"""A caller may be cancelled at every wait of every call: nothing is lost, doubled or left behind, and the sums hold."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock
from typing_extensions import override

from actors import Limits, MessageAccepted, Runtime, Session, TurnEnded, agent
from actors.store.memory import MemoryJournal
from actors.testing import Ask, Hang, Say, ScriptedAgent, checked_runtime, settle

STEPS_MAX = 60

Act = Callable[[Runtime], Awaitable[object]]


class CancelAt(trio.abc.Instrument):
    """Cancels a scope when its task has gone to sleep for the n-th time."""

    def __init__(self, steps: int) -> None:
        """Wait for so many steps."""
        self.scope = trio.CancelScope()
        self.task: trio.lowlevel.Task | None = None
        self.left = steps

    @override
    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()

    async def run(self, act: Act, runtime: Runtime) -> bool:
        """Do something and be cancelled on the way; say whether it was."""
        self.task = trio.lowlevel.current_task()
        trio.lowlevel.add_instrument(self)
        try:
            with self.scope:
                await act(runtime)
        finally:
            trio.lowlevel.remove_instrument(self)
        return self.left <= 0


class Handler:
    """A handler that takes its time and counts what it was given."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.payloads: list[object] = []

    async def __call__(self, session: Session, payload: object) -> object:
        """Take a second for each message."""
        self.payloads.append(payload)
        await trio.sleep(1.0)
        return payload


async def fill(runtime: Runtime) -> None:
    """Fill the mailbox, so that the next sender has to wait for room."""
    for number in range(3):
        await runtime.tell("live:a", f"filler {number}")


async def send_keyed(runtime: Runtime) -> None:
    """Send a message with a key of its own."""
    await runtime.send("live:a", "swept", message_id="swept")


async def send_to_cold(runtime: Runtime) -> None:
    """Send to a session that has to be brought up from disk first."""
    await runtime.stop("live:a")
    await send_keyed(runtime)


async def send_behind_others(runtime: Runtime) -> None:
    """Send to a session whose mailbox is full."""
    await fill(runtime)
    await send_keyed(runtime)


async def ask_behind_others(runtime: Runtime) -> None:
    """Ask a session whose mailbox is full."""
    await fill(runtime)
    await runtime.ask("live:a", "swept", timeout_s=100.0)


async def tell_behind_others(runtime: Runtime) -> None:
    """Tell a session whose mailbox is full."""
    await fill(runtime)
    await runtime.tell("live:a", "swept", deadline_s=trio.current_time() + 100.0)


async def watch_to_the_end(runtime: Runtime) -> None:
    """Read the events of a turn up to its end, the earlier ones from the journal."""
    receipt = await runtime.send("live:a", "swept", message_id="swept")
    async with runtime.subscribe("live:a", after=0, until=receipt) as stream:
        async for _ in stream:
            pass


async def wait_for_result(runtime: Runtime) -> None:
    """Wait for the end of a turn."""
    await (await runtime.send("live:a", "swept", message_id="swept")).result()


async def cancel_hanging(runtime: Runtime) -> None:
    """Stop a turn that hangs."""
    receipt = await runtime.send("live:hangs", "swept")
    await receipt.cancel()


async def answer_prompt(runtime: Runtime) -> None:
    """Answer a question."""
    receipt = await runtime.send("live:asks", "swept")
    await trio.sleep(1.0)
    await runtime.answer("live:asks", f"live:asks/{receipt.turn}/0", "yes")


async def make_and_delete(runtime: Runtime) -> None:
    """Make a session and delete it again."""
    chat_id = await runtime.create("live:short", history=[("system", "be short")])
    await runtime.delete(chat_id)


SWEPT: dict[str, Act] = {
    "a send": send_keyed,
    "a send to a cold session": send_to_cold,
    "a send that waits for room": send_behind_others,
    "an ask": lambda runtime: runtime.ask("live:a", "swept"),
    "an ask that waits for room": ask_behind_others,
    "a tell that waits for room": tell_behind_others,
    "a subscription": watch_to_the_end,
    "a result": wait_for_result,
    "a cancellation": cancel_hanging,
    "an answer": answer_prompt,
    "a creation and a deletion": make_and_delete,
    "a look at the history": lambda runtime: runtime.history("live:a"),
}


@pytest.mark.rule("D7", "M5", "X3", "pitfall_7")
@pytest.mark.parametrize("what", SWEPT)
async def test_a_call_may_be_cancelled_at_every_wait(what: str, autojump_clock: MockClock) -> None:
    """Swept from the first wait to the last; each time the runtime comes to rest and the sums are right."""
    for step in range(1, STEPS_MAX):
        if not await cancelled_at(step, SWEPT[what]):
            assert step > 1, "it waits at least once"
            return
    pytest.fail(f"{what} waits more than {STEPS_MAX} times")


async def cancelled_at(step: int, act: Act) -> bool:
    """Do something on a fresh runtime, be cancelled at one wait, and see that nothing is wrong afterwards."""
    handler, journal = Handler(), MemoryJournal()
    script = ScriptedAgent([Say("one"), Say("two")], {"live:hangs": [Hang()], "live:asks": [Ask("may I?")]})
    limits = Limits(mailbox_messages_max=2)
    async with checked_runtime(agent(script, receive=handler), store=journal, limits=limits) as runtime:
        for chat_id in ("live:a", "live:hangs", "live:asks"):
            await runtime.create(chat_id)
        cancelled = await CancelAt(step).run(act, runtime)
        for chat_id in ("live:hangs", "live:asks"):
            await runtime.stop(chat_id)
        await settle(runtime)
        again = await runtime.send("live:a", "swept", message_id="swept")
        assert (await again.result()).text == "onetwo"
        await settle(runtime)
        bodies = [event.body for event in await journal.events(again.chat_id, 0, 1000)]
    accepted = [body for body in bodies if isinstance(body, MessageAccepted)]
    assert [body.message_id for body in accepted] == ["swept"], "a key gives one message, however often it is sent"
    assert sum(isinstance(body, TurnEnded) for body in bodies) == 1
    assert handler.payloads.count("swept") <= 1
    return cancelled
