"""The file engine: finds, locks, groups and folds documents."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from plainstate.core import times
from plainstate.core.ids import IdMaker
from plainstate.core.record import TransactionRecord
from plainstate.engines.base import Capabilities
from plainstate.engines.file import layout, writers
from plainstate.engines.file.background import Background
from plainstate.engines.file.disk import Disk
from plainstate.engines.file.entries import Entries, closed_error
from plainstate.engines.file.group import Pending
from plainstate.engines.file.locked import LockedFile
from plainstate.engines.file.locks import LockFile
from plainstate.engines.file.reader import read_document
from plainstate.engines.file.state import Services
from plainstate.engines.holding import refuse_if_held
from plainstate.errors import (
    AlreadyExistsError,
    DamagedError,
    EditConflictError,
    FormatVersionError,
    LockTimeoutError,
    NotFoundError,
    PlainstateError,
    UsageError,
    storage_error,
)
from plainstate.fs.posix import PosixFileSystem
from plainstate.limits import (
    LOCK_TIMEOUT_S,
    MAX_OPEN_DOCUMENTS,
    MAX_WRITE_BYTES,
    QUIET_FOLD_S,
    SYNC_INTERVAL_S,
)
from plainstate.types import State, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from plainstate.engines.base import LockedDocument
    from plainstate.engines.file.document import FileDocument
    from plainstate.engines.file.entries import Entry
    from plainstate.fs.base import FileSystem
    from plainstate.types import Commit, DocumentId, Durability, Json, PatchMaker

__all__ = ["FileEngine"]


class _Errors:
    """In `with`: gives every system error its place in the error tree."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError) and not isinstance(error, PlainstateError):
            path = error.filename if isinstance(error.filename, str) else self._disk.base
            raise storage_error(error, self._disk.shown(path)) from error


class _Waiting(NamedTuple):
    """When the oldest and the newest transaction of a journal were written, monotonic seconds."""

    oldest: float
    newest: float


