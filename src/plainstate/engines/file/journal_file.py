"""One journal on disk: reading what is new, appending, taking back.

After any failure the file is what it was (J-10), or the caller is told that
nobody knows (J-9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Self, TypeVar

from plainstate.core.record import Journal, Numbered, Record, parse
from plainstate.engines.file.reader import unknown_outcome

if TYPE_CHECKING:
    from plainstate.engines.file.disk import Disk

__all__ = ["JournalFile", "LineFile"]

L = TypeVar("L", bound=Numbered)


class LineFile(Generic[L]):
    """An open file of sealed lines that only grows.

    Attributes:
        size: bytes of its intact lines: where the next one goes.
        check: `sum` of the last line, as a number.
    """

    def __init__(self, disk: Disk, path: str, fd: int) -> None:
        self._disk = disk
        self._path = path
        self._shown = disk.shown(path)
        self._fd = fd
        self._inode = disk.fs.stat_open(fd).st_ino
        self._lines = 0
        self.size = 0
        self.check = 0

    @classmethod
    def open(cls, disk: Disk, path: str) -> tuple[Self, Journal[L]]:
        """Opens a file and reads all of it."""
        file = cls(disk, path, disk.open_append(path))
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
    ) -> Self:
        """Creates a file with its first lines."""
        file = cls(disk, path, disk.fs.open_append(path, create=True))
        folder = path.rpartition("/")[0]
        try:
            file.append(data, check, lines, sync=sync)
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
        """Bytes added by others since the last look, `None` if it was replaced.  One stat(2)."""
        status = self._disk.fs.stat(self._path)
        if status is None or status.st_ino != self._inode or status.st_size < self.size:
            return None
        return status.st_size - self.size

    def read_new(self) -> Journal[L]:
        """Reads the lines behind those known."""
        fs = self._disk.fs
        data = fs.read(self._fd, self.size, fs.stat_open(self._fd).st_size - self.size)
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
        try:
            self._disk.write_all(self._fd, data)
        except OSError as error:
            try:
                self.cut()
            except OSError as second:
                raise unknown_outcome(self._shown, second) from error
            raise
        if sync:
            try:  # noqa: SIM105 - suppress would cost more than the call
                self._disk.fs.begin_sync(self._fd, self.size, len(data))
            except OSError:
                pass  # it was a hint

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
            fd = self._disk.fs.open_append(self._path)
        except OSError as error:
            raise unknown_outcome(self._shown, error) from error
        self.close()
        self._fd = fd
        self._inode = self._disk.fs.stat_open(fd).st_ino


class JournalFile(LineFile[Record]):
    """An open journal."""

    def _parse(self, data: bytes) -> Journal[Record]:
        return parse(data, path=self._shown, previous=self.check, line_number=self._lines + 1)
