"""Full-text search: bringing the words up to date, finding texts, ranking them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from plainstate.core import times
from plainstate.core.summary import is_session
from plainstate.errors import NotFoundError, PlainstateError, UsageError
from plainstate.index import query, texts
from plainstate.index.refresh import Refresh, Stopped
from plainstate.index.texts import ROLES, Text
from plainstate.types import DocumentId, SearchHit

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from plainstate.engines.base import Engine
    from plainstate.index.database import Database

__all__ = ["CANDIDATES", "Search"]

CANDIDATES: Final = 500
"""Matches that are ranked, the newest: so a word that is everywhere costs no more than another."""

_BATCH: Final = 200
"""Documents whose words are taken in by one transaction: others get in between."""

_BATCH_CHARACTERS: Final = 500_000


class _Unread(Struct, frozen=True):
    """A document whose words are not up to date."""

    id: int
    category: str
    name: str
    kind: str
    user_id: str | None
    texts_seq: int | None
    seq: int

    @property
    def document(self) -> DocumentId:
        return DocumentId(self.category, self.name, self.kind)  # type: ignore[arg-type]

    @property
    def scope(self) -> str:
        words = [query.scope("c", self.category)]
        if self.user_id is not None:
            words.append(query.scope("u", self.user_id))
        return " ".join(words)


class _Read(Struct, frozen=True):
    """What such a document says now; with `added`, only what is new."""

    seq: int
    texts: list[Text]
    added: bool


class Search:
    """Finds texts by their words.

    Args:
        engine: what is searched.
        refresh: keeps the rows true.
        stop: whether to give up, asked between two documents.
    """

    def __init__(self, engine: Engine, refresh: Refresh, stop: Callable[[], bool]) -> None:
        self._engine = engine
        self._refresh = refresh
        self._stop = stop

    def find(
        self,
        database: Database,
        text: str,
        *,
        category: str | None,
        user_id: str | None,
        limit: int,
    ) -> list[SearchHit]:
        """The texts that contain all words, the best first."""
        asked = query.parse(text)
        if not asked.expression or limit == 0:
            return []
        expression = f"body : ({asked.expression})"
        scopes = [
            query.scope(kind, value)
            for kind, value in (("c", category), ("u", user_id))
            if value is not None
        ]
        if scopes:
            expression = f"scope : ({' '.join(scopes)}) AND {expression}"
        with database.reading() as connection:
            rows = connection.execute(_FIND, (expression, max(CANDIDATES, limit))).fetchall()
        average = sum(len(row[-1]) for row in rows) / len(rows) if rows else 1.0
        ranked = sorted(
            ((query.score(query.fold(row[-1]), asked.terms, average or 1.0), row) for row in rows),
            key=lambda pair: pair[0],
            reverse=True,  # of equals the newest, which came first, stays first
        )
        return [_hit(row, score, asked) for score, row in ranked[:limit]]

    # --- bringing the words up to date ---

    def catch_up(self, database: Database, progress: Callable[[int], None] | None = None) -> None:
        """Takes in the words of every document whose row is newer than they are.

        Raises:
            UsageError: this SQLite cannot search.
        """
        if not database.has_words:
            raise UsageError(
                "this Python's SQLite was built without FTS5, which search needs",
                hint="Use another build of Python; lists work without it.",
            )
        done = 0
        while True:
            with database.reading() as connection:
                orphans = [row[0] for row in connection.execute(_ORPHANS)]
                unread = [_Unread(*row) for row in connection.execute(_UNREAD, (_BATCH,))]
            for document in orphans:
                with database.writing() as connection:
                    _forget(connection, document)
            if not unread:
                return
            done += self._take_in(database, unread)
            if progress is not None:
                progress(done)

    def _take_in(self, database: Database, unread: list[_Unread]) -> int:
        """Takes in the words of some documents, as many as fit into one transaction."""
        read: list[tuple[_Unread, _Read]] = []
        size = 0
        for one in unread:
            if self._stop():
                raise Stopped
            said = self._read(database, one)
            if said is None:
                self._refresh.examine(database, one.document)
                continue
            read.append((one, said))
            size += sum(len(text.body) for text in said.texts)
            if size > _BATCH_CHARACTERS:
                break
        with database.writing() as connection:
            for one, said in read:
                current = connection.execute(_CURRENT, (one.id,)).fetchone()
                if current == (one.texts_seq, one.user_id):  # nobody else was faster
                    _keep(connection, one, said)
        return len(read)

    def _read(self, database: Database, one: _Unread) -> _Read | None:
        """What a document says; `None` where its row is not true any more."""
        if one.texts_seq is not None and is_session(one.document):
            added = self._added(database, one, one.texts_seq)
            if added is not None:
                return added
        try:
            state = self._engine.read(one.document)
        except UsageError:  # the store is closed
            raise
        except PlainstateError:
            return None
        if state is None or state.seq < one.seq:  # gone, or its numbers begin anew
            return None
        return _Read(state.seq, texts.texts_of(one.document, state.value), added=False)

    def _added(self, database: Database, one: _Unread, since: int) -> _Read | None:
        """What was added to a session, if that is all that happened since."""
        try:
            transactions = self._engine.since(one.document, since)
        except NotFoundError:
            return None
        if [each.seq for each in transactions] != list(
            range(since + 1, since + 1 + len(transactions))
        ):
            return None
        if not transactions or transactions[-1].seq < one.seq:
            return None
        with database.reading() as connection:
            counts = {
                role: connection.execute(_COUNT, (one.id, role)).fetchone()[0]
                for role in ROLES.values()
            }
        found: list[Text] = []
        for each in transactions:
            added = texts.added_texts(each.patch, counts)
            if added is None:
                return None
            found += added
        return _Read(transactions[-1].seq, found, added=True)


_UNREAD: Final = (
    "SELECT id, category, name, kind, user_id, texts_seq, seq FROM documents"
    " WHERE damaged IS NULL AND (texts_seq IS NULL OR texts_seq < seq)"
    " ORDER BY age DESC LIMIT ?"  # the oldest first: later numbers are newer texts
)
_ORPHANS: Final = "SELECT document FROM orphans LIMIT 1000"
_CURRENT: Final = "SELECT texts_seq, user_id FROM documents WHERE id = ?"
_COUNT: Final = "SELECT coalesce(max(position) + 1, 0) FROM texts WHERE document = ? AND role = ?"
_FIND: Final = (
    "SELECT document.category, document.name, document.kind, document.title,"
    " text.role, text.position, text.time, text.body"
    " FROM (SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC LIMIT ?) AS found"
    " CROSS JOIN texts AS text ON text.id = found.rowid"
    " CROSS JOIN documents AS document ON document.id = text.document"
    " WHERE document.damaged IS NULL"
)


def _keep(connection: sqlite3.Connection, one: _Unread, said: _Read) -> None:
    """Makes the words of a document those that were read; what did not change stays."""
    scope = one.scope
    before: dict[tuple[str, int], tuple[int, str]] = {}
    if one.texts_seq is None:  # nothing is known, or its owner is another one now
        _forget(connection, one.id)
    elif not said.added:
        query_before = "SELECT role, position, id, body FROM texts WHERE document = ?"
        before = {
            (role, position): (number, body)
            for role, position, number, body in connection.execute(query_before, (one.id,))
        }
    for text in said.texts:
        key = (text.role, text.position)
        number, body = before.pop(key, (None, None))
        if number is not None:
            if body == text.body:
                continue
            _remove(connection, number, str(body), scope)
        cursor = connection.execute(
            "INSERT INTO texts(document, role, position, time, body) VALUES(?, ?, ?, ?, ?)",
            (one.id, text.role, text.position, text.time, text.body),
        )
        connection.execute(
            "INSERT INTO words(rowid, body, scope) VALUES(?, ?, ?)",
            (cursor.lastrowid, query.spread(text.body), scope),
        )
    for number, body in before.values():
        _remove(connection, number, body, scope)
    connection.execute("UPDATE documents SET texts_seq = ? WHERE id = ?", (said.seq, one.id))


def _forget(connection: sqlite3.Connection, document: int) -> None:
    """Removes the texts of a document that is gone."""
    rows = connection.execute("SELECT id, body FROM texts WHERE document = ?", (document,))
    for number, body in rows.fetchall():
        _remove(connection, number, body, "")
    connection.execute("DELETE FROM orphans WHERE document = ?", (document,))


def _remove(connection: sqlite3.Connection, number: int, body: str, scope: str) -> None:
    # FTS5 keeps no text here, so it must be told what it was
    connection.execute(
        "INSERT INTO words(words, rowid, body, scope) VALUES('delete', ?, ?, ?)",
        (number, query.spread(body), scope),
    )
    connection.execute("DELETE FROM texts WHERE id = ?", (number,))


def _hit(row: tuple[Any, ...], score: float, asked: query.Query) -> SearchHit:
    category, name, kind, title, role, position, time, body = row
    return SearchHit(
        document=DocumentId(category, name, kind),
        role=role or None,
        position=position,
        snippet=query.snippet(body, asked.terms),
        score=score,
        timestamp=None if time is None else times.to_datetime(time * 1000),
        title=title,
    )
