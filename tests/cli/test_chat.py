"""A conversation in a terminal: lines in, what happens out, stored like any other."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from actors.cli import chat as module
from actors.cli.chat import Demo, Screen, Talk, read_lines, repeat
from actors.core.events import Event, TextAppended
from actors.core.ids import ChatId
from actors.core.lifecycle import PartStatus
from actors.core.stream import TextSignal
from actors.errors import InvalidEnvelopeError, StoreInUseError
from actors.host import open_runtime
from actors.runtime.clock import SystemClock
from actors.runtime.facade import Runtime
from tests.cli.recorded import living

CHAT = ChatId("live:me")


@attrs.define
class Terminal:
    """A terminal that a test types into and reads from."""

    keys: trio.MemorySendChannel[str]
    shown: list[str] = attrs.Factory(list)
    left: trio.Event = attrs.Factory(trio.Event)
    """Set when the conversation was left."""

    @property
    def text(self) -> str:
        """Everything that was shown."""
        return "".join(self.shown)

    async def sees(self, text: str) -> None:
        """Wait until a text was shown."""
        with trio.fail_after(30):
            while text not in self.text:
                await trio.sleep(0.01)


@asynccontextmanager
async def talking(
    agent: Any,  # noqa: ANN401 - any agent
    store: str | Path = ":memory:",
    *,
    prompt: str = "",
) -> AsyncIterator[tuple[Terminal, Runtime]]:
    """Talk in a terminal until its keys are closed."""
    keys, lines = trio.open_memory_channel[str](100)
    terminal = Terminal(keys)
    async with open_runtime(store, agent=agent) as runtime:
        await runtime.create(CHAT)

        async def talk() -> None:
            await Talk(runtime, CHAT, lines, terminal.shown.append, prompt=prompt).run()
            terminal.left.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk)
            yield terminal, runtime
            await keys.aclose()


def typed(*lines: str) -> Callable[[], int]:
    """Make the reading end of a pipe into which lines were typed."""

    def make() -> int:
        reading, writing = os.pipe()
        os.write(writing, "".join(f"{line}\n" for line in lines).encode())
        os.close(writing)
        return reading

    return make


async def test_an_answer_is_streamed_as_it_is_said(autojump_clock: MockClock) -> None:
    """Words appear one after the other, not all at the end."""
    async with talking(repeat) as (terminal, _):
        await terminal.keys.send("one two three")
        await terminal.sees("one two")
        assert "three" not in terminal.text
    assert terminal.text == "one two three\n"


async def test_a_stop_ends_the_answer_and_keeps_what_was_said(autojump_clock: MockClock) -> None:
    """The session goes on: the next line is answered."""
    async with talking(repeat) as (terminal, runtime):
        await terminal.keys.send("word " * 100)
        await terminal.sees("word word")
        await terminal.keys.send("/stop")
        await terminal.sees("[cancelled]")
        await terminal.keys.send("and now")
        await terminal.sees("and now")
        page = await runtime.history(CHAT)
    assert [message.status for message in page.messages] == ["cancelled"] * 2 + ["completed"] * 2
    assert page.messages[1].parts[0].status == "cut"


async def test_a_stop_right_after_the_message_is_heard(tmp_path: Path) -> None:
    """Also when the session is cold and its history is still being read."""
    async with living(tmp_path / "s.db", CHAT):
        pass
    for _ in range(5):
        async with talking(repeat, tmp_path / "s.db") as (terminal, _):
            for line in ("word " * 1000, "/stop"):
                await terminal.keys.send(line)
            await terminal.sees("[cancelled]")


async def test_a_stop_without_an_answer_changes_nothing(autojump_clock: MockClock) -> None:
    """It says that there is nothing to stop."""
    async with talking(repeat) as (terminal, _):
        await terminal.keys.send("/stop")
    assert terminal.text == "Nothing is being answered.\n"


async def test_lines_typed_ahead_are_answered_in_their_order(autojump_clock: MockClock) -> None:
    """Nothing that was typed during an answer is lost, and commands keep their place."""
    async with talking(repeat) as (terminal, runtime):
        for line in ("first one", "second one", "", "/help", "/history", "/quit", "never read"):
            await terminal.keys.send(line)
        await terminal.sees("assistant> second one")
        page = await runtime.history(CHAT)
    assert [message.text for message in page.messages] == ["first one", "first one", "second one", "second one"]
    assert terminal.text.startswith("first one\nsecond one\n/stop ends the answer")


async def test_an_interrupt_stops_an_answer_first_and_leaves_then(autojump_clock: MockClock) -> None:
    """As in any shell: once for what is going on, once more to go."""
    async with talking(repeat, prompt="you> ") as (terminal, _):
        await terminal.keys.send("word " * 100)
        await terminal.sees("word word")
        signal.raise_signal(signal.SIGINT)
        await terminal.sees("[cancelled]\nyou> ")
        signal.raise_signal(signal.SIGINT)
        with trio.fail_after(30):
            await terminal.left.wait()


async def test_a_termination_stops_the_answer_and_leaves(autojump_clock: MockClock) -> None:
    """Whoever is told to end does not finish its sentence, and what was said is kept."""
    async with talking(repeat) as (terminal, runtime):
        await terminal.keys.send("word " * 100)
        await terminal.sees("word word")
        signal.raise_signal(signal.SIGTERM)
        with trio.fail_after(30):
            await terminal.left.wait()
        page = await runtime.history(CHAT)
    assert [message.status for message in page.messages] == ["cancelled", "cancelled"]


@pytest.mark.parametrize(
    ("said", "tool", "shown"),
    [
        ("What time is it?", "[clock {}]", "UTC on"),
        ("roll the dice", '[dice {"sides":6}]', "You rolled "),
        ("count to 3", "", "1 2 3\n"),
        ("hello", "", "I am a demo without a model."),
    ],
)
async def test_the_demo_does_what_it_says(said: str, tool: str, shown: str, autojump_clock: MockClock) -> None:
    """Each of its rules, with the tool it calls in between."""
    async with talking(Demo(SystemClock(1)).answer) as (terminal, _):
        await terminal.keys.send(said)
    assert tool in terminal.text
    assert shown in terminal.text


async def test_the_demo_remembers_how_often_it_was_asked(autojump_clock: MockClock) -> None:
    """Its state is stored with the session."""
    async with talking(Demo(SystemClock(1)).answer) as (terminal, _):
        await terminal.keys.send("hello")
        await terminal.keys.send("hello again")
    assert "(message 2 of our conversation.)" in terminal.text


def test_text_that_comes_twice_is_shown_once() -> None:
    """A signal shows it first, the event repeats it, and a late snapshot overlaps."""
    shown: list[str] = []
    screen = Screen(shown.append)
    screen.show(TextSignal(CHAT, 1, 1, 0, 0, "text", 0, "hello "), 1)
    screen.show(Event(CHAT, 4, 1, 0.0, TextAppended(1, 1, 0, 0, "text", 0, "hello wor", PartStatus.STREAMING)), 1)
    screen.show(TextSignal(CHAT, 1, 1, 0, 0, "text", 6, "world"), 1)
    screen.show(TextSignal(CHAT, 2, 1, 0, 0, "text", 0, "of another turn"), 1)
    screen.line("done")
    assert "".join(shown) == "hello world\ndone\n"


async def test_lines_are_read_from_a_descriptor_whatever_their_ends() -> None:
    """Carriage returns go, broken characters are replaced, and the last line needs no end."""
    reading, writing = os.pipe()
    os.write(writing, "é1\r\n\n".encode() + b"\xff\nlast")
    os.close(writing)
    send, lines = trio.open_memory_channel[str](10)
    await read_lines(reading, send)
    os.close(reading)
    assert [line async for line in lines] == ["é1", "", "\ufffd", "last"]


async def test_a_conversation_goes_on_where_it_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends with the one to go on with, and that begins with what was said before."""
    monkeypatch.setattr(module, "STDIN", typed("good morning")())
    assert await module.chat(tmp_path / "s.db", "live:x", echo=True) == 0
    first = capsys.readouterr().out
    monkeypatch.setattr(module, "STDIN", typed("/quit")())
    assert await module.chat(tmp_path / "s.db", "live:x", echo=True) == 0
    second = capsys.readouterr().out
    assert first.splitlines()[-2:] == ["good morning", f"To go on: actors chat --store {tmp_path / 's.db'} live:x"]
    assert "user> good morning\nassistant> good morning\n" in second


