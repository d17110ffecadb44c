"""``actors export``: what a store holds, as lines of JSON; it only reads, whoever owns the store."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import trio

from actors.core.events import MessageAccepted, TurnEnded
from actors.core.ids import ChatId, DropReason, parse_chat_id
from actors.core.lifecycle import ToolStatus
from actors.core.transcript import Message, Part, Transcript
from actors.errors import UnknownChatError
from actors.ports import Alias, Journal
from actors.recordings.canonical import Digest, Kind, canonical_tool_call
from actors.runtime.clock import Threads
from actors.store.checks import list_aliases, list_sessions
from actors.store.sqlite import SQLiteJournal

PAGE_ROWS: Final = 1000

_KINDS: Final[dict[str, Kind]] = {
    "text": "text",
    "thinking": "thinking",
    "tool_call": "tool_call",
    "tool_result": "tool_result",
}
_SEALS: Final = frozenset({ToolStatus.CANCELLED.value, ToolStatus.INTERRUPTED.value})


async def export(store: Path, chat_ids: Sequence[str], *, canonical: bool) -> int:
    """Write a line for each message, or with ``canonical`` for each conversation, and return the exit code.

    Sessions come in the order of their ids, messages in the order of their turns; those of turns that have not ended
    are there as far as they are on disk. Without ids every session is written.

    Raises UnknownChatError before anything is written if an id is not there, StoreError if the store cannot be read.
    """
    known = [session.chat_id for session in await trio.to_thread.run_sync(list_sessions, store)]
    aliases = await trio.to_thread.run_sync(list_aliases, store)
    wanted = sorted({chosen(chat_id, known, aliases) for chat_id in chat_ids}) if chat_ids else known
    journal = SQLiteJournal(store, Threads())
    await journal.open_reader()
    try:
        for chat_id in wanted:
            await (_write_digest if canonical else _write_messages)(journal, chat_id)
        sys.stdout.buffer.flush()
    finally:
        with trio.CancelScope(shield=True):
            await journal.close()
    return 0


def chosen(chat_id: str, known: Iterable[str], aliases: Iterable[Alias] = ()) -> ChatId:
    """Return the id of a session that is there, for it or for one that leads to it.

    Raises UnknownChatError for any other.
    """
    parsed = parse_chat_id(chat_id)
    parsed = next((alias.leads_to for alias in aliases if alias.chat_id == parsed), parsed)
    if isinstance(parsed, DropReason) or parsed not in known:
        reason = parsed if isinstance(parsed, DropReason) else DropReason.UNKNOWN_CHAT
        message = "the store has no such session"
        raise UnknownChatError(reason, message, chat_id=chat_id, hint="`actors inspect` lists those it has")
    return parsed


async def each_message(journal: Journal, chat_id: ChatId, take: Callable[[Message], None]) -> None:
    """Hand over the messages of a session in the order of their turns, folded from its events.

    What is held at a time is the turns that overlap, not the history. Raises StoreError if it cannot be read.
    """
    transcript = Transcript()
    open_turns: set[int] = set()
    after = 0
    while events := await journal.events(chat_id, after, PAGE_ROWS):
        after = events[-1].seq
        for event in events:
            transcript.add(event)
            match event.body:
                case MessageAccepted(turn=turn):
                    open_turns.add(turn)
                case TurnEnded(turn=turn):
                    open_turns.discard(turn)
                    if not open_turns:
                        transcript = _flush(transcript, take)
                case _:
                    pass
    _flush(transcript, take)


def add_message(digest: Digest, message: Message) -> None:
    """Add a stored message to a digest.

    The outcome that the runtime gave to a call nobody answered (a seal) was said by no one and is left out, so that a
    recording which ends in the middle of a call has the same digest as what was stored of it.
    """
    said = [part for part in message.parts if not _is_seal(part)]
    if message.parts and not said:
        return
    digest.message(message.role)
    for part in said:
        kind = _KINDS[part.kind]
        digest.part(message.role, kind, canonical_tool_call(part.name, part.text) if kind == "tool_call" else part.text)


async def _write_messages(journal: Journal, chat_id: ChatId) -> None:
    """Write a line for each message of a session."""
    await each_message(journal, chat_id, lambda message: _write(_record(chat_id, message)))


async def _write_digest(journal: Journal, chat_id: ChatId) -> None:
    """Write a line for a session."""
    digest = Digest()
    await each_message(journal, chat_id, lambda message: add_message(digest, message))
    _write(_digest_record(chat_id, digest))


def _flush(transcript: Transcript, take: Callable[[Message], None]) -> Transcript:
    """Hand over what a transcript holds and begin another."""
    for message in sorted(transcript.messages(), key=lambda message: message.turn):
        take(message)
    return Transcript()


def _is_seal(part: Part) -> bool:
    """Say whether a part is an outcome that the runtime gave, in place of one that never came."""
    return part.kind == "tool_result" and part.status in _SEALS


def _record(chat_id: ChatId, message: Message) -> dict[str, object]:
    """Show a message as a JSON object."""
    return {
        "chat_id": chat_id,
        "seq": message.seq,
        "message_id": message.message_id,
        "role": message.role,
        "parts": [_part(part) for part in message.parts],
        "turn": message.turn,
        "status": message.status,
    }


def _part(part: Part) -> dict[str, str]:
    """Show a part as a JSON object; a key that says nothing is left out."""
    shown = {"kind": part.kind, "text": part.text}
    if part.kind in {"tool_call", "tool_result"}:
        shown |= {"name": part.name, "call_id": part.call_id}
    if part.status != "complete":
        shown["status"] = part.status
    return shown


def _digest_record(chat_id: ChatId, digest: Digest) -> dict[str, object]:
    """Show what a conversation comes to as a JSON object."""
    return {
        "chat_id": chat_id,
        "messages": digest.messages,
        "parts": digest.parts,
        "tool_calls": digest.tool_calls,
        "chars": digest.chars,
        "canonical_sha256": digest.canonical_sha256,
        "text_sha256": digest.text_sha256,
    }


def _write(record: dict[str, object]) -> None:
    """Write a JSON object as a line."""
    sys.stdout.buffer.write(msgspec.json.encode(record) + b"\n")
