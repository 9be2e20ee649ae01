"""Verbs of the change feed: `watch`, `followers`."""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Final

from plainstate import errors
from plainstate.cli import places, render

if TYPE_CHECKING:
    import argparse

    from plainstate import Change
    from plainstate.types import Json

__all__ = ["followers", "watch"]

_LOOK_S: Final = 1.0
"""While nothing happens, it is looked so often whether anybody still reads."""


def watch(args: argparse.Namespace) -> None:
    """`plainstate watch`: a line for each change, at once, until it is interrupted."""
    told_of_gap = False
    with (
        places.existing_store(args) as store,
        store.watch(args.since, category=args.category, follower=args.follower) as changes,
    ):
        while not changes.stopped:
            change = changes.next(_LOOK_S)
            if changes.gap and not told_of_gap and not args.json:
                told_of_gap = True
                print("some changes were not told: look at the documents", file=sys.stderr)
            if change is None:
                _check_reader()
            elif args.json:
                render.json_line({**_as_json(change), "gap": changes.gap})
            else:
                print(_as_text(change))
            sys.stdout.flush()


def _check_reader() -> None:
    """Raises what a write would raise, where whoever read has gone: `… | head`.

    Raises:
        BrokenPipeError: nobody reads.
    """
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if poll.poll(0):
        raise BrokenPipeError


def _as_text(change: Change) -> str:
    document = change.document
    facts = [
        f"{render.instant_of(change.time)}  {change.seq:3}  {change.action:6}",
        places.file_of(document.category, document.name, document.kind),
    ]
    if change.moved is not None:
        way = "to" if change.action == "delete" else "from"
        facts.append(f"moved {way} {change.moved}")
    if change.summary is not None:
        count = change.summary.get("users", 0) + change.summary.get("agents", 0)
        owner = render.one_line(str(change.summary.get("user_id", "")))
        facts += [owner, render.plural(count, "message")]
    return "  ".join(facts)


def _as_json(change: Change) -> Json:
    return {
        "cursor": change.cursor,
        "document": str(change.document),
        "kind": change.document.kind,
        "action": change.action,
        "seq": change.seq,
        "version": change.version,
        "tx_id": change.tx_id,
        "time": change.time,
        "moved": None if change.moved is None else str(change.moved),
        "summary": change.summary,
    }


def followers(args: argparse.Namespace) -> None:
    """`plainstate followers`: who follows under a name, and how far; `--remove` forgets one."""
    with places.existing_store(args) as store:
        if args.remove is not None:
            if not store.remove_follower(args.remove):
                raise errors.NotFoundError(
                    f"no follower {args.remove}",
                    hint="`plainstate followers` lists them.",
                    document="",
                )
            found = []
        else:
            found = store.followers()
    if args.json:
        if args.remove is not None:
            render.json_line({"follower": args.remove, "removed": True})
        for one in found:
            saved_at = render.rfc3339(one.saved_at)
            render.json_line({"follower": one.name, "cursor": one.cursor, "saved_at": saved_at})
    elif args.remove is not None:
        print(f"{args.remove}: forgotten")
    elif found:
        rows = [(one.name, render.instant(one.saved_at), one.cursor) for one in found]
        print(render.table(("FOLLOWER", "SAVED (UTC)", "CURSOR"), rows))
    else:
        print("no followers")
