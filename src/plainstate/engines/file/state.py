"""What a writer knows about one document, and what every operation on it needs.

state.py     what is known, lines to the journal, heads
folding.py   writing the snapshot: fold, replace, delete, rename
document.py  following other writers, committing: where a message is appended
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import msgspec

from plainstate.core import codec, feed, record, summary
from plainstate.core.record import HeadRecord, Record, SnapshotRef
from plainstate.engines.file.disk import Disk
from plainstate.engines.file.feed import Feed
from plainstate.engines.file.history import History
from plainstate.engines.file.journal_file import JournalFile
from plainstate.engines.file.position import Position, check_expected, duplicate
from plainstate.engines.file.reader import (
    FileSnapshot,
    Reading,
    empty_head,
    read_document,
    unknown_outcome,
)
from plainstate.errors import DamagedError, OutcomeUnknownError, ValueTooLargeError
from plainstate.limits import RECENT_TX_IDS
from plainstate.types import is_public

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plainstate.types import Action, Commit, DocumentId, Json

__all__ = ["DocumentState", "Services", "reference_to", "remember", "stamp_or_absent"]


class Services(msgspec.Struct, frozen=True):
    """What documents need from their engine: disk, clock, identifiers and change feed."""

    disk: Disk
    now: Callable[[], str]
    make_id: Callable[[], str]
    make_tx_id: Callable[[], str]
    max_write_bytes: int
    feed: Feed
    history_bytes: int


class DocumentState:
    """A document as its writer knows it.

    Attributes:
        id: which one.
        position: where it stands.
        recent: its last transaction ids, each with the version it made (`None`: if it took effect).
        synced_seq: the last transaction known durable.
        is_session: whether it is a session by its place.
        is_public: whether the change feed tells of it.
        has_journal: whether a journal lies beside the snapshot, as far as is known.
        untold: there may be a commit that the change feed was not told of.

    Inside:
        _head: the newest head: what the journal's last lines continue from.
        _lines_behind: transactions in the journal behind that head.
        _has_earlier_lines: the journal has transactions before that head.
        _complete: all lines, if `catch_up` has just read the journal from its beginning.
        _unproven: a replacing head whose snapshot may not have taken effect.
        _verified: stamp of the snapshot file that was seen to match the head.
        _edited_at_rest: the plain file is not what the resting head says.
        _names_durable: the folder was synced since these files got their names.
        _suspect: after an unknown outcome nothing on the old descriptors counts.
        _fold_at: size from which on a fold that failed is tried again.
        _stale: after a failure, or a read that found damage, what is known may lag behind the disk.
    """

    def __init__(self, services: Services, document: DocumentId) -> None:
        self.id = document
        self.is_session = summary.is_session(document)
        self.is_public = is_public(document)
        self.position = Position(0, None)
        self.recent: dict[str, str | None] = {}
        self.synced_seq = 0
        self.has_journal = False
        self.untold = False
        self._services = services
        self._disk = services.disk
        self._snapshot_path = self._disk.snapshot(document)
        self._journal: JournalFile | None = None
        self._history = History(self._disk, document, services.history_bytes, services.make_id)
        self._head = empty_head(document)
        self._lines_behind = 0
        self._has_earlier_lines = False
        self._suspect = False
        self._names_durable = False
        self._complete: Sequence[Record] = []
        self._unproven: HeadRecord | None = None
        self._verified: tuple[int, int, int] | Literal["absent", "unknown"] = "unknown"
        self._edited_at_rest = False
        self._fold_at = 0
        self._stale = False

    def close(self) -> None:
        """Closes the journal; the next `refresh` opens it again."""
        self._history.close()
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def distrust(self) -> None:
        """After a failure or interruption: what is known may lag behind the disk; read it again."""
        self._stale = True
        self.close()

    def doubt(self) -> None:
        """As `distrust`, for a reader, who does not hold the lock."""
        self._stale = True

    def committed_before(self, tx_id: str | None, expected: str | None) -> Commit | None:
        """The first commit of `tx_id`, if it is remembered (J-8).

        Raises:
            ConflictError: `expected` is not the current version.
        """
        if tx_id is not None and tx_id in self.recent:
            commit = duplicate(self.id, tx_id, self.recent[tx_id])
            self._make_durable(commit)
            return commit
        check_expected(self.id, expected, self.position.version)
        return None

    def _make_durable(self, commit: Commit) -> None:
        """Before a duplicate is acknowledged: its line, or its name, may never have been synced."""
        if self._journal is None:
            return
        if commit.seq > self.synced_seq:
            self.sync()
        self.sync_names()

    def sync(self) -> None:
        """Makes lines durable that were written without a sync."""
        if self._journal is not None and self.position.seq > self.synced_seq:
            try:
                self._journal.sync()
            except OSError:
                self._suspect = True
                raise
            self.synced_seq = self.position.seq
            self.sync_names()

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
        return summary.summarize(value) if self.is_session else None

    def _stand_at(self, head: HeadRecord) -> None:
        """The document is what `head` says; whether its snapshot is in place is another matter."""
        self._head = head
        self._lines_behind = 0
        self.position = Position(head.seq, head.version, head.summary)
        self.synced_seq = head.seq

    def _remember(self, made: dict[str, str]) -> None:
        """Notes transaction ids, each with the version it made; forgets the oldest."""
        remember(self.recent, made)

    def _read(self) -> Reading:
        return read_document(self._disk, self.id)

    def _replay(self, reading: Reading) -> Json:
        return reading.value(self._disk, self.id)

    def _snapshot(self) -> FileSnapshot | None:
        return FileSnapshot.at(self._disk, self.id)

    def sync_names(self) -> None:
        """Whoever made these files may have died before syncing their names."""
        if not self._names_durable:
            self.sync_folder()

    def _create(
        self,
        data: bytes,
        check: int,
        lines: int,
        *,
        sync: bool,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Creates the journal with its first lines; arguments as in `LineFile.create`."""
        try:
            self._disk.make_folder(self.id.category)
            self._keep_at_rest()
            path = self._disk.journal(self.id)
            data = record.encode_head(self._head, previous=0)[0] + data
            self._journal = JournalFile.create(
                self._disk, path, data, check, lines + 1, sync=sync, meanwhile=meanwhile
            )
            self._names_durable = self.has_journal = True
        except OutcomeUnknownError:
            self._suspect = True
            raise

    def _keep_at_rest(self) -> None:
        """Before the first line on top of it: keeps a file that the history may not know."""
        if self._history.wanted and (self._edited_at_rest or not self._history.is_there()):
            with suppress(DamagedError):  # it can be deleted; anything else is refused elsewhere
                self._keep(self._read())

    def _keep(self, reading: Reading, value: Json = None) -> None:
        """Brings the history up to what the document's files tell, before that is overwritten."""
        if not self._history.wanted:
            return
        if self._journal is not None:
            self.sync()
            self.sync_names()
        if reading.basis.kind == "edited" and reading.snapshot is not None:
            self._sync_edited()
        records = self._read().records  # a replay of `reading` has changed its patches
        self._history.keep(records, reading, value, self._services.now())

    def _sync_edited(self) -> None:
        """An editor may not have synced what it saved."""
        fd = self._disk.fs.open_read(self._snapshot_path)
        try:
            self._disk.fs.sync(fd)
        finally:
            self._disk.fs.close(fd)
        self.sync_folder()

    def sync_moved(self, fd: int) -> None:
        """Makes the snapshot durable once more, under the name that it has now.

        Raises:
            OutcomeUnknownError: nobody knows under which name a crash leaves it.
        """
        try:
            self._disk.fs.sync(fd)
        except OSError as error:
            self._suspect = True
            raise unknown_outcome(self._disk.shown(self._snapshot_path), error) from error

    def sync_folder(self) -> None:
        """Makes the names in the document's folder durable.

        Raises:
            OutcomeUnknownError: nobody knows whether they are.
        """
        folder = self._disk.folder(self.id)
        try:
            self._disk.fs.sync_folder(folder)
            self._names_durable = True
        except OSError as error:
            self._suspect = True
            raise unknown_outcome(self._disk.shown(folder), error) from error

    def tell(
        self,
        action: Action,
        seq: int,
        version: str | None,
        tx_id: str = "",
        *,
        summary: dict[str, Json] | None = None,
        moved: DocumentId | None = None,
    ) -> None:
        """Adds a line to the change feed; the commit is durable and the lock still held (F-1)."""
        moved = moved if moved is not None and is_public(moved) else None
        line = self._line_to_tell(action, seq, version, tx_id, summary, moved)
        self._tell(line)

    def _line_to_tell(
        self,
        action: Action,
        seq: int,
        version: str | None,
        tx_id: str,
        summary: dict[str, Json] | None,
        moved: DocumentId | None = None,
    ) -> bytes:
        """The line for the change feed; empty where nobody is told of this document."""
        if not self.is_public:
            return b""
        now = self._services.now()
        return feed.encode(self.id, action, seq, version, tx_id, now, summary=summary, moved=moved)

    def _tell(self, line: bytes, open_segment: int = 0) -> None:
        """See `Feed.tell`."""
        self.untold = bool(line) and not self._services.feed.tell([line], open_segment)

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

    def _encode(self, value: Json, text: bytes | None = None) -> Sequence[bytes]:
        """The bytes of a snapshot, in pieces; `text` as in `Engine.replace`."""
        if self.id.kind == "markdown":
            return (str(value).encode("utf-8"),)
        return codec.pretty_pieces(codec.encode(value) if text is None else text)

    def _quarantine(self, data: bytes) -> None:
        self._disk.quarantine(self.id, data, self._services.make_id)


def remember(recent: dict[str, str | None], made: dict[str, str]) -> None:
    """Adds transaction ids, each with the version it made; forgets the oldest."""
    recent.update(made)
    while len(recent) > RECENT_TX_IDS:
        del recent[next(iter(recent))]


def reference_to(snapshot: FileSnapshot | None) -> SnapshotRef | None:
    """Names a snapshot by digest and stamp."""
    return None if snapshot is None else SnapshotRef(snapshot.digest(), snapshot.stamp)


def stamp_or_absent(snapshot: FileSnapshot | None) -> tuple[int, int, int] | Literal["absent"]:
    """What tells whether a snapshot is still the one seen before."""
    return "absent" if snapshot is None else snapshot.stamp
