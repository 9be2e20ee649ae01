"""Writing a document's snapshot: folding, replacing, deleting, renaming.

Each of them first says durably in the journal what the coming snapshot holds, so that a
reader after a crash knows what is inside (J-3).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from plainstate.core import record
from plainstate.core.carry import UnclearError
from plainstate.core.history import Point, point_of, whole
from plainstate.core.record import HeadRecord, SnapshotRef
from plainstate.core.replay import edit_conflict, overrule
from plainstate.engines.file import layout
from plainstate.engines.file.journal_file import JournalFile
from plainstate.engines.file.reader import (
    FileSnapshot,
    Reading,
    digest_of,
    read_resting,
    unknown_outcome,
)
from plainstate.engines.file.state import DocumentState, reference_to, remember
from plainstate.errors import (
    AlreadyExistsError,
    DamagedError,
    EditConflictError,
    FormatVersionError,
    OutcomeUnknownError,
    UsageError,
)
from plainstate.limits import FOLD_FLOOR_BYTES
from plainstate.types import TRASH, Commit, DocumentId, action_of, is_public

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate.engines.file.disk import Temp
    from plainstate.types import Action, Json, Side

__all__ = ["Folding"]


class _EditedError(Exception):
    """The file was edited while its successor was written."""


class Folding(DocumentState):
    """A document whose snapshot can be written anew."""

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

    def replace(
        self, value: Json, *, text: bytes | None, tx_id: str | None, expected: str | None
    ) -> Commit:
        """Makes `value` the document's snapshot."""
        done = self.committed_before(tx_id, expected)
        if done is not None:
            return done
        if self._edited_at_rest:
            self._replay(self._read())  # what cannot be read is not overwritten: `DamagedError`
        data = self._encode(value, text)
        self.check_size(sum(map(len, data)))
        kept = self._history.wanted
        if kept:
            self._keep_current()
        if self._has_earlier_lines and not self._lines_behind:
            self._rotate()  # or, cut off, nobody could tell whether this file has them inside
        folder = self._disk.folder(self.id)
        if self._journal is None:  # else it is there, and was made durable before its files
            self._disk.make_folder(self.id.category)
        temp = self._disk.begin_temp(folder, *data)
        # all that can be made ready is made while the disk writes
        reference = SnapshotRef(digest_of(*data), temp.stamp)
        seq = self.position.seq + 1
        version = f"{seq}-{reference.digest[:8]}"
        used_id = tx_id or self._services.make_tx_id()
        head = self._make_head(seq, version, reference, value, used_id)
        remember(head.recent, {used_id: version})
        # a new file without a head counts as put there by hand: same number, same version
        unannounced = (
            not tx_id
            and not self.position.seq  # else its number would not be known
            and self._journal is None
            and not self._edited_at_rest  # its removal by hand has no number on disk yet
            and not kept  # an edit of it must get a number of its own
        )
        outgrown = self._lines_behind > 0
        action = action_of(existed=self.position.version is not None, exists=True)
        told = self._line_to_tell(action, seq, version, used_id, head.summary)
        segment = self._services.feed.look()
        self.untold = True
        self._install(temp, None if unannounced else head)
        self._tell(told, segment)
        self._remember({used_id: version})
        self._stand_at(head)
        self._verified = temp.stamp
        self._edited_at_rest = False
        if kept:
            with self._postponing():
                self._keep_whole(head, value, action)
        if self._journal is not None and (outgrown or self._journal.size > FOLD_FLOOR_BYTES // 16):
            # heads alone: short lines, of which readers need but the last
            with self._postponing():
                self._rotate()
        return Commit(seq, version, used_id)

    def rename_to(self, target: Folding) -> Commit:
        """Moves the document to an absent one; both locks are held."""
        if target.position.version is not None:
            raise AlreadyExistsError(
                f"{target.id} exists", hint="Choose another name.", document=str(target.id)
            )
        self.fold(rest=True)
        target.fold(rest=True)  # a creation that was cut off leaves a journal, which would count
        reference = reference_to(self._snapshot())
        if reference is None:
            raise AssertionError("a document at rest has a snapshot")
        tx_id = self._services.make_tx_id()
        self.untold = target.untold = True  # before the marks, or nobody would settle them
        # or, cut off, it would look as if somebody had removed the one and made the other by hand
        self._put_resting(msgspec.structs.replace(self._head, moving_to=str(target.id)))
        head = target.await_snapshot(reference, self)
        replaced = self._history.copy(target._history, point_of(self._head), head, tx_id)
        fd = self._disk.fs.open_append(self._disk.snapshot(self.id))
        try:
            self._disk.fs.rename(self._disk.snapshot(self.id), self._disk.snapshot(target.id))
            if target.id.category != self.id.category:
                # else btrfs brings it back under both names after a power cut
                target.sync_moved(fd)
        finally:
            self._disk.fs.close(fd)
        target.sync_folder()
        if target.id.category != self.id.category:
            self.sync_folder()
        seq = self.position.seq + 1
        self.tell("delete", seq, None, moved=target.id)
        target.tell("create", head.seq, head.version, summary=head.summary, moved=self.id)
        with target._postponing():
            if replaced:
                target._history.settle(head, came=True)
            # only now: ids of a document that has not come would be taken for known
            recent = {**target.recent, **self._head.recent}
            target._put_resting(msgspec.structs.replace(head, recent=recent))
        with self._postponing():
            self._history.forget()
            if is_public(self.id):  # or it seems removed by hand
                self._put_resting(self._make_head(seq, None, None, None))
            else:
                self._forget_head()  # nobody asks for such a name again
        return Commit(head.seq, str(head.version), tx_id)

    def await_snapshot(self, snapshot: SnapshotRef, source: Folding) -> HeadRecord:
        """Prepares a resting head for a snapshot that is about to be moved here."""
        self._disk.make_folder(self.id.category)
        seq = max(self.position.seq, source.position.seq) + 1
        head = self._make_head(seq, f"{seq}-{snapshot.digest[:8]}", snapshot, None)
        head = msgspec.structs.replace(head, summary=source.position.summary)
        self._put_resting(msgspec.structs.replace(head, moving_from=str(source.id)))
        return head

    def settle_move(self, head: HeadRecord) -> HeadRecord:
        """Ends a rename that was cut off: the past stays only where the document is (H-7).

        The other name does the same for itself.  Where neither has the document, it was
        removed by hand, and the past stays wherever it is.

        Args:
            head: the resting one; there is no journal.

        Returns:
            What it is then.
        """
        if head.moving is None:
            return head
        settled = msgspec.structs.replace(head, moving_to=None, moving_from=None)
        other = layout.named(head.moving, self.id.kind)
        here = self._disk.fs.stat(self._snapshot_path) is not None
        if other is not None:
            if not here and not self._is_at(other, head):
                return head
            self._secure_move(other)
        if other is not None and not here:
            seq = head.seq + (head.moving_to is not None)
            settled = msgspec.structs.replace(
                settled, seq=seq, version=None, snapshot=None, summary=None
            )
            if head.moving_to is not None:
                self._history.forget()
                self.tell("delete", seq, None, moved=other)
        if head.moving_from is not None:
            self._history.settle(head, came=here)
        self._put_resting(settled)
        return settled

    def _is_at(self, other: DocumentId, head: HeadRecord) -> bool:
        """Whether the other name of a rename has, or had, the document."""
        there = self._disk.fs.stat(self._disk.snapshot(other)) is not None
        try:
            its_head = read_resting(self._disk, other)
        except (DamagedError, FormatVersionError):
            return False
        if str(self.id) in (its_head.moving_to, its_head.moving_from):
            return there
        # settled since: a document that came has a higher number, unless all of it is forgotten
        return head.moving_to is None or not is_public(other) or its_head.seq > head.seq

    def _secure_move(self, other: DocumentId) -> None:
        """Whoever moved the file may have died before that was durable."""
        fs = self._disk.fs
        for name in (self.id, other):
            with suppress(FileNotFoundError):  # it is at the other one, or has gone on since
                fd = fs.open_read(self._disk.snapshot(name))
                try:
                    fs.sync(fd)
                finally:
                    fs.close(fd)
        for folder in {self._disk.folder(other), self._disk.folder(self.id)}:
            if fs.stat(folder) is not None:
                fs.sync_folder(folder)

    def resolve(self, take: Side) -> Commit:
        """Settles a conflict between an edit by hand and waiting transactions."""
        reading = self._read()
        basis = reading.basis
        commit = Commit(basis.seq, basis.version or "", self._services.make_tx_id())
        try:
            self._replay(reading)
        except EditConflictError:
            pass
        else:
            raise UsageError(f"{self.id} has nothing to resolve", hint="Just go on with it.")
        if self._journal is None:
            raise AssertionError("transactions wait in a journal")
        if take == "file":
            self._quarantine(self._journal.read_all())
            taken = msgspec.structs.replace(basis, waiting=())
            self._fold(msgspec.structs.replace(reading, basis=taken), None)
            return commit
        try:
            value = overrule(basis, reading.snapshot)
        except UnclearError as error:
            path = self._disk.shown(self._disk.snapshot(self.id))
            raise edit_conflict(
                basis, reading.snapshot, document=str(self.id), path=path
            ) from error
        if reading.snapshot is not None:
            self._quarantine(reading.snapshot.data())
        version = basis.version or f"{basis.seq}-{digest_of(*self._encode(value))[:8]}"
        taken = msgspec.structs.replace(basis, version=version)
        self._fold(msgspec.structs.replace(reading, basis=taken), value)
        return msgspec.structs.replace(commit, version=version)

    def _fold(
        self, reading: Reading, value: Json, *, rest: bool = False, force: bool = False
    ) -> None:
        basis = reading.basis
        self.untold = self.untold or basis.kind == "edited"
        exists = basis.version is not None
        self._keep(reading, value)
        if exists and (basis.waiting or force):
            if reading.snapshot is not None:
                reading.snapshot.let_go()  # or a fold would take a third more memory
            data = self._encode(value)
            temp = self._disk.begin_temp(self._disk.folder(self.id), *data)
            reference: SnapshotRef | None = SnapshotRef(digest_of(*data), temp.stamp)
            head = self._make_head(basis.seq, basis.version, reference, value)
            try:
                self._install(temp, head, replacing=reading.snapshot)
            except _EditedError:
                again = self._read()
                self._reopen_journal()
                self._fold(again, self._replay(again), rest=rest, force=force)
                return
        else:
            if not exists:
                self._remove_snapshot(reading)
            reference = reference_to(reading.snapshot) if exists else None
            head = self._make_head(basis.seq, basis.version, reference, value)
        self._stand_at(head)
        if basis.kind == "edited":
            self.tell("edit", head.seq, head.version, summary=head.summary)
        self._verified = "absent" if reference is None else reference.stamp
        self._fold_at = 0
        if rest or not exists:
            self._rest()
        else:
            self._rotate()

    @contextmanager
    def _postponing(self) -> Iterator[None]:
        """For what follows a commit: the commit stands, whatever happens to its cleaning up.

        The next `refresh` finds what is left to do; `checkpoint` and `close` report it.
        """
        try:
            yield
        except OSError:
            self.close()
            self.untold = True  # so somebody looks again: marks of a rename may be left

    def _keep_current(self) -> None:
        """Before the file is overwritten: keeps what is in it."""
        at = self.position
        if not self._history.ends_at(Point(at.seq, at.version)):
            self._keep(self._read())

    def _keep_whole(self, head: HeadRecord, value: Json, action: Action) -> None:
        """Keeps a state that was saved as a whole; should that fail, the next writer does it."""
        base = whole(self.id, point_of(head), value, tx=head.tx or "", time=head.time)
        self._history.add(msgspec.structs.replace(base, action=action))

    def _announce(self, temp: Temp, head: HeadRecord) -> None:
        """Says durably which transactions the coming snapshot holds, and makes that durable.

        Neither must be durable before the other: the disk is at both at once.
        """
        lean = msgspec.structs.replace(head, recent={})  # the lines before it tell them
        line, check = record.encode_head(lean, previous=self.chain_start())
        journal = self._journal
        try:
            if journal is None:
                self._disk.end_temp(temp)
                self._create(line, check, 1, sync=True)
            else:
                journal.write(line, sync=True)
                try:
                    self._disk.end_temp(temp)
                except OSError as error:
                    self._take_back(journal, error)
                    raise
                journal.confirm(len(line), check, 1, sync=True)
        except OutcomeUnknownError:
            self._suspect = True
            raise
        self.sync_names()

    def _take_back(self, journal: JournalFile, error: OSError) -> None:
        """Cuts off what announces a file that does not come: lines can go on from the old one."""
        try:
            journal.cut()
        except OSError as second:
            shown = self._disk.shown(self._disk.journal(self.id))
            raise unknown_outcome(shown, second) from error

    def _install(
        self, temp: Temp, head: HeadRecord | None, *, replacing: FileSnapshot | None = None
    ) -> None:
        """Puts a new snapshot in its place, durably.

        Args:
            temp: the new file.
            head: announces it, durably before.
            replacing: what the new one was made from.

        Raises:
            _EditedError: somebody has edited that meanwhile.
        """
        try:
            if head is None:
                self._disk.end_temp(temp)
            else:
                self._announce(temp, head)
            if replacing is not None:
                # the gap to the rename is as small as POSIX allows
                now = self._snapshot()
                if now is None or now.stamp != replacing.stamp:
                    raise _EditedError
            self._disk.fs.rename(temp.path, self._snapshot_path)
            self.sync_folder()
        except BaseException:
            self._disk.drop_temp(temp)
            self.close()  # the next refresh finds out how far it came
            raise

    def _remove_snapshot(self, reading: Reading) -> None:
        """Removes the plain file of a deleted document, before anything says that it is gone."""
        if reading.snapshot is not None:
            self._disk.fs.unlink(self._disk.snapshot(self.id))
        self.sync_folder()

    def _reopen_journal(self) -> None:
        self._journal, _ = JournalFile.open(self._disk, self._disk.journal(self.id))

    def _rotate(self) -> None:
        """Begins the journal anew behind the current head."""
        path = self._disk.journal(self.id)
        self._head = msgspec.structs.replace(self._head, recent=dict(self.recent))
        line, _ = record.encode_head(self._head, previous=0)
        self._disk.put(self._disk.folder(self.id), path, line)
        self._names_durable = True
        self._has_earlier_lines = False
        self.close()
        self._reopen_journal()

    def _rest(self) -> None:
        """Keeps the head aside and removes the journal."""
        self._put_resting(self._head)
        self.close()
        self._disk.fs.unlink(self._disk.journal(self.id))
        self.has_journal = self._has_earlier_lines = False
        self.sync_folder()

    def forget(self) -> None:
        """Removes all there is of a document that is deleted, its number and history, too.

        The journal goes last: while it is there, it says that the document is deleted.
        """
        fs = self._disk.fs
        self._history.forget()
        if fs.stat(self._snapshot_path) is not None:
            fs.unlink(self._snapshot_path)
            self.sync_folder()
        self._forget_head()
        self.close()
        if fs.stat(self._disk.journal(self.id)) is not None:
            fs.unlink(self._disk.journal(self.id))
            self.sync_folder()
        self.has_journal = False
        self._disk.remove_folders(self.id)
        if self.id.category == TRASH:
            self._disk.remove_left(f"{self.id}")

    def _forget_head(self) -> None:
        resting = self._disk.resting(self.id)
        if self._disk.fs.stat(resting) is not None:
            self._disk.fs.unlink(resting)
            self._disk.fs.sync_folder(resting.rpartition("/")[0])

    def write_head(self, seq: int, version: str | None, value: Json) -> None:
        """Writes the head of a document at rest anew, whose own is lost."""
        reference = reference_to(self._snapshot())
        if version is None or reference is not None:  # else it was removed by hand just now
            self.recent = {}
            self._put_resting(self._make_head(seq, version, reference, value))

    def _put_resting(self, head: HeadRecord) -> None:
        folder = self._disk.make_folder(f"heads/{self.id.category}", under=self._disk.meta)
        line, _ = record.encode_head(head, previous=0)
        self._disk.put(folder, self._disk.resting(self.id), line)
