# mypy: ignore-errors
# The package is installed in an environment of its own, where no type checker looks.
"""What both session services of ADK have in common: turns of its runner with an agent that echoes."""

from durable_turns import TEXT, folder_and_seconds, measure
from google.adk.agents import BaseAgent
from google.adk.events import Event
from google.adk.runners import Runner
from google.genai import types

USER = "someone"
APP = "echo"


class Echo(BaseAgent):
    """Answers at once, without a network."""

    async def _run_async_impl(self, context):  # noqa: ANN001, ANN202  # as the class it extends
        content = types.Content(role="model", parts=[types.Part(text=TEXT)])
        yield Event(author=self.name, invocation_id=context.invocation_id, content=content)


async def measure_turns(service: object) -> None:
    """Measure turns, one session for each chat, each run by the runner."""
    folder, seconds = folder_and_seconds()
    runner = Runner(app_name=APP, agent=Echo(name="echo"), session_service=service)
    known = set()

    async def turn(chat: str) -> None:
        if chat not in known:
            await service.create_session(app_name=APP, user_id=USER, session_id=chat)
            known.add(chat)
        message = types.Content(role="user", parts=[types.Part(text=TEXT)])
        async for _event in runner.run_async(user_id=USER, session_id=chat, new_message=message):
            pass

    await measure("google-adk", turn, folder, seconds)
