"""One conversation, kept by different stores: each adapter appends a text and reads all texts.

An adapter uses its library as the library's own documentation does; what is shown of
a store is what its user gets, not what could be built on top of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SESSION = "s-1"


class Store(Protocol):
    """One session in one folder."""

    def append(self, text: str) -> None:
        """Appends a user message."""

    def texts(self) -> list[str]:
        """Everything that was appended, as the store gives it back."""

    def close(self) -> None:
        """Lets go of the store."""


class Plainstate:
    """`StateStore.append_user_message`."""

    def __init__(self, folder: Path) -> None:
        from plainstate import open_store

        self._store = open_store(folder)

    def append(self, text: str) -> None:
        self._store.append_user_message(SESSION, text, user_id="ada")

    def texts(self) -> list[str]:
        session = self._store.load_session(SESSION)
        return [] if session is None else [turn.content for turn in session.turns()]

    def close(self) -> None:
        self._store.close()


class Rewrite:
    """Load, change, write a temporary file named by process id, rename: no sync."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{SESSION}.json"

    def append(self, text: str) -> None:
        now = datetime.now(UTC).isoformat()
        session = self._load() or {"id": SESSION, "user_id": "ada", "user_messages": []}
        session["user_messages"].append({"content": text, "timestamp": now})
        session["updated_at"] = now
        temp = self._path.with_suffix(f".{os.getpid()}.tmp")
        temp.write_text(json.dumps(session, indent=2))
        temp.rename(self._path)

    def texts(self) -> list[str]:
        session = self._load() or {"user_messages": []}
        return [message["content"] for message in session["user_messages"]]

    def close(self) -> None:
        pass

    def _load(self) -> Any:
        return json.loads(self._path.read_text()) if self._path.exists() else None


class SqliteByHand:
    """A table, `journal_mode=WAL`, `synchronous=FULL`, one transaction a message."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "state.db", timeout=30)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS message (id INTEGER PRIMARY KEY, session TEXT, body TEXT)"
        )

    def append(self, text: str) -> None:
        body = json.dumps({"content": text, "timestamp": datetime.now(UTC).isoformat()})
        with self._db:
            self._db.execute("INSERT INTO message (session, body) VALUES (?, ?)", (SESSION, body))

    def texts(self) -> list[str]:
        rows = self._db.execute(
            "SELECT body FROM message WHERE session = ? ORDER BY id", (SESSION,)
        )
        return [json.loads(body)["content"] for (body,) in rows]

    def close(self) -> None:
        self._db.close()


class OpenAIAgents:
    """`SQLiteSession.add_items`."""

    def __init__(self, folder: Path) -> None:
        from agents import SQLiteSession

        folder.mkdir(parents=True, exist_ok=True)
        self._session = SQLiteSession(SESSION, folder / "sessions.db")
        self._runner = asyncio.Runner()

    def append(self, text: str) -> None:
        self._runner.run(self._session.add_items([{"role": "user", "content": text}]))

    def texts(self) -> list[str]:
        items = self._runner.run(self._session.get_items())
        return [str(item["content"]) for item in items]

    def close(self) -> None:
        self._session.close()
        self._runner.close()


class Strands:
    """`FileSessionManager` of an `Agent`: `append_message` and `sync_agent`, as its hooks do."""

    def __init__(self, folder: Path) -> None:
        from strands import Agent
        from strands.models.model import Model
        from strands.session.file_session_manager import FileSessionManager

        class NoModel(Model):
            """Never asked."""

            update_config = get_config = structured_output = stream = None

        self._manager = FileSessionManager(SESSION, storage_dir=str(folder))
        self._agent = Agent(
            model=NoModel(), agent_id="a", session_manager=self._manager, callback_handler=None
        )

    def append(self, text: str) -> None:
        message = {"role": "user", "content": [{"text": text}]}
        self._agent.messages.append(message)
        self._manager.append_message(message, self._agent)
        self._manager.sync_agent(self._agent)

    def texts(self) -> list[str]:
        kept = self._manager.list_messages(SESSION, "a")
        return [record.message["content"][0]["text"] for record in kept]

    def close(self) -> None:
        pass


class LangGraph:
    """`SqliteSaver` behind a graph on `MessagesState`: `update_state` with one message."""

    def __init__(self, folder: Path) -> None:
        from langgraph.checkpoint.sqlite import SqliteSaver
        from langgraph.graph import MessagesState, StateGraph

        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(
            folder / "checkpoints.sqlite", timeout=30, check_same_thread=False
        )
        graph = StateGraph(MessagesState)
        graph.add_node("chat", lambda _: {})
        graph.set_entry_point("chat")
        self._graph = graph.compile(checkpointer=SqliteSaver(self._db))
        self._config: Any = {"configurable": {"thread_id": SESSION}}

    def append(self, text: str) -> None:
        self._graph.update_state(self._config, {"messages": [("user", text)]}, as_node="chat")

    def texts(self) -> list[str]:
        values = self._graph.get_state(self._config).values
        return [str(message.content) for message in values.get("messages", [])]

    def close(self) -> None:
        self._db.close()


STORES: dict[str, tuple[Callable[[Path], Store], str]] = {
    "plainstate": (Plainstate, "plainstate"),
    "rewrite": (Rewrite, ""),
    "sqlite": (SqliteByHand, ""),
    "openai-agents": (OpenAIAgents, "openai-agents"),
    "strands": (Strands, "strands-agents"),
    "langgraph": (LangGraph, "langgraph-checkpoint-sqlite"),
}
"""Name → (adapter, distribution)."""


def shown_version(name: str) -> str:
    """What was measured."""
    if name == "sqlite":
        with closing(sqlite3.connect(":memory:")) as db:
            return str(db.execute("SELECT sqlite_version()").fetchone()[0])
    distribution = STORES[name][1]
    return version(distribution) if distribution else "-"
