"""One owner per file: a lock that the kernel gives back when its process dies, however it dies.

The lock file stands beside the store. Whoever takes over puts a new lock file in its place and raises the epoch in the
store, so the old owner keeps a lock on a file that is no longer there, and its next write is refused. Needs ``flock``
(Linux, macOS); the file must be on a local disk. A process that was forked from an owner and executed nothing else
keeps the lock of an owner that was killed, until it ends too.
"""

import fcntl
import os
from pathlib import Path

from actors.errors import StoreInUseError, StoreUnavailableError

TRIES_MAX = 100


class Ownership:
    """The lock of one life on one store file."""

    def __init__(self, path: Path) -> None:
        """Belong to a store that may not be there yet; nothing is locked yet."""
        self._path = path
        self._descriptor: int | None = None

    def acquire(self, *, takeover: bool) -> None:
        """Take the lock.

        Raises StoreInUseError if a living process holds it and ``takeover`` is false, and StoreUnavailableError if the
        lock file cannot be written or its disk knows no locks.
        """
        path = self._path.resolve()  # one file has one lock, by whatever link it is reached
        path = path.with_name(path.name + ".lock")
        try:
            if takeover:
                path.unlink(missing_ok=True)
            for _ in range(TRIES_MAX):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    if _locked(descriptor, path):
                        self._descriptor, descriptor = descriptor, -1
                        return
                finally:
                    if descriptor >= 0:
                        os.close(descriptor)
        except OSError as error:
            message = f"the lock file {path.name} cannot be locked: {error.strerror}"
            raise StoreUnavailableError(message, hint="put the store in a writable folder of a local disk") from error
        message = f"the lock file {path.name} was replaced {TRIES_MAX} times in a row"
        raise StoreInUseError(message, hint="stop the processes that fight over the store")

    def release(self) -> None:
        """Give the lock back; safe to call twice. The lock file stays, since removing it could race with an owner.

        It is unlocked, not only closed, since a process that was forked meanwhile holds a copy of the descriptor.
        """
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int, path: Path) -> bool:
    """Lock an open lock file and sign it; False if another file stands at its path by now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip() or "unknown"
        message = f"another runtime owns the store ({owner})"
        raise StoreInUseError(message, hint="stop it, or open with takeover=True to fence it") from error
    try:
        if not os.path.samestat(os.fstat(descriptor), path.stat()):
            return False
    except FileNotFoundError:
        return False
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
    return True
