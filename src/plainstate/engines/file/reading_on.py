"""Reading on from where a document was read before, without a lock.

Only where lines were appended since: then nothing else needs to be looked at.  Whatever else
happened to the files, they must be read anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from plainstate.core.record import HeadRecord, TransactionRecord, end_of_line, parse
from plainstate.engines.file.disk import stamp_of
from plainstate.engines.file.reader import read_resting
from plainstate.errors import DamagedError, FormatVersionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plainstate.core.record import Record
    from plainstate.engines.file.disk import Disk, File
    from plainstate.engines.file.reader import Reading
    from plainstate.types import DocumentId

__all__ = ["End", "end_of", "read_on"]


class End(NamedTuple):
    """Where a document was read to.

    Attributes:
        seq: number of its last transaction.
        version: its version.
        plain: stamp of its plain file, `None` if there was none.
        journal: inode of its journal, `None` if there was none.
        size: bytes of the journal's intact lines.
        check: `sum` of the last one.
    """

    seq: int
    version: str
    plain: tuple[int, int, int] | None
    journal: int | None = None
    size: int = 0
    check: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes of both files."""
        return self.size + (self.plain[0] if self.plain else 0)


def end_of(reading: Reading) -> End | None:
    """Where a reading ended; `None`: nothing is ever appended to that."""
    basis, snapshot = reading.basis, reading.snapshot
    if basis.kind != "clean" or basis.version is None or reading.journal != bool(reading.lines):
        return None
    plain = None if snapshot is None else snapshot.stamp
    if reading.lines is None:
        return End(basis.seq, basis.version, plain)
    (_, inode, _), size, check = reading.lines
    return End(basis.seq, basis.version, plain, inode, size, check)


def read_on(
    disk: Disk, document: DocumentId, end: End
) -> tuple[Sequence[TransactionRecord], End] | None:
    """The transactions behind `end`, and where they end; `None`: read the document anew."""
    disk.check_folder(document.category)
    last = end_of_line(end.check) if end.size else b""
    journal = disk.read_lines(disk.journal(document), since=end.size - len(last))
    records: Sequence[Record] = []
    reached: End | None = end
    if journal is None:
        same = end.journal is None and read_resting(disk, document).version == end.version
    else:
        records, reached = _new_lines(disk, document, end, journal, last)
        status = disk.fs.stat(disk.journal(document))  # or it was folded behind that read
        same = status is not None and status.st_ino == journal.stamp[1]
    plain = disk.fs.stat(disk.snapshot(document))
    if not same or reached is None or (None if plain is None else stamp_of(plain)) != end.plain:
        return None
    added = [one for one in records if isinstance(one, TransactionRecord) and not one.deletes]
    return (added, reached) if len(added) == len(records) else None


def _new_lines(
    disk: Disk, document: DocumentId, end: End, file: File, last: bytes
) -> tuple[Sequence[Record], End | None]:
    """The lines that the journal has got behind its `last` one, and where they end, if they
    continue `end`."""
    inode = file.stamp[1]
    if end.journal not in (None, inode) or not file.data.startswith(last):
        return [], None  # inodes are used again
    new = file.data[len(last) :]
    try:
        journal = parse(new, path=disk.shown(disk.journal(document)), previous=end.check)
    except (DamagedError, FormatVersionError):
        return [], None  # reading anew says what is wrong, and in which line
    if journal.torn or journal.damage:
        return [], None
    records: Sequence[Record] = journal.records
    if end.journal is None:
        if not records or not _continues(records[0], end):
            return [], None
        records = records[1:]
    seq, version = (records[-1].seq, str(records[-1].version)) if records else end[:2]
    check = journal.check if journal.size else end.check
    return records, End(seq, version, end.plain, inode, end.size + journal.size, check)


def _continues(record: Record, end: End) -> bool:
    """Whether a new journal begins where a document at rest was."""
    head = record if isinstance(record, HeadRecord) else None
    if head is None:
        return False
    plain = None if head.snapshot is None else head.snapshot.stamp
    return (head.seq, head.version, plain) == end[:3]
