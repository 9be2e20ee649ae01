"""A group of changes that is committed with one write and one sync."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from msgspec import structs

from plainstate.core import feed, patch, record
from plainstate.engines.file.position import check_expected, duplicate
from plainstate.errors import PatchFailedError
from plainstate.types import Action, Commit, Head, Json, action_of, is_public

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plainstate.engines.file.position import Position
    from plainstate.engines.file.state import DocumentState
    from plainstate.types import Patch, PatchMaker

__all__ = ["MovedError", "Pending", "Staged"]


class MovedError(Exception):
    """The file was edited by hand: that is folded in now, and everything starts over."""


class Pending:
    """A change that waits to be committed, and then its outcome."""

    __slots__ = ("change", "error", "expected", "result", "staged", "sync", "tx_id")

    def __init__(
        self, change: PatchMaker, tx_id: str | None, expected: str | None, *, sync: bool
    ) -> None:
        self.change = change
        self.tx_id = tx_id
        self.expected = expected
        self.sync = sync
        self.staged: Commit | None = None
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


class Staged:
    """Lines that are encoded but not yet written.

    Attributes:
        position: where the document stands behind them.
        check: `sum` of the last line.
        lines: the lines.
        ids: their transaction ids, each with the version it makes.
        told: what the change feed will be told of them.
        begun: the lines are written, not yet durable.
        repeated: changes that were committed before, or change nothing: not settled before that
            state is durable.
    """

    def __init__(
        self,
        author: DocumentState,
        load: Callable[[], Json],
        now: Callable[[], str],
        make_tx_id: Callable[[], str],
    ) -> None:
        self.position = author.position
        self.check = author.chain_start()
        self.lines: list[bytes] = []
        self.ids: dict[str, str] = {}
        self.told: list[bytes] = []
        self.begun = False
        self.repeated: list[Pending] = []
        self._author = author
        self._load_stored = load
        self._now = now
        self._make_tx_id = make_tx_id
        self._staged: list[Pending] = []
        self._last: tuple[str, Patch, str] | None = None
        self._untold: list[tuple[Action, Position, str, str]] = []
        self._patches: list[Patch] = []
        self._value: Json = None
        self._loaded = False

    @property
    def data(self) -> bytes:
        """The lines."""
        return self.lines[0] if len(self.lines) == 1 else b"".join(self.lines)

    @property
    def sync(self) -> bool:
        """Whether somebody waits until they are durable."""
        return any(pending.sync for pending in (*self._staged, *self.repeated))

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

    def prepare(self) -> None:
        """Makes what is told once the lines are durable; they are being written meanwhile."""
        self._take_in()
        document = self._author.id
        if not is_public(document):
            return
        for action, at, tx_id, now in self._untold:
            version = None if action == "delete" else at.version
            summary = None if action == "delete" else at.summary
            line = feed.encode(document, action, at.seq, version, tx_id, now, summary=summary)
            self.told.append(line)

    def settle(self) -> None:
        """The lines are durable: tells every caller."""
        for pending in self._staged:
            pending.result = pending.staged

    def fail(self, error: Exception) -> None:
        """The lines could not be written: tells every caller."""
        for pending in (*self._staged, *self.repeated):
            pending.error = copy.copy(error)
        self.lines.clear()
        self.told.clear()
        self._staged.clear()
        self.repeated.clear()

    def _add(self, pending: Pending) -> None:
        self._take_in()
        author = self._author
        if pending.tx_id is None:
            pending.tx_id = self._make_tx_id()  # kept: a group that is staged again commits it once
        tx_id = pending.tx_id
        if tx_id in author.recent:
            pending.staged = duplicate(author.id, tx_id, author.recent[tx_id])
            self.repeated.append(pending)
            return
        if tx_id in self.ids:
            pending.staged = duplicate(author.id, tx_id, self.ids[tx_id])
            self._staged.append(pending)
            return
        if pending.expected is not None:
            check_expected(author.id, pending.expected, self.position.version)
        operations = pending.change(self._head())
        at = self.position
        if not operations:
            pending.staged = Commit(at.seq, at.version or "", tx_id)
            self.repeated.append(pending)
            return
        now = self._now()
        line, check = record.encode_transaction(
            at.seq + 1,
            tx_id,
            now,
            operations,
            previous=self.check,
            synced=author.synced_seq,
        )
        author.check_size(len(line))
        if self._loaded:
            self._check_fit(operations)
        # nothing fails from here on: what is staged is committed, and its caller told so
        self.check = check
        self.lines.append(line)
        self._patches.append(operations)
        self._staged.append(pending)
        self._last = tx_id, operations, now

    def _take_in(self) -> None:
        """Moves the position behind the last line: as late as can be, see `prepare`."""
        if self._last is None:
            return
        tx_id, operations, now = self._last
        at = self.position
        version = f"{at.seq + 1}-{self.check:08x}"
        self.position = after = at.after(self._author.id, version, operations)
        self.ids[tx_id] = version
        action = action_of(existed=at.version is not None, exists=operations != record.DELETION)
        self._untold.append((action, after, tx_id, now))
        self._staged[-1].staged = Commit(after.seq, version, tx_id)
        self._last = None

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
            self._value = self._load_stored()
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
