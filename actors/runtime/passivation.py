"""The service that looks over the sessions in memory and has those put away that ``core/passivation`` chooses.

It sleeps until the first of them can have been idle for long enough, and is woken when there are more than there may
be. A look takes time in proportion to the sessions in memory and gives way in between. It is not repeated before so
much time has passed that looking holds no more than a hundredth of the loop, or a twentieth while there are too many.
"""

import math
from typing import Final

import trio

from actors.core.lifecycle import SessionPhase
from actors.core.passivation import Choice, Facts, choose
from actors.runtime.ref import Ref
from actors.runtime.registry import Registry
from actors.runtime.resting import passivate
from actors.runtime.services import Services

LOOK_S_MAX: Final = 60.0
"""How long memory may grow unseen; also how late a session is put away that came to rest without a word."""

LOOK_SHARE: Final = 0.01
"""The share of the loop that looking may take."""

CROWDED_SHARE: Final = 0.05
"""The same while there are too many sessions: each newcomer costs many times what looking at one does."""

SESSIONS_BETWEEN_YIELDS: Final = 256

_MAY_LEAVE: Final = frozenset({SessionPhase.ABSENT, SessionPhase.ACTIVE})
_COUNTED: Final = _MAY_LEAVE | {SessionPhase.ACTIVATING, SessionPhase.RESTARTING}


class Passivator:
    """Puts sessions away for being idle, too many or too large."""

    def __init__(self, services: Services, registry: Registry) -> None:
        """Look after the sessions of one runtime; it hears of each that comes into memory."""
        self._services = services
        self._registry = registry
        self._scope = trio.CancelScope()
        self._next_s = math.inf
        self._not_before_s = 0.0
        self._crowded_s = 0.0
        registry.inserted = self._inserted

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._next_s) as self._scope:
                await trio.sleep_forever()
            self._next_s = math.inf
            try:
                await self.look()
            except BaseException:
                self._wake_by(self._services.clock.now_s() + LOOK_S_MAX)  # who starts anew looks again
                raise

    async def look(self) -> None:
        """Look at every session in memory once, and ask those to leave that are chosen."""
        clock, limits = self._services.clock, self._services.limits
        began_s, took_s = clock.busy_s(), 0.0
        now_s = clock.now_s()
        seen: list[Facts] = []
        for number, ref in enumerate(self._registry, 1):
            if ref.phase in _COUNTED:
                seen.append(facts_of(ref, now_s, limits.stable_s))
            if not number % SESSIONS_BETWEEN_YIELDS:
                took_s += clock.busy_s() - began_s
                await trio.lowlevel.checkpoint()
                began_s = clock.busy_s()
        choice = choose(seen, clock.now_s(), limits)
        for number, away in enumerate(choice.put_away, 1):
            found = self._registry.get(away.chat_id)
            if found is not None:
                passivate(self._registry, self._services, found, away.reason)
            if not number % SESSIONS_BETWEEN_YIELDS:
                took_s += clock.busy_s() - began_s
                await trio.lowlevel.checkpoint()
                began_s = clock.busy_s()
        took_s += clock.busy_s() - began_s
        self._plan(choice, len(seen), clock.now_s(), took_s)

    def _plan(self, choice: Choice, sessions: int, now_s: float, took_s: float) -> None:
        """Say when to look again."""
        limits = self._services.limits
        self._not_before_s = now_s + took_s / LOOK_SHARE
        # Still crowded: everything above the bound is at work or has just come, and no newcomer changes that.
        crowded = sessions - len(choice.put_away) > limits.sessions_live_max
        self._crowded_s = max(now_s + took_s / CROWDED_SHARE, choice.next_s if crowded else 0.0)
        if sessions:
            self._wake_by(max(min(choice.next_s, now_s + LOOK_S_MAX), self._not_before_s))

    def _inserted(self, ref: Ref) -> None:
        """Hear of a session that has come into memory."""
        now_s = self._services.clock.now_s()
        ref.resident_s = ref.active_s = now_s
        limits = self._services.limits
        if len(self._registry.refs) > limits.sessions_live_max:
            self._wake_by(max(now_s, self._crowded_s))
        elif self._next_s == math.inf:
            self._wake_by(max(now_s + min(limits.idle_s, LOOK_S_MAX), self._not_before_s))

    def _wake_by(self, at_s: float) -> None:
        """Look at this moment at the latest."""
        if at_s < self._next_s:
            self._next_s = self._scope.deadline = at_s


def facts_of(ref: Ref, now_s: float, stable_s: float) -> Facts:
    """Say of a session in memory what the decision may know; one that crashed lately keeps its budget by staying."""
    failed = bool(ref.failures) and now_s - ref.failures[-1] < stable_s
    held = failed or ref.phase not in _MAY_LEAVE or not ref.at_rest
    return Facts(ref.chat_id, ref.active_s, ref.resident_s, ref.size_bytes, held)
