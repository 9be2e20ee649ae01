"""Where a document stands, and what may not be committed on top of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from plainstate.core import summary
from plainstate.core.record import DELETION, number_in
from plainstate.errors import ConflictError
from plainstate.types import ABSENT, Commit, Json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plainstate.types import DocumentId, Patch

__all__ = ["Position", "check_expected", "duplicate"]


class Position(Struct, frozen=True):
    """Where a document stands: what its next line continues from.

    Attributes:
        seq: number of the last transaction.
        version: the current version, `None` if the document is absent.
        summary: a session's summary; `None` elsewhere, or where only the value can tell.
    """

    seq: int
    version: str | None
    summary: dict[str, Json] | None = None

    def summary_after(self, patches: Iterable[Patch]) -> dict[str, Json] | None:
        """A session's summary behind more transactions."""
        known, absent = self.summary, self.version is None
        for patch in patches:
            if known is not None:
                known = summary.advance(known, patch)
            elif absent and len(patch) == 1:
                known = summary.summarize(patch[0].get("value"))
            absent = patch == DELETION
        return known


def check_expected(document: DocumentId, expected: str | None, current: str | None) -> None:
    """Refuses a change that was made against another version.

    Raises:
        ConflictError: `expected` is not `current`.
    """
    if expected is not None and expected != (current or ABSENT):
        raise ConflictError(
            f"{document} is at version {current or 'none (absent)'}, not at {expected}",
            hint="Read it again, apply your change to what is there now, and retry.",
            document=str(document),
            expected=expected,
            current=current,
        )


def duplicate(document: DocumentId, tx_id: str, version: str | None) -> Commit:
    """The report of a transaction that was committed before (J-8).

    Raises:
        ConflictError: whether it was cannot be known any more.
    """
    if version is None:
        raise ConflictError(
            f"{document} was edited by hand right after {tx_id}, before anybody saw it take effect",
            hint="Look at the document; if the change is missing, make it again with a new tx_id.",
            document=str(document),
            expected=None,
            current=None,
        )
    return Commit(number_in(version), version, tx_id, duplicate=True)
