"""What a host gives the runtime to run: an async function of a turn, with its policies."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, Protocol, TypeGuard, TypeVar, get_args, overload

import attrs

from actors.core.commands import OnInterrupted
from actors.core.envelope import Envelope, Origin
from actors.core.ids import ChatId
from actors.core.overflow import KIND_CHARACTERS_MAX, Kind
from actors.core.spending import COST_MAX, Allowance, millionths
from actors.errors import ConfigurationError
from actors.runtime.mailbox import Letter, Request
from actors.runtime.threaded import ThreadAnswer, answer_in_thread
from actors.runtime.turn import Turn
from actors.runtime.workers import Workers

T = TypeVar("T")

Answer = Callable[[Turn], Awaitable[str | None]]
"""Answers one turn; a text it returns is written as its last words."""

Overlap = Literal["queue", "reject", "interrupt", "rollback", "latest", "merge", "steer"]

OVERLAPS: Final = get_args(Overlap)
RETRIES_MAX: Final = 1000
_ON_INTERRUPTED: Final = ("mark", "ask", "retry", "continue")


class Desk(Protocol):
    """What a session needs of whoever hands it its messages; the handler of volatile messages gives it."""

    __slots__ = ()

    def set_aside(self, letter: Letter) -> bool:
        """Keep the message that is being handled for later; False if there is no room, and it has failed."""
        ...

    def bring_back(self) -> int:
        """Put what was set aside before the next message; return how many there were."""
        ...

    def workers(self) -> Workers:
        """Return the threads for blocking calls."""
        ...

    def start_timer(self, key: object, payload: object, every_s: object, after_s: object) -> None:
        """Start a timer of the incarnation."""
        ...

    def stop_timer(self, key: object) -> bool:
        """Stop a timer; False if there is none of this key."""
        ...


class Session:
    """What a receive handler sees of its session: its id, a memory as long as the incarnation, and its message.

    The message is that which is being handled; nothing of it is known outside the handler.
    """

    __slots__ = ("_desk", "chat_id", "incarnation", "letter", "memory")

    def __init__(self, chat_id: ChatId, incarnation: int, desk: Desk | None = None) -> None:
        """Begin an incarnation with an empty memory; the runtime gives the desk that messages come from."""
        self._desk = desk
        self.chat_id = chat_id
        self.incarnation = incarnation
        self.letter: Letter | None = None
        self.memory: dict[str, object] = {}

    @property
    def origin(self) -> Origin | None:
        """Where the message comes from, as its sender says; None if it says nothing."""
        envelope = self._envelope
        return None if envelope is None else envelope.origin

    @property
    def kind(self) -> str:
        """The declared kind of the message; empty if it has none."""
        envelope = self._envelope
        return "" if envelope is None else envelope.kind

    @property
    def deadline_s(self) -> float | None:
        """When the message is of no use any more, on trio's clock; None if its sender has not said so."""
        envelope = self._envelope
        return None if envelope is None else envelope.deadline_s

    @property
    def asker_gone(self) -> bool:
        """Whether whoever asked has given up, so that nobody waits for the reply; false if nobody asked."""
        letter = self.letter
        return isinstance(letter, Request) and letter.reply.done

    def caused(self) -> Origin:
        """Make the origin of what the message causes: sent by this session, in the same conversation and trace."""
        before = self.origin or Origin()
        return Origin(self.chat_id, before.correlation_id, before.message_id, trace=before.trace)

    def stash(self) -> bool:
        """Set the message aside, to be handled later; return from the handler then, and whatever it returns is dropped.

        False, beyond the limit ``stash_messages_max``, says that there is no room: the message has failed, and the
        session goes on. What is set aside keeps its place in the sums and in the memory bound; it comes back with
        ``unstash``, or with the next incarnation, and ends with the session. Raises ConfigurationError outside a
        handler.
        """
        if self._desk is None or self.letter is None:
            message = "no message is being handled"
            raise ConfigurationError(message, chat_id=self.chat_id, hint="call stash() from the receive handler")
        return self._desk.set_aside(self.letter)

    def unstash(self) -> int:
        """Have everything that was set aside handled next, in its order; return how many messages that are.

        They are handled one at a time like any others, so control is heard, and other sessions run, in between.
        """
        return 0 if self._desk is None else self._desk.bring_back()

    def start_timer(
        self, key: str, *, every_s: float | None = None, after_s: float | None = None, payload: object = None
    ) -> None:
        """Have this session told ``payload`` again and again, or once; a timer of the same key is replaced.

        A tick is a volatile message of the sender ``timer``, handled in its turn like any other. With ``every_s`` the
        next one comes so many seconds after the one before was handled; with ``after_s`` there is one. A timer ends
        with the incarnation; what must outlive it is a reminder. Raises ConfigurationError for anything that is no
        timer, for a period below the limit ``timer_period_s``, and for more than ``timers_max``.
        """
        if self._desk is None:
            message = "the session does not run"
            raise ConfigurationError(message, chat_id=self.chat_id, hint="call start_timer() from the receive handler")
        self._desk.start_timer(key, payload, every_s, after_s)

    def stop_timer(self, key: str) -> bool:
        """Stop a timer, and take a tick back that has not been handled; False if there is none of this key."""
        return self._desk is not None and self._desk.stop_timer(key)

    async def offload(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a plain function that may block, in a thread, and return what it returns; see ``Workers``."""
        return await self.workers.run(function, *arguments)

    @property
    def workers(self) -> Workers:
        """The threads of the runtime."""
        if self._desk is None:
            message = "the session belongs to no runtime"
            raise ConfigurationError(message, chat_id=self.chat_id, hint="call offload() from the receive handler")
        return self._desk.workers()

    @property
    def _envelope(self) -> Envelope | None:
        """The envelope of the message."""
        letter = self.letter
        return letter if letter is None or isinstance(letter, Envelope) else letter.envelope


Receive = Callable[[Session, object], Awaitable[object]]
"""Handles one volatile message and returns the reply."""

ThreadReceive = Callable[[Session, object], object]
"""The same as a plain function, which is called in a thread."""


@attrs.frozen
class Agent:
    """An agent and its policies; made by ``agent``."""

    answer: Answer
    overlap: Overlap = "queue"
    on_interrupted: OnInterrupted = "mark"
    receive: Receive | None = None
    attempts_max: int | None = None
    kinds: Mapping[str, Kind] = MappingProxyType({})
    retries: int = 0
    turn_s: float | None = None
    allowance: Allowance | None = None


@overload
def agent(
    answer: Answer | ThreadAnswer,
    /,
    *,
    overlap: Overlap = ...,
    on_interrupted: OnInterrupted = ...,
    receive: Receive | ThreadReceive | None = ...,
    attempts_max: int | None = ...,
    kinds: Mapping[str, Kind] | None = ...,
    retries: int = ...,
    turn_s: float | None = ...,
    tokens_max: int | None = ...,
    cost_max: float | None = ...,
    turns_max: int | None = ...,
) -> Agent: ...
@overload
def agent(
    *,
    overlap: Overlap = ...,
    on_interrupted: OnInterrupted = ...,
    receive: Receive | ThreadReceive | None = ...,
    attempts_max: int | None = ...,
    kinds: Mapping[str, Kind] | None = ...,
    retries: int = ...,
    turn_s: float | None = ...,
    tokens_max: int | None = ...,
    cost_max: float | None = ...,
    turns_max: int | None = ...,
) -> Callable[[Answer | ThreadAnswer], Agent]: ...
def agent(  # noqa: PLR0913 - options, all named by the caller
    answer: Answer | ThreadAnswer | None = None,
    /,
    *,
    overlap: Overlap = "queue",
    on_interrupted: OnInterrupted = "mark",
    receive: Receive | ThreadReceive | None = None,
    attempts_max: int | None = None,
    kinds: Mapping[str, Kind] | None = None,
    retries: int = 0,
    turn_s: float | None = None,
    tokens_max: int | None = None,
    cost_max: float | None = None,
    turns_max: int | None = None,
) -> Agent | Callable[[Answer | ThreadAnswer], Agent]:
    """Give a function of a turn its policies; usable as a decorator.

    The function is async. A plain one is accepted too: it gets a ``ThreadTurn``, and each of its turns runs in a
    thread, since it would block every session. So does a plain ``receive``.

    ``overlap`` says what becomes of a message that finds a turn running, for every session that has no policy of its
    own: ``queue`` it; ``reject`` it; ``interrupt`` the turn, or take it out of the history as well (``rollback``); put
    it in place of all that wait (``latest``); ``merge`` it with the last that waits; ``steer`` the turn with it.
    ``on_interrupted`` says what becomes of a turn whose process ended: ``mark`` it as interrupted, ``ask`` a person,
    ``retry`` it from the start, or ``continue`` after what it had said; the last three for at most ``attempts_max``
    attempts in all (None: the limit of the runtime). ``retries`` is how often more a turn is tried whose agent raised,
    0 to 1000. ``receive`` handles volatile messages (``tell`` and ``ask``), one at a time, also while a turn runs.
    ``kinds`` declares the kinds that ``tell`` may name, and with each what becomes of it in a full mailbox.

    ``turn_s`` is how long one attempt of a turn may take, in seconds from its start, the time in which it waits for a
    person left out (None: the limit of the runtime). ``tokens_max``, ``cost_max`` and ``turns_max`` are the budget of
    each session: what its turns may spend (``turn.spend``) and how many it may have, until ``reset_budget``.

    Raises ConfigurationError for anything else.
    """
    check_overlap(overlap)
    if on_interrupted not in _ON_INTERRUPTED:
        message = f"on_interrupted is {on_interrupted!r}"
        raise ConfigurationError(message, hint=f"give one of {', '.join(_ON_INTERRUPTED)}")
    if attempts_max is not None and (type(attempts_max) is not int or attempts_max < 1):
        message = f"attempts_max is {attempts_max!r}"
        raise ConfigurationError(message, hint="give a whole number from 1")
    if type(retries) is not int or not 0 <= retries <= RETRIES_MAX:
        message = f"retries is {retries!r}"
        raise ConfigurationError(message, hint=f"give a whole number from 0 to {RETRIES_MAX}")
    if turn_s is not None and not _is_number(turn_s, 0.001, 86_400.0):
        message = f"turn_s is {turn_s!r}"
        raise ConfigurationError(message, hint="give seconds from 0.001 to 86400, or None")
    allowance = _checked_allowance(tokens_max, cost_max, turns_max)
    handler = None if receive is None else receive_of(receive)
    declared = _checked_kinds({} if kinds is None else kinds)

    def make(function: Answer | ThreadAnswer) -> Agent:
        answer = answer_of(function)
        return Agent(answer, overlap, on_interrupted, handler, attempts_max, declared, retries, turn_s, allowance)

    return make if answer is None else make(answer)


def _checked_kinds(kinds: object) -> Mapping[str, Kind]:
    """Take a private copy of the kinds that were declared, or refuse what is none."""
    if not isinstance(kinds, Mapping):
        message = f"kinds is {type(kinds).__name__}"
        raise ConfigurationError(message, hint='give a mapping: kinds={"typing": Kind("drop_oldest", droppable=True)}')
    declared: dict[str, Kind] = {}
    for name, kind in kinds.items():
        if type(name) is not str or not name.isprintable() or not 1 <= len(name) <= KIND_CHARACTERS_MAX:
            message = f"kinds has the name {name!r:.80}"
            raise ConfigurationError(message, hint=f"name a kind with 1 to {KIND_CHARACTERS_MAX} printable characters")
        if not isinstance(kind, Kind):
            message = f"kinds[{name!r}] is {type(kind).__name__}"
            raise ConfigurationError(message, hint='give a Kind: Kind("coalesce")')
        declared[name] = kind
    return MappingProxyType(declared)


def check_overlap(overlap: object) -> None:
    """Refuse a policy that there is none of. Raises ConfigurationError."""
    if overlap not in OVERLAPS:
        message = f"overlap is {overlap!r}"
        raise ConfigurationError(message, hint=f"give one of {', '.join(OVERLAPS)}")


def _checked_allowance(tokens_max: object, cost_max: object, turns_max: object) -> Allowance | None:
    """Make a budget of what was given, None if nothing was; refuse what is no bound."""
    bounds: list[int | None] = []
    for field, value in (("tokens_max", tokens_max), ("turns_max", turns_max)):
        if value is not None and (type(value) is not int or value < 1):
            message = f"{field} is {value!r}"
            raise ConfigurationError(message, hint="give a whole number from 1, or None")
        bounds.append(value)
    cost: int | None = None
    if cost_max is not None:
        if not _is_number(cost_max, 1e-6, COST_MAX):
            message = f"cost_max is {cost_max!r}"
            raise ConfigurationError(message, hint="give a number from a millionth, or None")
        cost = millionths(float(cost_max))
    return None if tokens_max is cost_max is turns_max is None else Allowance(bounds[0], cost, bounds[1])


def _is_number(value: object, low: float, high: float) -> TypeGuard[float]:
    """Say whether a value is a number within bounds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def answer_of(function: Answer | ThreadAnswer) -> Answer:
    """Take an async function as it is, and have a plain one run in a thread; refuse anything else."""
    if _is_async(function, "agent"):
        return function  # type: ignore[return-value]  # it was looked at
    return answer_in_thread(function)  # type: ignore[arg-type]  # as above


def receive_of(function: Receive | ThreadReceive) -> Receive:
    """The same for a handler of volatile messages."""
    if _is_async(function, "receive"):
        return function  # type: ignore[return-value]  # it was looked at

    async def receive(session: Session, payload: object) -> object:
        return await session.workers.run_in_thread(function, session, payload)

    return receive


def _is_async(function: object, field: str) -> bool:
    """Say whether a function is awaited or called in a thread; refuse what is neither."""
    if inspect.isclass(function):
        message = f"{field} is a class"
        raise ConfigurationError(message, hint="give an object of it, or a function: async def assistant(turn): ...")
    target = function if inspect.isroutine(function) else getattr(function, "__call__", None)  # noqa: B004 - to look
    inner = getattr(function, "func", None)
    if inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(inner):
        return True
    generates = inspect.isasyncgenfunction(target) or inspect.isasyncgenfunction(inner)
    if generates or target is None or inspect.isgeneratorfunction(target):
        kind = "an async generator" if generates else type(function).__name__
        message = f"{field} is {kind}"
        raise ConfigurationError(message, hint="give a function: async def assistant(turn): ...")
    return False
