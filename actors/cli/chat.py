"""``actors chat``: a conversation in a terminal with a demo agent of a few rules; no model takes part, as it says."""

import codecs
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import attrs
import trio

from actors.core.events import Event, PromptExpired, PromptOpened, TextAppended, ToolCalled, ToolEnded, TurnEnded
from actors.core.ids import ChatId
from actors.core.stream import Item, SessionReady, TextSignal
from actors.core.transcript import Message
from actors.errors import LaggedError, RefusedError
from actors.host import open_runtime
from actors.runtime.agent import agent
from actors.runtime.clock import SystemClock
from actors.runtime.facade import Runtime
from actors.runtime.receipt import Receipt
from actors.runtime.turn import Turn

HISTORY_SHOWN_MAX: Final = 10
STDIN: Final = 0
READ_BYTES: Final = 65_536
LINES_HELD_MAX: Final = 100
WORD_S: Final = 0.05
"""About the speed at which a model streams words."""
COUNT_MAX: Final = 1000

HELP: Final = (
    "/stop ends the answer that is being given, /history shows the conversation, /quit leaves."
    " While a question stands, a line is its answer."
)
ABOUT: Final = (
    "I am a demo without a model. I know the time, I roll dice, I count and I bet: ask for the time, say roll, count to"
    " 20 or bet."
)

Write = Callable[[str], None]


