"""A session that has no incarnation leaves at once; one that has is asked, and requests that meet are one."""

import pytest
import trio

from actors.core.limits import Limits
from actors.runtime.control import Passivate
from actors.runtime.mailbox import Reply
from actors.runtime.registry import Registry
from actors.runtime.resting import begin_rest, passivate, put_away
from tests.runtime.by_hand import CHAT, Bench, bench


def resident() -> tuple[Bench, Registry]:
    """Put a session into a registry that nobody runs."""
    made = bench()
    registry = Registry(Limits(), [CHAT], [])
    made.ref = registry.get_or_insert(CHAT)
    return made, registry


async def test_p1_a_session_without_an_incarnation_leaves_at_once() -> None:
    """Its letters are still counted, and its incarnations too."""
    made, registry = resident()
    made.ref.incarnation, made.ref.executed, made.ref.mailbox.admitted = 3, 2, 2
    reply = Reply()
    passivate(registry, made.services, made.ref, "asked", reply)
    assert (registry.refs, registry.away) == ({}, {CHAT: 3})
    assert await reply.wait() is True
    assert registry.letters().admitted == 2
    assert made.services.accounts.counts.passivations == 1
    assert [one.phase for one in registry.stopped] == ["absent"]


@pytest.mark.parametrize("held", ["kept", "suspended", "writing"])
async def test_p2_what_holds_a_session_holds_it_without_an_incarnation_too(held: str) -> None:
    """Whoever asks is told at once that it stays."""
    made, registry = resident()
    setattr(made.ref, held, True)
    reply = Reply()
    passivate(registry, made.services, made.ref, "asked", reply)
    assert await reply.wait() is False
    assert registry.refs == {CHAT: made.ref}


async def test_p3_requests_that_meet_are_one_signal() -> None:
    """It waits on the control lane, with everybody who asked, until the session has seen it."""
    made, registry = resident()
    registry.move(made.ref, "activate")
    replies = [Reply(), Reply()]
    for reply in replies:
        passivate(registry, made.services, made.ref, "asked", reply)
    passivate(registry, made.services, made.ref, "idle")
    signal = made.ref.mailbox.control[Passivate]
    assert isinstance(signal, Passivate)
    assert (signal.reason, signal.replies) == ("asked", replies)


@pytest.mark.parametrize("came", [False, True])
async def test_p3_what_has_come_meanwhile_calls_it_off(came: bool) -> None:  # noqa: FBT001 - a row of the matrix
    """Or else the session is gone, and who asked is told which."""
    made, registry = resident()
    for trigger in ("activate", "recovered"):
        registry.move(made.ref, trigger)
    reply = Reply()
    passivate(registry, made.services, made.ref, "count", reply)
    registry.move(made.ref, "passivate")
    if came:
        made.ref.kept = 1
    assert put_away(registry, made.services, made.ref) is not came
    assert await reply.wait() is not came
    assert str(made.ref.phase) == ("activating" if came else "absent")
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("busy", [False, True])
async def test_p2_a_request_that_is_heard_is_kept_or_withdrawn(busy: bool) -> None:  # noqa: FBT001 - as above
    """It is kept for the supervisor, or whoever asked is told at once."""
    made, registry = resident()
    registry.move(made.ref, "activate")
    reply = Reply()
    passivate(registry, made.services, made.ref, "asked", reply)
    signal = made.ref.mailbox.control[Passivate]
    assert isinstance(signal, Passivate)
    assert begin_rest(made.services, made.ref, signal, busy=busy) is not busy
    assert (Passivate in made.ref.mailbox.control) is not busy
    assert reply.done is busy
