"""One attempt of a turn: the agent behind its barrier, and the way of what it says to viewers and to the journal."""

import math
from typing import Final

import attrs
import trio
from typing_extensions import override

from actors.core.commands import Ask, Emit
from actors.core.decision import Policy
from actors.core.draft import Segment
from actors.core.effects import Refusal
from actors.core.envelope import Origin, clean_text
from actors.core.events import EventBody
from actors.core.lifecycle import TurnStatus
from actors.core.overlap import to_be_taken
from actors.core.prompts import find_known
from actors.core.spending import Allowance
from actors.core.stream import ProgressSignal
from actors.core.transcript import History, Message, Part
from actors.errors import DriftError, PromptExpiredError, Reject, TurnOverError
from actors.runtime.agent import Agent
from actors.runtime.broadcast import Outbox
from actors.runtime.drift import RUNNING, drifted
from actors.runtime.group import Group
from actors.runtime.inner import Done, Flush, Written
from actors.runtime.mailbox import Mailbox, Reply
from actors.runtime.question import Question
from actors.runtime.ref import Ref
from actors.runtime.sent import Child, Sent
from actors.runtime.services import FamilyPort, Services
from actors.runtime.turn import Turn
from actors.runtime.turn_port import TurnPort
from actors.runtime.workers import Workers

_NO_ORIGIN: Final = Origin()


class Outlet(TurnPort[Turn]):
    """Where the turns of a session speak: live text goes out at once, everything else through the inner door."""

    __slots__ = ("ref", "services")

    def __init__(self, ref: Ref, services: Services) -> None:
        """Belong to a session."""
        self.ref = ref
        self.services = services

    @override
    def said(self, turn: Turn, segment: Segment, size: int) -> None:
        services = self.services
        broadcast = self.ref.broadcast
        if segment is not broadcast.segment or broadcast.hungry:
            for box in broadcast.said(segment, size):
                self.lagged(box)
        if turn.unsaved_bytes >= services.limits.checkpoint_bytes_max:
            self._flush(turn)
        elif turn.due is None:
            services.checkpoints.add(turn, self._flush)

    @override
    def progress(self, turn: Turn, name: str, value: str) -> None:
        self.services.accounts.counts.signals += 1
        for box in self.ref.broadcast.progress(ProgressSignal(turn.chat_id, turn.number, name, value)):
            self.lagged(box)

    @override
    def late(self, turn: Turn) -> None:
        self.services.accounts.counts.late_output += 1
        self.services.recorder.limited("warning", "turn.late_output", "late", chat_id=turn.chat_id, turn=turn.number)

    @override
    def drifted(self, turn: Turn, running: str) -> DriftError:
        self.services.accounts.drift(running, turn.chat_id, "turn")
        return drifted(running, turn.chat_id)

    @override
    async def emit(self, turn: Turn, bodies: tuple[EventBody, ...]) -> None:
        reply = Reply()
        self.ref.mailbox.post_inner(Written(Emit(turn.number, turn.attempt, bodies), reply))
        _check_written(await reply.wait())

    @override
    async def ask(self, turn: Turn, question: Question, bodies: tuple[EventBody, ...], waiting: Reply) -> int:
        reply = Reply()
        expires_s = question.expires_s
        command = Ask(
            turn.number,
            turn.attempt,
            question.kind,
            question.text,
            question.choices,
            bodies,
            None if expires_s is None else self.services.clock.wall_s() + expires_s,
            question.default,
        )
        self.ref.mailbox.post_inner(Written(command, reply, waiting))
        number = await reply.wait()
        _check_written(number)
        assert isinstance(number, int), "a question that was written has a number"
        return number

    @override
    async def make_room(self, turn: Turn) -> None:
        reply = Reply()
        turn.rooms.append(reply)
        self._flush(turn)
        await reply.wait()

    @override
    def origin(self, turn: Turn) -> Origin:
        noted = None if self.ref.origins is None else self.ref.origins.get(turn.number)
        return noted or self.services.kin.origin_of(turn.chat_id) or _NO_ORIGIN

    @override
    async def spawn(self, turn: Turn, text: object, name: str) -> Child:
        return await self._family.spawn(turn, text, name)

    @override
    async def send(self, turn: Turn, chat_id: object, text: object, message_id: object) -> Sent:
        return await self._family.send(turn, chat_id, text, message_id)

    @override
    async def ask_chat(self, turn: Turn, chat_id: object, payload: object, timeout_s: float | None) -> object:
        return await self._family.ask(turn, chat_id, payload, timeout_s)

    @property
    def _family(self) -> FamilyPort:
        """What turns start in other sessions."""
        family = self.services.family
        assert family is not None, "it is there before the first turn runs"
        return family

    @override
    def steering(self, turn: Turn) -> tuple[Message, ...]:
        running = None if self.ref.state is None else self.ref.state.running
        if running is None or running.turn != turn.number:
            return ()
        return tuple(
            Message(said.message_id, "user", (Part("text", said.text),), turn.number, 0, said.seq, "running")
            for said in to_be_taken(running, self.services.clock.wall_s())
        )

    @override
    def workers(self) -> Workers:
        return self.services.workers

    @override
    def history(self, turn: Turn) -> History:
        transcript = self.ref.transcript
        assert transcript is not None, "it is loaded before the agent starts"
        return transcript.before(turn.number)

    @override
    def waits(self, turn: Turn) -> None:
        self.services.deadlines.hold(turn, held=bool(turn.prompts) and not turn.closed)

    @override
    def allowance(self) -> Allowance | None:
        return self.services.policy.allowance

    def asked(self, turn: Turn | None, group: Group, written: Written, now_s: float) -> Refusal | int:
        """Decide a question of a turn; return its number, with who waits for its answer noted."""
        command = written.command
        assert isinstance(command, Ask), "it has somebody who waits for an answer"
        assert written.waiting is not None, "as above"
        if turn is not None:
            command = attrs.evolve(command, taken=frozenset(turn.asked))
        known = find_known(group.state, command)
        refusal = group.add(command, self.services.policy, now_s)
        if refusal is not None:
            return refusal
        assert turn is not None, "a question that is not late has a turn"
        assert group.state.running is not None, "as above"
        number = group.state.running.prompts_total - 1 if known is None else known.prompt
        turn.asked.add(number)
        if known is not None and known.answer is not None:
            written.waiting.set(known.answer)
        else:
            turn.prompts[number] = written.waiting
        return number

    def checkpoint(self, turn: Turn, group: Group, policy: Policy, now_s: float) -> None:
        """Put what the turn has said so far into a group that is about to be written."""
        turn.flushing = False
        group.size_bytes += turn.unsaved_bytes
        turn.unsaved_bytes = 0
        bodies = turn.take_said()
        if bodies:
            group.add(Emit(turn.number, turn.attempt, bodies), policy, now_s)
        group.answers += [(room, None) for room in turn.rooms]
        turn.rooms.clear()

    def _flush(self, turn: Turn) -> None:
        """Ask for a checkpoint of a turn."""
        if not turn.closed and not turn.flushing and turn.unsaved_bytes:
            turn.flushing = True
            self.ref.mailbox.post_inner(Flush(turn))

    def lagged(self, box: Outbox) -> None:
        """Account for a subscriber that was cut."""
        self.services.accounts.counts.lagged += 1
        self.services.recorder.limited(
            "warning", "subscriber.lagged", "lagged", chat_id=self.ref.chat_id, seq=box.last_seq
        )


