"""The contract between the store and what keeps its documents.

An engine keeps values, orders transactions and locks; what a session is, how changes
merge and what an error says is decided above it.  `plainstate.testing` holds
the suite that every engine must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeAlias, runtime_checkable

from msgspec import Struct

from plainstate.types import Json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from plainstate.types import (
        ChangePage,
        Commit,
        DocumentId,
        Durability,
        Files,
        Finding,
        Head,
        Looked,
        Patch,
        PatchMaker,
        Side,
        State,
        Transaction,
    )

__all__ = [
    "Append",
    "Capabilities",
    "Engine",
    "LazyHead",
    "LockedDocument",
    "OnFiles",
    "RunAll",
    "Together",
]

RunAll: TypeAlias = Callable[[Sequence[Callable[[], object]]], None]
"""Runs all of these calls, in any order or at the same time, and returns when all have ended."""


class Capabilities(Struct, frozen=True):
    """What an engine offers beyond the contract.

    Attributes:
        durable: an acknowledged write survives a power cut.
        shared: other processes may write the same store at once.
    """

    durable: bool
    shared: bool


class Append:
    """One of several appends that are committed together; arguments as `Engine.append` has them.

    Attributes:
        outcome: set once it is known: returns the commit, or raises why there is none.
    """

    __slots__ = ("change", "document", "durability", "outcome", "tx_id")

    def __init__(
        self,
        document: DocumentId,
        change: PatchMaker,
        tx_id: str | None,
        durability: Durability | None,
    ) -> None:
        self.document = document
        self.change = change
        self.tx_id = tx_id
        self.durability = durability
        self.outcome: Callable[[], Commit] | None = None


@runtime_checkable
class Together(Protocol):
    """What an engine may offer that is better at many appends than at one."""

    def append_together(self, appends: Sequence[Append], run_all: RunAll) -> None:
        """Does many appends, to any documents; each has its own outcome.

        They are no transaction: some may fail.  Appends to one document keep their order.
        Those whose document somebody else is writing are left without an outcome, and nothing
        of them is done: `append` waits.

        Args:
            appends: what to do.
            run_all: runs what waits for the disk: all of it at the same time, or one by one.

        Cost: with files, the syncs overlap.  64 to as many documents take less than half as long as
        one by one, 64 to one document a ninth.
        """


@runtime_checkable
class OnFiles(Protocol):
    """What an engine may offer that keeps its documents in files."""

    def measure(self) -> Files:
        """What lies on disk.  Cost: a stat per file."""

    def check(
        self,
        only: DocumentId | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Finding | Looked]:
        """Looks for damage; takes no locks, writes nothing.  See `StateStore.check`.

        Args:
            only: look at this document alone.
            progress: as in `StateStore.check`.

        Returns:
            What is wrong, and each document that was read, in any order.
        """

    def mend(self, found: Finding, *, cut: bool, dry_run: bool) -> str:
        """Mends what a check found, if it is still there.  See `StateStore.repair`.

        Returns:
            What was done, or would be; "" for nothing.
        """


class LazyHead(Struct, frozen=True):
    """A `Head` that looks at the value only when asked."""

    version: str | None
    value: Callable[[], Json]
    summary: Callable[[], dict[str, Json] | None]

    def foresee(self, summary: dict[str, Json]) -> None:
        """Has no use for it."""


class LockedDocument(Protocol):
    """A document that this caller alone may write until `release`."""

    @property
    def head(self) -> Head:
        """The newest state."""

    def append(self, patch: Patch, tx_id: str | None = None) -> Commit:
        """As `Engine.append`; the patch is checked against the current value."""

    def replace(self, value: Json, tx_id: str | None = None) -> Commit:
        """As `Engine.replace`."""

    def delete(self, tx_id: str | None = None) -> Commit | None:
        """As `Engine.delete`."""

    def resolve(self, take: Side) -> Commit:
        """Settles an `EditConflictError`; the side not taken is set aside, not lost.

        Raises:
            UsageError: there is nothing to settle.
        """

    def release(self) -> None:
        """Lets other writers go on; harmless when called again."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Engine(Protocol):
    """Keeps documents.  Every method may be called from any thread.

    For all of them: names are already validated and values already exact JSON; a
    method that raises anything but `OutcomeUnknownError` changed nothing; a
    `tx_id` among the document's last 64 is not committed again, the first commit
    is returned with `duplicate` set; `tx_id=None` lets the engine make one up; `expected`
    names the version that must be current, else `ConflictError`.
    """

    capabilities: ClassVar[Capabilities]
    max_write_bytes: int
    """One write that is larger is refused with `ValueTooLargeError`."""

    def read(
        self, document: DocumentId, *, salvage: bool = False, at: int | None = None
    ) -> State | None:
        """The newest state, `None` if absent.  Takes no lock, writes nothing.

        With `salvage`, the state of the intact transactions before a damaged one; with `at`,
        the state after that transaction.

        Raises:
            DamagedError, EditConflictError, FormatVersionError: it cannot be read.
            NotFoundError: the state at `at` is no longer kept, or not reached yet.
        """

    def append(
        self,
        document: DocumentId,
        change: PatchMaker,
        *,
        tx_id: str | None = None,
        expected: str | None = None,
        durability: Durability | None = None,
    ) -> Commit:
        """Commits the patch that `change` makes from the newest state.

        `change` runs under the document's lock, perhaps more than once. An
        empty patch commits nothing.  A change that looked at `Head.value` has
        its patch checked against it; one that did not vouches that it fits.
        `[{"op": "add", "path": "", …}]` creates an absent document.

        Raises:
            PatchFailedError: the patch does not fit.
            Whatever `change` raises.
        """

    def replace(
        self,
        document: DocumentId,
        value: Json,
        *,
        text: bytes | None = None,
        tx_id: str | None = None,
        expected: str | None = None,
    ) -> Commit:
        """Makes `value` the document, creating it where it is absent.

        `text` is `value` as compact JSON, where the caller has it anyway.
        """

    def delete(
        self,
        document: DocumentId,
        *,
        tx_id: str | None = None,
        expected: str | None = None,
        forget: bool = False,
    ) -> Commit | None:
        """Deletes a document; `None` if it is absent.  Its numbering goes on.

        With `forget`, nothing at all is kept of it, neither number nor history: for names that
        are never used again.
        """

    def rename(
        self, document: DocumentId, target: DocumentId, *, expected: str | None = None
    ) -> Commit:
        """Moves a document; after a crash it has exactly one of the two names.

        What is kept of its past goes along, in place of what the target had; its
        number is higher than any under the two names.

        Raises:
            NotFoundError: there is nothing to move.
            AlreadyExistsError: the target exists.
        """

    def lock(self, document: DocumentId) -> LockedDocument:
        """Takes the document's lock, waiting for other writers.

        Raises:
            LockTimeoutError: another writer held it for too long.
        """

    def since(self, document: DocumentId, seq: int | None) -> list[Transaction]:
        """The transactions after `seq`, oldest first; `None`: all that are kept, perhaps with gaps.

        Of a transaction that was no patch (a whole save, an edit by hand) the patch is the whole
        value.  A rename takes number and past along: its patch is empty, and it is not counted
        over, unless `seq` is 0 or `None`.

        Raises:
            NotFoundError: some of those after `seq` are folded and no longer kept one by one.
        """

    def documents(self, category: str | None = None) -> Iterable[tuple[DocumentId, str]]:
        """The documents right in a category, or of the whole store, in any order.

        Each comes with a stamp: opaque, not empty, and another one after every change,
        also one that was made behind the store's back.  A document that is being made or deleted
        may be named and turn out absent.  System documents are left out, unless `category`
        names theirs.

        Cost: a look at each document, not a load.
        """

    def changes(
        self,
        since: str | None,
        *,
        limit: int,
        timeout_s: float = 0,
        durable: bool = False,
        for_index: bool = False,
    ) -> ChangePage:
        """What the change feed tells behind a cursor: every commit of every process at
        least once, in order per document.  Of system documents it tells nothing.

        Args:
            since: a cursor; `None`: from the oldest that is kept; "latest": nothing, only the
                cursor of the end.
            limit: at most so many, 1 or more.
            timeout_s: how long to wait where there are none.
            durable: tell nothing that a power cut could still take away from the feed.
            for_index: the caller needs the newest change of each document only, the others on
                the page may be left out; and it soon looks at every document, so that edits by
                hand need not be waited for from the first moment on.

        Raises:
            CursorExpiredError: some changes behind the cursor are no longer kept.
            InvalidCursorError: it is not a cursor of this feed.
        """

    def notice(self, document: DocumentId, known: str | None) -> bool:
        """Looks whether a document was changed behind the store's back, and tells the feed.

        Args:
            document: which.
            known: the version that the feed told last ("absent" of a deletion), if the caller
                knows: then any other state of the document is told.

        Returns:
            Whether that is settled; if not, because somebody is writing the document right now
            or the store cannot be written, ask again later.
        """

    def checkpoint(self) -> int:
        """Folds every document; returns how many there were to fold."""

    def close(self) -> None:
        """Folds what this handle wrote and lets go of everything."""
