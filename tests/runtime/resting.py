"""Sessions that come to rest, and what tests of passivation look at."""

import trio

from actors import Runtime, Session, agent
from actors.runtime.agent import Agent
from actors.testing import ScriptedAgent, settle


class Listener:
    """A handler that notes what it was told, and by which incarnation."""

    def __init__(self, seconds: float = 0.0) -> None:
        """Take so long for each message."""
        self.heard: list[object] = []
        self.incarnations: list[int] = []
        self.seconds = seconds

    async def receive(self, session: Session, payload: object) -> object:
        """Handle a message."""
        if self.seconds:
            await trio.sleep(self.seconds)
        self.heard.append(payload)
        self.incarnations.append(session.incarnation)
        return payload

    def agent(self) -> Agent:
        """Make an agent whose handler this is."""
        return agent(ScriptedAgent(), receive=self.receive)


def resident(runtime: Runtime) -> set[str]:
    """Name the sessions that are in memory."""
    return set(runtime._registry.refs)  # noqa: SLF001 - residence is what these tests are about


async def warm(runtime: Runtime, *chat_ids: str) -> None:
    """Bring sessions up, and let them come to rest."""
    for chat_id in chat_ids:
        await runtime.create(chat_id)
        await (await runtime.send(chat_id, "hello")).result()
    await settle(runtime)
