"""Who writes this store now, and cleaning up after those who died.

Each handle that writes keeps a file in `.plainstate/writers/`, locked while it lives and
removed by a clean close.  A file whose lock is free was left by a crash: whoever
finds it folds what its writer left behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainstate.engines.file.disk import META, TEMP_PREFIX

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from plainstate.engines.file.disk import Disk

__all__ = ["Registration", "dead_writers", "sweep"]


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
                self._disk.fs.unlink(self._path)
        finally:
            self._disk.fs.close(self._fd)

    def _enter(self) -> int:
        """Creates and locks the entry; again, if somebody took it for a dead one in between."""
        while True:
            fd = self._disk.fs.open_lock(self._path)
            if _claim(self._disk, self._path, fd):
                return fd


def dead_writers(disk: Disk) -> dict[str, int]:
    """The ids of writers that are gone without a clean close, each with its entry, locked.

    The lock keeps others from burying the same writer; the caller closes the descriptors.
    """
    folder = f"{disk.meta}/writers"
    dead = {}
    for name, _ in disk.fs.list_folder(folder):
        path = f"{folder}/{name}"
        try:
            fd = disk.fs.open_append(path)  # not open_lock: it would create the entry again
        except FileNotFoundError:
            continue  # closed cleanly meanwhile
        if _claim(disk, path, fd):
            dead[name] = fd
    return dead


def sweep(disk: Disk, dead: Collection[str]) -> None:
    """Removes temporary files that no living writer owns, durably, then the dead entries.

    Not only those of the dead: after a power cut, btrfs brings files back under a name
    that they had before a rename.  A writer has an entry before it has files, so whoever
    owns a file seen here and has no entry afterwards does not live.
    """
    folders = [*_folders(disk, disk.base), *_folders(disk, disk.meta)]
    temps = {folder: _temps(disk, folder) for folder in folders}
    entries = {name for name, _ in disk.fs.list_folder(f"{disk.meta}/writers")}
    alive = entries.difference(dead)
    for folder, names in temps.items():
        left = [name for name in names if _owner(name) not in alive]
        for name in left:
            disk.discard(f"{folder}/{name}")  # its owner may have renamed it and closed
        if left:
            disk.fs.sync_folder(folder)
    for writer_id in dead:
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


def _owner(temp: str) -> str:
    return temp.removeprefix(TEMP_PREFIX).rpartition("-")[0]


def _folders(disk: Disk, top: str) -> Iterator[str]:
    yield top
    for name, is_folder in disk.fs.list_folder(top):
        if is_folder and name != META:
            yield from _folders(disk, f"{top}/{name}")
