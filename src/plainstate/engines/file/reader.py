"""Reading a document without a lock (J-6).

The journal is read first, then the snapshot, and then both names are looked at
again: the pair counts only if neither file was replaced meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from plainstate.core import codec
from plainstate.core.digest import blake2b
from plainstate.core.record import HeadRecord, Record, TransactionRecord, parse
from plainstate.core.replay import Basis, find_basis, replay
from plainstate.engines.file.disk import stamp_of
from plainstate.errors import (
    DamagedError,
    ForeignJournalError,
    FormatVersionError,
    InvalidValueError,
    OutcomeUnknownError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate.engines.file.disk import Disk, File
    from plainstate.types import DocumentId, Json, Kind

__all__ = [
    "FileSnapshot",
    "Reading",
    "check_records",
    "digest_of",
    "empty_head",
    "has_trace",
    "read_document",
    "read_resting",
    "seems_edited",
    "unknown_outcome",
]

_ATTEMPTS: Final = 1000


def empty_head(document: DocumentId) -> HeadRecord:
    """The head of a document that nobody ever wrote."""
    return HeadRecord(
        plainstate=1,
        document=str(document),
        kind=document.kind,
        seq=0,
        version=None,
        snapshot=None,
        time="",
    )


def unknown_outcome(shown: str, error: OSError) -> OutcomeUnknownError:
    """The error for a write that could neither be made durable nor taken back."""
    return OutcomeUnknownError(
        f"{shown}: {error.strerror}; what was written may or may not be there after a restart",
        hint="Check the disk, then retry with the same tx_id: that is safe either way.",
        path=shown,
        errno=error.errno,
    )


def digest_of(*pieces: bytes) -> str:
    """BLAKE2b-128 in hex, the digest of a snapshot's bytes."""
    return blake2b(*pieces, size_bytes=16).hex()


class FileSnapshot:
    """A snapshot file that is read, hashed and decoded only when asked."""

    def __init__(
        self, stamp: tuple[int, int, int], read: Callable[[], bytes], kind: Kind, shown: str
    ) -> None:
        self.stamp = stamp
        self._read = read
        self._kind = kind
        self._shown = shown
        self._digest: str | None = None

    @classmethod
    def at(cls, disk: Disk, document: DocumentId) -> FileSnapshot | None:
        """The snapshot as it lies there now; `None` if there is none.  One stat(2)."""
        path = disk.snapshot(document)
        status = disk.fs.stat(path)
        if status is None:
            return None

        def read() -> bytes:
            file = disk.read_file(path)
            return b"" if file is None else file.data

        return cls(stamp_of(status), read, document.kind, disk.shown(path))

    def data(self) -> bytes:
        """Its bytes."""
        return self._read()

    def let_go(self) -> None:
        """Frees the bytes: nothing but the stamp is asked for from now on."""
        del self._read

    def digest(self) -> str:
        """BLAKE2b-128 of its bytes, in hex."""
        if self._digest is None:
            self._digest = digest_of(self._read())
        return self._digest

    def value(self) -> Json:
        """The decoded content.

        Raises:
            DamagedError: it is not JSON, or not UTF-8.
        """
        data = self._read()
        try:
            return data.decode("utf-8") if self._kind == "markdown" else codec.decode(data)
        except (InvalidValueError, UnicodeDecodeError) as error:
            raise DamagedError(
                f"{self._shown} is not readable: {error}",
                hint="Correct the file by hand, or restore it from a copy; it is left as it is.",
                path=self._shown,
                line=0,
            ) from error


class Reading(Struct, frozen=True):
    """A document as the disk holds it.

    Attributes:
        basis: which transactions count.
        snapshot: the snapshot file, `None` if there is none.
        records: the journal's, or the resting head alone.
        journal: whether there is a journal with an intact head.
        lines: stamp of the journal, bytes of its intact lines, and `sum` of the last one; `None`
            if there is none.
    """

    basis: Basis
    snapshot: FileSnapshot | None
    records: Sequence[Record]
    journal: bool
    lines: tuple[tuple[int, int, int], int, int] | None = None

    def value(self, disk: Disk, document: DocumentId) -> Json:
        """Replays the document; `None` if it is absent."""
        path = disk.shown(disk.snapshot(document))
        return replay(self.basis, self.snapshot, document=str(document), path=path)


def read_document(disk: Disk, document: DocumentId, *, salvage: bool = False) -> Reading:
    """Reads journal and snapshot as one consistent pair.

    Args:
        disk: the store.
        document: what to read.
        salvage: take the intact lines before a damaged one instead of raising.

    Raises:
        DamagedError: a line that was acknowledged is not intact.
        StorageError: the document was replaced during every attempt.
    """
    before = None
    for _ in range(_ATTEMPTS):
        reading, damage, seen = _attempt(disk, document)
        if damage is not None and not salvage:
            # a line may look damaged while its writer repairs the tail: look twice
            if before == seen:
                raise damage
            before = seen
        elif reading is not None:
            return reading
    shown = disk.shown(disk.snapshot(document))
    raise StorageError(
        f"{shown} changed during every attempt to read it", hint="Try again.", path=shown
    )