async def read_lines(descriptor: int, lines: trio.MemorySendChannel[str]) -> None:
    """Pass on the lines of a file descriptor, without their ends, until there are no more.

    ``sys.stdin`` is not used: the thread may be left reading, and would hold its lock when Python ends.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = ""
    async with lines:
        while data := await trio.to_thread.run_sync(os.read, descriptor, READ_BYTES, abandon_on_cancel=True):
            *whole, text = (text + decoder.decode(data)).split("\n")
            for line in whole:
                await lines.send(line.removesuffix("\r"))
        text += decoder.decode(b"", final=True)
        if text:
            await lines.send(text)


@attrs.define
class Screen:
    """What has been shown of a turn, so that text which comes as a signal and again as an event is shown once."""

    write: Write
    _shown: dict[tuple[int, int, int], int] = attrs.Factory(dict)
    _at_line_start: bool = True

    def show(self, item: Item, turn: int) -> None:
        """Show what an item says of one turn."""
        match item:
            case SessionReady(running=running, messages=messages):
                own = messages if running is None else running.messages
                for message in own:
                    if message.turn == turn and message.role != "user":
                        self._show_message(message)
            case TextSignal(turn=of_turn) if of_turn == turn:
                self._text((item.attempt, item.message, item.part), item.offset, item.text)
            case Event(body=body) if getattr(body, "turn", 0) == turn:
                self._show_event(body)
            case _:
                pass

    def line(self, text: str) -> None:
        """Show a line of its own."""
        self._end_line()
        self.write(f"{text}\n")

    def _end_line(self) -> None:
        """Begin a new line, unless one has just begun."""
        if not self._at_line_start:
            self.write("\n")
            self._at_line_start = True

    def _show_event(self, body: object) -> None:
        """Show what has happened in the turn."""
        match body:
            case TextAppended():
                self._text((body.attempt, body.message, body.part), body.offset, body.text)
            case ToolCalled():
                self.line(f"[{body.name} {body.arguments}]")
            case ToolEnded():
                self.line(f"[{body.status}: {body.content}]")
            case PromptOpened():
                choices = f" ({', '.join(body.choices)})" if body.choices else ""
                self.line(f"? {body.question}{choices}")
            case PromptExpired():
                self.line(f"[no answer in time{'' if body.answer is None else ': ' + body.answer}]")
            case TurnEnded():
                self._end_line()
                if body.status != "completed":
                    self.line(f"[{body.status}{f': {body.reason}' if body.reason else ''}]")
            case _:
                pass

    def _show_message(self, message: Message) -> None:
        """Show a message of a snapshot."""
        position = int(message.message_id.rpartition("/")[2])
        for number, part in enumerate(message.parts):
            if part.kind in {"text", "thinking"}:
                self._text((message.attempt, position, number), 0, part.text)
            else:
                self.line(f"[{part.name} {part.text}]")

    def _text(self, key: tuple[int, int, int], offset: int, text: str) -> None:
        """Show what is new of a piece of a part."""
        shown = self._shown.get(key, 0)
        new = text[max(0, shown - offset) :]
        if new:
            self._shown[key] = offset + len(text)
            self._at_line_start = new.endswith("\n")
            self.write(new)


async def chat(store: Path, chat_id: str | None, *, echo: bool) -> int:
    """Talk until the person leaves, and return the exit code.

    Raises InvalidEnvelopeError for an id that cannot be right, StoreInUseError if another process owns the store, and
    any other StoreError if it cannot be used.
    """
    demo = Demo(SystemClock())
    answer = agent(repeat if echo else demo.answer)
    async with open_runtime(store, agent=answer, observe=True) as runtime:
        chosen = await runtime.create(chat_id)
        send, lines = trio.open_memory_channel[str](LINES_HELD_MAX)
        talk = Talk(runtime, chosen, lines, _write, prompt="you> " if os.isatty(STDIN) else "")
        _write(f"{chosen}\n{HELP}\n")
        if not echo:
            _write(f"{ABOUT}\n")
        await talk.show_history(HISTORY_SHOWN_MAX)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_lines, STDIN, send)
            await talk.run()
            nursery.cancel_scope.cancel()
    _write(f"To go on: actors chat --store {store} {chosen}\n")
    return 0


class Talk:
    """One person's side of a session: lines in, what happens out."""

    def __init__(
        self,
        runtime: Runtime,
        chat_id: ChatId,
        lines: trio.MemoryReceiveChannel[str],
        write: Write,
        *,
        prompt: str = "",
    ) -> None:
        """Talk to one session; ``prompt`` is shown before each line that is waited for."""
        self._runtime = runtime
        self._chat_id = chat_id
        self._lines = lines
        self._write = write
        self._prompt = prompt
        self._held: deque[str] = deque()
        self._answering: Receipt | None = None
        self._asked: deque[str] = deque()
        """The questions of the turn that is being answered which stand open, oldest first."""
        self._leaving = trio.CancelScope()

    async def run(self) -> None:
        """Read lines and act on them until the last, ``/quit``, or an interrupt while nothing is answered."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._heed_interrupts)
            with self._leaving:
                while True:
                    line = await self._next_line()
                    if line is None or line == "/quit":
                        break
                    await self._act(line)
            nursery.cancel_scope.cancel()

    async def show_history(self, messages_max: int | None = None) -> None:
        """Show the last messages of the conversation."""
        page = await self._runtime.history(self._chat_id)
        shown = page.messages if messages_max is None else page.messages[-messages_max:]
        if page.before_turn is not None or len(shown) < len(page.messages):
            self._write("...\n")
        for message in shown:
            for part in message.parts:
                name = f" {part.name}" if part.name else ""
                status = "" if part.status in {"complete", "ok"} else f" ({part.status})"
                self._write(f"{message.role}{name}> {part.text}{status}\n")

    async def _act(self, line: str) -> None:
        """Do what one line asks for."""
        match line.strip():
            case "":
                pass
            case "/stop":
                self._write("Nothing is being answered.\n")
            case "/history":
                await self.show_history()
            case "/help":
                self._write(f"{HELP}\n")
            case _:
                self._answering = await self._runtime.send(self._chat_id, line)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._hold_lines)
                    await self._show_answer(self._answering)
                    nursery.cancel_scope.cancel()
                self._answering = None

    async def _show_answer(self, receipt: Receipt) -> None:
        """Show a turn from wherever it is to its end."""
        screen = Screen(self._write)
        cut = True
        while cut:
            cut = False
            try:
                async with self._runtime.subscribe(self._chat_id, until=receipt) as stream:
                    async for item in stream:
                        self._note(item, receipt.turn)
                        screen.show(item, receipt.turn)
            except LaggedError:
                cut = True  # the terminal was held up; the next snapshot shows what it missed

    async def _hold_lines(self) -> None:
        """Keep what is typed during an answer for later, except for a stop and the answer to a question.

        A line that is typed ahead is not lost when this is cancelled: it stays in the channel.
        """
        async for line in self._lines:
            if line.strip() == "/stop":
                await self._stop_answer()
            elif self._asked:
                await self._reply(line.strip())
            else:
                self._held.append(line)

    def _note(self, item: Item, turn: int) -> None:
        """Note which questions of the turn stand open."""
        match item:
            case SessionReady(prompts=prompts):
                self._asked = deque(prompt.prompt_id for prompt in prompts if prompt.turn == turn)
            case Event(body=PromptOpened(turn=of_turn)) if of_turn == turn:
                self._asked.append(item.prompt_id)
            case Event() if item.prompt_id in self._asked:
                self._asked.remove(item.prompt_id)
            case _:
                pass

    async def _reply(self, answer: str) -> None:
        """Answer the question that has stood longest, or say why that did not count."""
        try:
            await self._runtime.answer(self._chat_id, self._asked[0], answer)
        except RefusedError as error:
            self._write(f"That is no answer: {error}\n")

    async def _next_line(self) -> str | None:
        """Return the next line, those that were held first; None when there are no more."""
        if self._held:
            await trio.lowlevel.checkpoint()
            return self._held.popleft()
        if self._prompt:
            self._write(self._prompt)
        try:
            return await self._lines.receive()
        except trio.EndOfChannel:
            return None

    async def _stop_answer(self) -> None:
        """Cancel the turn that is being answered; what it has said is kept."""
        if self._answering is not None:
            await self._answering.cancel()

    async def _heed_interrupts(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take signals: an interrupt during an answer stops that; any other signal leaves."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            task_status.started()
            async for number in received:
                leaves = self._answering is None or number != signal.SIGINT
                await self._stop_answer()
                if leaves:
                    self._leaving.cancel()


class Demo:
    """An agent of a few rules, with two tools."""

    def __init__(self, clock: SystemClock) -> None:
        """Take time and dice from a clock."""
        self._clock = clock

    async def answer(self, turn: Turn) -> None:
        """Answer by the first rule that fits."""
        words = turn.text.lower().replace("?", " ").replace(".", " ").split()
        count = turn.state if isinstance(turn.state, int) else 0
        turn.state = count + 1
        if "time" in words or "clock" in words:
            outcome = await turn.tool("clock", self._tell_time)
            await say(turn, f"It is {outcome.content}.")
        elif "roll" in words or "dice" in words:
            outcome = await turn.tool("dice", self._roll, {"sides": 6})
            await say(turn, f"You rolled {outcome.content}.")
        elif "bet" in words:
            side = await turn.ask("Heads or tails?", kind="choice", choices=("heads", "tails"))
            fell = "heads" if self._clock.dice() < 0.5 else "tails"  # noqa: PLR2004 - the two sides of a coin
            await say(turn, f"It is {fell}: you {'win' if fell == side else 'lose'}.")
        elif "count" in words:
            wanted = next((int(word) for word in words if word.isdecimal()), 20)
            await say(turn, " ".join(map(str, range(1, min(wanted, COUNT_MAX) + 1))))
        elif count:
            await say(turn, f"You said: {turn.text} (message {count + 1} of our conversation.) {ABOUT}")
        else:
            await say(turn, f"Hello. {ABOUT}")

    async def _tell_time(self) -> object:
        """Tool: the time of day."""
        await trio.lowlevel.checkpoint()
        return datetime.fromtimestamp(self._clock.wall_s(), tz=UTC).strftime("%H:%M:%S UTC on %A, %d %B %Y")

    async def _roll(self) -> object:
        """Tool: one throw of a die."""
        await trio.lowlevel.checkpoint()
        return 1 + int(self._clock.dice() * 6)


async def repeat(turn: Turn) -> None:
    """Answer with what was said."""
    await say(turn, turn.text)


async def say(turn: Turn, text: str) -> None:
    """Stream a text word by word."""
    for number, word in enumerate(text.split(" ")):
        if number:
            await trio.sleep(WORD_S)
        await turn.write(f" {word}" if number else word)


def _write(text: str) -> None:
    """Write to the terminal at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
