"""What sessions do, as small records: the last ones of all sessions kept in a ring, and live to whoever asks.

A record says what happened and never what anybody said. Steps that are rare (a phase, a control signal, a commit, a
refusal) always go into the ring; the others are noted only while somebody traces the session. What is on a traced
session's way waits for nobody: a reader that is too slow loses the oldest records, and a hook that raises is removed.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Final, Literal, Self

import msgspec
import trio
from typing_extensions import override

from actors.core.events import Event
from actors.core.ids import ChatId
from actors.core.limits import Limits
from actors.errors import ConfigurationError
from actors.ports import Clock
from actors.runtime.recorder import Recorder
from actors.runtime.ref import Ref

Kind = Literal["phase", "control", "taken", "decided", "refused", "written"]


class TraceRecord(msgspec.Struct, frozen=True, gc=False):
    """One step of one session.

    ``what`` is the new phase, the name of a control signal, the kind of a message, a drop reason, or the kind of an
    event that was decided or written; ``seq`` and ``turn`` are 0 where there is none. ``at_s`` is wall time.
    """

    chat_id: ChatId
    at_s: float
    kind: Kind
    what: str
    seq: int = 0
    turn: int = 0


Hook = Callable[[TraceRecord], object]
"""What a host has called for each step of a session: a plain function that returns at once."""


class Trace(AsyncIterator[TraceRecord]):
    """The steps of one session from now on: ``async with runtime.trace(...) as trace: async for record in trace``.

    It goes on over crashes, stops and passivation, and ends with its block. ``lost`` counts the records that its reader
    was too slow for.
    """

    def __init__(
        self, tracing: "Tracing", chat_id: ChatId, records_max: int, resolve: Callable[[ChatId], ChatId]
    ) -> None:
        """Made by ``Runtime.trace``; ``resolve`` says which id the session has when the trace begins."""
        self._tracing = tracing
        self._resolve = resolve
        self._chat_id = chat_id
        self._tracer: Tracer | None = None
        self._records: deque[TraceRecord] = deque(maxlen=records_max)
        self._noted = trio.Event()
        self._open = False
        self.lost = 0

    async def __aenter__(self) -> Self:
        """Begin."""
        await trio.lowlevel.checkpoint()
        self._tracer = self._tracing.open(self._resolve(self._chat_id))
        self._tracer.traces.append(self)
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; nothing is noted for it any more."""
        self._open = False
        assert self._tracer is not None, "a trace that ends has begun"
        self._tracer.traces.remove(self)
        self._tracing.close(self._tracer)
        self._noted.set()

    @override
    def __aiter__(self) -> Self:
        return self

    @override
    async def __anext__(self) -> TraceRecord:
        await trio.lowlevel.checkpoint()
        while not self._records:
            if not self._open:
                raise StopAsyncIteration
            self._noted = trio.Event()
            await self._noted.wait()
        return self._records.popleft()

    def note(self, record: TraceRecord) -> None:
        """Take a record; the oldest goes if there is no room."""
        self.lost += len(self._records) == self._records.maxlen
        self._records.append(record)
        self._noted.set()


class Tracer:
    """Whoever is told of the steps of one session."""

    __slots__ = ("chat_id", "hooks", "traces")

    def __init__(self, chat_id: ChatId) -> None:
        """Begin with nobody."""
        self.chat_id = chat_id
        self.traces: list[Trace] = []
        self.hooks: list[Hook] = []


