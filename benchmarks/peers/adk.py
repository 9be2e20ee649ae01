"""Google Agent Development Kit: `SqliteSessionService`.

A session is loaded once and events are appended to the object, until the service says that it
is stale; then it is loaded anew for the next event.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.adk.events import Event
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai.types import Content, Part

if TYPE_CHECKING:
    from pathlib import Path

    from google.adk.sessions import Session

APP, USER = "app", "ada"


class ADK:
    """The service, and the sessions that were used."""

    def __init__(self, folder: Path) -> None:
        self._service = SqliteSessionService(str(folder / "sessions.db"))
        self._sessions: dict[str, Session] = {}
        self._runner = asyncio.Runner()

    def append(self, session: str, text: str) -> None:
        self._runner.run(self.append_async(session, text))

    async def append_async(self, session: str, text: str) -> None:
        held = self._sessions.get(session)
        if held is None:
            held = await self._load(session) or await self._service.create_session(
                app_name=APP, user_id=USER, session_id=session
            )
            self._sessions[session] = held
        content = Content(role="user", parts=[Part(text=text)])
        event = Event(author="user", invocation_id=Event.new_id(), content=content)
        try:
            await self._service.append_event(held, event)
        except Exception:
            self._sessions.pop(session, None)
            raise

    def texts(self, session: str) -> list[str]:
        loaded = self.load(session)
        if loaded is None:
            return []
        contents = [event.content for event in loaded.events]
        return [content.parts[0].text or "" for content in contents if content and content.parts]

    def load(self, session: str) -> Session | None:
        return self._runner.run(self._load(session))

    def newest(self, limit: int) -> list[str]:
        listing = self._service.list_sessions(app_name=APP, user_id=USER)
        found = self._runner.run(listing).sessions  # all of them, the oldest first
        return [session.id for session in reversed(found[-limit:])]

    def close(self) -> None:
        self._runner.run(self._service.close())
        self._runner.close()

    async def _load(self, session: str) -> Session | None:
        return await self._service.get_session(app_name=APP, user_id=USER, session_id=session)
