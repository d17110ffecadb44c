"""A session played step by step: what the shell does around the core, without tasks, time or a disk.

A step is data, so a test can write a play down or have hypothesis draw one. A step that does not fit (an answer without
a question) is played all the same, as far as there is something to ask of the core: refusals are part of the play.
"""

from collections.abc import Iterable
from typing import assert_never, get_args

import attrs
from hypothesis import strategies as st
from typing_extensions import override

from actors.core.commands import (
    Accept,
    Answer,
    Ask,
    Begin,
    Cancel,
    Clear,
    Command,
    Create,
    DropReminder,
    EditQueued,
    Emit,
    Expire,
    Finish,
    OnInterrupted,
    Pause,
    Recover,
    Remind,
    Reorder,
    Resume,
    Retry,
    SetReminder,
    Skip,
)
from actors.core.decision import Decision, Policy
from actors.core.draft import Draft, TextKey
from actors.core.effects import Refusal, StartTurn
from actors.core.events import Event, EventBody, MessageAccepted, TurnEnded
from actors.core.ids import ChatId, retry_key
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus
from actors.core.limits import Limits
from actors.core.overlap import to_be_taken
from actors.core.reminding import due_message_ids
from actors.core.session import decide
from actors.core.state import SessionState, evolve
from actors.core.transcript import Transcript
from tests.core.steps import (
    Again,
    Call,
    Checkpoint,
    Control,
    Die,
    Edit,
    End,
    FinishStatus,
    Kind,
    Lapse,
    Late,
    Note,
    Pass,
    Question,
    Reply,
    Return,
    Say,
    Send,
    Shuffle,
    Start,
    Step,
    TakeSteering,
    Tick,
    Withdraw,
)

__all__ = [
    "CALL_IDS",
    "CHAT",
    "FINISHES",
    "OVERLAPS",
    "QUEUE_TURNS_MAX",
    "SPEECHES",
    "START_S",
    "TEXTS",
    "TICKS_MAX",
    "Again",
    "Call",
    "Checkpoint",
    "Control",
    "Die",
    "Edit",
    "End",
    "FinishStatus",
    "Kind",
    "Lapse",
    "Late",
    "Note",
    "Pass",
    "Play",
    "Question",
    "Reply",
    "Return",
    "Say",
    "Send",
    "Shown",
    "Shuffle",
    "Start",
    "Step",
    "TakeSteering",
    "Taken",
    "Tick",
    "Withdraw",
    "plays",
    "speeches",
    "under",
]  # fmt: skip

CHAT: ChatId = ChatId("live:42")
START_S = 1000.0
QUEUE_TURNS_MAX = 3
TICKS_MAX = 2


@attrs.frozen
class Taken:
    """One command with the states before and after, and what was decided."""

    before: SessionState
    command: Command
    now_s: float
    outcome: Decision | Refusal
    after: SessionState


@attrs.frozen
class Shown:
    """One signal: a piece of text and its place."""

    key: TextKey
    offset: int
    text: str


