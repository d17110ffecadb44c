"""Where a runtime and who looks at it meet: a socket beside the store, or what says where the socket is.

The socket is ``<store>.sock``. Where that path is too long for a socket, it stands in a private temporary folder, and
``<store>.sock`` is a file that holds its path. The process that owns the store owns the place: whatever stands there
when it comes is of a process that has ended or was fenced, and is replaced.
"""

import errno
import os
import shutil
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

PATH_BYTES_MAX: Final = 100
"""The longest path of a socket: 103 bytes on macOS, 107 on Linux; a little less, for the name it is made under."""

POINTER_BYTES_MAX: Final = 4096
BACKLOG: Final = 16


class Place:
    """The socket of one life on one store."""

    def __init__(self, store: Path) -> None:
        """Belong to a store; nothing is made yet."""
        self._path = meeting_path(store)
        self._folder: Path | None = None
        self._bound: os.stat_result | None = None

    def listen(self) -> socket.socket:
        """Make the socket, readable by its owner alone, in one step visible to others. Raises OSError."""
        made = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        if len(os.fsencode(made)) > PATH_BYTES_MAX:
            self._folder = Path(tempfile.mkdtemp(prefix="actors-"))  # mode 0700
            made = self._folder / "sock"
        with suppress(FileNotFoundError):
            made.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(made))
            made.chmod(0o600)  # nobody can have connected yet: it does not listen
            listener.listen(BACKLOG)
            self._publish(made)
            self._bound = self._path.lstat()
        except OSError:
            listener.close()
            made.unlink(missing_ok=True)
            self.close()
            raise
        listener.setblocking(False)  # noqa: FBT003 - the socket's own signature
        return listener

    def close(self) -> None:
        """Take the socket away, unless another life has put its own there by now; safe to call twice."""
        with suppress(OSError):
            if self._bound is not None and os.path.samestat(self._bound, self._path.lstat()):
                self._path.unlink()
        self._bound = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _publish(self, made: Path) -> None:
        """Put the socket, or the file that names it, in its place, whatever stands there."""
        if self._folder is None:
            made.replace(self._path)
            return
        pointer = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        descriptor = os.open(pointer, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
            file.write(os.fsencode(made))
        pointer.replace(self._path)


def meeting_path(store: Path) -> Path:
    """Name the place of a store: beside it, by whatever link it is reached."""
    path = store.resolve()
    return path.with_name(path.name + ".sock")


def connect(store: Path, timeout_s: float) -> socket.socket | None:
    """Connect to whoever owns a store; None if nobody lets itself be looked at there.

    Raises OSError if that cannot be told, and PermissionError if it is somebody else's.
    """
    path = meeting_path(store)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        target = os.fsencode(path)
        if stat.S_ISREG(path.lstat().st_mode):
            target = path.read_bytes()[:POINTER_BYTES_MAX]
        connection.settimeout(timeout_s)
        connection.connect(target)
    except (FileNotFoundError, ConnectionRefusedError, ValueError):  # a path may hold what no path can
        connection.close()
        return None
    except OSError as error:
        connection.close()
        if str(error) == _TOO_LONG or error.errno in {errno.ENOTSOCK, errno.EPROTOTYPE, errno.EINVAL}:
            return None
        raise
    return connection


_TOO_LONG: Final = "AF_UNIX path too long"
