"""plainstate, with its defaults."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from plainstate import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from plainstate import AsyncStateStore, Session

USER = "ada"


class Plainstate:
    """One handle, for the blocking face and, once it is used, for that of asyncio."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(folder)
        self._async: AsyncStateStore | None = None

    def append(self, session: str, text: str) -> None:
        self.store.append_user_message(session, text, user_id=USER)

    async def append_async(self, session: str, text: str) -> None:
        if self._async is None:
            from plainstate import AsyncStateStore  # the blocking face needs no asyncio

            self._async = AsyncStateStore(self.store)
        await self._async.append_user_message(session, text, user_id=USER)

    def texts(self, session: str) -> list[str]:
        loaded = self.load(session)
        return [] if loaded is None else [turn.content for turn in loaded.turns()]

    def load(self, session: str) -> Session | None:
        return self.store.load_session(session)

    def newest(self, limit: int) -> list[str]:
        return [summary.id for summary in self.store.list_sessions(limit=limit)]

    def search(self, word: str, limit: int) -> list[str]:
        return [hit.document.name for hit in self.store.search(word, limit=limit)]

    def save(self, name: str, tree: Any) -> None:
        self.store.save_json("documents", name, tree)

    def read(self, name: str) -> Any:
        return self.store.load_json("documents", name)

    def close(self) -> None:
        if self._async is None:
            self.store.close()
        else:
            asyncio.run(self._async.close())
