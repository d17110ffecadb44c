"""Looks at the runtime once in a while and says what is out of order; nothing is paid per message.

Ages are found by looking twice: what has not moved since the look before is at least that old. So the age of a message
or of a turn without progress is known to a look, and never over-stated.
"""

from collections import deque
from collections.abc import Iterator

import attrs
import trio

from actors.core.alarms import NONE, Alarm, AlarmKind, Current, Fact, sound
from actors.core.lifecycle import SessionPhase
from actors.runtime.frames import place_of
from actors.runtime.ref import Ref
from actors.runtime.registry import Registry
from actors.runtime.services import Services
from actors.runtime.turn import Turn

_REFS_BETWEEN_CHECKPOINTS = 500
"""Sessions looked at in one step; a hundred thousand of them would stall the loop."""


@attrs.frozen
class _Letters:
    """The number of the last letter that was in a box when it was looked at, and when that was."""

    admitted: int
    at_s: float


@attrs.frozen
class _Progress:
    """What a turn had done when it was looked at first in this state, and when that was."""

    turn: Turn
    done: tuple[int, int, int]
    at_s: float


@attrs.frozen
class _Totals:
    """Counts that only grow, at one moment."""

    at_s: float
    restarts: int
    dead: int
    stalls: int


class Alarms:
    """The alarms of one runtime."""

    def __init__(self, services: Services, registry: Registry) -> None:
        """Begin with none."""
        self._services = services
        self._registry = registry
        self._current: Current = NONE
        self._letters: dict[str, _Letters] = {}
        self._turns: dict[str, _Progress] = {}
        self._totals: deque[_Totals] = deque([_Totals(services.clock.now_s(), 0, 0, 0)])
        self.raised = 0

    @property
    def current(self) -> tuple[Alarm, ...]:
        """The alarms that are on, the oldest first."""
        return tuple(sorted(self._current.values(), key=lambda alarm: alarm.since_s))

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await trio.sleep(self._services.limits.alarm_s)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        services, limits = self._services, self._services.limits
        now_s = services.clock.now_s()
        facts = list(self._of_runtime(now_s))
        letters, turns = self._letters, self._turns
        self._letters, self._turns = {}, {}  # only what is found again is remembered
        for number, ref in enumerate(self._registry, 1):
            if ref.turn is not None or ref.mailbox.messages or ref.phase is SessionPhase.QUARANTINED:
                facts += self._of_session(ref, letters.get(ref.chat_id), turns.get(ref.chat_id), now_s)
            if not number % _REFS_BETWEEN_CHECKPOINTS:
                await trio.lowlevel.checkpoint()
        changes = sound(self._current, facts, now_s, limits.alarm_rest_s)
        self._current = changes.current
        self.raised += len(changes.raised)
        for alarm in changes.raised:
            services.recorder.record(
                "warning",
                "alarm.raised",
                chat_id=alarm.chat_id,
                kind=str(alarm.kind),
                value=round(alarm.value, 3),
                limit=alarm.limit,
                place=alarm.place,
            )
        for alarm in changes.cleared:
            lasted_s = round(now_s - alarm.since_s, 3)
            services.recorder.record(
                "info", "alarm.cleared", chat_id=alarm.chat_id, kind=str(alarm.kind), lasted_s=lasted_s
            )

    def _of_session(
        self, ref: Ref, letters: _Letters | None, progress: _Progress | None, now_s: float
    ) -> Iterator[Fact]:
        """Measure one session that has something under way."""
        limits, box = self._services.limits, ref.mailbox
        waiting = len(box.messages)
        if waiting:
            share = 100.0 * waiting / limits.mailbox_messages_max
            yield Fact(AlarmKind.QUEUE_LENGTH, ref.chat_id, share, limits.alarm_queue_percent_max)
            taken = box.admitted - waiting
            if letters is None or not taken < letters.admitted <= box.admitted:
                letters = _Letters(box.admitted, now_s)  # what was there has gone
            self._letters[ref.chat_id] = letters
            yield Fact(AlarmKind.MESSAGE_AGE, ref.chat_id, now_s - letters.at_s, limits.alarm_age_s)
        turn = ref.turn
        if isinstance(turn, Turn) and not turn.prompts:  # who waits for a person is not stuck
            done = (turn.pieces, turn.reports, ref.seq)
            if progress is None or progress.turn is not turn or progress.done != done:
                progress = _Progress(turn, done, now_s)
            self._turns[ref.chat_id] = progress
            age_s = now_s - progress.at_s
            place = place_of(turn.task) if age_s >= limits.soft_turn_s else ""
            yield Fact(AlarmKind.TURN_AGE, ref.chat_id, age_s, limits.soft_turn_s, place)
        if ref.phase is SessionPhase.QUARANTINED:
            yield Fact(AlarmKind.QUARANTINE, ref.chat_id, 1.0, 1.0)

    def _of_runtime(self, now_s: float) -> Iterator[Fact]:
        """Measure what concerns all: rates over the window, the loop, the fleet, the zombies."""
        services, limits = self._services, self._services.limits
        counts = services.accounts.counts
        dead = counts.dead + sum(counts.dropped.values())
        totals = _Totals(now_s, counts.restarts, dead, services.watchdog.stalls)
        self._totals.append(totals)
        while now_s - self._totals[0].at_s > limits.alarm_window_s:
            self._totals.popleft()
        first = self._totals[0]
        yield Fact(AlarmKind.RESTART_RATE, "", totals.restarts - first.restarts, limits.alarm_restarts_max)
        yield Fact(AlarmKind.DEAD_LETTER_RATE, "", totals.dead - first.dead, limits.alarm_dead_letters_max)
        churn = services.accounts.churn.per_minute(now_s)
        yield Fact(AlarmKind.ACTIVATION_CHURN, "", churn, limits.alarm_churn_max)
        last = services.watchdog.last
        stalls = totals.stalls - first.stalls
        if last is not None and stalls:
            yield Fact(AlarmKind.LOOP_STALL, last.chat_id, stalls, 1.0, last.place)
        if services.breaker.paused:
            yield Fact(AlarmKind.FLEET_BREAKER, "", 1.0, 1.0)
        for zombie in services.zombies.alive():
            yield Fact(AlarmKind.ZOMBIE, zombie.chat_id, 1.0, 1.0, zombie.place)
