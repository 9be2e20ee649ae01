"""The file engine: finds, locks, groups and folds documents."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from msgspec import structs

from plainstate.core import times
from plainstate.core.ids import IdMaker, numbered_ids
from plainstate.engines.base import Capabilities
from plainstate.engines.file import layout
from plainstate.engines.file.access import Access
from plainstate.engines.file.background import Background
from plainstate.engines.file.disk import Disk, Errors
from plainstate.engines.file.entries import closed_error
from plainstate.engines.file.feed import Feed
from plainstate.engines.file.group import Pending
from plainstate.engines.file.history import read_at, read_since
from plainstate.engines.file.housekeeping import Housekeeping
from plainstate.engines.file.locked import LockedFile
from plainstate.engines.file.position import check_expected
from plainstate.engines.file.reader import has_trace, read_document, seems_edited
from plainstate.engines.file.reading_on import end_of, read_on
from plainstate.engines.file.state import Services
from plainstate.engines.file.turns import Turns, Waiting
from plainstate.engines.file.watching import Watching
from plainstate.engines.holding import refuse_if_held
from plainstate.errors import (
    AlreadyExistsError,
    DamagedError,
    FormatVersionError,
    NotFoundError,
    UsageError,
)
from plainstate.fs.posix import PosixFileSystem
from plainstate.limits import (
    HISTORY_BYTES,
    LOCK_TIMEOUT_S,
    MAX_OPEN_DOCUMENTS,
    MAX_WRITE_BYTES,
    QUIET_FOLD_S,
    SYNC_INTERVAL_S,
)
from plainstate.types import ABSENT, LATEST, News, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from plainstate.engines.base import Append, LockedDocument, RunAll
    from plainstate.engines.file.reading_on import End
    from plainstate.fs.base import FileSystem
    from plainstate.types import (
        ChangePage,
        Commit,
        DocumentId,
        Durability,
        Files,
        Finding,
        Json,
        Looked,
        PatchMaker,
        Transaction,
    )

__all__ = ["FileEngine"]

_LONGEST_WAIT_S: Final = 0.25
"""So soon a follower sees what a writer left that was killed."""


class _Place:
    """See `types.Place`."""

    def __init__(self, engine: FileEngine, document: DocumentId, end: End) -> None:
        self._engine = engine
        self._document = document
        self._end = end

    @property
    def size_bytes(self) -> int:
        return self._end.size_bytes

    def news(self) -> News | None:
        return self._engine.read_on(self._document, self._end)


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
        history: whether to keep what a fold would throw away.
        history_bytes: how much of it, for each document.
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
        history: Literal["none", "keep"] = "none",
        history_bytes: int = HISTORY_BYTES,
        fs: FileSystem | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._clock_ns = clock_ns
        self._make_id = IdMaker(clock_ns, os.urandom)
        writer_id = self._make_id()
        self._disk = Disk(fs or PosixFileSystem(base), base, writer_id)
        self._errors = Errors(self._disk)
        self._feed = Feed(self._disk)
        self.max_write_bytes = max_write_bytes
        kept = history_bytes if history == "keep" else 0
        services = Services(
            self._disk,
            self._now,
            self._make_id,
            numbered_ids(os.urandom),
            max_write_bytes,
            self._feed,
            kept,
        )
        self._durability = durability
        self._mutex = threading.Lock()
        self._access = Access(
            self,
            services,
            writer_id,
            lock_timeout_s,
            max_open_documents,
            self._mutex,
            self._begin_writing,
        )
        self._turns = Turns(self._access, self._feed, self._mutex)
        self._housekeeping = Housekeeping(
            self._access, self._disk, self._feed, quiet_fold_s, self._mutex, self._hurry
        )
        self._watching = Watching(self._disk, self._feed.folder, self._look_at)
        self._background: Background | None = None
        self._pauses_s = quiet_fold_s / 4, sync_interval_s
        self._closed = False
        self._process = os.getpid()
        with self._errors:
            layout.check_format(self._disk)

    # --- reading ---

    def read(
        self, document: DocumentId, *, salvage: bool = False, at: int | None = None
    ) -> State | None:
        self._check_open()
        with self._errors:
            if at is not None:
                return read_at(self._disk, document, at)
            try:
                reading = read_document(self._disk, document, salvage=salvage)
                value = reading.value(self._disk, document)
            except (DamagedError, FormatVersionError):
                # a writer looks at the end of a journal alone: no line may go behind this
                self._access.entries.doubt(document)
                raise
        basis, end = reading.basis, end_of(reading)
        place = None if end is None or salvage else _Place(self, document, end)
        return None if basis.version is None else State(value, basis.seq, basis.version, place)

    def read_on(self, document: DocumentId, end: End) -> News | None:
        """See `Place.news`."""
        self._check_open()
        with self._errors:
            found = read_on(self._disk, document, end)
        if found is None:
            return None
        records, new = found
        patches = [record.patch for record in records]
        return News(patches, new.seq, new.version, _Place(self, document, new))

    def since(self, document: DocumentId, seq: int | None) -> list[Transaction]:
        self._check_open()
        with self._errors:
            return read_since(self._disk, document, seq)

    def documents(self, category: str | None = None) -> Iterator[tuple[DocumentId, str]]:
        self._check_open()
        with self._errors:
            for one in layout.categories(self._disk) if category is None else [category]:
                yield from layout.documents(self._disk, one)

    def changes(
        self,
        since: str | None,
        *,
        limit: int,
        timeout_s: float = 0,
        durable: bool = False,
        for_index: bool = False,
    ) -> ChangePage:
        deadline = time.monotonic() + timeout_s
        while True:
            self._check_open()
            with self._errors:
                complete = self._watching.look(hurried=not for_index)
                self._housekeeping.complete_feed()
                page = self._feed.read(since, limit, durable=durable, newest_only=for_index)
            if not complete:
                page = structs.replace(page, edits_missed=True)
            left_s = deadline - time.monotonic()
            if len(page) or page.gap or not complete or since == LATEST or left_s <= 0:
                return page
            self._watching.wait(min(left_s, _LONGEST_WAIT_S))

    def notice(self, document: DocumentId, known: str | None) -> bool:
        self._check_open()
        with self._errors:
            if known is None and not seems_edited(self._disk, document):
                return True
            return self._housekeeping.notice(document, known)

    def _look_at(self, document: DocumentId) -> bool:
        """Looks at a plain file that something happened to; see `Watching`."""
        with self._errors:
            if has_trace(self._disk, document):
                self.notice(document, None)
                return True
            known = self._feed.last_version(document)  # nothing else tells that it was there
        return known is not None and (known == ABSENT or self.notice(document, known))

    def measure(self) -> Files:
        from plainstate.engines.file.measuring import measure  # rarely needed

        self._check_open()
        with self._errors:
            return measure(self._disk)

    def check(
        self,
        only: DocumentId | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Finding | Looked]:
        from plainstate.engines.file.checking import check  # rarely needed

        self._check_open()
        with self._errors:
            yield from check(self._disk, only, progress=progress)

    def mend(self, found: Finding, *, cut: bool, dry_run: bool) -> str:
        from plainstate.engines.file.repairing import Repair  # rarely needed

        self._check_open()
        with self._errors:
            repair = Repair(
                self._access,
                self._disk,
                self._feed,
                self._housekeeping,
                self._make_id,
                cut=cut,
                dry_run=dry_run,
            )
            return repair.mend(found)

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
        try:
            return self._commit(document, change, tx_id, expected, durability).outcome()
        except OSError as error:
            self._errors.place(error)

    def _commit(
        self,
        document: DocumentId,
        change: PatchMaker,
        tx_id: str | None,
        expected: str | None,
        durability: Durability | None,
        *,
        wait: bool = True,
    ) -> Pending:
        durability = durability or self._durability
        pending = Pending(change, tx_id, expected, durability == "commit")
        access = self._access
        if not access.started:
            access.start()
        entry = access.entries.borrow(document)
        try:
            self._turns.commit(entry, pending, wait=wait)
            if durability == "periodic":
                self._sync_soon(document)
        finally:
            access.entries.give_back(entry)
        return pending

    def append_together(self, appends: Sequence[Append], run_all: RunAll) -> None:
        self._check_open()
        if len(appends) == 1:
            self._append_alone(appends[0])
            return
        access = self._access
        waiting: dict[DocumentId, Waiting] = {}
        pendings: list[Pending] = []
        try:
            with self._errors:
                access.start()
                for one in appends:
                    if one.document not in waiting:
                        waiting[one.document] = Waiting(access.entries.borrow(one.document), [])
                    sync = (one.durability or self._durability) == "commit"
                    pendings.append(Pending(one.change, one.tx_id, None, sync=sync))
                    waiting[one.document].changes.append(pendings[-1])
                try:
                    self._turns.commit_together(list(waiting.values()), run_all)
                finally:
                    for one, pending in zip(appends, pendings, strict=True):
                        if not pending.settled:
                            continue
                        if (one.durability or self._durability) == "periodic":
                            self._sync_soon(one.document)
                        one.outcome = partial(self._outcome, pending)
        finally:
            for document in waiting.values():
                access.entries.give_back(document.entry)

    def _append_alone(self, one: Append) -> None:
        with self._errors:
            pending = self._commit(
                one.document, one.change, one.tx_id, None, one.durability, wait=False
            )
        if pending.settled:
            one.outcome = partial(self._outcome, pending)

    def _sync_soon(self, document: DocumentId) -> None:
        """Notes a document whose lines are to be synced, before anybody may forget its entry."""
        with self._mutex:
            self._access.unsynced.add(document)
        self._hurry()

    def _outcome(self, pending: Pending) -> Commit:
        with self._errors:
            return pending.outcome()

    def replace(
        self,
        document: DocumentId,
        value: Json,
        *,
        text: bytes | None = None,
        tx_id: str | None = None,
        expected: str | None = None,
    ) -> Commit:
        self._check_open()
        with self._errors, self._access.writing(document) as file:
            return file.replace(value, text=text, tx_id=tx_id, expected=expected)

    def delete(
        self,
        document: DocumentId,
        *,
        tx_id: str | None = None,
        expected: str | None = None,
        forget: bool = False,
    ) -> Commit | None:
        self._check_open()
        with self._errors, self._access.writing(document) as file:
            return file.delete(tx_id=tx_id, expected=expected, forget=forget)

    def rename(
        self, document: DocumentId, target: DocumentId, *, expected: str | None = None
    ) -> Commit:
        self._check_open()
        if document == target:
            raise AlreadyExistsError(
                f"{target} is its own name", hint="Choose another name.", document=str(target)
            )
        first, second = sorted((document, target))  # one order for all: no deadlock
        with (
            self._errors,
            self._access.writing(first) as one,
            self._access.writing(second) as other,
        ):
            source, goal = (one, other) if first == document else (other, one)
            if source.position.version is None:
                raise NotFoundError(
                    f"no document {document}", hint="See list_category.", document=str(document)
                )
            check_expected(document, expected, source.position.version)
            return source.rename_to(goal)

    def lock(self, document: DocumentId) -> LockedDocument:
        self._check_open()
        with self._errors:
            access = self._access
            access.start()
            entry = access.entries.borrow(document)
            try:
                entry.lock.acquire(access.lock_timeout_s)
                try:
                    entry.file.catch_up()
                except BaseException:
                    access.finish(entry, failed=True)
                    raise
            except BaseException:
                access.entries.give_back(entry)
                raise

        def release() -> None:
            access.finish(entry)
            access.entries.give_back(entry)

        return LockedFile(entry.file, self._errors, release)

    # --- the whole store ---

    def checkpoint(self) -> int:
        self._check_open()
        with self._errors:
            if self._disk.fs.stat(self._disk.base) is None:
                return 0
            self._access.start()
            self._housekeeping.complete_feed_if_possible()
            return self._housekeeping.fold_all(list(layout.journals(self._disk)))

    def close(self) -> None:
        if self._closed or self._process != os.getpid():
            return
        refuse_if_held(self)
        self._closed = True
        self._watching.close()
        self._access.entries.close(self._access.lock_timeout_s)
        if self._background is not None:
            self._background.stop()
        clean = False
        try:
            with self._errors:
                clean = not self._access.started or self._housekeeping.finish()
        finally:
            entries = self._access.entries
            entries.when_unused(lambda *, at_once: self._let_go(clean=clean and at_once))

    def _let_go(self, *, clean: bool) -> None:
        with self._errors:
            self._feed.close()
            self._access.let_go(clean=clean)

    def _begin_writing(self) -> None:
        # first of all: a journal that is folded does not tell any more what dead writers did
        self._housekeeping.complete_feed_if_possible()
        idle_s, busy_s = self._pauses_s
        self._background = Background(self._housekeeping.run, idle_s=idle_s, busy_s=busy_s)

    def _hurry(self) -> None:
        if self._background is not None:
            self._background.hurry()

    # --- small things ---

    def _now(self) -> str:
        return times.of_clock(self._clock_ns())

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error()
        if self._process != os.getpid():
            raise UsageError(
                "the store was opened before fork()", hint="Open it anew in the child process."
            )
