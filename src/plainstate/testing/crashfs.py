"""A file system in memory that can lose its power.

Beside what processes see, it keeps what POSIX lets them rely on after a crash:

- of a file, what `sync` made durable; of anything newer a part, zeros, a hole, or nothing;
  where it was written over, each sector is the old one or the new one;
- of a folder, the names as of its last `sync_folder`; each later change to them is there
  or not, whatever happened to the changes before it.  A rename is one change:
  its target never vanishes, and the file keeps one of its two names.  Between two
  folders it is durable when one of them is synced (as on ext4, xfs and btrfs);
- a modification time is as new as the file, or as old (fdatasync(2) does not promise it).

Inode numbers are used again as soon as they are free, as ext4 does it.
"""

from __future__ import annotations

import errno
import os
import stat
from math import prod
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from plainstate.testing.crash_contents import contents_after

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["CrashFileSystem", "PowerCut", "fingerprint"]

_EPOCH_NS: Final = 1_767_225_600_000_000_000
_TICK_NS: Final = 1_000_000
_STRIDE: Final = 7_368_787
"""A prime: its multiples visit the images of a large product evenly."""


class PowerCut(BaseException):
    """The machine, or this process, is off.  Not an `Exception`: nobody handles it."""


class _Inode(Struct, eq=False):
    """A file or folder.

    Attributes:
        number: the inode number.
        mtime: modification time in ns.
        is_folder: a folder, which has no data.
        cache: the data that processes see.
        media: the data once everything dirty is written; differs after a lost write.
        durable: the data that survives.
        durable_mtime: the modification time that survives.
    """

    number: int
    mtime: int
    is_folder: bool = False
    cache: bytes = b""
    media: bytes = b""
    durable: bytes = b""
    durable_mtime: int = 0


class _NameChange(Struct):
    """A change of names that is not durable until one of its folders is synced."""

    added: tuple[str, _Inode] | None
    removed: tuple[str, _Inode] | None
    folders: set[str]

    def apply(self, names: dict[str, _Inode]) -> None:
        if self.removed is not None and names.get(self.removed[0]) is self.removed[1]:
            del names[self.removed[0]]
        if self.added is not None:
            names[self.added[0]] = self.added[1]


class _Machine(Struct):
    """What all processes share: page cache, disk and kernel locks."""

    names: dict[str, _Inode]
    durable_names: dict[str, _Inode]
    clock: int = _EPOCH_NS
    changes: list[_NameChange] = []
    descriptors: dict[int, _Inode] = {}
    locks: dict[tuple[int, int], int] = {}
    last_fd: int = 2

    def new_inode(self, *, is_folder: bool = False) -> _Inode:
        used = {
            inode.number
            for inode in (
                *self.names.values(),
                *self.durable_names.values(),
                *self.descriptors.values(),
                *(change.added[1] for change in self.changes if change.added),
                *(change.removed[1] for change in self.changes if change.removed),
            )
        }
        number = next(n for n in range(2, len(used) + 3) if n not in used)
        return _Inode(number, self.clock, is_folder, durable_mtime=self.clock)

    def close(self, fd: int) -> None:
        """Closes a descriptor, which releases its locks."""
        del self.descriptors[fd]
        for place in [place for place, holder in self.locks.items() if holder == fd]:
            del self.locks[place]

    def after_cut(
        self, kept: list[_NameChange], data: dict[_Inode, bytes], *, old_times: bool
    ) -> _Machine:
        """The machine as it comes up after a power cut."""
        names = dict(self.durable_names)
        for change in kept:
            change.apply(names)
        copies: dict[_Inode, _Inode] = {}
        found: dict[str, _Inode] = {}
        for path in sorted(names):
            inode = names[path]
            if path != "/" and _parent(path) not in found:
                continue  # its folder did not survive
            if inode not in copies:
                mtime = inode.durable_mtime if old_times else inode.mtime
                kept_data = data[inode]
                copies[inode] = _Inode(
                    inode.number, mtime, inode.is_folder, kept_data, kept_data, kept_data, mtime
                )
            found[path] = copies[inode]
        return _Machine(found, dict(found), self.clock)

    def change_names(
        self, added: tuple[str, _Inode] | None, removed: tuple[str, _Inode] | None
    ) -> None:
        folders = {_parent(path) for path, _ in filter(None, (added, removed))}
        change = _NameChange(added, removed, folders)
        change.apply(self.names)
        self.changes.append(change)
        for folder in folders & self.names.keys():
            inode = self.names[folder]
            inode.mtime = inode.durable_mtime = self.clock


