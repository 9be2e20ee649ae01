"""Where everything lies, and the durable primitives all writers share.

Order of calls is what makes them durable: data before the name that makes it
visible, the name before the acknowledgement (see `docs/durability.md`).
"""

from __future__ import annotations

import stat
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final, NoReturn

from msgspec import Struct

from plainstate.core.record import BLANK
from plainstate.errors import PlainstateError, UnsafePathError, storage_error
from plainstate.limits import BLANK_BYTES, BLANK_UNIT_BYTES, MAX_CATEGORY_PARTS
from plainstate.types import DocumentId, Kind, is_public

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from plainstate.fs.base import FileSystem

__all__ = ["DEEPEST", "META", "SUFFIXES", "Disk", "Errors", "File", "Temp", "stamp_of"]

META: Final = ".plainstate"
"""The store's own folder under its base."""

UNIQUE_DEPTH: Final = 2
"""Slashes from which on a system category has a part of its own, as a run of the trash has."""

TEMP_PREFIX: Final = ".tmp-"

_FEW_LINES_BYTES: Final = 4096
"""What one turn adds to a journal is seldom more."""

DEEPEST: Final = MAX_CATEGORY_PARTS + 4
"""Folders below the base: `.plainstate/quarantine/.plainstate/heads/` and a category."""

SUFFIXES: Final[dict[Kind, str]] = {"json": ".json", "markdown": ".md"}
"""Suffix of a snapshot; its journal's is one `l` longer."""


class Temp(Struct):
    """A new file under a temporary name.

    Attributes:
        path: that name.
        stamp: size, inode and modification time: it keeps them when it is renamed.
        fd: open until it is durable, then -1.
    """

    path: str
    stamp: tuple[int, int, int]
    fd: int


class File(Struct, frozen=True):
    """A file as it was read: its bytes, and the stamp of that moment."""

    data: bytes
    stamp: tuple[int, int, int]


def stamp_of(status: os.stat_result) -> tuple[int, int, int]:
    """Size, inode and modification time in ns: equal means the same content."""
    return status.st_size, status.st_ino, status.st_mtime_ns


