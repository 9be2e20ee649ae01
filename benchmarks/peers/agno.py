"""Agno: `JsonDb`, one JSON file for all sessions and one for all runs.

A run of an agent reads its session, adds itself, and saves the session and then the run; that is
done here with a run of one message.  No model is asked.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from agno.db.base import SessionType
from agno.db.json import JsonDb
from agno.models.message import Message
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.session import AgentSession

if TYPE_CHECKING:
    from pathlib import Path

AGENT, USER = "assistant", "ada"


class Agno:
    """The database."""

    def __init__(self, folder: Path) -> None:
        self._db = JsonDb(db_path=str(folder))

    def append(self, session: str, text: str) -> None:
        loaded = self.load(session)
        if loaded is None:
            loaded = AgentSession(
                session_id=session,
                agent_id=AGENT,
                user_id=USER,
                session_data={"session_state": {}},
                created_at=int(time.time()),
            )
        run = RunOutput(
            run_id=str(uuid.uuid4()),
            agent_id=AGENT,
            session_id=session,
            user_id=USER,
            messages=[Message(role="user", content=text)],
            status=RunStatus.completed,
        )
        loaded.upsert_run(run)
        self._db.upsert_session(loaded)
        self._db.upsert_run(run, session, user_id=USER, run_index=len(loaded.runs or []) - 1)

    async def append_async(self, session: str, text: str) -> None:
        """A run of asyncio calls a blocking database on the event loop."""
        self.append(session, text)

    def texts(self, session: str) -> list[str]:
        loaded = self.load(session)
        runs = [] if loaded is None else loaded.runs or []
        return [str(message.content) for run in runs for message in run.messages or []]

    def load(self, session: str) -> Any:
        return self._db.get_session(session, SessionType.AGENT)

    def newest(self, limit: int) -> list[str]:
        found: Any = self._db.get_sessions(
            SessionType.AGENT, limit=limit, sort_by="updated_at", sort_order="desc"
        )
        return [session.session_id for session in found]

    def close(self) -> None:
        self._db.close()
