"""Storing what an archive holds, after all of it was verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final

from plainstate.archive.manifest import content
from plainstate.archive.reading import Archive, opened
from plainstate.archive.reports import ImportReport, LeftOut
from plainstate.errors import (
    AlreadyExistsError,
    ConflictError,
    DamagedError,
    EditConflictError,
    UsageError,
)
from plainstate.types import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate.archive.reading import Found
    from plainstate.archive.reports import OnExisting
    from plainstate.archive.target import Place
    from plainstate.engines.base import Engine

__all__ = ["import_archive"]

_CHOICES: Final = ("fail", "skip", "replace")


def import_archive(
    engine: Engine,
    source: Place | BinaryIO,
    *,
    on_existing: OnExisting,
    progress: Callable[[int, int], None] | None,
) -> ImportReport:
    """Stores what an archive holds; see `StateStore.import_archive`."""
    if on_existing not in _CHOICES:
        raise UsageError(
            f"unknown on_existing={on_existing!r}", hint=f"Choose of {', '.join(_CHOICES)}."
        )
    importer = _Importer(engine, on_existing)
    with opened(source) as (file, name):
        archive = Archive(file, name, max_bytes=engine.max_write_bytes, progress=progress)
        differing = [found.file for found in archive.verify() if importer.differs(found)]
        if differing and on_existing == "fail":
            raise _already(differing)
        for found in archive.again():
            importer.store(found)
        return importer.report(archive.left_out)


class _Importer:
    """Stores documents and counts."""

    def __init__(self, engine: Engine, on_existing: OnExisting) -> None:
        self._engine = engine
        self._skip = on_existing == "skip"
        # Somebody else may create a document at this moment.
        self._expected = None if on_existing == "replace" else ABSENT
        self._created = self._replaced = self._unchanged = 0
        self._skipped: list[str] = []

    def differs(self, found: Found) -> bool:
        """Whether the store has the document with other content."""
        return self._compare(found) is False

    def store(self, found: Found) -> None:
        """Stores a document, unless it is there."""
        same = self._compare(found)
        if same:
            self._unchanged += 1
        elif same is False and self._skip:
            self._skipped.append(found.file)
        elif self._put(found):
            self._created += same is None
            self._replaced += same is False

    def report(self, left_out: list[LeftOut]) -> ImportReport:
        """What was done."""
        return ImportReport(self._created, self._replaced, self._unchanged, self._skipped, left_out)

    def _put(self, found: Found) -> bool:
        # No transaction id: who imports an archive again to go back to it is no retry.
        try:
            self._engine.replace(found.document, found.value, expected=self._expected)
        except ConflictError as error:
            if self._expected is None:
                raise
            if not self._skip:
                raise _already([found.file]) from error
            self._skipped.append(found.file)
            return False
        return True

    def _compare(self, found: Found) -> bool | None:
        """Whether the store has the same; `None` if it has no such document."""
        document = found.document
        try:
            state = self._engine.read(document)
        except (DamagedError, EditConflictError):
            if self._skip:
                return False
            raise
        if state is None:
            return None
        return content(document.kind, state.value) == content(document.kind, found.value)


def _already(files: list[str]) -> AlreadyExistsError:
    more = f", and so do {len(files) - 1:,} more" if len(files) > 1 else ""
    return AlreadyExistsError(
        f"{files[0]} exists with other content{more}",
        hint='Pass on_existing="skip" to leave it, or on_existing="replace" to overwrite it.',
        document=files[0],
    )
