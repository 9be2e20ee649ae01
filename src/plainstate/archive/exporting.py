"""Writing an archive: one pass over the store, memory for one document and the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from plainstate.archive import manifest, tar
from plainstate.archive.choosing import modified_at, read_all
from plainstate.archive.compress import Gzip
from plainstate.archive.reports import ExportReport, LeftOut
from plainstate.archive.target import file_target
from plainstate.fs.posix import PosixFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate.archive.choosing import Choice
    from plainstate.archive.target import Place
    from plainstate.engines.base import Engine
    from plainstate.fs.base import FileSystem

__all__ = ["export_archive"]


def export_archive(
    engine: Engine,
    target: Place | BinaryIO,
    choice: Choice,
    *,
    overwrite: bool,
    progress: Callable[[int, int], None] | None,
    fs: FileSystem | None = None,
) -> ExportReport:
    """Writes the chosen documents as an archive; see `StateStore.export_archive`."""
    choice.check()
    with file_target(target, fs or PosixFileSystem(), overwrite=overwrite) as write:
        archive = _Archive(write)
        archive.add(manifest.FIRST, manifest.opening())
        for document, state in read_all(engine, choice, progress):
            if isinstance(state, LeftOut):
                archive.leave_out(state)
            else:
                data = manifest.content(document.kind, state.value)
                archive.add_document(
                    manifest.file_of(document), data, state.version, modified_at(document, state)
                )
        return archive.finish()


class _Archive:
    """An archive that is being written."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._zip = Gzip(write)
        self._manifest = bytearray()
        self._documents = self._size_bytes = 0
        self._left_out: list[LeftOut] = []

    def add(self, file: str, data: bytes | bytearray, modified: int = 0) -> None:
        self._zip.write(tar.header(file, len(data), modified))
        self._zip.write(data)
        self._zip.write(tar.padding(len(data)))

    def add_document(self, file: str, data: bytes, version: str, modified: int) -> None:
        self.add(file, data, modified)
        line = manifest.Line(file, len(data), manifest.digest(data), version)
        self._manifest += manifest.line_of(line)
        self._documents += 1
        self._size_bytes += len(data)

    def leave_out(self, one: LeftOut) -> None:
        self._manifest += manifest.line_of(manifest.Line(one.file, left_out=one.reason))
        self._left_out.append(one)

    def finish(self) -> ExportReport:
        self.add(manifest.LAST, self._manifest)
        self._zip.write(tar.END)
        self._zip.finish()
        return ExportReport(self._documents, self._size_bytes, self._left_out)