async def run_agent(agent: Agent, turn: Turn, box: Mailbox) -> None:
    """Run the agent to its end, whatever that is, and report it through the inner door."""
    turn.task = trio.lowlevel.current_task()
    RUNNING.set(turn.speaker)
    scope = turn.scope
    done = Done(turn, TurnStatus.COMPLETED)
    try:
        with scope:
            text = await agent.answer(turn)
            if isinstance(text, str):
                await turn.write(text)
            turn.changed_state()  # a state that cannot be kept is the agent's failure, not the session's
        if turn.cancel_reason:
            done = Done(turn, *end_of(turn))
        elif turn.guards.broken is not None:
            done = Done(turn, TurnStatus.FAILED, str(turn.guards.broken.guard))
    except BaseException as error:  # noqa: BLE001 - the barrier: nothing an agent raises passes
        if torn_down():
            return  # the store says running, and recovery settles it
        done = _ended_by(turn, error)
    if not turn.closed:
        box.post_inner(done)


def _check_written(refusal: object) -> None:
    """Raise if a turn's events were refused."""
    if isinstance(refusal, Refusal):
        message = f"not written: {refusal.detail}"
        raise TurnOverError(message)


def end_of(turn: Turn) -> tuple[TurnStatus, str]:
    """Say how a turn ends that was cancelled: by a person, by its deadline, or by the runtime."""
    if turn.cancel_reason in {"cancelled", "deleted"}:
        return TurnStatus.CANCELLED, ""
    if turn.cancel_reason == "parent_ended":
        return TurnStatus.CANCELLED, "parent_ended"
    if turn.cancel_reason == "deadline":
        return TurnStatus.FAILED, "deadline"
    return TurnStatus.INTERRUPTED, turn.cancel_reason


def _ended_by(turn: Turn, error: BaseException) -> Done:
    """Say how a turn ends whose agent raised; what it raises after it was cancelled is part of its leaving."""
    if turn.cancel_reason:
        return Done(turn, *end_of(turn))
    if turn.guards.broken is not None:
        return Done(turn, TurnStatus.FAILED, str(turn.guards.broken.guard))
    if isinstance(error, Reject):
        return Done(turn, TurnStatus.FAILED, "rejected", words_of(error))
    if isinstance(error, PromptExpiredError):
        return Done(turn, TurnStatus.FAILED, "prompt_expired")
    crash = without_cancelled(error) or error
    return Done(turn, TurnStatus.FAILED, "crashed", type(crash).__name__, crash)


def words_of(error: Exception) -> str:
    """Return the text of a rejection as far as it can be kept, whatever the host made of it."""
    try:
        return clean_text(str(error)[:200])
    except Exception:  # noqa: BLE001 - a text that cannot be made is no text
        return ""


def torn_down() -> bool:
    """Say whether this task is cancelled from outside; a cancellation that is raised otherwise is a stray one."""
    return trio.current_effective_deadline() == -math.inf


def without_cancelled(error: BaseException) -> BaseException | None:
    """Return what is left of an error without the cancellations in it."""
    if isinstance(error, trio.Cancelled):
        return None
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1]
    return error
