"""What a turn starts in other sessions: children of its own, messages and asks; all of it says what caused it."""

from collections.abc import Callable

import attrs
from typing_extensions import override

from actors.core.commands import Parent
from actors.core.envelope import Envelope, Origin, check_text
from actors.core.ids import ChatId, DropReason, child_chat_id, parse_message_id
from actors.core.lifecycle import SessionPhase
from actors.errors import RefusedError
from actors.runtime.agent import Session
from actors.runtime.control import ParentEnded
from actors.runtime.directory import Directory, check_going_on
from actors.runtime.ref import Accepted
from actors.runtime.refusals import refused
from actors.runtime.registry import Registry
from actors.runtime.router import Router
from actors.runtime.sent import Child, Sent, Ways
from actors.runtime.services import FamilyPort, Services
from actors.runtime.turn import Turn

_TAKES_NOTHING = frozenset({SessionPhase.QUARANTINED, SessionPhase.FENCED})


@attrs.frozen
class Family(FamilyPort):
    """Spawns, sends and asks for turns; ``ways_to`` says what can be done about an accepted message."""

    _services: Services
    _registry: Registry
    _router: Router
    _directory: Directory
    _ways_to: Callable[[ChatId, Accepted], Ways]

    @override
    async def spawn(self, turn: Turn, text: object, name: str) -> Child:
        services, limits = self._services, self._services.limits
        depth = 1 if turn.parent is None else turn.parent.depth + 1
        if len(turn.children) >= limits.children_max:
            raise refused(DropReason.CHILDREN_FULL, f"the turn has {len(turn.children)} children", turn.chat_id)
        if depth > limits.children_depth_max:
            detail, hint = f"it would have {depth} ancestors", "raise the limit children_depth_max"
            raise refused(DropReason.CHILDREN_FULL, detail, turn.chat_id, hint)
        if name and isinstance(parse_message_id(name), DropReason):
            detail = f"name is {type(name).__name__}"
            raise refused(DropReason.INVALID_PAYLOAD, detail, turn.chat_id, "give up to 128 of [A-Za-z0-9_.:-]")
        size = check_text(text, limits.message_bytes_max)
        if not isinstance(size, int):  # before anything comes into being
            raise refused(size.reason, f"{size.field} is {size.found}", turn.chat_id, size.remedy)
        check_going_on(services, turn.chat_id)
        child = self._free_id(turn)
        origin = caused_by(turn)
        turn.children = (*turn.children, child)
        services.kin.adopt(child, origin)
        await self._directory.create(child, (), Parent(turn.chat_id, turn.number, depth, name))
        services.accounts.counts.spawned += 1
        _, accepted = await self._router.accept(child, text, sender=turn.chat_id, origin=origin)
        services.recorder.record("info", "child.spawned", chat_id=child, parent=turn.chat_id, turn=turn.number)
        return Child(child, accepted, self._ways_to(child, accepted), origin.call_chain, name)

    @override
    async def send(self, turn: Turn, chat_id: object, text: object, message_id: object) -> Sent:
        origin = caused_by(turn)
        ref, accepted = await self._router.accept(
            chat_id, text, message_id=message_id, sender=turn.chat_id, origin=origin
        )
        return Sent(ref.chat_id, accepted, self._ways_to(ref.chat_id, accepted), origin.call_chain)

    @override
    async def ask(self, turn: Turn, chat_id: object, payload: object, timeout_s: float | None) -> object:
        session = Session(turn.chat_id, 0)
        before, cause = turn.origin, f"{turn.chat_id}/{turn.number}"
        asking = Origin(
            before.sender, before.correlation_id or cause, before.causation_id, before.call_chain, cause, before.trace
        )
        session.letter = Envelope(turn.chat_id, None, 0, origin=asking)  # an ask goes on from what its asker handles
        return await self._router.ask(chat_id, payload, timeout_s=timeout_s, session=session)

    def part(self, child: ChatId) -> None:
        """Tell a child that its parent's turn has ended, bringing it up if need be, so that nothing of it goes on.

        One that takes nothing now settles it when it comes up again: it does not find its parent then.
        """
        registry = self._registry
        if self._services.stopping or child in registry.deleted or child not in registry.known:
            return
        ref = registry.get(child)
        if ref is not None and ref.phase is SessionPhase.STOPPING:  # it may have been given time, and would use it
            ref.mailbox.post_control(ParentEnded, ParentEnded())
            return
        if ref is not None and ref.phase in _TAKES_NOTHING:
            return
        try:
            self._router.reach(child).mailbox.post_control(ParentEnded, ParentEnded())
        except RefusedError:
            return  # accounted for

    def _free_id(self, turn: Turn) -> ChatId:
        """Name the next child of a turn; what a host made by hand is left alone."""
        number = len(turn.children) + 1
        while True:
            child = child_chat_id(turn.chat_id, turn.number, turn.attempt, number)
            if child not in self._registry.known and child not in self._registry.deleted:
                return child
            number += self._services.limits.children_max + 1


def caused_by(turn: Turn) -> Origin:
    """Say what a turn causes: where it comes from, what it belongs to, and who may wait for it."""
    origin, cause = turn.origin, f"{turn.chat_id}/{turn.number}"
    chain = (*origin.call_chain, turn.chat_id)
    return Origin(turn.chat_id, origin.correlation_id or cause, cause, chain, trace=origin.trace)
