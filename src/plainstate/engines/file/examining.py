"""Examining one document: its journal, its head, its plain file and its history."""

from __future__ import annotations

import errno
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from plainstate.core import codec, history
from plainstate.core.findings import finding
from plainstate.core.record import parse
from plainstate.engines.file import layout
from plainstate.engines.file.history import history_path, is_foreign
from plainstate.engines.file.reader import (
    FileSnapshot,
    Reading,
    check_records,
    read_document,
    read_resting,
)
from plainstate.errors import (
    DamagedError,
    EditConflictError,
    ForeignJournalError,
    FormatVersionError,
    StorageError,
    UnsafePathError,
    storage_error,
)
from plainstate.types import Looked, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from plainstate.engines.file.disk import Disk
    from plainstate.types import DocumentId, Finding

__all__ = ["Examined", "examine", "noting"]

_LOOKS: Final = 100
"""So often at most a document is looked at that is never twice the same."""

_BYTE: Final = re.compile(r"\(byte (\d+)\)")


class Examined(NamedTuple):
    """What was seen of a document.

    Attributes:
        findings: what is wrong with it.
        looked: what it holds.
        by_hand: it was changed or removed behind the store's back.
        digests: then, of the plain file, its own and the one that the last head names.
    """

    findings: list[Finding]
    looked: Looked
    by_hand: bool
    digests: tuple[str, str] | None


def examine(disk: Disk, document: DocumentId) -> Examined:
    """Looks at everything there is of one document.  Takes no lock, writes nothing.

    What is found was seen twice: a writer may be in the middle of something.

    Cost: a read of each of its files.
    """
    seen = _Look(disk, document).all()
    for _ in range(_LOOKS):
        if not seen.findings:
            break
        before, seen = seen, _Look(disk, document).all()
        if seen.findings == before.findings:
            break
    return seen


@contextmanager
def noting(
    found: list[Finding], disk: Disk, path: str = "", document: DocumentId | None = None
) -> Iterator[None]:
    """In `with`: what the system refuses becomes a finding; what is gone is none.

    Args:
        found: where to put it.
        disk: the store.
        path: what to name where the error names nothing.
        document: which one it is about.
    """
    try:
        yield
    except FormatVersionError as error:
        found.append(finding("newer-format", str(error), document=document, path=error.path))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return
        if not isinstance(error, StorageError):
            name = error.filename if isinstance(error.filename, str) else path
            error = storage_error(error, disk.shown(name))
        code = "unsafe-path" if isinstance(error, UnsafePathError) else "unreadable"
        if document is not None and not _is_of(document, error.path):
            document = None  # a folder on the way to it, which is told once
        found.append(finding(code, str(error), document=document, path=error.path))


def _is_of(document: DocumentId, path: str) -> bool:
    return path.rpartition("/")[2].startswith(f"{document.name}.")


