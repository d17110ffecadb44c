"""What hosts test their agents with, and we the runtime: agents that follow a script, time and a journal that obey.

``ScriptedAgent`` does the steps it was given, ``VirtualClock`` is held by the test, ``FaultyJournal`` fails when it was
told to, and ``checked_runtime`` fails a test that leaves something behind. Under trio's ``MockClock`` with autojump
none of it waits for real time. With pytest-trio, ``pytest_plugins = ["actors.testing"]`` in a ``conftest.py`` gives the
fixture ``actors_runtime``: ``checked_runtime``, on such a clock only. Nothing of the package imports this module.
"""

import itertools
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import attrs
import trio
from trio.testing import MockClock
from typing_extensions import override

from actors.core.codec import encode_body
from actors.core.ids import ChatId
from actors.core.lifecycle import SessionPhase
from actors.core.limits import Limits
from actors.errors import ActorsError
from actors.host import LogLevel, open_runtime
from actors.ports import Clock, Journal
from actors.runtime.agent import Agent
from actors.runtime.clock import SystemClock
from actors.runtime.facade import Runtime
from actors.runtime.ref import Ref
from actors.runtime.turn import Turn
from actors.store.faulty import Alters, Answers, Delays, Fails, Fault, FaultyJournal, Hangs, LosesAnswer
from actors.store.memory import MemoryJournal

__all__ = [
    "Alters", "Answers", "Ask", "Call", "Delays", "Do", "Fails", "Fault", "FaultyJournal", "Flood", "Hang", "Hangs",
    "IgnoreCancel", "LateWrite", "LosesAnswer", "Raise", "RaiseStray", "Return", "SaveState", "Say", "Script",
    "ScriptKey", "ScriptedAgent", "Shield", "Step", "Think", "VirtualClock", "Wait", "canonical", "checked_runtime",
    "records_of", "settle", "unsettled",
]  # fmt: skip

SETTLE_S: Final = 120.0
"""How long ``settle`` waits, on trio's clock: longer than any back-off and any grace of the default limits."""

_STEP_S: Final = 0.01
_SEEDS: Final = itertools.count(1000)
"""So that two lives on one store do not make the same ids."""
_PAGE_ROWS: Final = 1000


@attrs.frozen
class Say:
    """Write a text in so many pieces, ``every_s`` seconds before each."""

    text: str
    pieces: int = 1
    every_s: float = 0.0


@attrs.frozen
class Think:
    """Show a piece of thinking."""

    text: str


@attrs.frozen
class Call:
    """Call a tool that takes ``seconds``; without a result the call is left open. It is ended ``times`` times."""

    name: str
    arguments: object = None
    result: str | None = "done"
    ok: bool = True
    seconds: float = 0.0
    times: int = 1


@attrs.frozen
class Ask:
    """Ask a person; the answer is kept in ``ScriptedAgent.answers``."""

    question: str
    kind: Literal["permission", "choice", "text"] = "text"
    choices: tuple[str, ...] = ()


@attrs.frozen
class Wait:
    """Wait so many seconds, or for an event that the test sets."""

    until: float | trio.Event


@attrs.frozen
class Raise:
    """Raise an exception, given as an instance or a type: of any kind, groups included."""

    error: BaseException | type[BaseException]


@attrs.frozen
class RaiseStray:
    """Raise a ``trio.Cancelled`` that belongs to no scope any more: alone, or in a group beside other errors."""

    beside: tuple[BaseException, ...] = ()
    grouped: bool = False


@attrs.frozen
class Hang:
    """Wait for ever; a cancellation is heard."""


@attrs.frozen
class Shield:
    """Wait so many seconds without hearing a cancellation."""

    seconds: float


@attrs.frozen
class IgnoreCancel:
    """Wait to be cancelled, swallow it, stay for ``seconds``, and write ``text`` as if nothing had happened.

    What the writing raises is kept in ``ScriptedAgent.errors`` and swallowed too.
    """

    seconds: float = 0.0
    text: str = ""


@attrs.frozen
class Flood:
    """Write the same piece of text so many times."""

    pieces: int
    text: str = "x"


@attrs.frozen
class SaveState:
    """Replace the agent's state of the session."""

    value: object


@attrs.frozen
class LateWrite:
    """Keep the turn; ``ScriptedAgent.write_late`` writes the text to it, whenever the test calls it."""

    text: str


@attrs.frozen
class Do:
    """Call an async function of the turn: whatever no other step does."""

    function: Callable[[Turn], Awaitable[object]]


