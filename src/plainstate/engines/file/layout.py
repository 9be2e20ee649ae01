"""The store's folder: creating it, its format version, finding documents in it."""

from __future__ import annotations

import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from zlib import crc32

import msgspec

from plainstate.core import names
from plainstate.core.decoding import reader
from plainstate.core.record import FORMAT
from plainstate.engines.file.disk import META, SUFFIXES
from plainstate.errors import (
    DamagedError,
    FormatVersionError,
    InvalidNameError,
    PlainstateError,
    UnsafePathError,
)
from plainstate.types import SYSTEM_CATEGORIES, TRASH, DocumentId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate.engines.file.disk import Disk
    from plainstate.types import Kind

__all__ = [
    "categories",
    "check_format",
    "create_folders",
    "document_in",
    "document_of",
    "documents",
    "is_category",
    "journals",
    "stamp",
    "write_format",
]

_FORMAT_FILE: Final = "format.json"
_NO_SUBFOLDERS: Final = 2
"""Links to a folder that has none inside, its own `.` and its name: spares a look at a million
files.  File systems that do not count them (btrfs) say 1."""

_KINDS: Final[tuple[Kind, ...]] = ("json", "markdown")

_decode: Final = reader(msgspec.json.decode)


def create_folders(disk: Disk) -> None:
    """Creates the base folder and `.plainstate/` where they are missing."""
    missing = []
    path = disk.base
    while disk.fs.stat(path) is None:
        missing.append(path)
        path = path.rpartition("/")[0] or "/"
    for folder in reversed(missing):
        disk.add_folder(folder, folder.rpartition("/")[0] or "/")
    disk.add_folder(disk.meta, disk.base)
    disk.check_folder(META)


def write_format(disk: Disk) -> None:
    """Writes the format file where it is missing."""
    if disk.fs.stat(f"{disk.meta}/{_FORMAT_FILE}") is None:
        data = msgspec.json.format(msgspec.json.encode({"plainstate": FORMAT})) + b"\n"
        disk.put(disk.meta, f"{disk.meta}/{_FORMAT_FILE}", data)


def check_format(disk: Disk) -> None:
    """Refuses a store that a newer plainstate has written.

    Raises:
        FormatVersionError: it needs a newer plainstate.
        DamagedError: the format file is not readable.
    """
    status = disk.fs.stat(disk.base)
    if status is not None and stat.S_ISREG(status.st_mode):
        raise UnsafePathError(
            f"{disk.base} is a file, not a folder", hint="Pass a folder.", path=disk.base
        )
    path = f"{disk.meta}/{_FORMAT_FILE}"
    file = disk.read_file(path) if disk.check_folder(META) else None
    if file is None:
        return
    try:
        version = _decode(file.data)["plainstate"]
    except (msgspec.DecodeError, TypeError, KeyError) as error:
        raise DamagedError(
            f"{disk.shown(path)} does not tell the format version",
            hint='Restore it; for format 1 it reads {"plainstate": 1}.',
            path=disk.shown(path),
            line=1,
        ) from error
    if version != FORMAT:
        raise FormatVersionError(
            f"this store has format {version}; this plainstate knows format {FORMAT}",
            hint="Upgrade plainstate (pip install --upgrade plainstate) and try again.",
            path=disk.shown(path),
            needed=f"format {version}",
        )


def documents(disk: Disk, category: str) -> Iterator[tuple[DocumentId, str]]:
    """The documents right in a category, damaged ones included, each with its stamp.

    A document that has only a journal may turn out absent.  Cost: one stat(2) a file, a look at
    the end of each journal, and memory for the names of the journals only.
    """
    if not disk.check_folder(category):
        return
    folder = f"{disk.base}/{category}"
    journaled: dict[Kind, set[str]] = {kind: set() for kind in _KINDS}
    for name, is_folder in disk.fs.list_folder(folder):
        kind = _kind_of(name.removesuffix("l")) if name.endswith("l") and not is_folder else None
        if kind is not None:
            journaled[kind].add(name[: -len(SUFFIXES[kind]) - 1])
    for name, is_folder in disk.fs.list_folder(folder):
        kind = None if is_folder else _kind_of(name)
        if kind is not None and _is_name(stem := name.removesuffix(SUFFIXES[kind])):
            document = DocumentId(category, stem, kind)
            has_journal = stem in journaled[kind]
            journaled[kind].discard(stem)
            yield document, stamp(disk, document, has_journal=has_journal)
    for kind in _KINDS:
        for stem in filter(_is_name, journaled[kind]):
            document = DocumentId(category, stem, kind)
            yield document, stamp(disk, document, has_journal=True)


