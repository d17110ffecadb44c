"""Events folded into messages: their order, their parts, and what a model is given to read."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.events import Event, EventBody, MessageAccepted, MessageAdded, SeedPart, TurnEnded
from actors.core.lifecycle import TurnStatus
from actors.core.transcript import History, Message, Part, Transcript, made_message_id, turn_place
from tests.core.play import (
    CHAT,
    Call,
    Checkpoint,
    Die,
    End,
    Play,
    Question,
    Reply,
    Return,
    Say,
    Send,
    Start,
    Step,
    Withdraw,
    plays,
)

DONE = End(TurnStatus.COMPLETED)


def transcript_of(bodies: Sequence[EventBody], *, messages_max: int = 1 << 62) -> Transcript:
    """Fold bodies, numbered from 1."""
    transcript = Transcript(messages_max=messages_max)
    for seq, body in enumerate(bodies, 1):
        transcript.add(Event(CHAT, seq, 1, 0.0, body))
    return transcript


def turns(count: int) -> list[EventBody]:
    """Make so many turns that expired before they began: one message each."""
    bodies: list[EventBody] = []
    for turn in range(1, count + 1):
        bodies += [MessageAccepted(f"m{turn}", turn, f"text {turn}"), TurnEnded(turn, 0, TurnStatus.EXPIRED)]
    return bodies


def said(messages: Sequence[Message]) -> list[tuple[int, str, str]]:
    """Write messages down as turn, role and text."""
    return [(message.turn, message.role, message.text) for message in messages]


@pytest.mark.rule("promise_6")
@given(plays())
def test_a_transcript_is_legal_for_a_model(play: Play) -> None:
    """In every turn that ended each tool call has exactly one result, and the result comes after the call."""
    open_turns = {queued.turn for queued in play.state.open_turns}
    waiting: Counter[tuple[int, str]] = Counter()
    for message in play.transcript.messages():
        assert message.parts
        for part in message.parts:
            key = (message.turn, part.call_id)
            if part.kind == "tool_call":
                assert message.role == "assistant"
                waiting[key] += 1
            elif part.kind == "tool_result":
                assert message.role == "tool"
                waiting[key] -= 1
                assert waiting[key] >= 0
    assert not [key for key, count in waiting.items() if count and key[0] not in open_turns]


@given(plays())
def test_messages_stand_in_the_order_of_their_turns(play: Play) -> None:
    """By place, each begun by its user's message, whichever ended first; those that have ended are so too."""
    transcript = play.transcript
    ended, everything = transcript.ended(), transcript.messages()
    assert [turn_place(message) for message in ended] == sorted(turn_place(message) for message in ended)
    hidden = {body.turn for body in play.bodies if isinstance(body, TurnEnded) and body.hidden}
    by_turn: dict[int, list[Message]] = {}
    for message in everything:
        by_turn.setdefault(message.turn, []).append(message)
    assert by_turn.keys() | hidden == set(range(1, play.state.turns + 1))
    assert not by_turn.keys() & hidden
    assert all([found.role for found in group].index("user") == 0 for group in by_turn.values())
    assert {message.turn for message in ended} == by_turn.keys() - {queued.turn for queued in play.state.open_turns}


@given(plays(), st.data())
def test_when_somebody_looks_changes_nothing(play: Play, data: st.DataObject) -> None:
    """Folding is put off until somebody looks; looking in between gives the same messages in the end."""
    looks = data.draw(st.sets(st.integers(0, len(play.events))))
    transcript = Transcript()
    for number, event in enumerate(play.events):
        if number in looks:
            transcript.messages()
        transcript.add(event)
    assert transcript.messages() == play.transcript.messages()


@given(plays())
def test_what_a_turn_reads_does_not_change_under_it(play: Play) -> None:
    """A history taken while a turn runs holds what it held, whatever ends later: earlier turns, then its own."""
    transcript = Transcript()
    taken: list[tuple[int, History, tuple[Message, ...]]] = []
    for event in play.events:
        transcript.add(event)
        turn = getattr(event.body, "turn", 0)
        if transcript.of_turn(turn):
            history = transcript.before(turn)
            taken.append((turn, history, tuple(history)))
    for turn, history, messages in taken:
        assert tuple(history) == messages
        own = max((turn_place(message) for message in messages if message.turn == turn), default=0)
        assert all(turn_place(message) <= own for message in messages)
        assert len(history) == len(messages)


def test_a_message_that_comes_while_a_turn_runs_stands_after_its_answer() -> None:
    """The order of a transcript is that of the turns, not that of arrival."""
    play = Play().play([Send(), Say("text", "one"), Checkpoint(), Send(), Say("text", " two"), DONE])
    assert said(play.transcript.messages()) == [
        (1, "user", "hello"),
        (1, "assistant", "one two"),
        (2, "user", "hello"),
    ]


