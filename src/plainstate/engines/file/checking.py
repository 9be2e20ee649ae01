"""Checking a whole store: one walk over its folder, and every document that is met on the way.

Takes no lock and writes nothing, so that it works on a store in use, on one that may only be
read, and on one that nobody can open.
"""

from __future__ import annotations

import stat
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import structs

from plainstate.core import names
from plainstate.core.findings import finding
from plainstate.engines.file import layout, writers
from plainstate.engines.file.disk import DEEPEST, META, SUFFIXES, TEMP_PREFIX, Disk
from plainstate.engines.file.examining import examine, noting
from plainstate.engines.file.feed import Feed
from plainstate.engines.file.feed_checking import UNKNOWN, FeedCheck
from plainstate.errors import DamagedError, InvalidNameError
from plainstate.fs.posix import PosixFileSystem
from plainstate.types import FOLLOWERS, TRASH, DocumentId, is_public

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from plainstate.types import Finding, Looked

    Progress: TypeAlias = Callable[[int, int], None] | None

__all__ = ["check", "check_folder"]

_GROUP: Final = stat.S_IRGRP | stat.S_IWGRP
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_APPENDED: Final = (".jsonl", ".mdl", "/lock")
"""How the names of the files end that are written in place."""

_KNOWN: Final = frozenset(
    {"format.json", "lock", "writers", "feed", "followers", "trash", "heads", "history"}
    | {"quarantine"}
)


def check(
    disk: Disk, only: DocumentId | None = None, *, progress: Progress = None
) -> Iterator[Finding | Looked]:
    """See `engines.base.OnFiles.check`.

    Cost: a read of every file.  Memory: some tens of MB at most, for what the change feed told,
    and what is found.
    """
    if only is None:
        yield from _Check(disk, progress).run()
    else:
        seen = examine(disk, only)
        yield from seen.findings
        yield seen.looked


def check_folder(base: str) -> Callable[..., Iterator[Finding | Looked]]:
    """The same for a folder that nobody has opened."""
    return partial(check, Disk(PosixFileSystem(base), base, ""))


