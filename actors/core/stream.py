"""What a subscriber sees besides events: the opening snapshot, signals, and the markers of its own reading.

A signal is ephemeral, unnumbered and never stored. The text it shows at an offset is the text the journal will hold
there.
"""

from typing import Literal

import msgspec

from actors.core.events import Event
from actors.core.ids import ChatId
from actors.core.transcript import Message


class PromptView(msgspec.Struct, frozen=True):
    """A question that may be answered now; ``prompt_id`` is what ``answer`` wants.

    ``expires_at_s`` is wall time in seconds since 1970; ``default`` is the answer that counts from then on.
    """

    prompt_id: str
    turn: int
    type: str
    question: str
    choices: tuple[str, ...]
    expires_at_s: float | None
    default: str | None


class RunningView(msgspec.Struct, frozen=True):
    """The running turn as a snapshot shows it: its messages so far, live text included."""

    turn: int
    attempt: int
    status: str
    messages: tuple[Message, ...]


class SessionReady(msgspec.Struct, frozen=True):
    """The snapshot a subscription begins with; everything after ``seq`` follows it.

    ``messages`` are those of ended turns, the last page of them; ``before_turn`` asks for the page before, None if
    there is none. ``queued`` are accepted messages that wait, in the order in which they will be answered; those that
    the running turn was handed and has not taken come first, under its number. ``paused`` says that no turn begins.
    ``prompts`` are the questions that are open, those of turns that were interrupted included.
    """

    chat_id: ChatId
    epoch: int
    seq: int
    status: str
    messages: tuple[Message, ...]
    before_turn: int | None
    running: RunningView | None
    queued: tuple[Message, ...]
    prompts: tuple[PromptView, ...] = ()
    paused: bool = False


class TextSignal(msgspec.Struct, frozen=True, gc=False):
    """Text that has just been said; ``offset`` counts characters from the start of its part."""

    chat_id: ChatId
    turn: int
    attempt: int
    message: int
    part: int
    type: Literal["text", "thinking"]
    offset: int
    text: str


class ProgressSignal(msgspec.Struct, frozen=True, gc=False):
    """Something the agent or the runtime wants seen and not kept: progress of a tool, typing, ``degraded``."""

    chat_id: ChatId
    turn: int
    name: str
    value: str


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Events ``after`` + 1 to ``until`` are not in the journal any more; what follows is complete again."""

    chat_id: ChatId
    after: int
    until: int


Signal = TextSignal | ProgressSignal
Item = SessionReady | Event | TextSignal | ProgressSignal | Gap
"""Everything a subscription yields."""
