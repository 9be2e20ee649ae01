"""The store's method for telling what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from plainstate.engines.base import OnFiles
from plainstate.types import TRASH, Files

if TYPE_CHECKING:
    from plainstate.engines.base import Engine
    from plainstate.index import Index

__all__ = ["MeasuringMethods", "StoreStats"]


class StoreStats(Struct, frozen=True):
    """What a store holds.

    Attributes:
        categories: how many documents each category holds.
        damaged: how many of them cannot be read.
        sessions: how many are sessions that can be read.
        users: how many own one of them.
        messages: how many messages those hold.
        trashed: sessions in the trash.
        unread: documents of which search does not know the newest words yet.
        files: sizes on disk, and what the store keeps beside the documents; `None` for a store
            that is not in files.
    """

    categories: dict[str, int]
    damaged: int
    sessions: int
    users: int
    messages: int
    trashed: int
    unread: int
    files: Files | None

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return sum(self.categories.values())


class MeasuringMethods:
    """Numbers about the whole store."""

    _engine: Engine
    _index: Index

    def stats(self) -> StoreStats:
        """How much the store holds, of what.

        Cost: a stat per file.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     _ = store.append_user_message("s-1", "Hello", user_id="ada")
            ...     stats = store.stats()
            ...     stats.categories, stats.users, stats.messages
            ({'sessions': 1}, 1, 1)
        """
        known = self._index.statistics()
        runs = [run.name for run, _ in self._engine.documents(TRASH)]
        return StoreStats(
            categories=dict(self._index.categories()),
            damaged=known.damaged,
            sessions=known.sessions,
            users=known.users,
            messages=known.messages,
            trashed=sum(1 for run in runs for _ in self._engine.documents(f"{TRASH}/{run}")),
            unread=known.unread,
            files=self._engine.measure() if isinstance(self._engine, OnFiles) else None,
        )
