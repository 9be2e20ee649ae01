"""A group of changes that is committed with one write and one sync."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from plainstate.core import feed, patch, record
from plainstate.engines.file.position import Position, check_expected, duplicate
from plainstate.engines.file.state import DocumentState, Services
from plainstate.errors import PatchFailedError
from plainstate.types import Action, Commit, Json, Patch, PatchMaker

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MovedError", "Pending", "Staged"]


class MovedError(Exception):
    """The file was edited by hand: that is folded in now, and everything starts over."""


class Pending(Struct, eq=False):
    """A change that waits to be committed, and then its outcome.

    Attributes:
        change: makes its patch.
        tx_id: its id; made up when it is staged, if it is `None`.
        expected: the version that must be current, if any.
        sync: whether its caller waits until it is durable.
        patch: what it makes of the newest state, once it is staged.
        time: when that was.
        commit: what is told to its caller.
        error: why it was not committed.
        settled: the outcome is known.
    """

    change: PatchMaker
    tx_id: str | None
    expected: str | None
    sync: bool
    patch: Patch = []
    time: str = ""
    commit: Commit | None = None
    error: Exception | None = None
    settled: bool = False

    def fail(self, error: Exception) -> None:
        """It is not committed."""
        self.error = error
        self.settled = True

    def outcome(self) -> Commit:
        """Returns what was committed, or raises why it was not."""
        if self.error is not None:
            raise self.error
        if self.commit is None:
            raise AssertionError("a change that was committed has an outcome")
        return self.commit


class Staged(Struct, eq=False):
    """Lines that are encoded but not yet written.

    To each change it is the `Head` that the change goes on from.

    Attributes:
        author: whose lines they are.
        load: reads its value.
        services: what it needs.
        position: where the document stands behind them.
        version: of that position.
        check: `sum` of the last line.
        lines: the lines.
        sync: somebody waits until they are durable.
        ids: their transaction ids, each with the version it makes.
        told: what the change feed will be told of them.
        size: bytes that are written, not yet durable.
        staged: changes that are committed with these lines.
        repeated: changes that were committed before, or change nothing: not settled before that
            state is durable.
    """

    author: DocumentState
    load: Callable[[], Json]
    services: Services
    position: Position
    version: str | None
    check: int
    lines: list[bytes] = []
    sync: bool = False
    ids: dict[str, str] = {}
    told: list[bytes] = []
    size: int = 0
    staged: list[Pending] = []
    repeated: list[Pending] = []
    _last: Pending | None = None
    _foreseen: dict[str, Json] | None = None
    _value: Json = ...

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
                pending.fail(error)
            else:
                self.sync = self.sync or pending.sync

    def prepare(self) -> None:
        """Moves the position behind the last line, and makes what the feed is told of it.

        That is done as late as can be: the last line is being written meanwhile.
        """
        pending = self._last
        if pending is None or pending.tx_id is None:
            return
        author, before, tx_id = self.author, self.position, pending.tx_id
        seq = before.seq + 1
        version = f"{seq}-{self.check:08x}"
        summary = self._foreseen
        if summary is None and author.is_session:
            summary = before.summary_after([pending.patch])
        if author.is_public:
            if pending.patch == record.DELETION:
                line = feed.encode(author.id, "delete", seq, None, tx_id, pending.time)
            else:
                action: Action = "create" if before.version is None else "update"
                line = feed.encode(author.id, action, seq, version, tx_id, pending.time, summary)
            self.told.append(line)
        self.position = Position(seq, version, summary)
        self.ids[tx_id] = self.version = version
        pending.commit = Commit(seq, version, tx_id)
        self._last = None

    def fail(self, error: Exception) -> None:
        """The lines could not be written: tells every caller."""
        for pending in (*self.staged, *self.repeated):
            pending.fail(copy.copy(error))
        self.lines.clear()
        self.told.clear()
        self.staged.clear()
        self.repeated.clear()

    def value(self) -> Json:
        """See `Head.value`."""
        if self._value is ...:
            value = self.load()
            for pending in self.staged:
                value = patch.apply(value, copy.deepcopy(pending.patch))
            self._value = value
        return self._value

    def summary(self) -> dict[str, Json] | None:
        """See `Head.summary`."""
        at = self.position
        if at.summary is None and self.author.is_session:
            summary = self.author.summarize(self.value())
            self.position = at = Position(at.seq, at.version, summary)
        return at.summary

    def foresee(self, summary: dict[str, Json]) -> None:
        """See `Head.foresee`."""
        self._foreseen = summary

    def _add(self, pending: Pending) -> None:
        if self._last is not None:
            self.prepare()
        author = self.author
        tx_id = pending.tx_id
        if tx_id is None:
            # kept: a group that is staged again commits it once
            tx_id = pending.tx_id = self.services.make_tx_id()
        elif tx_id in author.recent:
            pending.commit = duplicate(author.id, tx_id, author.recent[tx_id])
            self.repeated.append(pending)
            return
        elif tx_id in self.ids:
            pending.patch = []  # it adds nothing; it may have been staged before
            pending.commit = duplicate(author.id, tx_id, self.ids[tx_id])
            self.staged.append(pending)
            return
        if pending.expected is not None:
            check_expected(author.id, pending.expected, self.version)
        self._foreseen = None
        operations = pending.change(self)
        seq = self.position.seq
        if not operations:
            pending.commit = Commit(seq, self.version or "", tx_id)
            self.repeated.append(pending)
            return
        pending.patch, pending.time = operations, self.services.now()
        line, check = record.encode_transaction(
            seq + 1,
            tx_id,
            pending.time,
            operations,
            previous=self.check,
            synced=author.synced_seq,
        )
        if len(line) > self.services.max_write_bytes:
            author.check_size(len(line))
        if self._value is not ...:
            self._check_fit(operations)
        # nothing fails from here on: what is staged is committed, and its caller told so
        self.check = check
        self.lines.append(line)
        self.staged.append(pending)
        self._last = pending

    def _check_fit(self, operations: Patch) -> None:
        if operations == record.DELETION:
            self._value = None
            return
        try:
            self._value = patch.apply(
                self._value, copy.deepcopy(operations), check_copied=self.author.check_size
            )
        except PatchFailedError as error:
            error.document = str(self.author.id)
            error.current = self.version
            raise
