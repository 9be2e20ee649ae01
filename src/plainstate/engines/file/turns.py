"""Whose turn it is to commit: whoever gets a document's lock commits for all that wait for it.

Several documents can be committed together: all their lines are written first, and then made
durable, while the disk is at all of them.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from plainstate.errors import LockTimeoutError, PlainstateError

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from plainstate.engines.base import RunAll
    from plainstate.engines.file.access import Access
    from plainstate.engines.file.document import FileDocument
    from plainstate.engines.file.entries import Entry
    from plainstate.engines.file.feed import Feed
    from plainstate.engines.file.group import Pending, Staged

__all__ = ["Turns", "Waiting"]


class Waiting(NamedTuple):
    """Changes that one thread wants to have committed to a document that it has borrowed."""

    entry: Entry
    changes: list[Pending]


class _Written:
    """Lines of one document that are written, and what came of them."""

    def __init__(self, waiting: Waiting, group: Sequence[Pending], staged: Staged) -> None:
        self.waiting = waiting
        self.group = group
        self.staged = staged
        self.told = False
        self.error: Exception | None = AssertionError("nobody made it durable")

    def confirm(self) -> None:
        try:
            self.waiting.entry.file.confirm(self.staged)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told to its callers
            self.error = error
        else:
            self.error = None


class Turns:
    """Commits changes to documents.

    Args:
        access: the documents.
        feed: the change feed.
        mutex: guards every queue.
    """

    def __init__(self, access: Access, feed: Feed, mutex: threading.Lock) -> None:
        self._access = access
        self._feed = feed
        self._mutex = mutex

    def commit(self, entry: Entry, pending: Pending, *, wait: bool = True) -> None:
        """Commits `pending`, together with all that wait for the same document.

        Without `wait` nothing is done while somebody else is writing it.
        """
        if not (entry.lock.try_acquire() or (wait and self._wait_for_turn(entry, pending))):
            return
        failed = True
        try:
            if not pending.settled:  # else somebody committed it while it waited
                entry.file.refresh()
                if entry.queue:  # whoever comes to it from now on waits for the lock first
                    self._commit_queue(entry, pending)
                else:
                    entry.file.commit([pending])
                if entry.file.wants_fold:
                    self._fold(entry.file)
            failed = False
        finally:
            if failed:  # before the next one gets the lock
                self._withdraw(entry, pending)
            self._access.finish(entry, failed=failed)

    def commit_together(self, waiting: Sequence[Waiting], run_all: RunAll) -> None:
        """Commits changes to different documents; each change learns its own outcome.

        Where somebody else is writing the document they learn none: nobody waits for a lock
        while holding another one, or keeps those waiting whose document is free.
        """
        with ExitStack() as begun:  # what was begun is ended, whatever happens
            written: list[_Written] = []
            for one in waiting:
                if not self._try_lock(one.entry):
                    continue
                begin = self._begin(one)
                if begin is not None:
                    written.append(begin)
                    begun.callback(self._end, begin)
            run_all([each.confirm for each in written])
            durable = [each.staged for each in written if each.error is None]
            told = self._feed.tell([line for staged in durable for line in staged.told])
            for each in written:
                each.told = told

    def _try_lock(self, entry: Entry) -> bool:
        try:
            return entry.lock.try_acquire()
        except OSError:
            return False  # whoever then waits for it is told

    def _begin(self, one: Waiting) -> _Written | None:
        """Writes the lines of all that wait for a document, whose lock is held."""
        entry = one.entry
        group: Sequence[Pending] = ()
        try:
            entry.file.refresh()
            with self._mutex:
                group, entry.queue = [*entry.queue, *one.changes], []
            return _Written(one, group, entry.file.begin_commit(group))
        except BaseException as error:
            self._give_up(one, group, error)
            if not isinstance(error, Exception):
                raise
            return None

    def _end(self, written: _Written) -> None:
        """Tells who waits, and gives the lock back."""
        one = written.waiting
        file = one.entry.file
        try:
            if written.error is not None:
                raise written.error
            file.settle_commit(written.staged, told=written.told)
            if file.wants_fold:
                self._fold(file)
        except BaseException as error:
            self._give_up(one, written.group, error)
            if not isinstance(error, Exception):
                raise
        else:
            self._access.finish(one.entry)

    def _give_up(
        self,
        one: Waiting,
        group: Sequence[Pending],
        error: BaseException,
    ) -> None:
        """After a failure: its own changes have failed, the others go on by themselves."""
        try:
            with self._mutex:
                queue = [*group, *one.entry.queue]
                others = [p for p in queue if p not in one.changes and not p.settled]
                one.entry.queue = others
            for pending in one.changes:
                if not pending.settled and isinstance(error, Exception):
                    pending.fail(error)
        finally:
            self._access.finish(one.entry, failed=True)

    def _wait_for_turn(self, entry: Entry, pending: Pending) -> bool:
        """Queues a change and waits for the lock; `False`: somebody else has committed it."""
        try:
            with self._mutex:
                entry.queue.append(pending)
            while not pending.settled:
                try:
                    entry.lock.acquire(self._access.lock_timeout_s)
                except LockTimeoutError:
                    if self._withdraw(entry, pending):
                        raise
                    # somebody is committing it at this moment: that is soon known
                else:
                    return True
        except BaseException:
            self._withdraw(entry, pending)
            raise
        return False

    def _withdraw(self, entry: Entry, pending: Pending) -> bool:
        """Nobody may commit what its caller is told is refused; `False`: somebody has begun to."""
        with self._mutex:
            if pending not in entry.queue:
                return False
            entry.queue.remove(pending)
            return True

    def _commit_queue(self, entry: Entry, own: Pending) -> None:
        with self._mutex:
            group, entry.queue = entry.queue, []
        if own not in group:
            group.append(own)
        try:
            entry.file.commit(group)
        except BaseException:
            with self._mutex:  # the others go on by themselves
                entry.queue += [one for one in group if one is not own and not one.settled]
            raise

    def _fold(self, file: FileDocument) -> None:
        file.postpone_fold()  # should it fail: it closes the journal then
        try:
            file.fold()
        except (OSError, PlainstateError, MemoryError):
            # the commit stands; the fold is tried again later, and reported by checkpoint and close
            file.distrust()