@attrs.define(repr=False)
class Play:
    """A session, everything that happened to it, and the draft of the attempt that runs."""

    policy: Policy = attrs.Factory(
        lambda: Policy(Limits(queue_turns_max=QUEUE_TURNS_MAX, reminder_late_s=5.0, reminder_missed_max=4))
    )
    state: SessionState = attrs.Factory(lambda: SessionState(CHAT))
    now_s: float = START_S
    events: list[Event] = attrs.Factory(list)
    taken: list[Taken] = attrs.Factory(list)
    shown: list[Shown] = attrs.Factory(list)
    draft: Draft | None = None
    pending: list[EventBody] = attrs.Factory(list)
    steps: list[Step] = attrs.Factory(list)
    overlap: str = ""

    def __attrs_post_init__(self) -> None:
        """Create the session."""
        if not self.state.seq:
            self.ask_core(Create(overlap=self.overlap))

    @override
    def __repr__(self) -> str:
        """Show the steps, from which the play can be played again."""
        return f"Play(overlap={self.overlap!r}).play({self.steps})"

    @property
    def bodies(self) -> list[EventBody]:
        """The bodies of all events, in order."""
        return [event.body for event in self.events]

    @property
    def transcript(self) -> Transcript:
        """The transcript of everything so far, folded anew."""
        transcript = Transcript()
        for event in self.events:
            transcript.add(event)
        return transcript

    def ask_core(self, command: Command) -> Decision | Refusal:
        """Have a command decided, and take over what it comes to."""
        before = self.state
        outcome = decide(before, command, self.policy, self.now_s)
        if isinstance(outcome, Decision):
            for body in outcome.bodies:
                self.state = evolve(self.state, body)
                self.events.append(Event(CHAT, len(self.events) + 1, 1, self.now_s, body))
            for effect in outcome.effects:
                if isinstance(effect, StartTurn):
                    running = self.state.running
                    assert running is not None, "an effect follows its event"
                    self.draft = Draft(
                        effect.turn, effect.attempt, messages=running.messages, calls=running.calls_total
                    )
        self.taken.append(Taken(before, command, self.now_s, outcome, self.state))
        return outcome

    def play(self, steps: Iterable[Step]) -> "Play":
        """Play all steps, and return the play."""
        for step in steps:
            self.step(step)
        return self

    def step(self, step: Step) -> None:
        """Play one step."""
        self.steps.append(step)
        match step:
            case Send():
                deadline_s = None if step.patience_s is None else self.now_s + step.patience_s
                self.ask_core(Accept(f"m{len(self.taken)}", "hello", "", deadline_s))
            case Withdraw():
                self.ask_core(Cancel(self.state.turns - step.back))
            case Reply():
                self.ask_core(Answer(*self._pick(step.pick), step.answer))
            case Lapse():
                self.ask_core(Expire(*self._pick(step.pick)))
            case Start():
                self.ask_core(Begin())
            case Pass():
                self.now_s += step.seconds
            case Late():
                self._late()
            case Note():
                at_s = None if step.in_s is None else self.now_s + step.in_s
                set_it = SetReminder(step.key, "drink tea", at_s, step.every_s, step.missed)
                self.ask_core(DropReminder(step.key) if at_s is None else set_it)
            case Tick():
                due = due_message_ids(self.state, self.policy.limits, self.now_s, TICKS_MAX)
                accepted = {body.message_id for body in self.bodies if isinstance(body, MessageAccepted)}
                self.ask_core(Remind(TICKS_MAX, frozenset(due) & accepted))
            case Die():
                self.draft = None
                self.pending.clear()
                self.ask_core(Recover(step.policy, step.attempts_max))
            case Control() | Edit() | Shuffle() | Again():
                self._queue(step)
            case Say() | Checkpoint() | Call() | Return() | Question() | TakeSteering() | End():
                if self.draft is not None:
                    self._agent(self.draft, step)
            case _:
                assert_never(step)

    def _pick(self, pick: int) -> tuple[int, int]:
        """Name one of the open prompts, or one that is not open if there is none."""
        prompts = self.state.open_prompts
        if not prompts:
            return self.state.turns, pick
        prompt = prompts[pick % len(prompts)]
        return prompt.turn, prompt.prompt

    def _queue(self, step: Control | Edit | Shuffle | Again) -> None:
        """Play a step of a person who controls the queue."""
        match step:
            case Control():
                self.ask_core(step.command)
                self.ask_core(Begin())
            case Edit():
                waiting = [item for item in self.state.open_turns for _ in item.messages][::-1]
                if waiting:
                    item = waiting[step.back % len(waiting)]
                    message = item.messages[step.back % len(item.messages)]
                    self.ask_core(EditQueued(item.turn, f"edited {len(self.taken)}", message.message_id))
            case Shuffle():
                turns = [item.turn for item in self.state.queue if not item.begun]
                turns = turns[step.by % len(turns) :] + turns[: step.by % len(turns)] if turns else [self.state.turns]
                self.ask_core(Reorder(tuple(turns)))
            case Again():
                self._again(self.state.turns - step.back)

    def _again(self, turn: int) -> None:
        """Retry a turn as the shell does: once, with the messages that belonged to it."""
        ended = any(
            isinstance(body, TurnEnded) and body.turn == turn and body.status != "completed" for body in self.bodies
        )
        accepted = [body for body in self.bodies if isinstance(body, MessageAccepted)]
        belongs = {body.message_id: body.turn for body in accepted}
        messages = [body for body in accepted if body.turn == turn and belongs[body.message_id] == turn]
        if not ended or retry_key(turn) in belongs:
            return
        keys = [retry_key(turn, number) for number in range(len(messages))]
        again = (Accept(key, body.text, body.sender) for key, body in zip(keys, messages, strict=True))
        self.ask_core(Retry(turn, tuple(again)))
        self.ask_core(Begin())

    def _agent(self, draft: Draft, step: Say | Checkpoint | Call | Return | Question | TakeSteering | End) -> None:
        """Play a step of the agent that runs."""
        running = self.state.running
        assert running is not None, "there is a draft for as long as a turn runs"
        turn, attempt, pending = running.turn, running.attempt, self.pending
        match step:
            case Say():
                key, offset = draft.write(step.kind, step.text, pending)
                self.shown.append(Shown(key, offset, step.text))
            case Checkpoint():
                draft.checkpoint(pending)
                self.ask_core(Emit(turn, attempt, self._take()))
            case Call():
                for call_id in step.call_ids:
                    draft.call(call_id, "find", "{}", pending)
                self.ask_core(Emit(turn, attempt, self._take()))
            case Return():
                if running.calls:
                    call = running.calls[step.pick % len(running.calls)].call
                    draft.result(call, ToolStatus.OK if step.ok else ToolStatus.ERROR, "found", pending)
                    self.ask_core(Emit(turn, attempt, self._take()))
            case Question():
                draft.close(PartStatus.COMPLETE, pending)
                kind = "choice" if step.choices else "text"
                expires_at_s = None if step.patience_s is None else self.now_s + step.patience_s
                self.ask_core(
                    Ask(turn, attempt, kind, "Which?", step.choices, self._take(), expires_at_s, step.default)
                )
            case TakeSteering():
                for message in to_be_taken(running, self.now_s):
                    draft.steer(message.message_id, pending)
                self.ask_core(Emit(turn, attempt, self._take()))
            case End():
                completed = step.status is TurnStatus.COMPLETED
                draft.close(PartStatus.COMPLETE if completed else PartStatus.CUT, pending)
                state = step.state if completed else None
                self.draft = None
                last_words = self._take()
                again = step.again and step.status is TurnStatus.FAILED
                self.ask_core(
                    Finish(turn, attempt, step.status, last_words, state, begin_next=step.begin_next, again=again)
                )
            case _:
                assert_never(step)

    def _take(self) -> tuple[EventBody, ...]:
        """Take what waits to be written."""
        bodies = tuple(self.pending)
        self.pending.clear()
        return bodies

    def _late(self) -> None:
        """Ask for what only the running attempt may ask, in the name of others."""
        running = self.state.running
        turn, attempt = (self.state.turns, 1) if running is None else (running.turn, running.attempt + 1)
        self.ask_core(Emit(turn, attempt, ()))
        self.ask_core(Ask(turn, attempt, "text", "Which?", (), ()))
        self.ask_core(Finish(turn + 1, attempt, TurnStatus.COMPLETED))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
