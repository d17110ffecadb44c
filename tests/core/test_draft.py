"""What an agent says gets its place at once: the signal, the event and the message agree on it."""

import itertools

import pytest
from hypothesis import given

from actors.core.commands import Finish
from actors.core.decision import Decision
from actors.core.draft import Draft, TextKey
from actors.core.events import EventBody, MessageSteered, TextAppended, ToolCalled, ToolEnded
from actors.core.lifecycle import PartStatus, ToolStatus, TurnStatus
from actors.core.transcript import Message, Part, made_message_id
from tests.core.play import Call, Checkpoint, End, Play, Return, Say, Send, plays, speeches

STREAMING, COMPLETE, CUT = PartStatus.STREAMING, PartStatus.COMPLETE, PartStatus.CUT
SEQ = 7


def durable_texts(play: Play) -> dict[TextKey, str]:
    """Join the text that the journal has of every part."""
    texts: dict[TextKey, str] = {}
    for body in play.bodies:
        if isinstance(body, TextAppended):
            key = (body.turn, body.attempt, body.message, body.part)
            texts[key] = texts.get(key, "") + body.text
    return texts


def finished_attempts(play: Play) -> set[tuple[int, int]]:
    """Name the attempts that came to their own end, so that nothing they said was lost."""
    commands = [taken.command for taken in play.taken if isinstance(taken.outcome, Decision)]
    return {(command.turn, command.attempt) for command in commands if isinstance(command, Finish)}


def message(position: int, *parts: Part, status: str = "running") -> Message:
    """Make a message of the first attempt of turn 1."""
    return Message(made_message_id(1, 1, position), "assistant", parts, 1, 1, SEQ, status)


@given(plays())
def test_what_a_signal_shows_is_what_the_journal_holds_there(play: Play) -> None:
    """Text shown at (message, part, offset) is the durable text there; of an attempt that died, a beginning of it."""
    texts, finished = durable_texts(play), finished_attempts(play)
    for shown in play.shown:
        kept = texts.get(shown.key, "")[shown.offset :][: len(shown.text)]
        assert shown.text.startswith(kept)
        if shown.key[:2] in finished:
            assert kept == shown.text


@given(plays())
def test_signals_of_a_part_join_end_to_end(play: Play) -> None:
    """The offset of each piece is where the one before it ended, and nothing durable was never shown."""
    said: dict[TextKey, str] = {}
    for shown in play.shown:
        assert shown.offset == len(said.get(shown.key, ""))
        said[shown.key] = said.get(shown.key, "") + shown.text
    for key, text in durable_texts(play).items():
        assert said[key].startswith(text)


@given(plays())
def test_a_message_holds_at_each_place_what_was_said_there(play: Play) -> None:
    """Folded through a transcript, the part that a signal named has its kind and its text."""
    messages = {message.message_id: message for message in play.transcript.messages()}
    for (turn, attempt, position, part), text in durable_texts(play).items():
        found = messages.get(made_message_id(turn, attempt, position))
        if found is not None:  # else the attempt was set aside
            assert found.parts[part].text == text
            assert found.parts[part].kind in {"text", "thinking"}


@given(plays())
def test_the_messages_of_an_attempt_are_numbered_without_a_hole(play: Play) -> None:
    """Positions are 0, 1, 2 after those that opened the turn, with those that were taken, and none is empty."""
    for turn, group in itertools.groupby(play.transcript.messages(), lambda found: found.turn):
        found = list(group)
        assert all(one.parts for one in found)
        steered = [body for body in play.bodies if isinstance(body, MessageSteered) and body.turn == turn]
        made = {one.message_id for one in found if one.role != "user"}
        positions = {int(message_id.rpartition("/")[2]) for message_id in made}
        last = max((one.attempt for one in found), default=0)
        positions |= {body.message for body in steered if body.attempt == last}
        assert positions == set(range(len(positions)))


@given(speeches())
def test_showing_unsaved_text_is_what_saving_it_would_show(play: Play) -> None:
    """With what was handed over on disk, the live view of a turn equals its messages after the next checkpoint."""
    assert play.draft is not None
    if play.pending:
        play.step(Checkpoint())
    before = play.transcript.of_turn(1)
    live = play.draft.with_unsaved(before, SEQ)
    assert play.transcript.of_turn(1) == before
    play.step(Checkpoint())
    assert [(found.message_id, found.parts) for found in live] == [
        (found.message_id, found.parts) for found in play.transcript.of_turn(1)
    ]


@given(speeches())
def test_a_checkpoint_with_nothing_new_hands_nothing_over(play: Play) -> None:
    """Of two checkpoints in a row the second is empty."""
    assert play.draft is not None
    first: list[EventBody] = []
    second: list[EventBody] = []
    play.draft.checkpoint(first)
    play.draft.checkpoint(second)
    assert not second


