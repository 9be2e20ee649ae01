"""The algorithm of the store that plainstate descends from: whole files, written anew.

An append loads the session, changes it and writes all of it to a temporary file that is named by
the process, then renames that.  A list reads and parses every session and sorts.  The ancestor
is compiled and parses into objects of fixed fields; so does msgspec, which keeps the comparison
one of algorithms.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Message(msgspec.Struct):
    """A user's message."""

    content: str
    timestamp: datetime


class Session(msgspec.Struct):
    """A conversation."""

    id: str
    user_id: str
    created_at: datetime
    updated_at: datetime
    user_messages: list[Message] = []
    agent_responses: list[Any] = []
    metadata: dict[str, Any] = {}


class Summary(msgspec.Struct):
    """What a list tells of a session."""

    id: str
    user_id: str
    message_count: int
    created_at: datetime
    updated_at: datetime


DECODER = msgspec.json.Decoder(Session)


class Ancestor:
    """Nothing is synced."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def append(self, session: str, text: str) -> None:
        now = datetime.now(UTC)
        loaded = self.load(session) or Session(session, "ada", now, now)
        loaded.user_messages.append(Message(text, now))
        loaded.updated_at = now
        self._save("sessions", session, loaded)

    def texts(self, session: str) -> list[str]:
        loaded = self.load(session)
        return [] if loaded is None else [message.content for message in loaded.user_messages]

    def load(self, session: str) -> Session | None:
        content = self._read("sessions", session)
        return None if content is None else DECODER.decode(content)

    def newest(self, limit: int) -> list[str]:
        summaries = [
            Summary(one.id, one.user_id, len(one.user_messages), one.created_at, one.updated_at)
            for one in self._all()
        ]
        summaries.sort(key=lambda summary: summary.updated_at, reverse=True)
        return [summary.id for summary in summaries[:limit]]

    def save(self, name: str, tree: Any) -> None:
        self._save("documents", name, tree)

    def read(self, name: str) -> Any:
        content = self._read("documents", name)
        return None if content is None else msgspec.json.decode(content)

    def close(self) -> None:
        pass

    def _all(self) -> Iterator[Session]:
        """Every session that can be read."""
        folder = f"{self._folder}/sessions"
        names = os.listdir(folder) if os.path.exists(folder) else []
        for name in sorted(name.removesuffix(".json") for name in names if name.endswith(".json")):
            try:
                session = self.load(name)
            except msgspec.DecodeError:
                continue
            if session is not None:
                yield session

    def _read(self, category: str, name: str) -> bytes | None:
        try:
            with open(f"{self._folder}/{category}/{name}.json", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _save(self, category: str, name: str, tree: Any) -> None:
        folder = f"{self._folder}/{category}"
        os.makedirs(folder, exist_ok=True)
        temp = f"{folder}/{name}.{os.getpid()}.tmp"
        content = msgspec.json.format(msgspec.json.encode(tree), indent=2)
        file = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(file, content)
            self._sync(file)
        finally:
            os.close(file)
        os.rename(temp, f"{folder}/{name}.json")
        self._sync_folder(folder)

    def _sync(self, file: int) -> None:
        pass

    def _sync_folder(self, folder: str) -> None:
        pass


class AncestorFsync(Ancestor):
    """The file is synced before the rename, the folder behind it."""

    def _sync(self, file: int) -> None:
        os.fsync(file)

    def _sync_folder(self, folder: str) -> None:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)
