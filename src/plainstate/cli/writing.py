"""Verbs that change documents: `put`, `rm`, `mv`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainstate import errors
from plainstate.cli import inputs, places, render

if TYPE_CHECKING:
    import argparse

    from plainstate.types import Kind

__all__ = ["mv", "put", "rm"]


def put(args: argparse.Namespace) -> None:
    """`plainstate put DOC [FILE|-]`: saves a document as a whole."""
    place = places.parse_doc(args.doc, "markdown" if args.markdown else None)
    kind: Kind = place.kind or ("markdown" if args.file.endswith(".md") else "json")
    named = place.kind == "json" or args.file.endswith(".json")
    hint = inputs.CORRECT_IT if named else "Correct it; or add --markdown, if it is Markdown."
    where = "standard input" if args.file == inputs.STDIN else args.file
    # Opened before anything is read: nobody types a text for a store that is then refused.
    with places.store_for_writing(args) as store:
        text = inputs.decode(inputs.read(args.file), where)
        value = text if kind == "markdown" else inputs.parse_json(text, where, hint)
        save = store.save_markdown if kind == "markdown" else store.save_json
        commit = save(place.category, place.name, value, if_version=args.if_version)
    if args.json:
        render.json_line({"document": str(place), "kind": kind, "version": commit.version})
    else:
        print(f"{place}: saved as version {commit.version}")


def rm(args: argparse.Namespace) -> None:
    """`plainstate rm DOC`: deletes a document."""
    place = places.parse_doc(args.doc, args.kind)
    with places.existing_store(args) as store:
        kind = places.locate(store, place)
        if not store.delete_file(place.category, place.name, kind=kind):
            raise places.missing(place)  # another process was faster
    if args.json:
        render.json_line({"document": str(place), "kind": kind, "deleted": True})
    else:
        print(f"{place}: deleted")


def mv(args: argparse.Namespace) -> None:
    """`plainstate mv DOC NEW`: renames a document, or moves it to another category."""
    place = places.parse_doc(args.doc, args.kind)
    with places.existing_store(args) as store:
        kind = places.locate(store, place)
        target = places.parse_doc(args.new, args.kind)
        if target.kind not in (None, kind):
            raise errors.UsageError(
                f"a {kind} document cannot become {args.new}",
                hint="Renaming does not convert it: leave the suffix out.",
            )
        commit = store.rename(
            place.category, place.name, target.name, new_category=target.category, kind=kind
        )
    if args.json:
        render.json_line(
            {"document": str(target), "kind": kind, "from": str(place), "version": commit.version}
        )
    else:
        print(f"{place}: now {target}")
