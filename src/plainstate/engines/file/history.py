"""The history of a document on disk: keeping what a fold would throw away.

What is kept is in `.plainstate/history/`, one file a document; grammar, invariants and the order
of calls stand in `docs/format/history.md`.  It is written under the document's lock, and only
what is durable in the document's own files: no line outlives its transaction.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import msgspec

from plainstate.core import history
from plainstate.core.history import MOVE, Line, Point, Step, point_of, state_after, unkept
from plainstate.core.record import TransactionRecord
from plainstate.engines.file.disk import SUFFIXES
from plainstate.engines.file.journal_file import LineFile
from plainstate.engines.file.reader import read_document
from plainstate.errors import (
    DamagedError,
    EditConflictError,
    ForeignJournalError,
    NotFoundError,
    OutcomeUnknownError,
)
from plainstate.types import State, Transaction, is_public

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plainstate.core.history import Base
    from plainstate.core.record import HeadRecord, Journal, Record
    from plainstate.engines.file.disk import Disk
    from plainstate.engines.file.reader import Reading
    from plainstate.types import DocumentId, Json

__all__ = ["History", "history_path", "is_foreign", "read_at", "read_since"]


class HistoryFile(LineFile[Line]):
    """An open history file."""

    def _parse(self, data: bytes) -> Journal[Line]:
        return history.parse(data, path=self._shown, previous=self.check, ends=True)


class History:
    """A document's history as its writer keeps it; every method needs the document's lock.

    Args:
        disk: the store.
        document: whose.
        limit: bytes to keep; 0: this handle begins no history, and goes on with one that is there.
        make_id: names what is set aside.
    """

    def __init__(
        self, disk: Disk, document: DocumentId, limit: int, make_id: Callable[[], str]
    ) -> None:
        self._disk = disk
        self._document = document
        self._path = history_path(disk, document)
        self._folder = self._path.rpartition("/")[0]
        self._limit = limit
        self._make_id = make_id
        self._file: HistoryFile | None = None
        self._end: Point | None = None
        self._first_size = 0
        self._suspect = False

    @property
    def wanted(self) -> bool:
        """Whether what comes is to be kept.

        What is kept goes on being kept, whatever this handle was told: another program, which
        relies on it, must not find a gap.  One stat(2) where this handle keeps nothing itself.
        """
        return is_public(self._document) and (self._limit > 0 or self.is_there())

    def is_there(self) -> bool:
        """Whether anything is kept.  One stat(2)."""
        return self._disk.fs.stat(self._path) is not None

    def ends_at(self, point: Point) -> bool:
        """Whether everything up to this moment is kept."""
        self._catch_up()
        return self._end == point

    def keep(self, records: Sequence[Record], reading: Reading, value: Json, now: str) -> None:
        """Appends what the document's own files tell and the history lacks, durably.

        Args:
            records: the lines of the document, all of them durable.
            reading: what they mean; it may have been replayed.
            value: as in `core.history.unkept`.
            now: for what tells no time itself.
        """
        self._catch_up()
        basis, snapshot = reading.basis, reading.snapshot
        if self._end is None and not basis.seq:
            return
        lines = unkept(self._end, self._document, records, basis, snapshot, value)
        self._append([_timed(line, now) for line in lines])

    def add(self, base: Base) -> None:
        """Appends a state that was saved as a whole, durably."""
        self._catch_up()
        self._append([base])

    def copy(self, target: History, before: Point, head: HeadRecord, tx_id: str) -> bool:
        """Gives the document's new name everything that is kept, behind what is there.

        That counts no more, but stays until the document has come; see `settle`.

        Args:
            target: the history of the new name.
            before: where the document stands under the old name.
            head: its head under the new one.
            tx_id: the rename.

        Returns:
            Whether something was there.
        """
        self._catch_up()
        kept = self._lines()
        if not kept:
            return False
        lines = history.moved(kept, target._document, tx_id, head.time)
        if self._end == before:  # otherwise something is missing between: a later base continues
            lines.append(Step(head.seq, head.version, tx_id, head.time, MOVE))
        target._catch_up()
        there = target._lines()
        target._write_anew([*there, *lines])
        return bool(there)

    def settle(self, head: HeadRecord, *, came: bool) -> None:
        """After a rename to this name: of what was there and what it brought, one goes.

        Args:
            head: the one with which the document was to come.
            came: whether it did.
        """
        self._catch_up()
        lines = self._lines()
        start = history.arrival(lines, head.time)
        if start is None:
            return
        left = lines[start:] if came else lines[:start]
        if not left:
            self.forget()
        elif len(left) < len(lines):
            self._write_anew(left)

    def forget(self) -> None:
        """Removes everything that is kept."""
        self.close()
        if self.is_there():
            self._disk.fs.unlink(self._path)
            self._disk.fs.sync_folder(self._folder)

    def close(self) -> None:
        """Closes the file; it is opened again when needed."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _catch_up(self) -> None:
        """Agrees with the disk, where another process may have written meanwhile."""
        if self._file is not None and (self._suspect or self._file.growth() != 0):
            self.close()
        if self._file is None:
            self._open()

    def _open(self) -> None:
        self._end = None
        if not self.is_there():
            return
        file, read = HistoryFile.open(self._disk, self._path)
        self._file = file
        try:
            if self._suspect:
                file.rewrite()
                self._suspect = False
            elif read.torn or read.damage:
                self._set_aside(file)
            else:
                file.sync()  # its writer may have died before that
            self._disk.fs.sync_folder(self._folder)
            if not read.records or is_foreign(read.records, self._document):
                self._disk.quarantine(self._document, file.read_all(), self._make_id)
                self.forget()
                return
            self._end = point_of(read.records[-1])
            self._first_size = file.read_all().index(b"\n") + 1
        except BaseException:
            self.close()
            raise

    def _set_aside(self, file: HistoryFile) -> None:
        """Copies what is not intact to the quarantine and cuts it off."""
        whole = self._disk.read_file(self._path)
        if whole is not None:
            self._disk.quarantine(self._document, whole.data[file.size :], self._make_id)
        file.cut()

    def _append(self, lines: Sequence[Line]) -> None:
        if not lines:
            return
        file = self._file
        first = lines[0].seq - 1
        durable = first if self._end is None else min(first, self._end.seq)
        try:
            if file is None:
                data, check = history.encode(lines, previous=0, synced=durable)
                self._make_folder()
                self._file = HistoryFile.create(
                    self._disk, self._path, data, check, len(lines), sync=True
                )
                self._first_size = data.index(b"\n") + 1
            else:
                data, check = history.encode(lines, previous=file.check, synced=durable)
                file.append(data, check, len(lines), sync=True)
        except OutcomeUnknownError:
            self._suspect = True
            self.close()
            raise
        except BaseException:
            self.close()
            raise
        self._end = point_of(lines[-1])
        self._shorten()

    def _shorten(self) -> None:
        """Drops the oldest, so that the file stays below twice what is to be kept.

        Only who keeps a history knows how much that is.
        """
        file = self._file
        if not self._limit or file is None or file.size <= 2 * (self._limit + self._first_size):
            return
        try:
            if lines := self._lines():
                self._write_anew(history.newest_lines(lines, self._limit))
        except OSError:
            self.close()  # all that is kept is there: it is tried again with the next line

    def _lines(self) -> list[Line]:
        """All that is kept; if a line between the ends is none, all is set aside (H-5)."""
        data = b"" if self._file is None else self._file.read_all()
        try:
            return history.parse(data, path=self._disk.shown(self._path)).records
        except DamagedError:
            self._disk.quarantine(self._document, data, self._make_id)
            self.forget()
            return []

    def _write_anew(self, lines: Sequence[Line]) -> None:
        data, _ = history.encode(lines, previous=0)
        self._make_folder()
        self._disk.put(self._folder, self._path, data)
        self.close()

    def _make_folder(self) -> None:
        self._disk.add_folder(self._disk.meta, self._disk.base)
        self._disk.make_folder(f"history/{self._document.category}", under=self._disk.meta)


