"""Reading an earlier state, by the number or the version of a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainstate.errors import InvalidValueError, NotFoundError

if TYPE_CHECKING:
    from plainstate.engines.base import Engine
    from plainstate.types import DocumentId, State

__all__ = ["state_at"]


def state_at(engine: Engine, document: DocumentId, at: int | str | None) -> State | None:
    """The state after a transaction, `None` if the document was absent then.

    Args:
        engine: has the document.
        document: which.
        at: the transaction's number, or the version that it made; `None`: the newest.

    Raises:
        NotFoundError: that state is not kept.
        InvalidValueError: `at` is neither a number nor a version.
    """
    if at is None:
        return engine.read(document)
    if isinstance(at, bool) or not isinstance(at, int | str) or (at != str(at) and int(at) < 0):
        raise InvalidValueError(
            f"at must be a number from 0 or a version, not {at!r}",
            hint="Pass HistoryEntry.seq or HistoryEntry.version.",
            pointer="",
        )
    return engine.read(document, at=at if isinstance(at, int) else _seq_of(engine, document, at))


def _seq_of(engine: Engine, document: DocumentId, version: str) -> int:
    for transaction in reversed(engine.since(document, None)):
        if transaction.version == version:
            return transaction.seq
    raise NotFoundError(
        f"{document}: the state at version {version} is not kept",
        hint="`history` lists what is.  Open the store with history='keep' to keep what comes.",
        document=str(document),
    )
