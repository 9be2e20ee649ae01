"""Writing a folder of Markdown for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainstate.archive import manifest
from plainstate.archive.choosing import read_all
from plainstate.archive.reports import ExportReport, LeftOut
from plainstate.archive.target import folder_target
from plainstate.archive.transcript import as_markdown
from plainstate.core.summary import is_session
from plainstate.errors import DamagedError
from plainstate.fs.posix import PosixFileSystem
from plainstate.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate.archive.choosing import Choice
    from plainstate.archive.target import Place
    from plainstate.engines.base import Engine
    from plainstate.fs.base import FileSystem
    from plainstate.types import DocumentId, State

__all__ = ["export_markdown"]


def export_markdown(
    engine: Engine,
    target: Place,
    choice: Choice,
    *,
    progress: Callable[[int, int], None] | None,
    fs: FileSystem | None = None,
) -> ExportReport:
    """Writes the chosen documents for reading; see `StateStore.export_markdown`."""
    choice.check()
    left_out: list[LeftOut] = []
    sizes: dict[str, int] = {}
    with folder_target(target, fs or PosixFileSystem()) as folder:
        for document, state in read_all(engine, choice, progress):
            copy = state if isinstance(state, LeftOut) else _copy(document, state)
            if not isinstance(copy, LeftOut) and copy[0] in sizes:
                # a Markdown document beside a session of its name
                copy = LeftOut(copy[0], "a session's transcript has its name")
            if isinstance(copy, LeftOut):
                left_out.append(copy)
            else:
                folder.put(*copy)
                sizes[copy[0]] = len(copy[1])
    return ExportReport(len(sizes), sum(sizes.values()), left_out)


def _copy(document: DocumentId, state: State) -> tuple[str, bytes] | LeftOut:
    """Name and content of a file for reading."""
    file = manifest.file_of(document)
    if not is_session(document):
        return file, manifest.content(document.kind, state.value)
    try:
        session = Session(state.value)
        session.take_name(document.name)
        return f"{document}.md", as_markdown(session).encode()
    except DamagedError as error:
        return LeftOut(file, str(error))
