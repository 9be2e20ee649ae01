"""What a handle does beside its commits: folds, periodic syncs, and the work of dead writers."""

from __future__ import annotations

import sys
import time
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from plainstate.core.record import number_in
from plainstate.engines.file import layout, writers
from plainstate.engines.file.access import Access, Waiting
from plainstate.engines.file.disk import stamp_of
from plainstate.engines.file.side_by_side import side_by_side
from plainstate.errors import (
    DamagedError,
    EditConflictError,
    FormatVersionError,
    PlainstateError,
    UnsafePathError,
    storage_error,
)
from plainstate.types import ABSENT

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from plainstate.engines.file.disk import Disk
    from plainstate.engines.file.document import FileDocument
    from plainstate.engines.file.feed import Feed, Told
    from plainstate.engines.file.untold import ToldLine
    from plainstate.types import DocumentId

__all__ = ["Housekeeping"]

_CLOCK_TICK_NS: Final = 100_000_000
"""The kernel's clock for the times of files is never so far behind."""

_SECOND_NS: Final = 1_000_000_000
"""Some file systems keep no more of a time than whole seconds, or even ones."""


class Housekeeping:
    """Does what `Access` has noted.

    Args:
        access: the documents.
        disk: the store.
        feed: its change feed.
        quiet_fold_s: fold a document that was not written for so long.
        mutex: guards the notes.
        hurry: something is waiting to be synced.
    """

    def __init__(
        self,
        access: Access,
        disk: Disk,
        feed: Feed,
        quiet_fold_s: float,
        mutex: threading.Lock,
        hurry: Callable[[], None],
    ) -> None:
        self._access = access
        self._disk = disk
        self._feed = feed
        self._quiet_fold_s = quiet_fold_s
        self._mutex = mutex
        self._hurry = hurry
        self._left: dict[str, list[DocumentId]] = {}
        self._alone: tuple[int, int, int] | None = None

    def run(self) -> None:
        """Syncs what is due, folds what is quiet or old; called in the background."""
        before = time.monotonic() - self._quiet_fold_s
        with self._mutex:
            unsynced = list(self._access.unsynced)
            self._access.unsynced.clear()
            waiting = list(self._access.to_fold.items())
        for document in unsynced:
            if not self._access.attempt(document, lambda file: file.sync()):
                with self._mutex:
                    self._access.unsynced.add(document)
                self._hurry()
        for document, since in waiting:
            if since.newest < before:
                self._access.attempt(document, lambda file: file.fold(rest=True))
            elif since.oldest < before:
                self._access.attempt(document, self._fold_small)
        self.complete_feed_if_possible()

    def fold_all(self, documents: list[DocumentId]) -> int:
        """Folds documents to rest, several at once; goes on after an error and raises one."""
        folded: list[DocumentId] = []
        errors: list[Exception] = []
        large: list[DocumentId] = []

        def fold(document: DocumentId, *, whatever_size: bool = False) -> None:
            try:
                with self._access.writing(document, internal=True) as file:
                    if not (whatever_size or file.is_small):
                        large.append(document)
                    elif file.fold(rest=True):
                        folded.append(document)
            except (OSError, PlainstateError) as error:
                errors.append(error)

        side_by_side([partial(fold, document) for document in documents])
        for document in large:  # or several would be in memory, and locked, at the same time
            fold(document, whatever_size=True)
        if errors:
            raise errors[0]
        return len(folded)

    def finish(self) -> bool:
        """Leaves everything in order before the handle is closed, also what dead writers left.

        Returns:
            Whether nothing is left to do; if not, a successor tells the feed what this handle
            did, and removes its temporary files.
        """
        try:
            self.fold_all(list(self._access.to_fold))
        finally:
            if self._access.has_written:  # else it is others' commits that cannot be told
                self._feed.flush()
            self.clear_doubts()
        with suppress(OSError):  # others' work, which goes on being there for the next one
            self.bury_dead()
        for temp in list(self._disk.litter):
            self._disk.discard(temp)
        return not self._access.doubtful and not self._disk.litter

    def bury_dead(self) -> None:
        """Does what dead writers left to do, and removes their entries."""
        self._left.clear()  # some of them may have been buried by others meanwhile
        self._tell_for_dead()  # for all of them: what is folded cannot be told one by one
        with closing(writers.dead_writers(self._disk)) as groups:
            for number, dead in enumerate(groups):
                self._tell_for(dead)
                if not number:
                    self._fold_what_is_told()
                writers.sweep(self._disk, dead, dead.keys() - self._left.keys())

    def complete_feed(self) -> None:
        """Tells the feed what interrupted commits and killed writers did not tell (F-4)."""
        self.clear_doubts()
        self._tell_for_dead()

    def complete_feed_if_possible(self) -> None:
        """The same before documents are written or folded, which must not depend on it."""
        with suppress(OSError):  # it is tried again
            self.complete_feed()

    def clear_doubts(self) -> None:
        """Tells the feed what this handle could not tell in time."""
        with self._mutex:
            doubtful = list(self._access.doubtful)
        if doubtful:
            with suppress(OSError):  # then they stay doubtful
                self._feed.flush()
                self._tell_untold(doubtful)

    def notice(self, document: DocumentId, known: str | None) -> bool:
        """Tells the feed the state of a document, unless it is `known`; see `Engine.notice`.

        Returns:
            Whether that is settled; not so, if somebody is writing the document.
        """

        def look(file: FileDocument) -> None:
            told = self._feed.last_version(document) if known is None else known
            file.tell_behind([] if told is None else [_told_line(told)])

        return self._attempt(document, look)

    def _tell_for_dead(self) -> None:
        own = self._access.writer_id
        if self._is_alone(own):
            return
        with closing(writers.dead_writers(self._disk, only_named=True, own=own)) as groups:
            for dead in groups:
                self._tell_for(dead)

    def _is_alone(self, own: str) -> bool:
        """Whether nobody else has an entry among the writers: then nobody can have been killed.

        Cost: one stat(2) where no entry came or went since the last look.
        """
        folder = f"{self._disk.meta}/writers"
        status = self._disk.fs.stat(folder)
        if status is None:
            return True
        stamp, seen = stamp_of(status), time.time_ns()
        if stamp == self._alone:
            return True
        alone = all(name == own for name, _ in self._disk.fs.list_folder(folder))
        # an entry that comes right now may leave the folder the time that it has
        since = status.st_mtime_ns
        tick = _CLOCK_TICK_NS + (0 if since % _SECOND_NS else 2 * _SECOND_NS)
        self._alone = stamp if alone and seen - since > tick else None
        return alone

    def _fold_what_is_told(self) -> None:
        untold = {document for left in self._left.values() for document in left}
        journals = [one for one in layout.journals(self._disk) if one not in untold]
        # what cannot be read is not ours to report: whoever reads or checkpoints it is told
        with suppress(DamagedError, EditConflictError, FormatVersionError, UnsafePathError):
            try:
                self.fold_all(journals)
            except OSError as error:
                if not isinstance(storage_error(error, ""), UnsafePathError):
                    raise

    def _tell_for(self, dead: writers.Dead) -> None:
        """Tells what dead writers left to tell; notes what is still `_left`."""
        for writer_id, fd in dead.items():
            left = self._left.pop(writer_id, None) or writers.documents_of(self._disk, fd)
            if left := self._tell_untold(left):
                self._left[writer_id] = left
            elif self._disk.fs.stat_open(fd).st_nlink <= 1:  # else a file of somebody else
                self._disk.fs.truncate(fd, 0)

    def _tell_untold(self, documents: list[DocumentId]) -> list[DocumentId]:
        """Tells every commit to these documents that the feed lacks; returns those in use now."""
        told: list[Told] = []

        def look(file: FileDocument) -> None:
            if not told:  # only now: it costs something, and somebody may be writing all of them
                told.append(self._feed.told(documents))
            file.tell_behind(
                told[0].lines[file.id],
                unsure=told[0].unsure[file.id],
                complete=told[0].complete,
                secure=True,
            )
            with self._mutex:
                self._access.doubtful.discard(file.id)

        return [one for one in documents if not self._attempt(one, look)]

    def _attempt(self, document: DocumentId, look: Callable[[FileDocument], None]) -> bool:
        def work(file: FileDocument) -> None:
            try:
                look(file)
            except (DamagedError, FormatVersionError, UnsafePathError):
                return  # whoever reads it is told
            except OSError as error:
                if not isinstance(storage_error(error, ""), UnsafePathError):
                    raise

        return self._access.attempt(document, work, fresh=False)

    def _fold_small(self, file: FileDocument) -> None:
        if file.is_small:
            file.fold()
        with self._mutex:
            self._access.to_fold[file.id] = Waiting()


def _told_line(version: str) -> ToldLine:
    """A version that the feed told as the line that told it."""
    if version == ABSENT:
        return sys.maxsize, None  # whatever its number was
    return number_in(version), version
