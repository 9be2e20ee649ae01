"""The store, broken on purpose: a storm that lets one of these pass proves nothing."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from plainstate import Commit, StateStore
from plainstate.core import record
from plainstate.engines.file import group, reader, state
from plainstate.engines.file.document import FileDocument
from plainstate.engines.file.engine import FileEngine
from plainstate.engines.file.journal_file import JournalFile
from plainstate.engines.file.locks import DocumentLock
from plainstate.fs.posix import PosixFileSystem
from plainstate.index import Index
from proof.powercut.sabotage import SABOTAGES as OF_POWERCUT
from proof.powercut.sabotage import Sabotage

if TYPE_CHECKING:
    from plainstate.types import DocumentId, State

__all__ = ["SABOTAGES"]


def _put(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def _nothing(*_: Any, **__: Any) -> None:
    """Instead of a function."""


def _lock_not_taken() -> None:
    def acquire(self: DocumentLock, *_: Any) -> None:
        self._mutex.acquire()

    _put(DocumentLock, "acquire", acquire)
    _put(DocumentLock, "try_acquire", lambda self: self._mutex.acquire(blocking=False))


def _old_reads() -> None:
    whole = FileEngine.read
    kept: dict[DocumentId, list[State | None]] = {}

    def read(self: FileEngine, document: DocumentId, **options: Any) -> State | None:
        if not kept.get(document):
            kept[document] = [whole(self, document, **options)] * 3
        return kept[document].pop()

    _put(FileEngine, "read", read)


def _refresh_skipped() -> None:
    whole = FileDocument.refresh

    def refresh(self: FileDocument) -> None:
        if self._journal is None:
            whole(self)

    _put(FileDocument, "refresh", refresh)


def _version_ignored() -> None:
    _put(group, "check_expected", _nothing)
    _put(state, "check_expected", _nothing)


def _line_not_written() -> None:
    whole = JournalFile.append
    count = 0

    def append(self: JournalFile, data: bytes, check: int, lines: int, *, sync: bool) -> None:
        nonlocal count
        count += 1
        if count % 20:
            whole(self, data, check, lines, sync=sync)

    _put(JournalFile, "append", append)


def _ids_not_remembered() -> None:
    _put(FileDocument, "_remember", _nothing)


def _deleted_file_stays() -> None:
    def unlink(_: PosixFileSystem, path: str) -> None:
        name = os.path.basename(path)
        if name.startswith(".") or not name.endswith((".md", ".json")):
            os.unlink(path)

    _put(PosixFileSystem, "unlink", unlink)


def _rename_in_steps() -> None:
    def rename(_: PosixFileSystem, source: str, target: str) -> None:
        with open(source, "rb") as old, open(target, "wb") as new:
            new.write(old.read())
        os.unlink(source)

    _put(PosixFileSystem, "rename", rename)


def _look_once() -> None:
    whole = record.parse

    def parse(data: bytes, *, path: str) -> Any:
        time.sleep(0.003)  # so that folds do come by, between journal and snapshot
        return whole(data, path=path)

    _put(reader, "parse", parse)
    _put(reader, "_unchanged", lambda *_, **__: True)


def _list_behind() -> None:
    _put(Index, "_freshen", _nothing)


def _batch_in_parts() -> None:
    whole = StateStore.append_messages

    def append_messages(
        self: StateStore, session_id: str, batch: Any, *, user_id: str, **known: Any
    ) -> Commit:
        for one in batch[:-1]:
            whole(self, session_id, [one], user_id=user_id)
        return whole(self, session_id, batch[-1:], user_id=user_id, **known)

    _put(StateStore, "append_messages", append_messages)


SABOTAGES: Final = {
    "lock-not-taken": Sabotage("processes do not wait for each other", _lock_not_taken),
    "old-reads": Sabotage("a read tells what an earlier one saw", _old_reads),
    "refresh-skipped": Sabotage("a writer does not look what others wrote", _refresh_skipped),
    "version-ignored": Sabotage("`if_version` is not compared", _version_ignored),
    "line-not-written": Sabotage("an append is acknowledged and not written", _line_not_written),
    "ids-not-remembered": Sabotage("no transaction id is remembered", _ids_not_remembered),
    "ids-lost-in-fold": OF_POWERCUT["ids-lost-in-fold"],
    "fold-unannounced": OF_POWERCUT["fold-unannounced"],
    "batch-in-parts": Sabotage("a batch is one line for each message", _batch_in_parts),
    "deleted-file-stays": Sabotage("a delete leaves the plain file", _deleted_file_stays),
    "rename-in-steps": Sabotage("a file is copied into place and not renamed", _rename_in_steps),
    "look-once": Sabotage("a reader does not look again whether a fold came by", _look_once),
    "list-behind": Sabotage("a list does not take in what is new", _list_behind),
}