CALL_IDS = st.sampled_from(["", "call_0", "call_1", "a"])
POLICIES: tuple[OnInterrupted, ...] = get_args(OnInterrupted)
FINISHES: tuple[FinishStatus, ...] = (
    TurnStatus.COMPLETED,
    TurnStatus.FAILED,
    TurnStatus.CANCELLED,
    TurnStatus.INTERRUPTED,
)

_AGENT_STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Say, st.sampled_from(["text", "thinking"]), TEXTS),
    st.builds(Checkpoint),
    st.builds(Call, st.lists(CALL_IDS, min_size=1, max_size=3).map(tuple)),
    st.builds(Return, st.integers(0, 3), st.booleans()),
    st.builds(
        Question, st.sampled_from([(), ("yes", "no")]), st.sampled_from([None, 5.0]), st.sampled_from([None, "yes"])
    ),
    st.builds(TakeSteering),
)
_ANSWERS = ["yes", "yes", "perhaps", "retry", "continue", "drop"]
_REPLIES = st.builds(Reply, st.integers(0, 2), st.sampled_from(_ANSWERS))
_SENDS = st.builds(Send, st.sampled_from([None, None, 0.0, 5.0]))
_ENDS = st.builds(
    End,
    st.sampled_from(FINISHES),
    st.sampled_from([None, "null", "{}"]),
    st.sampled_from([True, True, False]),
    st.booleans(),
)
_DEATHS = st.builds(Die, st.sampled_from(POLICIES), st.integers(1, 3))
_NOTES = st.builds(
    Note,
    st.sampled_from(["tea", "pills"]),
    st.sampled_from([None, -20.0, 0.0, 7.0]),
    st.sampled_from([None, 1.0, 5.0]),
    st.sampled_from(["skip", "one", "all"]),
)
_TICKS = st.builds(Tick)
_CONTROLS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Control, st.sampled_from([Pause(), Resume(), Resume(), Clear(), Skip()])),
    st.builds(Edit, st.integers(0, 3)),
    st.builds(Shuffle, st.integers(0, 2)),
    st.builds(Again, st.integers(0, 3)),
)
_STEPS: st.SearchStrategy[Step] = st.one_of(
    _AGENT_STEPS,
    _CONTROLS,
    _SENDS,
    _ENDS,
    _DEATHS,
    st.builds(Withdraw, st.integers(-1, 2)),
    _REPLIES,
    st.builds(Lapse, st.integers(0, 2)),
    st.builds(Start),
    st.builds(Pass, st.sampled_from([1.0, 10.0])),
    st.builds(Late),
    _NOTES,
    _TICKS,
)

