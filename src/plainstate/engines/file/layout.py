"""The store's folder: creating it, its format version, finding documents in it."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import msgspec

from plainstate.core import names
from plainstate.core.record import FORMAT
from plainstate.engines.file.disk import META, SUFFIXES
from plainstate.engines.file.reader import read_document
from plainstate.errors import (
    DamagedError,
    FormatVersionError,
    InvalidNameError,
    PlainstateError,
    UnsafePathError,
)
from plainstate.types import DocumentId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate.engines.file.disk import Disk
    from plainstate.types import Kind

__all__ = [
    "categories",
    "check_format",
    "create_folders",
    "documents",
    "journals",
    "write_format",
]

_FORMAT_FILE: Final = "format.json"
_KINDS: Final[tuple[Kind, ...]] = ("json", "markdown")


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
        version = msgspec.json.decode(file.data)["plainstate"]
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError) as error:
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


def documents(disk: Disk, category: str) -> Iterator[DocumentId]:
    """The documents right in a category, damaged ones included."""
    if not disk.check_folder(category):
        return
    files = {
        name for name, is_folder in disk.fs.list_folder(f"{disk.base}/{category}") if not is_folder
    }
    for kind in _KINDS:
        suffix = SUFFIXES[kind]
        stems = {name.removesuffix(suffix) for name in files if name.endswith(suffix)}
        journaled = {
            name.removesuffix(suffix + "l") for name in files if name.endswith(suffix + "l")
        }
        for name in sorted(stems | journaled):
            if not _is_name(name):
                continue
            document = DocumentId(category, name, kind)
            if name not in journaled or _exists(disk, document):
                yield document


def journals(disk: Disk) -> Iterator[DocumentId]:
    """The documents that have a journal, in the whole store."""
    for category in categories(disk):
        for name, is_folder in disk.fs.list_folder(f"{disk.base}/{category}"):
            for kind in _KINDS:
                suffix = SUFFIXES[kind] + "l"
                stem = name.removesuffix(suffix)
                if name.endswith(suffix) and not is_folder and _is_name(stem):
                    yield DocumentId(category, stem, kind)


def categories(disk: Disk, *, under: str = "") -> Iterator[str]:
    """Every folder that can be a category, parents first."""
    folder = f"{disk.base}/{under}" if under else disk.base
    if disk.fs.stat(folder) is None:
        return
    for name, is_folder in sorted(disk.fs.list_folder(folder)):
        category = f"{under}/{name}" if under else name
        if is_folder and _is_category(category):
            yield category
            yield from categories(disk, under=category)


def _exists(disk: Disk, document: DocumentId) -> bool:
    """Whether a document with a journal exists: the journal may delete or never have begun it."""
    try:
        basis = read_document(disk, document).basis
        return basis.version is not None or (basis.kind == "edited" and bool(basis.waiting))
    except PlainstateError:
        return True  # damaged is not absent


def _is_name(name: str) -> bool:
    try:
        names.check_name(name)
    except InvalidNameError:
        return False
    return True


def _is_category(category: str) -> bool:
    try:
        names.check_category(category)
    except InvalidNameError:
        return False
    return True
