"""What a handle does beside its commits: folds, periodic syncs, and the work of dead writers."""

from __future__ import annotations

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
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from plainstate.engines.file.disk import Disk
    from plainstate.engines.file.document import FileDocument
    from plainstate.engines.file.feed import Feed
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
        with suppress(OSError):  # the next lines take them along
            self._feed.flush()
        self.clear_doubts()

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

    def finish(self) -> None:
        """Leaves everything in order before the handle is closed, also what dead writers left."""
        self.fold_all(list(self._access.to_fold))
        self.clear_doubts()
        self._feed.flush()
        with writers.dead_writers(self._disk) as dead:
            if dead:
                with suppress(DamagedError, EditConflictError, FormatVersionError):
                    # not ours to report: whoever reads or checkpoints that document is told
                    self.fold_all(list(layout.journals(self._disk)))
                if self._tell_for(dead):
                    writers.sweep(self._disk, dead)

    def complete_feed(self) -> None:
        """Tells the feed what interrupted commits and killed writers did not tell (F-4)."""
        self.clear_doubts()
        with writers.dead_writers(self._disk) as dead:
            self._tell_for(dead)

    def clear_doubts(self) -> None:
        """Tells the feed about commits that were interrupted before it was told."""
        with self._mutex:
            doubtful, self._access.doubtful = self._access.doubtful, set()
        for document in doubtful:
            if not self.notice(document, None):
                with self._mutex:
                    self._access.doubtful.add(document)

    def notice(self, document: DocumentId, known: str | None) -> bool:
        """Tells the feed the state of a document, unless it is `known`; see `Engine.notice`.

        Returns:
            Whether that is settled; not so, if somebody is writing the document.
        """

        def look(file: FileDocument) -> None:
            told = self._feed.last_version(document) if known is None else known
            with suppress(DamagedError, FormatVersionError):  # whoever reads it is told
                file.tell_behind(told)

        return self._access.attempt(document, look, fresh=False)

    def _tell_for(self, dead: writers.Dead) -> bool:
        """Tells what dead writers left to tell; returns whether that is all."""
        complete = True
        for fd in dead.values():
            documents = writers.documents_of(self._disk, fd)
            left = [one for one in documents if not self.notice(one, None)]
            if left:
                complete = False
            elif documents:
                self._disk.fs.truncate(fd, 0)
        return complete

    def _fold_small(self, file: FileDocument) -> None:
        if file.is_small:
            file.fold()
        with self._mutex:
            self._access.to_fold[file.id] = Waiting(time.monotonic(), time.monotonic())
