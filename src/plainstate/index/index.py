"""`Index`: asks, brings up to date first, and makes the file anew where it is not usable."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from plainstate.errors import StorageError, UsageError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from plainstate.engines.base import Engine
    from plainstate.index.catalog import SessionRow
    from plainstate.index.database import Database
    from plainstate.index.refresh import Describe, Refresh
    from plainstate.index.search import Search
    from plainstate.types import Kind, SearchHit

    T = TypeVar("T")

__all__ = ["Index", "IndexStatistics"]

_DELAY_S: Final = 0.2
"""A handle that lives shorter, and asks for no list, is not worth a scan."""

_PATIENCE_S: Final = 0.03
"""How long the first list waits for the scan of a small store."""

_SMALL: Final = 1000
"""Documents that a scan looks at in about that time.  A larger store is not hurried: the scan
would only slow the first list down."""

_TIDY_S: Final = 0.01
"""How long closing waits for a scan to end."""

_PAUSE_S: Final = 0.002
"""Between two chunks of a scan in the background, so that it does not hold up others."""


class IndexStatistics(Struct, frozen=True):
    """What an index holds.

    Attributes:
        documents: how many documents it knows.
        damaged: how many of them cannot be read.
        sessions: how many are sessions that can be read.
        users: how many own one of them.
        messages: how many messages those hold.
        unread: of how many search does not know the newest words yet.
        size_bytes: what it takes on disk, or in memory.
    """

    documents: int
    damaged: int
    sessions: int
    users: int
    messages: int
    unread: int
    size_bytes: int


class Index:
    """Lists and search over an engine.  Any thread may ask; any number of processes share a file.

    Args:
        engine: what is indexed.
        folder: where index files lie, if it exists and can be written; `None`: in memory.
        describe: makes the summary of a session, or raises what makes it damaged.

    Attributes:
        folder: as given.
    """

    def __init__(self, engine: Engine, folder: str | None, describe: Describe) -> None:
        self.folder = folder
        self._engine = engine
        self._describe = describe
        self._process = os.getpid()
        self._opening = threading.Lock()
        self._database: Database | None = None
        self._has_no_place = False
        self._refreshing: Refresh | None = None
        self._searching: Search | None = None
        self._closed = threading.Event()
        self._asked = False
        self._hurry = threading.Event()
        self._scanned = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Has all documents looked at in the background, once, in a moment.

        What was changed behind the store's back while nobody had it open is found so.
        """
        if self._thread is None and self.folder is not None and os.path.isdir(self.folder):
            self._start_scan()

    # --- questions ---

    def sessions(
        self,
        *,
        user_id: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        newest_first: bool = True,
        include_damaged: bool = True,
    ) -> list[SessionRow]:
        """A page of sessions; arguments as of `StateStore.list_sessions`."""
        from plainstate.index import catalog

        return self._answer(
            lambda database: _read(
                database,
                catalog.session_page,
                user_id=user_id,
                limit=limit,
                after=after,
                newest_first=newest_first,
                include_damaged=include_damaged,
            )
        )

    def count_sessions(self, user_id: str | None = None) -> int:
        """How many sessions there are, or how many a user has."""
        from plainstate.index import catalog

        return self._answer(lambda database: _read(database, catalog.count_sessions, user_id))

    def names(
        self,
        category: str,
        *,
        kind: Kind | None = None,
        prefix: str = "",
        limit: int | None = None,
        after: str | None = None,
    ) -> list[str]:
        """A page of names; arguments as of `StateStore.list_category`."""
        from plainstate.index import catalog

        return self._answer(
            lambda database: _read(
                database,
                catalog.name_page,
                category,
                kind=kind,
                prefix=prefix,
                limit=limit,
                after=after,
            )
        )

    def categories(self) -> list[tuple[str, int]]:
        """The categories that hold documents, sorted, each with how many."""
        from plainstate.index import catalog

        return self._answer(lambda database: _read(database, catalog.categories))

    def search(
        self, text: str, *, category: str | None, user_id: str | None, limit: int
    ) -> list[SearchHit]:
        """The texts that fit best; arguments as of `StateStore.search`."""

        def find(database: Database) -> list[SearchHit]:
            search = self._search()
            search.catch_up(database)
            return search.find(database, text, category=category, user_id=user_id, limit=limit)

        return self._answer(find)

    def statistics(self) -> IndexStatistics:
        """What the index holds."""

        def count(database: Database) -> IndexStatistics:
            with database.reading() as connection:
                documents = _count(connection)
                (damaged,) = connection.execute(
                    "SELECT count(*) FROM documents WHERE damaged IS NOT NULL"
                ).fetchone()
                (users,) = connection.execute("SELECT count(*) FROM users").fetchone()
                sessions, messages = connection.execute(
                    "SELECT count(*), coalesce(sum(messages), 0) FROM documents"
                    " WHERE age IS NOT NULL"
                ).fetchone()
                (unread,) = connection.execute(
                    "SELECT count(*) FROM documents"
                    " WHERE damaged IS NULL AND (texts_seq IS NULL OR texts_seq < seq)"
                ).fetchone()
            return IndexStatistics(
                documents, damaged, sessions, users, messages, unread, database.size_bytes
            )

        return self._answer(count)

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Makes the index anew from the documents, words included.

        Args:
            progress: is told now and then how many steps are done, and of how many: each
                document is one step when it is listed, and one when its words are taken in.

        Returns:
            How many documents there are.
        """
        total = 0

        def renew(database: Database) -> int:
            nonlocal total
            refresh = self._refresh()
            # the old one still knows what was changed behind the store's back, and tells it
            count = refresh.scan(database)
            total = max(total, 2 * count)
            database.discard()
            return count

        self._answer(renew)

        def listed(count: int) -> None:
            if progress is not None:
                progress(count, max(total, 2 * count))

        def build(database: Database) -> int:
            count = self._refresh().scan(database, progress=listed)
            if database.has_words:
                self._search().catch_up(
                    database,
                    lambda done: (
                        None
                        if progress is None
                        else progress(min(count + done, 2 * count), 2 * count)
                    ),
                )
            return _read(database, _count)  # of those that were listed, some may be absent

        return self._answer(build, fresh=False)

    def close(self) -> None:
        """Lets go of the file; a scan in the background ends soon."""
        if self._process != os.getpid():
            return  # the parent's: not to be touched
        self._closed.set()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join(_TIDY_S)  # it ends by itself, wherever it is
        with self._opening:
            if self._database is not None:
                self._database.close()

    # --- behind them ---

    def _answer(self, question: Callable[[Database], T], *, fresh: bool = True) -> T:
        """Asks an index that is up to date; makes another one if it turns out broken."""
        from plainstate.index.database import BrokenError, GoneError, UnusableError
        from plainstate.index.refresh import Stopped

        failure: Exception | None = None
        for _ in range(_ATTEMPTS):
            database = self._open()
            try:
                if fresh:
                    self._freshen(database)
                return question(database)
            except GoneError as error:
                failure = error
            except BrokenError as error:
                failure = error
                database.discard()
            except UnusableError as error:
                failure = error
                self._has_no_place = True
                database.close()
            except Stopped:
                raise _closed() from None
        raise StorageError(
            f"the index cannot be used: {failure}",
            hint="Look whether the disk is sound; the documents themselves are not concerned.",
            path=".plainstate",
            errno=0,
        ) from failure

    def _freshen(self, database: Database) -> None:
        refresh = self._refresh()
        self.start()
        if self._thread is not None and not self._asked:
            self._asked = True
            if _read(database, _is_small):
                self._hurry.set()
                self._scanned.wait(_PATIENCE_S)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        refresh.freshen(database)
        if refresh.edits_missed.is_set() and self._scanned.is_set():
            self._start_scan()

    def _start_scan(self) -> None:
        with self._opening:
            if self._thread is None or not self._thread.is_alive():
                self._scanned.clear()
                self._thread = threading.Thread(
                    target=self._scan_behind, name="plainstate-index", daemon=True
                )
                self._thread.start()

    def _open(self) -> Database:
        from plainstate.index.database import Database, GoneError, UnusableError, open_in

        self._check_open()
        with self._opening:
            database = self._database
            if database is not None and not self._is_outdated(database):
                return database
            if database is not None:
                database.close()
            self._database = None
            if self.folder is not None and not self._has_no_place and os.path.isdir(self.folder):
                try:
                    self._database = open_in(self.folder)
                except UnusableError:
                    self._has_no_place = True
            self._check_open()
            try:
                database = self._database = self._database or Database(None)
            except GoneError:
                raise _closed() from None
            return database

    def _is_outdated(self, database: Database) -> bool:
        if database.is_closed or database.is_gone:
            return True
        if database.path is not None:
            return False
        # in memory, because there was no folder: is there one by now?
        return not self._has_no_place and self.folder is not None and os.path.isdir(self.folder)

    # Made with the first question, or search: opening a store, or a list, need not load them.

    def _refresh(self) -> Refresh:
        from plainstate.index.refresh import Refresh

        if self._refreshing is None:
            self._refreshing = Refresh(self._engine, self._describe, self._closed.is_set)
        return self._refreshing

    def _search(self) -> Search:
        from plainstate.index.search import Search

        if self._searching is None:
            self._searching = Search(self._engine, self._refresh(), self._closed.is_set)
        return self._searching

    def _scan_behind(self) -> None:
        self._hurry.wait(_DELAY_S)
        try:
            if not self._closed.is_set():
                self._scan_once()
        except Exception as error:  # noqa: BLE001 - the next list raises it
            if not self._closed.is_set():
                self._error = error
        finally:
            self._scanned.set()

    def _scan_once(self) -> None:
        from plainstate.index.database import BrokenError, GoneError, UnusableError
        from plainstate.index.refresh import Stopped

        refresh = self._refresh()
        try:
            refresh.scan(self._open(), pause=self._pause)
        except (BrokenError, GoneError, UnusableError, Stopped):
            return  # the next question meets the same, and knows what to do

    def _pause(self) -> None:
        if not self._hurry.is_set():  # somebody waits for it
            time.sleep(_PAUSE_S)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise _closed()
        if self._process != os.getpid():
            raise UsageError(
                "the store was opened before fork()", hint="Open it anew in the child process."
            )


_ATTEMPTS: Final = 4


def _closed() -> UsageError:
    return UsageError("the store is closed", hint="Open it again with open_store.")


def _count(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT coalesce(sum(count), 0) FROM categories").fetchone()
    return int(count)


def _is_small(connection: sqlite3.Connection) -> bool:
    return _count(connection) <= _SMALL


def _read(database: Database, page: Callable[..., T], *args: Any, **options: Any) -> T:
    with database.reading() as connection:
        return page(connection, *args, **options)
