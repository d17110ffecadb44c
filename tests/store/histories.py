"""Histories for tests of the store: what a session may come to, played through its own core.

A history is a list of entries' bodies, in order. ``Story`` makes random ones that are legal because ``decide`` made
them; the same chance makes the same story.
"""

import random
from collections.abc import Iterable, Iterator, Sequence

from actors.core.commands import (
    Accept,
    Answer,
    Ask,
    Begin,
    Cancel,
    Clear,
    CloseChild,
    Command,
    Create,
    DropReminder,
    Edit,
    EditQueued,
    Emit,
    Expire,
    Finish,
    OnInterrupted,
    Parent,
    Pause,
    Recover,
    Remind,
    Reorder,
    ResetBudget,
    Resume,
    Seed,
    SetReminder,
    Skip,
)
from actors.core.decision import Decision, Policy
from actors.core.draft import Draft
from actors.core.events import (
    Event,
    EventBody,
    MessageAccepted,
    QueueReordered,
    SeedPart,
    SessionCreated,
    TextAppended,
    TurnEnded,
    UsageAdded,
)
from actors.core.ids import ChatId
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus
from actors.core.limits import Limits
from actors.core.overlap import to_be_taken
from actors.core.session import decide
from actors.core.state import RunningTurn, SessionState, fold
from actors.core.transcript import Message, Transcript
from actors.ports import Append

CHAT = ChatId("live:42")
OTHER = ChatId("live:43")

TEXTS = ("", "yes", 'it\'s "so"; --', "ünïcode 漢字 🙂", "line\nfeed\ttab", "nul\x00inside", '{"json": [1]}', "x" * 300)
"""Text that has to come back as it was, whatever the layers below take for a delimiter."""

_POLICY = Policy(Limits())
_ENDS = (TurnStatus.COMPLETED, TurnStatus.COMPLETED, TurnStatus.FAILED, TurnStatus.CANCELLED, TurnStatus.INTERRUPTED)

Bodies = tuple[EventBody, ...]


def append(chat_id: ChatId, after: int, *bodies: EventBody, epoch: int = 1) -> Append:
    """Make an entry of bodies that follow the event numbered ``after``."""
    events = tuple(Event(chat_id, after + n, epoch, 1_700_000_000.5 + n, body) for n, body in enumerate(bodies, 1))
    return Append(chat_id, after, events)


def created(chat_id: ChatId = CHAT) -> Append:
    """Make the entry that brings a session into being."""
    return append(chat_id, 0, SessionCreated())


def text(turn: int, attempt: int, message: int, said: str) -> TextAppended:
    """Say something whole, as a message of its own."""
    return TextAppended(turn, attempt, message, 0, "text", 0, said, PartStatus.COMPLETE)


def entries_of(chat_id: ChatId, history: Iterable[Bodies]) -> list[Append]:
    """Make the entries of a history."""
    entries: list[Append] = []
    seq = 0
    for bodies in history:
        entries.append(append(chat_id, seq, *bodies))
        seq += len(bodies)
    return entries


def events_of(entries: Iterable[Append]) -> list[Event]:
    """List the events of entries in order."""
    return [event for entry in entries for event in entry.events]


def groups_of(entries: Sequence[Append], chance: random.Random) -> Iterator[list[Append]]:
    """Cut entries into groups, so that one session has several in a group."""
    start = 0
    while start < len(entries):
        size = chance.randint(1, 6)
        yield list(entries[start : start + size])
        start += size


def state_of(chat_id: ChatId, events: Iterable[Event]) -> SessionState:
    """Fold events into the state they lead to."""
    return fold(SessionState(chat_id), tuple(event.body for event in events))


def messages_of(events: Iterable[Event]) -> tuple[Message, ...]:
    """Fold events into the messages of ended turns, in the order of their places."""
    transcript = Transcript()
    for event in events:
        transcript.add(event)
    return tuple(transcript.ended())


def keys_of(events: Iterable[Event]) -> list[tuple[int, MessageAccepted]]:
    """List the messages that idempotency keys name, each with the number of the event that gave it its turn."""
    accepted = [(event.seq, event.body) for event in events if isinstance(event.body, MessageAccepted)]
    return list({body.message_id: (seq, body) for seq, body in accepted}.values())


def ends_of(events: Iterable[Event]) -> dict[int, TurnEnded]:
    """Map the turns that have ended to their ends."""
    return {event.body.turn: event.body for event in events if isinstance(event.body, TurnEnded)}


