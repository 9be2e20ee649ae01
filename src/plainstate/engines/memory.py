"""The memory engine: the same contract without a disk, for tests and notebooks."""

from __future__ import annotations

import copy
import os
import threading
import time
from typing import TYPE_CHECKING, ClassVar, Self
from zlib import crc32

from plainstate.core import codec, patch, summary, times
from plainstate.core.ids import IdMaker
from plainstate.core.record import DELETION
from plainstate.engines.base import Capabilities
from plainstate.engines.holding import refuse_if_held
from plainstate.errors import (
    AlreadyExistsError,
    ConflictError,
    LockTimeoutError,
    NotFoundError,
    PatchFailedError,
    UsageError,
    ValueTooLargeError,
)
from plainstate.limits import LOCK_TIMEOUT_S, MAX_WRITE_BYTES, RECENT_TX_IDS
from plainstate.types import ABSENT, Commit, Head, State, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from plainstate.types import Change, DocumentId, Durability, Json, Patch, Side

__all__ = ["MemoryEngine"]


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
        self._max_write_bytes = max_write_bytes
        self._mutex = threading.Lock()
        self._documents: dict[DocumentId, _Stored] = {}
        self._closed = False
        self._process = os.getpid()

    def read(
        self,
        document: DocumentId,
        *,
        salvage: bool = False,  # noqa: ARG002 - nothing is ever damaged here
    ) -> State | None:
        stored = self._stored(document)
        with self._mutex:
            if stored.version is None:
                return None
            return State(copy.deepcopy(stored.value), stored.seq, stored.version)

    def append(
        self,
        document: DocumentId,
        change: Change,
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
        tx_id: str | None = None,
        expected: str | None = None,
    ) -> Commit:
        return self.append(document, _replacing(value), tx_id=tx_id, expected=expected)

    def delete(
        self, document: DocumentId, *, tx_id: str | None = None, expected: str | None = None
    ) -> Commit | None:
        with self.lock(document) as locked:
            known = locked.known(tx_id, expected)
            if known is not None or not locked.head.exists:
                return known
            return locked.commit(lambda _: DELETION, tx_id, None)

    def rename(self, document: DocumentId, target: DocumentId) -> Commit:
        if document == target:
            raise AlreadyExistsError(
                f"{target} is its own name", hint="Choose another name.", document=str(target)
            )
        first, second = sorted((document, target))
        with self.lock(first), self.lock(second):
            source, goal = self._stored(document), self._stored(target)
            if source.version is None:
                raise NotFoundError(
                    f"no document {document}", hint="See list_category.", document=str(document)
                )
            if goal.version is not None:
                raise AlreadyExistsError(
                    f"{target} exists", hint="Choose another name.", document=str(target)
                )
            value, recent = source.value, source.recent
            moved = self._commit(goal, _replacing(value)(_nothing()), self._make_id())
            goal.recent = {**recent, moved.tx_id: moved}
            self._commit(source, DELETION, self._make_id())
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

    def since(self, document: DocumentId, seq: int) -> list[Transaction]:
        stored = self._stored(document)
        with self._mutex:
            return [copy.deepcopy(kept) for kept in stored.transactions if kept.seq > seq]

    def documents(self, category: str) -> Iterable[DocumentId]:
        self._check_open()
        with self._mutex:
            return [
                document
                for document, stored in self._documents.items()
                if document.category == category and stored.version is not None
            ]

    def categories(self) -> Iterable[str]:
        self._check_open()
        with self._mutex:
            existing = (name for name, kept in self._documents.items() if kept.version is not None)
            return {document.category for document in existing}

    def checkpoint(self) -> int:
        self._check_open()
        return 0

    def close(self) -> None:
        self._closed = True

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
        if size > self._max_write_bytes:
            raise ValueTooLargeError(
                f"a write of {size:,} bytes is over the limit of {self._max_write_bytes:,}",
                hint="Split it, or raise max_write_bytes.",
                pointer="",
                size_bytes=size,
                limit_bytes=self._max_write_bytes,
            )

    def _commit(self, stored: _Stored, operations: Patch, tx_id: str) -> Commit:
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
        with self._mutex:
            stored.value = value
            stored.seq = seq
            stored.version = None if operations == DELETION else version
            now = times.format(self._clock_ns() // 1000 * 1000)
            stored.transactions.append(Transaction(seq, tx_id, now, kept))
            stored.recent[tx_id] = commit
            while len(stored.recent) > RECENT_TX_IDS:
                del stored.recent[next(iter(stored.recent))]
        return commit


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
        return Head(
            exists=stored.version is not None,
            seq=stored.seq,
            version=stored.version,
            load_value=lambda: copy.deepcopy(stored.value),
            load_summary=lambda: (
                summary.summarize(stored.value) if summary.is_session(self._document) else None
            ),
        )

    def append(self, patch: Patch, tx_id: str | None = None) -> Commit:
        return self.commit(lambda _: patch, tx_id, None)

    def replace(self, value: Json, tx_id: str | None = None) -> Commit:
        return self.commit(_replacing(value), tx_id, None)

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

    def commit(self, change: Change, tx_id: str | None, expected: str | None) -> Commit:
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
            return self._engine._commit(stored, operations, made_up)  # noqa: SLF001
        except PatchFailedError as error:
            error.document = str(self._document)
            error.current = stored.version
            raise

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


def _replacing(value: Json) -> Change:
    return lambda _: [{"op": "add", "path": "", "value": value}]


def _nothing() -> Head:
    return Head(
        exists=False, seq=0, version=None, load_value=lambda: None, load_summary=lambda: None
    )
