"""The bare system calls: the least that a durable append, a load and a save can cost.

Nothing is checked, locked, numbered or listed.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

APPENDING = os.O_WRONLY | os.O_APPEND
OPEN_FILES = 500  # a process may have 1,024 by default


class Limit:
    """A file of JSON lines for each session, kept open; a file for each document."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._files: dict[str, int] = {}

    def append(self, session: str, text: str) -> None:
        message = {"role": "user", "content": text, "timestamp": datetime.now(UTC)}
        line = msgspec.json.encode(message) + b"\n"
        file = self._files.get(session)
        if file is not None:
            os.write(file, line)
            os.fdatasync(file)
            return
        file, is_new = self._open(session)
        os.write(file, line)
        os.fdatasync(file)
        if is_new:
            os.fsync(self._directory)

    def texts(self, session: str) -> list[str]:
        try:
            return [message["content"] for message in self.load(session)]
        except FileNotFoundError:
            return []

    def load(self, session: str) -> list[Any]:
        with open(self._path(session), "rb") as file:
            return msgspec.json.Decoder().decode_lines(file.read())

    def save(self, name: str, tree: Any) -> None:
        path, temp = f"{self._folder}/{name}.json", f"{self._folder}/{name}.tmp"
        file = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(file, msgspec.json.format(msgspec.json.encode(tree)))
        os.fdatasync(file)
        os.close(file)
        os.rename(temp, path)
        os.fsync(self._directory)

    def read(self, name: str) -> Any:
        with open(f"{self._folder}/{name}.json", "rb") as file:
            return msgspec.json.decode(file.read())

    def close(self) -> None:
        for file in (*self._files.values(), self._directory):
            os.close(file)

    def _open(self, session: str) -> tuple[int, bool]:
        """Opens a session's file; also says whether it was made."""
        if len(self._files) >= OPEN_FILES:
            os.close(self._files.pop(next(iter(self._files))))
        path, is_new = self._path(session), False
        try:
            file = os.open(path, APPENDING)
        except FileNotFoundError:
            file, is_new = os.open(path, APPENDING | os.O_CREAT, 0o600), True
        self._files[session] = file
        return file, is_new

    def _path(self, session: str) -> str:
        return f"{self._folder}/{session}.jsonl"
