"""A group of changes that is committed with one write and one sync."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from plainstate.core import patch, record, summary
from plainstate.errors import ConflictError, PatchFailedError
from plainstate.types import ABSENT, Commit, Head, Json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plainstate.engines.file.document import FileDocument
    from plainstate.types import Change, DocumentId, Patch

__all__ = ["MovedError", "Pending", "Position", "Staged", "check_expected", "duplicate"]


class MovedError(Exception):
    """The file was edited by hand: that is folded in now, and everything starts over."""


class Pending:
    """A change that waits to be committed, and then its outcome."""

    __slots__ = ("change", "error", "expected", "result", "sync", "tx_id")

    def __init__(
        self, change: Change, tx_id: str | None, expected: str | None, *, sync: bool
    ) -> None:
        self.change = change
        self.tx_id = tx_id
        self.expected = expected
        self.sync = sync
        self.result: Commit | None = None
        self.error: Exception | None = None

    @property
    def settled(self) -> bool:
        """Whether the outcome is known."""
        return self.result is not None or self.error is not None

    def outcome(self) -> Commit:
        """Returns what was committed, or raises why it was not."""
        if self.error is not None:
            raise self.error
        if self.result is None:
            raise AssertionError("a change that was committed has an outcome")
        return self.result


class Position(Struct, frozen=True):
    """Where a document stands: what its next line continues from.

    Attributes:
        seq: number of the last transaction.
        version: the current version, `None` if the document is absent.
        summary: a session's summary; `None` elsewhere, or where only the value can tell.
    """

    seq: int
    version: str | None
    summary: dict[str, Json] | None = None

    def after(self, document: DocumentId, version: str, operations: Patch) -> Position:
        """The position behind one more transaction."""
        return Position(self.seq + 1, version, self._summary_after(document, operations))

    def _summary_after(self, document: DocumentId, operations: Patch) -> dict[str, Json] | None:
        if not summary.is_session(document):
            return None
        if self.version is None and len(operations) == 1:
            return summary.summarize(operations[0].get("value"))
        return None if self.summary is None else summary.advance(self.summary, operations)


class Staged:
    """Lines that are encoded but not yet written.

    Attributes:
        position: where the document stands behind them.
        check: `sum` of the last line.
        lines: the lines.
        ids: their transaction ids, each with the version it makes.
    """

    def __init__(
        self, author: FileDocument, now: Callable[[], str], make_id: Callable[[], str]
    ) -> None:
        self.position = author.position
        self.check = author.chain_start()
        self.lines: list[bytes] = []
        self.ids: dict[str, str] = {}
        self._author = author
        self._now = now
        self._make_id = make_id
        self._outcomes: list[tuple[Pending, Commit]] = []
        self._patches: list[Patch] = []
        self._value: Json = None
        self._loaded = False

    def add_all(self, group: Sequence[Pending]) -> None:
        """Stages each change; one that is refused learns it at once.

        Raises:
            MovedError: everything has to be staged again.
        """
        for pending in group:
            if pending.settled:
                continue
            try:
                self._add(pending)
            except MovedError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this caller's
                pending.error = error

    def settle(self) -> None:
        """The lines are durable: tells every caller."""
        for pending, commit in self._outcomes:
            pending.result = commit

    def fail(self, error: Exception) -> None:
        """The lines could not be written: tells every caller."""
        for pending, _ in self._outcomes:
            pending.error = copy.copy(error)

    def _add(self, pending: Pending) -> None:
        author = self._author
        if pending.tx_id is None:
            pending.tx_id = self._make_id()  # kept: a group that is staged again commits it once
        tx_id = pending.tx_id
        if tx_id in author.recent:
            pending.result = duplicate(author.id, tx_id, author.recent[tx_id])
            return
        if tx_id in self.ids:
            self._outcomes.append((pending, duplicate(author.id, tx_id, self.ids[tx_id])))
            return
        check_expected(author.id, pending.expected, self.position.version)
        operations = pending.change(self._head())
        at = self.position
        if not operations:
            pending.result = Commit(at.seq, at.version or "", tx_id)
            return
        line, check = record.encode_transaction(
            at.seq + 1,
            tx_id,
            self._now(),
            operations,
            previous=self.check,
            synced=author.synced_seq,
        )
        author.check_size(len(line))
        if self._loaded:
            self._check_fit(operations)
        version = f"{at.seq + 1}-{check:08x}"
        self.position = at.after(author.id, version, operations)
        self.check = check
        self.lines.append(line)
        self.ids[tx_id] = version
        self._patches.append(operations)
        self._outcomes.append((pending, Commit(at.seq + 1, version, tx_id)))

    def _head(self) -> Head:
        at = self.position
        return Head(
            exists=at.version is not None,
            seq=at.seq,
            version=at.version,
            load_value=self._load,
            load_summary=self._summary,
        )

    def _summary(self) -> dict[str, Json] | None:
        if self.position.summary is None:
            summarized = self._author.summarize(self._load()) if self._author.is_session else None
            self.position = structs.replace(self.position, summary=summarized)
        return self.position.summary

    def _load(self) -> Json:
        if not self._loaded:
            self._value = self._author.load()
            for operations in self._patches:
                self._value = patch.apply(self._value, copy.deepcopy(operations))
            self._loaded = True
        return self._value

    def _check_fit(self, operations: Patch) -> None:
        if operations == record.DELETION:
            self._value = None
            return
        try:
            self._value = patch.apply(
                self._value, copy.deepcopy(operations), check_copied=self._author.check_size
            )
        except PatchFailedError as error:
            error.document = str(self._author.id)
            error.current = self.position.version
            raise


def check_expected(document: DocumentId, expected: str | None, current: str | None) -> None:
    """Refuses a change that was made against another version.

    Raises:
        ConflictError: `expected` is not `current`.
    """
    if expected is not None and expected != (current or ABSENT):
        raise ConflictError(
            f"{document} is at version {current or 'none (absent)'}, not at {expected}",
            hint="Read it again, apply your change to what is there now, and retry.",
            document=str(document),
            expected=expected,
            current=current,
        )


def duplicate(document: DocumentId, tx_id: str, version: str | None) -> Commit:
    """The report of a transaction that was committed before (J-8).

    Raises:
        ConflictError: whether it was cannot be known any more.
    """
    if version is None:
        raise ConflictError(
            f"{document} was edited by hand right after {tx_id}, before anybody saw it take effect",
            hint="Look at the document; if the change is missing, make it again with a new tx_id.",
            document=str(document),
            expected=None,
            current=None,
        )
    return Commit(int(version.partition("-")[0]), version, tx_id, duplicate=True)
