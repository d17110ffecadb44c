"""Which sessions exist: the one place where a session comes into being, durably."""

from collections.abc import Sequence

import trio

from actors.core.commands import Create, Migrate, Parent, Seed
from actors.core.decision import Decision
from actors.core.effects import Refusal
from actors.core.envelope import check_text
from actors.core.events import Event, SeedPart
from actors.core.identity import Known, Moved, judge_migration
from actors.core.ids import MESSAGE_ID_CHARACTERS_MAX, ChatId, DropReason, parse_chat_id
from actors.core.session import decide
from actors.core.state import SessionState, fold
from actors.core.transcript import Transcript
from actors.errors import StoreError
from actors.ports import Append, Committed
from actors.runtime.committer import Failed, Result
from actors.runtime.control import MigrateTo
from actors.runtime.mailbox import Reply
from actors.runtime.refusals import refused
from actors.runtime.registry import Registry
from actors.runtime.router import Router
from actors.runtime.services import Services

SeedLike = Seed | tuple[str, str]
"""A message to begin a history with: a ``Seed``, or a role and a text."""

_SAID = frozenset({"complete", "cut"})
_PART_STATUSES = {
    "text": _SAID,
    "thinking": _SAID,
    "tool_call": _SAID,
    "tool_result": frozenset({"complete", "ok", "error", "cancelled", "interrupted"}),
}
"""What a part that is not growing any more can be, by its kind."""


