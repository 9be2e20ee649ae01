"""The seam on Linux.

Locks are open file description locks (fcntl(2), `F_OFD_SETLK`) on single bytes:
they belong to the descriptor, so a killed process holds none, closing another
descriptor of the file does not drop them, and one file serves any number of
documents.  A forked child has the same descriptors: it lets go of them at once, or it would keep
the locks of a parent that is killed, and could give back those of one that is not.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import sys
from typing import TYPE_CHECKING, Final

from plainstate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate.fs.base import Notifier

__all__ = ["PosixFileSystem"]

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_APPEND: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_LOCK: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_locking: Final[set[int]] = set()
"""The descriptors of this process that may have locks."""

_FLOCK: Final = "hhqqi4x"  # struct flock: type, whence, start, length, pid


class PosixFileSystem:
    """System calls, one each.

    Raises:
        UsageError: the platform has no open file description locks.
    """

    def __init__(self) -> None:
        if not hasattr(fcntl, "F_OFD_SETLK"):
            raise UsageError(
                f"plainstate does not run on {sys.platform} yet",
                hint="It needs Linux: open file description locks, see fcntl(2).",
            )

    def open_read(self, path: str) -> int:
        return _regular(os.open(path, _READ), path)

    def open_append(self, path: str, *, create: bool = False) -> int:
        if create:
            return os.open(path, _APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        return _regular(_open(path, _APPEND), path)

    def open_lock(self, path: str) -> int:
        fd = _regular(_open(path, _LOCK), path)
        _locking.add(fd)
        return fd

    def close(self, fd: int) -> None:
        _locking.discard(fd)
        os.close(fd)

    def read(self, fd: int, offset: int, size: int) -> bytes:
        data = os.pread(fd, size, offset)
        if len(data) == size or not data:
            return data
        parts = [data]
        while data:
            offset += len(data)
            size -= len(data)
            data = os.pread(fd, size, offset)
            parts.append(data)
        return b"".join(parts)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return os.write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def sync_folder(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def make_folder(self, path: str) -> None:
        os.mkdir(path, 0o700)

    def remove_folder(self, path: str) -> None:
        os.rmdir(path)

    def stat(self, path: str) -> os.stat_result | None:
        try:
            return os.lstat(path)
        except FileNotFoundError:
            return None

    def stat_open(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def list_folder(self, path: str) -> Iterator[tuple[str, bool]]:
        with os.scandir(path) as entries:
            for entry in entries:
                yield entry.name, entry.is_dir(follow_symlinks=False)

    def try_lock(self, fd: int, offset: int) -> bool:
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, 0, offset, 1, 0))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def is_locked(self, fd: int, offset: int) -> bool:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, 0, offset, 1, 0)
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked)
        return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)

    def unlock(self, fd: int, offset: int) -> None:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_UNLCK, 0, offset, 1, 0))

    def notifier(self) -> Notifier | None:
        from plainstate.fs.notify import open_notifier  # few stores need it

        return open_notifier()


def _let_go_after_fork() -> None:
    """In a child: shares no lock with its parent any more; the numbers stay taken."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in _locking:
        os.dup2(nothing, fd, inheritable=False)
    os.close(nothing)


os.register_at_fork(after_in_child=_let_go_after_fork)


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags, 0o600)
    except IsADirectoryError as error:  # for whoever only reads, `_regular` finds that out
        raise OSError(errno.ELOOP, "not a regular file", path) from error


def _regular(fd: int, path: str) -> int:
    """Refuses what is not a plain file: a FIFO or device would hang or worse."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ELOOP, "not a regular file", path)
    return fd
