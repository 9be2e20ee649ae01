"""Which documents an export takes, and how it reads them while writers go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from plainstate.archive.manifest import file_of
from plainstate.archive.reports import LeftOut
from plainstate.core import times
from plainstate.core.summary import is_session
from plainstate.documents import document_id
from plainstate.errors import (
    DamagedError,
    EditConflictError,
    FormatVersionError,
    InvalidValueError,
    NotFoundError,
    StorageError,
    UsageError,
)
from plainstate.limits import MAX_ARCHIVE_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plainstate.engines.base import Engine
    from plainstate.types import DocumentId, State

__all__ = ["Choice", "modified_at", "read_all"]

_UNREADABLE = (DamagedError, EditConflictError, FormatVersionError, StorageError)


class Choice(Struct, frozen=True):
    """What to export: one session, one category, or (neither given) everything."""

    category: str | None = None
    session_id: str | None = None

    def check(self) -> Choice:
        """Itself, if it can be.

        Raises:
            UsageError: a session and a category.
            InvalidNameError: one of them is no valid name.
        """
        if self.session_id is not None and self.category is not None:
            raise UsageError("a session and a category", hint="Choose one of them.")
        if self.session_id is not None:
            document_id("sessions", self.session_id, "json")
        if self.category is not None:
            document_id(self.category, "any", "json")
        return self


def read_all(
    engine: Engine, choice: Choice, progress: Callable[[int, int], None] | None
) -> Iterator[tuple[DocumentId, State | LeftOut]]:
    """Reads every chosen document, each in one consistent state, sorted by name.

    The store is listed once more at the end: what was renamed meanwhile is not lost.

    Raises:
        NotFoundError: there is no such session, or nothing in the category.
        Whatever prevents reading a session that was asked for by name.
    """
    if choice.session_id is not None:
        yield _the_session(engine, choice.session_id)
        return
    done: set[DocumentId] = set()
    for _ in range(2):
        listed = {one for one, _ in engine.documents(choice.category)} - done
        total = len(done) + len(listed)
        if total > MAX_ARCHIVE_DOCUMENTS:
            raise UsageError(
                f"more than {MAX_ARCHIVE_DOCUMENTS:,} documents do not fit into one archive",
                hint="Export one category at a time.",
            )
        for document in sorted(listed):
            done.add(document)
            state = _read(engine, document)
            if state is not None:  # else it was deleted meanwhile
                yield document, state
            if progress is not None:
                progress(len(done), total)
    if not done and choice.category is not None:
        raise NotFoundError(
            f"no documents in {choice.category}",
            hint="See list_categories.",
            document=choice.category,
        )


def modified_at(document: DocumentId, state: State) -> int:
    """When a session was last changed, seconds since the epoch; 0 of any other document."""
    if not is_session(document) or not isinstance(state.value, dict):
        return 0
    try:
        return times.parse(state.value.get("updated_at", "")) // 10**9
    except InvalidValueError:
        return 0  # it is no session, and is taken as it is


def _the_session(engine: Engine, session_id: str) -> tuple[DocumentId, State]:
    document = document_id("sessions", session_id, "json")
    state = engine.read(document)
    if state is None:
        raise NotFoundError(
            f"no session {session_id}", hint="See list_sessions.", document=str(document)
        )
    return document, state


def _read(engine: Engine, document: DocumentId) -> State | LeftOut | None:
    try:
        return engine.read(document)
    except _UNREADABLE as error:
        return LeftOut(file_of(document), str(error))
