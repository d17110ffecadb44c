"""Whether a history can have come about: numbers, owners, turns and effects, judged from the events alone.

It knows nothing of how events are made, so it can object to whoever made them. Several chats may be mixed; each is
judged in the order in which its events are given.
"""

from collections.abc import Iterable

import attrs

from actors.core.events import (
    AttemptInterrupted,
    Event,
    MessageAccepted,
    MessageSteered,
    PromptOpened,
    QueuedEdited,
    QueueReordered,
    StateSaved,
    TextAppended,
    ToolCalled,
    ToolEnded,
    TurnEnded,
    TurnStarted,
    TurnSuperseded,
)
from actors.core.ids import ChatId

_OF_A_RUNNING_TURN = (
    TextAppended,
    ToolCalled,
    ToolEnded,
    PromptOpened,
    StateSaved,
    MessageSteered,
    TurnSuperseded,
    AttemptInterrupted,
)


@attrs.define
class _Chat:
    """What has been seen of one chat."""

    chat_id: ChatId
    seq: int = 0
    epoch: int = 0
    running: int | None = None
    accepted: list[int] = attrs.Factory(list)
    keys: dict[str, int] = attrs.Factory(dict)
    """From a message to the turn that it is in."""
    taken: set[str] = attrs.Factory(set)
    """The messages that an attempt has taken after it began."""
    ended: set[int] = attrs.Factory(set)
    called: set[tuple[int, int, int]] = attrs.Factory(set)
    open_calls: set[tuple[int, int, int]] = attrs.Factory(set)
    wrong: list[str] = attrs.Factory(list)

    def add(self, event: Event) -> None:
        """Take the next event, and note what cannot be."""
        if event.seq != self.seq + 1:
            self._object(event, f"follows number {self.seq}")
        if event.epoch < self.epoch:
            self._object(event, f"was written by epoch {event.epoch} after epoch {self.epoch} had written")
        self.seq, self.epoch = event.seq, max(self.epoch, event.epoch)
        body = event.body
        match body:
            case MessageAccepted():
                self._accept(event, body)
            case TurnStarted():
                self._start(event, body)
            case TurnEnded():
                self._end(event, body)
            case StateSaved(turn=0) if not self.accepted:
                pass  # a fork begins with the state that its source had
            case StateSaved() if self.running is None and self.accepted and body.turn == self.accepted[-1]:
                pass  # it was replaced by hand, which is possible only while no turn runs
            case QueuedEdited():
                self._rearrange(event, (body.turn,))
            case QueueReordered():
                self._rearrange(event, body.turns)
            case _ if isinstance(body, _OF_A_RUNNING_TURN):
                self._go_on(event, body.turn)
                self._account(event)
            case _:
                pass

    def _accept(self, event: Event, body: MessageAccepted) -> None:
        """A message is accepted once, and its turn has the next number, or is open if it joins one.

        It moves to another turn only if the one that was to take it has ended without.
        """
        before = self.keys.get(body.message_id, 0)
        if before != body.moved_from:
            self._object(event, f"accepts the message {body.message_id!r} a second time")
        if body.moved_from and (body.moved_from not in self.ended or body.message_id in self.taken):
            self._object(event, f"moves the message {body.message_id!r} away from turn {body.moved_from}, which has it")
        self.keys[body.message_id] = body.turn
        if body.joined:
            if body.turn not in self.accepted or body.turn in self.ended:
                self._object(event, f"joins turn {body.turn}, which is not open")
            return
        if self.accepted and body.turn <= self.accepted[-1]:
            self._object(event, f"accepts turn {body.turn} after turn {self.accepted[-1]}")
        self.accepted.append(body.turn)

    def _rearrange(self, event: Event, turns: tuple[int, ...]) -> None:
        """Only turns that wait are edited or moved."""
        for turn in turns:
            if turn not in self.accepted or turn in self.ended or turn == self.running:
                self._object(event, f"touches turn {turn}, which does not wait")

    def _start(self, event: Event, body: TurnStarted) -> None:
        """A turn that was accepted starts when no other runs."""
        if body.turn not in self.accepted:
            self._object(event, f"starts turn {body.turn}, which was not accepted")
        if body.turn in self.ended:
            self._object(event, f"starts turn {body.turn}, which has ended")
        if self.running is not None:
            self._object(event, f"starts turn {body.turn} while turn {self.running} runs")
        self.running = body.turn

    def _end(self, event: Event, body: TurnEnded) -> None:
        """A turn ends once, and leaves no call open."""
        if body.turn in self.ended:
            self._object(event, f"ends turn {body.turn} a second time")
        if body.turn not in self.accepted:
            self._object(event, f"ends turn {body.turn}, which was not accepted")
        left = [call for call in self.open_calls if call[0] == body.turn]
        if left:
            self._object(event, f"ends turn {body.turn} with {len(left)} calls open")
            self.open_calls.difference_update(left)
        self.ended.add(body.turn)
        if self.running == body.turn:
            self.running = None

    def _go_on(self, event: Event, turn: int) -> None:
        """Only the turn that runs says something."""
        if turn != self.running:
            self._object(event, f"belongs to turn {turn}, which does not run")

    def _account(self, event: Event) -> None:
        """Each effect has an id of its own, one beginning and one outcome."""
        match event.body:
            case ToolCalled(turn=turn, attempt=attempt, call=call):
                if (turn, attempt, call) in self.called:
                    self._object(event, f"makes call {call} of turn {turn} a second time")
                self.called.add((turn, attempt, call))
                self.open_calls.add((turn, attempt, call))
            case ToolEnded(turn=turn, attempt=attempt, call=call):
                if (turn, attempt, call) not in self.open_calls:
                    self._object(event, f"ends call {call} of turn {turn}, which is not open")
                self.open_calls.discard((turn, attempt, call))
            case MessageSteered(turn=turn, message_id=message_id):
                if self.keys.get(message_id) != turn or message_id in self.taken:
                    self._object(event, f"takes the message {message_id!r}, which turn {turn} was not handed")
                self.taken.add(message_id)
            case AttemptInterrupted(turn=turn):
                self.open_calls = {call for call in self.open_calls if call[0] != turn}
                self.running = None
            case _:
                pass

    def _object(self, event: Event, what: str) -> None:
        """Note something that cannot be."""
        kind = event.body.__struct_config__.tag
        self.wrong.append(f"{self.chat_id}: event {event.seq} ({kind}) {what}")


def check_history(events: Iterable[Event], *, settled: bool = False) -> list[str]:
    """List what cannot be in the events of one chat or of several, in sentences; nothing if all is well.

    Of each chat: its numbers are 1, 2, 3 and so on; no event of a lower epoch follows one of a higher; a message is
    accepted once; turns are numbered in the order of acceptance, never overlap and have one end, after which they say
    nothing; each effect (a call of a tool) has an id of its own and one outcome. ``settled`` asks in addition that
    every turn has ended. Nothing is said about what is missing after the last event.
    """
    chats: dict[ChatId, _Chat] = {}
    for event in events:
        chat = chats.get(event.chat_id)
        if chat is None:
            chat = chats[event.chat_id] = _Chat(event.chat_id)
        chat.add(event)
    wrong = [sentence for chat in chats.values() for sentence in chat.wrong]
    if settled:
        for chat in chats.values():
            left = [turn for turn in chat.accepted if turn not in chat.ended]
            wrong += [f"{chat.chat_id}: turns {left} have not ended"] if left else []
    return wrong
