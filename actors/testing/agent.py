"""An agent that follows a script: it does the steps that it was given for a turn, in their order."""

import itertools
from collections.abc import Mapping
from contextlib import suppress

import trio

from actors.errors import ActorsError
from actors.runtime.turn import Turn
from actors.testing.steps import (
    Ask,
    Call,
    Do,
    Flood,
    Hang,
    IgnoreCancel,
    LateWrite,
    Raise,
    RaiseStray,
    Return,
    SaveState,
    Say,
    Script,
    ScriptKey,
    Shield,
    Step,
    TakeSteering,
    Think,
    Wait,
)


class ScriptedAgent:
    """An agent made of steps; give it to ``open_runtime`` as it is, or to ``agent`` with policies.

    The script of a turn is the one for its attempt, else for the turn, else for its chat, else ``default``.
    """

    def __init__(
        self,
        default: Script = (Say("ok"),),  # noqa: B008 - a step is a frozen value
        scripts: Mapping[ScriptKey, Script] | None = None,
    ) -> None:
        """Know every script from the start; ``scripts`` may be added to while it runs."""
        self.default = default
        self.scripts: dict[ScriptKey, Script] = dict(scripts or {})
        self.runs: list[tuple[str, int, int]] = []
        """Chat, turn and attempt of every run, in the order in which they began."""
        self.answers: list[str] = []
        self.steering: list[str] = []
        """What ``TakeSteering`` has taken, in its order."""
        self.errors: list[BaseException] = []
        """What the steps were told that they swallowed."""
        self.kept: list[tuple[Turn, str]] = []

    async def __call__(self, turn: Turn) -> str | None:
        """Answer a turn."""
        self.runs.append((turn.chat_id, turn.number, turn.attempt))
        for step in self.script_of(turn):
            if isinstance(step, Return):
                return step.text
            await self._do(step, turn)
        return None

    def script_of(self, turn: Turn) -> Script:
        """Find the script of a turn."""
        keys: tuple[ScriptKey, ...] = (
            (turn.chat_id, turn.number, turn.attempt),
            (turn.chat_id, turn.number),
            turn.chat_id,
        )
        return next((self.scripts[key] for key in keys if key in self.scripts), self.default)

    async def write_late(self) -> list[BaseException]:
        """Write what ``LateWrite`` kept, and return what the turns answered; an empty list means nobody objected."""
        kept, self.kept = self.kept, []
        answers: list[BaseException] = []
        for turn, text in kept:
            try:
                await turn.write(text)
            except ActorsError as error:
                answers.append(error)
        return answers

    async def _do(self, step: Step, turn: Turn) -> None:
        """Do one step."""
        match step:
            case Say():
                for piece in _split(step.text, step.pieces):
                    if step.every_s:
                        await trio.sleep(step.every_s)
                    await turn.write(piece)
            case Think():
                await turn.think(step.text)
            case Call():
                await self._call(step, turn)
            case Ask():
                answer = await turn.ask(
                    step.question,
                    kind=step.kind,
                    choices=step.choices,
                    expires_s=step.expires_s,
                    default=step.default,
                )
                self.answers.append(answer)
            case TakeSteering():
                self.steering += [message.text for message in await turn.steering()]
            case Wait():
                if isinstance(step.until, trio.Event):
                    await step.until.wait()
                else:
                    await trio.sleep(step.until)
            case Raise():
                raise step.error
            case RaiseStray():
                stray = await _stray()
                grouped = step.beside or step.grouped
                raise BaseExceptionGroup("a stray cancellation", [stray, *step.beside]) if grouped else stray
            case Hang():
                await trio.sleep_forever()
            case Shield():
                with trio.CancelScope(shield=True):
                    await trio.sleep(step.seconds)
            case IgnoreCancel():
                await self._ignore(step, turn)
            case Flood():
                for _ in range(step.pieces):
                    await turn.write(step.text)
            case SaveState():
                turn.state = step.value
            case LateWrite():
                self.kept.append((turn, step.text))
            case Do():
                await step.function(turn)
            case Return():
                pass  # the caller has seen to it

    async def _call(self, step: Call, turn: Turn) -> None:
        """Call a tool and end the call, as often as the step says."""
        call = await turn.call(step.name, step.arguments)
        await trio.sleep(step.seconds)
        for _ in range(step.times if step.result is not None else 0):
            try:
                await call.end(step.result or "", ok=step.ok)
            except ActorsError as error:
                self.errors.append(error)

    async def _ignore(self, step: IgnoreCancel, turn: Turn) -> None:
        """Go on after a cancellation."""
        with suppress(trio.Cancelled):
            await trio.sleep_forever()
        with trio.CancelScope(shield=True):
            await trio.sleep(step.seconds)
        try:
            await turn.write(step.text)
        except (ActorsError, trio.Cancelled) as error:
            self.errors.append(error)


def _split(text: str, pieces: int) -> list[str]:
    """Cut a text into so many pieces of about equal length."""
    cuts = [len(text) * number // pieces for number in range(pieces + 1)]
    return [text[low:high] for low, high in itertools.pairwise(cuts)]


async def _stray() -> trio.Cancelled:
    """Get a cancellation whose scope is over: what code that catches too much may raise again much later."""
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            return cancelled
    message = "a cancelled scope did not cancel"
    raise AssertionError(message)
