"""Verbs that only read: `show`, `ls`, `cat`, `sessions`.  They never create anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from plainstate import errors
from plainstate.cli import places, render, transcript

if TYPE_CHECKING:
    import argparse

    from plainstate import SessionSummary, StateStore
    from plainstate.types import Json, Kind

__all__ = ["cat", "ls", "sessions", "sessions_table", "show"]

# A summary has the first 80 characters at most, without saying whether that is all: less is
# shown, so that what is cut always ends in an ellipsis.
_ABOUT_COLUMNS: Final = 72


def show(args: argparse.Namespace) -> None:
    """`plainstate show DOC`: a session as a transcript, any other document as it is."""
    place = places.parse_doc(args.doc, args.kind)
    with places.existing_store(args) as store:
        kind = places.locate(store, place)
        if place.category == "sessions" and kind == "json":
            session = store.load_session(place.name)
            if session is None:
                raise places.missing(place)
            if args.json:
                render.json_document(transcript.as_json(session))
            else:
                print(transcript.as_text(session))
            return
        value, version = _read(store, place, kind)
    if args.json:
        render.json_document(_described(place, kind, value, version))
        return
    facts = (render.one_line(str(place)), kind, *_size(value), f"version {version}")
    print("  ".join(facts) + "\n")
    text = value if kind == "markdown" else _pretty(value)
    print(render.clean(text).removesuffix("\n"))


def ls(args: argparse.Namespace) -> None:
    """`plainstate ls [CATEGORY]`: what is in the store."""
    with places.existing_store(args) as store:
        if args.category is None:
            counts = [(name, len(_documents(store, name))) for name in store.list_categories()]
            if args.json:
                for name, count in counts:
                    render.json_line({"category": name, "documents": count})
            elif counts:
                rows = [(name, f"{count:,}") for name, count in counts]
                print(render.table(("CATEGORY", " DOCUMENTS"), rows))
            else:
                print("no documents")
            return
        category = args.category.rstrip("/")
        found = _documents(store, category)
        if not found:
            raise errors.NotFoundError(
                f"no documents in {category}",
                hint="`plainstate ls` lists the categories.",
                document=category,
            )
    for name, kind in found:
        if args.json:
            render.json_line({"document": f"{category}/{name}", "kind": kind})
        else:
            print(f"{category}/{name}{places.SUFFIXES[kind]}")


def cat(args: argparse.Namespace) -> None:
    """`plainstate cat DOC`: the raw value, byte for byte where it is Markdown."""
    place = places.parse_doc(args.doc, args.kind)
    with places.existing_store(args) as store:
        kind = places.locate(store, place)
        if args.salvage:
            value: Json = store.salvage(place.category, place.name, kind=kind)
            version = None
        else:
            value, version = _read(store, place, kind)
    if args.json:
        render.json_document(_described(place, kind, value, version))
        return
    text = value if kind == "markdown" else _pretty(value) + "\n"
    render.write_bytes(text.encode())


def sessions(args: argparse.Namespace) -> None:
    """`plainstate sessions`: a table, last changed first; the damaged ones at the end."""
    with places.existing_store(args) as store:
        found = store.list_sessions(user_id=args.user, limit=args.limit)
    if args.json:
        for summary in found:
            render.json_line(_summary_json(summary))
    elif found:
        print(sessions_table(found))
    else:
        print("no sessions")


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
    }


def _documents(store: StateStore, category: str) -> list[tuple[str, Kind]]:
    """The documents of a category in order: one name may stand for one of each kind."""
    return sorted(
        (name, kind)
        for kind in places.SUFFIXES
        for name in store.list_category(category, kind=kind)
    )


def _size(value: Json) -> list[str]:
    """How much there is; nothing for a number or the like."""
    nouns = ((str, "character"), (list, "item"), (dict, "key"))
    return [render.plural(len(value), noun) for kind, noun in nouns if isinstance(value, kind)]


def _read(store: StateStore, place: places.Place, kind: Kind) -> tuple[Json, str | None]:
    document = store.read(place.category, place.name, kind=kind)
    if document is None:
        raise places.missing(place)  # deleted since it was found
    return document.value, document.version


def _described(place: places.Place, kind: Kind, value: Json, version: str | None) -> Json:
    return {"document": str(place), "kind": kind, "version": version, "value": value}


def _pretty(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
