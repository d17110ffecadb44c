# mypy: ignore-errors
# The package is installed in an environment of its own, where no type checker looks.
"""Turns of ADK with its service for any database, here on SQLite."""

import asyncio

from adk_turns import measure_turns
from durable_turns import folder_and_seconds
from google.adk.sessions import DatabaseSessionService

folder, _seconds = folder_and_seconds()


async def main() -> None:
    """Make the service where its engine will run."""
    await measure_turns(DatabaseSessionService(f"sqlite+aiosqlite:///{folder / 'sessions.db'}"))


asyncio.run(main())
