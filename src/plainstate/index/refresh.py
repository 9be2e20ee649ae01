"""Keeping the rows true: what the feed tells, and what a scan of all documents shows."""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING, Final

from plainstate.core.summary import is_session
from plainstate.errors import (
    CursorExpiredError,
    InvalidCursorError,
    InvalidValueError,
    PlainstateError,
    UsageError,
)
from plainstate.index import catalog
from plainstate.index.catalog import NO_FACTS, Facts, Found, Known
from plainstate.types import ABSENT, LATEST, Change, ChangePage, DocumentId, State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias, TypeVar

    from plainstate.engines.base import Engine
    from plainstate.index.database import Database
    from plainstate.types import Json

    Describe: TypeAlias = Callable[[DocumentId, State], dict[str, Json]]
    """Makes the summary of a session that was read; raises what makes it damaged."""
    Stop: TypeAlias = Callable[[], bool]
    T = TypeVar("T")

__all__ = ["Refresh", "Stopped"]

_PAGE: Final = 20_000
"""Changed documents of one transaction: it takes half a second at most, so that others get in
between, and a page of the index is written once for many of them."""

_CHUNK: Final = 500
"""Documents of a scan that are looked up together."""


class Stopped(Exception):  # noqa: N818 - not an error: the handle is being closed
    """The index was closed meanwhile."""


