"""A recorded conversation, played: the same session ids, the same words and calls, at the pace that was asked for."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from actors.cli.export import add_message
from actors.cli.playback import (
    PIECE_CHARACTERS_MAX,
    SLUG_CHARACTERS_MAX,
    Pace,
    Player,
    Recording,
    Script,
    cut,
    expected_sha256,
    gap_s,
    parse_pace,
    slug_of,
    write_scripts,
)
from actors.core.ids import parse_chat_id
from actors.core.limits import Limits
from actors.errors import ConfigurationError, RecordingError
from actors.host import open_runtime
from actors.recordings.canonical import Digest, digest_conversation
from actors.recordings.model import Conversation, RecordedMessage, RecordedToolCall
from actors.recordings.reader import read_sample
from actors.runtime.clock import SystemClock
from tests.cli.recorded import GREETING, assistant, conversation, result, user

LOOK = RecordedToolCall("c1", "look", '{"b": 1, "a": [2]}')


def scripts_of(
    *conversations: Conversation, sessions: int | None = None, repeat: int = 1
) -> list[tuple[str, Conversation]]:
    """Write scripts of one file, and show the ids with what they stand for."""
    recording = Recording("a.json", "a", conversations)
    scripts = write_scripts([recording], Limits(), sessions=sessions, repeat=repeat)
    assert all(chat_id == script.chat_id == parse_chat_id(chat_id) for chat_id, script in scripts.items())
    return [(chat_id, script.conversation) for chat_id, script in scripts.items()]


async def digest_of_played(script: Script, *, pace: Pace | None = None) -> tuple[str, dict[str, int]]:
    """Play a script in a runtime and digest what was stored; how the turns ended is told beside."""
    player = Player({script.chat_id: script}, pace or Pace(None), seed=7)
    async with open_runtime(":memory:", agent=player.answer) as runtime:
        await runtime.create(script.chat_id, history=script.seeds)
        for turn in script.conversation.turns:
            await (await runtime.send(script.chat_id, turn.user.text)).result()
        digest = Digest()
        for message in (await runtime.history(script.chat_id)).messages:
            add_message(digest, message)
        return digest.canonical_sha256, runtime.statistics().turns


def script_of(recorded: Conversation) -> Script:
    """Write the script of one conversation."""
    (script,) = write_scripts([Recording("a.json", "a", (recorded,))], Limits(), sessions=None, repeat=1).values()
    return script


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("gpt-4o-airline.json.gz", "gpt-4o-airline"),
        ("claude_default_gpt4.1_1trials.json", "claude_default_gpt4-1_1trials"),
        ("a b..c--d.json", "a-b-c-d"),
        ("-.json", "file"),
        ("Ünïcode ✓.json", "n-code"),
        ("x" * 300, "x" * SLUG_CHARACTERS_MAX),
    ],
)
def test_a_file_name_becomes_a_part_of_a_chat_id(name: str, slug: str) -> None:
    """Whatever a file is called, its conversations get ids that the runtime takes."""
    assert slug_of(Path("folder", name), ()) == slug
    assert parse_chat_id(f"live:{slug}.1") == f"live:{slug}.1"


def test_files_of_one_name_do_not_share_their_sessions() -> None:
    """Two folders may hold files of the same name, and both are hosted."""
    taken: list[str] = []
    for folder in ("a", "b", "c"):
        taken.append(slug_of(Path(folder, f"{'x' * 60}.json"), taken))
    assert len(set(taken)) == len(taken) == 3
    assert all(len(slug) <= SLUG_CHARACTERS_MAX for slug in taken)


def test_every_conversation_is_hosted_once_by_default() -> None:
    """An id is made of the file and the name of the conversation."""
    first, second = conversation(user("x"), name="c1"), conversation(user("y"), name="c2")
    assert scripts_of(first, second) == [("live:a.c1", first), ("live:a.c2", second)]


def test_fewer_sessions_than_conversations_take_the_first() -> None:
    """So that a short try is a part of the whole."""
    first, second = conversation(user("x"), name="c1"), conversation(user("y"), name="c2")
    assert scripts_of(first, second, sessions=1) == [("live:a.c1", first)]


def test_more_sessions_than_conversations_begin_again_under_numbered_ids() -> None:
    """The number is the last part of every id, so that no name of a conversation can be taken for it."""
    first, second = conversation(user("x"), name="c1"), conversation(user("y"), name="c1.2")
    found = scripts_of(first, second, sessions=3)
    assert found == [("live:a.c1.1", first), ("live:a.c1.2", first), ("live:a.c1.2.1", second)]


def test_a_repeat_hosts_each_of_the_chosen_so_often() -> None:
    """Sessions times repeat is how many are hosted."""
    first, second = conversation(user("x"), name="c1"), conversation(user("y"), name="c2")
    found = scripts_of(first, second, sessions=3, repeat=2)
    assert [chat_id for chat_id, _ in found] == [
        "live:a.c1.1",
        "live:a.c1.2",
        "live:a.c1.3",
        "live:a.c1.4",
        "live:a.c2.1",
        "live:a.c2.2",
    ]


def test_the_longest_name_still_makes_a_chat_id() -> None:
    """A name of 200 characters, the longest slug and a number of nine digits fit."""
    recording = Recording("f", "s" * SLUG_CHARACTERS_MAX, (conversation(user("x"), name="n" * 200),))
    (chat_id,) = write_scripts([recording], Limits(), sessions=None, repeat=1)
    assert parse_chat_id(f"{chat_id}.999999999") == f"{chat_id}.999999999"


def test_nothing_to_host_is_an_error() -> None:
    """An empty recording would otherwise look like a success."""
    with pytest.raises(ConfigurationError, match="no conversation"):
        write_scripts([Recording("a.json", "a", ())], Limits(), sessions=None, repeat=1)


@pytest.mark.parametrize(
    "messages", [(user("a"), assistant("b"), user("")), (assistant("x" * 2000), user("a")), (user("é" * 600),)]
)
def test_a_text_that_the_runtime_would_refuse_is_told_before_anything_is_hosted(
    messages: tuple[RecordedMessage, ...],
) -> None:
    """The error names the file, the conversation and the message, and repeats nothing of what was said."""
    limits = Limits(message_bytes_max=1024)
    with pytest.raises(RecordingError, match=r"a\.json, conversation c1, message \d") as caught:
        write_scripts([Recording("a.json", "a", (conversation(*messages),))], limits, sessions=None, repeat=1)
    assert "xxx" not in str(caught.value)


def test_the_sample_is_expected_as_it_is_recorded() -> None:
    """Where the assistant does not speak twice in a row, the expected digest is that of the recording."""
    for recorded in read_sample():
        assert expected_sha256(recorded) == digest_conversation(recorded).canonical_sha256


def test_the_opening_is_seeded_as_it_was_recorded() -> None:
    """System prompt, greeting, a call and its result: each message with its parts, in order."""
    system = RecordedMessage("system", "be brief")
    seeds = script_of(conversation(system, assistant("hm", LOOK), result(LOOK, "seen"), GREETING, user("x"))).seeds
    assert [(seed.message_id, seed.role) for seed in seeds] == [
        ("seed/0", "system"),
        ("seed/1", "assistant"),
        ("seed/2", "tool"),
        ("seed/3", "assistant"),
    ]
    assert [(part.kind, part.text, part.name, part.call_id) for seed in seeds for part in seed.parts] == [
        ("text", "be brief", "", ""),
        ("text", "hm", "", ""),
        ("tool_call", '{"b": 1, "a": [2]}', "look", "c1"),
        ("tool_result", "seen", "look", "c1"),
        ("text", "Good day.", "", ""),
    ]


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (assistant("hello"),),
        (RecordedMessage("assistant", "so", thinking="let me think"),),
        (assistant("text first", LOOK), result(LOOK, "seen"), assistant("done")),
        (assistant(None, LOOK, LOOK), result(LOOK, "one"), result(LOOK, ""), assistant("")),
        (assistant("it ends", LOOK),),
        (assistant("two"), assistant("in a row"), RecordedMessage("assistant", None)),
        (assistant("x", RecordedToolCall("", "t", "")), result(RecordedToolCall("", "t", ""), "y")),
    ],
    ids=["none", "text", "thinking", "tool", "same id twice", "unanswered", "neighbours", "empty"],
)
async def test_what_is_played_is_stored_as_it_was_recorded(steps: tuple[RecordedMessage, ...]) -> None:
    """Every form a turn can have comes back from the store with the digest that is expected of it."""
    script = script_of(conversation(GREETING, user("hi"), *steps, user("bye"), assistant("bye")))
    assert await digest_of_played(script) == (script.sha256, {"completed": 2})


async def test_a_message_that_was_not_recorded_is_rejected() -> None:
    """The player plays the recording and nothing else; the session stays up."""
    script = script_of(conversation(user("hi"), assistant("hello")))
    player = Player({script.chat_id: script}, Pace(None), seed=7)
    async with open_runtime(":memory:", agent=player.answer) as runtime:
        for chat_id, text in ((script.chat_id, "ho"), (script.chat_id, "hi"), ("live:other", "hi")):
            ended = await (await runtime.send(await runtime.create(chat_id), text)).result()
            assert (ended.status, ended.reason) == ("failed", "rejected")


def test_the_same_seed_cuts_a_text_the_same_way() -> None:
    """A run can be repeated piece by piece, and no piece is longer than a provider's."""
    text = "All the world's a stage, and all the men and women merely players. " * 20
    pieces = list(cut(text, SystemClock(3)))
    assert "".join(pieces) == text
    assert pieces == list(cut(text, SystemClock(3))) != list(cut(text, SystemClock(4)))
    assert {len(piece) for piece in pieces[:-1]} <= set(range(1, PIECE_CHARACTERS_MAX + 1))
    assert list(cut("", SystemClock(3))) == []


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("real", 1.0), ("2.5", 2.5), ("1e3", 1000.0)])
def test_a_pace_is_a_word_or_a_number(text: str, speed: float | None) -> None:
    """Two words for the ends of the scale, a number for what lies between."""
    assert parse_pace(text) == speed


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "nan", "inf"])
def test_a_pace_that_is_none_is_refused(text: str) -> None:
    """What cannot divide a gap is told, with what can."""
    with pytest.raises(ConfigurationError, match="give max, real"):
        parse_pace(text)


def test_a_gap_needs_two_times() -> None:
    """Recordings without times are played without gaps."""
    assert gap_s(user("a", 1.0), user("b", 3.5)) == 2.5
    assert gap_s(None, user("b", 3.5)) == gap_s(user("a"), user("b", 3.5)) == gap_s(user("a", 1.0), user("b")) == 0.0


async def test_gaps_last_as_long_as_the_pace_says(autojump_clock: MockClock) -> None:
    """The text of a message is spread over the time it took, so a turn lasts as long as it was recorded."""
    script = script_of(conversation(user("hi", 0.0), assistant("a long answer of many pieces" * 9, at_s=30.0)))
    await digest_of_played(script, pace=Pace(2.0))
    assert trio.current_time() == pytest.approx(15.0, abs=0.1)


async def test_who_is_hurried_waits_no_more(autojump_clock: MockClock) -> None:
    """A stop lets running turns come to their end at once, those that wait already too."""
    pace = Pace(1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pace.wait, 1000.0)
        await trio.sleep(1.0)
        pace.hurry()
    await pace.wait(1000.0)
    assert not pace.waits
    assert trio.current_time() == pytest.approx(1.0, abs=0.1)