class _Check:
    """One check of one store."""

    def __init__(self, disk: Disk, progress: Progress) -> None:
        self._disk = disk
        self._progress = progress
        self._total = self._done = 0
        self._feed = FeedCheck(disk)
        self._edited: dict[str, tuple[DocumentId, str]] = {}
        self._alive: set[str] = set()
        self._is_private = False
        self._owner = -1
        self._modes: dict[tuple[str, str], tuple[set[int], str]] = {}

    def run(self) -> Iterator[Finding | Looked]:
        """Everything that is found, and each document that was read, in any order."""
        found: list[Finding] = []
        disk = self._disk
        has_meta = False
        with noting(found, disk, disk.base):
            base = disk.fs.stat(disk.base)
            if base is None:
                return
            self._is_private = not base.st_mode & _OTHERS
            self._owner = base.st_uid
            try:
                layout.check_format(disk)
            except DamagedError as error:
                found.append(
                    finding("format-damaged", str(error), path=error.path, line=error.line)
                )
            has_meta = disk.check_folder(META)
        yield from found
        if any(one.code in ("newer-format", "unsafe-path") for one in found):
            return
        if self._progress is not None:
            self._total = sum(1 for _ in self._plain_files())
        parts = [self._folder(""), self._swapped(), self._feed.out_of_step(), self._permissions()]
        if has_meta:
            parts[:0] = [self._writers(), self._feed.read()]
            parts.insert(3, self._own_folder())
        for part in parts:
            yield from self._safely(part, disk.base)

    # --- folders of documents ---

    def _folder(self, category: str) -> Iterator[Finding | Looked]:
        """A category and those below it."""
        folder = f"{self._disk.base}/{category}" if category else self._disk.base
        inside: list[str] = []
        folded: dict[str, str] = {}
        found: list[Finding] = []
        for name, is_folder in self._list(folder, found):
            path = f"{category}/{name}" if category else name
            if is_folder:
                inside.append(path)
            else:
                yield from self._safely(self._entry(category, name), path)
            yield from self._safely(self._clash(folder, name, folded), path)
        yield from found
        for path in inside:
            if path != META:
                yield from self._subfolder(path)

    def _subfolder(self, path: str) -> Iterator[Finding | Looked]:
        name = path.rpartition("/")[2]
        if layout.is_category(path) or path.startswith(f"{TRASH}/"):
            yield from self._folder(path)
        elif name.endswith((*SUFFIXES.values(), ".jsonl", ".mdl")):
            yield finding("unsafe-path", f"{path} is a folder where a file belongs", path=path)
        elif name.startswith("."):
            yield finding("foreign-file", f"{path} is a folder of somebody else", path=path)
        else:
            why = _why(path, names.check_category)
            yield finding("invalid-name", f"{path} cannot be a category{why}", path=path)

    def _entry(self, category: str, name: str) -> Iterator[Finding | Looked]:
        """One file in a folder of documents."""
        disk = self._disk
        path = f"{category}/{name}" if category else name
        if name.startswith(TEMP_PREFIX):
            yield from self._temp(path, name)
            return
        place = f"{disk.base}/{path}"
        status, found = self._status(place)
        yield from found
        if status is None:
            return
        document = layout.document_in(category, name) if category else None
        if document is None and category and name.endswith("l"):
            document = layout.document_in(category, name[:-1])
            if document is not None and disk.fs.stat(disk.snapshot(document)) is not None:
                return  # it is looked at with its plain file
        if document is not None:
            yield from self._document(document)
        elif category and name.endswith((*SUFFIXES.values(), ".jsonl", ".mdl")):
            stem = name.rpartition(".")[0]
            yield finding("invalid-name", f"{path} cannot be a document{_why(stem)}", path=path)
        else:
            yield finding("foreign-file", f"{path} is no file of the store", path=path)

    def _clash(self, folder: str, name: str, folded: dict[str, str]) -> Iterator[Finding]:
        """Names that differ only in case.  Remembers only those that have upper case: few have."""
        lower = name.casefold()
        if lower == name:
            return
        other = folded.setdefault(lower, name)
        mine, theirs = (self._disk.fs.stat(f"{folder}/{one}") for one in (name, lower))
        if theirs is not None and mine is not None and theirs.st_ino != mine.st_ino:
            other = lower
        if other != name:
            path = self._disk.shown(f"{folder}/{name}")
            text = f"{path} and {other} are one file where upper and lower case are the same"
            yield finding("case-clash", text, path=path)

    def _document(self, document: DocumentId) -> Iterator[Finding | Looked]:
        seen = examine(self._disk, document)
        yield from seen.findings
        state = seen.looked.state
        version = None if state is None else state.version
        told = self._feed.told_of(document)
        yield structs.replace(seen.looked, told=told == version)
        if seen.digests is not None:
            digest, named = seen.digests
            self._edited[digest] = document, named
        elif told not in (UNKNOWN, version) and is_public(document):
            self._feed.suspect(document)
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, max(self._done, self._total))

    # --- the store's own folder ---

    def _own_folder(self) -> Iterator[Finding | Looked]:
        disk = self._disk
        found: list[Finding] = []
        for name, is_folder in self._list(disk.meta, found):
            yield from self._safely(self._own_entry(name, is_folder=is_folder), name)
        yield from found
        if self._is_folder(f"{META}/feed"):
            yield from self._safely(self._foreign_in_feed(), f"{META}/feed")
        for category in (FOLLOWERS, TRASH):
            if self._is_folder(category):
                yield from self._folder(category)
        for kind in ("heads", "history"):
            if self._is_folder(f"{META}/{kind}"):
                yield from self._kept(kind, "")
        if self._is_folder(f"{META}/quarantine"):
            yield from self._quarantine(f"{META}/quarantine")

    def _own_entry(self, name: str, *, is_folder: bool) -> Iterator[Finding]:
        path = f"{META}/{name}"
        if not is_folder and name.startswith(TEMP_PREFIX):
            yield from self._temp(path, name)
            return
        status, refused = self._status(f"{self._disk.base}/{path}")
        yield from refused
        if status is None or name.startswith("index-"):
            return
        if name not in _KNOWN:
            yield finding("foreign-file", f"{path} is no file of the store", path=path)
        elif is_folder == (name in ("format.json", "lock")):
            what = "folder" if is_folder else "file"
            yield finding("unsafe-path", f"{path} must not be a {what}", path=path)

    def _kept(self, kind: str, category: str) -> Iterator[Finding | Looked]:
        """Heads or histories; a document that has nothing else is looked at from here."""
        disk = self._disk
        folder = f"{META}/{kind}/{category}".rstrip("/")
        found: list[Finding] = []
        for name, is_folder in self._list(f"{disk.base}/{folder}", found):
            if is_folder:
                inside = f"{category}/{name}".lstrip("/")
                yield from self._if_not_too_deep(self._kept(kind, inside), f"{folder}/{name}")
            else:
                entry = self._kept_entry(kind, category, name)
                yield from self._safely(entry, f"{folder}/{name}")
        yield from found

    def _kept_entry(self, kind: str, category: str, name: str) -> Iterator[Finding | Looked]:
        path = f"{META}/{kind}/{category}/{name}" if category else f"{META}/{kind}/{name}"
        if name.startswith(TEMP_PREFIX):
            yield from self._temp(path, name)
            return
        status, refused = self._status(f"{self._disk.base}/{path}")
        yield from refused
        if status is None:
            return
        document = layout.document_in(category, name[:-1]) if name.endswith("l") else None
        if document is None or not category:
            yield finding("foreign-file", f"{path} is no file of the store", path=path)
        elif self._is_alone(kind, document):
            yield from self._document(document)

    def _is_alone(self, kind: str, document: DocumentId) -> bool:
        disk = self._disk
        parts = [disk.snapshot(document), disk.journal(document)]
        if kind == "history":
            parts.append(disk.resting(document))
        return not any(disk.fs.stat(part) for part in parts)

    def _quarantine(self, folder: str) -> Iterator[Finding | Looked]:
        found: list[Finding] = []
        for name, is_folder in self._list(f"{self._disk.base}/{folder}", found):
            path = f"{folder}/{name}"
            if is_folder:
                yield from self._if_not_too_deep(self._quarantine(path), path)
                continue
            status, refused = self._status(f"{self._disk.base}/{path}")
            yield from refused
            if status is not None:
                text = f"{path}: {status.st_size:,} bytes were set aside"
                yield finding("quarantined", text, path=path)
        yield from found

    def _if_not_too_deep(
        self, items: Iterator[Finding | Looked] | Iterator[Finding], path: str
    ) -> Iterator[Finding | Looked]:
        if path.count("/") < DEEPEST:
            yield from items
        else:
            text = f"{path} is deeper than any folder of the store"
            yield finding("foreign-file", text, path=path)

    def _temp(self, path: str, name: str) -> Iterator[Finding]:
        """A temporary file: of a living writer, or left behind."""
        place = f"{self._disk.base}/{path}"
        if writers.owner(name) in self._alive or self._disk.fs.stat(place) is None:
            return
        if writers.owner(name) not in writers.living(self._disk):
            yield finding("temp-stale", f"{path} belongs to no writer that lives", path=path)

    def _writers(self) -> Iterator[Finding]:
        """Who writes, and who died."""
        disk, found = self._disk, []  # type: tuple[Disk, list[Finding]]
        folder = f"{META}/writers"
        with noting(found, disk, folder):
            if not disk.check_folder(folder):
                return
            self._alive = writers.living(disk)
            for name, _ in disk.fs.list_folder(f"{disk.base}/{folder}"):
                path = f"{folder}/{name}"
                status, refused = self._status(f"{disk.base}/{path}")
                found += refused
                if status is None or name in self._alive:
                    continue
                if name.startswith(TEMP_PREFIX):
                    found += self._temp(path, name)
                elif name not in writers.living(disk):
                    text = f"{path}: this writer ended without closing the store"
                    found.append(finding("writer-dead", text, path=path))
        yield from found

    def _foreign_in_feed(self) -> Iterator[Finding]:
        known = {one.path for one in Feed(self._disk).segments()}
        folder = f"{self._disk.meta}/feed"
        for name, _ in self._disk.fs.list_folder(folder):
            path = f"{folder}/{name}"
            status, refused = self._status(path)
            yield from refused
            if status is not None and path not in known:
                shown = self._disk.shown(path)
                yield finding("foreign-file", f"{shown} is no file of the store", path=shown)

    # --- what only all files together tell ---

    def _swapped(self) -> Iterator[Finding]:
        for document, named in self._edited.values():
            other, wanted = self._edited.get(named, (None, ""))
            if other is not None and other != document and self._edited.get(wanted):
                shown = self._disk.shown(self._disk.snapshot(document))
                theirs = self._disk.shown(self._disk.snapshot(other))
                text = f"{shown}: what belongs here stands in {theirs}"
                yield finding("snapshot-swapped", text, document=document, path=shown)

    def _permissions(self) -> Iterator[Finding]:
        for (code, _), (paths, first) in sorted(self._modes.items(), key=lambda one: one[0]):
            others = f" and {len(paths) - 1:,} more beside it" if len(paths) > 1 else ""
            what = {
                "open-permissions": "may be read or written by others than the owner",
                "other-owner": "belongs to another user than the store",
            }[code]
            yield finding(code, f"{first}{others} {what}", path=first)

    # --- small things ---

    def _plain_files(self) -> Iterator[str]:
        with suppress(OSError):  # the check itself tells it
            for category in layout.categories(self._disk):
                for name, _ in self._disk.fs.list_folder(f"{self._disk.base}/{category}"):
                    if name.endswith(tuple(SUFFIXES.values())):
                        yield name

    def _safely(
        self, items: Iterator[Finding | Looked] | Iterator[Finding], path: str
    ) -> Iterator[Finding | Looked]:
        """Goes on elsewhere where the system refuses something."""
        found: list[Finding] = []
        with noting(found, self._disk, path):
            yield from items
        yield from found

    def _list(self, folder: str, found: list[Finding]) -> Iterator[tuple[str, bool]]:
        """What is in a folder; what the system refuses is put into `found`."""
        with noting(found, self._disk, folder):
            status, refused = self._status(folder)
            found += refused
            if status is not None and stat.S_ISDIR(status.st_mode):
                yield from self._disk.fs.list_folder(folder)

    def _status(self, path: str) -> tuple[os.stat_result | None, list[Finding]]:
        """A file or folder, `None` if it is gone or unsafe; and what is wrong with that alone."""
        found: list[Finding] = []
        status = None
        shown = self._disk.shown(path) if path != self._disk.base else "."
        with noting(found, self._disk, path):
            status = self._disk.fs.stat(path)
        if status is None:
            return None, found
        mode = status.st_mode
        is_file = stat.S_ISREG(mode)
        if not is_file and not stat.S_ISDIR(mode):
            text = f"{shown}: it is a symbolic link, or not a plain file"
            return None, [finding("unsafe-path", text, path=shown)]
        if not mode & stat.S_IWUSR and (not is_file or shown.endswith(_APPENDED)):
            found.append(finding("not-writable", f"{shown} is write-protected", path=shown))
        if not self._is_private and mode & (_OTHERS if is_file else _OTHERS_WRITE):
            self._count("open-permissions", shown)
        if status.st_uid != self._owner and mode & _GROUP != _GROUP:
            self._count("other-owner", shown)
        return status, found

    def _count(self, code: str, shown: str) -> None:
        """Whole folders of files have the same permissions: that is told once."""
        paths = self._modes.setdefault((code, shown.rpartition("/")[0]), (set(), shown))
        first = min(paths[1], shown)
        paths[0].add(hash(shown))  # a folder is looked at twice
        self._modes[code, shown.rpartition("/")[0]] = paths[0], first

    def _is_folder(self, path: str) -> bool:
        with suppress(OSError):  # what stands there instead is told where its folder is listed
            return self._disk.check_folder(path)
        return False


def _why(name: str, check: Callable[[str], str] = names.check_name) -> str:
    try:
        check(name)
    except InvalidNameError as error:
        return f": {error}"
    return ""
