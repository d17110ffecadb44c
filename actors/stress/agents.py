"""The agent of a load: it answers as the seed says, and where its session is faulty it does what must harm nobody."""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import trio

from actors.core.ids import ChatId
from actors.errors import ActorsError
from actors.runtime.agent import Session
from actors.runtime.turn import Turn
from actors.stress.plan import (
    TOOL,
    Load,
    Role,
    answer_of,
    arguments_of,
    calls_tool,
    chance,
    number_of,
)

PIECE_S: Final = 0.002
"""Between two pieces of an answer, as a model takes its time."""
BLOCK_S: Final = 0.05
"""How long an agent holds the loop: half of what a watchdog lets pass."""
SHIELD_S: Final = 1.5
"""How long an agent does not hear a cancellation: longer than the grace of the load's limits."""
SLOW_S: Final = 0.002
"""How long the handler of a flooded session takes for a message."""
HOARD_BYTES: Final = 1_000_000

_MISTAKES: Final = (ValueError, KeyError, OSError, RecursionError, ZeroDivisionError)


class Escape(BaseException):
    """An error that no ``except Exception`` stops."""


class LoadAgent:
    """Answers every session of a load, each according to its role."""

    def __init__(self, load: Load, roles: Mapping[ChatId, Role], sabotage: str = "") -> None:
        """Know who is faulty; ``sabotage`` is what a test has go wrong."""
        self._load = load
        self._roles = roles
        self._sabotage = sabotage
        self._hoard: list[bytearray] = []

    async def answer(self, turn: Turn) -> None:
        """Answer a turn."""
        load, number = self._load, number_of(turn.text)
        if self._sabotage == "hoard":
            self._hoard.append(bytearray(b"x") * HOARD_BYTES)
        match self._roles.get(turn.chat_id, Role.HEALTHY):
            case Role.CRASHING if chance(load.seed, turn.chat_id, number, "crash") < 0.5:  # noqa: PLR2004 - one in two
                await turn.write("half a word")
                raise self._mistake(turn.chat_id, number)
            case Role.HANGING:
                await turn.write("thinking")
                await trio.sleep_forever()
            case Role.SHIELDED:
                await self._ignore(turn)
            case Role.BLOCKING:
                time.sleep(BLOCK_S)  # noqa: ASYNC251, TID251 - the fault itself: it holds the loop
            case _:
                pass
        await self._say(turn, number)

    async def receive(self, session: Session, payload: object) -> object:
        """Handle a volatile message: answer it with itself, slowly in a session that is flooded."""
        if self._roles.get(session.chat_id) is Role.FLOODED:
            await trio.sleep(SLOW_S)
        return payload

    async def _say(self, turn: Turn, number: int) -> None:
        """Say what the seed says."""
        pieces = answer_of(self._load, turn.chat_id, number)
        if self._sabotage == "corrupt" and number == 2:  # noqa: PLR2004 - one turn of each session
            pieces = ("what nobody wrote",)
        await turn.write(pieces[0])
        if calls_tool(number):
            call = await turn.call(TOOL, arguments_of(number))
            await call.end(f"result of {number}")
        for piece in pieces[1:]:
            await trio.sleep(PIECE_S)
            await turn.write(piece)

    async def _ignore(self, turn: Turn) -> None:
        """Hear no cancellation for a while, and go on as if there had been none."""
        await turn.write("busy")
        with trio.CancelScope(shield=True):
            await trio.sleep(SHIELD_S)
            with suppress(ActorsError):
                await turn.write("still here")

    def _mistake(self, chat_id: str, number: int) -> BaseException:
        """Choose what to raise: errors of any kind, alone and in groups."""
        draw = chance(self._load.seed, chat_id, number, "kind")
        mistake = _MISTAKES[int(draw * 1000) % len(_MISTAKES)]("scripted")
        if draw < 0.2:  # noqa: PLR2004 - one in five
            return BaseExceptionGroup("a group", [mistake, Escape()])
        return Escape() if draw < 0.4 else mistake  # noqa: PLR2004 - one in five
