"""The small files of a store, each read by its own reader."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Final

from plainstate.core.record import HeadRecord
from plainstate.engines.file import layout, reader, writers
from plainstate.engines.file.disk import Disk
from plainstate.errors import DamagedError, FormatVersionError
from plainstate.fs.posix import PosixFileSystem
from plainstate.types import SYSTEM_CATEGORIES, DocumentId
from proof.fuzz.oracle import documented, is_sealed, lines_in
from proof.fuzz.targets import scratch

__all__ = ["format_file", "head", "writer"]

_DOCUMENT: Final = DocumentId("c", "n")


def format_file(data: bytes) -> None:
    """Only a file that says format 1, as Python reads it, lets a store be opened."""
    disk = _disk()
    _write(f"{disk.meta}/format.json", data)
    with documented(DamagedError, FormatVersionError):
        layout.check_format(disk)
        assert json.loads(data)["plainstate"] == 1


def head(data: bytes) -> None:
    """The head of a document at rest is one line, intact, and about that document."""
    disk = _disk()
    file = lines_in(data)
    _write(disk.resting(_DOCUMENT), file)
    with documented(DamagedError, FormatVersionError):
        found = reader.read_resting(disk, _DOCUMENT)
        assert isinstance(found, HeadRecord)
        assert is_sealed(file.removesuffix(b"\n"))
        assert file.count(b"\n") == 1
        assert (found.document, found.kind) == ("c/n", "json")


def writer(data: bytes) -> None:
    """The documents that a dead writer's file names are such as a store can have.

    Its locks, folds and lines in the feed follow these names, so none may lead elsewhere.
    """
    disk = _disk()
    path = f"{disk.meta}/writer"
    _write(path, data)
    fd = disk.fs.open_read(path)
    try:
        found = writers.documents_of(disk, fd)
    finally:
        disk.fs.close(fd)
    for document in found:
        inside = layout.is_category(document.category) or document.category.startswith(
            SYSTEM_CATEGORIES
        )
        assert inside, document
        place = disk.snapshot(document)
        assert os.path.normpath(place) == place, document
        assert layout.document_in(document.category, os.path.basename(place)) == document


@cache
def _disk() -> Disk:
    disk = Disk(PosixFileSystem(), scratch.folder("files"), "fuzz")
    os.makedirs(f"{disk.meta}/heads/c")
    return disk


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
