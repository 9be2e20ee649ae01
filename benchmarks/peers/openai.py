"""OpenAI Agents SDK: one `SQLiteSession` for each conversation, all in one database."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any

from agents import SQLiteSession

if TYPE_CHECKING:
    from pathlib import Path


class OpenAI:
    """Sessions are kept open, as an application would."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "conversations.db"
        self._sessions: dict[str, SQLiteSession] = {}
        self._runner = asyncio.Runner()
        # Each session has a connection, three open files, in each thread that served it.
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def append(self, session: str, text: str) -> None:
        self._runner.run(self.append_async(session, text))

    async def append_async(self, session: str, text: str) -> None:
        await self._session(session).add_items([{"role": "user", "content": text}])

    def texts(self, session: str) -> list[str]:
        return [item["content"] for item in self.load(session)]

    def load(self, session: str) -> list[Any]:
        return self._runner.run(self._session(session).get_items())

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._runner.close()

    def _session(self, name: str) -> SQLiteSession:
        session = self._sessions.get(name)
        if session is None:
            session = self._sessions[name] = SQLiteSession(name, self._path)
        return session