def test_a_piece_of_the_same_kind_goes_on_in_its_part() -> None:
    """Offsets count characters from the start of the part, across checkpoints."""
    draft, bodies = Draft(3, 2), list[EventBody]()
    assert draft.write("text", "Où ", bodies) == ((3, 2, 0, 0), 0)
    draft.checkpoint(bodies)
    assert draft.write("text", "🦌?", bodies) == ((3, 2, 0, 0), 3)
    draft.close(COMPLETE, bodies)
    assert bodies == [
        TextAppended(3, 2, 0, 0, "text", 0, "Où ", STREAMING),
        TextAppended(3, 2, 0, 0, "text", 3, "🦌?", COMPLETE),
    ]


def test_a_piece_of_another_kind_closes_the_part_before_it() -> None:
    """Thinking and text are parts of one message, each with offsets of its own."""
    draft, bodies = Draft(1, 1), list[EventBody]()
    assert draft.write("thinking", "hm", bodies) == ((1, 1, 0, 0), 0)
    assert draft.write("text", "yes", bodies) == ((1, 1, 0, 1), 0)
    assert bodies == [TextAppended(1, 1, 0, 0, "thinking", 0, "hm", COMPLETE)]


def test_calls_stand_in_the_message_that_made_them_and_results_in_their_own() -> None:
    """Two calls of one message have two results, and what is said after them begins a new message."""
    draft, bodies = Draft(1, 1), list[EventBody]()
    draft.write("text", "I look.", bodies)
    assert [draft.call("a", "find", "{}", bodies), draft.call("a", "find", "[]", bodies)] == [0, 1]
    draft.result(1, ToolStatus.ERROR, "no", bodies)
    draft.result(0, ToolStatus.OK, "yes", bodies)
    assert draft.write("text", "There.", bodies) == ((1, 1, 3, 0), 0)
    assert bodies == [
        TextAppended(1, 1, 0, 0, "text", 0, "I look.", COMPLETE),
        ToolCalled(1, 1, 0, 1, 0, "a", "find", "{}"),
        ToolCalled(1, 1, 0, 2, 1, "a", "find", "[]"),
        ToolEnded(1, 1, 1, 1, ToolStatus.ERROR, "no"),
        ToolEnded(1, 1, 2, 0, ToolStatus.OK, "yes"),
    ]


def test_a_call_without_an_id_gets_one_from_its_ordinal() -> None:
    """A model that names its calls keeps its names; the others are told apart by their order."""
    draft, bodies = Draft(1, 1), list[EventBody]()
    for call_id in ("", "mine", ""):
        draft.call(call_id, "find", "{}", bodies)
    assert [body.call_id for body in bodies if isinstance(body, ToolCalled)] == ["call_0", "mine", "call_2"]
    assert draft.calls == 3


def test_a_result_while_text_is_growing_ends_that_text() -> None:
    """A tool that ends while the agent speaks cuts the speech into two messages, with nothing lost between."""
    play = Play().play([Send(), Call(("a",)), Say("text", "one "), Return(0, ok=True), Say("text", "two")])
    play.step(End(TurnStatus.COMPLETED))
    said = [(found.role, [part.text for part in found.parts]) for found in play.transcript.messages()[1:]]
    assert said == [("assistant", ["{}", "one "]), ("tool", ["found"]), ("assistant", ["two"])]


@pytest.mark.parametrize("status", [COMPLETE, CUT])
def test_closing_ends_a_part_once_and_may_add_nothing(status: PartStatus) -> None:
    """A part whose text is on disk already still gets the event that ends it; a second close finds nothing."""
    draft, bodies = Draft(1, 1), list[EventBody]()
    draft.close(status, bodies)
    draft.write("text", "Hi", bodies)
    draft.checkpoint(bodies)
    draft.close(status, bodies)
    draft.close(status, bodies)
    assert bodies == [
        TextAppended(1, 1, 0, 0, "text", 0, "Hi", STREAMING),
        TextAppended(1, 1, 0, 0, "text", 2, "", status),
    ]


def test_unsaved_text_is_shown_in_a_message_that_is_not_on_disk_yet() -> None:
    """A snapshot taken before the first checkpoint has the live text in a message of its own."""
    draft = Draft(1, 1)
    draft.write("thinking", "hm", [])
    assert draft.with_unsaved((), SEQ) == (message(0, Part("thinking", "hm", status="streaming")),)


def test_unsaved_text_is_added_to_the_part_that_is_on_disk() -> None:
    """The durable beginning and the live rest are one text; what is saved already is not shown twice."""
    draft = Draft(1, 1)
    draft.write("text", "Until ", [])
    draft.checkpoint([])
    saved = (message(0, Part("text", "Until ", status="streaming")),)
    assert draft.with_unsaved(saved, SEQ) is saved
    draft.write("text", "six.", [])
    assert draft.with_unsaved(saved, SEQ) == (message(0, Part("text", "Until six.", status="streaming")),)


def test_unsaved_text_after_other_parts_is_shown_behind_them() -> None:
    """A part that has just begun stands after the call that is on disk."""
    draft = Draft(1, 1)
    draft.call("a", "find", "{}", [])
    draft.write("text", "wait", [])
    call = Part("tool_call", "{}", "find", "a")
    assert draft.with_unsaved((message(0, call),), SEQ) == (message(0, call, Part("text", "wait", status="streaming")),)
