"""Every target: a function that is given bytes and fails where a promise is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proof.fuzz.targets import archives, asking, files, foreign, lines, store, text, values

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TARGETS"]

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "journal": lines.journal,
    "state": lines.state,
    "history": lines.past,
    "feed": lines.changes,
    "head": files.head,
    "writer": files.writer,
    "format": files.format_file,
    "json": values.value,
    "patch": values.change,
    "diff": values.difference,
    "session": values.session,
    "name": text.name,
    "category": text.category,
    "tx-id": text.tx_id,
    "time": text.time,
    "cursor": text.cursor,
    "address": text.address,
    "pointer": text.point,
    "quantity": text.quantity,
    "search": asking.search,
    "excerpt": asking.excerpt,
    "asking": asking.asking,
    "store": store.store,
    "archive": archives.archive,
    "import": foreign.foreign,
}
