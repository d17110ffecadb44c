"""Interrupt signals: the first asks for an orderly end; the second is tested in a process of its own (tests/e2e)."""

import signal

import pytest
import trio

from actors.cli.stopping import Stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_cancels_what_is_registered_and_sets_the_exit_code(number: signal.Signals) -> None:
    """Work ends where it waits, and the exit code says which signal it was."""
    told: list[str] = []
    stop = Stop(lambda: told.append("stop"))
    assert stop.exit_code == 0
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(stop.listen)
            with stop.cancels():
                signal.raise_signal(number)
                await trio.sleep(60)
            nursery.cancel_scope.cancel()
    assert told == ["stop"]
    assert stop.exit_code == 128 + number


async def test_what_begins_after_the_signal_is_cancelled_too() -> None:
    """A signal that comes while a store is opened is not forgotten by what follows."""
    stop = Stop(lambda: None)
    stop.signal_number = signal.SIGINT
    with trio.fail_after(5), stop.cancels():
        await trio.sleep(60)


async def test_what_ended_before_the_signal_is_left_alone() -> None:
    """Only what goes on can be cancelled."""
    stop = Stop(lambda: None)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(stop.listen)
            with stop.cancels():
                await trio.lowlevel.checkpoint()
            signal.raise_signal(signal.SIGTERM)
            while not stop.signal_number:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert stop.exit_code == 143
