"""Mending what a check found, one finding at a time, each under its document's lock.

Nothing is destroyed: what is removed or replaced is kept in the quarantine before.  Each
mending is one durable replacing or moving of a file, so that it may be cut off anywhere.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from plainstate.core import codec, feed, history, patch
from plainstate.core.decoding import reader
from plainstate.core.record import HeadRecord, parse
from plainstate.core.replay import find_basis
from plainstate.engines.file import layout, writers
from plainstate.engines.file.disk import SUFFIXES
from plainstate.engines.file.examining import examine
from plainstate.engines.file.history import History, history_path
from plainstate.engines.file.reader import (
    FileSnapshot,
    check_records,
    digest_of,
    read_document,
    read_resting,
)
from plainstate.errors import (
    ConflictError,
    DamagedError,
    FormatVersionError,
    InvalidPatchError,
    PatchFailedError,
)
from plainstate.types import ABSENT, DocumentId, Json, is_public

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from plainstate.core.history import Line, Point
    from plainstate.core.record import Record
    from plainstate.engines.file.access import Access
    from plainstate.engines.file.disk import Disk
    from plainstate.engines.file.document import FileDocument
    from plainstate.engines.file.feed import Feed
    from plainstate.engines.file.housekeeping import Housekeeping
    from plainstate.types import Finding

    Mender: TypeAlias = Callable[[Finding], str]

__all__ = ["Repair"]

_decode: Final = reader(msgspec.json.Decoder(dict[str, Json]).decode)

_UNREADABLE: Final = (DamagedError, ConflictError, FormatVersionError)


_NEVER: Final = "0-00000000"
"""A version that no document ever has."""


class Repair:
    """Mends.

    Args:
        access: the documents of the handle.
        disk: the store.
        feed: its change feed.
        housekeeping: looks after dead writers.
        make_id: names what is set aside.
        cut: give up transactions that cannot be read, or have no document.
        dry_run: only say what would be done.
    """

    def __init__(
        self,
        access: Access,
        disk: Disk,
        feed: Feed,
        housekeeping: Housekeeping,
        make_id: Callable[[], str],
        *,
        cut: bool,
        dry_run: bool,
    ) -> None:
        self._access = access
        self._disk = disk
        self._feed = feed
        self._housekeeping = housekeeping
        self._make_id = make_id
        self._cut = cut
        self._dry_run = dry_run
        self._menders: dict[str, Mender] = {
            "journal-torn": self._cut_tail,
            "journal-damaged": self._cut_journal,
            "journal-foreign": self._move_journal,
            "cut-off": self._complete,
            "snapshot-damaged": self._restore,
            "head-damaged": self._write_head,
            "head-foreign": self._write_head,
            "history-torn": self._mend_history,
            "history-damaged": self._mend_history,
            "history-foreign": self._mend_history,
            "temp-stale": self._move_temp,
            "writer-dead": self._bury,
            "feed-damaged": self._begin_anew,
            "feed-open": self._close_segment,
            "feed-behind": self._tell,
            "rolled-back": self._accept,
            "document-gone": self._accept,
        }

    def mend(self, found: Finding) -> str:
        """Mends what was found, if it is still there; returns what was done, "" for nothing."""
        mender = self._menders.get(found.code)
        if mender is None:
            return ""
        try:
            return mender(found)
        except _UNREADABLE:
            return ""  # something else is wrong with it, too, which has a finding of its own

    # --- a document ---

    @contextmanager
    def _holding(self, document: DocumentId) -> Iterator[FileDocument]:
        """Holds a document's lock; afterwards its writer and the feed learn its state anew."""
        self._access.start()
        entry = self._access.entries.borrow(document, internal=True)
        try:
            entry.lock.acquire(self._access.lock_timeout_s)
            with self._access.finishing(entry):
                try:
                    yield entry.file
                finally:
                    entry.file.distrust()
        finally:
            self._access.entries.give_back(entry)
        exists = self._disk.fs.stat(self._disk.snapshot(document)) is not None
        if is_public(document):
            self._housekeeping.notice(document, ABSENT if exists else _NEVER)

    def _is_there(self, found: Finding, document: DocumentId) -> bool:
        """Whether a finding about a document still stands."""
        codes = {one.code for one in examine(self._disk, document).findings}
        return found.code in codes

    def _cut_tail(self, found: Finding) -> str:
        if found.document is not None and not self._dry_run:
            with self._holding(found.document) as file:
                file.catch_up()
        return "set the unfinished bytes aside"

    def _complete(self, found: Finding) -> str:
        if found.document is not None and not self._dry_run:
            with self._access.writing(found.document, internal=True):
                pass  # it completes what was begun
        return "complete it"

    def _cut_journal(self, found: Finding) -> str:
        document = found.document
        if document is None or not self._cut:
            return ""
        lines = _intact_lines(self._disk, document)
        text = f"cut it back to its {lines} intact lines; the whole is in the quarantine"
        if not lines:
            text = "set it aside: no line of it is intact"
        if self._dry_run:
            return text
        with self._holding(document):
            if not self._is_there(found, document):
                return ""
            path = self._disk.journal(document)
            file = self._disk.read_file(path)
            lines = _intact_lines(self._disk, document)
            if file is not None and lines:
                self._disk.quarantine(document, file.data, self._make_id)
                intact = _first_lines(file.data, lines)
                self._disk.put(self._disk.folder(document), path, intact)
            elif file is not None:
                self._disk.set_aside(path, self._make_id)
        return text

    def _move_journal(self, found: Finding) -> str:
        document = found.document
        if document is None or not (self._cut or self._is_known(document)):
            return ""
        if not self._dry_run:
            with self._holding(document):
                if self._is_there(found, document):
                    self._disk.set_aside(self._disk.journal(document), self._make_id)
        return "set it aside"

    def _is_known(self, document: DocumentId) -> bool:
        """Whether the owner of a foreign journal has everything that is in it."""
        records = _records_of(self._disk, document)
        head = records[0] if records else None
        if not isinstance(head, HeadRecord):
            return False
        category, _, name = head.document.rpartition("/")
        owner = layout.document_in(category, name + SUFFIXES[head.kind])
        if owner is None or not (layout.is_category(category) or not is_public(owner)):
            return True  # there cannot be one
        try:
            return read_document(self._disk, owner).basis.seq >= records[-1].seq
        except _UNREADABLE:
            return False

    # --- its plain file ---

    def _restore(self, found: Finding) -> str:
        document = found.document
        if document is None or _kept_bytes(self._disk, document) is None:
            return ""
        if not self._dry_run:
            with self._holding(document):
                data = _kept_bytes(self._disk, document)
                path = self._disk.snapshot(document)
                file = self._disk.read_file(path)
                if file is not None and data is not None and self._is_there(found, document):
                    self._disk.quarantine(document, file.data, self._make_id)
                    self._disk.put(self._disk.folder(document), path, data)
        return "write it anew from the history, byte for byte"

    # --- what is kept of it ---

    def _write_head(self, found: Finding) -> str:
        document = found.document
        if document is None:
            return ""
        text = "write it anew; the ids of its transactions are not recognised any more"
        if self._dry_run:
            return text
        with self._holding(document) as file:
            path = self._disk.resting(document)
            damaged = self._disk.read_file(path)
            if damaged is None or not self._is_there(found, document):
                return ""
            if _records_of(self._disk, document):
                self._disk.set_aside(path, self._make_id)  # the journal says what it said
                return "set it aside; the journal says what it said"
            self._disk.quarantine(document, damaged.data, self._make_id)
            snapshot = FileSnapshot.at(self._disk, document)
            seq, version = self._number(document, damaged.data, snapshot)
            file.write_head(seq, version, _value_of(snapshot))
        return text

    def _number(
        self, document: DocumentId, damaged: bytes, snapshot: FileSnapshot | None
    ) -> tuple[int, str | None]:
        """The number and version that a document has, as far as anything still tells it.

        If nothing tells that it is the state of the highest number known, it counts as an edit.
        """
        known: list[tuple[int, str | None]] = [(0, None)]
        proven: set[tuple[int, str | None]] = set()
        digest = None if snapshot is None else snapshot.digest()
        head = _lenient(damaged, document)
        if head is not None:
            known.append((head.seq, head.version))
            if (None if head.snapshot is None else head.snapshot.digest) == digest:
                proven.add((head.seq, head.version))
        known += self._feed.told([document]).lines[document][-1:]
        lines = _history_lines(self._disk, document)
        if lines:
            end = history.point_of(lines[-1])
            known.append((end.seq, end.version))
            if digest is not None and _bytes_at(lines, end, document) == digest:
                proven.add((end.seq, end.version))
        newest = max(known, key=lambda one: one[0])
        if digest is None:
            return newest[0] + (newest[1] is not None), None
        if newest in proven or newest[1] == f"{newest[0]}-{digest[:8]}":
            return newest
        return newest[0] + 1, f"{newest[0] + 1}-{digest[:8]}"

    def _mend_history(self, found: Finding) -> str:
        document = found.document
        if document is None:
            return ""
        if not self._dry_run:
            with self._holding(document):
                if self._is_there(found, document):
                    self._cut_history(document)
                if self._is_there(found, document):  # what is intact does not fit
                    self._disk.set_aside(history_path(self._disk, document), self._make_id)
        return "set aside what is not intact"

    def _cut_history(self, document: DocumentId) -> None:
        kept = History(self._disk, document, sys.maxsize, self._make_id)
        try:
            kept.ends_at(history.Point(-1, None))  # whoever opens it sets aside what is not intact
        except DamagedError:
            return
        finally:
            kept.close()

    # --- what writers leave ---

    def _move_temp(self, found: Finding) -> str:
        path = f"{self._disk.base}/{found.path}"
        name = found.path.rpartition("/")[2]
        if writers.owner(name) in writers.living(self._disk) or self._disk.fs.stat(path) is None:
            return ""
        if not self._dry_run:
            self._access.start()
            self._disk.set_aside(path, self._make_id)
        return "set it aside"

    def _bury(self, _: Finding) -> str:
        if not self._dry_run:
            self._access.start()
            self._housekeeping.bury_dead()
        return "fold what it left, tell the change feed, and remove its entry"

    # --- the change feed ---

    def _begin_anew(self, found: Finding) -> str:
        path = f"{self._disk.base}/{found.path}"
        segments = self._feed.segments()
        if not segments or segments[-1].path != path or segments[-1].full:
            return ""  # nobody writes to it any more
        file = self._disk.read_file(path)
        if file is None or not feed.bad_lines(file.data):
            return ""
        if not self._dry_run:
            self._access.start()
            self._feed.begin_anew(path)
        return "begin a new segment"

    def _close_segment(self, found: Finding) -> str:
        if not self._dry_run:
            self._access.start()
            self._feed.finish(f"{self._disk.base}/{found.path}")
        return "close it"

    def _accept(self, found: Finding) -> str:
        """Accepts that transactions are missing; a repair that was cut off may have cut them."""
        return self._tell(found) if self._cut else ""

    def _tell(self, found: Finding) -> str:
        document = found.document
        if document is None:
            return ""
        if not self._dry_run:
            self._access.start()
            lines = self._feed.told([document]).lines[document]
            told = lines[-1][1] if lines else None
            if not self._housekeeping.notice(document, told or ABSENT):
                return ""
        return "tell the change feed"


