"""A recorded conversation as something to be played: its session, what its user sends, what its assistant says."""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import attrs
import trio

from actors.core.commands import Seed
from actors.core.envelope import check_text
from actors.core.events import SeedPart
from actors.core.ids import ChatId, DropReason, parse_chat_id
from actors.core.limits import Limits
from actors.errors import ConfigurationError, Reject
from actors.recordings.canonical import Digest, canonical_parts
from actors.recordings.canonical import Part as CanonicalPart
from actors.recordings.model import Conversation, Place, RecordedMessage, RecordedTurn
from actors.runtime.clock import SystemClock
from actors.runtime.tool import ToolCall
from actors.runtime.turn import Turn

PIECE_CHARACTERS_MAX: Final = 24
"""Providers stream a few characters at a time; a word or two."""
SLUG_CHARACTERS_MAX: Final = 40
"""With a name of 200 characters and a number this fills the 256 characters of a chat id."""


@attrs.frozen
class Recording:
    """The conversations of one file; ``file`` is what errors call it, ``slug`` what chat ids do."""

    file: str
    slug: str
    conversations: tuple[Conversation, ...]


@attrs.frozen
class Script:
    """A conversation to be hosted as one session; ``sha256`` is what its stored transcript must come to."""

    chat_id: ChatId
    conversation: Conversation
    sha256: str

    @property
    def seeds(self) -> tuple[Seed, ...]:
        """The history that the session is created with: everything before the first user message."""
        return tuple(
            Seed(f"seed/{number}", message.role, tuple(_seed_parts(message)))
            for number, message in enumerate(self.conversation.opening)
        )


class Pace:
    """How long the gaps of a recording last when it is played."""

    def __init__(self, speed: float | None) -> None:
        """``speed`` divides the recorded gaps; None leaves them out."""
        self._speed = speed
        self._hurried = trio.Event()

    @property
    def waits(self) -> bool:
        """Whether gaps last at all."""
        return self._speed is not None and not self._hurried.is_set()

    def hurry(self) -> None:
        """Leave out all gaps from now on, those that last already too."""
        self._hurried.set()

    async def wait(self, gap_s: float) -> None:
        """Wait as long as a recorded gap of so many seconds lasts."""
        with trio.move_on_after(gap_s / self._speed if self._speed and gap_s > 0 else 0):
            await self._hurried.wait()


class Player:
    """The agent of a run: it says what the recorded assistant said in the turn of the same number."""

    def __init__(self, scripts: Mapping[ChatId, Script], pace: Pace, seed: int) -> None:
        """Know every script before the runtime opens, since interrupted turns are begun again at once."""
        self._scripts = scripts
        self._pace = pace
        self._seed = seed

    async def answer(self, turn: Turn) -> None:
        """Play one turn. Raises Reject if no script has this turn, or it answers another message."""
        recorded = self._recorded(turn)
        clock = SystemClock(_seed(self._seed, turn.chat_id, turn.number))
        open_calls: dict[str, deque[ToolCall]] = {}
        before = recorded.user
        for step in recorded.steps:
            await self._say(turn, step, gap_s(before, step), clock)
            before = step
            if step.tool_calls:
                wanted = [(call.name, call.arguments, call.call_id) for call in step.tool_calls]
                made = await turn.calls(wanted, interactive=True)  # what was recorded may repeat itself
                for call, recorded_call in zip(made, step.tool_calls, strict=True):
                    open_calls.setdefault(recorded_call.call_id, deque()).append(call)
            if step.result is not None:
                await open_calls[step.result.call_id].popleft().end(step.result.content)

    async def _say(self, turn: Turn, step: RecordedMessage, gap: float, clock: SystemClock) -> None:
        """Stream the thinking and the text of a message in small pieces, over the time it took."""
        pieces = [(turn.think, piece) for piece in cut(step.thinking or "", clock)]
        pieces += [(turn.write, piece) for piece in cut(step.text or "", clock)]
        if self._pace.waits and not pieces:
            await self._pace.wait(gap)
        for write, piece in pieces:
            if self._pace.waits:
                await self._pace.wait(gap / len(pieces))
            await write(piece)

    def _recorded(self, turn: Turn) -> RecordedTurn:
        """Find the turn in the recording."""
        script = self._scripts.get(turn.chat_id)
        if script is None or turn.number > len(script.conversation.turns):
            message = "the recording has no such turn"
            raise Reject(message)
        recorded = script.conversation.turns[turn.number - 1]
        if recorded.user.text != turn.text:
            message = "the recording has another message in this turn"
            raise Reject(message)
        return recorded


def parse_pace(text: str) -> float | None:
    """Read a pace: ``max`` is None, ``real`` is 1, and a number is by how much faster it goes.

    Raises ConfigurationError for anything else.
    """
    if text == "max":
        return None
    try:
        speed = 1.0 if text == "real" else float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        message = f"the pace is {text!r}"
        raise ConfigurationError(message, hint="give max, real, or by how much faster than real")
    return speed


