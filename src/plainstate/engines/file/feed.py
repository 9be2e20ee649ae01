"""The change feed on disk: appending lines, reading them behind a cursor, keeping it bounded.

Format, and why no lock is needed: `docs/format/feed.md`.
"""

from __future__ import annotations

import errno
import threading
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Final

import msgspec

from plainstate.core import feed
from plainstate.core.feed import Cursor
from plainstate.engines.file.disk import stamp_of
from plainstate.errors import CursorExpiredError
from plainstate.limits import (
    FEED_BYTES,
    FEED_BYTES_FOR_FOLLOWERS,
    FEED_SEGMENT_BYTES,
)
from plainstate.types import LATEST, ChangePage, DocumentId

if TYPE_CHECKING:
    from collections.abc import Collection

    from plainstate.engines.file.disk import Disk

__all__ = ["Feed", "Segment", "Told"]

_OPEN: Final = ".open.jsonl"
_FULL: Final = ".jsonl"
_CHUNK_BYTES: Final = 1024 * 1024


class Segment(msgspec.Struct, frozen=True):
    """One file of the feed; `full`: nothing is written to it any more."""

    number: int
    path: str
    full: bool


class Told(msgspec.Struct, frozen=True):
    """What the feed told about some documents.

    Attributes:
        lines: of each document, number and version of each line, oldest first.
        unsure: of these, the ones that its writer may have put behind a full segment, and was
            killed before it looked again: readers may have missed them.
        complete: this is all that the feed ever told, not only its newest part.
    """

    lines: dict[DocumentId, list[tuple[int, str | None]]]
    unsure: dict[DocumentId, list[tuple[int, str | None]]]
    complete: bool