class Directory:
    """The sessions of a runtime, by their ids."""

    def __init__(self, services: Services, registry: Registry, router: Router) -> None:
        """Begin with what the registry knows."""
        self._services = services
        self._registry = registry
        self._router = router
        self._creating: dict[str, trio.Event] = {}
        self._moving: dict[str, ChatId] = {}
        self._text_bytes_max = services.limits.message_bytes_max

    async def create(
        self, chat_id: object, history: Sequence[SeedLike], parent: Parent | None = None, overlap: str = ""
    ) -> ChatId:
        """Bring a session into being, or find it there; see ``Runtime.create``. With a ``parent`` it is a child."""
        parsed = self.parse(f"live:{self._services.clock.mint_id()}" if chat_id is None else chat_id)
        seeds = tuple(self._seed(number, seed) for number, seed in enumerate(history))
        await self.make(parsed, Create(seeds, parent, overlap=overlap))
        return self._registry.resolve(parsed)

    async def make(self, chat_id: ChatId, command: Create) -> bool:
        """Bring a session into being as the command says; False if it is there already, under this id or another."""
        while chat_id in self._creating:
            await self._creating[chat_id].wait()
        if self._registry.resolve(chat_id) in self._registry.known:
            await trio.lowlevel.checkpoint()
            return False
        if chat_id in self._registry.deleted:
            raise refused(DropReason.DELETED_CHAT, chat_id=chat_id)
        check_going_on(self._services, chat_id)
        self._creating[chat_id] = trio.Event()
        try:
            await self._create(chat_id, command)
        finally:
            self._creating.pop(chat_id).set()
        return True

    async def migrate(self, draft: object, live: object) -> ChatId:
        """Give a draft its authoritative id; see ``Runtime.migrate``."""
        old_id, new_id = self.parse(draft), self.parse(live)
        while self._moving.get(old_id) == new_id:  # asked for already: what comes of it is seen below
            await self._creating[new_id].wait()
        verdict = judge_migration(old_id, new_id, self._known(old_id), self._known(new_id))
        if isinstance(verdict, Refusal):
            raise refused(verdict.reason, verdict.detail, draft)
        if isinstance(verdict, Moved):
            await trio.lowlevel.checkpoint()
            return new_id
        check_going_on(self._services, draft)
        self._creating[new_id] = trio.Event()
        self._moving[old_id] = new_id
        try:
            await self._migrate(old_id, new_id)
        finally:
            del self._moving[old_id]
            self._creating.pop(new_id).set()
        return new_id

    async def _migrate(self, old_id: ChatId, new_id: ChatId) -> None:
        """Have the session carry its own migration out, in its turn among everything else that it writes."""
        control = self._router.reach(old_id).mailbox
        reply = Reply()
        control.post_control(reply, MigrateTo(Migrate(new_id), reply))
        try:
            refusal = await reply.wait()
        finally:
            if reply in control.control and not reply.done:
                control.control[reply] = None  # not begun: whoever asked has gone
        if isinstance(refusal, Refusal):
            raise refused(refusal.reason, refusal.detail, old_id)

    def _known(self, chat_id: ChatId) -> Known:
        """Say what is known of an id."""
        registry = self._registry
        return Known(
            exists=chat_id in registry.known,
            deleted=chat_id in registry.deleted,
            leads_to=registry.aliases.get(chat_id, self._moving.get(chat_id)),
            taken=chat_id in self._creating,
        )

    @staticmethod
    def parse(chat_id: object) -> ChatId:
        """Parse an id, or raise why it cannot be."""
        parsed = parse_chat_id(chat_id)
        if isinstance(parsed, DropReason):
            raise refused(parsed, chat_id=chat_id)
        return parsed

    def _seed(self, number: int, seed: SeedLike) -> Seed:
        """Check a message that a history is to begin with."""
        if isinstance(seed, tuple):
            role, text = seed
            seed = Seed(f"seed/{number}", role, (SeedPart("text", text),))
        if seed.role not in {"system", "user", "assistant", "tool"}:
            detail = f"history[{number}] has an unknown role"
            raise refused(DropReason.INVALID_PAYLOAD, detail, hint="give system, user, assistant or tool")
        texts: list[tuple[object, int]] = [(seed.message_id, MESSAGE_ID_CHARACTERS_MAX)]
        for part in seed.parts:
            if part.kind not in _PART_STATUSES:
                detail = f"history[{number}] has a part of an unknown kind"
                raise refused(DropReason.INVALID_PAYLOAD, detail, hint="give text, thinking, tool_call or tool_result")
            if part.status not in _PART_STATUSES[part.kind]:
                detail = f"history[{number}] has a part of an unknown status"
                hint = f"give one of {', '.join(sorted(_PART_STATUSES[part.kind]))}"
                raise refused(DropReason.INVALID_PAYLOAD, detail, hint=hint)
            texts += [(text or " ", self._text_bytes_max) for text in (part.text, part.name, part.call_id)]
        for value, bytes_max in texts:
            size = check_text(value, bytes_max, field=f"history[{number}]")
            if not isinstance(size, int):
                raise refused(size.reason, f"{size.field} is {size.found}", hint=size.remedy)
        return seed

    async def _create(self, chat_id: ChatId, command: Create) -> None:
        """Write a new session, and keep what is known of it for its first incarnation."""
        services = self._services
        state = SessionState(chat_id)
        now_s = services.clock.wall_s()
        decision = decide(state, command, services.policy, now_s)
        assert isinstance(decision, Decision), "a session that does not exist can be created"
        events = tuple(
            Event(chat_id, number, services.epoch, now_s, body) for number, body in enumerate(decision.bodies, 1)
        )
        reply = Reply()

        def done(result: Result) -> None:
            if isinstance(result, Committed):
                ref = self._registry.get_or_insert(chat_id)
                ref.transcript = Transcript(messages_max=services.limits.history_messages_max)
                ref.committed(events, fold(state, decision.bodies))
                self._registry.known.add(chat_id)
                services.accounts.counts.created += 1
                services.accounts.wrote(events)
            reply.set(result)

        size_bytes = sum(64 + sum(len(part.text) for part in seed.parts) for seed in command.seeds)
        services.committer.submit(Append(chat_id, 0, events), 64 + size_bytes, done)
        result = await reply.wait()
        if isinstance(result, Failed):
            raise result.error
        if not isinstance(result, Committed) and chat_id not in self._registry.known:
            message = f"the store has a session that its directory lacks: {result}"
            raise StoreError(message, chat_id=chat_id, hint="open the store again")


def check_going_on(services: Services, chat_id: object) -> None:
    """Refuse what a runtime that is stopping or fenced does not begin any more."""
    if services.stopping:
        raise refused(DropReason.FENCED if services.fenced else DropReason.STOPPING, chat_id=chat_id)
