"""A disk that fails when it is told to: an SQLite VFS over the real one.

Every operation passes through to the real files, so locks, shared memory and several connections are what they are in
production. Operations are counted by kind; one fault at a time may be armed, to strike the n-th from now on.
"""

import itertools
import threading
from collections import Counter
from typing import Final

import apsw
import attrs
from typing_extensions import override

_names: Final = itertools.count()


@attrs.frozen
class Fault:
    """What goes wrong: the n-th operation of a kind from now, and all that follow if it is sticky.

    ``code`` is what SQLite is told. A ``short`` write leaves half of its bytes on the disk. ``suffix`` limits the fault
    to files whose name ends so.
    """

    kind: str
    nth: int = 1
    code: int = apsw.SQLITE_IOERR
    sticky: bool = False
    short: bool = False
    suffix: str = ""


class FaultyDisk(apsw.VFS):
    """The disk of every connection that is opened while it is there."""

    def __init__(self) -> None:
        """Stand in front of the disk of the operating system; nothing fails yet."""
        self.operations: Counter[str] = Counter()
        self.struck = 0
        self.read_only = False
        self.hangs = False
        """Whether the next write to the log comes back only when ``goes_on`` is set; ``hung`` says that it came."""
        self.hung = threading.Event()
        self.goes_on = threading.Event()
        self._fault: Fault | None = None
        self._seen = 0
        super().__init__(f"faulty disk {next(_names)}", "unix", makedefault=True)

    def arm(self, fault: Fault) -> None:
        """Have operations fail from here on."""
        self._fault, self._seen, self.struck = fault, 0, 0
        self.operations.clear()

    def heal(self) -> None:
        """Let everything succeed again."""
        self._fault = None

    def strikes(self, kind: str, path: str) -> Fault | None:
        """Count an operation and say whether it fails."""
        self.operations[kind] += 1
        fault = self._fault
        if fault is None or fault.kind != kind or not path.endswith(fault.suffix):
            return None
        self._seen += 1
        if self._seen < fault.nth or (self._seen > fault.nth and not fault.sticky):
            return None
        self.struck += 1
        return fault

    def meet(self, kind: str, path: str) -> None:
        """Count an operation, and raise if it fails."""
        fault = self.strikes(kind, path)
        if fault is not None:
            raise apsw.exception_for(fault.code)

    @override
    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_File":
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self.meet("open", path)
        if self.read_only and flags[0] & apsw.SQLITE_OPEN_MAIN_DB:  # as the real one does when it may not write
            flags[0] = (flags[0] & ~(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)) | apsw.SQLITE_OPEN_READONLY
        return _File(self, name, flags, path)

    @override
    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.meet("delete", filename)
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    """One open file of a faulty disk."""

    def __init__(self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int], path: str) -> None:
        """Open the real file."""
        self._disk = disk
        self._path = path
        super().__init__("unix", name, flags)

    @override
    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.meet("read", self._path)
        return super().xRead(amount, offset)

    @override
    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.hangs and self._path.endswith("-wal"):
            self._disk.hangs = False
            self._disk.hung.set()
            self._disk.goes_on.wait()
        fault = self._disk.strikes("write", self._path)
        if fault is not None:
            if fault.short:
                super().xWrite(bytes(data)[: len(data) // 2], offset)
            raise apsw.exception_for(fault.code)
        super().xWrite(data, offset)

    @override
    def xSync(self, flags: int) -> None:
        self._disk.meet("sync", self._path)
        super().xSync(flags)

    @override
    def xTruncate(self, newsize: int) -> None:
        self._disk.meet("truncate", self._path)
        super().xTruncate(newsize)