async def test_a_new_conversation_gets_an_id_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is shown first, with what the agent is and is not."""
    monkeypatch.setattr(module, "STDIN", typed()())
    await module.chat(tmp_path / "s.db", None, echo=False)
    text = capsys.readouterr().out
    assert text.startswith("live:")
    assert "without a model" in text


async def test_a_store_in_use_or_an_id_that_is_none_is_an_error(tmp_path: Path) -> None:
    """Before anything is asked of the person."""
    async with living(tmp_path / "s.db", "live:a"):
        with pytest.raises(StoreInUseError):
            await module.chat(tmp_path / "s.db", None, echo=True)
    with pytest.raises(InvalidEnvelopeError):
        await module.chat(tmp_path / "s.db", "me", echo=True)


async def test_a_line_that_is_typed_while_a_question_stands_is_its_answer(autojump_clock: MockClock) -> None:
    """One that is none of the choices is refused with the reason, and the question stands until it is answered."""
    async with talking(Demo(SystemClock(1)).answer) as (terminal, _):
        await terminal.keys.send("let us bet")
        await terminal.sees("? Heads or tails? (heads, tails)\n")
        await terminal.keys.send("the edge")
        await terminal.sees("That is no answer: ")
        await terminal.keys.send("heads")
        await terminal.sees("It is ")
        await terminal.sees("win." if "It is heads" in terminal.text else "lose.")
