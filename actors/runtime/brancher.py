"""New ways from a point of a history: in a session of its own, or in the same one."""

import attrs

from actors.core.branching import Prefix, Prefixes
from actors.core.commands import Accept, Create
from actors.core.effects import Refusal
from actors.core.envelope import check_text
from actors.core.events import SessionCreated
from actors.core.ids import ChatId, DropReason, parse_message_id
from actors.core.state import SessionState
from actors.runtime.control import EditFrom
from actors.runtime.directory import Directory
from actors.runtime.mailbox import Reply
from actors.runtime.ref import Accepted, Ref
from actors.runtime.refusals import refused
from actors.runtime.registry import Registry
from actors.runtime.router import Router
from actors.runtime.services import Services


@attrs.frozen
class Message:
    """What an edit sends in the place of what was said, as the host gave it."""

    text: object
    message_id: object
    sender: str


class Brancher:
    """Forks the sessions of a runtime, and has them edited."""

    def __init__(self, services: Services, registry: Registry, directory: Directory, router: Router) -> None:
        """Read from the journal, and have the directory make what comes of it, or the session itself do it."""
        self._router = router
        self._services = services
        self._registry = registry
        self._directory = directory

    async def fork(self, chat_id: ChatId, new: object, after_turn: int | None) -> ChatId:
        """Begin a session with the history of another; see ``Runtime.fork``."""
        if after_turn is not None and (type(after_turn) is not int or after_turn < 0):
            detail = f"after_turn is {after_turn!r} of type {type(after_turn).__name__}"
            raise refused(DropReason.INVALID_PAYLOAD, detail, chat_id, "give the number of a turn, or 0, or none")
        new_id = self._directory.parse(f"live:{self._services.clock.mint_id()}" if new is None else new)
        if new_id in self._registry.deleted:
            raise refused(DropReason.CONFLICT, f"{new_id} was deleted", chat_id, "choose another id")
        if self._registry.resolve(new_id) not in self._registry.known:
            prefix = (await self._read(chat_id)).up_to(after_turn)
            if isinstance(prefix, Refusal):
                raise refused(prefix.reason, prefix.detail, chat_id)
            if await self._directory.make(new_id, _create(chat_id, prefix)):
                return new_id
        if not await self._is_fork(self._registry.resolve(new_id), chat_id, after_turn):
            raise refused(DropReason.CONFLICT, f"{new_id} is another session", chat_id, "choose another id")
        return self._registry.resolve(new_id)

    async def edit(self, chat_id: object, turn: object, message: Message) -> tuple[Ref, Accepted]:
        """Have a session edited from a turn, or from that of a message; see ``Runtime.edit``."""
        if not (type(turn) is int and turn > 0) and isinstance(parse_message_id(turn), DropReason):
            detail = f"turn is {turn!r:.40} of type {type(turn).__name__}"
            raise refused(DropReason.INVALID_PAYLOAD, detail, chat_id, "give the number of a turn, or a message_id")
        assert isinstance(turn, int | str), "it is a number or the id of a message"
        accept = self._accept(chat_id, message)
        ref = self._router.reach(chat_id)
        reply = Reply()
        ref.mailbox.post_control(reply, EditFrom(turn, accept, reply))
        answer = await reply.wait()
        if isinstance(answer, Refusal):
            raise refused(answer.reason, answer.detail, chat_id)
        assert isinstance(answer, Accepted), "an edit is refused, or its message is accepted"
        return ref, answer

    def _accept(self, chat_id: object, message: Message) -> Accept:
        """Check the message of an edit as that of a send is checked."""
        given = message.message_id
        key = self._services.clock.mint_id() if given is None else parse_message_id(given)
        if isinstance(key, DropReason):
            hint = "give 1 to 128 characters of [A-Za-z0-9_.:-] as message_id, or none"
            raise refused(DropReason.INVALID_PAYLOAD, "message_id cannot be taken", chat_id, hint)
        fields = {"text": message.text} | ({"sender": message.sender} if message.sender != "" else {})
        for field, value in fields.items():
            size = check_text(value, self._services.limits.message_bytes_max, field=field)
            if not isinstance(size, int):
                raise refused(size.reason, f"{size.field} is {size.found}", chat_id, size.remedy)
        assert isinstance(message.text, str), "the check above refuses anything else"
        return Accept(key, message.text, message.sender, minted=given is None)

    async def _read(self, chat_id: ChatId) -> Prefixes:
        """Fold a session's events, a page at a time, as far as they are on disk."""
        limits, journal = self._services.limits, self._services.journal
        prefixes = Prefixes(SessionState(chat_id))
        while True:
            events = await journal.events(chat_id, prefixes.state.seq, limits.page_rows_max)
            for event in events:
                prefixes.add(event)
            if prefixes.messages_total > limits.fork_messages_max:
                detail = f"the history has more than {limits.fork_messages_max} messages"
                raise refused(DropReason.INVALID_PAYLOAD, detail, chat_id, "raise the limit fork_messages_max")
            if len(events) < limits.page_rows_max:
                break
        if not prefixes.state.seq:
            raise refused(DropReason.DELETED_CHAT, chat_id=chat_id)
        return prefixes

    async def _is_fork(self, new_id: ChatId, chat_id: ChatId, after_turn: int | None) -> bool:
        """Say whether a session is the fork that is asked for, made before."""
        first = await self._services.journal.events(new_id, 0, 1)
        body = first[0].body if first else None
        if not isinstance(body, SessionCreated) or not body.forked_from:
            return False
        return self._registry.resolve(ChatId(body.forked_from)) == chat_id and after_turn in {None, body.forked_at}


def _create(chat_id: ChatId, prefix: Prefix) -> Create:
    """Ask for a session that begins with a prefix."""
    return Create(prefix.seeds, overlap=prefix.overlap, state=prefix.saved, forked_from=chat_id, forked_at=prefix.turn)
