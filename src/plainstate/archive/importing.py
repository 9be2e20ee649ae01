"""Storing what an archive holds, after all of it was verified."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, TypeAlias

from plainstate.archive.manifest import content
from plainstate.archive.reading import Archive, opened
from plainstate.archive.reports import ImportReport
from plainstate.errors import (
    AlreadyExistsError,
    ConflictError,
    DamagedError,
    EditConflictError,
    UsageError,
)
from plainstate.types import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plainstate.archive.reading import Found
    from plainstate.archive.reports import OnExisting
    from plainstate.archive.target import Place
    from plainstate.engines.base import Engine

__all__ = ["import_archive"]

_CHOICES: Final = ("fail", "skip", "replace")

_WRITERS: Final = 8
"""Threads, which wait for the disk together."""

_BATCH: Final = 32
"""Documents in memory at once."""

_Outcome: TypeAlias = Literal["created", "replaced", "unchanged", "skipped"]


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
        counts: Counter[_Outcome] = Counter()
        skipped = []
        for found, outcome in importer.store_all(archive.again()):
            counts[outcome] += 1
            if outcome == "skipped":
                skipped.append(found.file)
    return ImportReport(
        counts["created"], counts["replaced"], counts["unchanged"], skipped, archive.left_out
    )


class _Importer:
    """Compares documents with those of a store, and stores them."""

    def __init__(self, engine: Engine, on_existing: OnExisting) -> None:
        self._engine = engine
        self._skip = on_existing == "skip"
        # Somebody else may create a document at this moment.
        self._expected = None if on_existing == "replace" else ABSENT

    def differs(self, found: Found) -> bool:
        """Whether the store has the document with other content."""
        return self._compare(found) is False

    def store_all(self, found: Iterator[Found]) -> Iterator[tuple[Found, _Outcome]]:
        """Stores documents and tells what became of each."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_WRITERS) as pool:
            while batch := list(islice(found, _BATCH)):
                yield from zip(batch, pool.map(self._store, batch), strict=True)

    def _store(self, found: Found) -> _Outcome:
        same = self._compare(found)
        if same:
            return "unchanged"
        if same is False and self._skip:
            return "skipped"
        # No transaction id: who imports an archive again to go back to it is no retry.
        try:
            self._engine.replace(found.document, found.value, expected=self._expected)
        except ConflictError as error:
            if self._skip:
                return "skipped"
            if self._expected is None:
                raise
            raise _already([found.file]) from error
        return "created" if same is None else "replaced"

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
