"""When a mailbox is closed, each letter in it has its end, and whoever waits for an answer gets one."""

import pytest
from trio.testing import MockClock

from actors import AskError, UnavailableError
from actors.core.commands import Accept
from actors.core.envelope import Envelope
from actors.core.ids import DropReason
from actors.runtime.closing import close
from actors.runtime.control import CancelTurn, Prepare
from actors.runtime.mailbox import Reply, Request
from actors.runtime.registry import Registry
from tests.runtime.by_hand import CHAT, bench


async def test_l3_what_is_left_in_a_mailbox_is_answered_and_accounted_for(autojump_clock: MockClock) -> None:
    """A send is refused with the reason, an ask is told that it was not started, a tell is a dead letter."""
    made = bench()
    ref, registry = made.ref, Registry(made.services.limits, (), ())
    send, ask = Request(Envelope(CHAT, Accept("m", "x"), 1), Reply()), Request(Envelope(CHAT, "x", 1), Reply())
    for letter in (send, Envelope(CHAT, "x", 1), ask):
        assert ref.mailbox.put_nowait(letter) is None
    cancel, prepare = CancelTurn(1, Reply()), Prepare(Reply())
    ref.mailbox.post_control("cancel", cancel)
    ref.mailbox.post_control("prepare", prepare)
    close(made.services, registry, ref, DropReason.STOPPING)
    with pytest.raises(UnavailableError, match="stopping"):
        await send.reply.wait()
    with pytest.raises(AskError) as caught:
        await ask.reply.wait()
    assert caught.value.outcome == "not_started"
    assert await cancel.reply.wait() is False
    with pytest.raises(UnavailableError):
        await prepare.reply.wait()
    assert [(letter.kind, letter.reason) for letter in made.services.accounts.dead_letters] == [
        ("accept", "stopping"),
        ("tell", "stopping"),
        ("ask", "stopping"),
    ]
    assert ref.mailbox.put_nowait(Envelope(CHAT, "x", 1)) is DropReason.STOPPING
    assert registry.letters().closed
    assert not ref.mailbox.control
