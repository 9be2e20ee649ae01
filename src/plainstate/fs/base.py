"""The file system seam: every call plainstate makes to the disk.

Tests put another implementation here: one that fails the N-th call, or one
that keeps what a power cut would leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

__all__ = ["FileSystem", "Notices", "Notifier"]


class Notices(Struct, frozen=True):
    """What may have changed in watched folders, each thing once.

    Attributes:
        files: (folder, name) of files that were created, written, deleted or renamed.
        folders: paths of folders that came, went or moved.  Watch each again, then look at
            everything in it that is there, its own folders included.
        lost: some notices were lost: look at everything.
    """

    files: list[tuple[str, str]] = []
    folders: list[str] = []
    lost: bool = False


class Notifier(Protocol):
    """Tells what other programs, and this one, change in folders.

    A change is there to `read` as soon as the system call that made it returned, in whichever
    process.  Any thread may call any method; only one at a time may `wait`.  After `fork` it
    belongs to the parent alone.
    """

    def watch(self, folder: str, *, modifications: bool = False) -> bool:
        """Watches a folder, not the folders in it; harmless when it is watched already.

        List the folder afterwards, not before: then nothing falls in between.

        Args:
            folder: absolute path.
            modifications: also tell each write to a file that stays open, not only its closing.

        Returns:
            Whether it is watched.  Not where it is gone or may not be read, nor where the system
            watches no more folders: then the caller must look at it now and then.
        """

    def wait(self, timeout_s: float) -> bool:
        """Waits until there is something to `read`; takes none of it.

        Returns:
            Whether there is; `False` also where `close` ended it, or came before.
        """

    def read(self) -> Notices:
        """All notices there are; does not wait."""

    def close(self) -> None:
        """Stops watching, and any `wait`.  Harmless when called again."""


class FileSystem(Protocol):
    """System calls by their meaning.  Paths are absolute; errors are `OSError`."""

    def open_read(self, path: str) -> int:
        """Opens a regular file for reading; never follows a symbolic link."""

    def open_append(self, path: str, *, create: bool = False) -> int:
        """Opens a regular file for reading and appending.

        With `create` it must not exist yet (mode 0600).
        """

    def open_write(self, path: str, *, create: bool = False) -> int:
        """The same, for writing at offsets."""

    def open_lock(self, path: str) -> int:
        """Opens a file to lock, creating it where it is missing (mode 0600)."""

    def close(self, fd: int) -> None:
        """Closes a descriptor, which releases its locks."""

    def read(self, fd: int, offset: int, size: int) -> bytes:
        """Reads up to `size` bytes at `offset`; fewer only at the end of the file."""

    def write(self, fd: int, data: bytes | memoryview, offset: int | None = None) -> int:
        """Appends, or writes over what is at an offset, as the file was opened.

        May write fewer bytes than given, as write(2) and pwrite(2) may.
        """

    def truncate(self, fd: int, size: int) -> None:
        """Cuts a file to `size` bytes."""

    def begin_sync(self, fd: int, offset: int, size: int) -> None:
        """The disk may begin to write these bytes, as `sync` is called next: a hint, no promise."""

    def sync(self, fd: int) -> None:
        """Makes a file's data durable, and the size needed to read it: fdatasync(2)."""

    def sync_folder(self, path: str) -> None:
        """Makes the names in a folder durable."""

    def rename(self, source: str, target: str) -> None:
        """Moves a file, replacing the target: rename(2)."""

    def unlink(self, path: str) -> None:
        """Removes a file's name."""

    def make_folder(self, path: str) -> None:
        """Creates one folder (mode 0700); its parent exists."""

    def remove_folder(self, path: str) -> None:
        """Removes an empty folder: rmdir(2)."""

    def stat(self, path: str) -> os.stat_result | None:
        """lstat(2); `None` if there is no such file."""

    def identify(self, path: str) -> tuple[int, int] | None:
        """Inode and size of what a name stands for; `None` if there is no such file.

        Other than after `stat`, the next write need not give the file a new time, which costs
        the sync behind it as much as a new size.
        """

    def stat_open(self, fd: int) -> os.stat_result:
        """fstat(2)."""

    def list_folder(self, path: str) -> Iterable[tuple[str, bool]]:
        """Names in a folder and whether each is itself a folder (no links)."""

    def try_lock(self, fd: int, offset: int) -> bool:
        """Takes the lock on one byte, if nobody has it; released with the descriptor.

        It excludes other descriptors of the file, of this process or another.
        """

    def is_locked(self, fd: int, offset: int) -> bool:
        """Whether another descriptor has the lock on one byte; takes none itself."""

    def unlock(self, fd: int, offset: int) -> None:
        """Gives the lock on one byte back."""

    def notifier(self) -> Notifier | None:
        """A new notifier; `None` where the system has none, or no more: then callers poll."""