class CrashFileSystem:
    """One process's view of a machine whose power can be cut.

    Attributes:
        calls: how many calls that change something were made.
        last_change: the name of the last one, the one that was cut off included.

    Example:
        >>> fs = CrashFileSystem()
        >>> fd = fs.open_append("/a", create=True)
        >>> fs.write(fd, b"hello")
        5
        >>> fs.sync(fd)
        >>> sorted({image.content("/a") or b"no name" for image in fs.images()})
        [b'hello', b'no name']
    """

    def __init__(self, machine: _Machine | None = None) -> None:
        if machine is None:
            root = {"/": _Inode(1, _EPOCH_NS, is_folder=True)}
            machine = _Machine(root, dict(root))
        self._machine = machine
        self._descriptors: set[int] = set()
        self._cut_at = 0
        self._cut_share = 0.0
        self._off = False
        self.calls = 0
        self.last_change = ""

    # --- crashing ---

    def crash_at(self, call: int, *, written: float = 0.0) -> None:
        """Raises `PowerCut` instead of the `call`-th change from now, and at every call after it.

        Args:
            call: from 1.
            written: the share of the data that is written if that call is a write.
        """
        self._cut_at = self.calls + call
        self._cut_share = written

    def kill(self) -> None:
        """Ends this process: its descriptors and locks are gone, the page cache stays."""
        self._off = True
        for fd in self._descriptors:
            self._machine.close(fd)
        self._descriptors.clear()

    def spawn(self) -> CrashFileSystem:
        """Another process on the same machine."""
        return CrashFileSystem(self._machine)

    def images(self, limit: int = 48) -> Iterator[CrashFileSystem]:
        """Machines as they may come up after a power cut at this moment.

        All combinations, if there are no more than `limit`; otherwise `limit` of them, the same
        ones each time: with nothing of what is not durable, with all of it, and between.

        Args:
            limit: at least 2.
        """
        changes = self._machine.changes
        named = [change.added[1] for change in changes if change.added]
        inodes = dict.fromkeys([*self._machine.durable_names.values(), *named])
        contents = {inode: contents_after(inode.durable, inode.media) for inode in inodes}
        dirty = [inode for inode in inodes if len(contents[inode]) > 1]
        times = 1 + any(inode.mtime != inode.durable_mtime for inode in inodes)
        choices = [2] * len(changes) + [len(contents[inode]) for inode in dirty] + [times]
        total = prod(choices)
        if total <= limit:
            indexes: Iterable[int] = range(total)
        else:
            indexes = dict.fromkeys([0, total - 1, *(i * _STRIDE % total for i in range(1, limit))])
        for index in indexes:
            digits = _digits(index, choices)
            kept = [change for change, digit in zip(changes, digits, strict=False) if digit]
            chosen = dict(zip(dirty, digits[len(changes) :], strict=False))
            data = {inode: options[chosen.get(inode, 0)] for inode, options in contents.items()}
            yield CrashFileSystem(
                self._machine.after_cut(kept, data, old_times=digits[-1] < times - 1)
            )

    def drop_dirty(self, fd: int) -> None:
        """Loses what was written and not synced, as Linux does when a sync fails.

        The lost data is still seen in the cache, and a later sync succeeds without writing it.
        """
        inode = self._inode(fd)
        inode.media = inode.durable[: len(inode.media)].ljust(len(inode.media), b"\0")

    # --- looking from outside ---

    def paths(self) -> list[str]:
        """Every name there is, folders too, sorted."""
        return sorted(self._machine.names)

    def content(self, path: str) -> bytes | None:
        """A file's data as processes see it, `None` if there is no such file."""
        inode = self._machine.names.get(path)
        return None if inode is None or inode.is_folder else inode.cache

    # --- the seam ---

    def open_read(self, path: str) -> int:
        return self._open(self._lookup(path, is_file=True))

    def open_append(self, path: str, *, create: bool = False) -> int:
        return self._open(self._create(path) if create else self._lookup(path, is_file=True))

    def open_write(self, path: str, *, create: bool = False) -> int:
        return self.open_append(path, create=create)

    def open_lock(self, path: str) -> int:
        missing = _normal(path) not in self._machine.names
        return self._open(self._create(path) if missing else self._lookup(path, is_file=True))

    def close(self, fd: int) -> None:
        self._inode(fd)
        self._descriptors.discard(fd)
        self._machine.close(fd)

    def read(self, fd: int, offset: int, size: int) -> bytes:
        return self._inode(fd).cache[offset : offset + size]

    def write(self, fd: int, data: bytes | memoryview, offset: int | None = None) -> int:
        inode, machine = self._inode(fd), self._machine
        if offset is None:
            offset = len(inode.cache)
        try:
            self._change("write")
        except PowerCut:
            if self._cut_share:
                part = data[: int(len(data) * self._cut_share)]
                _put(inode, part, offset, machine.clock)
                self._cut_share = 0.0
            raise
        _put(inode, data, offset, machine.clock)
        return len(data)

    def truncate(self, fd: int, size: int) -> None:
        inode = self._inode(fd)
        self._change("truncate")
        inode.cache = inode.cache[:size].ljust(size, b"\0")
        inode.media = inode.media[:size].ljust(size, b"\0")
        inode.mtime = self._machine.clock

    def begin_sync(self, fd: int, offset: int, size: int) -> None:
        """Changes nothing: what is not synced may have reached the disk anyway."""

    def sync(self, fd: int) -> None:
        inode = self._inode(fd)
        self._change("sync")
        inode.durable = inode.media

    def sync_folder(self, path: str) -> None:
        folder = _normal(path)
        if not self._lookup(folder).is_folder:
            raise _error(errno.ENOTDIR, path)
        self._change("sync_folder")
        machine = self._machine
        for change in machine.changes:
            if folder in change.folders:
                change.apply(machine.durable_names)
        machine.changes = [change for change in machine.changes if folder not in change.folders]

    def rename(self, source: str, target: str) -> None:
        source, target = _normal(source), _normal(target)
        inode = self._lookup(source)
        self._lookup(_parent(target))
        self._change("rename")
        self._machine.change_names((target, inode), (source, inode))

    def unlink(self, path: str) -> None:
        path = _normal(path)
        inode = self._lookup(path)
        if inode.is_folder:
            raise _error(errno.EISDIR, path)
        self._change("unlink")
        self._machine.change_names(None, (path, inode))

    def make_folder(self, path: str) -> None:
        self._create(path, is_folder=True)

    def remove_folder(self, path: str) -> None:
        path = _normal(path)
        inode = self._lookup(path)
        if not inode.is_folder:
            raise _error(errno.ENOTDIR, path)
        if any(_parent(name) == path for name in self._machine.names if name != "/"):
            raise _error(errno.ENOTEMPTY, path)
        self._change("remove_folder")
        self._machine.change_names(None, (path, inode))

    def stat(self, path: str) -> os.stat_result | None:
        if self._off:
            raise PowerCut
        inode = self._machine.names.get(_normal(path))
        return None if inode is None else _status(inode)

    def identify(self, path: str) -> tuple[int, int] | None:
        status = self.stat(path)
        return None if status is None else (status.st_ino, status.st_size)

    def stat_open(self, fd: int) -> os.stat_result:
        return _status(self._inode(fd))

    def list_folder(self, path: str) -> Iterable[tuple[str, bool]]:
        folder = _normal(path)
        if not self._lookup(folder).is_folder:
            raise _error(errno.ENOTDIR, path)
        return [
            (name.rpartition("/")[2], inode.is_folder)
            for name, inode in self._machine.names.items()
            if name != "/" and _parent(name) == folder
        ]

    def try_lock(self, fd: int, offset: int) -> bool:
        place = self._inode(fd).number, offset
        return self._machine.locks.setdefault(place, fd) == fd

    def is_locked(self, fd: int, offset: int) -> bool:
        place = self._inode(fd).number, offset
        return self._machine.locks.get(place, fd) != fd

    def unlock(self, fd: int, offset: int) -> None:
        place = self._inode(fd).number, offset
        if self._machine.locks.get(place) == fd:
            del self._machine.locks[place]

    def notifier(self) -> None:
        return None

    # --- within ---

    def _change(self, name: str) -> None:
        if self._off:
            raise PowerCut
        self.calls += 1
        self.last_change = name
        if self.calls == self._cut_at:
            self._off = True
            raise PowerCut
        self._machine.clock += _TICK_NS

    def _lookup(self, path: str, *, is_file: bool = False) -> _Inode:
        if self._off:
            raise PowerCut
        inode = self._machine.names.get(_normal(path))
        if inode is None:
            raise _error(errno.ENOENT, path)
        if is_file and inode.is_folder:
            raise _error(errno.EISDIR, path)
        return inode

    def _create(self, path: str, *, is_folder: bool = False) -> _Inode:
        path = _normal(path)
        self._lookup(_parent(path))
        if path in self._machine.names:
            raise _error(errno.EEXIST, path)
        self._change("make_folder" if is_folder else "create")
        inode = self._machine.new_inode(is_folder=is_folder)
        self._machine.change_names((path, inode), None)
        return inode

    def _open(self, inode: _Inode) -> int:
        machine = self._machine
        machine.last_fd += 1
        machine.descriptors[machine.last_fd] = inode
        self._descriptors.add(machine.last_fd)
        return machine.last_fd

    def _inode(self, fd: int) -> _Inode:
        if self._off:
            raise PowerCut
        if fd not in self._descriptors:
            raise _error(errno.EBADF, f"descriptor {fd}")
        return self._machine.descriptors[fd]