@attrs.frozen
class Return:
    """Return a text from the agent; what comes after it in the script is not done."""

    text: str


Step = (
    Say | Think | Call | Ask | Wait | Raise | RaiseStray | Hang | Shield | IgnoreCancel | Flood | SaveState | LateWrite
    | Do | Return
)  # fmt: skip
"""Something an agent does in a turn."""

Script = Sequence[Step]
ScriptKey = str | tuple[str, int] | tuple[str, int, int]
"""What a script is for: every turn of a chat, one turn of it, or one attempt of one turn."""


class ScriptedAgent:
    """An agent made of steps; give it to ``open_runtime`` as it is, or to ``agent`` with policies.

    The script of a turn is the one for its attempt, else for the turn, else for its chat, else ``default``.
    """

    def __init__(self, default: Script = (Say("ok"),), scripts: Mapping[ScriptKey, Script] | None = None) -> None:
        """Know every script from the start; ``scripts`` may be added to while it runs."""
        self.default = default
        self.scripts: dict[ScriptKey, Script] = dict(scripts or {})
        self.runs: list[tuple[str, int, int]] = []
        """Chat, turn and attempt of every run, in the order in which they began."""
        self.answers: list[str] = []
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
                self.answers.append(await turn.ask(step.question, kind=step.kind, choices=step.choices))
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


class VirtualClock(SystemClock):
    """Time, ids and dice held by a test: deadlines follow trio's clock, so use it with trio's ``MockClock``.

    Wall time starts at ``wall_s``, goes on with trio's clock, and jumps when told to. Busy time goes on by a tick each
    time it is read, so that whoever never waits gives way after a number of steps that is always the same. Dice and ids
    come from the seed; dice given in ``rolls`` come first.
    """

    def __init__(self, seed: int = 0, *, wall_s: float = 1_750_000_000.0, rolls: Sequence[float] = ()) -> None:
        """Start at a moment."""
        super().__init__(seed)
        self._base_s = wall_s
        self._busy = 0.0
        self.tick_s = 1e-6
        self.rolls = list(rolls)

    @override
    def wall_s(self) -> float:
        return self._base_s + self.now_s()

    @override
    def busy_s(self) -> float:
        self._busy += self.tick_s
        return self._busy

    @override
    def dice(self) -> float:
        return self.rolls.pop(0) if self.rolls else super().dice()

    def jump(self, seconds: float) -> None:
        """Let wall time jump forwards or back; nothing that waits may notice."""
        self._base_s += seconds


@asynccontextmanager
async def checked_runtime(  # noqa: PLR0913 - the options of open_runtime, and one of its own
    agent: "Agent | ScriptedAgent | Callable[[Turn], Awaitable[str | None]] | None" = None,
    *,
    store: Journal | str | Path | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
    log: str | Path | BinaryIO | None = None,
    log_level: LogLevel = "debug",
    takeover: bool = False,
    open_turns: bool = False,
) -> AsyncIterator[Runtime]:
    """Open a runtime that is checked when the block is left: in memory and on virtual time, unless told otherwise.

    Before it closes, the runtime is given time to come to rest (``settle``). The test fails with an AssertionError that
    lists everything that did not: a message in a mailbox, a sender that waits, a turn that is open (``open_turns``
    allows those), a subscriber, a task, a sum that is wrong. After it has closed, the sums are checked again. A block
    that raises is not checked.
    """
    journal = MemoryJournal() if store is None else store
    answer = ScriptedAgent() if agent is None else agent
    time = clock or VirtualClock(next(_SEEDS))
    try:
        async with open_runtime(
            journal, agent=answer, limits=limits, log=log, log_level=log_level, takeover=takeover, clock=time
        ) as runtime:
            yield runtime
            await settle(runtime, open_turns=open_turns)
    except BaseException as error:
        # Nobody would notice one from inside: whoever opened the scope that it cancelled has swallowed it.
        torn_down = trio.current_effective_deadline() == -math.inf
        assert torn_down or not _is_cancellation(error), "a cancellation came from inside the runtime"  # noqa: PT017 - not a test, the check of one
        raise
    after = runtime.statistics()
    wrong = [] if after.closed else [f"the sums are wrong after the close: {after}"]
    wrong += [f"{after.mailbox_bytes} bytes are in mailboxes after the close"] if after.mailbox_bytes else []
    wrong += [f"{after.sessions_live} sessions live after the close"] if after.sessions_live else []
    wrong += [f"{after.letters.queued} letters are queued after the close"] if after.letters.queued else []
    assert not wrong, "\n".join(wrong)