class Story:
    """A session whose next step is chosen by chance."""

    def __init__(self, chance: random.Random, chat_id: ChatId = CHAT) -> None:
        """Begin before the session exists."""
        self._chance = chance
        self._now_s = 1000.0
        self._keys = 0
        self._reminders = 0
        self._places: dict[int, int] = {}
        self._cuts: list[tuple[int, int]] = []
        self._draft: Draft | None = None
        self.state = SessionState(chat_id)

    def tell(self, steps: int) -> list[Bodies]:
        """Play some steps and return their history, one entry for each step that came to something."""
        overlap = self._chance.choice(("", "", "", "interrupt", "rollback", "latest", "merge", "steer", "steer"))
        told = [self._decided(Create(self._seeds(), self._parent(), overlap))]
        for _ in range(steps):
            bodies: Bodies = ()
            for _ in range(self._chance.choice((1, 1, 1, 2, 3))):
                bodies += self._step()
            if bodies:
                told.append(bodies)
        return told

    def _seeds(self) -> tuple[Seed, ...]:
        """Choose what the session begins with; a seed's id may be anything, even what a sender uses as a key."""
        roles = ("system", "user", "assistant", "tool")
        return tuple(
            Seed(
                self._chance.choice(("k1", f"seed/{number}")),
                roles[number],
                tuple(SeedPart("text", text, "name", "id") for text in self._chance.sample(TEXTS, number)),
            )
            for number in range(self._chance.choice((0, 0, 1, 4)))
        )

    def _parent(self) -> Parent | None:
        """Choose whether the session is a child, of one that may not be there any more."""
        return self._chance.choice((None, None, Parent(OTHER, 3, 1, "scout")))

    def _step(self) -> Bodies:
        """Let one thing happen."""
        self._now_s += 1.0
        choice = self._chance.random()
        if choice < 0.01:
            return self._decided(CloseChild())
        if choice < 0.25:
            return self._decided(self._accept())
        if choice < 0.35:
            return self._decided(self._remind())
        if choice < 0.41:
            return self._control()
        if choice < 0.44 and self.state.turns:
            return self._edit()
        if choice > 0.95 and self.state.standing.prompts:
            later = self._chance.choice(self.state.standing.prompts)
            answer = self._chance.choice(later.choices or TEXTS)
            return self._decided(Answer(later.turn, later.prompt, answer))
        if 0.94 < choice < 0.95 and self.state.open_prompts:
            self._now_s += 5.0
            due = self._chance.choice(self.state.open_prompts)
            return self._decided(Expire(due.turn, due.prompt))
        running = self.state.running
        if running is None:
            queued = [item.turn for item in self.state.queue]
            return self._decided(Cancel(self._chance.choice(queued)) if queued and choice < 0.45 else Begin())
        if choice < 0.45:
            self._draft = None
            policy: OnInterrupted = self._chance.choice(("mark", "ask", "retry", "retry", "continue"))
            return self._decided(Recover(policy, attempts_max=4))
        if choice < 0.6:
            return self._finish(running)
        return self._speak(running)

    def _accept(self) -> Accept:
        """Choose a message to be accepted."""
        self._keys += 1
        chance = self._chance
        deadline_s = chance.choice((None, None, self._now_s + chance.randint(1, 9)))
        return Accept(f"k{self._keys}", chance.choice(TEXTS), chance.choice(("", "sender")), deadline_s)

    def _edit(self) -> Bodies:
        """Cut the history at one of its turns; one that has left it is not edited again."""
        chance = self._chance
        turn = chance.randint(1, self.state.turns)
        place = self._places.get(turn, turn)
        if any(turn <= last and place >= first for first, last in self._cuts):
            return ()
        self._cuts.append((place, self.state.turns))
        return self._decided(Edit(turn, place, self._accept(), chance.choice((None, "7"))))

    def _remind(self) -> Command:
        """Choose what becomes of a reminder; the keys of a story's reminders name a moment, so no tick comes twice."""
        chance = self._chance
        choice = chance.random()
        keys = [reminder.key for reminder in self.state.standing.reminders]
        if choice < 0.4:
            return Remind(chance.choice((1, 16)))
        if choice < 0.55:
            return DropReminder(chance.choice(keys or ["none"]))
        self._reminders += 1
        key = chance.choice([*keys, f"r{self._reminders}"])
        at_s = self._now_s + chance.choice((-7.5, 0.0, 3.0)) + self._reminders / 1000.0
        every_s = chance.choice((None, 1.0, 2.5))
        return SetReminder(key, chance.choice(TEXTS), at_s, every_s, chance.choice(("skip", "one", "all")))

    def _control(self) -> Bodies:
        """Do something to the queue."""
        chance = self._chance
        commands: list[Command] = [Pause(), Resume(), Resume(), Skip(), Clear()]
        waiting = [item for item in self.state.queue if not item.begun]
        if waiting:
            item = chance.choice(waiting)
            turns = [other.turn for other in waiting]
            chance.shuffle(turns)
            edit = EditQueued(item.turn, chance.choice(TEXTS), chance.choice(item.messages).message_id)
            commands += [edit, edit, Reorder(tuple(turns)), Reorder(tuple(turns))]
        return self._decided(chance.choice(commands))

    def _finish(self, running: RunningTurn) -> Bodies:
        """End the running turn."""
        status = self._chance.choice(_ENDS)
        bodies: list[EventBody] = []
        if self._draft is not None:
            self._draft.close(PartStatus.COMPLETE if status is TurnStatus.COMPLETED else PartStatus.CUT, bodies)
        self._draft = None
        state = self._chance.choice((None, "{}", '{"n": 1, "text": "ü"}'))
        reason, error = self._chance.choice((("", ""), ("crashed", "ValueError"), ("deadline", "")))
        begin_next = self._chance.random() < 0.7
        again = status is TurnStatus.FAILED and self._chance.random() < 0.3
        finish = Finish(running.turn, running.attempt, status, tuple(bodies), state, reason, error, begin_next, again)
        return self._decided(finish)

    def _speak(self, running: RunningTurn) -> Bodies:
        """Let the running attempt say, call, end a call, ask, or be answered."""
        chance = self._chance
        draft = self._draft = self._draft or Draft(
            running.turn, running.attempt, messages=running.messages, calls=running.calls_total
        )
        choice = chance.random()
        bodies: list[EventBody] = []
        if choice < 0.5 and running.steering:
            for message in to_be_taken(running, self._now_s)[: chance.randint(1, 3)]:
                draft.steer(message.message_id, bodies)
            return self._decided(Emit(running.turn, running.attempt, tuple(bodies)))
        if chance.random() < 0.1:
            if chance.random() < 0.3:
                return self._decided(ResetBudget())
            bodies.append(UsageAdded(running.turn, chance.randint(0, 99), chance.randint(0, 10**9)))
        if choice < 0.2 and running.prompts:
            prompt = chance.choice(running.prompts)
            return self._decided(Answer(running.turn, prompt.prompt, "a" if prompt.choices else chance.choice(TEXTS)))
        if choice < 0.3:
            draft.close(PartStatus.COMPLETE, bodies)
            kind, choices = chance.choice((("text", ()), ("permission", ()), ("choice", ("a", "b"))))
            expires_at_s = chance.choice((None, None, self._now_s + chance.randint(1, 9)))
            default = None if expires_at_s is None else chance.choice((None, *choices))
            ask = Ask(running.turn, running.attempt, kind, "why?", choices, tuple(bodies), expires_at_s, default)
            return self._decided(ask)
        if choice < 0.5 and running.calls:
            call = chance.choice(running.calls)
            draft.result(call.call, chance.choice((ToolStatus.OK, ToolStatus.ERROR)), chance.choice(TEXTS), bodies)
        elif choice < 0.6:
            for number in range(chance.randint(1, 3)):
                draft.call(chance.choice(("", "same")), f"tool{number}", chance.choice(TEXTS), bodies)
        else:
            for _ in range(chance.randint(1, 4)):
                draft.write(chance.choice(("text", "text", "thinking")), chance.choice(TEXTS[1:]), bodies)
                if chance.random() < 0.5:
                    draft.checkpoint(bodies)
            draft.checkpoint(bodies)
        return self._decided(Emit(running.turn, running.attempt, tuple(bodies)))

    def _decided(self, command: Command) -> Bodies:
        """Apply a command; a refusal comes to nothing."""
        decision = decide(self.state, command, _POLICY, self._now_s)
        if not isinstance(decision, Decision):
            return ()
        self.state = fold(self.state, decision.bodies)
        for body in decision.bodies:
            if isinstance(body, QueueReordered):
                self._places |= dict(zip(body.turns, body.places, strict=True))
        return decision.bodies
