"""The runtime's own services, in the order in which they stand on one another (OTP's rest_for_one).

A service that ends, however that is, is started again together with those that were started after it, which end first,
in reverse. What a service has in hand belongs to its object and not to its task, so nothing is lost by that. When more
restarts are needed than the budget allows, nobody is left who could run sessions: ``lost`` says why, and whoever owns
the group is told.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs
import trio

from actors.core.limits import Limits
from actors.core.supervision import ChildKind, ExitReason, Strategy, is_restarted, restarted_with
from actors.errors import ServiceLostError
from actors.runtime.recorder import Recorder

STRATEGY: Final = Strategy.REST_FOR_ONE


@attrs.frozen
class Service:
    """One service: its name, and what runs until it is cancelled."""

    name: str
    run: Callable[[], Awaitable[None]]


@attrs.define
class _Child:
    """A service that runs: its scope, and the events of its beginning and its end."""

    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    begun: trio.Event = attrs.Factory(trio.Event)
    ended: trio.Event = attrs.Factory(trio.Event)
    error: BaseException | None = None

    @property
    def failed(self) -> bool:
        """Whether it ended though nobody told it to, and so is started again."""
        told = self.scope.cancel_called
        reason = ExitReason.SHUTDOWN if told else ExitReason.NORMAL if self.error is None else ExitReason.CRASHED
        return self.ended.is_set() and is_restarted(ChildKind.PERMANENT, reason)


class ServiceGroup:
    """Runs services, and starts them again when one ends."""

    def __init__(self, services: Sequence[Service], limits: Limits, recorder: Recorder) -> None:
        """Know the services in the order of their start; nothing runs yet."""
        self._services = tuple(services)
        self._limits = limits
        self._recorder = recorder
        self._children: list[_Child] = []
        self._failed: tuple[float, ...] = ()
        self._changed = trio.Event()
        self._stopping = False
        self.restarts = 0
        self.lost: ServiceLostError | None = None
        """Why the group gave up; None while it has not."""

    @trio.lowlevel.enable_ki_protection
    async def run(
        self, on_lost: Callable[[], None], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled or stopped; ``on_lost`` is called when the budget is spent.

        It has started when every service has.
        """
        async with trio.open_nursery() as nursery:
            await self._start(nursery, range(len(self._services)))
            task_status.started()
            while not self._stopping:
                await self._changed.wait()
                self._changed = trio.Event()
                failed = [place for place, child in enumerate(self._children) if child.failed]
                if failed and not await self._again(nursery, failed[0], on_lost):
                    break

    def running(self) -> dict[str, bool]:
        """Say of each service, by its name and in their order, whether it runs."""
        children = [*self._children, *[None] * (len(self._services) - len(self._children))]
        return {
            service.name: child is not None and child.begun.is_set() and not child.ended.is_set()
            for service, child in zip(self._services, children, strict=True)
        }

    async def stop(self) -> None:
        """End the services in the reverse of their order, each before the one it stands on."""
        self._stopping = True
        await self._end(range(len(self._children)))
        self._changed.set()

    async def _start(self, nursery: trio.Nursery, places: range) -> None:
        """Start services in their order, each when the one below it has begun."""
        for place in places:
            self._children[place : place + 1] = [_Child()]
            nursery.start_soon(self._serve, self._services[place], self._children[place], name=_NAME)
            await self._children[place].begun.wait()

    async def _end(self, places: range) -> None:
        """End services, the last one first."""
        for place in reversed(places):
            self._children[place].scope.cancel()
            await self._children[place].ended.wait()

    async def _again(self, nursery: trio.Nursery, failed: int, on_lost: Callable[[], None]) -> bool:
        """Start what has to be started again; False when the budget is spent."""
        name, error = self._services[failed].name, self._children[failed].error
        now_s = trio.current_time()
        self._failed = (*(at_s for at_s in self._failed if now_s - at_s < self._limits.service_window_s), now_s)
        shown = type(error).__name__
        if len(self._failed) > self._limits.service_restarts_max:
            self._recorder.record("error", "service.lost", kind=name, error=shown, failures=len(self._failed))
            message = f"the service {name} failed {len(self._failed)} times"
            hint = "open the runtime again: what was acknowledged is on disk; see the cause"
            self.lost = ServiceLostError(message, hint=hint)
            self.lost.__cause__ = error
            on_lost()
            return False
        places = restarted_with(STRATEGY, len(self._services), failed)
        self._recorder.record("error", "service.restarted", kind=name, error=shown, count=len(places))
        self.restarts += 1
        await self._end(places)
        await self._start(nursery, places)
        return True

    @trio.lowlevel.enable_ki_protection
    async def _serve(self, service: Service, child: _Child) -> None:
        """Run one service behind a barrier; its end is somebody else's to judge."""
        child.begun.set()
        try:
            with child.scope:
                await service.run()
        except BaseException as error:
            if trio.current_effective_deadline() == -math.inf:
                raise
            child.error = error
        finally:
            child.ended.set()
            if child.failed:
                self._changed.set()


_NAME: Final = "service"
