"""One read-change-commit under a document's lock."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self

from plainstate.core import convert
from plainstate.core.diff import diff
from plainstate.engines.holding import Hold
from plainstate.errors import UsageError
from plainstate.stored import check_stored

if TYPE_CHECKING:
    from types import TracebackType

    from plainstate.engines.base import Engine, LockedDocument
    from plainstate.types import Commit, DocumentId, Json

__all__ = ["DocumentTransaction"]


class DocumentTransaction:
    """What `StateStore.transaction` gives: use it in `with`.

    Attributes:
        value: the document's value, `None` if it is absent; change it in place or assign it.
        version: the version it had on entering, `None` if it was absent.
        commit: what was committed, after the block; `None` if nothing changed.
    """

    def __init__(self, engine: Engine, document: DocumentId, tx_id: str | None) -> None:
        self._engine = engine
        self._document = document
        self._tx_id = tx_id
        self._locked: LockedDocument | None = None
        self._hold: Hold | None = None
        self._before: Json = None
        self.value: Json = None
        self.version: str | None = None
        self.commit: Commit | None = None

    def begin(self) -> None:
        """Takes the lock and reads the document."""
        if self._locked is not None:
            raise UsageError("a transaction cannot be entered twice", hint="Make a new one.")
        locked = self._engine.lock(self._document)
        try:
            self._before = locked.head.value()
            self.version = locked.head.version
            self.value = copy.deepcopy(self._before)
        except BaseException:
            locked.release()
            raise
        self._locked = locked

    def end(self, *, commit: bool) -> None:
        """Commits the difference, if asked to, and releases the lock."""
        locked, self._locked = self._locked, None
        if locked is None:
            return
        with locked:
            if commit:
                self.commit = self._commit(locked)

    def mark(self) -> None:
        """Notes that the current task or thread holds the document."""
        self._hold = Hold(self._engine, self._document)

    def unmark(self) -> None:
        """It does not any more."""
        if self._hold is not None:
            self._hold.end()

    def __enter__(self) -> Self:
        self.begin()
        self.mark()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unmark()
        self.end(commit=error is None)

    def _commit(self, locked: LockedDocument) -> Commit | None:
        value = convert.to_tree(self.value)
        operations = diff(self._before, value)
        if not operations:
            return None
        check_stored(self._document, value)
        if self.version is None:
            return locked.replace(value, self._tx_id)
        return locked.append(operations, self._tx_id)
