"""Checking an index without using it: whether its file is sound, and its rows are true."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

from plainstate.core.findings import finding
from plainstate.index import catalog
from plainstate.index.database import existing, is_ours, remove, uri_of
from plainstate.types import DocumentId, is_public

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plainstate.types import Finding, Looked

__all__ = ["IndexCheck", "discard"]

_CHUNK: Final = 500
_BESIDE: Final = ("-wal", "-shm")


class IndexCheck:
    """Compares an index with the documents as they are looked at.

    Nothing is written: the index is neither opened as a store opens it, nor brought up to date.

    Args:
        folder: where index files lie.
        look: looks at one document once more.
    """

    def __init__(self, folder: str, look: Callable[[DocumentId], Looked]) -> None:
        self._folder = folder
        self._look = look
        self._rest: list[Looked] = []
        self._behind: list[DocumentId] = []
        self._wrong: list[DocumentId] = []
        self._seen = bytearray()
        self._connection: sqlite3.Connection | None = None
        self._path = ""

    def begin(self) -> Iterator[Finding]:
        """Looks at the files."""
        is_folder = os.path.isdir(self._folder) and not os.path.islink(self._folder)
        paths = existing(self._folder) if is_folder else []
        names = set(os.listdir(self._folder)) if is_folder else set()
        usable = [path for path in paths if path.endswith(".sqlite")]
        for path in [*(one for one in paths if one not in usable[:1]), *self._lonely(names)]:
            shown = self._shown(path)
            yield finding("index-leftover", f"{shown} is no index that is used", path=shown)
        if usable:
            self._path = usable[0]
            reason = self._open() and self._open()  # it may be written just now: look twice
            if reason:
                shown = self._shown(self._path)
                yield finding("index-damaged", f"{shown} cannot be used: {reason}", path=shown)

    def compare(self, looked: Looked) -> None:
        """Takes in a document that was looked at."""
        if self._connection is not None and looked.readable and is_public(looked.document):
            self._rest.append(looked)
            if len(self._rest) >= _CHUNK:
                self._compare_rest()

    def end(self) -> Iterator[Finding]:
        """What all documents together tell."""
        if self._connection is None:
            return
        with closing(self._connection), suppress(sqlite3.Error):  # it was replaced meanwhile
            self._compare_rest()
            unseen = list(self._unseen())
            shown = self._shown(self._path)
            gone = [one for one in unseen if self._is_gone(one)]
            if self._wrong:
                text = _text(self._wrong, "that is not in its file")
                yield finding("index-wrong", f"{shown} knows a state {text}", path=shown)
            if behind := [*self._behind, *gone]:
                text = _text(behind, "yet")
                yield finding("index-behind", f"{shown} does not know the state {text}", path=shown)

    def _open(self) -> str:
        """Opens the index for reading; returns why that fails."""
        if not is_ours(self._path):
            return "it is no plain file, has a second name, or others can write to it"
        has_log = os.path.exists(self._path + "-wal") and os.path.getsize(self._path + "-wal") > 0
        if has_log and not os.path.exists(self._path + "-shm"):
            return ""  # to read that, a file would have to be made
        how = "mode=ro" if has_log else "immutable=1"
        try:
            connection = sqlite3.connect(
                f"{uri_of(self._path)}?{how}", isolation_level=None, uri=True
            )
            try:
                (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                complete = connection.execute("SELECT scanned >= demanded FROM feed").fetchone()
                (last,) = connection.execute("SELECT max(id) FROM documents").fetchone()
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, TypeError) as error:
            return str(error)
        if said != "ok" or complete is None:
            connection.close()
            return str(said) if said != "ok" else "it is empty"
        if complete[0]:
            self._connection = connection
            self._seen = bytearray((last or 0) + 1)
        else:
            connection.close()  # nobody asks it before a scan
        return ""

    def _compare_rest(self) -> None:
        if self._connection is None:
            return
        chunk = {one.document: one for one in self._rest}
        self._rest = []
        rows = catalog.known(self._connection, chunk)
        for document, looked in chunk.items():
            row = rows.get(document)
            version = None if looked.state is None else looked.state.version
            if row is not None and row.id < len(self._seen):
                self._seen[row.id] = 1
            known = None if row is None else row.version
            if known == version or (row is not None and row.damaged is not None):
                continue
            if row is not None and row.stamp == looked.stamp == self._look(document).stamp:
                self._wrong.append(document)
            elif not looked.told:
                self._behind.append(document)

    def _unseen(self) -> Iterator[DocumentId]:
        if self._connection is not None:
            for number, *names in self._connection.execute(
                "SELECT id, category, name, kind FROM documents"
            ):
                if number < len(self._seen) and not self._seen[number]:
                    yield DocumentId(*names)

    def _is_gone(self, document: DocumentId) -> bool:
        looked = self._look(document)
        return looked.readable and looked.state is None

    def _lonely(self, names: set[str]) -> Iterator[str]:
        """Files of SQLite whose database is gone."""
        for name in sorted(names):
            for suffix in _BESIDE:
                main = name.removesuffix(suffix)
                if name.startswith("index-") and main != name and main not in names:
                    yield f"{self._folder}/{name}"

    def _shown(self, path: str) -> str:
        return f".plainstate/{os.path.basename(path)}"


def discard(folder: str, found: Finding) -> bool:
    """Removes the file that a finding is about: whatever it held is in the documents.

    Returns:
        Whether it could be removed; a folder in its place is not ours.
    """
    path = f"{folder}/{os.path.basename(found.path)}"
    for suffix in _BESIDE:
        path = path.removesuffix(suffix)
    try:
        remove(path)
    except IsADirectoryError:
        return False
    return True


def _text(documents: list[DocumentId], which: str) -> str:
    others = f" and {len(documents) - 1:,} more" if len(documents) > 1 else ""
    return f"of {documents[0]}{others} {which}"
