"""The memory engine: the same contract without a disk, for tests and notebooks."""

from __future__ import annotations

import copy
import itertools
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final, Self
from zlib import crc32

from msgspec import structs

from plainstate.core import codec, patch, summary, times
from plainstate.core.ids import IdMaker
from plainstate.core.record import DELETION
from plainstate.engines.base import Capabilities, LazyHead
from plainstate.engines.holding import refuse_if_held
from plainstate.errors import (
    AlreadyExistsError,
    ConflictError,
    CursorExpiredError,
    InvalidCursorError,
    LockTimeoutError,
    NotFoundError,
    PatchFailedError,
    UsageError,
    ValueTooLargeError,
)
from plainstate.limits import LOCK_TIMEOUT_S, MAX_WRITE_BYTES, RECENT_TX_IDS
from plainstate.types import (
    ABSENT,
    LATEST,
    Change,
    ChangePage,
    Commit,
    State,
    Transaction,
    action_of,
    is_public,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from plainstate.types import DocumentId, Durability, Head, Json, Patch, PatchMaker, Side

__all__ = ["MemoryEngine"]


_FEED_LENGTH: Final = 100_000


class _Stored:
    """A document in memory; `version` is `None` while it is absent."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value: Json = None
        self.seq = 0
        self.version: str | None = None
        self.recent: dict[str, Commit] = {}
        self.transactions: list[Transaction] = []


class MemoryEngine:
    """Keeps documents in this process; they are gone when it ends.

    Args:
        lock_timeout_s: how long to wait for other writers of a document.
        max_write_bytes: limit of one write.
        clock_ns: nanoseconds since the epoch, for tests.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(durable=False, shared=False)

    def __init__(
        self,
        *,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
        max_write_bytes: int = MAX_WRITE_BYTES,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._clock_ns = clock_ns
        self._make_id = IdMaker(clock_ns, os.urandom)
        self._lock_timeout_s = lock_timeout_s
        self.max_write_bytes = max_write_bytes
        self._mutex = threading.Lock()
        self._documents: dict[DocumentId, _Stored] = {}
        self._feed: deque[Change] = deque(maxlen=_FEED_LENGTH)
        self._fed = 0
        self._grown = threading.Condition(self._mutex)
        self._closed = False
        self._process = os.getpid()

    def read(
        self,
        document: DocumentId,
        *,
        salvage: bool = False,  # noqa: ARG002 - nothing is ever damaged here
        at: int | None = None,
    ) -> State | None:
        stored = self._stored(document)
        with self._mutex:
            if at is not None and at != stored.seq:
                return _replayed(document, stored, at)
            if stored.version is None:
                return None
            return State(copy.deepcopy(stored.value), stored.seq, stored.version)

    def append(
        self,
        document: DocumentId,
        change: PatchMaker,
        *,
        tx_id: str | None = None,
        expected: str | None = None,
        durability: Durability | None = None,  # noqa: ARG002 - memory keeps no promise to weaken
    ) -> Commit:
        with self.lock(document) as locked:
            return locked.commit(change, tx_id, expected)

    def replace(
        self,
        document: DocumentId,
        value: Json,
        *,
        text: bytes | None = None,  # noqa: ARG002 - for those who write files
        tx_id: str | None = None,
        expected: str | None = None,
    ) -> Commit:
        return self.append(document, lambda _: _whole(value), tx_id=tx_id, expected=expected)

    def delete(
        self,
        document: DocumentId,
        *,
        tx_id: str | None = None,
        expected: str | None = None,
        forget: bool = False,
    ) -> Commit | None:
        with self.lock(document) as locked:
            known = locked.known(tx_id, expected)
            if known is not None:
                return known
            commit = locked.delete(tx_id)
            if forget:
                with self._mutex:
                    del self._documents[document]
            return commit

    def rename(
        self, document: DocumentId, target: DocumentId, *, expected: str | None = None
    ) -> Commit:
        if document == target:
            raise AlreadyExistsError(
                f"{target} is its own name", hint="Choose another name.", document=str(target)
            )
        first, second = sorted((document, target))
        with self.lock(first) as one, self.lock(second) as other:
            source, goal = self._stored(document), self._stored(target)
            if source.version is None:
                raise NotFoundError(
                    f"no document {document}", hint="See list_category.", document=str(document)
                )
            (one if first == document else other).known(None, expected)
            if goal.version is not None:
                raise AlreadyExistsError(
                    f"{target} exists", hint="Choose another name.", document=str(target)
                )
            value, recent = source.value, source.recent
            goal.seq = max(source.seq, goal.seq)
            moved = self._commit(target, goal, _whole(value), self._make_id(), moved=document)
            goal.recent = {**goal.recent, **recent}  # a retry may come under either name
            _forget_oldest(goal.recent)
            renamed = structs.replace(goal.transactions[-1], patch=[], action="update")
            goal.transactions = [*source.transactions, renamed]
            source.transactions = []
            self._commit(document, source, DELETION, self._make_id(), moved=target)
            if not is_public(document):  # nobody asks for such a name again
                with self._mutex:
                    del self._documents[document]
            return moved

    def lock(self, document: DocumentId) -> LockedMemory:
        stored = self._stored(document)
        refuse_if_held(self, document)
        if not stored.lock.acquire(timeout=self._lock_timeout_s):
            raise LockTimeoutError(
                f"{document} was locked by another writer for {self._lock_timeout_s:g} s",
                hint="Try again; if it goes on, look for a very long transaction.",
                document=str(document),
                timeout_s=self._lock_timeout_s,
            )
        return LockedMemory(self, document, stored)

    def since(self, document: DocumentId, seq: int | None) -> list[Transaction]:
        stored = self._stored(document)
        with self._mutex:
            later = [kept for kept in stored.transactions if kept.seq > (seq or 0)]
            complete = [kept.seq for kept in later] == list(range((seq or 0) + 1, stored.seq + 1))
            renamed = bool(seq) and any(not kept.patch for kept in later)
            if seq is not None and (renamed or not complete):
                raise NotFoundError(
                    f"{document}: it was renamed after {seq}",
                    hint="Read the whole document instead.",
                    document=str(document),
                )
            return copy.deepcopy(later)

    def documents(self, category: str | None = None) -> Iterable[tuple[DocumentId, str]]:
        self._check_open()
        with self._mutex:
            return [
                (document, stored.version)
                for document, stored in self._documents.items()
                if stored.version is not None
                and (document.category == category or (category is None and is_public(document)))
            ]

    def changes(
        self,
        since: str | None,
        *,
        limit: int,
        timeout_s: float = 0,
        durable: bool = False,  # noqa: ARG002 - memory has no power cuts
        for_index: bool = False,  # noqa: ARG002 - all are at hand
    ) -> ChangePage:
        self._check_open()
        with self._mutex:
            oldest = self._fed - len(self._feed)
            start = self._position(since, oldest)
            if start == self._fed and since != LATEST:
                self._grown.wait_for(lambda: self._fed > start or self._closed, timeout_s)
                oldest = self._fed - len(self._feed)
            found = list(itertools.islice(self._feed, start - oldest, start - oldest + limit))
            return ChangePage(found, str(start + len(found)))

    def notice(
        self,
        document: DocumentId,  # noqa: ARG002 - nobody edits memory by hand
        known: str | None,  # noqa: ARG002
    ) -> bool:
        self._check_open()
        return True

    def _position(self, since: str | None, oldest: int) -> int:
        if since is None:
            return oldest
        if since == LATEST:
            return self._fed
        if not (since.isascii() and since.isdigit()) or int(since) > self._fed:
            raise InvalidCursorError(
                f"{since!r} is not a cursor of this store",
                hint="Pass one exactly as a change or page had it.",
                cursor=since,
            )
        if int(since) < oldest:
            raise CursorExpiredError(
                f"some changes behind {since} are no longer kept",
                hint="Look at the documents themselves, then go on from the error's `oldest`.",
                cursor=since,
                oldest=str(oldest),
            )
        return int(since)

    def checkpoint(self) -> int:
        self._check_open()
        return 0

    def close(self) -> None:
        with self._mutex:
            self._closed = True
            self._grown.notify_all()

    def _stored(self, document: DocumentId) -> _Stored:
        self._check_open()
        with self._mutex:
            return self._documents.setdefault(document, _Stored())

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the store is closed", hint="Open it again with open_store.")
        if self._process != os.getpid():
            raise UsageError(
                "the store was opened before fork()", hint="Open it anew in the child process."
            )

    def _check_size(self, size: int) -> None:
        if size > self.max_write_bytes:
            raise ValueTooLargeError(
                f"a write of {size:,} bytes is over the limit of {self.max_write_bytes:,}",
                hint="Split it, or raise max_write_bytes.",
                pointer="",
                size_bytes=size,
                limit_bytes=self.max_write_bytes,
            )

    def _commit(
        self,
        document: DocumentId,
        stored: _Stored,
        operations: Patch,
        tx_id: str,
        *,
        moved: DocumentId | None = None,
    ) -> Commit:
        """Applies checked operations; the caller holds the lock."""
        encoded = codec.encode(operations)
        self._check_size(len(encoded))
        kept = copy.deepcopy(operations)
        value = None
        if operations != DELETION:
            value = patch.apply(
                copy.deepcopy(stored.value),
                copy.deepcopy(operations),
                check_copied=self._check_size,
            )
        seq = stored.seq + 1
        version = f"{seq}-{crc32(encoded, crc32(tx_id.encode())):08x}"
        commit = Commit(seq, version, tx_id)
        now = times.of_clock(self._clock_ns())
        with self._mutex:
            existed = stored.version is not None
            stored.value = value
            stored.seq = seq
            stored.version = None if operations == DELETION else version
            action = action_of(existed=existed, exists=stored.version is not None)
            transaction = Transaction(seq, tx_id, now, kept, stored.version, action)
            stored.transactions.append(transaction)
            stored.recent[tx_id] = commit
            _forget_oldest(stored.recent)
            if is_public(document):
                self._tell(document, stored, transaction, moved=moved)
        return commit

    def _tell(
        self,
        document: DocumentId,
        stored: _Stored,
        transaction: Transaction,
        *,
        moved: DocumentId | None,
    ) -> None:
        self._fed += 1
        change = Change(
            cursor=str(self._fed),
            document=document,
            action=transaction.action or "update",
            seq=stored.seq,
            version=stored.version,
            tx_id=transaction.tx_id,
            time=transaction.time,
            summary=summary.summarize(stored.value) if summary.is_session(document) else None,
            moved=moved if moved is not None and is_public(moved) else None,
        )
        self._feed.append(change)
        self._grown.notify_all()


class LockedMemory:
    """See `engines.base.LockedDocument`."""

    def __init__(self, engine: MemoryEngine, document: DocumentId, stored: _Stored) -> None:
        self._engine = engine
        self._document = document
        self._stored = stored
        self._held = True

    @property
    def head(self) -> Head:
        stored = self._stored
        return LazyHead(
            stored.version,
            lambda: copy.deepcopy(stored.value),
            lambda: summary.summarize(stored.value) if summary.is_session(self._document) else None,
        )

    def append(self, patch: Patch, tx_id: str | None = None) -> Commit:
        return self.commit(lambda _: patch, tx_id, None)

    def replace(self, value: Json, tx_id: str | None = None) -> Commit:
        return self.commit(lambda _: _whole(value), tx_id, None)

    def known(self, tx_id: str | None, expected: str | None) -> Commit | None:
        """The first commit of `tx_id` if it is remembered, after a check of `expected`."""
        stored = self._stored
        if tx_id is not None and tx_id in stored.recent:
            first = stored.recent[tx_id]
            return Commit(first.seq, first.version, tx_id, duplicate=True)
        if expected is not None and expected != (stored.version or ABSENT):
            raise ConflictError(
                f"{self._document} is at version {stored.version or 'none (absent)'}, "
                f"not at {expected}",
                hint="Read it again, apply your change to what is there now, and retry.",
                document=str(self._document),
                expected=expected,
                current=stored.version,
            )
        return None

    def commit(self, change: PatchMaker, tx_id: str | None, expected: str | None) -> Commit:
        """Commits the patch that `change` makes."""
        known = self.known(tx_id, expected)
        if known is not None:
            return known
        stored = self._stored
        operations = change(self.head)
        made_up = tx_id or self._engine._make_id()  # noqa: SLF001 - one class in two parts
        if not operations:
            return Commit(stored.seq, stored.version or "", made_up)
        try:
            return self._engine._commit(  # noqa: SLF001
                self._document, stored, operations, made_up
            )
        except PatchFailedError as error:
            error.document = str(self._document)
            error.current = stored.version
            raise

    def delete(self, tx_id: str | None = None) -> Commit | None:
        known = self.known(tx_id, None)
        if known is not None or self._stored.version is None:
            return known
        return self.commit(lambda _: DELETION, tx_id, None)

    def resolve(self, take: Side) -> Commit:  # noqa: ARG002 - nobody edits memory by hand
        raise UsageError(f"{self._document} has nothing to resolve", hint="Just go on with it.")

    def release(self) -> None:
        if self._held:
            self._held = False
            self._stored.lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _whole(value: Json) -> Patch:
    return [{"op": "add", "path": "", "value": value}]


def _replayed(document: DocumentId, stored: _Stored, at: int) -> State | None:
    """The state after an earlier transaction."""
    kept = [one for one in stored.transactions if one.seq <= at]
    if at and (not kept or kept[-1].seq != at):
        raise NotFoundError(
            f"{document}: the state after transaction {at} is not kept",
            hint="`history` lists those that are.",
            document=str(document),
        )
    value: Json = None
    for one in kept:
        value = None if one.patch == DELETION else patch.apply(value, copy.deepcopy(one.patch))
    version = kept[-1].version if kept else None
    return None if version is None else State(value, at, version)


def _forget_oldest(recent: dict[str, Commit]) -> None:
    while len(recent) > RECENT_TX_IDS:
        del recent[next(iter(recent))]
