"""A file system whose calls fail when a test says so."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from plainstate.testing.crashfs import CrashFileSystem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from plainstate.fs.base import FileSystem, Notifier

__all__ = ["METHODS", "FaultyFileSystem"]

METHODS: Final = frozenset(
    {
        "open_read",
        "open_append",
        "create",
        "open_lock",
        "read",
        "write",
        "truncate",
        "sync",
        "sync_folder",
        "rename",
        "unlink",
        "make_folder",
        "remove_folder",
        "stat",
        "list_folder",
    }
)
"""The calls that can be made to fail.  `open_append` is `open_write` too, and `create` is either
with `create=True`."""


class FaultyFileSystem:
    """Passes every call on, except those that are to fail.

    A failed `sync` behaves as on Linux, if `inner` can: what was written and not
    synced is lost but still seen, and a second sync succeeds and saves nothing.

    Args:
        inner: the file system that does the work.

    Attributes:
        calls: how many of the calls that may fail were made since `fail`.
        failed: the names of those that did.

    Example:
        >>> fs = FaultyFileSystem(CrashFileSystem())
        >>> fs.fail(28, {"create"})
        >>> fs.open_append("/a", create=True)
        Traceback (most recent call last):
        OSError: [Errno 28] No space left on device: '/a'
    """

    def __init__(self, inner: FileSystem) -> None:
        self._inner = inner
        self.fail(0, ())

    def fail(
        self,
        number: int,
        methods: Collection[str] = METHODS,
        *,
        at: int = 1,
        times: int = 1,
        short: bool = False,
        lost: bool = True,
    ) -> None:
        """Makes calls fail.

        Args:
            number: the error, see errno(3); 0 for none (to see `short` alone).
            methods: which calls count.
            at: the first of them to fail, from 1.
            times: how many fail.
            short: a failing write writes one half first; without an error it says so.
            lost: a failing sync loses what was not synced; otherwise it saves it.
        """
        self._number = number
        self._methods = methods
        self._failing = range(at, at + times)
        self._short = short
        self._lost = lost
        self.calls = 0
        self.failed: list[str] = []

    def heal(self) -> None:
        """Nothing fails any more."""
        self._failing = range(0)

    def _fails(self, method: str) -> bool:
        if method not in self._methods:
            return False
        self.calls += 1
        if self.calls not in self._failing:
            return False
        self.failed.append(method)
        return True

    def _check(self, method: str, path: str) -> None:
        if self._fails(method):
            raise self._error(path)

    def _error(self, path: str | None = None) -> OSError:
        return OSError(self._number, os.strerror(self._number), path)

    # --- the seam ---

    def open_read(self, path: str) -> int:
        self._check("open_read", path)
        return self._inner.open_read(path)

    def open_append(self, path: str, *, create: bool = False) -> int:
        self._check("create" if create else "open_append", path)
        return self._inner.open_append(path, create=create)

    def open_write(self, path: str, *, create: bool = False) -> int:
        self._check("create" if create else "open_append", path)
        return self._inner.open_write(path, create=create)

    def open_lock(self, path: str) -> int:
        self._check("open_lock", path)
        return self._inner.open_lock(path)

    def close(self, fd: int) -> None:
        self._inner.close(fd)

    def read(self, fd: int, offset: int, size: int) -> bytes:
        if self._fails("read"):
            raise self._error()
        return self._inner.read(fd, offset, size)

    def write(self, fd: int, data: bytes | memoryview, offset: int | None = None) -> int:
        if not self._fails("write"):
            return self._inner.write(fd, data, offset)
        half = data[: (len(data) + 1) // 2]
        written = self._inner.write(fd, half, offset) if self._short else 0
        if self._number:
            raise self._error()
        return written

    def truncate(self, fd: int, size: int) -> None:
        if self._fails("truncate"):
            raise self._error()
        self._inner.truncate(fd, size)

    def begin_sync(self, fd: int, offset: int, size: int) -> None:
        self._inner.begin_sync(fd, offset, size)

    def sync(self, fd: int) -> None:
        if not self._fails("sync"):
            self._inner.sync(fd)
            return
        if not self._lost:
            self._inner.sync(fd)
        elif isinstance(self._inner, CrashFileSystem):
            self._inner.drop_dirty(fd)
        raise self._error()

    def sync_folder(self, path: str) -> None:
        self._check("sync_folder", path)
        self._inner.sync_folder(path)

    def rename(self, source: str, target: str) -> None:
        self._check("rename", target)
        self._inner.rename(source, target)

    def unlink(self, path: str) -> None:
        self._check("unlink", path)
        self._inner.unlink(path)

    def make_folder(self, path: str) -> None:
        self._check("make_folder", path)
        self._inner.make_folder(path)

    def remove_folder(self, path: str) -> None:
        self._check("remove_folder", path)
        self._inner.remove_folder(path)

    def stat(self, path: str) -> os.stat_result | None:
        self._check("stat", path)
        return self._inner.stat(path)

    def identify(self, path: str) -> tuple[int, int] | None:
        self._check("stat", path)
        return self._inner.identify(path)

    def stat_open(self, fd: int) -> os.stat_result:
        return self._inner.stat_open(fd)

    def list_folder(self, path: str) -> Iterable[tuple[str, bool]]:
        self._check("list_folder", path)
        return self._inner.list_folder(path)

    def try_lock(self, fd: int, offset: int) -> bool:
        return self._inner.try_lock(fd, offset)

    def is_locked(self, fd: int, offset: int) -> bool:
        return self._inner.is_locked(fd, offset)

    def unlock(self, fd: int, offset: int) -> None:
        self._inner.unlock(fd, offset)

    def notifier(self) -> Notifier | None:
        return self._inner.notifier()