def _intact_lines(disk: Disk, document: DocumentId) -> int:
    """How many lines of a journal are in order and fit."""
    path = disk.shown(disk.journal(document))
    records = _records_of(disk, document)
    count = len(records)
    while count:
        try:
            check_records(records[:count], document, path)
            break
        except DamagedError as error:
            count = error.line - 1
    return _fitting(records[:count], FileSnapshot.at(disk, document)) if count else 0


def _records_of(disk: Disk, document: DocumentId) -> Sequence[Record]:
    """The lines of a journal as far as they can be read."""
    path = disk.journal(document)
    file = disk.read_file(path)
    data = b"" if file is None else file.data
    while True:
        try:
            return parse(data, path=disk.shown(path)).records
        except DamagedError as error:  # the checksum of that line is right, what it says is not
            data = _first_lines(data, error.line - 1)


def _first_lines(data: bytes, count: int) -> bytes:
    """So many lines; a carriage return, which a foreign hand may have left, ends none."""
    return b"".join(line + b"\n" for line in data.split(b"\n")[:count])


def _fitting(records: Sequence[Record], snapshot: FileSnapshot | None) -> int:
    """How many of some records can be replayed."""
    basis = find_basis(records, snapshot)
    applies = basis.kind != "edited"
    value: Json = None
    try:
        if applies and snapshot is not None:
            value = snapshot.value()
    except DamagedError:
        applies = False
    for transaction in basis.waiting:
        try:
            patch.validate(transaction.patch)
            if applies and transaction.deletes:
                value = None
            elif applies:
                value = patch.apply_trusted(value, transaction.patch)
            fits = not codec.is_too_deep(value)
        except (InvalidPatchError, PatchFailedError, RecursionError):
            fits = False
        if not fits:
            return next(at for at, one in enumerate(records) if one is transaction)
    return len(records)


