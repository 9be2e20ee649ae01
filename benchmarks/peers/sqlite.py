"""SQLite by hand: what a careful programmer would write for the same work.

One connection in the process, behind a lock: threads that each have their own would wait for
each other in SQLite's sleeps.  The index of words is brought up to date by the search that needs
it, so that an append does not pay for it.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TABLES = """
CREATE TABLE IF NOT EXISTS session(
  id TEXT PRIMARY KEY, user_id TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
  messages INTEGER NOT NULL, preview TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS session_by_age ON session(updated_at);
CREATE TABLE IF NOT EXISTS message(
  id INTEGER PRIMARY KEY, session TEXT NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL,
  created_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS message_of_session ON message(session, id);
CREATE VIRTUAL TABLE IF NOT EXISTS word USING fts5(
  content, content = 'message', content_rowid = 'id'
);
CREATE TABLE IF NOT EXISTS document(
  name TEXT PRIMARY KEY, body TEXT NOT NULL, updated_at TEXT NOT NULL
);
"""

ADD_MESSAGE = "INSERT INTO message(session, role, content, created_at) VALUES(?, 'user', ?, ?)"

TOUCH_SESSION = """
INSERT INTO session VALUES(?1, 'ada', ?2, ?2, 1, ?3)
ON CONFLICT DO UPDATE SET updated_at = ?2, messages = messages + 1
"""

# The ids of what is indexed stand in FTS5's own table of sizes.
INDEX_WORDS = """
INSERT INTO word(rowid, content)
SELECT id, content FROM message WHERE id > (SELECT coalesce(max(id), 0) FROM word_docsize)
"""

SEARCH = """
SELECT message.session, snippet(word, 0, '«', '»', '…', 12)
FROM word JOIN message ON message.id = word.rowid WHERE word MATCH ? ORDER BY rank LIMIT ?
"""

PREVIEW_CHARACTERS = 80


class SqliteFull:
    """`journal_mode=WAL`, `synchronous=FULL`, one transaction for each message."""

    SYNCHRONOUS = "FULL"

    def __init__(self, folder: Path) -> None:
        self._lock = Lock()
        self._db = sqlite3.connect(
            folder / "state.db", timeout=30, isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={self.SYNCHRONOUS}")
        self._db.executescript(TABLES)

    def append(self, session: str, text: str) -> None:
        now = datetime.now(UTC).isoformat()
        self._change(
            (ADD_MESSAGE, (session, text, now)),
            (TOUCH_SESSION, (session, now, text[:PREVIEW_CHARACTERS])),
        )

    def texts(self, session: str) -> list[str]:
        return [content for _, content, _ in self.load(session)]

    def load(self, session: str) -> list[Any]:
        asked = "SELECT role, content, created_at FROM message WHERE session = ? ORDER BY id"
        return self._ask(asked, (session,))

    def newest(self, limit: int) -> list[str]:
        asked = "SELECT * FROM session ORDER BY updated_at DESC LIMIT ?"
        return [row[0] for row in self._ask(asked, (limit,))]

    def search(self, word: str, limit: int) -> list[str]:
        newest, indexed = self._ask(
            "SELECT (SELECT max(id) FROM message), (SELECT max(id) FROM word_docsize)", ()
        )[0]
        if newest != indexed:
            self._change((INDEX_WORDS, ()))
        return [session for session, _ in self._ask(SEARCH, (word, limit))]

    def save(self, name: str, tree: Any) -> None:
        row = (name, json.dumps(tree), datetime.now(UTC).isoformat())
        self._change(("INSERT OR REPLACE INTO document VALUES(?, ?, ?)", row))

    def read(self, name: str) -> Any:
        ((body,),) = self._ask("SELECT body FROM document WHERE name = ?", (name,))
        return json.loads(body)

    def close(self) -> None:
        self._db.close()

    def _change(self, *statements: tuple[str, Iterable[Any]]) -> None:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:
                for statement, values in statements:
                    self._db.execute(statement, tuple(values))

    def _ask(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock, closing(self._db.execute(statement, values)) as rows:
            return rows.fetchall()


class SqliteNormal(SqliteFull):
    """`synchronous=NORMAL`: the log is synced when it is copied into the database."""

    SYNCHRONOUS = "NORMAL"