async def settle(runtime: Runtime, *, within_s: float = SETTLE_S, open_turns: bool = False) -> None:
    """Wait until a runtime is at rest: nothing queued, nothing being written, no turn open unless ``open_turns``.

    Raises AssertionError with what is not at rest after ``within_s`` seconds on trio's clock.
    """
    with trio.move_on_after(within_s):
        while unsettled(runtime, open_turns=open_turns):  # noqa: ASYNC110 - it looks from outside
            await trio.sleep(_STEP_S)
    left = unsettled(runtime, open_turns=open_turns)
    assert not left, "\n".join(["the runtime did not come to rest:", *left])


def unsettled(runtime: Runtime, *, open_turns: bool = False) -> list[str]:
    """List what is not at rest in a runtime, in sentences; nothing if everything is."""
    refs = list(runtime._registry)  # noqa: SLF001 - this module looks behind the facade so that tests need not
    left = [sentence for ref in refs for sentence in _unsettled(ref, open_turns=open_turns)]
    supervisor = runtime._supervisor  # noqa: SLF001 - as above
    turns = sum(ref.turn is not None for ref in refs)
    tasks = len(supervisor.tasks)
    if tasks != supervisor.live + turns:
        left.append(f"{tasks} tasks run for {supervisor.live} sessions and {turns} turns: {supervisor.tasks}")
    statistics = runtime.statistics()
    if not statistics.closed:
        sums = f"sent {statistics.sent}, refused {statistics.refused}, given up {statistics.given_up}"
        left.append(f"the sums are wrong: {sums}, {statistics.letters}")
    return left


async def canonical(journal: Journal, chat_id: str) -> bytes:
    """Return what is stored of a session, without times and epochs: equal for equal conversations."""
    lines: list[str] = []
    after = 0
    while True:
        events = await journal.events(ChatId(chat_id), after, _PAGE_ROWS)
        lines += [f"{event.seq} {encode_body(event.body)}" for event in events]
        if len(events) < _PAGE_ROWS:
            return "\n".join(lines).encode()
        after = events[-1].seq


def records_of(log: BytesIO) -> list[dict[str, Any]]:
    """Read the records that a runtime wrote to a log in memory; look after the runtime has closed."""
    return [json.loads(line) for line in log.getvalue().splitlines()]


def _unsettled(ref: Ref, *, open_turns: bool) -> list[str]:
    """List what is not at rest in one session."""
    box = ref.mailbox
    kept_on_disk = open_turns or ref.phase in {SessionPhase.QUARANTINED, SessionPhase.FENCED}
    turns = () if ref.state is None or kept_on_disk else ref.state.open_turns
    facts = {
        "messages in its mailbox": len(box.messages),
        "senders waiting for room": box.waiting,
        "words of its turn to be written": len(box.inner),
        "control signals": len(box.control),
        "writes under way": int(ref.writing),
        "turns open": len(turns),
        "subscribers": len(ref.broadcast),
        "lives about to begin or end": int(ref.phase in _ON_THE_WAY),
        "handlers that run": int(ref.phase is SessionPhase.ACTIVE and not box.parked),
    }
    return [f"{ref.chat_id} has {count} {what}" for what, count in facts.items() if count]


_ON_THE_WAY: Final = frozenset({SessionPhase.ACTIVATING, SessionPhase.RESTARTING, SessionPhase.STOPPING})


def _is_cancellation(error: BaseException) -> bool:
    """Say whether an error holds nothing but cancellations."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1] is None
    return isinstance(error, trio.Cancelled)


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


try:
    import pytest
except ImportError:  # a host without pytest has everything but the fixture
    pass
else:

    @pytest.fixture
    def actors_runtime(autojump_clock: MockClock) -> Callable[..., AbstractAsyncContextManager[Runtime]]:
        """Give ``checked_runtime`` on a clock that jumps to the next deadline when nothing can run.

        The test must name ``autojump_clock`` too, since pytest-trio looks for a clock among its arguments only.
        """

        def checked(*arguments: Any, **options: Any) -> AbstractAsyncContextManager[Runtime]:  # noqa: ANN401 - passed on
            assert trio.lowlevel.current_clock() is autojump_clock, "name autojump_clock among the test's arguments"
            return checked_runtime(*arguments, **options)

        return checked
