"""Who writes this store now, and cleaning up after those who died.

Each handle that writes keeps a file in `.plainstate/writers/`, locked while it lives and
removed by a clean close.  A file whose lock is free was left by a crash: whoever
finds it folds what its writer left behind.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from plainstate.engines.file.disk import META, TEMP_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate.engines.file.disk import Disk

__all__ = ["Census", "Registration", "census", "sweep"]


class Registration:
    """This handle's entry among the writers."""

    def __init__(self, disk: Disk, writer_id: str) -> None:
        self._disk = disk
        folder = f"{disk.meta}/writers"
        disk.add_folder(folder, disk.meta)
        self._path = f"{folder}/{writer_id}"
        self._fd = self._enter()
        try:
            disk.fs.sync_folder(folder)
        except BaseException:
            disk.fs.close(self._fd)  # or the next attempt would wait for this very lock
            raise

    def leave(self, *, clean: bool) -> None:
        """Removes the entry after a clean close, or leaves it for a successor."""
        try:
            if clean:
                _remove(self._disk, self._path)
        finally:
            self._disk.fs.close(self._fd)

    def _enter(self) -> int:
        """Creates and locks the entry; again, if somebody took it for a dead one in between."""
        fs = self._disk.fs
        while True:
            fd = fs.open_lock(self._path)
            entered = False
            try:
                status = fs.stat(self._path) if fs.try_lock(fd, 0) else None
                entered = status is not None and status.st_ino == fs.stat_open(fd).st_ino
            finally:
                if not entered:
                    fs.close(fd)  # or the next attempt would wait for this very lock
            if entered:
                return fd


class Census(NamedTuple):
    """The ids of writers that live, and of those that are gone without a clean close."""

    alive: set[str]
    dead: set[str]


def census(disk: Disk) -> Census:
    """Asks the kernel which writers live."""
    folder = f"{disk.meta}/writers"
    found = Census(set(), set())
    for name, _ in disk.fs.list_folder(folder):
        try:
            fd = disk.fs.open_append(f"{folder}/{name}")
        except FileNotFoundError:
            continue  # it closed cleanly just now
        try:
            (found.dead if disk.fs.try_lock(fd, 0) else found.alive).add(name)
        finally:
            disk.fs.close(fd)
    return found


def sweep(disk: Disk, found: Census) -> None:
    """Removes temporary files that no living writer owns, durably, then the dead entries.

    Not only those of the dead: after a power cut, btrfs brings files back under a name
    that they had before a rename.
    """
    for folder in (*_folders(disk, disk.base), *_folders(disk, disk.meta)):
        temps = [
            name
            for name, is_folder in disk.fs.list_folder(folder)
            if name.startswith(TEMP_PREFIX) and not is_folder and _owner(name) not in found.alive
        ]
        for name in temps:
            _remove(disk, f"{folder}/{name}")
        if temps:
            disk.fs.sync_folder(folder)
    for writer_id in found.dead:
        _remove(disk, f"{disk.meta}/writers/{writer_id}")


def _remove(disk: Disk, path: str) -> None:
    with suppress(FileNotFoundError):  # another writer sweeps, too
        disk.fs.unlink(path)


def _owner(temp: str) -> str:
    return temp.removeprefix(TEMP_PREFIX).rpartition("-")[0]


def _folders(disk: Disk, top: str) -> Iterator[str]:
    yield top
    for name, is_folder in disk.fs.list_folder(top):
        if is_folder and name != META:
            yield from _folders(disk, f"{top}/{name}")