SPEECHES: st.SearchStrategy[list[Step]] = st.lists(_AGENT_STEPS, min_size=2, max_size=12)
"""What an agent does in one go."""

_SCENES: st.SearchStrategy[list[Step]] = st.one_of(
    _STEPS.map(lambda step: [step]),
    SPEECHES,
    st.lists(_SENDS, min_size=2, max_size=5),
    st.just([Send(5.0), Send(), Pass(10.0), Start()]),
    st.builds(lambda note, tick: [note, Pass(10.0), tick], _NOTES, _TICKS),
    st.tuples(_SENDS, _CONTROLS, _SENDS, _CONTROLS).map(list),
    st.builds(lambda speech, reply, end: [*speech, reply, end], SPEECHES, _REPLIES, _ENDS),
    _ENDS.map(lambda step: [step]),
    _DEATHS.map(lambda step: [step, Start()]),
)


OVERLAPS = ("queue", "reject", "interrupt", "rollback", "latest", "merge", "steer")
"""Every policy for a message that finds a turn running."""


def under(overlap: str) -> Play:
    """Begin a play of a session with a policy of its own."""
    return Play(overlap=overlap)


def plays(*overlaps: str) -> st.SearchStrategy[Play]:
    """Draw plays of anything that can come to a session, several turns long, under any policy or one of some."""
    scenes = st.lists(_SCENES, min_size=6, max_size=16)
    drawn = st.tuples(st.sampled_from(overlaps or ("", *OVERLAPS)), scenes)
    return drawn.map(lambda pair: under(pair[0]).play([Send(), *(step for scene in pair[1] for step in scene)]))


def speeches() -> st.SearchStrategy[Play]:
    """Draw plays in which an agent speaks and nothing interrupts it; it has not ended."""
    return SPEECHES.map(lambda drawn: Play().play([Send(), *drawn]))
