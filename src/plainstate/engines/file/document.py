"""One document under its lock: committing, folding, replacing, deleting.

This is where a message goes when it is appended: `commit` asks each waiting
change for its patch and encodes one line each (`group.py`), writes them at the
end of the journal in one write and one fdatasync (`journal_file.py`), and only
then reports.  When the journal has outgrown its snapshot, `fold` writes the
snapshot anew.

Every method expects the caller to hold the document's lock and to have called `refresh`.
The order of system calls is the one in `docs/format/journal.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from plainstate.core import codec, record, summary
from plainstate.core.record import HeadRecord, Record, SnapshotRef, TransactionRecord
from plainstate.core.replay import find_basis, overrule
from plainstate.engines.file.disk import Disk
from plainstate.engines.file.group import (
    MovedError,
    Pending,
    Position,
    Staged,
    check_expected,
    duplicate,
)
from plainstate.engines.file.journal_file import JournalFile
from plainstate.engines.file.reader import (
    FileSnapshot,
    Reading,
    check_records,
    digest_of,
    empty_head,
    read_document,
    read_resting,
    unknown_outcome,
)
from plainstate.errors import AlreadyExistsError, OutcomeUnknownError, ValueTooLargeError
from plainstate.limits import FOLD_FLOOR_BYTES, FOLD_RATIO, RECENT_TX_IDS
from plainstate.types import Commit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plainstate.types import DocumentId, Json, Side

__all__ = ["FileDocument", "Services"]


class Services(msgspec.Struct, frozen=True):
    """What documents need from their engine: disk, clock and identifiers."""

    disk: Disk
    now: Callable[[], str]
    make_id: Callable[[], str]
    max_write_bytes: int


class FileDocument:
    """A document as its writer knows it.

    Attributes:
        id: which one.
        position: where it stands.
        recent: its last transaction ids, each with the version it made.
        synced_seq: the last transaction known durable.
        unsynced: lines were written without a sync.
    """

    def __init__(self, services: Services, document: DocumentId) -> None:
        self.id = document
        self.position = Position(0, None)
        self.recent: dict[str, str] = {}
        self.synced_seq = 0
        self.unsynced = False
        self._services = services
        self._disk = services.disk
        self._journal: JournalFile | None = None
        self._head = empty_head(document)
        self._lines_behind = 0
        self._suspect = False
        self._fold_at = 0

    # --- knowing the state ---

    @property
    def has_journal(self) -> bool:
        """Whether a journal lies beside the snapshot."""
        return self._journal is not None

    def refresh(self) -> None:
        """Makes this object agree with the disk.  One stat(2) if nobody else wrote.

        Raises:
            DamagedError, ForeignJournalError, FormatVersionError: the journal is not usable.
        """
        if self._suspect:
            self._trust_again()
        growth = None if self._journal is None else self._journal.growth()
        if self._journal is None or growth is None:
            self._open()
        elif growth:
            self._follow(self._accept(self._journal.read_new()))
        elif not self._lines_behind:
            self._check_snapshot([self._head])

    def close(self) -> None:
        """Closes the journal; the next `refresh` opens it again."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def load(self) -> Json:
        """The whole value, `None` if absent.

        Raises:
            EditConflictError, DamagedError: it cannot be read.
            MovedError: an edit by hand was found and folded in; refresh and start over.
        """
        reading = self._read()
        value = self._replay(reading)
        if reading.basis.kind != "clean" and reading.journal:
            self._fold(reading, value)
            raise MovedError
        return value

    def settle_edit(self) -> None:
        """Folds an edit by hand in, if there is one behind waiting lines."""
        if self._lines_behind and self._head.snapshot != _reference(self._snapshot()):
            reading = self._read()
            if reading.basis.kind != "clean":
                self._fold(reading, self._replay(reading))

    def committed_before(self, tx_id: str | None, expected: str | None) -> Commit | None:
        """The first commit of `tx_id`, if it is remembered (J-8).

        Raises:
            ConflictError: `expected` is not the current version.
        """
        if tx_id is not None and tx_id in self.recent:
            return duplicate(tx_id, self.recent[tx_id])
        check_expected(self.id, expected, self.position.version)
        return None

    def _open(self) -> None:
        self.close()
        self._disk.check_folder(self.id.category)
        path = self._disk.journal(self.id)
        records: Sequence[Record] = []
        if self._disk.fs.stat(path) is not None:
            self._journal, read = JournalFile.open(self._disk, path)
            try:
                check_records(read.records, self.id, self._disk.shown(path))
                records = self._accept(read)
            except BaseException:
                self.close()
                raise
        self.recent = {}
        if records:
            self._follow(records)
            return
        if self._journal is not None:  # its creation was cut off; the bytes are set aside
            self.close()
            self._disk.fs.unlink(path)
            self._sync_folder()
        self._adopt_resting()

    def _accept(self, read: record.Journal) -> Sequence[Record]:
        """Refuses damage, and sets a torn tail aside (J-5)."""
        if read.damage is not None:
            self.close()
            raise read.damage
        if read.torn and self._journal is not None:
            self._quarantine(read.torn)
            self._journal.cut()
        return read.records

    def _adopt_resting(self) -> None:
        head = read_resting(self._disk, self.id)
        snapshot = self._snapshot()
        basis = find_basis([head], snapshot)
        self.recent = dict(head.recent)
        if basis.kind != "clean":  # put there, changed or removed by hand
            head = self._make_head(basis.seq, basis.version, _reference(snapshot), None)
        self._stand_at(head)

    def _follow(self, records: Sequence[Record]) -> None:
        """Moves the known position along lines read from the journal."""
        for line in records:
            if isinstance(line, HeadRecord):
                self.recent.update(line.recent)
                self._remember(line.tx, line.version)
                self._stand_at(line)
            else:
                version = None if line.deletes else line.version
                after = self.position.after(self.id, line.version, line.patch)
                self.position = msgspec.structs.replace(after, version=version)
                self.synced_seq = max(self.synced_seq, line.synced_seq)
                self._lines_behind += 1
                self._remember(line.tx, line.version)
        last = records[-1] if records else None
        if not self._lines_behind or (isinstance(last, TransactionRecord) and last.deletes):
            self._check_snapshot(None)

    def _stand_at(self, head: HeadRecord) -> None:
        self._head = head
        self._lines_behind = 0
        self.position = Position(head.seq, head.version, head.summary)
        self.synced_seq = head.seq

    def _check_snapshot(self, records: Sequence[Record] | None) -> None:
        """Before a line behind a head: does the snapshot match that head (J-11)?

        Also finishes a delete that was cut off.
        """
        if records and find_basis(records, self._snapshot()).kind == "clean":
            return
        reading = self._read()
        if reading.basis.kind != "clean" or reading.basis.waiting:
            self._fold(reading, self._replay(reading))

    def _read(self) -> Reading:
        return read_document(self._disk, self.id)

    def _replay(self, reading: Reading) -> Json:
        return reading.value(self._disk, self.id)

    def _snapshot(self) -> FileSnapshot | None:
        return FileSnapshot.at(self._disk, self.id)

    def _remember(self, tx_id: str | None, version: str | None) -> None:
        if tx_id is not None and version is not None:
            self.recent[tx_id] = version
            while len(self.recent) > RECENT_TX_IDS:
                del self.recent[next(iter(self.recent))]

    # --- committing ---

    def commit(self, group: Sequence[Pending]) -> None:
        """Commits a group of changes with one write and one sync; each learns its outcome."""
        while True:
            staged = Staged(self, self._services.now, self._services.make_id)
            try:
                staged.add_all(group)
                break
            except MovedError:
                self.refresh()
        if staged.lines:
            sync = any(pending.sync for pending in group)
            try:
                self._write(b"".join(staged.lines), staged.check, len(staged.lines), sync=sync)
            except OSError as error:
                staged.fail(error)
                return
            for tx_id, version in staged.ids.items():
                self._remember(tx_id, version)
            self.position = staged.position
            self._lines_behind += len(staged.lines)
            self.unsynced = not sync
            if sync:
                self.synced_seq = self.position.seq
        staged.settle()

    def sync(self) -> None:
        """Makes lines durable that were written without a sync."""
        if self._journal is not None and self.unsynced:
            try:
                self._journal.sync()
            except OSError:
                self._suspect = True
                raise
        self.unsynced = False

    def chain_start(self) -> int:
        """The `sum` that the next line continues from."""
        if self._journal is not None:
            return self._journal.check
        return record.encode_head(self._head, previous=0)[1]

    def check_size(self, size: int) -> None:
        """Refuses a write that is over the limit (`ValueTooLargeError`)."""
        limit = self._services.max_write_bytes
        if size > limit:
            raise ValueTooLargeError(
                f"{self.id}: a write of {size:,} bytes is over the limit of {limit:,}",
                hint="Split it, keep large data in files of its own, or raise max_write_bytes.",
                pointer="",
                size_bytes=size,
                limit_bytes=limit,
            )

    def summarize(self, value: Json) -> dict[str, Json] | None:
        """The summary of a session's value, `None` for any other document."""
        return summary.summarize(value) if summary.is_session(self.id) else None

    def _write(self, data: bytes, check: int, lines: int, *, sync: bool) -> None:
        """Appends lines, creating the journal before the first."""
        try:
            if self._journal is not None:
                self._journal.append(data, check, lines, sync=sync)
                return
            folder = self._disk.make_folder(self.id.category)
            path = self._disk.journal(self.id)
            data = record.encode_head(self._head, previous=0)[0] + data
            self._journal = JournalFile.create(
                self._disk, folder, path, data, check, lines + 1, sync=sync
            )
        except OutcomeUnknownError:
            self._suspect = True
            raise

    def _trust_again(self) -> None:
        """After an unknown outcome: everything is written to new files (J-9)."""
        self.close()
        path = self._disk.journal(self.id)
        if self._disk.fs.stat(path) is not None:
            journal, _ = JournalFile.open(self._disk, path)
            try:
                journal.rewrite()
            finally:
                journal.close()
        self._open()
        if self._journal is not None:
            reading = self._read()
            self._fold(reading, self._replay(reading), force=True)
        self._suspect = False

    # --- folding ---

    @property
    def wants_fold(self) -> bool:
        """Whether the journal has outgrown its snapshot."""
        if self._journal is None or not self._lines_behind:
            return False
        snapshot = self._head.snapshot
        outgrown = snapshot.stamp[0] // FOLD_RATIO if snapshot else 0
        return self._journal.size > max(FOLD_FLOOR_BYTES, outgrown, self._fold_at)

    def postpone_fold(self) -> None:
        """After a failed fold: asks for it again when the journal has grown by a quarter."""
        if self._journal is not None:
            self._fold_at = self._journal.size + self._journal.size // 4

    def fold(self, *, rest: bool = False) -> bool:
        """Writes the snapshot so that it holds every transaction.

        Args:
            rest: remove the journal too, so that the plain file is all there is.

        Returns:
            Whether there was a journal to fold.

        Raises:
            EditConflictError, DamagedError: the document cannot be read.
        """
        if self._journal is None:
            return False
        reading = self._read()
        self._fold(reading, self._replay(reading), rest=rest)
        return True

    def _fold(
        self, reading: Reading, value: Json, *, rest: bool = False, force: bool = False
    ) -> None:
        basis = reading.basis
        exists = basis.version is not None
        if exists and (basis.waiting or force):
            data = self._encode(value)
            temp, stamp = self._disk.write_temp(self._disk.folder(self.id), data)
            reference: SnapshotRef | None = SnapshotRef(digest_of(data), stamp)
            head = self._make_head(basis.seq, basis.version, reference, value)
            self._announce(head, temp)
            self._install(temp)
        else:
            if not exists and reading.snapshot is not None:
                self._disk.fs.unlink(self._disk.snapshot(self.id))
                self._sync_folder()
            reference = _reference(reading.snapshot) if exists else None
            head = self._make_head(basis.seq, basis.version, reference, value)
        self._stand_at(head)
        self._fold_at = 0
        self.unsynced = False
        if rest or not exists:
            self._rest()
        else:
            self._rotate()

    def _announce(self, head: HeadRecord, temp: str) -> None:
        """Says durably which transactions the coming snapshot holds."""
        lean = msgspec.structs.replace(head, recent={})  # the lines before it tell them
        line, check = record.encode_head(lean, previous=self.chain_start())
        try:
            self._write(line, check, 1, sync=True)
        except BaseException:
            self._disk.discard(temp)
            raise

    def _install(self, temp: str) -> None:
        """Puts a new snapshot in its place, durably."""
        self._disk.move(temp, self._disk.snapshot(self.id))
        self._sync_folder()

    def _rotate(self) -> None:
        """Begins the journal anew behind the current head."""
        path = self._disk.journal(self.id)
        line, _ = record.encode_head(self._head, previous=0)
        self._disk.put(self._disk.folder(self.id), path, line)
        self.close()
        self._journal, _ = JournalFile.open(self._disk, path)

    def _rest(self) -> None:
        """Keeps the head aside and removes the journal."""
        self._put_resting(self._head)
        self.close()
        self._disk.fs.unlink(self._disk.journal(self.id))
        self._sync_folder()

    def _put_resting(self, head: HeadRecord) -> None:
        folder = self._disk.make_folder(f"heads/{self.id.category}", under=self._disk.meta)
        line, _ = record.encode_head(head, previous=0)
        self._disk.put(folder, self._disk.resting(self.id), line)

    def _sync_folder(self) -> None:
        folder = self._disk.folder(self.id)
        try:
            self._disk.fs.sync_folder(folder)
        except OSError as error:
            self._suspect = True
            raise unknown_outcome(self._disk.shown(folder), error) from error

    # --- replacing, deleting, renaming ---

    def replace(self, value: Json, *, tx_id: str | None, expected: str | None) -> Commit:
        """Makes `value` the document's snapshot."""
        self.settle_edit()
        done = self.committed_before(tx_id, expected)
        if done is not None:
            return done
        data = self._encode(value)
        self.check_size(len(data))
        temp, stamp = self._disk.write_temp(self._disk.make_folder(self.id.category), data)
        reference = SnapshotRef(digest_of(data), stamp)
        seq = self.position.seq + 1
        version = f"{seq}-{reference.digest[:8]}"
        used_id = tx_id or self._services.make_id()
        head = self._make_head(seq, version, reference, value, used_id)
        if tx_id or self.position.version is not None or self._journal is not None:
            self._announce(head, temp)
        # else: a new file without a head counts as put there by hand: same number, same version
        outgrown = self._lines_behind > 0
        self._install(temp)
        self._remember(used_id, version)
        self._stand_at(msgspec.structs.replace(head, recent=dict(self.recent)))
        if self._journal is not None and (outgrown or self._journal.size > FOLD_FLOOR_BYTES):
            self._rotate()
        return Commit(seq, version, used_id)

    def delete(self, *, tx_id: str | None, expected: str | None) -> Commit | None:
        """Deletes the document: one durable line first, then the files."""
        self.settle_edit()
        done = self.committed_before(tx_id, expected)
        if done is not None or self.position.version is None:
            return done
        pending = Pending(lambda _: record.DELETION, tx_id, None, sync=True)
        self.commit([pending])
        commit = pending.outcome()
        reading = self._read()
        self._fold(reading, None)
        return commit

    def rename_to(self, target: FileDocument) -> Commit:
        """Moves the document to an absent one; both locks are held."""
        if target.position.version is not None:
            raise AlreadyExistsError(
                f"{target.id} exists", hint="Choose another name.", document=str(target.id)
            )
        self.fold(rest=True)
        reference = _reference(self._snapshot())
        if reference is None:
            raise AssertionError("a document at rest has a snapshot")
        seq = target.position.seq + 1
        version = f"{seq}-{reference.digest[:8]}"
        folder = self._disk.make_folder(target.id.category)
        target.recent = dict(self.recent)
        moved = target._make_head(seq, version, reference, None)
        target._put_resting(msgspec.structs.replace(moved, summary=self._head.summary))
        self._disk.fs.rename(self._disk.snapshot(self.id), self._disk.snapshot(target.id))
        if folder != self._disk.folder(self.id):
            target._sync_folder()
        self._sync_folder()
        self._put_resting(self._make_head(self.position.seq + 1, None, None, None))
        return Commit(seq, version, self._services.make_id())

    def resolve(self, take: Side) -> Commit:
        """Settles a conflict between an edit by hand and waiting transactions."""
        reading = self._read()
        basis = reading.basis
        commit = Commit(basis.seq, basis.version or "", self._services.make_id())
        if basis.kind != "edited" or not basis.waiting:
            return commit
        if self._journal is None:
            raise AssertionError("transactions wait in a journal")
        if take == "file":
            self._quarantine(self._journal.read_all())
            self._fold(reading._replace(basis=basis._replace(waiting=())), None)
            return commit
        if reading.snapshot is not None:
            self._quarantine(reading.snapshot.data())
        value = overrule(basis, reading.snapshot)
        version = basis.version or f"{basis.seq}-{digest_of(self._encode(value))[:8]}"
        self._fold(reading._replace(basis=basis._replace(version=version)), value)
        return msgspec.structs.replace(commit, version=version)

    def _quarantine(self, data: bytes) -> None:
        self._disk.quarantine(self.id, data, self._services.make_id)

    def _make_head(
        self,
        seq: int,
        version: str | None,
        snapshot: SnapshotRef | None,
        value: Json,
        tx_id: str | None = None,
    ) -> HeadRecord:
        return HeadRecord(
            plainstate=record.FORMAT,
            document=str(self.id),
            kind=self.id.kind,
            seq=seq,
            version=version,
            snapshot=snapshot,
            time=self._services.now(),
            tx=tx_id,
            recent=dict(self.recent),
            summary=self.summarize(value),
            extra=self._head.extra,
        )

    def _encode(self, value: Json) -> bytes:
        if self.id.kind == "markdown":
            return str(value).encode("utf-8")
        return codec.encode_pretty(value)


def _reference(snapshot: FileSnapshot | None) -> SnapshotRef | None:
    return None if snapshot is None else SnapshotRef(snapshot.digest(), snapshot.stamp)
