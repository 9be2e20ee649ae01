"""The seam on Linux.

Locks are open file description locks (fcntl(2), `F_OFD_SETLK`) on single bytes:
they belong to the descriptor, so a killed process holds none, closing another
descriptor of the file does not drop them, and one file serves any number of
documents.  A forked child has the same descriptors: it lets go of them at once, or it would keep
the locks of a parent that is killed, and could give back those of one that is not.

No link leads out of the store: each folder below its base is opened through the one above it
(openat(2)), so nobody can put a link in the place of one between a look and the use.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from plainstate.errors import UsageError
from plainstate.fs.statx import load_statx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plainstate.fs.base import Notifier

    T = TypeVar("T")

__all__ = ["PosixFileSystem"]

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_APPEND: Final = _WRITE | os.O_APPEND
_LOCK: Final = _WRITE | os.O_CREAT
_NEW: Final = os.O_CREAT | os.O_EXCL

_FOLDER: Final = os.O_DIRECTORY | os.O_CLOEXEC
_STEP: Final = os.O_PATH | _FOLDER | os.O_NOFOLLOW  # O_PATH: needs no permission to list

_NOT_REGULAR: Final = "not a regular file"
_NO_FOLDER: Final = "a link, or no folder"

_locking: Final[set[int]] = set()
"""The descriptors of this process that may have locks."""

_SET: Final = getattr(fcntl, "F_OFD_SETLK", 0)
_FLOCK: Final = "hhqqi4x"  # struct flock: type, whence, start, length, pid


class PosixFileSystem:
    """System calls, one each.

    Args:
        base: no symbolic link below this folder is followed; the path to it may have some.  ""
            for paths that a person chose.

    Raises:
        UsageError: the platform has no open file description locks.
    """

    def __init__(self, base: str = "") -> None:
        if not hasattr(fcntl, "F_OFD_SETLK"):
            raise UsageError(
                f"plainstate does not run on {sys.platform} yet",
                hint="It needs Linux: open file description locks, see fcntl(2).",
            )
        self._base = base
        self._inside = base.rstrip("/") + "/"

    def open_read(self, path: str) -> int:
        return self._open_file(path, _READ)

    def open_append(self, path: str, *, create: bool = False) -> int:
        return self._open_file(path, _APPEND | (_NEW if create else 0))

    def open_write(self, path: str, *, create: bool = False) -> int:
        return self._open_file(path, _WRITE | (_NEW if create else 0))

    def open_lock(self, path: str) -> int:
        fd = self._open_file(path, _LOCK)
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

    def write(self, fd: int, data: bytes | memoryview, offset: int | None = None) -> int:
        return os.write(fd, data) if offset is None else os.pwrite(fd, data, offset)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def begin_sync(self, fd: int, offset: int, size: int) -> None:
        # Linux starts to write dirty pages before it drops the clean ones, and these are dirty
        os.posix_fadvise(fd, offset, size, os.POSIX_FADV_DONTNEED)

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def sync_folder(self, path: str) -> None:
        fd = self._open_folder(path)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: str, target: str) -> None:
        parent, _, name = target.rpartition("/")

        def within(old: str, folder: int | None) -> None:
            new = target if folder is None else name
            os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)

        def across(old: str, old_folder: int | None) -> None:
            self._at(
                target,
                lambda new, new_folder: os.rename(
                    old, new, src_dir_fd=old_folder, dst_dir_fd=new_folder
                ),
            )

        self._at(source, within if source.rpartition("/")[0] == parent else across)

    def unlink(self, path: str) -> None:
        self._at(path, lambda name, folder: os.unlink(name, dir_fd=folder))

    def make_folder(self, path: str) -> None:
        self._at(path, lambda name, folder: os.mkdir(name, 0o700, dir_fd=folder))

    def remove_folder(self, path: str) -> None:
        self._at(path, lambda name, folder: os.rmdir(name, dir_fd=folder))

    def stat(self, path: str) -> os.stat_result | None:
        try:  # by its path, as it only tells: what acts upon it looks for itself
            return os.lstat(path)
        except FileNotFoundError:
            return None

    def identify(self, path: str) -> tuple[int, int] | None:
        found = load_statx()(path)
        if found is not None:
            return found
        status = self.stat(path)  # which also says why
        return None if status is None else (status.st_ino, status.st_size)

    def stat_open(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def list_folder(self, path: str) -> Iterator[tuple[str, bool]]:
        fd = self._open_folder(path)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    yield entry.name, entry.is_dir(follow_symlinks=False)
        finally:
            os.close(fd)

    def try_lock(self, fd: int, offset: int) -> bool:
        try:
            fcntl.fcntl(fd, _SET, _flock(fcntl.F_WRLCK, offset))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def is_locked(self, fd: int, offset: int) -> bool:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, offset))
        return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)

    def unlock(self, fd: int, offset: int) -> None:
        fcntl.fcntl(fd, _SET, _flock(fcntl.F_UNLCK, offset))

    def notifier(self) -> Notifier | None:
        from plainstate.fs.notify import open_notifier  # few stores need it

        return open_notifier()

    def _open_file(self, path: str, flags: int) -> int:
        if flags & os.O_EXCL:  # it is made just now
            return self._at(path, lambda name, folder: _open(name, flags, folder))
        return self._at(path, lambda name, folder: _regular(_open(name, flags, folder), path))

    def _open_folder(self, path: str) -> int:
        flags = os.O_RDONLY | _FOLDER | (os.O_NOFOLLOW if self._is_inside(path) else 0)
        return self._at(path, lambda name, folder: _open(name, flags, folder))

    def _is_inside(self, path: str) -> bool:
        return bool(self._base) and path.startswith(self._inside)

    def _at(self, path: str, call: Callable[[str, int | None], T]) -> T:
        """Calls with a name, and a descriptor of the folder that it stands in.

        Where no folder of the store is between, that is the path, and no descriptor.
        """
        if not self._is_inside(path):
            return call(path, None)
        *above, name = path[len(self._inside) :].split("/")
        if ".." in above:
            raise OSError(errno.ELOOP, "leads out of the store", path)
        fd, reached = None, self._base
        try:
            for part in above:
                reached += f"/{part}"
                inner = os.open(reached if fd is None else part, _STEP, dir_fd=fd)
                if fd is not None:
                    os.close(fd)
                fd = inner
            reached = path
            return call(path if fd is None else name, fd)
        except NotADirectoryError as error:
            raise OSError(errno.ELOOP, _NO_FOLDER, reached) from error
        except OSError as error:
            error.filename = reached  # it knew the last part alone
            raise
        finally:
            if fd is not None:
                os.close(fd)


@lru_cache(maxsize=1024)  # the same documents are locked again and again
def _flock(kind: int, offset: int) -> bytes:
    return struct.pack(_FLOCK, kind, 0, offset, 1, 0)


def _let_go_after_fork() -> None:
    """In a child: shares no lock with its parent any more; the numbers stay taken."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in _locking:
        os.dup2(nothing, fd, inheritable=False)
    os.close(nothing)


os.register_at_fork(after_in_child=_let_go_after_fork)


def _open(name: str, flags: int, folder: int | None) -> int:
    try:
        return os.open(name, flags, 0o600, dir_fd=folder)
    except OSError as error:
        # a folder to write to, or a socket; for whoever only reads, `_regular` finds that out
        if error.errno in (errno.EISDIR, errno.ENXIO):
            raise OSError(errno.ELOOP, _NOT_REGULAR, name) from error
        raise


def _regular(fd: int, path: str) -> int:
    """Refuses what is not a plain file: a FIFO or device would hang or worse."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ELOOP, _NOT_REGULAR, path)
    return fd
