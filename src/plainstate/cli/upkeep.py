"""Verbs that look after a store: `checkpoint`, `resolve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainstate.cli import places, render

if TYPE_CHECKING:
    import argparse

__all__ = ["checkpoint", "resolve"]


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
        render.json_line(
            {"document": str(place), "kind": kind, "take": args.take, "version": commit.version}
        )
    else:
        print(f"{place}: took the {args.take}, now version {commit.version}")
