"""What a handle does beside its commits: folds, periodic syncs, and the work of dead writers."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from plainstate.engines.file import layout, writers
from plainstate.engines.file.access import Access, Waiting
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
        with suppress(OSError):  # it is tried again
            self.complete_feed()

    def fold_all(self, documents: list[DocumentId]) -> int:
        """Folds documents to rest; goes on after an error and raises the first one."""
        folded = 0
        first: Exception | None = None
        for document in documents:
            try:
                with self._access.writing(document, internal=True) as file:
                    folded += file.fold(rest=True)
            except (OSError, PlainstateError) as error:
                first = first or error
        if first is not None:
            raise first
        return folded

    def finish(self) -> bool:
        """Leaves everything in order before the handle is closed, also what dead writers left.

        Returns:
            Whether the feed knows all that this handle did; if not, a successor tells it.
        """
        try:
            self.fold_all(list(self._access.to_fold))
        finally:
            self._feed.flush()
            self.clear_doubts()
        self.bury_dead()
        return not self._access.doubtful

    def bury_dead(self) -> None:
        """Does what dead writers left to do, and removes their entries."""
        with writers.dead_writers(self._disk) as dead:
            if dead:
                complete = self._tell_for(dead)
                with suppress(DamagedError, EditConflictError, FormatVersionError):
                    # not ours to report: whoever reads or checkpoints that document is told
                    self.fold_all(list(layout.journals(self._disk)))
                if complete:
                    writers.sweep(self._disk, dead)

    def complete_feed(self) -> None:
        """Tells the feed what interrupted commits and killed writers did not tell (F-4)."""
        self.clear_doubts()
        with writers.dead_writers(self._disk) as dead:
            self._tell_for(dead)

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

    def _tell_for(self, dead: writers.Dead) -> bool:
        """Tells what dead writers left to tell; returns whether that is all."""
        for writer_id, fd in dead.items():
            left = self._left.pop(writer_id, None) or writers.documents_of(self._disk, fd)
            if left := self._tell_untold(left):
                self._left[writer_id] = left
            else:
                self._disk.fs.truncate(fd, 0)
        return not self._left.keys() & dead.keys()

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
            except (DamagedError, FormatVersionError):
                return  # whoever reads it is told
            except OSError as error:
                if not isinstance(storage_error(error, ""), UnsafePathError):
                    raise

        return self._access.attempt(document, work, fresh=False)

    def _fold_small(self, file: FileDocument) -> None:
        if file.is_small:
            file.fold()
        with self._mutex:
            self._access.to_fold[file.id] = Waiting(time.monotonic(), time.monotonic())


def _told_line(version: str) -> ToldLine:
    """A version that the feed told as the line that told it."""
    if version == ABSENT:
        return sys.maxsize, None  # whatever its number was
    return int(version.partition("-")[0]), version
