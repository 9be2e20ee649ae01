"""LangGraph: the checkpointer behind a graph on `MessagesState`, and the key-value store."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import aiosqlite
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import MessagesState, StateGraph
from langgraph.store.sqlite import AsyncSqliteStore, SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NODE = "chat"
EVERYTHING = 1_000_000_000


class OnLoop:
    """What is built on a connection of asyncio, made anew for each event loop that asks."""

    def __init__(
        self, path: str, build: Callable[[aiosqlite.Connection], Any], **options: Any
    ) -> None:
        self._path, self._options = path, options
        self._build = build
        self._db: aiosqlite.Connection | None = None
        self._made: asyncio.Task[Any] | None = None

    async def get(self) -> Any:
        """The same for all tasks of a loop."""
        if self._made is None or self._made.get_loop() is not asyncio.get_running_loop():
            self._made = asyncio.create_task(self._make())
        return await self._made

    def close(self) -> None:
        """Ends the connection's thread."""
        if self._db is not None:
            asyncio.run(self._db.close())

    async def _make(self) -> Any:
        if self._db is not None:
            await self._db.close()
        self._db = await aiosqlite.connect(self._path, **self._options)
        return self._build(self._db)


class LangGraphSaver:
    """`SqliteSaver`: each message is an `update_state` of its thread."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "checkpoints.sqlite")
        self._stack = ExitStack()
        self._saver = self._stack.enter_context(SqliteSaver.from_conn_string(self._path))
        self._graph = graph_on(self._saver)
        self._on_loop = OnLoop(self._path, lambda db: graph_on(AsyncSqliteSaver(db)))

    def append(self, session: str, text: str) -> None:
        self._graph.update_state(thread(session), message(text), as_node=NODE)

    async def append_async(self, session: str, text: str) -> None:
        graph = await self._on_loop.get()
        await graph.aupdate_state(thread(session), message(text), as_node=NODE)

    def texts(self, session: str) -> list[str]:
        values = self.load(session).values
        return [str(message.content) for message in values.get("messages", [])]

    def load(self, session: str) -> Any:
        return self._graph.get_state(thread(session))

    def newest(self, limit: int) -> list[str]:
        found: dict[str, None] = {}
        checkpoints: Any = self._saver.list(None)  # the newest first
        with closing(checkpoints):
            for checkpoint in checkpoints:
                found[checkpoint.config["configurable"]["thread_id"]] = None
                if len(found) == limit:
                    break
        return list(found)

    def close(self) -> None:
        self._on_loop.close()
        self._stack.close()


def graph_on(saver: Any) -> Any:
    """The smallest graph that keeps messages."""
    graph = StateGraph(MessagesState)
    graph.add_node(NODE, lambda _: {})
    graph.set_entry_point(NODE)
    return graph.compile(checkpointer=saver)


def thread(session: str) -> Any:
    """What names a conversation."""
    return {"configurable": {"thread_id": session}}


def message(text: str) -> dict[str, Any]:
    """What is added to it."""
    return {"messages": [("user", text)]}


class LangGraphStore:
    """`SqliteStore`: an item for each message, in a namespace of the session.

    The store does not number items, and its times are whole seconds, so the key tells the order.
    """

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "store.sqlite")
        self._stack = ExitStack()
        self._store = self._stack.enter_context(SqliteStore.from_conn_string(self._path))
        self._store.setup()
        self._on_loop = OnLoop(self._path, AsyncSqliteStore, isolation_level=None)

    def append(self, session: str, text: str) -> None:
        self._store.put(("sessions", session), new_key(), item(text))

    async def append_async(self, session: str, text: str) -> None:
        store = await self._on_loop.get()
        await store.aput(("sessions", session), new_key(), item(text))

    def texts(self, session: str) -> list[str]:
        found = sorted(self.load(session), key=lambda one: one.key)
        return [one.value["content"] for one in found]

    def load(self, session: str) -> list[Any]:
        return self._store.search(("sessions", session), limit=EVERYTHING)

    def save(self, name: str, tree: Any) -> None:
        self._store.put(("documents",), name, tree)

    def read(self, name: str) -> Any:
        found = self._store.get(("documents",), name)
        return None if found is None else found.value

    def close(self) -> None:
        self._on_loop.close()
        self._stack.close()


def new_key() -> str:
    """A key behind all earlier ones."""
    return f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}"


def item(text: str) -> dict[str, Any]:
    """A message; the store adds its time."""
    return {"role": "user", "content": text}
