"""The documents in use by one handle: each has one lock, one state and one queue.

There must never be two entries of a document: they would share the lock file's
descriptor, and so its locks.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from plainstate.engines.file.document import FileDocument
from plainstate.engines.file.locks import DocumentLock
from plainstate.engines.holding import refuse_if_held
from plainstate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from plainstate.engines.base import Engine
    from plainstate.engines.file.group import Pending
    from plainstate.engines.file.locks import LockFile
    from plainstate.engines.file.state import Services
    from plainstate.types import DocumentId

__all__ = ["Entries", "Entry", "closed_error"]


class Entry:
    """A document in use: its lock, its state, who waits to write it, and how many use it."""

    def __init__(self, services: Services, document: DocumentId, lock_file: LockFile) -> None:
        self.lock = DocumentLock(document, lock_file)
        self.file = FileDocument(services, document)
        self.queue: list[Pending] = []
        self.users = 0


class LastWork(Protocol):
    """What a closed handle does last."""

    def __call__(self, *, at_once: bool) -> None:
        """`at_once`: nobody was using it any more when it was closed."""


class Entries:
    """Makes, keeps and forgets entries.

    Args:
        engine: whose transactions may hold documents.
        services: what documents need.
        keep: how many to keep while nobody uses them.
        mutex: guards this object, every queue, and what the engine notes about documents.
        register: told of each document before it is used.
        pinned: entries to keep although nobody uses them.
        lock_file: what their locks are taken on.
    """

    def __init__(
        self,
        engine: Engine,
        services: Services,
        keep: int,
        mutex: threading.Lock,
        register: Callable[[DocumentId], None],
        pinned: Container[DocumentId],
        lock_file: LockFile,
    ) -> None:
        self._engine = engine
        self._lock_file = lock_file
        self._pinned = pinned
        self._services = services
        self._register = register
        self._keep = keep
        self._mutex = mutex
        self._idle = threading.Condition(mutex)
        self._closed = False
        self._last_work: LastWork | None = None
        self._entries: OrderedDict[DocumentId, Entry] = OrderedDict()

    def borrow(self, document: DocumentId, *, internal: bool = False) -> Entry:
        """The entry of a document; it stays until it is given back.

        Args:
            document: which.
            internal: for the handle's own work, also while it closes.

        Raises:
            UsageError: the handle is closed, or this task holds the document.
        """
        refuse_if_held(self._engine, document)
        with self._mutex:
            if self._closed and not internal:
                raise closed_error()
            entries = self._entries
            entry = entries.get(document)
            if entry is None:
                self._register(document)
                entry = entries[document] = Entry(self._services, document, self._lock_file)
                self._forget_idle()
            entry.users += 1
            entries.move_to_end(document)
            return entry

    def give_back(self, entry: Entry) -> None:
        """The caller is done with it."""
        with self._mutex:
            entry.users -= 1
            if not self._closed or self._are_used():
                return
            self._idle.notify_all()
            last_work, self._last_work = self._last_work, None
        if last_work is not None:
            last_work(at_once=False)

    def doubt(self, document: DocumentId) -> None:
        """A reader found it damaged: whoever writes it next reads all of it before."""
        entry = self._entries.get(document)
        if entry is not None:
            entry.file.doubt()

    def close(self, timeout_s: float) -> None:
        """Refuses new users and waits for those there are."""
        with self._mutex:
            self._closed = True
            self._idle.wait_for(lambda: not self._are_used(), timeout_s)

    def when_unused(self, work: LastWork) -> None:
        """Does the last work of a closed handle: at once, or when its last user is done.

        Who is still inside a transaction keeps its lock and its journal until then.
        """
        with self._mutex:
            unused = not self._are_used()
            if not unused:
                self._last_work = work
        if unused:
            work(at_once=True)

    @property
    def documents(self) -> list[DocumentId]:
        """Those that have an entry."""
        return list(self._entries)

    def forget_all(self) -> None:
        """Closes every journal."""
        for entry in self._entries.values():
            entry.file.close()
        self._entries.clear()

    def _are_used(self) -> bool:
        return any(entry.users for entry in self._entries.values())

    def _forget_idle(self) -> None:
        excess = len(self._entries) - self._keep
        if excess <= 0:
            return
        for document, entry in list(self._entries.items())[:-1]:
            if not entry.users and document not in self._pinned:
                entry.file.close()
                del self._entries[document]
                excess -= 1
                if not excess:
                    return


def closed_error() -> UsageError:
    """The error for using a closed handle."""
    return UsageError("the store is closed", hint="Open it again with open_store.")