def test_a_message_cancelled_in_the_queue_stands_after_the_turn_that_ran_meanwhile() -> None:
    """It ended first and was accepted last; what a model read before it is not changed by it."""
    play = Play().play([Send(), Send(), Send(), Withdraw(0), Say("text", "one"), Checkpoint()])
    transcript = play.transcript
    assert said(tuple(transcript.before(1))) == [(1, "user", "hello"), (1, "assistant", "one")]
    for event in Play().play([*play.steps, DONE]).events[len(play.events) :]:
        transcript.add(event)
    assert said(tuple(transcript.before(2))) == [(1, "user", "hello"), (1, "assistant", "one"), (2, "user", "hello")]
    assert [(message.turn, message.status) for message in transcript.ended()] == [
        (1, "completed"),
        (1, "completed"),
        (3, "cancelled"),
    ]


def test_the_parts_of_an_answer_are_kept_with_kind_name_and_status() -> None:
    """Thinking, text, a call with its arguments, its result with its outcome, and a part that was cut."""
    steps: list[Step] = [Send(), Say("thinking", "hm"), Say("text", "I look."), Call(("a",)), Return(0, ok=False)]
    messages = Play().play([*steps, Say("text", "So"), End(TurnStatus.FAILED)]).transcript.messages()
    assert [message.parts for message in messages[1:]] == [
        (Part("thinking", "hm"), Part("text", "I look."), Part("tool_call", "{}", "find", "a")),
        (Part("tool_result", "found", "find", "a", "error"),),
        (Part("text", "So", status="cut"),),
    ]
    assert [message.text for message in messages] == ["hello", "I look.", "", "So"]
    assert {message.status for message in messages} == {"failed"}


def test_messages_of_a_turn_are_named_by_their_place() -> None:
    """No sender's key can be equal to such a name, since keys hold no slash."""
    play = Play().play([Send(), Say("text", "a"), Die("retry"), Start(), Say("text", "b"), Checkpoint()])
    assert [message.message_id for message in play.transcript.messages()][1:] == [made_message_id(1, 2, 0)] == ["1/2/0"]


def test_what_an_interrupted_attempt_said_leaves_the_transcript() -> None:
    """Its events stay in the journal; the next attempt is read as if it were the first."""
    steps: list[Step] = [Send(), Say("text", "one"), Call(("a",)), Die("retry")]
    transcript = Play().play(steps).transcript
    assert said(transcript.messages()) == [(1, "user", "hello")]
    assert [message.status for message in transcript.messages()] == ["queued"]
    again = Play().play([*steps, Start(), Say("text", "two"), DONE]).transcript
    assert said(again.messages()) == [(1, "user", "hello"), (1, "assistant", "two")]


def test_an_open_turn_shows_its_messages_as_running() -> None:
    """As far as they are on disk, with the part that is still growing marked so."""
    transcript = Play().play([Send(), Say("text", "Unt"), Checkpoint()]).transcript
    assert transcript.ended() == []
    assert [(message.status, message.parts[-1].status) for message in transcript.of_turn(1)] == [
        ("running", "complete"),
        ("running", "streaming"),
    ]
    assert transcript.of_turn(2) == ()


def test_seeds_come_first_and_belong_to_no_turn() -> None:
    """A history given at creation has turn 0, and the number of the event that added it."""
    parts = (SeedPart("text", "Be brief."), SeedPart("tool_call", "{}", "find", "a"))
    transcript = transcript_of([MessageAdded("s1", "system", parts), *turns(1)])
    assert transcript.ended()[0] == Message(
        "s1", "system", (Part("text", "Be brief."), Part("tool_call", "{}", "find", "a")), 0, 0, 1
    )
    assert said(transcript.messages())[1:] == [(1, "user", "text 1")]


def test_prompts_make_no_messages() -> None:
    """A question to a person and its answer are events of their own, not something that a model said."""
    play = Play().play([Send(), Question(("yes", "no")), Reply(0, "yes"), DONE])
    assert said(play.transcript.messages()) == [(1, "user", "hello")]


@pytest.mark.parametrize("messages_max", [1, 2, 7, 10])
def test_no_more_messages_are_kept_than_the_bound(messages_max: int) -> None:
    """The oldest are forgotten, and where what is kept begins is known."""
    transcript = transcript_of(turns(25), messages_max=messages_max)
    kept = transcript.ended()
    assert 1 <= len(kept) <= messages_max
    assert [message.turn for message in kept] == list(range(transcript.first_turn, 26))


