"""Who writes this store now, and cleaning up after those who died.

Each handle that writes keeps a file in `.plainstate/writers/`, locked while it lives and
removed by a clean close.  It names the documents that the handle has in use.  A file whose
lock is free was left by a crash: whoever finds it folds what its writer left behind, ends
renames, and tells the change feed what that writer did not tell any more.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from plainstate.engines.file.disk import SUFFIXES, TEMP_PREFIX
from plainstate.engines.file.layout import named
from plainstate.limits import WRITER_LIST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Generator, Iterable

    from plainstate.engines.file.disk import Disk
    from plainstate.types import DocumentId

__all__ = ["Dead", "Registration", "dead_writers", "documents_of", "living", "owner", "sweep"]

_TOGETHER: Final = 100
"""Dead writers that are looked after together: each takes a descriptor."""

Dead: TypeAlias = dict[str, int]
"""The ids of dead writers, each with the descriptor of its file, locked."""


class Registration:
    """This handle's entry among the writers."""

    def __init__(self, disk: Disk, writer_id: str) -> None:
        self._disk = disk
        self._folder = f"{disk.meta}/writers"
        disk.add_folder(self._folder, disk.meta)
        self._path = f"{self._folder}/{writer_id}"
        self._temp = f"{self._folder}/{TEMP_PREFIX}{writer_id}-list"
        self._size = 0
        self._unwritten = b""
        self._fd = self._enter()
        try:
            disk.fs.sync_folder(self._folder)
        except BaseException:
            disk.fs.close(self._fd)  # or the next attempt would wait for this very lock
            raise

    def note(self, document: DocumentId, others: Callable[[], Iterable[DocumentId]]) -> None:
        """Adds a document to the entry, before it is written; not synced: it is for kills.

        Where that fails, the write goes on: what a killed writer did not tell is then found
        out as after a power cut (F-5).

        Args:
            document: which.
            others: tells all else that is in use: a list that became long begins anew with them.
        """
        lines = self._unwritten + _line(document)
        self._unwritten = b"\n" + lines  # a part may be written, and must not spoil the next line
        with suppress(OSError):  # a full disk must let one delete; the next note takes it along
            if self._size + len(lines) > WRITER_LIST_BYTES:
                self._begin_anew(others())
            self._disk.write_all(self._fd, lines)
            self._size += len(lines)
            self._unwritten = b""

    def leave(self, *, clean: bool) -> None:
        """Removes the entry after a clean close, or leaves it for a successor."""
        try:
            if clean:
                self._disk.fs.unlink(self._path)
        finally:
            self._disk.fs.close(self._fd)

    def _enter(self) -> int:
        """Creates and locks the entry; again, if somebody took it for a dead one in between."""
        while True:
            fd = self._disk.fs.open_lock(self._path)
            if _claim(self._disk, self._path, fd):
                return fd

    def _begin_anew(self, others: Iterable[DocumentId]) -> None:
        """Puts a locked file in the place of the old one, so that nobody finds it free."""
        fs = self._disk.fs
        self._disk.discard(self._temp)  # what is there is cut off below
        fd = fs.open_lock(self._temp)
        try:
            if not fs.try_lock(fd, 0):
                raise AssertionError("nobody else has this file")
            data = b"".join(map(_line, others))
            fs.truncate(fd, 0)
            self._disk.write_all(fd, data)
            fs.rename(self._temp, self._path)
        except BaseException:
            self._disk.discard(self._temp)
            fs.close(fd)
            raise
        fs.close(self._fd)
        self._fd, self._size = fd, len(data)


def dead_writers(
    disk: Disk, *, only_named: bool = False, own: str = ""
) -> Generator[Dead, None, None]:
    """The writers that are gone without a clean close, some at a time.

    Their files are locked until the next ones are asked for, which keeps others from burying the
    same writer.  There may be more of them than a process may have files open.

    Args:
        disk: the store.
        only_named: only those whose files name documents.
        own: the writer who asks: it lives.
    """
    passed = {own}
    while True:
        dead: Dead = {}
        try:
            _find_dead(disk, dead, passed, only_named=only_named)
            if dead:
                yield dead
        finally:
            for fd in dead.values():
                disk.fs.close(fd)
        if len(dead) < _TOGETHER:
            return
        passed.update(dead)


