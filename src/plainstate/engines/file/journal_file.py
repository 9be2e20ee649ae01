"""One journal on disk: reading what is new, appending, taking back.

After any failure the file is what it was (J-10), or the caller is told that
nobody knows (J-9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Self, TypeVar

from plainstate.core.record import BLANK, Journal, Numbered, Record, end_of_line, parse
from plainstate.engines.file.reader import unknown_outcome
from plainstate.limits import BLANK_BYTES, BLANK_UNIT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate.engines.file.disk import Disk

__all__ = ["JournalFile", "LineFile"]

L = TypeVar("L", bound=Numbered)


class LineFile(Generic[L]):
    """An open file of sealed lines, and blanks behind them: the next line goes there.

    Attributes:
        size: bytes of its intact lines: where the next one goes.
        check: `sum` of the last line, as a number.
    """

    def __init__(self, disk: Disk, path: str, fd: int) -> None:
        self._disk = disk
        self._path = path
        self._shown = disk.shown(path)
        self._fd = fd
        status = disk.fs.stat_open(fd)
        self._inode = status.st_ino
        self._room = status.st_size  # bytes of the file when it was last seen
        self._lines = 0
        self.size = 0
        self.check = 0

    @classmethod
    def open(cls, disk: Disk, path: str) -> tuple[Self, Journal[L]]:
        """Opens a file and reads all of it."""
        file = cls(disk, path, disk.open_write(path))
        try:
            return file, file.read_new()
        except BaseException:
            file.close()
            raise

    @classmethod
    def create(
        cls,
        disk: Disk,
        path: str,
        data: bytes,
        check: int,
        lines: int,
        *,
        sync: bool,
        meanwhile: Callable[[], None] | None = None,
    ) -> Self:
        """Creates a file with its first lines; `meanwhile` is called while they are written."""
        file = cls(disk, path, disk.fs.open_write(path, create=True))
        folder = path.rpartition("/")[0]
        try:
            file.write(data, sync=sync)
            if meanwhile is not None:
                meanwhile()
            file.confirm(len(data), check, lines, sync=sync)
            disk.fs.sync_folder(folder)  # always: who syncs a later line counts on the name
        except BaseException as error:
            file.close()
            try:
                disk.fs.unlink(path)
                disk.fs.sync_folder(folder)
            except OSError as second:
                raise unknown_outcome(file._shown, second) from error
            raise
        return file

    def close(self) -> None:
        """Closes the descriptor; harmless when called again."""
        if self._fd >= 0:
            self._disk.fs.close(self._fd)
            self._fd = -1

    def growth(self) -> int | None:
        """Bytes behind the known lines, 0 if they are blank; `None` if the file was replaced.

        Whoever puts an older file there, or takes a line out, may leave inode and size as they
        were, and blanks here.  So the last known line must still end here, too.

        Cost: one statx(2) and one pread(2).
        """
        inode, room = self._disk.fs.identify(self._path) or (0, 0)
        if inode != self._inode or room < self.size:
            return None
        self._room = room
        last = end_of_line(self.check) if self.size else b""
        found = self._disk.fs.read(self._fd, self.size - len(last), len(last) + 1)
        if not found.startswith(last):
            return None
        return 0 if found[len(last) :] in (b"", BLANK) else room - self.size

    def read_new(self) -> Journal[L]:
        """Reads the lines behind those known, as far as the file was seen to go."""
        data = self._disk.fs.read(self._fd, self.size, self._room - self.size)
        journal = self._parse(data)
        self.size += journal.size
        self.check = journal.check
        self._lines += len(journal.records)
        return journal

    def _parse(self, data: bytes) -> Journal[L]:
        """Reads the bytes behind the known lines."""
        raise NotImplementedError

    def read_all(self) -> bytes:
        """The bytes of all intact lines."""
        return self._disk.fs.read(self._fd, 0, self.size)

    def cut(self) -> None:
        """Removes what lies behind the intact lines, durably."""
        self._room = self.size
        self._disk.fs.truncate(self._fd, self.size)
        self._disk.fs.sync(self._fd)

    def append(self, data: bytes, check: int, lines: int, *, sync: bool) -> None:
        """Appends whole lines and makes them durable: `write`, then `confirm`."""
        self.write(data, sync=sync)
        self.confirm(len(data), check, lines, sync=sync)

    def write(self, data: bytes, *, sync: bool) -> None:
        """Writes whole lines, which count only once they are confirmed.

        Args:
            data: the lines.
            sync: they will be made durable; the disk may begin at once.

        Raises:
            OSError: it failed and the journal is what it was.
            OutcomeUnknownError: it failed and could not be taken back.
        """
        end = self.size + len(data)
        padded = data if end <= self._room else data + BLANK * self._blanks(end)
        try:
            written = self._disk.write_at(self._fd, padded, self.size, least=len(data))
        except OSError as error:
            try:
                self.cut()
            except OSError as second:
                raise unknown_outcome(self._shown, second) from error
            raise
        self._room = max(self._room, self.size + written)
        if sync:
            try:  # noqa: SIM105 - suppress would cost more than the call
                self._disk.fs.begin_sync(self._fd, self.size, written)
            except OSError:
                pass  # it was a hint

    def _blanks(self, end: int) -> int:  # noqa: ARG002 - for those that are appended to often
        """How many blanks to write behind a line that ends there."""
        return 0

    def confirm(self, size: int, check: int, lines: int, *, sync: bool) -> None:
        """Makes the lines that were just written durable, and counts them.

        Args:
            size: their bytes.
            check: `sum` of the last one, as a number.
            lines: how many.
            sync: whether to wait until they are durable.

        Raises:
            OSError, OutcomeUnknownError: as in `write`.
        """
        if sync:
            try:
                self._disk.fs.sync(self._fd)
            except OSError:
                self.rewrite()
                raise
        self.size += size
        self.check = check
        self._lines += lines

    def sync(self) -> None:
        """Makes earlier unsynced lines durable, in a new file if need be (J-9).

        Raises:
            OutcomeUnknownError: that failed too.
        """
        try:
            self._disk.fs.sync(self._fd)
        except OSError:
            self.rewrite()

    def rewrite(self) -> None:
        """Moves the intact lines to a new file that takes this one's place.

        After a failed sync the kernel counts the lost pages as written, so a second sync
        of the same file would succeed and save nothing (Rebello et al., ATC 2020).

        Raises:
            OutcomeUnknownError: that failed too.
        """
        folder = self._path.rpartition("/")[0]
        try:
            self._disk.put(folder, self._path, self.read_all())
            fd = self._disk.fs.open_write(self._path)
        except OSError as error:
            raise unknown_outcome(self._shown, error) from error
        self.close()
        self._fd = fd
        self._inode = self._disk.fs.stat_open(fd).st_ino
        self._room = self.size


class JournalFile(LineFile[Record]):
    """An open journal.

    Blanks let the next lines be written over: then fdatasync(2) has no new size to write,
    which saves the file system's own commit.
    """

    def _blanks(self, end: int) -> int:
        wanted = end + min(end, BLANK_BYTES)
        return wanted + -wanted % BLANK_UNIT_BYTES - end

    def _parse(self, data: bytes) -> Journal[Record]:
        return parse(data, path=self._shown, previous=self.check, line_number=self._lines + 1)
