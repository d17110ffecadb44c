"""Recordings and stores that the tests of the command line stand on."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from actors.core.ids import ChatId
from actors.host import open_runtime
from actors.recordings.model import Conversation, RecordedMessage, RecordedToolCall, RecordedToolResult
from actors.runtime.facade import Runtime
from actors.runtime.turn import Turn

GREETING: Final = RecordedMessage("assistant", "Good day.")


def user(text: str, at_s: float | None = None) -> RecordedMessage:
    """Make what a user says."""
    return RecordedMessage("user", text, at_s=at_s)


def assistant(text: str | None, *calls: RecordedToolCall, at_s: float | None = None) -> RecordedMessage:
    """Make what an assistant says, and the tools it calls."""
    return RecordedMessage("assistant", text, tool_calls=calls, at_s=at_s)


def result(call: RecordedToolCall, content: str) -> RecordedMessage:
    """Make the answer to a tool call."""
    return RecordedMessage("tool", None, result=RecordedToolResult(call.call_id, call.name, content))


def conversation(*messages: RecordedMessage, name: str = "c1") -> Conversation:
    """Make a conversation."""
    return Conversation.from_messages(name, messages)


def tau2_file(path: Path, conversations: Mapping[str, Sequence[tuple[str, str]]]) -> Path:
    """Write a recording of plain messages: a role and a text each, by the name of the conversation."""
    simulations = [
        {"id": name, "messages": [{"role": role, "content": text} for role, text in messages]}
        for name, messages in conversations.items()
    ]
    path.write_text(json.dumps({"simulations": simulations}), "utf-8")
    return path


def records(text: str) -> list[dict[str, Any]]:
    """Read lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]


async def echo(turn: Turn) -> None:
    """Agent: say the same again."""
    await turn.write(turn.text)


async def hang(turn: Turn) -> None:
    """Agent: say a little, call a tool, and never come to an end."""
    await turn.write("let me see")
    await turn.call("look", {"at": turn.text})
    await trio.sleep_forever()


@asynccontextmanager
async def living(store: Path, *chat_ids: str) -> AsyncIterator[Runtime]:
    """Open a runtime on a store with sessions whose first turn has ended."""
    async with open_runtime(store, agent=echo) as runtime:
        for chat_id in chat_ids:
            await runtime.create(chat_id, history=[("system", "be brief")])
            await (await runtime.send(chat_id, f"hello from {chat_id}", message_id="m1")).result()
        yield runtime


async def stored(store: Path, *chat_ids: str) -> Path:
    """Make a store with sessions whose first turn has ended."""
    async with living(store, *chat_ids):
        pass
    return store


async def migrated(store: Path) -> Path:
    """Make a store with a session that was the draft ``draft:a`` and is ``live:b`` now."""
    async with living(store, "draft:a") as runtime:
        await runtime.migrate("draft:a", "live:b")
    return store


@asynccontextmanager
async def hanging(store: Path, chat_id: str) -> AsyncIterator[Runtime]:
    """Open a runtime on a store with a session whose turn waits for a tool, and with a second turn that is queued."""
    async with open_runtime(store, agent=hang) as runtime:
        parsed: ChatId = await runtime.create(chat_id)
        await runtime.send(parsed, "first", message_id="m1")
        with trio.fail_after(10):
            while not runtime.inspect(parsed).open_calls:
                await trio.sleep(0.001)
        await runtime.send(parsed, "second", message_id="m2")
        try:
            yield runtime
        finally:
            await runtime.stop(parsed)
