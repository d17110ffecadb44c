"""One owner per file: a lock that the kernel gives back when its process dies, however it dies.

The lock file stands beside the store. Whoever takes over puts a new lock file in its place and raises the epoch in the
store, so the old owner keeps a lock on a file that is no longer there, and its next write is refused. Needs ``flock``
(Linux, macOS); the file must be on a local disk.
"""

import fcntl
import os
from pathlib import Path

from actors.errors import StoreInUseError, StoreUnavailableError

TRIES_MAX = 100


class Ownership:
    """The lock of one life on one store file."""

    def __init__(self, path: Path) -> None:
        """Name the lock file; nothing is locked yet."""
        self._path = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self, *, takeover: bool) -> None:
        """Take the lock.

        Raises StoreInUseError if a living process holds it and ``takeover`` is false, and StoreUnavailableError if the
        lock file cannot be written.
        """
        if takeover:
            self._path.unlink(missing_ok=True)
        for _ in range(TRIES_MAX):
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                message = f"the lock file {self._path.name} cannot be opened: {error.strerror}"
                raise StoreUnavailableError(message, hint="make the folder of the store writable") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(descriptor)
                message = f"another runtime owns the store ({owner})"
                raise StoreInUseError(message, hint="stop it, or open with takeover=True to fence it") from error
            if self._is_current(descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
                self._descriptor = descriptor
                return
            os.close(descriptor)
        message = f"the lock file {self._path.name} was replaced {TRIES_MAX} times in a row"
        raise StoreInUseError(message, hint="stop the processes that fight over the store")

    def release(self) -> None:
        """Give the lock back; safe to call twice. The lock file stays, since removing it could race with an owner."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _is_current(self, descriptor: int) -> bool:
        """Say whether the file that was locked is still the one that stands at the path."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.fstat(descriptor).st_ino == there.st_ino
