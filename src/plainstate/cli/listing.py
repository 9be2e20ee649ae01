"""Verbs that list: `ls`, `sessions`."""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING, Final

from plainstate import errors
from plainstate.cli import places, render

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from plainstate import SessionSummary, StateStore
    from plainstate.types import Json, Kind

__all__ = ["ls", "sessions", "sessions_table"]

_PAGE: Final = 1000
"""A long list is fetched in parts: it begins at once, and `| head` costs as much as it shows."""

# A summary has the first 80 characters at most, without saying whether that is all: less is
# shown, so that what is cut always ends in an ellipsis.
_ABOUT_COLUMNS: Final = 72


def ls(args: argparse.Namespace) -> None:
    """`plainstate ls [CATEGORY]`: what is in the store."""
    if args.category is None:
        _list_categories(args)
    else:
        _list_documents(args, args.category.rstrip("/"))


def _list_categories(args: argparse.Namespace) -> None:
    if args.prefix is not None or args.limit is not None or args.after is not None:
        raise errors.UsageError(
            "--prefix, --limit and --after are for the documents of one category",
            hint="Name it: plainstate ls CATEGORY.",
        )
    with places.existing_store(args) as store:
        counts = store.count_documents()
    if args.json:
        for name, count in counts.items():
            render.json_line({"category": name, "documents": count})
    elif counts:
        rows = [(name, f"{count:,}") for name, count in counts.items()]
        print(render.table(("CATEGORY", " DOCUMENTS"), rows))
    else:
        print("no documents")


def _list_documents(args: argparse.Namespace, category: str) -> None:
    prefix, after = args.prefix or "", _after(args.after, category)
    with places.existing_store(args) as store:
        count, last = 0, None
        for last in _documents(store, category, prefix, after, args.limit):
            count += 1
            name, kind = last
            if args.json:
                render.json_line({"document": f"{category}/{name}", "kind": kind})
            else:
                print(places.file_of(category, name, kind))
        if last is None and after is None:
            what = f" that begin with {prefix!r}" if prefix else ""
            raise errors.NotFoundError(
                f"no documents in {category}{what}",
                hint="`plainstate ls` lists the categories.",
                document=category,
            )
        if last is not None and args.limit is not None and sys.stdout.isatty() and not args.json:
            more = store.list_category(category, prefix=prefix, limit=1, after=last[0])
            if more:
                total = store.count_documents()[category]
                print(f"{count:,} of {total:,} in {category}; the next: --after", end=" ")
                print(render.quote(places.file_of(category, *last)))


def _after(text: str | None, category: str) -> str | None:
    """The name behind which to go on: DOC as it was listed, or just its name."""
    if text is None or "/" not in text:
        return text
    place = places.parse_doc(text)
    if place.category != category:
        raise errors.UsageError(
            f"--after {text} is not in {category}", hint="Pass the last document that was listed."
        )
    return place.name


def _documents(
    store: StateStore, category: str, prefix: str, after: str | None, limit: int | None
) -> Iterator[tuple[str, Kind]]:
    """The documents of a category in order; a name that is one of each kind counts once."""
    left = limit
    while left is None or left > 0:
        page = _PAGE if left is None else min(left, _PAGE)
        found: list[tuple[str, Kind]] = sorted(
            (name, kind)
            for kind in places.SUFFIXES
            for name in store.list_category(
                category, kind=kind, prefix=prefix, limit=page, after=after
            )
        )
        names = list(dict.fromkeys(name for name, _ in found))[:page]
        if not names:
            return
        after = names[-1]
        yield from (one for one in found if one[0] <= after)
        if len(names) < page:
            return
        left = None if left is None else left - page


def sessions(args: argparse.Namespace) -> None:
    """`plainstate sessions`: a table, last changed first; the damaged ones at the end.

    On a terminal one page, with how to get the next; otherwise all of them.
    """
    lines = None if args.json else render.terminal_lines()
    limit = args.limit
    if limit is None and lines is not None:
        limit = max(lines - 4, 5)  # the heads, the footer, the prompt
    with places.existing_store(args) as store:
        pages = _pages(store, args, None if limit is None else limit + 1)
        if args.json:
            for number, summary in enumerate(chain.from_iterable(pages)):
                if number == limit:
                    break
                render.json_line(_summary_json(summary))
            return
        found = list(chain.from_iterable(pages))
        total = store.count_sessions(user_id=args.user)
    shown = found[:limit]
    if not shown:
        print("no sessions" if args.after is None else "no more sessions")
        return
    print(sessions_table(shown))
    if lines is not None:
        footer = f"{len(shown):,} of {render.plural(total, 'session')}"
        if len(found) > len(shown):
            footer += f"; the next: --after {render.quote(shown[-1].cursor)}"
        print(footer)


def _pages(
    store: StateStore, args: argparse.Namespace, limit: int | None
) -> Iterator[list[SessionSummary]]:
    after, left = args.after, limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        page = store.list_sessions(
            user_id=args.user,
            limit=size,
            after=after,
            newest_first=not args.oldest,
            include_damaged=not args.no_damaged,
        )
        yield page
        if len(page) < size:
            return
        after = page[-1].cursor
        left = None if left is None else left - size


def sessions_table(found: list[SessionSummary]) -> str:
    """The table of sessions, as text."""
    heads = ("SESSION", "USER", " MESSAGES", "CHANGED (UTC)", "ABOUT")
    return render.table(heads, [_session_row(summary) for summary in found])


def _session_row(summary: SessionSummary) -> tuple[str, ...]:
    if summary.damaged is not None:
        return (summary.id, "?", "?", "?", f"DAMAGED: {summary.damaged}")
    return (
        summary.id,
        summary.user_id,
        f"{summary.message_count:,}",
        render.instant(summary.updated_at),
        render.fit(render.one_line(summary.title or summary.preview), _ABOUT_COLUMNS),
    )


def _summary_json(summary: SessionSummary) -> Json:
    times = (summary.created_at, summary.updated_at)
    created_at, updated_at = (moment and render.rfc3339(moment) for moment in times)
    return {
        "id": summary.id,
        "user_id": summary.user_id,
        "message_count": summary.message_count,
        "created_at": created_at,
        "updated_at": updated_at,
        "title": summary.title,
        "preview": summary.preview,
        "active_seed_id": summary.active_seed_id,
        "damaged": summary.damaged,
        "cursor": summary.cursor,
    }