class Feed:
    """The feed of one store, for one handle.  Any thread may call it.

    Args:
        disk: the store.
    """

    def __init__(self, disk: Disk) -> None:
        self.folder = f"{disk.meta}/feed"
        self._disk = disk
        self._mutex = threading.Lock()
        self._fd = -1
        self._path = self.folder
        self._inode = -1
        self._unwritten: list[bytes] = []
        self._synced = Cursor(0)
        self._end_seen = Cursor(0), (0, 0, 0)

    # --- writing ---

    def look(self) -> int:
        """Looks before `tell` whether the segment at hand is still the open one.

        All lines about a document that was locked before are in it, or in earlier ones.

        Returns:
            Its inode, to be passed to `tell` under the same lock; 0 if it is not.
        """
        try:
            return self._inode if self._size() >= 0 else 0
        except OSError:
            return 0

    def tell(self, lines: list[bytes], open_segment: int = 0) -> bool:
        """Appends lines about commits that are durable; the caller holds the document's lock.

        Args:
            lines: to append.
            open_segment: what `look` returned, where the time for that was cheaper.

        Returns:
            Whether they are written.  If not, they are written before the next lines: the
            commits stand.
        """
        with self._mutex:
            looked = open_segment == self._inode and not self._unwritten
            self._unwritten += lines
            try:
                self._write(looked=looked)
            except OSError:  # kept, see `flush`
                return False
            return True

    def flush(self) -> None:
        """Writes what could not be written.

        Raises:
            OSError: it still cannot.
        """
        with self._mutex:
            if self._unwritten:
                self._write()

    def close(self) -> None:
        """Closes the open segment."""
        with self._mutex:
            self._leave()

    def _write(self, *, looked: bool = False) -> None:
        """Writes what waits to the open segment, at which the caller may have `looked`."""
        data = b"".join(self._unwritten)
        write, size = self._disk.fs.write, -1
        while size < 0:  # full meanwhile: readers may be past this segment
            if not looked and self._size() < 0:
                self._leave()  # else this line could stand before an earlier one of its document
                self._enter()
            looked = False
            if write(self._fd, data) == len(data):
                size = self._size()
            # else a part: the whole once more, as others may have written behind it
        self._unwritten = []
        if size >= FEED_SEGMENT_BYTES:
            self._rotate()

    def _size(self) -> int:
        """Bytes of the segment at hand; -1 if that lost its name, or there is none."""
        inode, size = self._disk.fs.identify(self._path) or (0, -1)
        return size if inode == self._inode else -1

    def _enter(self) -> None:
        """Opens the open segment with the highest number; creates one where there is none."""
        fs = self._disk.fs
        self._disk.add_folder(self.folder, self._disk.meta)
        while self._fd < 0:
            segments = self.segments()
            newest = segments[-1] if segments else None
            try:
                if newest is None or newest.full:
                    fs.sync_folder(self.folder)  # no power cut leaves two open segments
                    self._path = self._place((newest.number if newest else 0) + 1, _OPEN)
                    self._fd = fs.open_append(self._path, create=True)
                else:
                    self._path = newest.path
                    self._fd = fs.open_append(self._path)
            except (FileExistsError, FileNotFoundError):
                continue  # another process was faster
        try:
            status = fs.stat_open(self._fd)
            if status.st_nlink > 1:  # its other names are not to see what is told from now on
                self._leave()
                self.finish(self._path)
                self._enter()
                return
            self._inode = status.st_ino
            fs.sync_folder(self.folder)  # whoever created it may not have come so far
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        if self._fd >= 0:
            self._disk.fs.close(self._fd)
            self._fd = self._inode = -1

    def _rotate(self) -> None:
        fs = self._disk.fs
        fs.sync(self._fd)
        full = self._path.removesuffix(_OPEN) + _FULL
        self._leave()
        with suppress(FileNotFoundError):  # another process did it
            fs.rename(self._path, full)
        self._enter()
        self._retire()

    def finish(self, path: str) -> None:
        """Gives an open segment the name of a full one, durably."""
        fs = self._disk.fs
        with suppress(FileNotFoundError):  # another process did it
            fd = fs.open_append(path)
            try:
                fs.sync(fd)
            finally:
                fs.close(fd)
            fs.rename(path, path.removesuffix(_OPEN) + _FULL)
            fs.sync_folder(self.folder)

    def begin_anew(self, path: str) -> None:
        """Ends a segment before it is full, and begins the next one."""
        with self._mutex:
            self.finish(path)
            self._leave()
            self._enter()

    def _retire(self) -> None:
        """Removes the oldest full segments beyond the limits (F-7)."""
        fs = self._disk.fs
        segments = [one for one in self.segments() if one.full]
        found = [(one, status) for one in segments if (status := fs.stat(one.path)) is not None]
        total = sum(status.st_size for _, status in found)
        needed = min(self._followed(), default=None)
        for one, status in found:
            kept = needed is not None and one.number >= needed
            if total <= (FEED_BYTES_FOR_FOLLOWERS if kept else FEED_BYTES):
                return
            with suppress(FileNotFoundError):
                fs.unlink(one.path)
            total -= status.st_size

    def _followed(self) -> list[int]:
        """The segment that each named follower needs."""
        folder = f"{self._disk.meta}/followers"
        if self._disk.fs.stat(folder) is None:
            return []
        found = []
        for name, _ in self._disk.fs.list_folder(folder):
            if not name.endswith(".json"):
                continue
            try:
                file = self._disk.read_file(f"{folder}/{name}")
            except OSError as error:
                if error.errno != errno.ELOOP:  # a link, folder or device keeps nothing
                    raise
                continue
            cursor = None if file is None else feed.follower_cursor(file.data)
            if cursor is not None:  # a file that is no follower's keeps nothing
                found.append(cursor.segment)
        return found

    # --- reading ---

    def read(
        self, since: str | None, limit: int, *, durable: bool, newest_only: bool = False
    ) -> ChangePage:
        """See `Engine.changes`; does not wait."""
        if since is not None and self._is_end(since, durable=durable):
            return ChangePage([], since)
        cursor, gap = self._begin(since)
        found: feed.Found = {}
        while since != LATEST and len(found) < limit:
            opened = self._open(cursor.segment)
            if opened is None:
                break
            fd, full = opened  # full: at that moment, before it is read
            try:
                data, is_part = self._read_on(fd, cursor.offset)
                end, bad = feed.gather(data, cursor, found, limit, newest_only=newest_only)
                if durable and not full and end > self._synced:
                    self._disk.fs.sync(fd)
                    self._synced = end
                is_end = not full and self._note_end(fd, end)
            finally:
                self._disk.fs.close(fd)
            gap = gap or bad or (full and is_part)
            if full and end == cursor:
                cursor = Cursor(cursor.segment + 1)
                continue
            is_end = is_end or end == cursor
            cursor = end
            if is_end:
                break
        changes, foreign = feed.decode(found)
        if foreign and not changes:  # a newer writer's: an empty page would look like the end
            page = self.read(str(cursor), limit, durable=durable, newest_only=newest_only)
            return msgspec.structs.replace(page, gap=True)
        return ChangePage(changes, str(cursor), gap or foreign)

    def told(self, documents: Collection[DocumentId]) -> Told:
        """What the newest segments told about documents.

        Cost: reads `FEED_BYTES` at most, that is up to 200,000 lines.
        """
        kept = list(reversed(self.segments()))
        files, size = [], 0
        for number, segment in enumerate(kept):
            status = self._disk.fs.stat(segment.path)
            size += 0 if status is None else status.st_size
            if number and size > FEED_BYTES:
                break
            files.append(segment)
        told = Told(
            {one: [] for one in documents},
            {one: [] for one in documents},
            complete=not files or files[-1].number == 1,
        )
        for segment in reversed(files):
            file = self._disk.read_file(segment.path)
            if file is None:  # it became full meanwhile
                return self.told(documents)
            changes = feed.parse(file.data, Cursor(segment.number), len(file.data)).changes
            for document, run in groupby(changes, lambda change: change.document):
                if document in told.lines:
                    lines = [(change.seq, change.version) for change in run]
                    told.lines[document] += lines
                    if segment is not files[0]:
                        told.unsure[document] = lines  # the last of its lines there
                    elif told.unsure[document] == lines:
                        told.unsure[document] = []
        return told

    def last_version(self, document: DocumentId) -> str | None:
        """What the newest segment told last about a document, as `notice` takes it."""
        segments = self.segments()
        file = self._disk.read_file(segments[-1].path) if segments else None
        return None if file is None else feed.last_version(file.data, document)

    def segments(self) -> list[Segment]:
        """The segments, oldest first."""
        if self._disk.fs.stat(self.folder) is None:
            return []
        found: dict[int, Segment] = {}
        for name, _ in self._disk.fs.list_folder(self.folder):
            number, _, rest = name.partition(".")
            if number.isdecimal() and rest in (_OPEN[1:], _FULL[1:]):
                one = Segment(int(number), f"{self.folder}/{name}", rest == _FULL[1:])
                if one.full or one.number not in found:
                    found[one.number] = one
        return [found[number] for number in sorted(found)]

    def _begin(self, since: str | None) -> tuple[Cursor, bool]:
        """Where to read on, and whether that is further back than `since` says."""
        if since == LATEST:
            return self._end(), False
        if since is None:
            return Cursor(self._oldest()), False
        cursor = Cursor.parse(since)
        if cursor.offset == 0 and cursor == Cursor(1) == Cursor(self._oldest()):
            return cursor, False
        opened = self._open(cursor.segment)
        if opened is None:
            return self._missing(cursor)
        fd, _ = opened
        try:
            start = max(0, cursor.offset - feed.MARK_LENGTH)
            end = self._disk.fs.read(fd, start, cursor.offset - start)
        finally:
            self._disk.fs.close(fd)
        if len(end) == cursor.offset - start and (not end or feed.mark(end) == cursor.sum):
            return cursor, False
        return Cursor(cursor.segment), True  # a power cut took the lines before the cursor

    def _missing(self, cursor: Cursor) -> tuple[Cursor, bool]:
        segments = self.segments()
        numbers = [one.number for one in segments]
        before = any(one.number == cursor.segment - 1 and one.full for one in segments)
        came = cursor.segment in numbers
        if cursor.offset == 0 and (came or (before and cursor.segment > numbers[-1])):
            return cursor, False  # nothing was written behind a full segment yet
        # a segment that is missing between others must not be asked for again and again
        behind = [number for number in numbers if number > cursor.segment]
        oldest = Cursor([*behind, *numbers, 1][0])
        raise CursorExpiredError(
            f"the feed has no place {cursor}: it is no longer kept, or was never given out",
            hint="Look at the documents themselves, then go on from the error's `oldest`.",
            cursor=str(cursor),
            oldest=str(oldest),
        )

    def _note_end(self, fd: int, cursor: Cursor) -> bool:
        """Whether nothing is written behind there yet; then keeps it for `_is_end`."""
        status = self._disk.fs.stat_open(fd)
        if status.st_size == cursor.offset:
            self._end_seen = cursor, stamp_of(status)
        return status.st_size == cursor.offset

    def _is_end(self, since: str, *, durable: bool) -> bool:
        """Whether nothing was written since a reader of this handle came to the end there.

        One stat(2), for those who ask again and again.
        """
        cursor, stamp = self._end_seen
        if since != str(cursor) or (durable and cursor > self._synced):
            return False
        status = self._disk.fs.stat(self._place(cursor.segment, _OPEN))
        return status is not None and stamp_of(status) == stamp

    def _read_on(self, fd: int, offset: int) -> tuple[bytes, bool]:
        """The next whole lines of a segment; and whether there is only a part of one, with which
        nobody goes on where the segment is full."""
        fs = self._disk.fs
        size = fs.stat_open(fd).st_size - offset
        data = fs.read(fd, offset, min(size, _CHUNK_BYTES))
        whole = data.rfind(b"\n") + 1
        if not whole and size > len(data):  # one very long line
            data = fs.read(fd, offset, size)
            whole = data.rfind(b"\n") + 1
        return data[:whole], bool(data) and not whole

    def _open(self, number: int) -> tuple[int, bool] | None:
        """Opens a segment; tells whether it was full at that moment."""
        for suffix in (_FULL, _OPEN, _FULL):  # it may be renamed in between
            with suppress(FileNotFoundError):
                return self._disk.fs.open_read(self._place(number, suffix)), suffix == _FULL
        return None

    def _oldest(self) -> int:
        segments = self.segments()
        return segments[0].number if segments else 1

    def _end(self) -> Cursor:
        """The cursor behind the last whole line."""
        segments = self.segments()
        if not segments:
            return Cursor(1)
        newest = segments[-1]
        file = self._disk.read_file(newest.path)
        if file is None:  # renamed meanwhile
            return self._end()
        size = file.data.rfind(b"\n") + 1
        if not size:
            return Cursor(newest.number)
        return Cursor(newest.number, size, feed.mark(file.data[:size][-feed.MARK_LENGTH :]))

    def _place(self, number: int, suffix: str) -> str:
        return f"{self.folder}/{number:010}{suffix}"
