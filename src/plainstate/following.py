"""The store's methods for following its changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from plainstate.core import names
from plainstate.errors import CursorExpiredError, InvalidCursorError, InvalidValueError
from plainstate.types import FOLLOWERS, ChangePage, DocumentId
from plainstate.watching import Follower, Progress, Watch, Watches, read_follower

if TYPE_CHECKING:
    from plainstate.engines.base import Engine

__all__ = ["FollowingMethods"]


class FollowingMethods:
    """The change feed: reading it, waiting for more, followers that are remembered."""

    _engine: Engine
    _watches: Watches

    def changes(
        self, since: str | None = None, *, category: str | None = None, limit: int = 1000
    ) -> ChangePage:
        """What was committed, by any process: at least once, in order per document.

        Args:
            since: the cursor of a change or page: what comes behind it; "latest": nothing, but
                the cursor of the end.  Left out: from the oldest change that is kept.
            category: only documents right in this category.
            limit: at most so many.

        Returns:
            The changes and the cursor behind them; with fewer than `limit`, that is the end.

        Raises:
            InvalidCursorError: `since` is no cursor.
            CursorExpiredError: some changes behind it are no longer kept.

        Cost: a read of the part of the feed that is passed over.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     _ = store.save_json("plans", "today", [])
            ...     page = store.changes()
            ...     _ = store.delete_file("plans", "today")
            ...     [change.action for change in store.changes(page.cursor)]
            ['delete']
        """
        _check_since(since)
        _check_category(category)
        if type(limit) is not int or limit < 1:
            raise InvalidValueError(
                f"limit must be a whole number above 0, not {limit!r}",
                hint="Leave it out for 1000.",
                pointer="",
            )
        found = _wanted(self._engine.changes(since, limit=limit, durable=True), category, limit)
        while len(found) < limit:
            try:
                page = self._engine.changes(found.cursor, limit=limit, durable=True)
            except CursorExpiredError:
                if found.changes:
                    break  # what was found is not lost with it; who goes on is told
                raise
            if not page.changes:
                break
            found = _joined(found, _wanted(page, category, limit - len(found)))
        return found

    def watch(
        self,
        since: str | None = None,
        *,
        category: str | None = None,
        follower: str | None = None,
    ) -> Watch:
        """Waits for changes and gives them one by one: iterate over it.

        Use it in `with`, or call `close`; closing the store ends it, too.

        Args:
            since: where to begin, as in `changes`.  Left out: with what comes from now on, or
                where the follower of that name stopped.
            category: only documents right in this category.
            follower: a name, under which the store remembers how far this watch has come, and
                keeps the changes that it has not seen.  A change counts as done when
                the next one is asked for; after a crash the last second's may come again.

        Raises:
            InvalidCursorError, CursorExpiredError: as in `changes`.
            InvalidNameError: `follower` cannot be a name.

        Cost: nothing while nothing happens.  With a `follower`, a save at the beginning, at the
            end, and about once a second while changes come.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store, store.watch(follower="billing") as watch:
            ...     _ = store.append_user_message("s-1", "Hello", user_id="ada")
            ...     for change in watch:
            ...         print(change.action, change.document)
            ...         watch.stop()
            create sessions/s-1
        """
        _check_since(since)
        _check_category(category)
        progress = None
        if follower is not None:
            progress = Progress(self._engine, names.check_name(follower))
            since = progress.cursor if since is None else since
        watch = Watch(self._engine, since, category, progress)
        self._watches.add(watch)
        return watch

    def followers(self) -> list[Follower]:
        """Who follows this store under a name, sorted; running or not.

        The feed keeps for each of them what it has not seen, up to a limit: remove those that
        do not come back.

        Raises:
            DamagedError: a follower's progress cannot be read.
        """
        documents = [one for one, _ in self._engine.documents(FOLLOWERS) if one.kind == "json"]
        found = [read_follower(self._engine, one.name) for one in sorted(documents)]
        return [follower for follower, _ in filter(None, found)]

    def remove_follower(self, name: str) -> bool:
        """Forgets a follower; `False` if there is none.  A watch that runs in its name fails."""
        document = DocumentId(FOLLOWERS, names.check_name(name))
        return self._engine.delete(document, forget=True) is not None


def _wanted(page: ChangePage, category: str | None, limit: int) -> ChangePage:
    """What a page tells of a category, up to a limit."""
    changes = [one for one in page if category in (None, one.document.category)]
    if len(changes) < limit:
        return structs.replace(page, changes=changes)
    return structs.replace(page, changes=changes[:limit], cursor=changes[limit - 1].cursor)


def _joined(first: ChangePage, second: ChangePage) -> ChangePage:
    return ChangePage(
        [*first, *second],
        second.cursor,
        gap=first.gap or second.gap,
        edits_missed=first.edits_missed or second.edits_missed,
    )


def _check_since(since: str | None) -> None:
    if since is not None and not isinstance(since, str):
        raise InvalidCursorError(
            f"a cursor is a str, not {type(since).__name__}",
            hint="Pass the `cursor` of a change, page or watch.",
            cursor=repr(since),
        )


def _check_category(category: str | None) -> None:
    if category is not None:
        names.check_category(category)
