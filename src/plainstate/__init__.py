"""plainstate: agent state in plain files.

    from plainstate import open_store

    with open_store("./state") as store:
        store.append_user_message("s-1", "Hello", user_id="ada")
        store.append_agent_response("s-1", "Hi, Ada!")

Start reading at `store.py`; `docs/architecture.md` shows the way a message takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plainstate import errors
from plainstate.checking import CheckReport, Mended, RepairReport
from plainstate.errors import PlainstateError
from plainstate.history import HistoryEntry
from plainstate.measuring import StoreStats
from plainstate.messages import AgentResponse, UserMessage
from plainstate.retention import EmptyReport, PruneReport, TrashedSession
from plainstate.searching import SessionSummary
from plainstate.session import Session, SessionId
from plainstate.store import StateStore, check_store, open_store
from plainstate.types import Change, ChangePage, Commit, Document, Finding, SearchHit
from plainstate.watching import Follower, Watch

if TYPE_CHECKING:
    from plainstate.aio import AsyncStateStore

__all__ = [
    "AgentResponse",
    "AsyncStateStore",
    "Change",
    "ChangePage",
    "CheckReport",
    "Commit",
    "Document",
    "EmptyReport",
    "Finding",
    "Follower",
    "HistoryEntry",
    "Mended",
    "PlainstateError",
    "PruneReport",
    "RepairReport",
    "SearchHit",
    "Session",
    "SessionId",
    "SessionSummary",
    "StateStore",
    "StoreStats",
    "TrashedSession",
    "UserMessage",
    "Watch",
    "check_store",
    "errors",
    "open_store",
]

__version__ = "0.1.0"


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "AsyncStateStore":  # imports asyncio, which the blocking face does not need
        from plainstate.aio import AsyncStateStore

        return AsyncStateStore
    raise AttributeError(f"module 'plainstate' has no attribute {name!r}")