def slug_of(path: Path, taken: Sequence[str]) -> str:
    """Make of a file's name the part that chat ids share: no dots, at most 40 characters, unlike those taken."""
    stem = path.name.removesuffix(".gz").removesuffix(".json").removesuffix(".jsonl")
    words = "".join(letter if letter.isascii() and (letter.isalnum() or letter == "_") else "-" for letter in stem)
    slug = "-".join(filter(None, words.split("-")))[:SLUG_CHARACTERS_MAX].strip("-") or "file"
    found, number = slug, 1
    while found in taken:
        number += 1
        found = f"{slug[: SLUG_CHARACTERS_MAX - len(str(number)) - 1]}-{number}"
    return found


def write_scripts(
    recordings: Sequence[Recording], limits: Limits, *, sessions: int | None, repeat: int
) -> dict[ChatId, Script]:
    """Choose the conversations to host and give each its chat id.

    ``sessions`` are chosen in order, from the first again when there are more than conversations (None: each once), and
    each of them is hosted ``repeat`` times. An id depends on nothing but these arguments and the names of files and
    conversations. Raises RecordingError for a text that the runtime would refuse, ConfigurationError if there is
    nothing to host.
    """
    found = [(recording, conversation) for recording in recordings for conversation in recording.conversations]
    if not found:
        message = "the files hold no conversation"
        raise ConfigurationError(message, hint="give a file that does, or none for the sample")
    total = len(found) if sessions is None else sessions
    numbered = repeat > 1 or total > len(found)
    scripts: dict[ChatId, Script] = {}
    for index, (recording, conversation) in enumerate(found[:total]):
        _check(conversation, Place(recording.file, conversation.name), limits.message_bytes_max)
        digest = expected_sha256(conversation)
        copies = repeat * len(range(index, total, len(found)))
        for number in range(1, copies + 1):
            name = f"live:{recording.slug}.{conversation.name}" + (f".{number}" if numbered else "")
            chat_id = parse_chat_id(name)
            assert not isinstance(chat_id, DropReason), "a slug, a name and a number make a chat id"
            scripts[chat_id] = Script(chat_id, conversation, digest)
    return scripts


def expected_sha256(conversation: Conversation) -> str:
    """Digest a conversation as the runtime will hold it.

    That is ``digest_conversation``, except that what an agent says without a break is one part: texts of the assistant
    that follow one another in a turn are joined.
    """
    digest = Digest()
    for part in canonical_parts(conversation.opening):
        digest.part(part.role, part.kind, part.payload)
    for turn in conversation.turns:
        for part in canonical_parts((turn.user,)):
            digest.part(part.role, part.kind, part.payload)
        for part in _joined(canonical_parts(turn.steps)):
            digest.part(part.role, part.kind, part.payload)
    return digest.canonical_sha256


def cut(text: str, clock: SystemClock) -> Iterator[str]:
    """Cut a text into pieces of 1 to 24 characters, as the dice say."""
    start = 0
    while start < len(text):
        end = start + 1 + int(clock.dice() * PIECE_CHARACTERS_MAX)
        yield text[start:end]
        start = end


def gap_s(before: RecordedMessage | None, message: RecordedMessage) -> float:
    """Say how many seconds a message came after the one before; 0 where the recording has no times."""
    if before is None or before.at_s is None or message.at_s is None:
        return 0.0
    return message.at_s - before.at_s


def _seed(seed: int, chat_id: str, turn: int) -> int:
    """Make the seed of one turn, so that no session's dice depend on another's."""
    return int.from_bytes(sha256(f"{seed}/{chat_id}/{turn}".encode()).digest()[:8], "big")


def _seed_parts(message: RecordedMessage) -> Iterator[SeedPart]:
    """Make the parts of a message that was there before the first turn."""
    if message.thinking is not None:
        yield SeedPart("thinking", message.thinking)
    if message.text is not None:
        yield SeedPart("text", message.text)
    for call in message.tool_calls:
        yield SeedPart("tool_call", call.arguments, call.name, call.call_id)
    if message.result is not None:
        yield SeedPart("tool_result", message.result.content, message.result.name, message.result.call_id)


def _joined(parts: Iterator[CanonicalPart]) -> Iterator[CanonicalPart]:
    """Join texts, and thoughts, that follow one another."""
    held: CanonicalPart | None = None
    for part in parts:
        if held is not None and held.kind == part.kind and part.kind in {"text", "thinking"}:
            held = attrs.evolve(held, payload=held.payload + part.payload)
            continue
        if held is not None:
            yield held
        held = part
    if held is not None:
        yield held


def _check(conversation: Conversation, place: Place, bytes_max: int) -> None:
    """Refuse what the runtime would refuse, before anything is hosted."""
    asked = {id(turn.user) for turn in conversation.turns}
    for index, message in enumerate(conversation.messages):
        text = message.text or ""
        size = check_text(text if id(message) in asked else text or " ", bytes_max)
        if not isinstance(size, int):
            raise (
                place.at_message(index)
                .at_field("content")
                .error(problem=f"the runtime takes no {size.found} here", hint=size.remedy)
            )
