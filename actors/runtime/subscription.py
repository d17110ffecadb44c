"""One subscriber's view of one session: a snapshot and what follows it, or everything after a number.

The snapshot is taken and the subscriber attached in one step, without a suspension between, so nothing falls in the
gap. A subscriber that catches up reads pages of the journal, and is attached in the step in which it has read
everything that was published.
"""

from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import trio
from typing_extensions import override

from actors.core.events import Event, TurnEnded
from actors.core.ids import ChatId, make_prompt_id
from actors.core.state import QueuedTurn, SessionState, UserMessage
from actors.core.stream import Gap, Item, PromptView, RunningView, SessionReady
from actors.core.transcript import Message, Part
from actors.errors import ConfigurationError, CursorAheadError, LaggedError, SubscriptionError
from actors.runtime.broadcast import Outbox
from actors.runtime.control import Prepare
from actors.runtime.mailbox import Reply
from actors.runtime.ref import Ref
from actors.runtime.router import Router
from actors.runtime.services import Services
from actors.runtime.turn import Turn


class Subscription(AsyncIterator[Item]):
    """A stream of items; use it as ``async with runtime.subscribe(...) as stream: async for item in stream``.

    Ends when the session does, or after the turn it was told to wait for. Raises LaggedError when it was too slow, and
    StoreError when the journal cannot be read.
    """

    def __init__(
        self, router: Router, services: Services, chat_id: object, after: int | None, until_turn: int | None
    ) -> None:
        """Made by ``Runtime.subscribe``."""
        if after is not None and (type(after) is not int or after < 0):
            message = f"after is {after!r} of type {type(after).__name__}"
            raise ConfigurationError(message, chat_id=chat_id, hint="give the number of the last event you have, or 0")
        self._router = router
        self._services = services
        self._address = chat_id
        self._after = after
        self._until_turn = until_turn
        self._ref: Ref | None = None
        self._outbox: Outbox | None = None
        self._ready: deque[Item] = deque()
        self._cursor = 0
        self._over = False
        self._held_since_s = 0.0

    async def __aenter__(self) -> Self:
        """Attach; raises RefusedError if there is no such session, CursorAheadError if it has not come that far."""
        ref = self._router.reach(self._address)
        if ref.broadcast.held >= self._services.limits.subscribers_max:
            message = f"the session has {ref.broadcast.held} subscribers"
            raise SubscriptionError(message, chat_id=ref.chat_id, hint="raise the limit subscribers_max")
        self._ref = ref
        ref.broadcast.held += 1
        ref.kept += 1  # from the first moment: a session that somebody is about to look at is not put away
        try:
            await self._begin(ref)
        except BaseException:
            self._let_go(ref)
            raise
        return self

    async def _begin(self, ref: Ref) -> None:
        """Have the history at hand, and take the snapshot or begin after a number."""
        if ref.transcript is None or ref.state is None:
            reply = Reply()
            ref.mailbox.post_control(reply, Prepare(reply))
            await reply.wait()
        if self._after is None:
            self._attach(ref, ref.seq)
            self._ready.append(snapshot(ref, self._services.epoch))
            self._over = self._until_turn is not None and not _is_open(ref, self._until_turn)
        elif self._after > ref.seq:
            message = f"after is {self._after}, and the session has come to {ref.seq}"
            raise CursorAheadError(message, chat_id=ref.chat_id, hint="subscribe without a number to start anew")
        else:
            self._cursor = self._after

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Detach; what the session does is not touched by it."""
        if self._ref is not None:
            self._let_go(self._ref)
        self._ready.clear()
        self._over = True

    def _let_go(self, ref: Ref) -> None:
        """Detach, and let the session rest as far as this subscriber goes."""
        if self._outbox is not None:
            ref.broadcast.detach(self._outbox)
        ref.broadcast.held -= 1
        ref.kept -= 1
        ref.active_s = trio.current_time()

    @override
    def __aiter__(self) -> Self:
        return self

    @override
    async def __anext__(self) -> Item:
        outbox = self._outbox
        if not self._ready:
            if self._over:
                raise StopAsyncIteration
            if outbox is None:
                outbox = await self._catch_up()
        if self._ready:
            await trio.lowlevel.checkpoint_if_cancelled()
            return self._see(self._ready.popleft())
        assert outbox is not None, "whoever has caught up is attached"
        broadcast = self._ref.broadcast  # type: ignore[union-attr]  # whoever is attached has a ref
        item = outbox.take(broadcast)
        if item is None:
            await outbox.wait()
            item = outbox.take(broadcast)
            self._held_since_s = self._services.clock.busy_s()
        elif self._services.clock.busy_s() - self._held_since_s > self._services.limits.quantum_s:
            await trio.lowlevel.checkpoint()
            self._held_since_s = self._services.clock.busy_s()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        if item is None:
            if outbox.cut:
                raise LaggedError(chat_id=self._chat_id, resume_after=outbox.last_seq)
            raise StopAsyncIteration
        return self._see(item)

    @property
    def _chat_id(self) -> ChatId:
        """The session's id."""
        assert self._ref is not None, "a subscription is used inside its block"
        return self._ref.chat_id

    def _attach(self, ref: Ref, seq: int) -> Outbox:
        """Get everything from now on."""
        limits = self._services.limits
        self._outbox = Outbox(ref.chat_id, seq, limits.subscriber_items_max, limits.subscriber_bytes_max)
        ref.broadcast.attach(self._outbox)
        return self._outbox

    async def _catch_up(self) -> Outbox | None:
        """Read the next page of what was missed, or attach if nothing was."""
        ref = self._ref
        if ref is None:
            message = "a subscription is used outside its block"
            raise SubscriptionError(message, hint="async with runtime.subscribe(...) as stream: ...")
        if self._cursor >= ref.seq:
            if self._until_turn is not None and not _is_open(ref, self._until_turn):
                raise StopAsyncIteration
            return self._attach(ref, self._cursor)
        head = ref.seq
        page = await self._services.journal.events(ref.chat_id, self._cursor, self._services.limits.page_rows_max)
        # Events that are on disk and not published yet come again through the outbox, so they are left to it.
        events = [event for event in page if event.seq <= ref.seq]
        for event in events:
            if event.seq > self._cursor + 1:
                self._ready.append(Gap(ref.chat_id, self._cursor, event.seq - 1))
            self._ready.append(event)
            self._cursor = event.seq
        if not events:
            self._ready.append(Gap(ref.chat_id, self._cursor, head))
            self._cursor = head
        return None

    def _see(self, item: Item) -> Item:
        """Note whether this was the end that was waited for."""
        if (
            self._until_turn is not None
            and type(item) is Event
            and type(item.body) is TurnEnded
            and item.body.turn == self._until_turn
        ):
            self._over = True
            self._ready.clear()
            if self._outbox is not None and self._ref is not None:
                self._ref.broadcast.detach(self._outbox)
                self._outbox = None
        return item


