"""The rows of an index: what is known of each document, and pages of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from plainstate.core import times
from plainstate.errors import InvalidCursorError
from plainstate.types import DocumentId, Json, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from plainstate.types import Change

__all__ = [
    "NO_FACTS",
    "Facts",
    "Found",
    "Known",
    "SessionRow",
    "advance",
    "categories",
    "count_sessions",
    "facts_of",
    "goes_on",
    "keep_version",
    "known",
    "name_page",
    "remove",
    "session_page",
    "stamp",
    "store",
]

_KINDS: Final = ("json", "markdown")
_CURSOR: Final = r"(-?[0-9]{1,18})?/([^\ud800-\udfff]+)"
"""Compiled with its first use: that takes longer than the whole list."""


Facts: TypeAlias = tuple[Json, ...]
"""What a list shows of a session, as the columns of its row from `user_id` on."""

NO_FACTS: Final[Facts] = (None,) * 7


class Found(Struct, frozen=True):
    """What the engine gave for a document.

    Attributes:
        state: `None` if it is absent or cannot be read.
        facts: of a session, what a list shows.
        damaged: why it cannot be read.
    """

    state: State | None = None
    facts: Facts = NO_FACTS
    damaged: str | None = None

    @property
    def is_absent(self) -> bool:
        """Whether there is no such document."""
        return self.state is None and self.damaged is None

    @property
    def version(self) -> str | None:
        """The version, `None` if it is absent or cannot be read."""
        return None if self.state is None else self.state.version


class Known(Struct, frozen=True, gc=False):
    """What the index knows of a document."""

    id: int
    seq: int | None
    version: str | None
    stamp: str | None
    damaged: str | None
    user_id: str | None


SessionRow: TypeAlias = tuple[Any, ...]
"""A session in a list, as `SessionSummary` takes it: name, owner, number of messages, when it was
created, age, title, preview, active seed, and what is damaged, if anything; times in µs since the
epoch, the age negative."""


# --- writing -------------------------------------------------------------------


def known(
    connection: sqlite3.Connection, documents: Iterable[DocumentId]
) -> dict[DocumentId, Known]:
    """What the index knows of some documents, without those that it does not know."""
    groups: dict[tuple[str, str], dict[str, DocumentId]] = {}
    for document in documents:
        groups.setdefault((document.category, document.kind), {})[document.name] = document
    rows: dict[DocumentId, Known] = {}
    for (category, kind), named in groups.items():
        marks = ",".join("?" * len(named))
        for name, *columns in connection.execute(
            "SELECT name, id, seq, version, stamp, damaged, user_id FROM documents"  # noqa: S608
            f" WHERE category = ? AND kind = ? AND name IN ({marks})",
            (category, kind, *named),
        ):
            rows[named[name]] = Known(*columns)
    return rows


def store(
    connection: sqlite3.Connection,
    document: DocumentId,
    found: Found,
    *,
    seq: int | None,
    version: str | None,
    stamp: str | None,
) -> None:
    """Makes or changes the row of a document."""
    key = (document.category, document.kind, document.name)
    connection.execute(_STORE, (*key, seq, version, stamp, found.damaged, *found.facts))


def goes_on(row: Known, change: Change, facts: Facts) -> bool:
    """Whether a change leaves a session healthy, and its owner and old words what they are."""
    return (
        facts[0] is not None
        and facts[0] == row.user_id
        and row.damaged is None
        and row.seq is not None
        and change.seq > row.seq
    )


def advance(
    connection: sqlite3.Connection, sessions: Iterable[tuple[Known, Change, Facts]]
) -> None:
    """Changes the rows of sessions that go on.

    Cost: a third of `store`, as neither owner nor health are looked at.
    """
    rows = ((row.id, change.seq, change.version, *facts[1:]) for row, change, facts in sessions)
    connection.executemany(_ADVANCE, sorted(rows))


_KEY = ("category", "kind", "name")
_COLUMNS = (
    *(*_KEY, "seq", "version", "stamp", "damaged", "user_id", "messages", "created"),
    *("age", "title", "preview", "active_seed_id"),
)
# Numbers that do not grow are another life of the document, and words are filed by their owner:
# then they are all taken in anew.
_STORE = (
    f"INSERT INTO documents({', '.join(_COLUMNS)}) VALUES({', '.join('?' * len(_COLUMNS))})"
    " ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS if column not in _KEY)
    + ", texts_seq = CASE WHEN (excluded.seq > seq OR excluded.version = version)"
    " AND excluded.user_id IS user_id THEN texts_seq END"
)
# It must not name `user_id`, at which the triggers listen.
_ADVANCE: Final = (
    "UPDATE documents SET seq = ?2, version = ?3, stamp = NULL, messages = ?4, created = ?5,"
    " age = ?6, title = ?7, preview = ?8, active_seed_id = ?9 WHERE id = ?1"
)


def facts_of(summary: dict[str, Json]) -> Facts:
    """What a list shows of a session.

    Raises:
        InvalidValueError: one of its times is none.
    """
    if not summary:
        return NO_FACTS
    return (
        summary["user_id"],
        summary["users"] + summary["agents"],
        _microseconds(summary["created_at"]),
        -_microseconds(summary["updated_at"]),
        summary.get("title"),
        summary.get("preview") or "",
        summary.get("active_seed_id"),
    )


def stamp(connection: sqlite3.Connection, row: Known, stamp: str | None) -> None:
    """The document as the index knows it was seen with this stamp."""
    connection.execute("UPDATE documents SET stamp = ? WHERE id = ?", (stamp, row.id))


def keep_version(connection: sqlite3.Connection, document: DocumentId, version: str | None) -> None:
    """Leaves a row at the version that the feed told last: the next scan tries to tell again."""
    connection.execute(
        "UPDATE documents SET version = ?, stamp = NULL"
        " WHERE category = ? AND kind = ? AND name = ?",
        (version, document.category, document.kind, document.name),
    )


def remove(connection: sqlite3.Connection, row: Known) -> None:
    """The document is gone."""
    connection.execute("DELETE FROM documents WHERE id = ?", (row.id,))


def _microseconds(text: str) -> int:
    return times.parse(text) // 1000


# --- pages -----------------------------------------------------------------------


def session_page(
    connection: sqlite3.Connection,
    *,
    user_id: str | None,
    limit: int | None,
    after: str | None,
    newest_first: bool,
    include_damaged: bool,
) -> list[SessionRow]:
    """A part of the list of sessions: healthy ones by time and name, then damaged ones by name.

    Raises:
        InvalidCursorError: `after` is not the cursor of such a row.
    """
    place = None if after is None else _place(after)
    rows: list[SessionRow] = []
    if place is None or place[0] is not None:
        query, values = healthy_query(user_id, place, newest_first=newest_first)
        found = connection.execute(query, (*values, -1 if limit is None else limit))
        rows += found
        place = None
    left = None if limit is None else limit - len(rows)
    if include_damaged and user_id is None and left != 0:
        name = "" if place is None else place[1]
        found = connection.execute(DAMAGED_QUERY, (name, -1 if left is None else left))
        rows += found
    return rows


_HEALTHY: Final = (
    "SELECT name, user_id, messages, created, age, title, preview, active_seed_id FROM documents"
)
DAMAGED_QUERY: Final = (
    "SELECT name, '', 0, NULL, NULL, NULL, '', NULL, damaged FROM documents"
    " WHERE category = 'sessions' AND kind = 'json' AND damaged IS NOT NULL"
    " AND name > ? ORDER BY name LIMIT ?"
)


def healthy_query(
    user_id: str | None, place: tuple[int | None, str] | None, *, newest_first: bool
) -> tuple[str, tuple[Any, ...]]:
    """The query for healthy sessions, which an index answers in its own order, and its values."""
    where = "age IS NOT NULL"
    values: list[Any] = []
    if user_id is not None:
        where += " AND user_id = ?"
        values.append(user_id)
    if place is not None:
        where += f" AND (age, name) {'>' if newest_first else '<'} (?, ?)"
        values += place
    way = "" if newest_first else "DESC"
    return f"{_HEALTHY} WHERE {where} ORDER BY age {way}, name {way} LIMIT ?", tuple(values)


def _place(cursor: object) -> tuple[int | None, str]:
    match = re.fullmatch(_CURSOR, cursor) if isinstance(cursor, str) else None
    if match is None:
        raise InvalidCursorError(
            f"{cursor!r} is not a place in a list of sessions",
            hint="Pass SessionSummary.cursor exactly as it was.",
            cursor=str(cursor),
        )
    return None if match[1] is None else int(match[1]), match[2]


def count_sessions(connection: sqlite3.Connection, user_id: str | None) -> int:
    """How many sessions there are, damaged ones included; or how many a user has."""
    query = "SELECT count FROM categories WHERE category = 'sessions' AND kind = 'json'"
    found = (
        connection.execute(query)
        if user_id is None
        else connection.execute("SELECT count FROM users WHERE user_id = ?", (user_id,))
    )
    row = found.fetchone()
    return 0 if row is None else int(row[0])


def name_page(
    connection: sqlite3.Connection,
    category: str,
    *,
    kind: str | None,
    prefix: str,
    limit: int | None,
    after: str | None,
) -> list[str]:
    """Names in a category, sorted; each once, also where there are two kinds."""
    # one lower bound, at which the search begins: right behind a name is the name with a NUL
    first = prefix if after is None else max(prefix, after + "\0")
    names: set[str] = set()
    for one in _KINDS if kind is None else (kind,):
        found = connection.execute(
            NAMES_QUERY,
            (category, one, first, prefix + "\U0010ffff", limit or -1),
        )
        names.update(name for (name,) in found)
    return sorted(names)[:limit]


# no name holds U+10FFFF: the range is that of the prefix
NAMES_QUERY: Final = (
    "SELECT name FROM documents WHERE category = ? AND kind = ?"
    " AND name >= ? AND name < ? ORDER BY name LIMIT ?"
)


def categories(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """The categories that hold documents, sorted, each with how many."""
    query = "SELECT category, sum(count) FROM categories GROUP BY category ORDER BY category"
    return list(connection.execute(query))
