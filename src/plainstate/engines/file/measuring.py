"""What a store holds on disk: one walk over its folder."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from plainstate.core.feed import follower_cursor
from plainstate.engines.file import layout, writers
from plainstate.engines.file.disk import TEMP_PREFIX
from plainstate.engines.file.feed import Feed
from plainstate.types import FOLLOWERS, TRASH, Files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate.engines.file.disk import Disk

__all__ = ["measure"]

_JOURNALS = (".jsonl", ".mdl")


def measure(disk: Disk) -> Files:
    """See `Files`.  What others write meanwhile is counted or not.

    Cost: a stat(2) for each file.
    """
    bytes_of: Counter[str] = Counter()
    count_of: Counter[str] = Counter()
    categories: Counter[str] = Counter()
    if disk.fs.stat(disk.base) is not None:
        for category in layout.categories(disk):
            for name, size in _files(disk, f"{disk.base}/{category}"):
                categories[category] += size
                if name.endswith(_JOURNALS):
                    count_of["journals"] += 1
                    bytes_of["journals"] += size
    if disk.fs.stat(disk.meta) is not None:
        for part, is_folder in disk.fs.list_folder(disk.meta):
            kind = "index" if part.startswith("index-") else part
            path = f"{disk.meta}/{part}"
            for size in _below(disk, path) if is_folder else _size(disk, path):
                count_of[kind] += 1
                bytes_of[kind] += size
    dead = _count_dead(disk)
    return Files(
        categories=dict(sorted(categories.items())),
        journals=count_of["journals"],
        journal_bytes=bytes_of["journals"],
        head_bytes=bytes_of["heads"],
        history_bytes=bytes_of["history"],
        quarantined=count_of["quarantine"],
        quarantine_bytes=bytes_of["quarantine"],
        trash_bytes=sum(_trash(disk)),
        feed_segments=count_of["feed"],
        feed_bytes=bytes_of["feed"],
        behind=_behind(disk),
        index_bytes=bytes_of["index"],
        writers=max(count_of["writers"] - dead, 0),
        dead_writers=dead,
    )


def _files(disk: Disk, folder: str) -> Iterator[tuple[str, int]]:
    """The files right in a folder, with their sizes."""
    for name, is_folder in disk.fs.list_folder(folder):
        status = None if is_folder else disk.fs.stat(f"{folder}/{name}")
        if status is not None and not name.startswith(TEMP_PREFIX):
            yield name, status.st_size


def _below(disk: Disk, folder: str) -> Iterator[int]:
    """The sizes of all files below a folder."""
    for one in disk.folders(folder):
        for _, size in _files(disk, one):
            yield size


def _size(disk: Disk, path: str) -> list[int]:
    status = disk.fs.stat(path)
    return [] if status is None else [status.st_size]


def _trash(disk: Disk) -> Iterator[int]:
    """The sizes of the sessions in the trash, without what tells of the runs."""
    folder = f"{disk.base}/{TRASH}"
    if disk.fs.stat(folder) is not None:
        for name, is_folder in disk.fs.list_folder(folder):
            if is_folder:
                yield from _below(disk, f"{folder}/{name}")


def _count_dead(disk: Disk) -> int:
    return sum(map(len, writers.dead_writers(disk)))


def _behind(disk: Disk) -> dict[str, int | None]:
    """How many bytes of the feed each follower has not seen."""
    sizes = {}
    for segment in Feed(disk).segments():
        status = disk.fs.stat(segment.path)
        sizes[segment.number] = 0 if status is None else status.st_size
    found: dict[str, int | None] = {}
    folder = f"{disk.base}/{FOLLOWERS}"
    names = disk.fs.list_folder(folder) if disk.fs.stat(folder) is not None else []
    for name, is_folder in sorted(names):
        if is_folder or not name.endswith(".json"):
            continue
        file = disk.read_file(f"{folder}/{name}")
        at = None if file is None else follower_cursor(file.data)
        if at is None:  # what is no follower's file is named by `followers`, as damaged
            continue
        later = sum(size for number, size in sizes.items() if number > at.segment)
        kept = at.segment in sizes or not sizes
        here = max(sizes.get(at.segment, 0) - at.offset, 0)
        found[name.removesuffix(".json")] = here + later if kept else None
    return found