class Refresh:
    """Brings an index up to date with its engine.

    Args:
        engine: what is indexed.
        describe: makes the summary of a session.
        stop: whether to give up, asked between two documents.

    Attributes:
        edits_missed: set when only a scan can tell what was changed behind the store's back.
    """

    def __init__(self, engine: Engine, describe: Describe, stop: Stop) -> None:
        self.edits_missed = threading.Event()
        self._engine = engine
        self._describe = describe
        self._stop = stop
        self._scanning = threading.Lock()
        self._catching_up = threading.Lock()

    def freshen(self, database: Database) -> None:
        """Afterwards the rows are as new as the last commit that was acknowledged before."""
        self.catch_up(database)
        # where it was complete it stays so until the feed tells more: that may demand a scan
        while database.complete_at != database.cursor and not is_complete(database):
            self.scan(database, only_if_demanded=True)
            self.catch_up(database)

    # --- the feed ---

    def catch_up(self, database: Database) -> None:
        """Takes in what the feed tells.

        Cost: where that is nothing, one look at the feed and none at the index.
        """
        # One thread at a time: the first may have to complete the feed for a writer that was
        # killed, and the second would not see what is still being told; nor would two be faster.
        with self._catching_up:
            while True:
                start = database.cursor
                page, is_whole = self._changes(database, start)
                if page.edits_missed:
                    self.edits_missed.set()
                if is_whole and page.cursor == start:
                    return
                applied = self._apply(database, start, page, is_whole=is_whole)
                if applied and len(page) < _PAGE:
                    return

    def _changes(self, database: Database, start: str | None) -> tuple[ChangePage, bool]:
        """A page of the feed, and whether it tells everything since `start`."""
        if start is None:  # a scan is demanded already: it sees all that is older
            return self._ask(database, LATEST), True
        try:
            page = self._ask(database, start)
        except CursorExpiredError as error:
            page = self._ask(database, error.oldest)
        except InvalidCursorError:  # a crash has left the index ahead of the feed
            page = self._ask(database, None)
        else:
            return page, not page.gap
        return page, False

    def _ask(self, database: Database, since: str | None) -> ChangePage:
        durable = database.path is not None  # others go on from here, also after a power cut
        return self._engine.changes(since, limit=_PAGE, durable=durable, for_index=True)

    def _apply(
        self, database: Database, start: str | None, page: ChangePage, *, is_whole: bool
    ) -> bool:
        """Takes in a page; tells whether it did, and not another handle before."""
        last = {change.document: change for change in page}  # one a document, the newest
        told = {document: _told(change) for document, change in last.items()}
        found = {document: self.look(document) for document in last if told[document] is None}
        with database.writing() as connection:
            (stored,) = connection.execute("SELECT cursor FROM feed").fetchone()
            if stored != start:  # another handle was faster: go on from where it is
                database.cursor = stored
                return False
            rows = catalog.known(connection, last)
            going_on = []
            for document, change in last.items():
                row = rows.get(document)
                if document not in found and _is_doubtful(change, row):
                    found[document] = self.look(document)
                facts = told[document] or NO_FACTS
                if document in found:
                    _take_in(connection, document, row, found[document], None)
                    _leave_untold(connection, change, found[document])
                elif row is None or change.version is None:
                    _follow(connection, change, row, facts)
                elif row.version == change.version:
                    continue
                elif catalog.goes_on(row, change, facts):
                    going_on.append((row, change, facts))
                else:
                    _follow(connection, change, row, facts)
            catalog.advance(connection, going_on)
            connection.execute(
                "UPDATE feed SET cursor = ?, demanded = demanded + ?",
                (page.cursor, not is_whole),
            )
        database.cursor = page.cursor
        return True

    # --- the scan ---

    def scan(
        self,
        database: Database,
        *,
        only_if_demanded: bool = False,
        progress: Callable[[int], None] | None = None,
        pause: Callable[[], None] = lambda: None,
    ) -> int:
        """Looks at every document, and reads those that are not as they were.

        Args:
            database: the index.
            only_if_demanded: not if another thread has done it meanwhile.
            progress: is told how many documents were looked at.
            pause: called now and then, lets others work.

        Returns:
            How many documents there are.
        """
        with self._scanning:
            if only_if_demanded and is_complete(database):
                return 0
            self.catch_up(database)
            self.edits_missed.clear()  # what was missed before this moment is seen now
            with database.reading() as connection:
                demanded, scanned = connection.execute(
                    "SELECT demanded, scanned FROM feed"
                ).fetchone()
                (last_id,) = connection.execute("SELECT max(id) FROM documents").fetchone()
            seen = bytearray((last_id or 0) + 1)
            tell = scanned > 0 and database.path is not None
            count = 0
            for chunk in _chunks(self._engine.documents()):
                self._look_again(database, dict(chunk), seen, tell=tell)
                count += len(chunk)
                if progress is not None:
                    progress(count)
                pause()
            for missing in _chunks(_unseen(database, seen)):
                self._look_again(database, dict.fromkeys(missing), seen, tell=tell)
            with database.writing() as connection:
                connection.execute("UPDATE feed SET scanned = max(scanned, ?)", (demanded,))
            return count

    def examine(self, database: Database, document: DocumentId) -> None:
        """Looks at one document whose row does not seem to be true."""
        self._look_again(database, {document: None}, bytearray(), tell=database.path is not None)

    def look(self, document: DocumentId) -> Found:
        """Reads a document; one that cannot be read is found damaged."""
        if self._stop():
            raise Stopped
        state = None
        try:
            state = self._engine.read(document)
            if state is None or not is_session(document):
                return Found(state)
            return Found(state, catalog.facts_of(self._describe(document, state)))
        except UsageError:  # the store is closed
            raise
        except PlainstateError as error:
            return Found(state, damaged=str(error))

    def _look_again(
        self,
        database: Database,
        stamps: dict[DocumentId, str | None],
        seen: bytearray,
        *,
        tell: bool,
    ) -> None:
        """Reads the documents that do not have the stamp they had, and corrects their rows."""
        if self._stop():
            raise Stopped
        with database.reading() as connection:
            before = catalog.known(connection, stamps)
            (start,) = connection.execute("SELECT cursor FROM feed").fetchone()
        for known in before.values():
            if known.id < len(seen):
                seen[known.id] = 1
        found = {
            document: self.look(document)
            for document, stamp in stamps.items()
            if stamp is None or document not in before or before[document].stamp != stamp
        }
        if not found:
            return
        untold = self._notice(database, before, found) if tell else set()
        with database.writing() as connection:
            now = catalog.known(connection, found)
            (cursor,) = connection.execute("SELECT cursor FROM feed").fetchone()
            for document, seen_before in found.items():
                row, one = now.get(document), seen_before
                if row is None and document not in before and cursor != start:
                    one = self.look(document)  # the feed may have told of its end meanwhile
                if one.is_absent and document in untold:
                    continue  # whoever ends it tells in a moment; if not, the next scan sees it
                if row == before.get(document) or not _differs(row, one):
                    _take_in(connection, document, row, one, stamps[document])
                    if document in untold:
                        catalog.keep_version(connection, document, row.version if row else None)

    def _notice(
        self,
        database: Database,
        before: dict[DocumentId, Known],
        found: dict[DocumentId, Found],
    ) -> set[DocumentId]:
        """Tells the feed what was changed behind the store's back; returns what must wait."""
        differing = [
            document for document, one in found.items() if _differs(before.get(document), one)
        ]
        if not differing:
            return set()
        self.catch_up(database)  # what the feed tells was not done behind the store's back
        with database.reading() as connection:
            now = catalog.known(connection, differing)
        untold = set()
        for document in differing:
            row = now.get(document)
            if row != before.get(document) or found[document].damaged is not None:
                continue
            if not self._engine.notice(document, (row.version if row else None) or ABSENT):
                untold.add(document)
        self.catch_up(database)  # makes durable what was told, before a row holds it
        return untold


