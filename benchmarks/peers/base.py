"""What a peer can do, and the table of all peers.

An adapter uses its library as the library's own documentation does, with its defaults: what is
measured is what a user gets, not what could be built on top of it.  Each message is a user's
text, with the id and time that the library gives it.
"""

from __future__ import annotations

import sqlite3
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, NamedTuple, Protocol

import plainstate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Store(Protocol):
    """One folder, opened.

    What not every library can do is not part of the protocol; a store has these methods or not:

    - `async append_async(session, text)`: what the library itself does under asyncio.  A store
      without it is called in threads.
    - `load(session) -> object`: the library's own call for a whole session, nothing converted.
    - `newest(limit) -> list[str]`: ids of the sessions that were changed last, newest first.
    - `search(word, limit) -> list[str]`: for each of the best hits, the id of its session.
    - `save(name, tree)` and `read(name)`: a whole JSON document.
    """

    def append(self, session: str, text: str) -> None:
        """Appends a user's message, as durable as the library's defaults make it."""

    def texts(self, session: str) -> list[str]:
        """Everything that was appended to a session, in order; nothing, if there is no session."""

    def close(self) -> None:
        """Lets go of the folder; not to be called where an event loop runs."""


class Peer(NamedTuple):
    """A way to keep conversations.

    Attributes:
        name: its key in `PEERS`.
        version: of the library; of SQLite where it is used by hand.
        durable: whether an acknowledged append survives a power cut.
        readable: whether the messages lie in readable text.
        open: opens a folder, which is made if need be; imports the library.
        note: what was called, and which ability is missing.
    """

    name: str
    version: str
    durable: bool
    readable: bool
    open: Callable[[Path], Store]
    note: str


class Entry(NamedTuple):
    """A line of the table: a peer whose library may be missing."""

    distribution: str
    adapter: str
    durable: bool
    readable: bool
    note: str


TABLE: dict[str, Entry] = {
    "plainstate": Entry(
        distribution="plainstate",
        adapter="plainstate:Plainstate",
        durable=True,
        readable=True,
        note="`append_user_message`",
    ),
    "limit": Entry(
        distribution="",
        adapter="limit:Limit",
        durable=True,
        readable=True,
        note="write + fdatasync, a file of JSON lines for each session; no lists, no search",
    ),
    "sqlite_full": Entry(
        distribution="sqlite",
        adapter="sqlite:SqliteFull",
        durable=True,
        readable=False,
        note="tables by hand, WAL, `synchronous=FULL`; a search takes new words in first",
    ),
    "sqlite_normal": Entry(
        distribution="sqlite",
        adapter="sqlite:SqliteNormal",
        durable=False,
        readable=False,
        note="the same with `synchronous=NORMAL`",
    ),
    "ancestor": Entry(
        distribution="",
        adapter="ancestor:Ancestor",
        durable=False,
        readable=True,
        note="load, change, write to a temporary file, rename; no search",
    ),
    "ancestor_fsync": Entry(
        distribution="",
        adapter="ancestor:AncestorFsync",
        durable=True,
        readable=True,
        note="the same with fsync of file and folder; no search",
    ),
    "openai": Entry(
        distribution="openai-agents",
        adapter="openai:OpenAI",
        durable=True,
        readable=False,
        note="`SQLiteSession.add_items`; no lists, no search, no documents",
    ),
    "strands": Entry(
        distribution="strands-agents",
        adapter="strands:Strands",
        durable=False,
        readable=True,
        note="`FileSessionManager.append_message`; no lists, no search, no documents",
    ),
    "adk": Entry(
        distribution="google-adk",
        adapter="adk:ADK",
        durable=True,
        readable=False,
        note="`SqliteSessionService.append_event`; no search, no documents",
    ),
    "langgraph_store": Entry(
        distribution="langgraph-checkpoint-sqlite",
        adapter="langgraph:LangGraphStore",
        durable=True,
        readable=False,
        note="`SqliteStore.put`; no lists by time, no search without embeddings",
    ),
    "langgraph_saver": Entry(
        distribution="langgraph-checkpoint-sqlite",
        adapter="langgraph:LangGraphSaver",
        durable=True,
        readable=False,
        note="`update_state` with `SqliteSaver`; keeps every state; no search, no documents",
    ),
    "agno": Entry(
        distribution="agno",
        adapter="agno:Agno",
        durable=False,
        readable=True,
        note="`JsonDb.upsert_session`, `upsert_run`; no search, no documents",
    ),
}
"""All peers.  Whether one is durable is checked by `python -m benchmarks.peers`."""


def _version(distribution: str) -> str | None:
    """The version of what is measured; `None` if it is not installed."""
    here = {"": "-", "plainstate": plainstate.__version__, "sqlite": sqlite3.sqlite_version}
    try:
        return here.get(distribution) or version(distribution)
    except PackageNotFoundError:
        return None


def _opener(adapter: str) -> Callable[[Path], Store]:
    """Imports the adapter, and so the library, only when it is opened."""
    module, _, name = adapter.partition(":")

    def open_folder(folder: Path) -> Store:
        kind: Callable[[Path], Store] = getattr(import_module(f"benchmarks.peers.{module}"), name)
        folder.mkdir(parents=True, exist_ok=True)
        return kind(folder)

    return open_folder


PEERS: dict[str, Peer] = {
    name: Peer(name, found, entry.durable, entry.readable, _opener(entry.adapter), entry.note)
    for name, entry in TABLE.items()
    if (found := _version(entry.distribution)) is not None
}
"""The peers that can be opened here."""

MISSING: list[str] = [name for name in TABLE if name not in PEERS]
"""The peers whose library is not installed."""