def _history_lines(disk: Disk, document: DocumentId) -> list[Line]:
    path = history_path(disk, document)
    file = disk.read_file(path)
    try:
        return [] if file is None else history.parse(file.data, path=disk.shown(path)).records
    except _UNREADABLE:
        return []


def _kept_bytes(disk: Disk, document: DocumentId) -> bytes | None:
    """The bytes of the plain file, if the history has the state that a head names by digest."""
    for head in reversed(_records_of(disk, document) or [read_resting(disk, document)]):
        if isinstance(head, HeadRecord) and head.snapshot is not None:
            lines = _history_lines(disk, document)
            data = _encoded(lines, history.point_of(head), document)
            if data is not None and digest_of(data) == head.snapshot.digest:
                return data
    return None


def _bytes_at(lines: Sequence[Line], point: Point, document: DocumentId) -> str | None:
    data = _encoded(lines, point, document)
    return None if data is None else digest_of(data)


def _encoded(lines: Sequence[Line], point: Point, document: DocumentId) -> bytes | None:
    """A state that is kept, as its plain file would be written."""
    state = history.state_after(lines, point.seq)
    if state is None or state == "unkept" or state.version != point.version:
        return None
    text = document.kind == "markdown"
    return str(state.value).encode() if text else codec.encode_pretty(state.value)


def _lenient(data: bytes, document: DocumentId) -> HeadRecord | None:
    """A head whose checksum is wrong, if it can be read all the same."""
    try:
        members = _decode(data)
        members.pop("sum", None)
        head = msgspec.convert(members, HeadRecord)
    except msgspec.DecodeError:
        return None
    return head if (head.document, head.kind) == (str(document), document.kind) else None


def _value_of(snapshot: FileSnapshot | None) -> Json:
    try:
        return None if snapshot is None else snapshot.value()
    except DamagedError:
        return None
