"""Who holds a document's lock right now, by task and thread.

Writing a document inside its own transaction would wait for itself: it is refused.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from plainstate.errors import UsageError

if TYPE_CHECKING:
    from plainstate.engines.base import Engine
    from plainstate.types import DocumentId

__all__ = ["Hold", "is_held", "refuse_if_held"]


class Hold:
    """Marks a document as held by the current task or thread, until `end`."""

    def __init__(self, engine: Engine, document: DocumentId) -> None:
        self.engine = engine
        self.document = document
        self.active = True  # a task started meanwhile sees this object after the end, too
        _HOLDS.set((*_HOLDS.get(), self))

    def end(self) -> None:
        """The lock is about to be released."""
        self.active = False
        _HOLDS.set(tuple(hold for hold in _HOLDS.get() if hold.active))


_HOLDS: ContextVar[tuple[Hold, ...]] = ContextVar("plainstate_holds", default=())


def is_held(engine: Engine, document: DocumentId) -> bool:
    """Whether this task or thread holds a document."""
    return any(
        hold.active and hold.engine is engine and hold.document == document for hold in _HOLDS.get()
    )


def refuse_if_held(engine: Engine, document: DocumentId | None = None) -> None:
    """Refuses to write a document that this task or thread holds, or any of them (`UsageError`)."""
    for hold in _HOLDS.get():
        if hold.active and hold.engine is engine and document in (None, hold.document):
            raise UsageError(
                f"{hold.document} is in a transaction of this very task",
                hint="Change the transaction's `value`; call the store after the `with` block.",
            )