class FileEngine:
    """Documents as plain files under one folder, for any number of processes.

    Args:
        base: absolute path of the store; created with the first write.
        durability: when a write is acknowledged, see `docs/durability.md`.
        sync_interval_s: what a power cut may lose with "periodic".
        lock_timeout_s: how long to wait for other writers of a document.
        quiet_fold_s: fold a document that was not written for so long.
        max_write_bytes: limit of one write.
        max_open_documents: journals kept open.
        fs: the file system seam, for tests.
        clock_ns: nanoseconds since the epoch, for tests.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(durable=True, shared=True)

    def __init__(  # noqa: PLR0913 - each is an option of the store
        self,
        base: str,
        *,
        durability: Durability = "commit",
        sync_interval_s: float = SYNC_INTERVAL_S,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        quiet_fold_s: float = QUIET_FOLD_S,
        max_write_bytes: int = MAX_WRITE_BYTES,
        max_open_documents: int = MAX_OPEN_DOCUMENTS,
        fs: FileSystem | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._clock_ns = clock_ns
        self._make_id = IdMaker(clock_ns, os.urandom)
        self._writer_id = self._make_id()
        self._disk = Disk(fs or PosixFileSystem(), base, self._writer_id)
        self._translate = _Errors(self._disk)
        self._services = Services(self._disk, self._now, self._make_id, max_write_bytes)
        self.max_write_bytes = max_write_bytes
        self._durability = durability
        self._lock_timeout_s = lock_timeout_s
        self._quiet_fold_s = quiet_fold_s
        self._sync_interval_s = sync_interval_s
        self._mutex = threading.Lock()
        self._entries = Entries(self._services, max_open_documents, self._mutex)
        self._to_fold: dict[DocumentId, _Waiting] = {}
        self._unsynced: set[DocumentId] = set()
        self._lock_file: LockFile | None = None
        self._registration: writers.Registration | None = None
        self._background: Background | None = None
        self._closed = False
        self._process = os.getpid()
        with self._errors():
            layout.check_format(self._disk)

    # --- reading ---

    def read(self, document: DocumentId, *, salvage: bool = False) -> State | None:
        self._check_open()
        with self._errors():
            reading = read_document(self._disk, document, salvage=salvage)
            value = reading.value(self._disk, document)
        basis = reading.basis
        return None if basis.version is None else State(value, basis.seq, basis.version)

    def since(self, document: DocumentId, seq: int) -> list[Transaction]:
        self._check_open()
        with self._errors():
            reading = read_document(self._disk, document)
        kept = [line for line in reading.records if isinstance(line, TransactionRecord)]
        later = [line for line in kept if line.seq > seq]
        expected = range(seq + 1, reading.basis.seq + 1)
        if [line.seq for line in later] != list(expected):
            raise NotFoundError(
                f"{document}: transactions after {seq} are folded and not kept one by one",
                hint="Read the whole document instead.",
                document=str(document),
            )
        return [Transaction(line.seq, line.tx, line.time, line.patch) for line in later]

    def documents(self, category: str | None = None) -> Iterator[tuple[DocumentId, str]]:
        self._check_open()
        with self._errors():
            for one in layout.categories(self._disk) if category is None else [category]:
                yield from layout.documents(self._disk, one)

    # --- writing ---

    def append(
        self,
        document: DocumentId,
        change: PatchMaker,
        *,
        tx_id: str | None = None,
        expected: str | None = None,
        durability: Durability | None = None,
    ) -> Commit:
        self._check_open()
        durability = durability or self._durability
        pending = Pending(change, tx_id, expected, sync=durability == "commit")
        with self._errors():
            entry = self._borrow(document)
            try:
                self._commit_in_turn(entry, pending)
                if durability == "periodic":  # before anybody may forget the entry
                    with self._mutex:
                        self._unsynced.add(document)
            finally:
                self._entries.give_back(entry)
            commit = pending.outcome()
        if durability == "periodic" and self._background is not None:
            self._background.hurry()
        return commit

    def replace(
        self,
        document: DocumentId,
        value: Json,
        *,
        tx_id: str | None = None,
        expected: str | None = None,
    ) -> Commit:
        self._check_open()
        with self._errors(), self._writing(document) as file:
            return file.replace(value, tx_id=tx_id, expected=expected)

    def delete(
        self, document: DocumentId, *, tx_id: str | None = None, expected: str | None = None
    ) -> Commit | None:
        self._check_open()
        with self._errors(), self._writing(document) as file:
            return file.delete(tx_id=tx_id, expected=expected)

    def rename(self, document: DocumentId, target: DocumentId) -> Commit:
        self._check_open()
        if document == target:
            raise AlreadyExistsError(
                f"{target} is its own name", hint="Choose another name.", document=str(target)
            )
        first, second = sorted((document, target))  # one order for all: no deadlock
        with self._errors(), self._writing(first) as one, self._writing(second) as other:
            source, goal = (one, other) if first == document else (other, one)
            if source.position.version is None:
                raise NotFoundError(
                    f"no document {document}", hint="See list_category.", document=str(document)
                )
            return source.rename_to(goal)

    def lock(self, document: DocumentId) -> LockedDocument:
        self._check_open()
        with self._errors():
            lock_file = self._start_writing()
            entry = self._borrow(document)
            try:
                entry.lock.acquire(lock_file, self._lock_timeout_s)
                try:
                    entry.file.catch_up()
                except BaseException:
                    self._finish(entry, lock_file, failed=True)
                    raise
            except BaseException:
                self._entries.give_back(entry)
                raise

        def release() -> None:
            self._finish(entry, lock_file)
            self._entries.give_back(entry)

        return LockedFile(entry.file, self._errors, release)

    def _commit_in_turn(self, entry: Entry, pending: Pending) -> None:
        """Commits `pending`, together with all that wait for the same document.

        Whoever gets the lock commits for everybody: the others find their outcome.
        """
        lock_file = self._start_writing()
        try:
            with self._mutex:
                entry.queue.append(pending)
            self._wait_for_turn(entry, pending, lock_file)
            failed = True
            try:
                if not pending.settled:
                    entry.file.refresh()
                    self._commit_queue(entry, pending)
                    if entry.file.wants_fold:
                        self._fold_or_postpone(entry)
                failed = False
            finally:
                self._finish(entry, lock_file, failed=failed)
        except BaseException:
            with self._mutex:  # nobody may commit what its caller was told is refused
                if pending in entry.queue:
                    entry.queue.remove(pending)
            raise

    def _wait_for_turn(self, entry: Entry, pending: Pending, lock_file: LockFile) -> None:
        try:
            entry.lock.acquire(lock_file, self._lock_timeout_s)
        except LockTimeoutError:
            with self._mutex:
                waiting = pending in entry.queue
            if waiting:
                raise
            # somebody is committing it at this moment: that is soon known
            entry.lock.acquire(lock_file, self._lock_timeout_s)

    def _commit_queue(self, entry: Entry, own: Pending) -> None:
        with self._mutex:
            group, entry.queue = entry.queue, []
        try:
            entry.file.commit(group)
        except BaseException:
            with self._mutex:  # the others go on by themselves
                entry.queue += [one for one in group if one is not own and not one.settled]
            raise

    def _fold_or_postpone(self, entry: Entry) -> None:
        try:
            entry.file.fold()
        except (OSError, PlainstateError):
            # the commit stands; the fold is tried again later, and reported by checkpoint and close
            entry.file.postpone_fold()
            entry.file.distrust()

    @contextmanager
    def _writing(self, document: DocumentId, *, internal: bool = False) -> Iterator[FileDocument]:
        """Holds a document's lock, with its state brought up to date."""
        lock_file = self._start_writing()
        entry = self._borrow(document, internal=internal)
        try:
            entry.lock.acquire(lock_file, self._lock_timeout_s)
            with self._finishing(entry, lock_file):
                entry.file.refresh()
                yield entry.file
        finally:
            self._entries.give_back(entry)

    @contextmanager
    def _finishing(self, entry: Entry, lock_file: LockFile) -> Iterator[None]:
        """Calls `_finish`, whatever happens."""
        failed = True
        try:
            yield
            failed = False
        finally:
            self._finish(entry, lock_file, failed=failed)

    def _finish(self, entry: Entry, lock_file: LockFile, *, failed: bool = False) -> None:
        """Notes what there is to fold, and lets others write."""
        document = entry.file.id
        try:
            if failed:
                entry.file.distrust()
            with self._mutex:
                if entry.file.has_journal and (not failed or document in self._to_fold):
                    now = time.monotonic()
                    oldest = self._to_fold[document].oldest if document in self._to_fold else now
                    self._to_fold[document] = _Waiting(oldest, now)
                elif not failed:
                    self._to_fold.pop(document, None)
        finally:
            entry.lock.release(lock_file)

    def _borrow(self, document: DocumentId, *, internal: bool = False) -> Entry:
        refuse_if_held(self, document)
        return self._entries.borrow(document, pinned=self._unsynced, internal=internal)

    def _start_writing(self) -> LockFile:
        """Creates the store's own files before the first write of this handle."""
        if self._lock_file is not None:
            return self._lock_file
        with self._mutex:
            if self._lock_file is None:
                layout.create_folders(self._disk)
                if self._registration is None:
                    self._registration = writers.Registration(self._disk, self._writer_id)
                layout.write_format(self._disk)
                self._lock_file = LockFile(self._disk.fs, f"{self._disk.meta}/lock")
                self._background = Background(
                    self._housekeep, idle_s=self._quiet_fold_s / 4, busy_s=self._sync_interval_s
                )
            return self._lock_file

    # --- housekeeping ---

    def checkpoint(self) -> int:
        self._check_open()
        with self._errors():
            if self._disk.fs.stat(self._disk.base) is None:
                return 0
            self._start_writing()
            journals = list(layout.journals(self._disk))
            return self._fold_all(journals)

    def close(self) -> None:
        if self._closed or self._process != os.getpid():
            return
        refuse_if_held(self)
        self._closed = True
        self._entries.close(self._lock_timeout_s)
        if self._background is not None:
            self._background.stop()
        clean = False
        try:
            with self._errors():
                if self._lock_file is not None:
                    self._fold_all(list(self._to_fold))
                    self._inherit()
                clean = True
        finally:
            self._entries.when_unused(lambda *, at_once: self._let_go(clean=clean and at_once))

    def _let_go(self, *, clean: bool) -> None:
        self._entries.forget_all()
        with self._errors():
            if self._lock_file is not None:
                self._lock_file.close()
            if self._registration is not None:
                self._registration.leave(clean=clean)

    def _inherit(self) -> None:
        """Folds and sweeps what crashed writers left."""
        dead = writers.dead_writers(self._disk)
        try:
            if dead:
                with suppress(DamagedError, EditConflictError, FormatVersionError):
                    # not ours to report: whoever reads or checkpoints that document is told
                    self._fold_all(list(layout.journals(self._disk)))
                writers.sweep(self._disk, dead)
        finally:
            for fd in dead.values():
                self._disk.fs.close(fd)

    def _fold_all(self, documents: list[DocumentId]) -> int:
        """Folds documents to rest; goes on after an error and raises the first one."""
        folded = 0
        first: Exception | None = None
        for document in documents:
            try:
                folded += self._fold_to_rest(document)
            except (OSError, PlainstateError) as error:
                first = first or error
        if first is not None:
            raise first
        return folded

    def _fold_to_rest(self, document: DocumentId) -> bool:
        with self._writing(document, internal=True) as file:
            return file.fold(rest=True)

    def _housekeep(self) -> None:
        """Syncs what is due and folds what is quiet or old; runs in the background."""
        before = time.monotonic() - self._quiet_fold_s
        with self._mutex:
            unsynced, self._unsynced = self._unsynced, set()
            waiting = list(self._to_fold.items())
        for document in unsynced:
            if not self._try(document, lambda file: file.sync()):
                with self._mutex:
                    self._unsynced.add(document)
                if self._background is not None:
                    self._background.hurry()
        for document, since in waiting:
            if since.newest < before:
                self._try(document, lambda file: file.fold(rest=True))
            elif since.oldest < before:
                self._try(document, self._fold_small)

    def _fold_small(self, file: FileDocument) -> None:
        if file.is_small:
            file.fold()
        with self._mutex:
            self._to_fold[file.id] = _Waiting(time.monotonic(), time.monotonic())

    def _try(self, document: DocumentId, work: Callable[[FileDocument], object]) -> bool:
        """Does some work on a document, unless somebody is writing it just now."""
        lock_file = self._start_writing()
        entry = self._borrow(document, internal=True)
        try:
            if not entry.lock.try_acquire(lock_file):
                return False
            with self._finishing(entry, lock_file):
                entry.file.refresh()
                work(entry.file)
        except (OSError, PlainstateError):
            # nothing is lost, the journal holds it; checkpoint and close report what stays
            return False
        finally:
            self._entries.give_back(entry)
        return True

    # --- small things ---

    def _now(self) -> str:
        return times.format(self._clock_ns() // 1000 * 1000)

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error()
        if self._process != os.getpid():
            raise UsageError(
                "the store was opened before fork()", hint="Open it anew in the child process."
            )

    def _errors(self) -> _Errors:
        return self._translate
