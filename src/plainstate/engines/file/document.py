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

import copy
from typing import TYPE_CHECKING

from plainstate.core import record
from plainstate.core.record import HeadRecord, Record
from plainstate.core.replay import find_basis
from plainstate.engines.file.disk import stamp_of
from plainstate.engines.file.folding import Folding
from plainstate.engines.file.group import MovedError, Pending, Staged
from plainstate.engines.file.journal_file import JournalFile
from plainstate.engines.file.position import Position
from plainstate.engines.file.reader import check_records, read_resting
from plainstate.engines.file.state import reference_to, stamp_or_absent
from plainstate.engines.file.untold import untold
from plainstate.errors import OutcomeUnknownError
from plainstate.limits import FOLD_FLOOR_BYTES, FOLD_RATIO, RECENT_TX_IDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plainstate.core.record import TransactionRecord
    from plainstate.engines.file.reader import Reading
    from plainstate.engines.file.untold import ToldLine
    from plainstate.types import Commit, Json

__all__ = ["FileDocument"]


class FileDocument(Folding):
    """A document as the engine uses it."""

    def refresh(self) -> None:
        """Makes this object agree with the disk.  Two stat(2) if nobody else wrote."""
        self.catch_up()
        self.settle()

    def catch_up(self) -> None:
        """Reads what others appended to the journal.

        Raises:
            DamagedError, ForeignJournalError, FormatVersionError: the journal is not usable.
        """
        self._complete = []
        if self._suspect:
            self._trust_again()
        if self._stale:
            self.close()
        journal = self._journal
        growth = None if journal is None else journal.growth()
        if journal is None or growth is None:
            self._open()
        elif growth:
            self._follow(self._accept(journal.read_new()))

    def settle(self) -> None:
        """Before a line is written: is the snapshot the one that the journal continues (J-11)?

        If not, a fold was cut off or somebody edited the file: that is settled now.  Also
        finishes a delete that was cut off.

        Raises:
            EditConflictError: an edit by hand needs a decision.
        """
        if self._stale:
            self.catch_up()
        status = self._disk.fs.stat(self._snapshot_path)
        seen = "absent" if status is None else stamp_of(status)
        deleted = self.position.version is None and self._lines_behind > 0
        if seen == self._verified and not deleted and self._unproven is None:
            return
        snapshot = self._snapshot()
        stamp = stamp_or_absent(snapshot)
        records = self._complete
        if records and not deleted and find_basis(records, snapshot).kind == "clean":
            self._prove(taken=True)
        else:
            reading = self._read()
            if reading.basis.kind != "clean" or deleted:
                if (
                    self._unproven is not None
                    and reading.snapshot is not None
                    and (reading.basis.kind == "edited")
                ):
                    self.recent[str(self._unproven.tx)] = None  # nobody can know any more
                self._unproven = None
                self._fold(reading, self._replay(reading))
                return
            self._prove(taken=True)
        self._verified = stamp

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

    def commit(self, group: Sequence[Pending]) -> None:
        """Commits a group of changes with one write and one sync; each learns its outcome."""
        feed = self._services.feed
        staged = self.begin_commit(group)
        segment = feed.look() if staged.told else 0  # while the disk writes
        self.confirm(staged)
        self.settle_commit(staged, told=not staged.told or feed.tell(staged.told, segment))

    def begin_commit(self, group: Sequence[Pending]) -> Staged:
        """Writes the lines of a group.  Then call `confirm`, tell the feed, and `settle_commit`."""
        while True:
            at, journal = self.position, self._journal
            check = self.chain_start() if journal is None else journal.check
            staged = Staged(self, self.load, self._services, at, at.version, check)
            try:
                staged.add_all(group)
                break
            except MovedError:
                self.refresh()
        if staged.lines:
            self.untold = True
            data = b"".join(staged.lines)
            try:
                if journal is None:
                    lines, prepare = len(staged.lines), staged.prepare
                    self._create(data, staged.check, lines, sync=staged.sync, meanwhile=prepare)
                else:
                    journal.write(data, sync=staged.sync)
                    staged.size = len(data)
                    staged.prepare()
            except OSError as error:
                self._fail(staged, error)
            except BaseException:
                self.close()  # interrupted: the next refresh finds out how far it came
                raise
        return staged

    def confirm(self, staged: Staged) -> None:
        """Makes them durable, unless that is done, or failed."""
        if not staged.size:
            return
        if self._journal is None:
            raise AssertionError("a journal that was written to stays open until that is settled")
        try:
            self._journal.confirm(staged.size, staged.check, len(staged.lines), sync=staged.sync)
            if staged.sync and not self._names_durable:
                self.sync_folder()
        except OSError as error:
            self._fail(staged, error)
        except BaseException:
            self.close()
            raise

    def settle_commit(self, staged: Staged, *, told: bool) -> None:
        """Each change learns its outcome; `told`: the change feed knows of it."""
        if staged.lines:
            self._remember(staged.ids)
            self.position = at = staged.position
            self._lines_behind += len(staged.lines)
            if staged.sync:
                self.synced_seq = at.seq
            self.untold = not told
        for pending in staged.staged:
            pending.settled = True
        if staged.repeated:
            self._settle_repeated(staged.repeated)

    def _settle_repeated(self, repeated: Sequence[Pending]) -> None:
        failure: OSError | None = None
        for pending in repeated:
            if pending.sync and failure is None and pending.commit is not None:
                try:
                    self._make_durable(pending.commit)
                except OSError as error:
                    failure = error
            if pending.sync and failure is not None:
                pending.fail(copy.copy(failure))
            else:
                pending.settled = True
        if failure is not None:
            self.distrust()

    def _fail(self, staged: Staged, error: OSError) -> None:
        self.close()
        self.untold = isinstance(error, OutcomeUnknownError)
        self._suspect = self._suspect or self.untold
        staged.fail(error)

    def delete(
        self, *, tx_id: str | None, expected: str | None, forget: bool = False
    ) -> Commit | None:
        """Deletes the document: one durable line first, then the files."""
        done = self.committed_before(tx_id, expected)
        if done is not None:
            return done
        if self.position.version is None:
            if forget:
                self.forget()
            return None
        pending = Pending(lambda _: record.DELETION, tx_id, None, sync=True)
        self.commit([pending])
        commit = pending.outcome()
        with self._postponing():
            if forget:
                self.forget()
            else:
                self._fold(self._read(), None)
        return commit

    def tell_behind(
        self,
        told: Sequence[ToldLine],
        *,
        unsure: Sequence[ToldLine] = (),
        complete: bool = False,
        secure: bool = False,
    ) -> None:
        """Tells the feed what it lacks; see `untold.py` for the arguments.

        With `secure`, what was written by whoever did not tell it is made durable before.

        Raises:
            DamagedError: the document cannot be read.
        """
        if secure and self._suspect:
            self._trust_again()
        reading = self._read()
        if secure and not reading.journal and reading.basis.head.moving:
            self._secure(reading)  # the move, before its mark goes
            self.settle_move(reading.basis.head)
            reading = self._read()
        lines = untold(reading, told, unsure=unsure, complete=complete) if self.is_public else []
        if lines and secure:
            self._secure(reading)
        for line in lines:
            self.tell(line.action, line.seq, line.version, line.tx)
        if secure and not lines:
            self.untold = False

    def _secure(self, reading: Reading) -> None:
        """Makes durable what somebody wrote who may have been killed before the sync."""
        try:
            if reading.journal:
                fd = self._disk.fs.open_append(self._disk.journal(self.id))
                try:
                    self._disk.fs.sync(fd)
                finally:
                    self._disk.fs.close(fd)
        except OSError:
            self._suspect = True
            raise
        if self._disk.check_folder(self.id.category):
            self.sync_folder()

    @property
    def wants_fold(self) -> bool:
        """Whether the journal has outgrown its snapshot."""
        if self._journal is None or not self._lines_behind:
            return False
        size = self._journal.size
        if size <= FOLD_FLOOR_BYTES or size <= self._fold_at:
            return False
        snapshot = self._head.snapshot
        return snapshot is None or size > snapshot.stamp[0] // FOLD_RATIO

    @property
    def is_small(self) -> bool:
        """Whether its plain file is missing or short, so that a fold costs next to nothing."""
        snapshot = self._head.snapshot
        return snapshot is None or snapshot.stamp[0] < FOLD_FLOOR_BYTES

    def postpone_fold(self) -> None:
        """After a failed fold: asks for it again when the journal has grown by a quarter."""
        if self._journal is not None:
            self._fold_at = self._journal.size + self._journal.size // 4

    def _open(self) -> None:
        self.close()
        self._stale = False  # before anything is read: a reader may set it again meanwhile
        self._names_durable = self._edited_at_rest = False
        self._has_earlier_lines = False
        self._verified = "unknown"
        self._disk.check_folder(self.id.category)
        self._unproven = None
        path = self._disk.journal(self.id)
        records: Sequence[Record] = []
        if self._disk.fs.stat(path) is not None:
            self._journal, read = JournalFile.open(self._disk, path)
            self.has_journal = True
            try:
                check_records(read.records, self.id, self._disk.shown(path))
                records = self._accept(read)
            except BaseException:
                self.close()
                raise
        self.recent = {}
        if records:
            self._complete = records
            self._follow(records)
            return
        if self._journal is not None:  # its creation was cut off; the bytes are set aside
            self.close()
            self._disk.fs.unlink(path)
            self.sync_folder()
        self.has_journal = False
        self._adopt_resting()

    def _accept(self, read: record.Journal[Record]) -> Sequence[Record]:
        """Refuses damage, and sets a torn tail aside (J-5)."""
        if read.damage is not None:
            self.close()
            raise read.damage
        if read.torn and self._journal is not None:
            self._quarantine(read.torn)
            self._journal.cut()
        return read.records

    def _adopt_resting(self) -> None:
        head = self.settle_move(read_resting(self._disk, self.id))
        snapshot = self._snapshot()
        basis = find_basis([head], snapshot)
        self.recent = dict(head.recent)
        if basis.kind != "clean":  # put there, changed or removed by hand
            head = self._make_head(basis.seq, basis.version, reference_to(snapshot), None)
            if basis.head.seq:
                # else it may be new: whoever created it, or saw it appear, has told of it
                self.tell("edit", head.seq, head.version, summary=head.summary)
        self._stand_at(head)
        self.synced_seq = head.seq - 1  # its head is written together with the first line
        self._edited_at_rest = basis.kind != "clean"
        self._verified = stamp_or_absent(snapshot)

    def _follow(self, records: Sequence[Record]) -> None:
        """Moves the known position along lines read from the journal."""
        lines: list[TransactionRecord] = []
        for one in records:
            if isinstance(one, HeadRecord):
                self._follow_lines(lines)
                self._follow_head(one)
                lines = []
            else:
                lines.append(one)
        self._follow_lines(lines)

    def _follow_lines(self, lines: Sequence[TransactionRecord]) -> None:
        if not lines:
            return
        self._prove(taken=True)
        # an id may come again once it is forgotten: then it is its newest commit that is known
        made = {line.tx: line.version for line in lines[-RECENT_TX_IDS:]}
        for tx_id in made.keys() & self.recent.keys():
            del self.recent[tx_id]
        at, last = self.position, lines[-1]
        version = None if last.deletes else made[last.tx]
        summary = at.summary_after([line.patch for line in lines]) if self.is_session else None
        self.position = Position(at.seq + len(lines), version, summary)
        self.synced_seq = max(self.synced_seq, *[line.synced_seq for line in lines])
        self._lines_behind += len(lines)
        self._remember(made)

    def _follow_head(self, head: HeadRecord) -> None:
        self._prove(head.seq > self.position.seq or head.version == self.position.version)
        self._names_durable = False
        self._verified = "unknown"  # who announced this may have been killed since
        self.recent.update(head.recent)
        self._unproven = head if head.tx else None
        self._has_earlier_lines = self._has_earlier_lines or self._lines_behind > 0
        self._stand_at(head)
        if head.tx:  # it may not be synced
            self.synced_seq -= 1

    def _prove(self, taken: bool) -> None:  # noqa: FBT001 - a fact, not an option
        """A replacement's id is remembered only once its snapshot is known to have taken effect."""
        head = self._unproven
        if taken and head is not None and head.tx is not None and head.version is not None:
            self._remember({head.tx: head.version})
        self._unproven = None

    def _trust_again(self) -> None:
        """After an unknown outcome: everything is written to new files (J-9)."""
        self.close()
        path = self._disk.journal(self.id)
        file = self._disk.read_file(self._disk.snapshot(self.id))
        if self._disk.fs.stat(path) is not None:
            journal, _ = JournalFile.open(self._disk, path)
            try:
                journal.rewrite()
            finally:
                journal.close()
        elif file is not None:
            self._disk.put(self._disk.folder(self.id), self._disk.snapshot(self.id), file.data)
        self._open()
        if self._journal is not None:
            reading = self._read()
            self._fold(reading, self._replay(reading), force=True)
        self._suspect = False
