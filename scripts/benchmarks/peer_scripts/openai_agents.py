# mypy: ignore-errors
# The package is installed in an environment of its own, where no type checker looks.
"""Turns of OpenAI Agents with its SQLite session, run by its runner with a model that echoes."""

import asyncio

from agents import Agent, RunConfig, Runner, SQLiteSession
from agents.items import ModelResponse
from agents.models.interface import Model
from agents.usage import Usage
from durable_turns import TEXT, folder_and_seconds, measure
from openai.types.responses import ResponseOutputMessage, ResponseOutputText


class Echo(Model):
    """Answers at once, without a network."""

    async def get_response(self, *_arguments: object, **_named: object) -> ModelResponse:
        """Give the same answer every time."""
        text = ResponseOutputText(annotations=[], text=TEXT, type="output_text")
        message = ResponseOutputMessage(
            id="message", content=[text], role="assistant", status="completed", type="message"
        )
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *_arguments: object, **_named: object) -> None:
        """Nobody streams here."""
        raise NotImplementedError


async def main() -> None:
    """Measure turns, one session object for each chat, all in one file."""
    folder, seconds = folder_and_seconds()
    agent = Agent(name="echo", model=Echo())
    sessions = {}

    async def turn(chat: str) -> None:
        if chat not in sessions:
            sessions[chat] = SQLiteSession(chat, folder / "sessions.db")
        config = RunConfig(tracing_disabled=True)
        await Runner.run(agent, TEXT, session=sessions[chat], run_config=config)

    await measure("openai-agents", turn, folder, seconds)
    for session in sessions.values():
        session.close()


asyncio.run(main())
