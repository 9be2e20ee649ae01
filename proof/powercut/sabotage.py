"""The store, broken on purpose: a campaign that lets one of these pass proves nothing."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from plainstate import Commit, StateStore
from plainstate.core import times
from plainstate.core.summary import SESSIONS
from plainstate.engines.file.disk import Disk, Temp
from plainstate.engines.file.document import FileDocument
from plainstate.engines.file.engine import FileEngine
from plainstate.engines.file.history import HistoryFile
from plainstate.engines.file.journal_file import JournalFile
from plainstate.fs.posix import PosixFileSystem
from plainstate.types import TRASH, DocumentId

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate.retention import PrunedSession

__all__ = ["SABOTAGES", "Sabotage"]


class Sabotage(NamedTuple):
    """One broken part.

    Attributes:
        what: in words.
        apply: breaks it in this process.
        faults: disk writes that must fail for it to matter.
        for_readers: it must break the program that opens the store after the cut, too.
    """

    what: str
    apply: Callable[[], None]
    faults: int = 0
    for_readers: bool = False


def _put(owner: type, name: str, value: Callable[..., Any]) -> None:
    setattr(owner, name, value)


def _nothing(*_: Any, **__: Any) -> None:
    """Instead of a method."""


def _fdatasync_off() -> None:
    _put(PosixFileSystem, "sync", _nothing)


def _folder_sync_off() -> None:
    _put(PosixFileSystem, "sync_folder", _nothing)


def _append_unsynced() -> None:
    write, confirm = JournalFile.write, JournalFile.confirm

    def unsynced_write(self: JournalFile, data: bytes, *, sync: bool) -> None:
        del sync
        write(self, data, sync=False)

    def unsynced_confirm(
        self: JournalFile, size: int, check: int, lines: int, *, sync: bool
    ) -> None:
        del sync
        confirm(self, size, check, lines, sync=False)

    _put(JournalFile, "write", unsynced_write)
    _put(JournalFile, "confirm", unsynced_confirm)


def _snapshot_unsynced() -> None:
    def end_temp(self: Disk, temp: Temp) -> None:
        fd, temp.fd = temp.fd, -1
        self.fs.close(fd)

    _put(Disk, "end_temp", end_temp)


def _failed_sync_repeated() -> None:
    def sync(_: PosixFileSystem, fd: int) -> None:
        try:
            os.fdatasync(fd)
        except OSError:
            os.fdatasync(fd)  # succeeds, and saves nothing

    _put(PosixFileSystem, "sync", sync)


def _fold_unannounced() -> None:
    _put(FileDocument, "_announce", _nothing)


def _ids_lost_in_fold() -> None:
    whole = FileDocument._make_head

    def make_head(self: FileDocument, *args: Any) -> Any:
        return msgspec.structs.replace(whole(self, *args), recent={})

    _put(FileDocument, "_make_head", make_head)


def _batch_in_parts() -> None:
    whole = StateStore.append_messages

    def append_messages(
        self: StateStore, session_id: str, batch: list[Any], *, tx_id: str | None, user_id: str
    ) -> Commit:
        for one in batch[:-1]:
            whole(self, session_id, [one], user_id=user_id)
        return whole(self, session_id, batch[-1:], user_id=user_id, tx_id=tx_id)

    _put(StateStore, "append_messages", append_messages)


def _is_trash(document: DocumentId) -> bool:
    return document.category.startswith(TRASH)


def _prune_told_late() -> None:
    def discard(
        self: StateStore, run: str, chosen: list[tuple[PrunedSession, str]]
    ) -> tuple[list[PrunedSession], list[str]]:
        moved = [session for session, _ in chosen]
        for session in moved:
            target = DocumentId(f"{TRASH}/{run}", session.id)
            self._engine.rename(DocumentId(SESSIONS, session.id), target)
        now = times.format(time.time_ns() // 1000 * 1000)
        self._engine.replace(DocumentId(TRASH, run), {"time": now})
        return moved, []

    _put(StateStore, "_discard", discard)


def _prune_by_copy() -> None:
    whole = FileEngine.rename

    def rename(
        self: FileEngine, document: DocumentId, target: DocumentId, *, expected: str | None = None
    ) -> Commit:
        state = self.read(document)
        if state is None or not _is_trash(target):
            return whole(self, document, target, expected=expected)
        commit = self.replace(target, state.value)
        self.delete(document)
        return commit

    _put(FileEngine, "rename", rename)


def _history_unsynced() -> None:
    whole = HistoryFile.append

    def append(self: HistoryFile, data: bytes, check: int, lines: int, *, sync: bool) -> None:
        del sync
        whole(self, data, check, lines, sync=False)

    _put(HistoryFile, "append", append)


def _save_not_kept() -> None:
    _put(FileDocument, "_keep_current", _nothing)


def _opening_tells_nothing() -> None:
    _put(FileEngine, "notice", lambda *_: True)


SABOTAGES: Final = {
    "fdatasync-off": Sabotage("no file is synced", _fdatasync_off),
    "folder-sync-off": Sabotage("no folder is synced", _folder_sync_off),
    "append-unsynced": Sabotage("an append is acknowledged unsynced", _append_unsynced),
    "snapshot-unsynced": Sabotage(
        "a file is renamed before its data is synced", _snapshot_unsynced
    ),
    "failed-sync-repeated": Sabotage("a failed sync is repeated", _failed_sync_repeated, faults=10),
    "fold-unannounced": Sabotage("no head is written before a snapshot", _fold_unannounced),
    "ids-lost-in-fold": Sabotage("a fold forgets the transaction ids", _ids_lost_in_fold),
    "batch-in-parts": Sabotage("a batch is one line for each message", _batch_in_parts),
    "prune-told-late": Sabotage("sessions are moved before a run is noted", _prune_told_late),
    "prune-by-copy": Sabotage("a session is copied to the trash, then deleted", _prune_by_copy),
    "history-unsynced": Sabotage("what is kept of the past is not synced", _history_unsynced),
    "save-not-kept": Sabotage("a save overwrites what is not kept yet", _save_not_kept),
    "opening-tells-nothing": Sabotage(
        "the feed is not told what a cut took from it", _opening_tells_nothing, for_readers=True
    ),
}