class Disk:
    """Paths of a store and durable writing into it.

    Args:
        fs: the file system seam.
        base: absolute path of the store.
        writer_id: marks this handle's temporary files.

    Attributes:
        litter: temporary files that could not be removed.
    """

    def __init__(self, fs: FileSystem, base: str, writer_id: str) -> None:
        self.fs = fs
        self.base = base
        self.meta = f"{base}/{META}"
        self._temp_prefix = f"{TEMP_PREFIX}{writer_id}-"
        self.litter: set[str] = set()
        self._temps = count(1)  # several threads may ask it at once
        self._durable_folders: set[str] = set()

    # --- where things lie ---

    def folder(self, document: DocumentId) -> str:
        """The folder of its category."""
        return f"{self.base}/{document.category}"

    def snapshot(self, document: DocumentId) -> str:
        """The plain file."""
        return f"{self.base}/{document.category}/{document.name}{SUFFIXES[document.kind]}"

    def journal(self, document: DocumentId) -> str:
        """The file beside it that holds what is not folded yet."""
        return self.snapshot(document) + "l"

    def resting(self, document: DocumentId) -> str:
        """The file that keeps the head of a document without a journal."""
        suffix = SUFFIXES[document.kind]
        return f"{self.meta}/heads/{document.category}/{document.name}{suffix}l"

    def shown(self, path: str) -> str:
        """The path relative to the store, as messages show it."""
        return path.removeprefix(self.base + "/")

    # --- reading ---

    def read_file(self, path: str) -> File | None:
        """Reads a whole file; `None` if there is none."""
        return self._read(path, lambda fd, size: self.fs.read(fd, 0, size))

    def read_lines(self, path: str, *, since: int) -> File | None:
        """Reads the lines behind the first bytes of a journal, and not all the blanks."""

        def read(fd: int, size: int) -> bytes:
            new = self.fs.read(fd, since, min(max(size - since, 0), _FEW_LINES_BYTES))
            more = size - since - len(new)
            if more > 0 and not new.endswith(BLANK):
                new += self.fs.read(fd, since + len(new), more)
            return new

        return self._read(path, read)

    def read_end(self, path: str) -> bytes:
        """Reads the last bytes of a journal that are no blanks; a line's end tells of all lines."""

        def read(fd: int, size: int) -> bytes:
            start = max(0, size - BLANK_BYTES - 2 * BLANK_UNIT_BYTES)
            return self.fs.read(fd, start, size - start).rstrip(BLANK)

        file = self._read(path, read)
        return b"" if file is None else file.data

    def _read(self, path: str, read: Callable[[int, int], bytes]) -> File | None:
        try:
            fd = self.fs.open_read(path)
        except FileNotFoundError:
            return None
        try:
            status = self.fs.stat_open(fd)
            return File(read(fd, status.st_size), stamp_of(status))
        finally:
            self.fs.close(fd)

    def check_folder(self, category: str, *, under: str = "") -> bool:
        """Whether a category's folder is there; refuses links in its place.

        Raises:
            UnsafePathError: a part of it is a symbolic link or no folder.
        """
        path = under or self.base
        for part in category.split("/"):
            path = f"{path}/{part}"
            status = self.fs.stat(path)
            if status is None:
                return False
            if not stat.S_ISDIR(status.st_mode):
                shown = self.shown(path)
                raise UnsafePathError(
                    f"{shown} is not a folder",
                    hint="A category must be a real folder inside the store, not a link or a file.",
                    path=shown,
                )
        return True

    def folders(self, top: str) -> Iterator[str]:
        """A folder and all below it, as deep as those of a store go."""
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            yield folder
            if folder.count("/") - self.base.count("/") < DEEPEST:
                entries = self.fs.list_folder(folder)
                waiting += [f"{folder}/{name}" for name, is_folder in entries if is_folder]

    # --- writing ---

    def make_folder(self, category: str, *, under: str = "") -> str:
        """Creates a category's folder where it is missing; each name is durable."""
        path = under or self.base
        for part in category.split("/"):
            parent, path = path, f"{path}/{part}"
            self.add_folder(path, parent)
        return path

    def add_folder(self, path: str, parent: str) -> None:
        """Creates a folder where it is missing, durably.

        Another process may have created it and not synced it yet: so each
        folder is synced once by each handle that uses it.
        """
        missing = self.fs.stat(path) is None
        if not missing and path in self._durable_folders:
            return
        if missing:
            with suppress(FileExistsError):  # another process was faster
                self.fs.make_folder(path)
        self.fs.sync_folder(parent)
        self._durable_folders.add(path)

    def open_write(self, path: str) -> int:
        """Opens a file to write into it.

        One that has a second name is copied first: a backup may share it, or somebody may have
        planted it, and neither is to see what is written here.
        """
        fd = self.fs.open_write(path)
        try:
            status = self.fs.stat_open(fd)
            if status.st_nlink <= 1:
                return fd
            data = self.fs.read(fd, 0, status.st_size)
        except BaseException:
            self.fs.close(fd)
            raise
        self.fs.close(fd)
        self.put(path.rpartition("/")[0], path, data)
        return self.fs.open_write(path)

    def write_all(self, fd: int, data: bytes) -> None:
        """Writes every byte: write(2) may be short."""
        written = self.fs.write(fd, data)
        if written < len(data):
            view = memoryview(data)
            while written < len(data):
                written += self.fs.write(fd, view[written:])

    def write_at(self, fd: int, data: bytes, offset: int, *, least: int) -> int:
        """Writes at least the first bytes: pwrite(2) may be short; returns how many it wrote."""
        written = self.fs.write(fd, data, offset)
        while written < least:
            written += self.fs.write(fd, memoryview(data)[written:], offset + written)
        return written

    def begin_temp(self, folder: str, *pieces: bytes) -> Temp:
        """Writes a new file under a temporary name, and has the disk begin to make it durable.

        Then call `end_temp`, or `drop_temp`.
        """
        path = f"{folder}/{self._temp_prefix}{next(self._temps)}"
        fd = self.fs.open_append(path, create=True)
        try:
            for piece in pieces:
                self.write_all(fd, piece)
            temp = Temp(path, stamp_of(self.fs.stat_open(fd)), fd)
            with suppress(OSError):  # it is a hint
                self.fs.begin_sync(fd, 0, temp.stamp[0])
        except BaseException:
            self.fs.close(fd)
            self.discard(path)
            raise
        return temp

    def end_temp(self, temp: Temp) -> None:
        """Waits until it is durable; removes it where that fails."""
        try:
            self.fs.sync(temp.fd)
        except BaseException:
            self.drop_temp(temp)
            raise
        fd, temp.fd = temp.fd, -1
        self.fs.close(fd)

    def drop_temp(self, temp: Temp) -> None:
        """Removes it, wherever it has come to; harmless when called again."""
        fd, temp.fd = temp.fd, -1
        if fd >= 0:
            self.fs.close(fd)
        self.discard(temp.path)

    def write_temp(self, folder: str, data: bytes) -> Temp:
        """Writes a new, durable file under a temporary name."""
        temp = self.begin_temp(folder, data)
        self.end_temp(temp)
        return temp

    def remove_folders(self, document: DocumentId) -> None:
        """Removes the folders of a category that is never used again, where they are empty."""
        category = document.category
        if is_public(document) or category.count("/") < UNIQUE_DEPTH:
            return  # somebody may be about to put something there
        for folder in (self.base, f"{self.meta}/heads", f"{self.meta}/history"):
            with suppress(OSError):  # others are still in it, or it is not there
                self.fs.remove_folder(f"{folder}/{category}")

    def remove_left(self, category: str) -> None:
        """Removes heads and histories that a move or delete which was cut off has left in a
        category where no document is, and its folders."""
        for folder in (f"{self.meta}/heads/{category}", f"{self.meta}/history/{category}"):
            if self.fs.stat(folder) is None:
                continue
            for name, _ in list(self.fs.list_folder(folder)):
                with suppress(FileNotFoundError):  # somebody else is at it
                    self.fs.unlink(f"{folder}/{name}")
            self.fs.sync_folder(folder)
            with suppress(OSError):  # as above
                self.fs.remove_folder(folder)
        if self.fs.stat(f"{self.base}/{category}") is not None:
            with suppress(OSError):
                self.fs.remove_folder(f"{self.base}/{category}")

    def discard(self, temp: str) -> None:
        """Removes a temporary file on the way out of a failure.

        What cannot be removed now is tried again when the handle is closed, and then left to
        a later writer (`writers.py`).
        """
        try:
            with suppress(FileNotFoundError):
                self.fs.unlink(temp)
        except OSError:
            self.litter.add(temp)
        else:
            self.litter.discard(temp)

    def put(self, folder: str, path: str, data: bytes) -> None:
        """Replaces a file durably: temporary file, sync, rename, sync of the folder."""
        temp = self.write_temp(folder, data)
        try:
            self.fs.rename(temp.path, path)
        except BaseException:
            self.drop_temp(temp)
            raise
        self.fs.sync_folder(folder)

    def set_aside(self, path: str, make_id: Callable[[], str]) -> str:
        """Moves a whole file to the quarantine, durably; returns where, relative to the store."""
        fs = self.fs
        fd = fs.open_read(path)
        try:
            fs.sync(fd)
        finally:
            fs.close(fd)
        folder, _, name = path.removeprefix(self.base + "/").rpartition("/")
        self.add_folder(self.meta, self.base)
        target = self.make_folder(f"quarantine/{folder}".rstrip("/"), under=self.meta)
        kept = f"{target}/{name.lstrip('.')}.{make_id()}"
        fs.rename(path, kept)
        fs.sync_folder(target)
        fs.sync_folder(path.rpartition("/")[0])
        return self.shown(kept)

    def quarantine(self, document: DocumentId, data: bytes, make_id: Callable[[], str]) -> str:
        """Sets bytes aside durably; returns where, relative to the store."""
        self.add_folder(self.meta, self.base)
        folder = self.make_folder(f"quarantine/{document.category}", under=self.meta)
        suffix = SUFFIXES[document.kind]
        path = f"{folder}/{document.name}{suffix}l.{make_id()}"
        self.put(folder, path, data)
        return self.shown(path)


class Errors:
    """In `with`: gives every system error its place in the error tree."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            self.place(error)

    def place(self, error: OSError) -> NoReturn:
        """Raises a system error as the tree has it."""
        if isinstance(error, PlainstateError):
            raise error
        path = error.filename if isinstance(error.filename, str) else self._disk.base
        shown = self._disk.shown(path)
        # every writer begins with its entry, of which its caller knows nothing
        what = "the store cannot be written" if shown.startswith(f"{META}/writers") else ""
        raise storage_error(error, shown, what) from error