def read_since(disk: Disk, document: DocumentId, seq: int | None) -> list[Transaction]:
    """See `Engine.since`."""
    reading = read_document(disk, document)
    end = reading.basis.seq
    waiting = None if seq is None else _waiting(document, reading, seq)
    if seq is None or waiting is None:
        kept = _kept_lines(disk, document, reading)
        found = history.transactions(_past(disk, document, reading, kept))
    else:
        found = waiting
    if seq is None:
        return found
    after = [one for one in found if one.seq > seq]
    known = [one.seq for one in after] == list(range(seq + 1, end + 1))
    moved = seq > 0 and any(one.patch == MOVE for one in after)
    if not known or moved or any(one.action is None for one in after):
        raise NotFoundError(
            f"{document}: transactions after {seq} are folded and not kept one by one",
            hint="Read the whole document instead.",
            document=str(document),
        )
    return after


def read_at(disk: Disk, document: DocumentId, at: int) -> State | None:
    """See `Engine.read`.

    Raises:
        NotFoundError: the state at `at` is no longer kept, or not reached yet.
    """
    if not at:
        return None
    reading = read_document(disk, document)
    if at > reading.basis.seq:
        raise NotFoundError(
            f"{document} has no transaction {at}: its last one is {reading.basis.seq}",
            hint="`history` lists those there are.",
            document=str(document),
        )
    if at == reading.basis.seq:
        value, version = reading.value(disk, document), reading.basis.version
        return None if version is None else State(value, at, version)
    try:
        state = state_after(_past(disk, document, reading, []), at)
        if state == "unkept":
            kept = _kept_lines(disk, document, reading)
            state = state_after(_past(disk, document, reading, kept), at)
    except (DamagedError, EditConflictError):
        # what was before an edit that cannot be read is what one looks for then
        state = _before_edit(document, disk, reading, at)
        if state == "unkept":
            raise
    if state != "unkept":
        return state
    raise NotFoundError(
        f"{document}: the state after transaction {at} is not kept",
        hint=_why_unkept(read_since(disk, document, None), at),
        document=str(document),
    )


