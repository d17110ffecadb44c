"""Interrupt signals, taken by a task of their own: the first asks for an orderly end, the second ends at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
EXIT_BASE: Final = 128
"""What a shell adds to the number of the signal that ended a program."""


class Stop:
    """Whether the program was told to stop, and what is to be cancelled when it is."""

    def __init__(self, on_stop: Callable[[], None]) -> None:
        """``on_stop`` is called once, before anything is cancelled."""
        self._on_stop = on_stop
        self._scopes: list[trio.CancelScope] = []
        self.signal_number = 0

    @property
    def exit_code(self) -> int:
        """The exit code that tells which signal it was; 0 if there was none."""
        return EXIT_BASE + self.signal_number if self.signal_number else 0

    async def listen(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take signals until cancelled."""
        with trio.open_signal_receiver(*SIGNALS) as received:
            task_status.started()
            async for number in received:
                if self.signal_number:
                    os._exit(EXIT_BASE + number)
                self.signal_number = number
                self._on_stop()
                for scope in self._scopes:
                    scope.cancel()

    @contextmanager
    def cancels(self) -> Iterator[None]:
        """Have what is inside cancelled by the first signal, also if that came before."""
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            if self.signal_number:
                scope.cancel()
            try:
                yield
            finally:
                self._scopes.remove(scope)