class _Look:
    """One look at a document."""

    def __init__(self, disk: Disk, document: DocumentId) -> None:
        self._disk = disk
        self._id = document
        self._found: list[Finding] = []
        self._state: State | None = None
        self._by_hand = False
        self._digests: tuple[str, str] | None = None

    def all(self) -> Examined:
        """Looks at everything."""
        disk, document = self._disk, self._id
        stamp = ""
        with self._noting():
            has_journal = disk.fs.stat(disk.journal(document)) is not None
            stamp = layout.stamp(disk, document, has_journal=has_journal)
        with self._noting():
            self._journal()
        with self._noting():
            self._head()
        whole = not self._is_hurt()
        with self._noting():
            if whole:
                self._document()
            else:
                self._snapshot_alone()
        readable = not self._is_hurt()
        with self._noting():
            self._history()
        state = self._state if readable else None
        looked = Looked(document, stamp, state, readable)
        return Examined(self._found, looked, self._by_hand, self._digests)

    def _noting(self) -> AbstractContextManager[None]:
        return noting(self._found, self._disk, self._disk.snapshot(self._id), self._id)

    def _is_hurt(self) -> bool:
        return any(one.severity != "note" for one in self._found)

    def _add(self, code: str, message: str, path: str, line: int = 0) -> None:
        shown = self._disk.shown(path)
        self._found.append(finding(code, message, document=self._id, path=shown, line=line))

    # --- journal and head ---

    def _journal(self) -> None:
        path = self._disk.journal(self._id)
        shown = self._disk.shown(path)
        file = self._disk.read_file(path)
        if file is None:
            return
        try:
            journal = parse(file.data, path=shown)
            check_records(journal.records, self._id, shown)
            if journal.damage is not None:
                raise journal.damage
        except ForeignJournalError as error:
            self._add("journal-foreign", str(error), path, error.line)
        except DamagedError as error:
            self._add("journal-damaged", str(error), path, error.line)
        else:
            if journal.torn or not journal.records:
                line = len(journal.records) + 1
                size = f"{len(journal.torn):,} bytes"
                self._add(
                    "journal-torn",
                    f"{shown}, line {line}: {size} that a crash cut off; nobody was told of them",
                    path,
                    line,
                )

    def _head(self) -> None:
        path = self._disk.resting(self._id)
        try:
            read_resting(self._disk, self._id)
        except ForeignJournalError as error:
            self._add("head-foreign", str(error), path, error.line)
        except DamagedError as error:
            self._add("head-damaged", str(error), path, error.line)

    # --- the plain file, and what it makes together with them ---

    def _document(self) -> None:
        disk, document = self._disk, self._id
        path = disk.snapshot(document)
        shown = disk.shown(path)
        try:
            reading = read_document(disk, document)
            waiting = len(reading.basis.waiting)
            data = None if reading.snapshot is None else reading.snapshot.data()
            value = reading.value(disk, document)
        except EditConflictError as error:
            gone = disk.fs.stat(path) is None
            self._add("journal-orphaned" if gone else "edit-conflict", str(error), path)
            return
        except DamagedError as error:
            self._damaged(error)
            return
        basis = reading.basis
        if basis.version is not None:
            self._state = State(value, basis.seq, basis.version)
        if data is not None:
            self._duplicates(data)
            self._rot(reading)
        if basis.kind == "cut off":
            self._add(
                "cut-off", f"{shown}: a fold or save of it was cut off; nothing is lost", path
            )
        elif not reading.journal and basis.head.moving:
            self._by_hand = basis.kind == "edited"
            self._add("cut-off", f"{shown}: a rename of it was cut off; nothing is lost", path)
        elif basis.kind == "edited" and (reading.journal or disk.fs.stat(disk.resting(document))):
            self._look_at_edit(reading, data, waiting)

    def _rot(self, reading: Reading) -> None:
        """Readers trust size, inode and time; a failing disk changes none of them."""
        snapshot, named = reading.snapshot, reading.basis.head.snapshot
        if snapshot is None or named is None or snapshot.stamp != named.stamp:
            return
        if snapshot.digest() != named.digest:
            path = self._disk.snapshot(self._id)
            self._add(
                "snapshot-damaged",
                f"{self._disk.shown(path)} holds other bytes than were written, although its time "
                "has not changed",
                path,
            )

    def _look_at_edit(self, reading: Reading, data: bytes | None, waiting: int) -> None:
        self._by_hand = True
        path = self._disk.snapshot(self._id)
        shown = self._disk.shown(path)
        head, snapshot = reading.basis.head, reading.snapshot
        if snapshot is None or data is None:
            if head.version is not None:
                self._add("head-orphaned", f"{shown} was removed by hand", path)
            return
        also = f" while {waiting} transactions wait, and they fit together" if waiting else ""
        if not data or b"\0" in data:
            what = "is empty" if not data else "holds NUL bytes"
            self._add(
                "snapshot-suspect",
                f"{shown} {what}, was changed by hand or by a failing disk{also}",
                path,
            )
            return
        self._add("edited", f"{shown} was changed by hand{also}", path)
        if head.snapshot is not None:
            self._digests = snapshot.digest(), head.snapshot.digest

    def _snapshot_alone(self) -> None:
        """What can be said of the plain file where the rest of the document is damaged."""
        snapshot = FileSnapshot.at(self._disk, self._id)
        if snapshot is not None:
            try:
                snapshot.value()
            except DamagedError as error:
                self._damaged(error)
            else:
                self._duplicates(snapshot.data())

    def _damaged(self, error: DamagedError) -> None:
        path = self._disk.snapshot(self._id)
        if error.path != self._disk.shown(path):
            journal = self._disk.journal(self._id)
            self._add("journal-damaged", str(error), journal, error.line)
            return
        file = self._disk.read_file(path)
        line = _line_of(b"" if file is None else file.data, str(error))
        where = (
            str(error).replace(error.path, f"{error.path}, line {line}", 1) if line else str(error)
        )
        self._add("snapshot-damaged", where, path, line)

    def _duplicates(self, data: bytes) -> None:
        if self._id.kind != "json" or codec.encode_pretty(codec.decode(data)) == data:
            return  # as plainstate writes it
        doubled: list[str] = []

        def pairs(members: list[tuple[str, object]]) -> None:
            seen = set()
            for key, _ in members:
                if key in seen:
                    doubled.append(key)
                seen.add(key)

        json.loads(data, object_pairs_hook=pairs)
        path = self._disk.snapshot(self._id)
        for key in sorted(set(doubled)):
            shown = self._disk.shown(path)
            self._add("duplicate-keys", f"{shown} has the key {key!r} twice; the last counts", path)

    # --- history ---

    def _history(self) -> None:
        disk = self._disk
        path = history_path(disk, self._id)
        shown = disk.shown(path)
        file = disk.read_file(path)
        if file is None:
            return
        try:
            kept = history.parse(file.data, path=shown)
            torn, lines = kept.torn, kept.records
            if is_foreign(lines, self._id):
                self._add("history-foreign", f"{shown} is the history of another document", path, 1)
                return
            if kept.damage is not None:
                raise kept.damage
            if lines:
                history.state_after(lines, lines[-1].seq)
        except DamagedError as error:
            self._add("history-damaged", str(error), path, error.line)
            return
        if torn or not lines:
            line = len(lines) + 1
            text = f"{shown}, line {line}: a line that a crash cut off"
            self._add("history-torn", text, path, line)
        parts = disk.snapshot(self._id), disk.journal(self._id), disk.resting(self._id)
        if not any(disk.fs.stat(part) for part in parts):
            self._add("history-orphaned", f"{shown}: nothing else is there of its document", path)


def _line_of(data: bytes, reason: str) -> int:
    """The line that a decoder's message speaks of, 0 where it names none."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return data.count(b"\n", 0, error.start) + 1
    if found := _BYTE.search(reason):
        return data.count(b"\n", 0, int(found[1])) + 1
    return data.count(b"\n") + 1 if "truncated" in reason else 0
