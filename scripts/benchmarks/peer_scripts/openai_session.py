# mypy: ignore-errors
# The package is installed in an environment of its own, where no type checker looks.
"""Turns of OpenAI Agents' SQLite session alone: two items added, no runner, nothing read back."""

import asyncio

from agents import SQLiteSession
from durable_turns import TEXT, folder_and_seconds, measure


async def main() -> None:
    """Measure turns, one session object for each chat, all in one file."""
    folder, seconds = folder_and_seconds()
    sessions = {}

    async def turn(chat: str) -> None:
        if chat not in sessions:
            sessions[chat] = SQLiteSession(chat, folder / "sessions.db")
        await sessions[chat].add_items([{"role": "user", "content": TEXT}])
        await sessions[chat].add_items([{"role": "assistant", "content": TEXT}])

    await measure("openai-agents", turn, folder, seconds)
    for session in sessions.values():
        session.close()


asyncio.run(main())
