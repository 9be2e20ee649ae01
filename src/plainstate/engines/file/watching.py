"""Learning what happens to the store's files while it is open: other writers, and edits by hand.

Notices are hints.  That a file changed behind the store's back is decided by looking at it,
and where the system tells nothing, the index finds out by looking at every file.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from plainstate.engines.file import layout
from plainstate.engines.file.disk import META
from plainstate.errors import PlainstateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate.engines.file.disk import Disk
    from plainstate.fs.base import Notices, Notifier
    from plainstate.types import DocumentId

__all__ = ["Watching"]

_POLL_S: Final = 0.02
"""Pause between two looks where there is no notification."""

_LARGE_FOLDER_BYTES: Final = 16 * 1024
"""Beyond this, some 400 files, an index does without for a moment: watching costs 20 ms, most of
them when the handle is closed, and 30 more with 100,000 files."""

_SETTLED_S: Final = 0.2
"""A handle that is used so long is likely to be used on."""


class Watching:
    """Watches the folders of one store, from its first use on.  Any thread may call it.

    Args:
        disk: the store.
        feed_folder: where the change feed lies.
        notice: looks at a document whose plain file may have been changed by hand; tells whether
            the feed tells of that then.
    """

    def __init__(self, disk: Disk, feed_folder: str, notice: Callable[[DocumentId], bool]) -> None:
        self._disk = disk
        self._feed_folder = feed_folder
        self._notice = notice
        self._opened_s = time.monotonic()
        self._beginning = threading.Lock()
        self._reading = threading.Lock()
        self._turn = threading.Condition()
        self._someone_waits = False
        self._notifier: Notifier | None = None
        self._begun = self._skipped = self._feed_watched = False

    def look(self, *, hurried: bool = True) -> bool:
        """Looks at what was changed by hand since the last look.

        Args:
            hurried: begin to watch now, even where that takes a while and the handle may be gone
                in a moment.

        Returns:
            Whether all such changes are known; if not, only a look at every file tells.
        """
        if not self._begun:
            if self._beginning.acquire(blocking=False):
                try:
                    self._begin(hurried=hurried)
                finally:
                    self._beginning.release()
            return not self._has_missed(hurried=hurried)
        with self._reading:
            missed = self._has_missed(hurried=hurried)
            if self._notifier is None:
                return not missed
            notices = self._notifier.read()
            complete = not (notices.lost or missed)
            for folder in notices.folders:
                complete = self._enter(folder) and complete
            for document in self._documents(notices):
                complete = self._look_at(document) and complete
            return complete

    def wait(self, timeout_s: float) -> None:
        """Waits until something may have happened, or the time is over."""
        notifier = self._notifier
        if notifier is None or not self._watch_feed(notifier):
            time.sleep(min(timeout_s, _POLL_S))
            return
        with self._turn:
            if self._someone_waits:  # one thread waits for all
                self._turn.wait(timeout_s)
                return
            self._someone_waits = True
        try:
            notifier.wait(timeout_s)
        finally:
            with self._turn:
                self._someone_waits = False
                self._turn.notify_all()

    def close(self) -> None:
        """Ends every wait."""
        with self._reading:
            self._begun = True
            notifier, self._notifier = self._notifier, None
        if notifier is not None:
            notifier.close()
        with self._turn:
            self._turn.notify_all()

    def _has_missed(self, *, hurried: bool) -> bool:
        """Whether who did without watching at first may have missed something; told once."""
        if hurried or not (self._begun and self._skipped):
            return False
        self._skipped = False
        return True

    def _begin(self, *, hurried: bool) -> None:
        if self._begun or self._disk.fs.stat(self._disk.meta) is None:
            return  # nobody has written here yet
        base = self._disk.base
        folders = [base, *(f"{base}/{category}" for category in layout.categories(self._disk))]
        is_young = time.monotonic() - self._opened_s < _SETTLED_S
        if is_young and not hurried and any(map(self._is_large, folders)):
            self._skipped = True
            return
        notifier = self._disk.fs.notifier()
        if notifier is not None:
            for folder in folders:
                notifier.watch(folder)
        with self._reading:
            closed, self._begun = self._begun, True
            if not closed:
                self._notifier = notifier
                return
        if notifier is not None:
            notifier.close()

    def _is_large(self, folder: str) -> bool:
        status = self._disk.fs.stat(folder)
        return status is not None and status.st_size > _LARGE_FOLDER_BYTES

    def _watch_feed(self, notifier: Notifier) -> bool:
        if not self._feed_watched:
            self._feed_watched = notifier.watch(self._feed_folder, modifications=True)
        return self._feed_watched

    def _enter(self, folder: str) -> bool:
        """Watches a folder that came, and looks at what is in it already."""
        category = self._disk.shown(folder)
        if folder == self._feed_folder:
            self._feed_watched = False
        if self._notifier is None or category == META or category.startswith(f"{META}/"):
            return True
        found = [category, *layout.categories(self._disk, under=category)]
        complete = True
        for one in found:
            if layout.is_category(one) and self._disk.check_folder(one):
                complete = self._notifier.watch(f"{self._disk.base}/{one}") and complete
                for document, _ in layout.documents(self._disk, one):
                    complete = self._look_at(document) and complete
        return complete

    def _look_at(self, document: DocumentId) -> bool:
        try:
            return self._notice(document)
        except (OSError, PlainstateError):
            return False  # the others' notices are not lost with it

    def _documents(self, notices: Notices) -> list[DocumentId]:
        """The documents whose plain files are among the notices."""
        found: dict[DocumentId, None] = {}
        for folder, name in notices.files:
            category = self._disk.shown(folder)
            document = layout.document_of(category, name) if folder != self._disk.base else None
            if document is not None:
                found[document] = None
        return list(found)
