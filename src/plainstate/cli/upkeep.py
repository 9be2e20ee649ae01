"""Verbs that look after a store: `stats`, `reindex`, `checkpoint`, `resolve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainstate.cli import places, render
from plainstate.cli.progress import patience, progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from plainstate import StoreStats
    from plainstate.types import Files

__all__ = ["checkpoint", "reindex", "resolve", "stats"]


def stats(args: argparse.Namespace) -> None:
    """`plainstate stats`: what the store holds, and what that takes on disk."""
    with places.existing_store(args) as store, patience():
        found = store.stats()
    if args.json:
        import msgspec

        render.json_document({"documents": found.documents, **msgspec.to_builtins(found)})
        return
    sizes = {} if found.files is None else found.files.categories
    rows = [
        (category, f"{count:,}", render.size(sizes.get(category, 0)))
        for category, count in found.categories.items()
    ]
    total = ("all", f"{found.documents:,}", render.size(sum(sizes.values())))
    print(render.table(("CATEGORY", " DOCUMENTS", " SIZE"), [*rows, total]))
    print()
    facts = [*_contents(found), *(() if found.files is None else _beside(found.files))]
    print(render.table(("WHAT", " NUMBER", " SIZE"), facts))


def _contents(found: StoreStats) -> Iterator[tuple[str, str, str]]:
    yield "sessions", f"{found.sessions:,}", ""
    yield "messages", f"{found.messages:,}", ""
    yield "users", f"{found.users:,}", ""
    yield "damaged documents", f"{found.damaged:,}", ""
    yield "documents not searchable yet", f"{found.unread:,}", ""
    size = "" if found.files is None else render.size(found.files.trash_bytes)
    yield "sessions in the trash", f"{found.trashed:,}", size


def _beside(files: Files) -> Iterator[tuple[str, str, str]]:
    """What the store keeps beside the documents."""
    yield "journals to be folded", f"{files.journals:,}", render.size(files.journal_bytes)
    yield "history", "", render.size(files.history_bytes)
    yield "change feed, files", f"{files.feed_segments:,}", render.size(files.feed_bytes)
    yield "index", "", render.size(files.index_bytes)
    yield "heads of documents at rest", "", render.size(files.head_bytes)
    yield "quarantine, files", f"{files.quarantined:,}", render.size(files.quarantine_bytes)
    yield "writers at work", f"{files.writers:,}", ""
    yield "writers that ended without closing", f"{files.dead_writers:,}", ""
    for name, behind in files.behind.items():
        told = "too far" if behind is None else render.size(behind)
        yield f"follower {name} is behind", "", told


def reindex(args: argparse.Namespace) -> None:
    """`plainstate reindex`: makes the index anew, with all words."""
    with places.existing_store(args) as store, progress("reading") as tick:
        count = store.reindex(progress=tick)
    if args.json:
        render.json_line({"documents": count})
    else:
        print(f"indexed {render.plural(count, 'document')}")


def checkpoint(args: argparse.Namespace) -> None:
    """`plainstate checkpoint`: every document becomes one plain file."""
    with places.existing_store(args) as store:
        folded = store.checkpoint()
    if args.json:
        render.json_line({"folded": folded})
    else:
        print(f"folded {render.plural(folded, 'document')}")


def resolve(args: argparse.Namespace) -> None:
    """`plainstate resolve DOC --take file|journal`: settles an edit by hand."""
    place = places.parse_doc(args.doc, args.kind)
    with places.existing_store(args) as store:
        kind = places.locate(store, place)
        commit = store.resolve(place.category, place.name, take=args.take, kind=kind)
    if args.json:
        told = {"document": str(place), "kind": kind, "take": args.take}
        render.json_line({**told, "version": commit.version or None})
    elif commit.version:
        print(f"{place}: took the {args.take}, now version {commit.version}")
    else:
        print(f"{place}: took the {args.take}: it is deleted")