def _why_unkept(kept: Sequence[Transaction], at: int) -> str:
    """What to do about a state that is not among those that are kept."""
    if any(one.seq < at for one in kept):
        return "What could not be read is not kept. `history` lists what is."
    if kept and kept[-1].version is None:
        return (
            "Nothing before its deletion is kept. What was pruned restore_session brings back; "
            "what was renamed has its past under its new name."
        )
    return "`history` lists what is. Open the store with history='keep' to keep what comes."


def _waiting(document: DocumentId, reading: Reading, seq: int) -> list[Transaction] | None:
    """The transactions behind `seq`, if all of them are in the journal: nothing is decoded."""
    later = [
        (point_of(before), record)
        for before, record in pairwise(reading.records)
        if isinstance(record, TransactionRecord) and record.seq > seq
    ]
    if [record.seq for _, record in later] != list(range(seq + 1, reading.basis.seq + 1)):
        return None
    start = [history.whole(document, before, None) for before, _ in later[:1]]
    return history.transactions([*start, *(history.step_of(record) for _, record in later)])


def _past(disk: Disk, document: DocumentId, reading: Reading, kept: list[Line]) -> list[Line]:
    """What is kept, and what the document's own files tell beyond that."""
    basis, snapshot = reading.basis, reading.snapshot
    now = Point(basis.seq, basis.version)
    reached = [index for index, line in enumerate(kept) if point_of(line) == now]
    if reached:  # a writer went on after the document was read
        return kept[: reached[-1] + 1]
    end = point_of(kept[-1]) if kept else None
    combined = basis.kind == "edited" and basis.waiting
    records = copy.deepcopy(reading.records) if combined else reading.records
    value = reading.value(disk, document) if combined else None
    return [*kept, *unkept(end, document, records, basis, snapshot, value)]


def _before_edit(
    document: DocumentId, disk: Disk, reading: Reading, at: int
) -> State | Literal["unkept"] | None:
    """A state before an edit by hand, if everything up to the edit is kept."""
    kept = _kept_lines(disk, document, reading)
    lines: list[Line] = [*kept]
    if kept:
        lines += history.steps_behind(point_of(kept[-1]), read_document(disk, document).records)
    if reading.basis.kind != "edited" or not lines or lines[-1].seq != reading.basis.seq - 1:
        return "unkept"
    return state_after(lines, at)


def _kept_lines(disk: Disk, document: DocumentId, reading: Reading) -> list[Line]:
    """The lines of the history file, but for a torn end and those of a rename that did not come.

    Raises:
        DamagedError: a line is damaged, or the file belongs to another document.
    """
    path, before = history_path(disk, document), None
    while True:
        file = disk.read_file(path)
        if file is None:
            return []
        read = history.parse(file.data, path=disk.shown(path))
        if read.damage is not None and before != file.data:
            before = file.data  # its writer may be repairing it: look twice
            continue
        if read.damage is not None:
            raise read.damage
        if is_foreign(read.records, document):
            raise ForeignJournalError(
                f"{disk.shown(path)} is the history of another document than {document}",
                hint="Move it back; or let `plainstate repair` set it aside.",
                path=disk.shown(path),
                line=1,
                belongs_to=getattr(read.records[0], "document", ""),
            )
        head = reading.basis.head
        if head.moving_from is None or reading.journal or reading.snapshot is not None:
            return read.records
        return read.records[: history.arrival(read.records, head.time)]


def is_foreign(lines: Sequence[Line], document: DocumentId) -> bool:
    """Whether these are the lines of another document."""
    if not lines:
        return False
    first = lines[0]
    named = None if isinstance(first, Step) else (first.document, first.kind)
    return named != (str(document), document.kind)


def _timed(line: Line, now: str) -> Line:
    return line if line.time else msgspec.structs.replace(line, time=now)


def history_path(disk: Disk, document: DocumentId) -> str:
    """Where a document's history lies."""
    suffix = SUFFIXES[document.kind]
    return f"{disk.meta}/history/{document.category}/{document.name}{suffix}l"
