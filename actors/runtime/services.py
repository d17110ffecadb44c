"""What every session of a runtime shares, handed to each by its supervisor."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

from actors.core.decision import Policy
from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.ports import Clock, Journal
from actors.runtime.accounting import Accounts
from actors.runtime.agent import Agent
from actors.runtime.breaker import Breaker
from actors.runtime.committer import Committer
from actors.runtime.crash_reports import CrashReports
from actors.runtime.deadlines import Deadlines
from actors.runtime.due import Due
from actors.runtime.expiry import Expiries
from actors.runtime.kin import Kin
from actors.runtime.monitors import Monitors
from actors.runtime.recorder import Recorder
from actors.runtime.ref import Ref
from actors.runtime.sent import Child, Sent
from actors.runtime.service_group import ServiceGroup
from actors.runtime.tracing import Tracing
from actors.runtime.watchdog import Watchdog
from actors.runtime.workers import Workers
from actors.runtime.zombies import Zombies

if TYPE_CHECKING:
    from actors.runtime.turn import Turn


class Checkpoints:
    """Asks turns to hand over what they have said, once the checkpoint window has passed."""

    def __init__(self, window_s: float, clock: Clock) -> None:
        """The window is the same for all, so the turns wait in the order in which they are due."""
        self._window_s = window_s
        self._clock = clock
        self._due: deque[Due[Turn]] = deque()
        self._task: trio.lowlevel.Task | None = None

    def add(self, turn: "Turn", flush: "Callable[[Turn], None]") -> None:
        """Have ``flush`` called with the turn when the window has passed, unless it ends before that."""
        turn.due = Due(self._clock.now_s() + self._window_s, turn, flush)
        self._due.append(turn.due)
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            while self._due:
                due = self._due[0]
                if due.item is not None and due.due_s > self._clock.now_s():
                    await trio.sleep_until(due.due_s)
                self._due.popleft()
                if due.item is not None:
                    due.item.due = None
                    due.call(due.item)
                del due  # or the last one would be held for as long as nobody speaks
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        """Stop waiting."""
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class FamilyPort(Protocol):
    """What the turns of all sessions start in other sessions; each method raises RefusedError with its reason."""

    async def spawn(self, turn: "Turn", text: object, name: str) -> Child:
        """Bring a child into being and give it a message."""
        ...

    async def send(self, turn: "Turn", chat_id: object, text: object, message_id: object) -> Sent:
        """Have a message accepted by another session."""
        ...

    async def ask(self, turn: "Turn", chat_id: object, payload: object, timeout_s: float | None) -> object:
        """Ask the handler of another session."""
        ...


@attrs.define
class Services:
    """The runtime as its sessions see it.

    ``spawn`` runs a task that lives at most as long as the runtime, and ``watch_handlers`` ends handlers that run for
    too long: the supervisor's. ``moved`` is told of a ref and the id that its session has from now on. ``put_away``
    passivates sessions at rest, ``watch_alarms`` looks for what is out of order. ``store_changed`` hears what the
    writer has to say.
    """

    epoch: int
    agent: Agent
    policy: Policy
    limits: Limits
    clock: Clock
    journal: Journal
    committer: Committer
    recorder: Recorder
    accounts: Accounts
    checkpoints: Checkpoints
    deadlines: "Deadlines[Turn]"
    expiries: Expiries
    timers: Expiries
    kin: Kin
    cooldowns: Deadlines[Ref]
    stops: Deadlines[Ref]
    zombies: Zombies
    crash_reports: CrashReports
    monitors: Monitors
    watchdog: Watchdog
    workers: Workers
    activations: trio.Semaphore
    tracing: Tracing
    breaker: Breaker
    group: ServiceGroup = attrs.field(init=False)
    spawn: Callable[..., None] = lambda *_: None
    watch_handlers: Callable[[], Awaitable[None]] = trio.sleep_forever
    put_away: Callable[[], Awaitable[None]] = trio.sleep_forever
    watch_alarms: Callable[[], Awaitable[None]] = trio.sleep_forever
    store_changed: Callable[[str], None] = lambda _: None
    fall_due: Callable[[ChatId], None] = lambda _: None
    family: FamilyPort | None = None
    stopping: bool = False
    fenced: bool = False
    moved: Callable[..., None] = lambda *_: None
    debug: bool = False
