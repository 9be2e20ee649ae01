"""Verbs that print one document: `show`, `cat`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from plainstate import errors
from plainstate.cli import places, render, transcript

if TYPE_CHECKING:
    import argparse

    from plainstate import StateStore
    from plainstate.types import Json, Kind

__all__ = ["cat", "show"]


def show(args: argparse.Namespace) -> None:
    """`plainstate show DOC`: a session as a transcript, any other document as it is."""
    place = places.parse_doc(args.doc, args.kind)
    with places.existing_store(args) as store:
        kind = _locate(store, place, args.at)
        if place.category == "sessions" and kind == "json":
            session = store.load_session(place.name, at=args.at)
            if session is None:
                raise _absent(place, args.at)
            if args.json:
                render.json_document(transcript.as_json(session))
            else:
                print(transcript.as_text(session))
            return
        value, version = _read(store, place, kind, args.at)
    if args.json:
        render.json_document(_described(place, kind, value, version))
        return
    facts = (render.one_line(str(place)), kind, *_size(value), f"version {version}")
    print("  ".join(facts) + "\n")
    text = value if kind == "markdown" else _pretty(value)
    print(render.clean(text).removesuffix("\n"))


def cat(args: argparse.Namespace) -> None:
    """`plainstate cat DOC`: the raw value, byte for byte where it is Markdown."""
    place = places.parse_doc(args.doc, args.kind)
    if args.salvage and args.at is not None:
        raise errors.UsageError("--salvage and --at exclude each other", hint="Leave one out.")
    with places.existing_store(args) as store:
        kind = _locate(store, place, args.at)
        if args.salvage:
            value: Json = store.salvage(place.category, place.name, kind=kind)
            version = None
        else:
            value, version = _read(store, place, kind, args.at)
    if args.json:
        render.json_document(_described(place, kind, value, version))
        return
    text = value if kind == "markdown" else _pretty(value) + "\n"
    render.write_bytes(text.encode())


def _size(value: Json) -> list[str]:
    """How much there is; nothing for a number or the like."""
    nouns = ((str, "character"), (list, "item"), (dict, "key"))
    return [render.plural(len(value), noun) for kind, noun in nouns if isinstance(value, kind)]


def _locate(store: StateStore, place: places.Place, at: int | str | None) -> Kind:
    return places.locate(store, place) if at is None else places.locate_past(store, place)


def _read(
    store: StateStore, place: places.Place, kind: Kind, at: int | str | None
) -> tuple[Json, str]:
    document = store.read(place.category, place.name, kind=kind, at=at)
    if document is None:
        raise _absent(place, at)
    return document.value, document.version


def _absent(place: places.Place, at: int | str | None) -> errors.NotFoundError:
    if at is None:
        return places.missing(place)  # deleted since it was found
    return errors.NotFoundError(
        f"{place} was not there at {at}",
        hint=f"`plainstate history {place}` lists its states.",
        document=str(place),
    )


def _described(place: places.Place, kind: Kind, value: Json, version: str | None) -> Json:
    return {"document": str(place), "kind": kind, "version": version, "value": value}


def _pretty(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
