"""The store's lists and its search: what the index answers."""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING

from msgspec import Struct

from plainstate.core import codec, names, times
from plainstate.errors import InvalidNameError, InvalidValueError
from plainstate.limits import MAX_QUERY_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from plainstate.engines.base import Engine
    from plainstate.index import Index
    from plainstate.types import Kind, SearchHit

__all__ = ["SearchMethods", "SessionSummary"]

_SHOWN = (
    *("id", "user_id", "message_count", "created_at", "updated_at"),
    *("title", "preview", "active_seed_id", "damaged"),
)


class SessionSummary(Struct, frozen=True):
    """A session in a list.

    Attributes:
        id: its name.
        user_id: who owns it, "" if damaged.
        message_count: user messages and agent responses.
        title: `metadata["title"]`, if there is one.
        preview: the beginning of the first user message.
        active_seed_id: as in the session.
        damaged: why it cannot be read; `None` if it can.
    """

    # The columns of a list's row.  What is made of the times is made when it is asked for: that
    # would take longer than all else in a summary.
    id: str
    user_id: str
    message_count: int
    _created: int | None
    _age: int | None
    title: str | None
    preview: str
    active_seed_id: str | None
    damaged: str | None = None

    @property
    def created_at(self) -> datetime | None:
        """When it began; `None` if damaged."""
        return None if self._created is None else times.to_datetime(self._created * 1000)

    @property
    def updated_at(self) -> datetime | None:
        """Its last change; `None` if damaged."""
        return None if self._age is None else times.to_datetime(-self._age * 1000)

    @property
    def cursor(self) -> str:
        """The place in the list right behind it: pass it as `after=`."""
        return f"{'' if self._age is None else self._age}/{self.id}"

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in _SHOWN)
        return f"SessionSummary({', '.join(shown)})"


class SearchMethods:
    """Lists and search.  Each includes every commit that was acknowledged before the call."""

    _index: Index
    _engine: Engine

    def list_sessions(
        self,
        *,
        user_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        newest_first: bool = True,
        include_damaged: bool = True,
    ) -> list[SessionSummary]:
        """Sessions, last changed first; damaged ones at the end, marked `damaged`.

        Args:
            user_id: only this user's (no damaged ones: whose they are is not known).
            limit: at most so many.
            after: goes on behind this place: the `cursor` of the last summary you have.
            newest_first: if not, those come first that were changed longest ago.
            include_damaged: whether damaged ones are listed.

        Raises:
            InvalidCursorError: `after` is no such cursor.

        Cost: that of the page, whatever the number of sessions.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     for name in ("s-1", "s-2", "s-3"):
            ...         _ = store.append_user_message(name, "Hello", user_id="ada")
            ...     page = store.list_sessions(limit=2)
            ...     rest = store.list_sessions(after=page[-1].cursor)
            ...     [[one.id for one in part] for part in (page, rest)]
            [['s-3', 's-2'], ['s-1']]
        """
        rows = self._index.sessions(
            user_id=_user(user_id),
            limit=_limit(limit),
            after=after,
            newest_first=newest_first,
            include_damaged=include_damaged,
        )
        return list(starmap(SessionSummary, rows))

    def count_sessions(self, *, user_id: str | None = None) -> int:
        """How many sessions `list_sessions` would list.

        Cost: the same for any number.
        """
        return self._index.count_sessions(_user(user_id))

    def list_category(
        self,
        category: str,
        *,
        kind: Kind | None = None,
        prefix: str = "",
        limit: int | None = None,
        after: str | None = None,
    ) -> list[str]:
        """The names of the documents in a category, sorted; damaged ones included.

        Args:
            category: folder.
            kind: only documents of this kind.
            prefix: only names that begin so.
            limit: at most so many.
            after: only names behind this one: pass the last that you have.

        Cost: that of the page, whatever the number of documents.
        """
        if kind not in (None, "json", "markdown"):
            raise InvalidNameError(
                f"unknown kind {kind!r}", hint="Use 'json' or 'markdown'.", name=str(kind)
            )
        found = self._index.names(
            names.check_category(category),
            kind=kind,
            prefix=_text("prefix", prefix),
            limit=_limit(limit),
            after=None if after is None else _text("after", after),
        )
        if not found and category not in self.count_documents():
            # nothing is known there: is it a folder at all, or a link or file in its place?
            next(iter(self._engine.documents(category)), None)
        return found

    def list_categories(self) -> list[str]:
        """The categories that hold documents, sorted."""
        return [category for category, _ in self._index.categories()]

    def count_documents(self) -> dict[str, int]:
        """How many documents each category holds; the categories are sorted.

        Cost: the same for any number of documents.
        """
        return dict(self._index.categories())

    def search(
        self,
        text: str,
        *,
        category: str | None = None,
        user_id: str | None = None,
        limit: int = 20,
    ) -> list[SearchHit]:
        """Messages and passages that contain all words, the best first; see `docs/search.md`.

        Args:
            text: words, in any order and case; "words in quotes" stand together; `begin*`
                is the beginning of a word.  No query is an error; one without a word finds nothing.
            category: only there; "sessions" for conversations.
            user_id: only in this user's sessions.
            limit: at most so many hits.

        Raises:
            InvalidValueError: the text has lone surrogates, or is over `MAX_QUERY_CHARACTERS`.
            UsageError: this Python's SQLite cannot search.

        Cost: milliseconds.  What was written since the last search is taken in first; after
            a rebuild of the index that is everything: `reindex` does it beforehand.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     _ = store.append_user_message("s-1", "Which train to Basel?", user_id="ada")
            ...     [hit.snippet for hit in store.search("basel trai*")]
            ['Which «train» to «Basel»?']
        """
        if len(_text("what to search for", text)) > MAX_QUERY_CHARACTERS:
            raise InvalidValueError(
                f"a query has {MAX_QUERY_CHARACTERS:,} characters at most, not {len(text):,}",
                hint="Search for fewer words.",
                pointer="",
            )
        if category is not None:
            names.check_category(category)
        user_id = _user(user_id)
        if limit is None:
            raise _not_a_limit(limit)
        return self._index.search(
            text, category=category, user_id=user_id, limit=_limit(limit) or 0
        )

    def reindex(self, *, progress: Callable[[int, int], None] | None = None) -> int:
        """Makes the index anew from the documents, all words included.

        It is never needed for right answers about what the store did.  It finds at once what was
        changed behind the store's back, and it makes the first search fast.

        Args:
            progress: is called now and then with the steps done and their number.

        Returns:
            How many documents there are.

        Cost: reads every document.
        """
        return self._index.rebuild(progress)


def _limit(limit: int | None) -> int | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise _not_a_limit(limit)
    return limit


def _not_a_limit(limit: object) -> InvalidValueError:
    return InvalidValueError(
        f"limit must be a whole number, 0 or more, not {limit!r}", hint="Pass a number.", pointer=""
    )


def _user(user_id: str | None) -> str | None:
    return None if user_id is None else _text("user_id", user_id)


def _text(what: str, text: object) -> str:
    if not isinstance(text, str):
        raise InvalidValueError(
            f"{what} must be text, not {type(text).__name__}", hint="Pass a str.", pointer=""
        )
    return str(codec.check(text))