class Tracing:
    """The records of one runtime."""

    def __init__(self, clock: Clock, recorder: Recorder, limits: Limits) -> None:
        """Keep the last records of all sessions."""
        self._clock = clock
        self._recorder = recorder
        self._hooks_max = limits.hooks_max
        self._recent: deque[TraceRecord] = deque(maxlen=limits.recent_records_max)
        self.tracers: dict[str, Tracer] = {}
        """Sessions that are traced, live or not: a trace goes on with the next incarnation."""
        self.attached: Callable[[ChatId, Tracer | None], None] = _ignore
        """Is told which tracer a session has from now on."""

    def open(self, chat_id: ChatId) -> Tracer:
        """Give the tracer of a session, with which each of its steps is noted."""
        tracer = self.tracers.get(chat_id)
        if tracer is None:
            tracer = self.tracers[chat_id] = Tracer(chat_id)
            self.attached(chat_id, tracer)
        return tracer

    def close(self, tracer: Tracer) -> None:
        """Forget a tracer if nobody is told anything by it."""
        if not tracer.traces and not tracer.hooks and self.tracers.pop(tracer.chat_id, None) is not None:
            self.attached(tracer.chat_id, None)

    def forget(self, chat_id: ChatId) -> None:
        """Take the hooks of a session out that was erased: nobody could do it any more; a trace ends with its block."""
        tracer = self.tracers.get(chat_id)
        if tracer is not None:
            tracer.hooks.clear()
            self.close(tracer)

    def rename(self, old_id: ChatId, new_id: ChatId) -> None:
        """Go on telling who traces a session that has another id now."""
        tracer = self.tracers.pop(old_id, None)
        if tracer is not None:
            tracer.chat_id = new_id
            self.tracers[new_id] = tracer

    def install(self, chat_id: ChatId, hook: Hook) -> None:
        """Have a hook called for each step. Raises ConfigurationError beyond the bound on hooks."""
        tracer = self.open(chat_id)
        if len(tracer.hooks) >= self._hooks_max:
            message = f"the session has {len(tracer.hooks)} hooks"
            raise ConfigurationError(message, chat_id=chat_id, hint="remove one, or raise the limit hooks_max")
        tracer.hooks.append(hook)

    def remove(self, chat_id: ChatId, hook: Hook) -> bool:
        """Take a hook out; False if it is not there."""
        tracer = self.tracers.get(chat_id)
        if tracer is None or hook not in tracer.hooks:
            return False
        tracer.hooks.remove(hook)
        self.close(tracer)
        return True

    def recent(self, chat_id: ChatId, records_max: int) -> tuple[TraceRecord, ...]:
        """Show the last records of a session, oldest first, as far as the ring of all sessions goes back."""
        found: list[TraceRecord] = []
        for record in reversed(self._recent):
            if record.chat_id == chat_id:
                found.append(record)
                if len(found) >= records_max:
                    break
        return tuple(reversed(found))

    def step(self, ref: Ref, kind: Kind, what: str, seq: int = 0, turn: int = 0) -> None:
        """Note a step that is rare: into the ring, and to whoever traces the session."""
        record = TraceRecord(ref.chat_id, self._clock.wall_s(), kind, what, seq, turn)
        self._recent.append(record)
        if ref.tracer is not None:
            self._tell(ref, record)

    def detail(self, ref: Ref, kind: Kind, what: str, seq: int = 0, turn: int = 0) -> None:
        """Note a step of a session that is traced; ask for ``ref.tracer`` before it is described."""
        self._tell(ref, TraceRecord(ref.chat_id, self._clock.wall_s(), kind, what, seq, turn))

    def moved(self, ref: Ref) -> None:
        """Note a phase."""
        self.step(ref, "phase", str(ref.phase))

    def wrote(self, ref: Ref, events: tuple[Event, ...]) -> None:
        """Note what is on disk: the last event of each commit in the ring, all of them in a trace."""
        last = events[-1]  # its own time, since no clock need be read for it
        kind = last.body.__struct_config__.tag
        record = TraceRecord(ref.chat_id, last.at_s, "written", kind, last.seq, getattr(last.body, "turn", 0))  # type: ignore[arg-type]  # tags of events are text
        self._recent.append(record)
        if ref.tracer is not None:
            for event in events[:-1]:
                self.detail(ref, "written", _kind_of(event), event.seq, getattr(event.body, "turn", 0))
            self._tell(ref, record)

    def _tell(self, ref: Ref, record: TraceRecord) -> None:
        """Tell everybody; a hook that raises is told nothing any more."""
        tracer = ref.tracer
        if not isinstance(tracer, Tracer):
            return
        for trace in tracer.traces:
            trace.note(record)
        for hook in tuple(tracer.hooks):
            try:
                hook(record)
            except BaseException as error:  # noqa: BLE001 - a hook is a guest: what it raises is not the session's
                self.remove(ref.chat_id, hook)
                self._recorder.record("warning", "hook.removed", chat_id=ref.chat_id, error=type(error).__name__)


TRACE_RECORDS_MAX: Final = 1000
"""What a trace holds for its reader unless it is told otherwise."""


def _kind_of(event: Event) -> str:
    """Name the kind of an event."""
    return str(event.body.__struct_config__.tag)


def _ignore(_: ChatId, __: Tracer | None) -> None:
    """No session is live yet."""