def _attempt(
    disk: Disk, document: DocumentId
) -> tuple[Reading | None, DamagedError | None, object]:
    journal_path, snapshot_path = disk.journal(document), disk.snapshot(document)
    journal_file = disk.read_file(journal_path)
    damage = None
    records: Sequence[Record] = []
    lines = None
    if journal_file is not None:
        journal = parse(journal_file.data, path=disk.shown(journal_path))
        damage, records = journal.damage, journal.records
        lines = journal_file.stamp, journal.size, journal.check
        check_records(records, document, disk.shown(journal_path))
    has_journal = bool(records)
    if not records:
        records = [read_resting(disk, document)]
    file = disk.read_file(snapshot_path)
    snapshot = None
    if file is not None:
        data = file.data
        snapshot = FileSnapshot(file.stamp, lambda: data, document.kind, disk.shown(snapshot_path))
    basis = find_basis(records, snapshot)
    seen = (journal_file, file)
    if basis.kind == "clean":  # then lines that were added since do no harm
        same_journal = _goes_on(disk, journal_path, journal_file)
    else:  # a line that is written over blanks changes no stamp that could be relied on
        same_journal = disk.read_file(journal_path) == journal_file
    stable = same_journal and _is_unchanged(disk, snapshot_path, file)
    if stable and not has_journal and basis.kind != "clean":
        stable = records == [read_resting(disk, document)]
    if not stable:
        return None, damage, seen
    return Reading(basis, snapshot, records, has_journal, lines), damage, seen


def _is_unchanged(disk: Disk, path: str, file: File | None) -> bool:
    """Whether a plain file is still the one read."""
    status = disk.fs.stat(path)
    return (None if status is None else stamp_of(status)) == (None if file is None else file.stamp)


def _goes_on(disk: Disk, path: str, file: File | None) -> bool:
    """Whether a journal is still the one read, or a longer one."""
    status = disk.fs.stat(path)
    if status is None or file is None:
        return status is None and file is None
    size, inode, _ = file.stamp
    return status.st_ino == inode and status.st_size >= size


def read_resting(disk: Disk, document: DocumentId) -> HeadRecord:
    """The head of a document at rest; an empty one if it never had one."""
    path = disk.resting(document)
    file = disk.read_file(path)
    if file is None:
        return empty_head(document)
    journal = parse(file.data, path=disk.shown(path))
    head = journal.records[0] if len(journal.records) == 1 else None
    if not isinstance(head, HeadRecord) or journal.torn or journal.damage:
        raise DamagedError(
            f"{disk.shown(path)} does not hold one intact head line",
            hint="`plainstate repair` writes it anew; the document itself is whole.",
            path=disk.shown(path),
            line=1,
        )
    check_records([head], document, disk.shown(path))
    return head


def seems_edited(disk: Disk, document: DocumentId) -> bool:
    """Whether a document's plain file may have been changed by hand: it is not the one that
    the last head names.  Reads no plain file and takes no lock."""
    status = disk.fs.stat(disk.snapshot(document))
    path = disk.journal(document)
    file = disk.read_file(path)
    try:
        records = [] if file is None else parse(file.data, path=disk.shown(path)).records
        heads = [one for one in records if isinstance(one, HeadRecord)]
        named = (heads[-1] if heads else read_resting(disk, document)).snapshot
    except (DamagedError, FormatVersionError):
        return True
    return (None if named is None else named.stamp) != (
        None if status is None else stamp_of(status)
    )


def has_trace(disk: Disk, document: DocumentId) -> bool:
    """Whether anything but the feed tells that there is, or was, such a document."""
    paths = disk.snapshot(document), disk.resting(document), disk.journal(document)
    return any(disk.fs.stat(path) is not None for path in paths)


def check_records(records: Sequence[Record], document: DocumentId, path: str) -> None:
    """Refuses a journal that begins without a head or belongs elsewhere."""
    if not records:
        return
    head = records[0]
    if not isinstance(head, HeadRecord):
        raise DamagedError(
            f"{path}, line 1: the journal does not begin with a head",
            hint="Restore the file from a copy, or give it up: `plainstate repair --cut`.",
            path=path,
            line=1,
        )
    if (head.document, head.kind) != (str(document), document.kind):
        raise ForeignJournalError(
            f"{path} belongs to {head.document} ({head.kind}), not to {document}",
            hint="Move it back beside its document, or aside; rename documents with "
            "`plainstate mv` or StateStore.rename.",
            path=path,
            line=1,
            belongs_to=head.document,
        )
    _check_order(records, path)


def _check_order(records: Sequence[Record], path: str) -> None:
    """Each transaction has the number behind the line before it (J-4).

    A head may take back one that was announced in vain, but no transaction.
    """
    seqs = [record.seq for record in records]
    if seqs == list(range(seqs[0], seqs[0] + len(seqs))):
        return  # as nearly all of them
    committed = 0
    for number, (before, record) in enumerate(pairwise(records), 2):
        if isinstance(record, TransactionRecord):
            in_order = record.seq == before.seq + 1
            what, committed = "transaction", record.seq
        else:
            in_order = record.seq >= committed
            what = "a head with number"
        if not in_order:
            raise DamagedError(
                f"{path}, line {number}: {what} {record.seq} follows number {before.seq}",
                hint="Lines are missing; restore the file from a copy.",
                path=path,
                line=number,
            )
