"""Strands Agents: a `FileSessionManager` and an `Agent` for each conversation.

What the agent's hooks do when a message was added is done here: `append_message`, then
`sync_agent`.  No model is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strands import Agent
from strands.models.model import Model
from strands.session.file_session_manager import FileSessionManager

if TYPE_CHECKING:
    from pathlib import Path

AGENT = "assistant"


class NoModel(Model):
    """Never asked."""

    update_config = get_config = structured_output = stream = None


class Strands:
    """Agents are kept, as an application would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, tuple[FileSessionManager, Agent]] = {}

    def append(self, session: str, text: str) -> None:
        manager, agent = self._open.get(session) or self._start(session)
        message: Any = {"role": "user", "content": [{"text": text}]}
        agent.messages.append(message)
        manager.append_message(message, agent)
        manager.sync_agent(agent)

    async def append_async(self, session: str, text: str) -> None:
        """Hooks are called on the event loop."""
        self.append(session, text)

    def texts(self, session: str) -> list[str]:
        if not (self._folder / f"session_{session}").exists():
            return []  # a manager would make it
        return [record.message["content"][0]["text"] for record in self.load(session)]

    def load(self, session: str) -> list[Any]:
        return self._manager(session).list_messages(session, AGENT)

    def close(self) -> None:
        self._open.clear()

    def _start(self, session: str) -> tuple[FileSessionManager, Agent]:
        manager = self._manager(session)
        agent = Agent(
            model=NoModel(), agent_id=AGENT, session_manager=manager, callback_handler=None
        )
        self._open[session] = manager, agent
        return manager, agent

    def _manager(self, session: str) -> FileSessionManager:
        return FileSessionManager(session, storage_dir=str(self._folder))