def _find_dead(disk: Disk, dead: Dead, passed: Container[str], *, only_named: bool) -> None:
    folder = f"{disk.meta}/writers"
    if disk.fs.stat(folder) is None:
        return
    for name, _ in disk.fs.list_folder(folder):
        if len(dead) == _TOGETHER:
            return
        path = f"{folder}/{name}"
        if name.startswith(TEMP_PREFIX) or name in passed:
            continue
        if only_named and ((status := disk.fs.stat(path)) is None or not status.st_size):
            continue  # nobody need look whether it lives
        try:
            fd = disk.fs.open_append(path)  # not open_lock: it would create the entry again
        except FileNotFoundError:
            continue  # closed cleanly meanwhile
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                return  # who may not write the store cannot do what others left
            raise
        if _claim(disk, path, fd):
            dead[name] = fd


def living(disk: Disk) -> set[str]:
    """The ids of those that write now.  Takes no lock."""
    folder = f"{disk.meta}/writers"
    found = set()
    names = disk.fs.list_folder(folder) if disk.fs.stat(folder) is not None else ()
    for name, is_folder in names:
        if not is_folder and not name.startswith(TEMP_PREFIX):
            with suppress(OSError):  # gone, or nobody's entry
                fd = disk.fs.open_read(f"{folder}/{name}")
                try:
                    if disk.fs.is_locked(fd, 0):
                        found.add(name)
                finally:
                    disk.fs.close(fd)
    return found


def documents_of(disk: Disk, fd: int) -> list[DocumentId]:
    """The documents that a writer's file names; what is no valid name is passed over."""
    data = disk.fs.read(fd, 0, disk.fs.stat_open(fd).st_size)
    found: dict[DocumentId, None] = {}
    for line in data.split(b"\n")[:-1]:
        kind, _, place = line.decode("utf-8", "replace").partition(" ")
        for known in SUFFIXES:
            if kind == known and (document := named(place, known)):
                found[document] = None
    return list(found)


def _line(document: DocumentId) -> bytes:
    return f"{document.kind} {document}\n".encode()


def sweep(disk: Disk, dead: Collection[str], done: Collection[str]) -> None:
    """Removes temporary files that no living writer owns, durably, then entries of the dead.

    Not only those of the dead: after a power cut, btrfs brings files back under a name
    that they had before a rename.  A writer has an entry before it has files, so whoever
    owns a file seen here and has no entry afterwards does not live.

    Args:
        disk: the store.
        dead: the writers that do not live.
        done: those of them that left nothing else to do.
    """
    folders = list(disk.folders(disk.base))
    temps = {folder: _temps(disk, folder) for folder in folders}
    entries = {name for name, _ in disk.fs.list_folder(f"{disk.meta}/writers")}
    alive = entries.difference(dead)
    for folder, names in temps.items():
        left = [name for name in names if owner(name) not in alive]
        for name in left:
            disk.discard(f"{folder}/{name}")  # its owner may have renamed it and closed
        if left:
            disk.fs.sync_folder(folder)
    for writer_id in done:
        disk.fs.unlink(f"{disk.meta}/writers/{writer_id}")


def _claim(disk: Disk, path: str, fd: int) -> bool:
    """Locks an entry, unless another has it or removed it meanwhile: then closes it."""
    claimed = False
    try:
        status = disk.fs.stat(path) if disk.fs.try_lock(fd, 0) else None
        claimed = status is not None and status.st_ino == disk.fs.stat_open(fd).st_ino
    finally:
        if not claimed:
            disk.fs.close(fd)
    return claimed


def _temps(disk: Disk, folder: str) -> list[str]:
    entries = disk.fs.list_folder(folder)
    return [name for name, is_folder in entries if name.startswith(TEMP_PREFIX) and not is_folder]


def owner(temp: str) -> str:
    """The id of the writer whose temporary file this is."""
    return temp.removeprefix(TEMP_PREFIX).rpartition("-")[0]
