"""Who writes this store now, and cleaning up after those who died.

Each handle that writes keeps a file in `.plainstate/writers/`, locked while it lives and
removed by a clean close.  A file whose lock is free was left by a crash: whoever
finds it folds what its writer left behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainstate.engines.file.disk import META, TEMP_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate.engines.file.disk import Disk

__all__ = ["Registration", "dead_writers", "sweep"]


class Registration:
    """This handle's entry among the writers."""

    def __init__(self, disk: Disk, writer_id: str) -> None:
        self._disk = disk
        folder = f"{disk.meta}/writers"
        disk.add_folder(folder, disk.meta)
        self._path = f"{folder}/{writer_id}"
        self._fd = disk.fs.open_lock(self._path)
        disk.fs.try_lock(self._fd, 0)
        disk.fs.sync_folder(folder)

    def leave(self, *, clean: bool) -> None:
        """Removes the entry after a clean close, or leaves it for a successor."""
        if clean:
            self._disk.fs.unlink(self._path)
        self._disk.fs.close(self._fd)


def dead_writers(disk: Disk) -> list[str]:
    """The ids of writers that are gone without a clean close."""
    folder = f"{disk.meta}/writers"
    if disk.fs.stat(folder) is None:
        return []
    dead = []
    for name, _ in disk.fs.list_folder(folder):
        fd = disk.fs.open_lock(f"{folder}/{name}")
        try:
            if disk.fs.try_lock(fd, 0):
                dead.append(name)
        finally:
            disk.fs.close(fd)
    return dead


def sweep(disk: Disk, writer_id: str) -> None:
    """Removes a dead writer's temporary files, then its entry."""
    prefix = f"{TEMP_PREFIX}{writer_id}-"
    for folder in (*_folders(disk, disk.base), *_folders(disk, disk.meta)):
        for name, is_folder in disk.fs.list_folder(folder):
            if name.startswith(prefix) and not is_folder:
                disk.fs.unlink(f"{folder}/{name}")
    disk.fs.unlink(f"{disk.meta}/writers/{writer_id}")


def _folders(disk: Disk, top: str) -> Iterator[str]:
    yield top
    for name, is_folder in disk.fs.list_folder(top):
        if is_folder and name != META:
            yield from _folders(disk, f"{top}/{name}")
