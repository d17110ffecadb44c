"""How a runtime begins and ends: settle what an earlier life left, hear of the store, stop in bounded phases."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import attrs
import trio

from actors.core.ids import ChatId
from actors.core.lifecycle import UP, SessionPhase
from actors.core.stream import ProgressSignal
from actors.errors import RefusedError, StoreError
from actors.runtime.control import Prepare, Stop
from actors.runtime.draining import is_busy
from actors.runtime.mailbox import Reply
from actors.runtime.registry import Registry
from actors.runtime.router import Router
from actors.runtime.services import Services
from actors.runtime.supervisor import Supervisor

_POLL_S: Final = 0.005


@attrs.frozen
class Phases:
    """The first and the last things that a runtime does."""

    _services: Services
    _registry: Registry
    _supervisor: Supervisor
    _router: Router

    async def recover(self, unfinished: Sequence[ChatId]) -> None:
        """Settle what an earlier life left running and go on with what it left queued, before anything is taken.

        When no session gets any further for the limit ``phase_s``, those that are left are not waited for: each takes
        nothing before it has recovered, and goes on trying by itself.
        """
        replies = []
        for chat_id in unfinished:
            ref = self._registry.get_or_insert(chat_id)
            reply = Reply()
            ref.mailbox.post_control(reply, Prepare(reply, history=False))
            self._supervisor.activate(ref)
            replies.append(reply)
        with trio.CancelScope() as scope:
            for reply in replies:
                scope.deadline = trio.current_time() + self._services.limits.phase_s
                with suppress(StoreError, RefusedError):  # it is kept out and logged; the others are not its business
                    await reply.wait()

    def store_changed(self, what: str) -> None:
        """Hear from the writer that the store is degraded, has recovered, or belongs to another life."""
        if what == "fenced":
            self._services.stopping = self._services.fenced = True
            self._router.close()
        for ref in self._registry:
            ref.broadcast.progress(ProgressSignal(ref.chat_id, 0, what, ""))
            if self._services.fenced:  # what runs here could write nothing more
                ref.mailbox.post_control(Stop, Stop("fenced"))

    async def shut_down(self, drain_s: float) -> None:
        """Stop, in phases each of which is bounded: take nothing more, drain, stop sessions, write what is left."""
        services, limits = self._services, self._services.limits
        services.stopping = True
        self._router.close()
        services.recorder.record("info", "runtime.stopping", sessions=self._supervisor.live)
        with trio.move_on_after(drain_s):
            while self._supervisor.live and (busy := [ref for ref in self._registry if is_busy(ref)]):
                while any(map(is_busy, busy)):  # noqa: ASYNC110 - rare and bounded; there is no one event to wait for
                    await trio.sleep(_POLL_S)  # and only these are looked at: a hundred thousand would hold them up
        for ref in self._registry:
            if ref.phase in UP:
                self._registry.move(ref, "stop")
            elif ref.phase is not SessionPhase.STOPPING:  # as one is that was given time to end
                continue
            ref.mailbox.post_control(Stop, Stop("shutdown"))
        with trio.move_on_after(limits.phase_s):
            while self._supervisor.live:  # noqa: ASYNC110 - rare and bounded; there is no one event to wait for
                await trio.sleep(_POLL_S)
        with trio.move_on_after(limits.phase_s):
            while not services.committer.idle:  # noqa: ASYNC110 - rare and bounded; there is no one event to wait for
                await trio.sleep(_POLL_S)
