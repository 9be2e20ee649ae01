"""Taking a document into use: its lock, its state brought up to date, and what is left to do.

Every write goes through `writing` or `attempt`; `housekeeping.py` does what they note.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from plainstate.engines.file import layout, writers
from plainstate.engines.file.entries import Entries
from plainstate.engines.file.locks import LockFile
from plainstate.engines.file.steps import finish_together
from plainstate.engines.holding import is_held, refuse_if_held
from plainstate.errors import PlainstateError
from plainstate.types import is_public

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from plainstate.engines.base import Engine
    from plainstate.engines.file.document import FileDocument
    from plainstate.engines.file.entries import Entry
    from plainstate.engines.file.state import Services
    from plainstate.engines.file.steps import Steps
    from plainstate.types import DocumentId

__all__ = ["Access", "Waiting"]


class Waiting:
    """When the oldest and the newest transaction of a journal were written, monotonic seconds."""

    __slots__ = ("newest", "oldest")

    def __init__(self) -> None:
        self.oldest = self.newest = time.monotonic()


class Access:
    """The documents of one handle, locked one at a time.

    Args:
        engine: whose transactions may hold documents.
        services: what documents need.
        writer_id: names this handle among the writers.
        lock_timeout_s: how long to wait for other writers of a document.
        keep: journals kept open.
        mutex: guards the notes and every queue.
        started: called once, before the first write.

    Attributes:
        to_fold: documents with a journal, by this handle's doing.
        unsynced: documents with lines that are due to be synced.
        doubtful: documents with a commit that the change feed may not know: it was interrupted,
            or the feed could not be written.
        lock_file: `None` until the first write.
    """

    def __init__(
        self,
        engine: Engine,
        services: Services,
        writer_id: str,
        lock_timeout_s: float,
        keep: int,
        mutex: threading.Lock,
        started: Callable[[], None],
    ) -> None:
        self.to_fold: dict[DocumentId, Waiting] = {}
        self.unsynced: set[DocumentId] = set()
        self.doubtful: set[DocumentId] = set()
        self.lock_file: LockFile | None = None
        self.lock_timeout_s = lock_timeout_s
        self._engine = engine
        self._disk = services.disk
        self.writer_id = writer_id
        self._mutex = mutex
        self._started = started
        self._registration: writers.Registration | None = None
        self.entries = Entries(services, keep, mutex, self._register)

    def start(self) -> LockFile:
        """Creates the store's own files before the first write of this handle."""
        if self.lock_file is not None:
            return self.lock_file
        with self._mutex:
            if self.lock_file is not None:
                return self.lock_file
            layout.create_folders(self._disk)
            if self._registration is None:
                self._registration = writers.Registration(self._disk, self.writer_id)
            layout.write_format(self._disk)
            lock_file = self.lock_file = LockFile(self._disk.fs, f"{self._disk.meta}/lock")
        self._started()
        return lock_file

    def borrow(self, document: DocumentId, *, internal: bool = False) -> Entry:
        """The document's entry, to be given back; `internal`: for the handle's own work."""
        refuse_if_held(self._engine, document)
        return self.entries.borrow(document, pinned=self.unsynced, internal=internal)

    @contextmanager
    def writing(self, document: DocumentId, *, internal: bool = False) -> Iterator[FileDocument]:
        """Holds a document's lock, with its state brought up to date."""
        lock_file = self.start()
        entry = self.borrow(document, internal=internal)
        try:
            entry.lock.acquire(lock_file, self.lock_timeout_s)
            with self.finishing(entry, lock_file):
                entry.file.refresh()
                yield entry.file
        finally:
            self.entries.give_back(entry)

    def attempt(
        self, document: DocumentId, work: Callable[[FileDocument], object], *, fresh: bool = True
    ) -> bool:
        """Does some work on a document, unless somebody is writing it just now.

        With `fresh`, its state is brought up to date before.
        """
        try:
            with self._trying(document) as file:
                if file is None:
                    return False
                if fresh:
                    file.refresh()
                work(file)
        except (OSError, PlainstateError):
            # nothing is lost, the journal holds it; checkpoint and close report what stays
            return False
        return True

    def attempt_together(
        self, documents: Sequence[DocumentId], work: Callable[[FileDocument], Steps]
    ) -> None:
        """Does the same to several documents side by side, where nobody is writing them just now.

        Whatever it is, `work` notes what it has done: errors are not told.
        """
        with ExitStack() as held:
            works = []
            for document in documents:  # no wait for a lock while others are held
                with suppress(OSError, PlainstateError):
                    file = held.enter_context(self._trying(document))
                    if file is not None:
                        works.append(_refreshed(file, work))
            finish_together(self._disk.fs, works)

    @contextmanager
    def _trying(self, document: DocumentId) -> Iterator[FileDocument | None]:
        """Holds a document's lock; `None` where somebody is writing it just now."""
        if is_held(self._engine, document):
            yield None
            return
        lock_file = self.start()
        entry = self.borrow(document, internal=True)
        try:
            if not entry.lock.try_acquire(lock_file):
                yield None
                return
            with self.finishing(entry, lock_file):
                yield entry.file
        finally:
            self.entries.give_back(entry)

    @contextmanager
    def finishing(self, entry: Entry, lock_file: LockFile) -> Iterator[None]:
        """Calls `finish`, whatever happens."""
        failed = True
        try:
            yield
            failed = False
        finally:
            self.finish(entry, lock_file, failed=failed)

    def finish(self, entry: Entry, lock_file: LockFile, *, failed: bool = False) -> None:
        """Notes what there is to do, and lets others write."""
        document = entry.file.id
        try:
            if failed:
                entry.file.distrust()
            with self._mutex:
                if entry.file.untold:
                    self.doubtful.add(document)
                waiting = self.to_fold.get(document)
                if entry.file.has_journal and waiting is not None:
                    waiting.newest = time.monotonic()
                elif entry.file.has_journal and not failed:
                    self.to_fold[document] = Waiting()
                elif waiting is not None and not failed:
                    del self.to_fold[document]
        finally:
            entry.lock.release(lock_file)

    def let_go(self, *, clean: bool) -> None:
        """Closes everything; `clean`: nothing is left to a successor."""
        self.entries.forget_all()
        if self.lock_file is not None:
            self.lock_file.close()
        if self._registration is not None:
            self._registration.leave(clean=clean)

    def _register(self, document: DocumentId) -> None:
        """Notes, before its first commit, that this handle writes a document (F-4)."""
        if self._registration is not None and is_public(document):
            self._registration.note(document, {*self.entries.documents, *self.doubtful})


def _refreshed(file: FileDocument, work: Callable[[FileDocument], Steps]) -> Steps:
    """Work on a document whose state is brought up to date first, and distrusted if it fails."""
    try:
        file.refresh()
        yield from work(file)
    except BaseException:
        file.distrust()
        raise