def _is_open(ref: Ref, turn: int) -> bool:
    """Say whether a turn has not ended."""
    return ref.state is not None and any(queued.turn == turn for queued in ref.state.open_turns)


def snapshot(ref: Ref, epoch: int) -> SessionReady:
    """Take the snapshot of a session that is up; no suspension happens in here."""
    state, transcript = ref.state, ref.transcript
    assert state is not None, "the session has recovered"
    assert transcript is not None, "the history was asked for before"
    ended = tuple(transcript.ended())
    running = None
    if state.running is not None:
        turn = state.running
        messages = transcript.of_turn(turn.turn)
        live = ref.turn
        if isinstance(live, Turn) and live.number == turn.turn:
            messages = live.with_unsaved(messages, state.seq)
        running = RunningView(turn.turn, turn.attempt, str(turn.status), messages)
    before = transcript.first_turn if transcript.first_turn > 0 else None
    prompts = tuple(
        PromptView(
            make_prompt_id(ref.chat_id, prompt.turn, prompt.prompt),
            prompt.turn,
            prompt.type,
            prompt.question,
            prompt.choices,
            prompt.expires_at_s,
            prompt.default,
        )
        for prompt in state.open_prompts
    )
    return SessionReady(
        ref.chat_id,
        epoch,
        state.seq,
        state.status,
        ended,
        before,
        running,
        queued_messages(state),
        prompts,
        state.standing.paused,
    )


def queued_messages(state: SessionState) -> tuple[Message, ...]:
    """List the messages that wait: first those that the running turn has not taken, then the queue in its order."""
    waiting: list[tuple[QueuedTurn, tuple[UserMessage, ...]]] = [(item, item.messages) for item in state.queue]
    if state.running is not None and state.running.steering:
        waiting.insert(0, (state.running.queued, state.running.steering))
    return tuple(
        Message(said.message_id, "user", (Part("text", said.text),), item.turn, 0, said.seq, "queued", item.moved_to)
        for item, messages in waiting
        for said in messages
    )
