# mypy: ignore-errors
# The package is installed in an environment of its own, where no type checker looks.
"""Turns of ADK with its service for SQLite."""

import asyncio

from adk_turns import measure_turns
from durable_turns import folder_and_seconds
from google.adk.sessions.sqlite_session_service import SqliteSessionService

folder, _seconds = folder_and_seconds()
asyncio.run(measure_turns(SqliteSessionService(str(folder / "sessions.db"))))
