"""Verbs about what was: `history`, `undo`, `fork`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from plainstate.cli import places, render

if TYPE_CHECKING:
    import argparse

    from plainstate import HistoryEntry
    from plainstate.types import Json

__all__ = ["fork", "history", "undo"]


def history(args: argparse.Namespace) -> None:
    """`plainstate history DOC`: its transactions that are kept, newest first."""
    place = places.parse_doc(args.doc, args.kind)
    with places.existing_store(args) as store:
        kind = places.locate_past(store, place)
        found = store.history(place.category, place.name, kind=kind, limit=args.limit)
    if args.json:
        for entry in found:
            render.json_line(_as_json(entry, with_patch=args.patch))
    elif args.patch:
        print("\n\n".join(map(_with_patch, found)))
    else:
        print(render.table((" SEQ", "TIME (UTC)", "VERSION", "WHAT"), list(map(_row, found))))


def undo(args: argparse.Namespace) -> None:
    """`plainstate undo DOC`: makes an earlier state the newest one."""
    place = places.parse_doc(args.doc, args.kind)
    with places.existing_store(args) as store:
        kind = places.locate_past(store, place)
        commit = store.undo(
            place.category, place.name, kind=kind, to=args.to, if_version=args.if_version
        )
        (newest,) = store.history(place.category, place.name, kind=kind, limit=1)
        deleted = newest.version is None
    version = None if deleted else commit.version
    if args.json:
        render.json_line({"document": str(place), "kind": kind, "version": version})
    elif deleted:
        print(f"{place}: deleted, as it was not there then")
    else:
        state = "the state before" if args.to is None else args.to
        print(f"{place}: back at {state}, now version {version}")


def fork(args: argparse.Namespace) -> None:
    """`plainstate fork SESSION [NEW]`: a session that begins as another one did."""
    prefix = "sessions/"
    source = args.session.removeprefix(prefix)
    new = None if args.new is None else args.new.removeprefix(prefix)
    with places.existing_store(args) as store:
        made = store.fork_session(source, at=args.at, new_id=new, user_id=args.user)
    count = len(made.user_messages) + len(made.agent_responses)
    if args.json:
        render.json_line(
            {"session": str(made.id), "from": source, "messages": count, "version": made.version}
        )
    else:
        print(f"sessions/{made.id}: {render.plural(count, 'message')} of sessions/{source}")


def _row(entry: HistoryEntry) -> tuple[str, ...]:
    return (str(entry.seq), render.instant_of(entry.time), entry.version or "-", entry.what)


def _with_patch(entry: HistoryEntry) -> str:
    head = "  ".join(render.one_line(cell) for cell in _row(entry))
    operations = [render.clean(json.dumps(one, ensure_ascii=False)) for one in entry.patch]
    return "\n    ".join([head, *operations])


def _as_json(entry: HistoryEntry, *, with_patch: bool) -> Json:
    facts = {
        "seq": entry.seq,
        "version": entry.version,
        "tx_id": entry.tx_id,
        "time": entry.time,
        "action": entry.action,
        "what": entry.what,
    }
    return {**facts, "patch": entry.patch} if with_patch else facts