def stamp(disk: Disk, document: DocumentId, *, has_journal: bool) -> str:
    """What is another text after every change of the document's own files.

    Only the change time tells of a document that was renamed there and back.  Of a journal, no
    time tells of a line that was written over blanks: a power cut may take the time and leave
    the line.
    """
    parts = [disk.fs.stat(disk.snapshot(document))]
    end = ""
    if has_journal:
        path = disk.journal(document)
        parts.append(disk.fs.stat(path))
        with suppress(OSError, PlainstateError):  # whoever reads it all says what is wrong
            end = f"/{crc32(disk.read_end(path)):x}"
    stamps = (
        ""
        if one is None
        else f"{one.st_size:x}.{one.st_ino:x}.{one.st_mtime_ns:x}.{one.st_ctime_ns:x}"
        for one in parts
    )
    return "/".join(stamps) + end


def _kind_of(file: str) -> Kind | None:
    return next((kind for kind in _KINDS if file.endswith(SUFFIXES[kind])), None)


def document_of(category: str, file: str) -> DocumentId | None:
    """The document whose plain file this is; `None` if it is none.

    Example:
        >>> document_of("notes", "plan.md")
        DocumentId(category='notes', name='plan', kind='markdown')
    """
    return document_in(category, file) if is_category(category) else None


def document_in(category: str, file: str) -> DocumentId | None:
    """The same, where the category is known to be one, or is the store's own."""
    kind = _kind_of(file)
    if kind is None:
        return None
    name = file.removesuffix(SUFFIXES[kind])
    return DocumentId(category, name, kind) if _is_name(name) else None


def named(place: str, kind: Kind) -> DocumentId | None:
    """The document of this `category/name`, of the trash as well; `None` if there can be none."""
    category, _, name = place.rpartition("/")
    run = category.removeprefix(f"{TRASH}/")
    known = is_category(category) or (run != category and _is_name(run))
    return document_in(category, name + SUFFIXES[kind]) if known else None


def journals(disk: Disk) -> Iterator[DocumentId]:
    """The documents that have a journal, in the whole store; its own included."""
    for category in [*categories(disk), *_system_categories(disk)]:
        for name, is_folder in disk.fs.list_folder(f"{disk.base}/{category}"):
            for kind in _KINDS:
                suffix = SUFFIXES[kind] + "l"
                stem = name.removesuffix(suffix)
                if name.endswith(suffix) and not is_folder and _is_name(stem):
                    yield DocumentId(category, stem, kind)


def _system_categories(disk: Disk) -> Iterator[str]:
    """The folders of the store's own documents."""
    for top in SYSTEM_CATEGORIES:
        if disk.fs.stat(f"{disk.base}/{top}") is not None:
            yield top
            for name, is_folder in disk.fs.list_folder(f"{disk.base}/{top}"):
                if is_folder:
                    yield f"{top}/{name}"


def categories(disk: Disk, *, under: str = "") -> Iterator[str]:
    """Every folder that can be a category, parents first."""
    folder = f"{disk.base}/{under}" if under else disk.base
    status = disk.fs.stat(folder)
    if status is None or status.st_nlink == _NO_SUBFOLDERS:
        return
    for name, is_folder in sorted(disk.fs.list_folder(folder)):
        category = f"{under}/{name}" if under else name
        if is_folder and is_category(category):
            yield category
            yield from categories(disk, under=category)


def _is_name(name: str) -> bool:
    try:
        names.check_name(name)
    except InvalidNameError:
        return False
    return True


def is_category(category: str) -> bool:
    """Whether a folder of this name can be a category."""
    if category.startswith("."):  # as one in every store does: its characters need no look
        return False
    try:
        names.check_category(category)
    except InvalidNameError:
        return False
    return True
