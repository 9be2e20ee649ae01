"""The lock of one document, across threads and processes.

One file, `.plainstate/lock`, serves all documents: each has a byte of its own,
chosen by a hash of its name.  The kernel drops the lock when its holder dies, so
nobody ever waits for a dead process (J-6).  Between threads of one handle,
which share the descriptor, a mutex does the same.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from plainstate.core.digest import blake2b
from plainstate.errors import LockTimeoutError

if TYPE_CHECKING:
    from plainstate.fs.base import FileSystem
    from plainstate.types import DocumentId

__all__ = ["DocumentLock", "LockFile"]

_FIRST_PAUSE_S: Final = 0.00005
_LONGEST_PAUSE_S: Final = 0.002


class LockFile:
    """The file whose bytes are locked.  It is never replaced or removed."""

    def __init__(self, fs: FileSystem, path: str) -> None:
        self.fs = fs
        self.fd = -1
        self._path = path

    def open(self) -> None:
        """Opens the file, creating it where it is missing, before anything is locked."""
        self.fd = self.fs.open_lock(self._path)

    def close(self) -> None:
        """Closes the file, which drops every lock held through it."""
        if self.fd >= 0:
            self.fs.close(self.fd)


class DocumentLock:
    """The lock of one document.  Waits with growing pauses, up to a timeout."""

    def __init__(self, document: DocumentId, file: LockFile) -> None:
        self._document = document
        self._file = file
        name = f"{document.kind}:{document}".encode()
        self._byte = int.from_bytes(blake2b(name, size_bytes=8)) >> 2  # fits off_t
        self._mutex = threading.Lock()

    def acquire(self, timeout_s: float) -> None:
        """Takes the lock.

        Raises:
            LockTimeoutError: another writer held it all the time.
        """
        if self.try_acquire():
            return
        deadline = time.monotonic() + timeout_s
        if not self._mutex.acquire(timeout=timeout_s):
            raise self._timeout(timeout_s)
        try:
            pause = _FIRST_PAUSE_S
            while not self._file.fs.try_lock(self._file.fd, self._byte):
                if time.monotonic() >= deadline:
                    raise self._timeout(timeout_s)
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
        except BaseException:
            self._mutex.release()
            raise

    def try_acquire(self) -> bool:
        """Takes the lock if nobody holds it."""
        if not self._mutex.acquire(False):  # noqa: FBT003 - by position it takes half the time
            return False
        try:
            taken = self._file.fs.try_lock(self._file.fd, self._byte)
        except BaseException:
            self._mutex.release()
            raise
        if not taken:
            self._mutex.release()
        return taken

    def release(self) -> None:
        """Gives the lock back; any thread may do it.

        What was done under it is done: should the kernel refuse to unlock, the byte stays
        locked for other handles until this one closes.
        """
        try:  # noqa: SIM105 - suppress would cost as much as the call
            self._file.fs.unlock(self._file.fd, self._byte)
        except OSError:
            pass
        self._mutex.release()

    def _timeout(self, timeout_s: float) -> LockTimeoutError:
        return LockTimeoutError(
            f"{self._document} was locked by another writer for {timeout_s:g} s",
            hint="Try again; if it goes on, look for a stopped or very long transaction.",
            document=str(self._document),
            timeout_s=timeout_s,
        )