def test_a_transcript_within_its_bound_keeps_everything() -> None:
    """Nothing is forgotten before it has to be, and the first turn is then 0: there is nothing before."""
    transcript = transcript_of(turns(10), messages_max=10)
    assert len(transcript.ended()) == 10
    assert transcript.first_turn == 0


def test_a_turn_is_forgotten_whole_or_kept_whole() -> None:
    """A page ends where what is kept begins, so a turn cut in two would lose its first half to every reader."""
    talk: list[Step] = [Send(), Say("text", "I look."), Call(("a", "b")), Return(0, ok=True), Return(0, ok=True), DONE]
    bodies = Play().play([step for _ in range(4) for step in talk]).bodies
    transcript = transcript_of(bodies, messages_max=10)
    kept = transcript.ended()
    whole = [message for message in transcript_of(bodies).ended() if message.turn >= transcript.first_turn]
    assert [message.message_id for message in kept] == [message.message_id for message in whole]
    assert transcript.first_turn == 3


def test_a_turn_older_than_what_is_kept_is_left_to_the_journal() -> None:
    """One long turn, and so many cancelled behind it that the bound was reached: pages begin where memory does."""
    bodies = turns(12)
    first, late = bodies[:2]
    transcript = transcript_of([first, *bodies[2:]], messages_max=10)
    assert [message.turn for message in transcript.ended()] == list(range(transcript.first_turn, 13))
    transcript.add(Event(CHAT, 99, 1, 0.0, late))
    assert [message.turn for message in transcript.ended()] == list(range(transcript.first_turn, 13))
    assert transcript.of_turn(1) == ()


def test_a_view_is_not_moved_by_an_older_turn_that_ends_later() -> None:
    """Whoever looks at what went before a waiting turn goes on seeing what they saw."""
    play = Play().play([Send(), Send(), Send(), Withdraw(1)])
    transcript = play.transcript
    history = transcript.before(3)
    before = tuple(history)
    assert [message.turn for message in before] == [2, 3]
    transcript.add(Event(CHAT, 99, 1, 0.0, TurnEnded(1, 1, TurnStatus.COMPLETED)))
    assert [message.turn for message in transcript.before(3)] == [1, 2, 3]
    assert tuple(history) == before


def test_a_view_outlives_the_trimming_of_its_list() -> None:
    """What a running turn reads stays where it was, though the transcript has forgotten it."""
    bodies = turns(25)
    transcript = transcript_of(bodies[:20], messages_max=10)
    history = transcript.before(11)
    before = tuple(history)
    for seq, body in enumerate(bodies[20:], 21):
        transcript.add(Event(CHAT, seq, 1, 0.0, body))
    assert before[0] not in transcript.ended()
    assert tuple(history) == before


def test_a_transcript_that_nobody_looks_at_does_not_gather_events_for_ever() -> None:
    """What waits to be folded is bounded, so the bound on messages holds without a reader."""
    transcript = transcript_of(turns(1000), messages_max=10)
    assert len(transcript._unfolded) < 256  # noqa: SLF001 - what waits cannot be seen from outside
    assert len(transcript._ended) <= 10  # noqa: SLF001 - as above


def test_a_transcript_can_start_from_a_page() -> None:
    """Messages read from the store come first, and the page before them is asked for by their first turn."""
    page = transcript_of(turns(3)).ended()[1:]
    transcript = Transcript(page, first_turn=2)
    transcript.add(Event(CHAT, 7, 1, 0.0, MessageAccepted("m4", 4, "text 4")))
    assert [message.turn for message in transcript.messages()] == [2, 3, 4]
    assert transcript.first_turn == 2


def test_a_history_is_a_sequence() -> None:
    """It has a length, indices from both ends, slices and an order, over earlier turns and its own alike."""
    transcript = transcript_of([*turns(3), MessageAccepted("m4", 4, "text 4")])
    history = transcript.before(4)
    texts = [message.text for message in history]
    assert texts == ["text 1", "text 2", "text 3", "text 4"]
    assert [history[index].text for index in range(-4, 4)] == [*texts, *texts]
    assert [message.text for message in history[1:]] == texts[1:]
    assert [message.text for message in history[::-1]] == texts[::-1]
    assert [message.text for message in reversed(history)] == texts[::-1]
    assert history[3] in history
    assert len(history) == 4


@pytest.mark.parametrize("index", [4, -5, 1 << 40])
def test_a_history_has_nothing_beyond_its_ends(index: int) -> None:
    """The error says which message was asked for, and how many there are."""
    history = transcript_of([*turns(3), MessageAccepted("m4", 4, "text 4")]).before(4)
    with pytest.raises(IndexError, match="of 4"):
        history[index]
