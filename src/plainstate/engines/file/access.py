"""Taking a document into use: its lock, its state brought up to date, and what is left to do.

Every write goes through `writing` or `attempt`; `housekeeping.py` does what they note.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from plainstate.engines.file import layout, writers
from plainstate.engines.file.entries import Entries
from plainstate.engines.file.locks import LockFile
from plainstate.engines.holding import is_held
from plainstate.errors import PlainstateError
from plainstate.types import SYSTEM_CATEGORIES

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from plainstate.engines.base import Engine
    from plainstate.engines.file.document import FileDocument
    from plainstate.engines.file.entries import Entry
    from plainstate.engines.file.state import Services
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
        on_start: called once, before the first write.

    Attributes:
        to_fold: documents with a journal, by this handle's doing.
        unsynced: documents with lines that are due to be synced.
        doubtful: documents with a commit that the change feed may not know: it was interrupted,
            or the feed could not be written.
        started: the store's own files are there.
        has_written: it has done more than to look after what others left.
    """

    def __init__(
        self,
        engine: Engine,
        services: Services,
        writer_id: str,
        lock_timeout_s: float,
        keep: int,
        mutex: threading.Lock,
        on_start: Callable[[], None],
    ) -> None:
        self.to_fold: dict[DocumentId, Waiting] = {}
        self.unsynced: set[DocumentId] = set()
        self.doubtful: set[DocumentId] = set()
        self.started = self.has_written = False
        self._lock_file = LockFile(services.disk.fs, f"{services.disk.meta}/lock")
        self.lock_timeout_s = lock_timeout_s
        self._engine = engine
        self._disk = services.disk
        self.writer_id = writer_id
        self._mutex = mutex
        self._on_start = on_start
        self._registration: writers.Registration | None = None
        self.entries = Entries(
            engine, services, keep, mutex, self._register, self.unsynced, self._lock_file
        )

    def start(self) -> None:
        """Creates the store's own files before the first write of this handle."""
        if self.started:
            return
        with self._mutex:
            if self.started:
                return
            layout.create_folders(self._disk)
            if self._registration is None:
                self._registration = writers.Registration(self._disk, self.writer_id)
            layout.write_format(self._disk)
            self._lock_file.open()
            self.started = True
        self._on_start()

    @contextmanager
    def writing(self, document: DocumentId, *, internal: bool = False) -> Iterator[FileDocument]:
        """Holds a document's lock, with its state brought up to date."""
        self.start()
        entry = self.entries.borrow(document, internal=internal)
        try:
            entry.lock.acquire(self.lock_timeout_s)
            with self.finishing(entry):
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
        if is_held(self._engine, document):
            return False
        try:
            self.start()
            entry = self.entries.borrow(document, internal=True)
            try:
                if not entry.lock.try_acquire():
                    return False
                visiting = not fresh and document not in self.doubtful
                with self.finishing(entry, visiting=visiting):
                    if fresh:
                        entry.file.refresh()
                    work(entry.file)
            finally:
                self.entries.give_back(entry)
        except (OSError, PlainstateError):
            # nothing is lost, the journal holds it; checkpoint and close report what stays
            return False
        return True

    @contextmanager
    def finishing(self, entry: Entry, *, visiting: bool = False) -> Iterator[None]:
        """Calls `finish`, whatever happens."""
        failed = True
        try:
            yield
            failed = False
        finally:
            self.finish(entry, failed=failed, visiting=visiting)

    def finish(self, entry: Entry, *, failed: bool = False, visiting: bool = False) -> None:
        """Notes what there is to do, and lets others write.

        With `visiting`, a journal that somebody else has written is not this handle's to fold.
        """
        file = entry.file
        try:
            if failed:
                file.distrust()
            waiting = self.to_fold.get(file.id)  # changed under this lock only
            if waiting is not None and file.has_journal and not file.untold:
                waiting.newest = time.monotonic()
            else:
                self.has_written = self.has_written or not visiting
                self._note(file, failed=failed or visiting)
        finally:
            entry.lock.release()

    def _note(self, file: FileDocument, *, failed: bool) -> None:
        with self._mutex:
            if file.untold:
                self.doubtful.add(file.id)
            waiting = self.to_fold.get(file.id)
            if file.has_journal and waiting is not None:
                waiting.newest = time.monotonic()
            elif file.has_journal and not failed:
                self.to_fold[file.id] = Waiting()
            elif waiting is not None and not failed:
                del self.to_fold[file.id]

    def let_go(self, *, clean: bool) -> None:
        """Closes everything; `clean`: nothing is left to a successor."""
        self.entries.forget_all()
        self._lock_file.close()
        if self._registration is not None:
            self._registration.leave(clean=clean)

    def _register(self, document: DocumentId) -> None:
        """Notes, before its first commit, that this handle writes a document (F-4, H-7)."""
        if self._registration is not None and document.category not in SYSTEM_CATEGORIES:
            self._registration.note(document, lambda: {*self.entries.documents, *self.doubtful})
