"""Tasks that were told to end and do not: taken out of the way, named, counted, and listed until they have ended.

Trio cannot end a task that does not want to: a shielded clean-up, a thread. What it still does is refused: its turn is
over, its incarnation is not the one that runs. So it can hold nobody up, and nothing of it reaches the journal.
"""

from collections.abc import Callable

import attrs
import trio

from actors.ports import Clock
from actors.runtime.deadlines import Deadlines
from actors.runtime.frames import is_over, place_of
from actors.runtime.recorder import Recorder


@attrs.frozen
class Zombie:
    """A task that should have ended: of a turn, or of a whole incarnation if ``turn`` is None.

    ``since_s`` is on trio's clock; ``place`` is the line at which it waits now.
    """

    chat_id: str
    incarnation: int
    turn: int | None
    since_s: float
    place: str


@attrs.frozen
class _Kept:
    """A zombie with its task."""

    task: trio.lowlevel.Task
    zombie: Zombie


class Zombies:
    """Waits for tasks to end, and keeps those that did not."""

    def __init__(self, kill_s: float, clock: Clock, recorder: Recorder) -> None:
        """Give every task the same time to end."""
        self._clock = clock
        self._recorder = recorder
        self._due: Deadlines[object] = Deadlines(kill_s, clock)
        self._kept: list[_Kept] = []
        self.total = 0

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._due.run()

    def expect_end(self, who: object, overdue: Callable[[], None]) -> None:
        """Have ``overdue`` called when the time to end is up; it looks for itself whether that is still so."""
        self._due.add(who, lambda _: overdue())

    def ended(self, who: object) -> None:
        """Expect nothing more of this one."""
        self._due.discard(who)

    def add(self, task: trio.lowlevel.Task, chat_id: str, incarnation: int, turn: int | None = None) -> None:
        """Keep a task that did not end, and say where it waits."""
        place = place_of(task)
        self._kept = [one for one in self._kept if not is_over(one.task)]
        self._kept.append(_Kept(task, Zombie(chat_id, incarnation, turn, self._clock.now_s(), place)))
        self.total += 1
        if turn is None:
            self._recorder.record("error", "session.zombie", chat_id=chat_id, incarnation=incarnation, place=place)
        else:
            self._recorder.record("error", "turn.abandoned", chat_id=chat_id, turn=turn, place=place)

    def alive(self) -> tuple[Zombie, ...]:
        """List those that have not ended, with where each waits now, the oldest first."""
        self._kept = [one for one in self._kept if not is_over(one.task)]
        return tuple(attrs.evolve(one.zombie, place=place_of(one.task)) for one in self._kept)
