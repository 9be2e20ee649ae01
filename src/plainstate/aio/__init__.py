"""The async face: `AsyncStateStore`, with the methods of `StateStore`."""

from __future__ import annotations

from plainstate.aio.store import AsyncStateStore

__all__ = ["AsyncStateStore"]