def fingerprint(fs: CrashFileSystem) -> frozenset[tuple[str, int, int, bytes]]:
    """Equal for two machines that no process can tell apart."""
    return frozenset(
        (path, inode.number, 0 if inode.is_folder else inode.mtime, inode.cache)
        for path, inode in fs._machine.names.items()  # noqa: SLF001 - what its own methods see
    )


def _put(inode: _Inode, data: bytes | memoryview, offset: int, now: int) -> None:
    data, end = bytes(data), offset + len(data)
    inode.cache = inode.cache[:offset] + data + inode.cache[end:]
    inode.media = inode.media[:offset] + data + inode.media[end:]
    inode.mtime = now


def _digits(number: int, bases: list[int]) -> list[int]:
    """Writes a number with a digit for each base, the lowest first."""
    digits = []
    for base in bases:
        number, digit = divmod(number, base)
        digits.append(digit)
    return digits


def _normal(path: str) -> str:
    return os.path.normpath(path)


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


def _status(inode: _Inode) -> os.stat_result:
    mode = stat.S_IFDIR | 0o700 if inode.is_folder else stat.S_IFREG | 0o600
    seconds = inode.mtime // 1_000_000_000
    fields = (mode, inode.number, 1, 1, 0, 0, len(inode.cache), seconds, seconds, seconds)
    return os.stat_result(fields, {"st_mtime_ns": inode.mtime, "st_ctime_ns": inode.mtime})