def is_complete(database: Database) -> bool:
    """Whether the rows can answer: every scan that was demanded is done."""
    with database.reading() as connection:
        complete, cursor = connection.execute(
            "SELECT scanned >= demanded, cursor FROM feed"
        ).fetchone()
    if complete:
        database.complete_at = cursor
    return bool(complete)


def _told(change: Change) -> Facts | None:
    """What a change tells of its document; `None`: not all that a row holds."""
    if change.action == "edit":
        return None
    if change.action == "delete" or not is_session(change.document):
        return NO_FACTS
    if not change.summary or change.summary.get("odd"):  # only the whole session tells
        return None
    try:
        return catalog.facts_of(change.summary)
    except InvalidValueError:
        return None


def _is_doubtful(change: Change, row: Known | None) -> bool:
    """Whether the row seems to be newer than the change: only the document itself can tell."""
    if row is None or row.seq is None or row.version == change.version:
        return False
    return change.seq <= row.seq


def _follow(
    connection: sqlite3.Connection, change: Change, row: Known | None, facts: Facts
) -> None:
    """Changes a row as the feed tells."""
    if change.version is not None:
        catalog.store(
            connection,
            change.document,
            Found(facts=facts),
            seq=change.seq,
            version=change.version,
            stamp=None,
        )
    elif row is not None:
        catalog.remove(connection, row)


def _leave_untold(connection: sqlite3.Connection, change: Change, found: Found) -> None:
    """Keeps in the row what the feed told, where the document is in another state already.

    The feed tells of that in a moment; if a power cut took it, the scan must see the difference.
    """
    if found.damaged is not None or found.version == change.version:
        return
    if found.is_absent:
        _follow(connection, change, None, NO_FACTS)
    else:
        catalog.keep_version(connection, change.document, change.version)


def _take_in(
    connection: sqlite3.Connection,
    document: DocumentId,
    row: Known | None,
    found: Found,
    stamp: str | None,
) -> None:
    """Changes a row to what was read."""
    if found.is_absent:
        if row is not None:
            catalog.remove(connection, row)
    elif row is not None and found.damaged is None and not _differs(row, found):
        if stamp is not None:
            catalog.stamp(connection, row, stamp)
    else:
        # what is damaged keeps no stamp: the next scan looks whether it still is
        state = found.state
        catalog.store(
            connection,
            document,
            found,
            seq=None if state is None else state.seq,
            version=None if state is None else state.version,
            stamp=None if found.damaged else stamp,
        )


def _differs(row: Known | None, found: Found) -> bool:
    if row is None:
        return not found.is_absent
    return (row.version, row.damaged) != (found.version, found.damaged) or found.is_absent


def _unseen(database: Database, seen: bytearray) -> Iterator[DocumentId]:
    """The documents whose rows a scan has not met."""
    last = 0
    while True:
        with database.reading() as connection:
            rows = connection.execute(
                "SELECT id, category, name, kind FROM documents WHERE id > ? AND id < ?"
                " ORDER BY id LIMIT 10000",
                (last, len(seen)),
            ).fetchall()
        if not rows:
            return
        last = rows[-1][0]
        yield from (DocumentId(*names) for number, *names in rows if not seen[number])


def _chunks(things: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(things)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
